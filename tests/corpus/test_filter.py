"""Traces are linted, filtered and mixed: every row is kept or has a reason, however it is run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cotdistill.cli.main import main
from cotdistill.corpus.filtering import survey as survey_module
from cotdistill.corpus.filtering.filter import FilterOptions, filter_traces
from cotdistill.corpus.filtering.lint import LintOptions, lint
from cotdistill.corpus.filtering.settings import Filters
from cotdistill.corpus.granularity import measure_granularity, picture
from cotdistill.corpus.mixing.mix import mix
from cotdistill.corpus.mixing.settings import Mixing
from cotdistill.errors import DataError, FaultsError, MisuseError
from cotdistill.files import jsonl as jsonl_module
from cotdistill.files.ledger import read_ledger
from cotdistill.files.locks import only_writer
from cotdistill.files.shards import LOCK, shards_of
from trace_rows import read_jsonl, trace_dict, write_jsonl

LONG = "She counts {n} pens in the first row of the box and {n} in the second row of the box. "


def varied(number: int, prefix: str, **changes: Any) -> dict[str, Any]:
    """A right trace whose text is its own."""
    rationale = f"{prefix} {number} + {number} = {2 * number}. The answer is {2 * number}"
    return trace_dict(number, id=f"pens-{number}-{len(prefix)}", rationale=rationale, **changes)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Ten rows, of which rows 1, 7 and 10 are right, clean, and no duplicates."""
    text = " ".join(f"word{place}" for place in range(60))
    return write_jsonl(
        tmp_path / "corpus.jsonl",
        [
            varied(2, text),
            trace_dict(3, rationale="4 + 3 = 7. The answer is 7"),
            trace_dict(4, rationale=""),
            varied(2, text),
            {**varied(2, text.upper() + "!"), "id": "shouted"},
            {**varied(2, text.replace("word30", "other")), "id": "nearly"},
            varied(5, "Twice five."),
            trace_dict(6, provenance={"teacher": "tutor", "finish_reason": "length"}),
            trace_dict(7, rationale="We see no number here at all, we only look around us."),
            trace_dict(8, question="What are 4 and 4 more pens, put together in one box?",
                       gold="8", rationale="4 + 4 = 8. The answer is 8"),
        ],
    )  # fmt: skip


def test_each_row_is_kept_or_rejected_with_one_reason(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "kept.jsonl"
    ledger = filter_traces([corpus], Filters(), out)
    assert [row["id"] for row in read_jsonl(out)] == ["pens-2-409", "pens-5-11", "pens-8"]
    rejected = read_jsonl(tmp_path / "kept.rejected.jsonl")
    assert [(row["place"], row["reason"]) for row in rejected] == [
        ("corpus.jsonl:2", "wrong_answer"),
        ("corpus.jsonl:3", "empty_rationale"),
        ("corpus.jsonl:4", "exact_duplicate"),
        ("corpus.jsonl:5", "normalised_duplicate"),
        ("corpus.jsonl:6", "near_duplicate"),
        ("corpus.jsonl:8", "cut_off"),
        ("corpus.jsonl:9", "no_answer"),
    ]
    assert rejected[0]["detail"] == "gold 6, answer 7"
    assert rejected[0]["row"]["rationale"] == "4 + 3 = 7. The answer is 7"
    assert sum(ledger.counts.values()) == 10
    assert ledger.counts["kept"] == 3
    assert read_ledger(out) == ledger
    assert not (tmp_path / "kept.jsonl.journal").exists()


def test_kept_lines_are_the_input_s_own_bytes(corpus: Path, tmp_path: Path) -> None:
    filter_traces([corpus], Filters(), tmp_path / "kept.jsonl")
    lines = corpus.read_bytes().splitlines(keepends=True)
    assert (tmp_path / "kept.jsonl").read_bytes() == lines[0] + lines[6] + lines[9]


def test_fixing_changes_only_rows_that_need_it(tmp_path: Path) -> None:
    rows = [trace_dict(2), trace_dict(3, rationale=" <br>3 + 3. The answer is 6")]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    filter_traces([path], Filters(fix=True), tmp_path / "kept.jsonl")
    kept = (tmp_path / "kept.jsonl").read_bytes().splitlines(keepends=True)
    assert kept[0] == path.read_bytes().splitlines(keepends=True)[0]
    assert json.loads(kept[1])["rationale"] == "3 + 3. The answer is 6"


def test_blank_lines_and_other_line_ends_change_no_kept_row(tmp_path: Path) -> None:
    rows = [trace_dict(n, question=f"What is {n} + {n}?") for n in range(1, 9)]
    rows[2]["gold"] = "wrong"
    rows[5]["rationale"] = " " + rows[5]["rationale"]
    ends = ("\n", "\r\n", "\n", "\n\n", "\r\r\n", "\n", "\n \n", "")
    lines = [json.dumps(row) for row in rows]
    text = "".join(line + end for line, end in zip(lines, ends, strict=True))
    path = tmp_path / "odd.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    filter_traces([path], Filters(fix=True, duplicates=()), tmp_path / "kept.jsonl")
    texts = [row["rationale"].lstrip() for row in rows[:2] + rows[3:]]
    assert [row["rationale"] for row in read_jsonl(tmp_path / "kept.jsonl")] == texts
    kept = (tmp_path / "kept.jsonl").read_text().splitlines()
    assert kept[:4] + kept[5:] == [lines[n] for n in (0, 1, 3, 4, 6, 7)]
    (rejected,) = read_jsonl(tmp_path / "kept.rejected.jsonl")
    assert rejected["place"] == "odd.jsonl:3"


def many_rows(folder: Path) -> Path:
    rows = [
        trace_dict(
            number % 50,
            id=f"row-{number}",
            rationale=f"{LONG.format(n=number % 50) * (1 + number % 3)}"
            f"The answer is {2 * (number % 50) + (number % 11 == 0)}",
        )
        for number in range(400)
    ]
    return write_jsonl(folder / "many.jsonl", rows)


def bytes_of(folder: Path, name: str) -> list[bytes]:
    parts = (".jsonl", ".rejected.jsonl", ".ledger.json")
    return [
        (folder / f"{name}{part}").read_bytes().replace(f'"{name}.'.encode(), b'"')
        for part in parts
    ]


def test_pieces_processes_and_engines_do_not_change_a_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = many_rows(tmp_path)
    filters = Filters(per_question=3, fix=True)
    filter_traces([path], filters, tmp_path / "whole.jsonl")
    monkeypatch.setattr(survey_module, "shards_of", lambda paths: shards_of(paths, 20_000))
    filter_traces([path], filters, tmp_path / "pieces.jsonl")
    filter_traces([path], filters, tmp_path / "workers.jsonl", FilterOptions(workers=2))
    assert bytes_of(tmp_path, "pieces") == bytes_of(tmp_path, "whole")
    assert bytes_of(tmp_path, "workers") == bytes_of(tmp_path, "whole")


def test_a_piece_without_rows_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = many_rows(tmp_path)
    filter_traces([path], Filters(), tmp_path / "whole.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:5], b"\n" * 60_000, *lines[5:]]))
    monkeypatch.setattr(survey_module, "shards_of", lambda paths: shards_of(paths, 20_000))
    filter_traces([path], Filters(), tmp_path / "pieces.jsonl")
    assert (tmp_path / "pieces.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("steps", [1, 3, 7, 9, 12, 14])
def test_an_interrupted_job_goes_on_without_losing_or_doubling_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    path = many_rows(tmp_path)
    filters = Filters(at_least=2)
    monkeypatch.setattr(survey_module, "shards_of", lambda paths: shards_of(paths, 20_000))
    filter_traces([path], filters, tmp_path / "whole.jsonl")
    lines: list[str] = []

    def stop(line: str) -> None:
        lines.append(line)
        if len(lines) == steps:
            raise StoppedError

    with pytest.raises(StoppedError):
        filter_traces([path], filters, tmp_path / "again.jsonl", progress=stop)
    assert not (tmp_path / "again.ledger.json").exists()
    done = {
        piece: piece.stat().st_mtime_ns for piece in (tmp_path / "again.jsonl.journal").glob("*-0*")
    }
    assert done
    filter_traces([path], filters, tmp_path / "again.jsonl")
    assert bytes_of(tmp_path, "again") == bytes_of(tmp_path, "whole")


def test_a_journal_of_another_job_is_not_used(tmp_path: Path) -> None:
    path = many_rows(tmp_path)

    def stop(_: str) -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        filter_traces([path], Filters(grade="off"), tmp_path / "out.jsonl", progress=stop)
    filter_traces([path], Filters(), tmp_path / "out.jsonl")
    filter_traces([path], Filters(), tmp_path / "new.jsonl")
    assert bytes_of(tmp_path, "out") == bytes_of(tmp_path, "new")


def test_a_second_filter_into_the_same_output_is_refused(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "kept.jsonl"
    with only_writer(tmp_path / "kept.jsonl.journal" / LOCK):
        with pytest.raises(FaultsError, match=r"another program is writing it \(process \d+\)"):
            filter_traces([corpus], Filters(), out)
        assert not out.exists()
    assert filter_traces([corpus], Filters(), out).counts["kept"] == 3


def test_broken_lines_stop_the_filter_unless_skipped(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", [trace_dict(2), trace_dict(3), trace_dict(4)])
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = b'{"id": "pens-3", \n'
    path.write_bytes(b"\n".join([lines[0], lines[1] + b"[1]\n" + b"caf\xe9\n", lines[2]]))
    with pytest.raises(DataError) as info:
        filter_traces([path], Filters(), tmp_path / "kept.jsonl")
    assert [fault.place.rpartition(":")[2] for fault in info.value.faults] == ["3", "4", "5"]
    assert not (tmp_path / "kept.jsonl").exists()
    ledger = filter_traces([path], Filters(), tmp_path / "kept.jsonl", FilterOptions(skip_bad=True))
    assert (ledger.counts["kept"], ledger.counts["unreadable_row"]) == (2, 3)
    reasons = Counter(row["reason"] for row in read_jsonl(tmp_path / "kept.rejected.jsonl"))
    assert reasons == {"unreadable_row": 3}


def test_pairs_are_kept_where_every_source_is_right(tmp_path: Path) -> None:
    long = [trace_dict(n, rationale=f"{LONG.format(n=n)}The answer is {2 * n}") for n in range(6)]
    short = [trace_dict(n, rationale=f"The answer is {2 * n + (n == 2)}") for n in range(1, 7)]
    paths = [
        write_jsonl(tmp_path / "long.jsonl", long),
        write_jsonl(tmp_path / "short.jsonl", short),
    ]
    ledger = filter_traces(
        paths, Filters(paired=True), tmp_path / "kept.jsonl", FilterOptions(split=True)
    )
    for source in ("long", "short"):
        kept = read_jsonl(tmp_path / f"kept.{source}.jsonl")
        assert [row["id"] for row in kept] == ["pens-1", "pens-3", "pens-4", "pens-5"]
    assert ledger.counts["unpaired"] == 3
    assert ledger.counts["wrong_answer"] == 1


def test_the_files_that_a_split_filter_wrote_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [str(write_jsonl(tmp_path / f"{name}.jsonl", [trace_dict(2)])) for name in "ab"]
    assert main(["filter", *names, "-o", str(tmp_path / "k.jsonl"), "--split"]) == 0
    written = [line.removeprefix("wrote ") for line in capsys.readouterr().err.splitlines()]
    assert [line.split(" (")[0] for line in written] == [
        str(tmp_path / name)
        for name in ("k.a.jsonl", "k.b.jsonl", "k.rejected.jsonl", "k.ledger.json")
    ]
    assert all(Path(line.split(" (")[0]).is_file() for line in written)


def test_caps_and_floors_count_kept_traces_of_a_question(tmp_path: Path) -> None:
    texts = ["The answer is 4", "It is 2 and 2. The answer is 4", "Two pairs. The answer is 4"]
    rows = [trace_dict(2, id=str(n), rationale=text) for n, text in enumerate(texts)]
    rows.append(trace_dict(3))
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    ledger = filter_traces([path], Filters(at_least=2, per_question=2), tmp_path / "kept.jsonl")
    assert [row["id"] for row in read_jsonl(tmp_path / "kept.jsonl")] == ["0", "1"]
    assert (ledger.counts["too_few"], ledger.counts["over_cap"]) == (1, 1)
    assert ledger.notes["after"]["rows_per_question"] == {"2": 1}


def test_the_least_similar_rationales_of_a_question_can_be_kept(tmp_path: Path) -> None:
    texts = [
        "We add the two pens to two pens. The answer is 4",
        "We add the two pens to both pens. The answer is 4",
        "Twice as many as before makes four of them. The answer is 4",
        "We add the two pens to two. The answer is 4",
        "Count on from two: three, four. The answer is 4",
    ]
    rows = [trace_dict(2, id=str(n), rationale=text) for n, text in enumerate(texts)]
    rows[1:1] = [trace_dict(n) for n in (3, 4)]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    filters = Filters(per_question=3, choose="diverse", duplicates=())
    ledger = filter_traces([path], filters, tmp_path / "kept.jsonl")
    kept = [row["id"] for row in read_jsonl(tmp_path / "kept.jsonl")]
    assert kept == ["0", "pens-3", "pens-4", "2", "4"]
    assert ledger.counts["over_cap"] == 2
    with pytest.raises(ValueError, match="needs 'per_question'"):
        Filters(choose="diverse")


def test_lint_names_every_row_of_a_test_set_inside_training(tmp_path: Path) -> None:
    train = [{"instruction": f"Is {n} odd, we ask you now?", "output": "The answer is True"}
             for n in range(30)]  # fmt: skip
    test = [{"instruction": f"is {n} ODD, we ask you  now", "label": "True"} for n in range(20, 30)]
    for name, rows in (("train", train), ("test", test)):
        (tmp_path / f"{name}.json").write_text(json.dumps(rows), encoding="utf-8")
    found = tmp_path / "findings.jsonl"
    options = LintOptions(against=(str(tmp_path / "test.json"),), findings=found)
    report = lint([tmp_path / "train.json"], options)
    (leak,) = [rule for rule in report.rules if rule.rule == "same_question"]
    assert leak.rows == 10
    assert leak.where == (f"{tmp_path / 'train.json'}: 21-30",)
    named = [row for row in read_jsonl(found) if row["rule"] == "same_question"]
    assert [row["held_out"] for row in named] == [f"test.json:{n}" for n in range(1, 11)]


def test_lint_finds_what_shows_only_among_rows(corpus: Path) -> None:
    counts = {rule.rule: rule.rows for rule in lint([corpus]).rules}
    assert counts["exact_duplicate"] == 1
    assert counts["normalised_duplicate"] == 1
    assert counts["near_duplicate"] == 1
    assert counts["duplicate_id"] == 1
    assert "other_gold" not in counts


def test_two_golds_of_one_question_are_found_unless_they_mean_the_same(tmp_path: Path) -> None:
    rows = [trace_dict(2), trace_dict(2, gold="4.0", id="b"), trace_dict(2, gold="5", id="c")]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    (rule,) = [rule for rule in lint([path]).rules if rule.rule == "other_gold"]
    assert (rule.rows, rule.where) == (1, (f"{path}: 3",))


def test_against_what_is_neither_a_file_nor_a_benchmark_is_misuse(corpus: Path) -> None:
    with pytest.raises(MisuseError, match="neither a file nor a benchmark; did you mean 'gsm8k'"):
        lint([corpus], LintOptions(against=("gsm8",)))


def test_a_mix_is_exact_and_its_ledger_says_from_where(tmp_path: Path) -> None:
    sources = {
        name: write_jsonl(tmp_path / f"{name}.jsonl", [
            trace_dict(n, id=f"{name}-{n}", rationale=f"{name} The answer is {2 * n}")
            for n in range(20)
        ])
        for name in ("long", "short")
    }  # fmt: skip
    mixing = Mixing(weights={"long": 0.2, "short": 0.8}, rows=10, seed=1)
    ledger = mix(sources, mixing, tmp_path / "mix.jsonl")
    rows = read_jsonl(tmp_path / "mix.jsonl")
    assert Counter(row["output"].split()[0] for row in rows) == {"long": 2, "short": 8}
    assert ledger.notes["rows_of_source"] == {"long": 2, "short": 8}
    again = tmp_path / "again"
    again.mkdir()
    mix(sources, mixing, again / "mix.jsonl")
    assert (again / "mix.jsonl").read_bytes() == (tmp_path / "mix.jsonl").read_bytes()
    matched = Mixing(weights={"long": 0.5, "short": 0.5}, matched=True)
    mix(sources, matched, tmp_path / "matched.jsonl", form="traces")
    questions = [row["question"] for row in read_jsonl(tmp_path / "matched.jsonl")]
    assert len(questions) == len(set(questions)) == 20
    with pytest.raises(DataError, match="at most 25 rows"):
        mix(sources, Mixing(weights={"long": 0.2, "short": 0.8}, rows=30), tmp_path / "no.jsonl")
    assert not (tmp_path / "no.jsonl").exists()


def test_a_level_that_is_not_longer_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = {"one": "Add. ", "two": "Take 2. Add 2. Then stop. ", "three": "Take 2. "}
    paths = [
        write_jsonl(tmp_path / f"{name}.jsonl", [
            trace_dict(n, rationale=f"{text}The answer is {2 * n}") for n in range(5)
        ])
        for name, text in texts.items()
    ]  # fmt: skip
    report = measure_granularity(paths)
    assert [order.is_longer for order in report.orders] == [True, False]
    assert report.kept_throughout == 0.0
    assert picture(report).count("url(#falls)") == 1
    each = tmp_path / "each.jsonl"
    assert main(["granularity", *map(str, paths), "--rows", str(each)]) == 1
    rows = read_jsonl(each)
    assert [row["arm"] for row in rows] == ["one"] * 5 + ["two"] * 5 + ["three"] * 5
    assert {name: rows[5][name] for name in ("id", "steps", "sentences", "words")} == {
        "id": "pens-0", "steps": 4, "sentences": 4, "words": 10,
    }  # fmt: skip
    assert "NOT LONGER" in capsys.readouterr().out


def test_the_command_line_says_what_it_did(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "kept.jsonl"
    assert main(["lint", str(corpus), "--workers", "1"]) == 1
    assert "wrong_answer: 1 row " in capsys.readouterr().out
    assert main(["filter", str(corpus), "-o", str(out), "--workers", "1"]) == 0
    assert "near_duplicate" in capsys.readouterr().out
    assert main(["lint", str(out), "--workers", "1"]) == 0
    capsys.readouterr()
    assert main(["mix", f"all={out}=1", "-o", str(tmp_path / "mix.jsonl")]) == 0
    written = f"wrote {tmp_path}/mix.jsonl (3 rows)\nwrote {tmp_path}/mix.ledger.json\n"
    assert capsys.readouterr().err == written
    assert main(["mix", "all=1", "-o", str(tmp_path / "mix.jsonl")]) == 2
    assert "NAME=FILE=WEIGHT" in capsys.readouterr().err
    assert main(["filter", str(corpus), "-o", str(out), "--grade", "hard"]) == 2
    assert "filter:grade" in capsys.readouterr().err
    assert main(["filter", str(tmp_path / "none.jsonl"), "-o", str(out)]) == 1


LEAK = Path(__file__).resolve().parents[3] / "shared" / "data" / "cot_factors"


@pytest.mark.skipif(not LEAK.is_dir(), reason="the real data is not here")
def test_the_290_leaked_rows_of_strategyqa_are_all_named() -> None:
    options = LintOptions(against=(str(LEAK / "strategyQA_test.json"),), near=False)
    report = lint([LEAK / "stqa_human_annotation.json"], options)
    (leak,) = [rule for rule in report.rules if rule.rule == "same_question"]
    assert leak.rows == 290
    assert leak.where[0].endswith(": 2001-2290")


KILLED = """
import sys, time
from pathlib import Path
from cotdistill.corpus.filtering.settings import Filters
from cotdistill.files.locks import only_writer
from cotdistill.files.shards import LOCK, shards_of
from cotdistill.corpus.filtering import survey
from cotdistill.corpus.filtering.filter import filter_traces
survey.shards_of = lambda paths: shards_of(paths, 20_000)
slow = float(sys.argv[3])
filter_traces([Path(sys.argv[1])], Filters(), Path(sys.argv[2]),
             progress=lambda line: (print(line, flush=True), time.sleep(slow)))
"""


@pytest.mark.parametrize("moment", ["scanned 2", "exact_duplicate", "wrote 3"])
def test_a_job_that_was_killed_goes_on_to_the_same_bytes(tmp_path: Path, moment: str) -> None:
    path = many_rows(tmp_path)
    script = [sys.executable, "-c", KILLED, str(path)]
    subprocess.run([*script, str(tmp_path / "whole.jsonl"), "0"], check=True, capture_output=True)
    job = [*script, str(tmp_path / "again.jsonl")]
    with subprocess.Popen([*job, "0.05"], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if line.startswith(moment):
                running.kill()
                break
    assert not (tmp_path / "again.ledger.json").exists()
    subprocess.run([*job, "0"], check=True, capture_output=True)
    assert bytes_of(tmp_path, "again") == bytes_of(tmp_path, "whole")


@pytest.mark.slow
def test_two_ray_workers_write_the_same_bytes(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    path = many_rows(tmp_path)
    for name, engine in (("processes", "processes"), ("cluster", "ray")):
        command = [sys.executable, "-m", "cotdistill", "filter", str(path)]
        command += ["-o", str(tmp_path / f"{name}.jsonl"), "--workers", "2", "--engine", engine]
        subprocess.run(command, check=True, capture_output=True)
    assert bytes_of(tmp_path, "cluster") == bytes_of(tmp_path, "processes")


def test_a_full_disk_is_told_in_one_line_and_leaves_nothing(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400, before[1]))
    try:
        status = main(["filter", str(corpus), "-o", str(tmp_path / "out" / "kept.jsonl")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert status == 1
    assert "cannot be written" in capsys.readouterr().err
    assert not (tmp_path / "out" / "kept.jsonl").exists()


def test_a_huge_line_is_a_broken_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl_module, "LONGEST", 2000)
    path = write_jsonl(
        tmp_path / "rows.jsonl",
        [trace_dict(2), trace_dict(3, meta={"x": "y" * 9000}), trace_dict(4)],
    )
    ledger = filter_traces([path], Filters(), tmp_path / "kept.jsonl", FilterOptions(skip_bad=True))
    assert (ledger.counts["kept"], ledger.counts["unreadable_row"]) == (2, 1)
    (rejected,) = read_jsonl(tmp_path / "kept.rejected.jsonl")
    assert rejected["detail"].startswith("a line of")


@pytest.mark.parametrize(
    "command",
    [
        "filter a.jsonl -o a.jsonl",
        "filter a.rejected.jsonl -o a.jsonl",
        "filter a.jsonl -o k.jsonl --split --golds k.a.jsonl",
        "filter a.jsonl --against b.jsonl -o b.jsonl",
        "filter a.jsonl.journal/x.jsonl -o a.jsonl",
        "lint a.jsonl --findings a.jsonl",
        "lint a.jsonl --against b.jsonl --findings b.jsonl",
        "granularity a.jsonl --rows a.jsonl",
        "granularity a.jsonl --picture a.jsonl",
        "granularity a.jsonl --picture new --rows new",
        "mix one=a.jsonl=0.5 two=b.jsonl=0.5 -o b.jsonl --rows 2",
        "mix one=a.jsonl=1 two=m.parquet=1 -o m.jsonl --rows 2 --parquet",
        "grade a.jsonl -o a.jsonl",
        "grade a.jsonl --gold-file b.jsonl -o b.jsonl",
        "import-traces a.jsonl -o .",
        "import-traces a.jsonl sub/a.jsonl -o new",
    ],
)
def test_no_verb_writes_to_a_file_it_reads(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ("a.jsonl", "b.jsonl", "a.rejected.jsonl", "k.a.jsonl", "m.parquet", "sub/a.jsonl")
    for name in (*names, "a.jsonl.journal/x.jsonl"):
        write_jsonl(tmp_path / name, [trace_dict(number) for number in range(3)])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert main(command.split()) == 2
    assert "choose another" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_an_input_that_changes_while_it_is_filtered_leaves_no_ledger(tmp_path: Path) -> None:
    path = many_rows(tmp_path)

    def change(line: str) -> None:
        if line.startswith("scanned"):
            with path.open("a", encoding="utf-8") as stream:
                stream.write("{}\n")

    with pytest.raises(DataError, match="the file changed while it was read"):
        filter_traces([path], Filters(), tmp_path / "kept.jsonl", progress=change)
    assert not (tmp_path / "kept.ledger.json").exists()


def test_a_filter_that_keeps_nothing_says_so_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", [trace_dict(2, rationale="The answer is 9")])
    assert main(["filter", str(path), "-o", str(tmp_path / "kept.jsonl")]) == 1
    captured = capsys.readouterr()
    assert "no row is kept" in captured.err
    assert "wrong_answer" in captured.out


def test_comparing_with_packaged_benchmarks_of_which_none_is_prepared_fails(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COTDISTILL_DATA", str(tmp_path / "nothing"))
    with pytest.raises(DataError, match="no packaged benchmark is prepared"):
        filter_traces([corpus], Filters(against=("packaged",)), tmp_path / "kept.jsonl")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus.jsonl"]


def test_a_filter_that_is_refused_leaves_no_work_folder(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": 1\n', encoding="utf-8")
    with pytest.raises(DataError):
        filter_traces([path], Filters(), tmp_path / "kept.jsonl")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["rows.jsonl"]


def test_every_row_that_an_import_refuses_is_among_the_rejected(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"instruction": f"{n} + {n}?", "output": "2"} for n in range(3)]
    rows += [{"instruction": f"{n}?", "output": None} for n in range(1100)]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    ledger = filter_traces([path], Filters(duplicates=()), tmp_path / "kept.jsonl")
    rejected = read_jsonl(tmp_path / "kept.rejected.jsonl")
    assert len(rejected) == ledger.counts["missing_column"] == 1100
    (rule,) = [each for each in lint([path]).rules if each.rule == "missing_column"]
    assert rule.where == (f"{path}: 4-1103",)


def test_a_folder_is_filtered_file_by_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_jsonl(tmp_path / "in" / f"{name}.jsonl", [trace_dict(2, id=name)])
    options = FilterOptions(split=True)
    filters = Filters(duplicates=())
    ledger = filter_traces([tmp_path / "in"], filters, tmp_path / "kept.jsonl", options)
    assert [file.file for file in ledger.outputs[:2]] == ["kept.a.jsonl", "kept.b.jsonl"]


def test_rows_that_granularity_cannot_measure_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_jsonl(
        tmp_path / "rows.jsonl",
        [trace_dict(2), trace_dict(3, rationale=" "), trace_dict(4, gold=5)],
    )
    assert main(["granularity", str(path)]) == 1
    message = "rows: 1 of 3 rows measured; left out: 1 empty_rationale, 1 missing_column"
    assert message in capsys.readouterr().err
    other = write_jsonl(tmp_path / "other.jsonl", [trace_dict(9, question="What else is there?")])
    assert main(["granularity", str(other), str(path)]) == 1
    assert "no question in common: not compared" in capsys.readouterr().out
    path.write_bytes("é".encode("latin-1"))
    assert main(["granularity", str(path)]) == 1
    assert "no trace in it" in (error := capsys.readouterr().err)
    assert "not UTF-8" in error


def test_a_file_of_which_no_row_can_be_imported_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_jsonl(tmp_path / "rows.jsonl", [{"first": "1 + 1?", "second": "2"}])
    assert main(["import-traces", str(path), "-o", str(tmp_path / "new")]) == 1
    written = capsys.readouterr().err
    assert "no row could be read; rows.jsonl:1: no column of a question (instruction, " in written
    assert written.rstrip().endswith("; the row has first, second")


HOSTILE: list[Any] = [
    {"options": {"A": 5, "B": None}, "kind": "letter"},
    {"provenance": {"tokens": 10**30}},
    {"provenance": {"tokens": -1}},
    {"provenance": {"finish_reason": ["length"], "source": {"a": 1}}},
    {"meta": {"solution": 5, "big": 10**25, "nan": float("nan")}},
    {"rationale": "half \ud800 of a character. " * 400 + "The answer is 8"},
    {"question": "\ud800" * 50, "gold": "\udfff"},
    {"rationale": "\x00\x01\x1b[2J The answer is 8"},
    {"rationale": "<think>" * 5000 + "</think>" * 5000},
    {"rationale": "1 = " * 20_000, "gold": ""},
    {"rationale": "(" * 30_000, "gold": "9" * 5000},
    {"id": "", "question": "", "rationale": "", "gold": ""},
]


def test_hostile_rows_are_kept_or_rejected_and_never_crash(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [trace_dict(4, **{"id": str(number), **row}) for number, row in enumerate(HOSTILE)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    test = write_jsonl(tmp_path / "test.jsonl", [trace_dict(5)])
    filters = Filters(sound=True, fix=True, against=(str(test),))
    ledger = filter_traces([path], filters, tmp_path / "kept.jsonl", FilterOptions(skip_bad=True))
    assert sum(ledger.counts.values()) == len(HOSTILE)
    assert len(read_jsonl(tmp_path / "kept.rejected.jsonl")) == len(HOSTILE) - ledger.counts["kept"]
    assert main(["lint", str(path), "--workers", "1", "--against", str(test)]) == 1
    capsys.readouterr()


def test_whole_numbers_of_any_size_survive_a_filter(tmp_path: Path) -> None:
    rows = [trace_dict(2, meta={"n": 10**30}), trace_dict(3, meta={"n": 10**30}, gold="9")]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    filter_traces([path], Filters(), tmp_path / "kept.jsonl")
    (kept,), (rejected,) = (
        read_jsonl(tmp_path / name) for name in ("kept.jsonl", "kept.rejected.jsonl")
    )
    assert kept["meta"] == rejected["row"]["meta"] == {"n": 10**30}


def test_a_file_name_that_is_not_utf_8_is_filtered(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.jsonl")
    try:
        write_jsonl(path, [trace_dict(2), trace_dict(3, gold="9")])
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    ledger = filter_traces([path], Filters(), tmp_path / "kept.jsonl")
    assert ledger.counts["kept"] == 1
    assert read_ledger(tmp_path / "kept.jsonl") == ledger


def test_every_verb_reads_a_file_whose_name_is_not_utf_8(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(b"caf\xe9.jsonl")
    try:
        write_jsonl(tmp_path / name, [trace_dict(2), trace_dict(3)])
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    for words in (
        ["import-traces", name, "-o", "imported"],
        ["mix", f"one={name}=1", "-o", "mixed.jsonl"],
        ["grade", name, "-o", "graded.jsonl"],
        ["granularity", name, "--rows", "rows.jsonl"],
        ["lint", name, "--workers", "1"],
        ["filter", name, "-o", os.fsdecode(b"kept\xe9.jsonl"), "--workers", "1"],
    ):
        assert main(words) == 0, (words[0], capsys.readouterr().err)
    assert len(read_jsonl(tmp_path / "mixed.jsonl")) == 2


def test_lint_speaks_of_one_row_in_the_singular(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = '{"instruction": "What is 1 plus 1?", "output": "2"}\n'
    (tmp_path / "one.jsonl").write_text(row, encoding="utf-8")
    assert main(["lint", str(tmp_path / "one.jsonl")]) == 1
    shown = capsys.readouterr()
    assert shown.out.startswith("no_answer_marker: 1 row (")
    assert "1 row has no reference answer and was not graded\n" in shown.err


def test_a_multiple_choice_test_question_is_found_with_its_choices_in_the_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cotdistill.benchmarks.store import write_split

    monkeypatch.setenv("COTDISTILL_DATA", str(tmp_path / "prepared"))
    test = {"id": "openbookqa-1", "dataset": "openbookqa", "split": "test", "kind": "letter",
            "question": "Ice melts when", "gold": "A",
            "options": {"A": "warm", "B": "cold"}}  # fmt: skip
    write_split("openbookqa", "test", [test], {"source": "made up"})
    same = "Q: Ice melts when Answer choices: A: warm, B: cold"
    other = "Q: Ice melts when Answer choices: A: heated, B: in shade"
    rows = [{"instruction": each, "output": "So it is. The answer is A"} for each in (same, other)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    how = ["--grade", "off", "--against", "openbookqa", "--overlap", "same_question"]
    assert main(["filter", str(path), "-o", str(tmp_path / "kept.jsonl"), *how]) == 0
    (kept,) = (tmp_path / "kept.jsonl").read_text().splitlines()
    assert "heated" in kept
