"""Names and texts that come from data cannot steer a terminal, a spreadsheet or a page."""

import csv
import http.client
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cotdistill.results.report.report import report
from cotdistill.results.report.serve import serve_page
from cotdistill.results.report.tables import as_markdown
from cotdistill.tables import Table, escaped_markdown, printable
from run_folder import STAMP, add_run, add_scores, add_training

ESCAPES = "\x1b[2J\x1b]0;owned\x07\u202etxt\u2066"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run folder whose manifest was edited: an arm that is a formula, HTML and escapes."""
    here = tmp_path / "study"
    for arm, right in [("base", 3), (f"=1+1<img onerror=x>|*a*{ESCAPES}", 5)]:
        run = f"run{right}"
        add_run(here, run, arm)
        add_training(here, run)
        add_scores(here, run, [number < right for number in range(8)])
    return here


def test_no_control_or_bidi_character_of_data_reaches_the_terminal(folder: Path) -> None:
    command = [sys.executable, "-m", "cotdistill", "report", str(folder)]
    done = subprocess.run(command, capture_output=True, check=True)
    for stream in (done.stdout, done.stderr):
        assert printable(stream.decode()) == stream.decode()
    assert rb"\x1b[2J" in done.stdout


def test_errors_and_flipped_questions_are_shown_without_their_escapes(folder: Path) -> None:
    places = [folder / "scores" / run for run in ("run3", "run5")]
    for place in places:
        path = next(place.rglob("samples_*"))
        path.write_text(path.read_text().replace("What is", json.dumps(ESCAPES)[1:-1]), "utf-8")
    command = [sys.executable, "-m", "cotdistill", "compare", *map(str, places), "--flips", "3"]
    done = subprocess.run(command, capture_output=True, check=True)
    assert rb"\x1b[2J" in done.stdout
    assert b"\x1b" not in done.stdout
    broken = subprocess.run(
        [sys.executable, "-m", "cotdistill", "compare", ESCAPES, "b"],
        capture_output=True,
        check=False,
    )
    assert broken.returncode == 1
    assert b"\x1b" not in broken.stderr


def test_a_spreadsheet_sees_text_where_a_name_begins_like_a_formula(folder: Path) -> None:
    report(folder)
    rows = list(csv.DictReader((folder / "report/report.csv").read_text("utf-8").splitlines()))
    assert [row["arm"][:5] for row in rows] == ["base", "'=1+1"]
    assert float(rows[0]["score"]) == 3 / 8


def test_markdown_shows_names_as_they_are(folder: Path) -> None:
    report(folder)
    text = (folder / "report/report.md").read_text(encoding="utf-8")
    assert "<img" not in text
    assert r"=1+1&lt;img onerror=x&gt;\|\*a\*\x1b[2J" in text.replace(r"\\", "\\").replace(
        r"\[", "["
    )
    table = Table(("arm", "score"), (("cot_gsm8k\n# head", "5"),), ("a note <b>",))
    assert as_markdown(table, "a_b").splitlines()[4:] == [
        "| cot_gsm8k # head | 5 |",
        "",
        "- a note &lt;b&gt;",
    ]
    assert escaped_markdown("_em_ 5 & 6 &lt;") == r"\_em\_ 5 & 6 &amp;lt;"


@contextmanager
def served(folder: Path) -> Iterator[int]:
    """Serve a folder for as long as the block runs, and give its port."""
    addresses: list[str] = []
    ready = threading.Event()

    def tell(address: str) -> None:
        addresses.append(address)
        ready.set()

    # it stops by itself after a while without a request, long enough for a machine that is busy
    server = threading.Thread(target=serve_page, args=(folder, 0, 30.0, tell), daemon=True)
    server.start()
    assert ready.wait(60)
    yield int(addresses[0].split(":")[2].split("/")[0])


def asked(port: int, path: str, host: str | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path, headers={"Host": host or f"127.0.0.1:{port}"})
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_the_served_page_answers_to_its_own_name_only(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("<p>here</p>", encoding="utf-8")
    with served(tmp_path) as port:
        assert asked(port, "/report.html") == (200, b"<p>here</p>")
        assert asked(port, "/report.html", f"localhost:{port}")[0] == 200
        for host in ("evil.example.com", f"evil.example.com:{port}", "127.0.0.1:1"):
            status, body = asked(port, "/report.html", host)
            assert status == 421
            assert b"here" not in body


def test_nothing_but_files_of_the_folder_is_served(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    folder = tmp_path / "report"
    (folder / "figures").mkdir(parents=True)
    (folder / "figures" / "a.svg").write_text("<svg/>", encoding="utf-8")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "linked").symlink_to(tmp_path)
    with served(folder) as port:
        assert asked(port, "/figures/a.svg") == (200, b"<svg/>")
        for path in ("/", "/figures/", "/figures", "/link.txt", "/linked/secret.txt", "/%00"):
            assert asked(port, path)[0] == 404, path
        assert asked(port, "/../secret.txt")[0] == 404
        assert asked(port, "/" + "x" * 5000)[0] == 404
    assert "Traceback" not in capfd.readouterr().err


def test_a_manifest_of_names_and_outputs_is_enough_for_a_report(folder: Path) -> None:
    path = folder / "manifest.jsonl"
    kept = ("run", "student", "arm", "recipe", "seed", "outputs")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    lines = [json.dumps({name: row[name] for name in kept}) + "\n" for row in rows]
    path.write_text("".join(lines), encoding="utf-8")
    assert len(report(folder).table.rows) == 2
    assert STAMP in next((folder / "scores").rglob("samples_*")).name
