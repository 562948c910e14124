"""The append-only log: one writer, kills, foreign files, full disks."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cotdistill.errors import DataError, FaultsError
from cotdistill.files.journal import Journal


def test_values_come_back_in_the_order_in_which_they_were_added(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "j.jsonl"
    with Journal(path) as journal:
        journal.add("a", {"text": "first"})
        journal.add("b", None)
        journal.add("a", "half \ud800, π, \x00 and\n a line")
        assert journal.latest("b") is None
        assert "b" in journal
    with Journal(path) as journal:
        assert len(journal) == 3
        assert journal.values("a") == [{"text": "first"}, "half \ud800, π, \x00 and\n a line"]
        assert [journal.take("a"), journal.take("a"), journal.take("a")] == [
            *journal.values("a"),
            None,
        ]
        assert journal.latest("c") is None
        journal.remove()
    assert not path.exists()


def test_a_value_longer_than_a_block_is_read_whole(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.jsonl") as journal:
        journal.add("long", "x" * 300_000)
        journal.add("short", 1)
        assert len(journal.latest("long")) == 300_000
        assert journal.latest("short") == 1


def test_a_journal_takes_one_writer(tmp_path: Path) -> None:
    with (
        Journal(tmp_path / "j.jsonl"),
        pytest.raises(FaultsError, match="another program is writing it; wait for it or stop it"),
        Journal(tmp_path / "j.jsonl"),
    ):
        pass


def test_a_broken_line_in_the_middle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    path.write_text('{"key": "a", "value": 1}\nbroken\n{"key": "b", "value": 1}\n')
    with pytest.raises(DataError, match=r"j.jsonl:2: not a line of a journal"), Journal(path):
        pass


@pytest.mark.parametrize("torn", ["{", '{"key": "b', '{"key": "b", "value": {"text": "\\u00'])
@pytest.mark.parametrize("before", ["", '{"key": "a", "value": 1}\n'])
def test_what_a_kill_left_half_written_is_cut_off(before: str, torn: str, tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    path.write_text(before + torn)
    with Journal(path) as journal:
        journal.add("b", 2)
    with Journal(path) as journal:
        assert (len(journal), journal.latest("b")) == (2 if before else 1, 2)


def test_a_last_line_that_only_lacks_its_end_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    path.write_text('{"key": "a", "value": 1}')
    with Journal(path) as journal:
        journal.add("b", 2)
        assert (journal.latest("a"), journal.latest("b")) == (1, 2)
    assert path.read_text() == '{"key": "a", "value": 1}\n{"key": "b", "value": 2}\n'


@pytest.mark.parametrize(
    "text",
    [
        '{"results": {"t": {"exact_match,none": 0.5}}}',
        '{"key": "sk-1", "url": "http://x"}',
        '["a", "b"]',
        "hello",
        "hello\n",
        "\x00\x00",
        '{"key": 1, "value": 2}\n',
        "[" * 100_000,
    ],
)
def test_a_file_that_is_no_journal_is_refused_and_stays_as_it_is(text: str, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(DataError, match="nothing was changed; name another file"), Journal(path):
        pass
    assert path.read_text() == text


def test_responses_kept_by_an_earlier_version_are_read(tmp_path: Path) -> None:
    path = tmp_path / ".unfinished-1-0.jsonl"
    path.write_text('["0123abcd", "The answer is 4."]\n')
    with Journal(path) as journal:
        assert journal.take("0123abcd") == "The answer is 4."


def test_a_full_disk_is_one_line_and_leaves_no_half_line(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from cotdistill.files.journal import Journal\n"
        "from cotdistill.errors import FaultsError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))\n"
        "with Journal(Path(sys.argv[1])) as journal:\n"
        "    try:\n"
        "        for number in range(100): journal.add(str(number), 'x' * 500)\n"
        "    except FaultsError as error: print(number, error)\n"
        "    journal.add('small', 1)\n"
    )
    path = tmp_path / "j.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("7 ")
    assert "cannot be written (File too large); choose another folder" in done.stdout
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == [
        *"0123456",
        "small",
    ]


def test_what_one_turn_of_a_loop_adds_is_written_before_anything_that_follows(
    tmp_path: Path,
) -> None:
    path = tmp_path / "j.jsonl"
    lines: list[int] = []

    def lines_now() -> int:
        return path.read_bytes().count(b"\n")

    async def reply(journal: Journal, name: str) -> None:
        journal.add(name, 1)
        lines.append(lines_now())
        assert journal.latest(name) == 1 or name != "c"  # reading writes at once
        await asyncio.sleep(0)
        lines.append(lines_now())

    async def turn(journal: Journal) -> None:
        await asyncio.gather(*(reply(journal, name) for name in "abc"))

    with Journal(path) as journal:
        asyncio.run(turn(journal))
        journal.add("d", 1)
        assert lines_now() == 4
    assert lines[-3:] == [3, 3, 3]


def test_a_disk_that_fills_up_inside_a_loop_stops_the_next_line_and_leaves_no_half_one(
    tmp_path: Path,
) -> None:
    code = (
        "import asyncio, resource, signal, sys; from pathlib import Path\n"
        "from cotdistill.files.growing import GrowingFile\n"
        "from cotdistill.errors import FaultsError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "file = GrowingFile.opened(Path(sys.argv[1]))\n"
        "async def main():\n"
        "    for _ in range(4): file.append(b'x' * 299 + b'\\n')\n"
        "    await asyncio.sleep(0)\n"
        "    try: file.append(b'y\\n')\n"
        "    except FaultsError as error: print(error)\n"
        "asyncio.run(main())\n"
    )
    path = tmp_path / "log"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert "cannot be written (File too large); choose another folder" in done.stdout
    assert path.read_bytes() == 3 * (b"x" * 299 + b"\n")


def test_a_killed_writer_loses_nothing_that_was_added(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    code = (
        "import sys, itertools; from pathlib import Path\n"
        "from cotdistill.files.journal import Journal\n"
        "with Journal(Path(sys.argv[1])) as journal:\n"
        "    for number in itertools.count():\n"
        "        journal.add(str(number), 'x' * 5000); print(number, flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        printed = 0
        for line in writer.stdout:
            printed = int(line)
            if printed >= 50:
                os.kill(writer.pid, signal.SIGKILL)
                break
        printed = max([printed, *(int(line) for line in writer.stdout if line.endswith("\n"))])
    with Journal(path) as journal:
        assert len(journal) in (printed + 1, printed + 2)
        assert journal.latest(str(printed)) == "x" * 5000
