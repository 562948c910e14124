"""Arms made from others: filtered with a reason for every row, paired, matched, streamed mixes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cotdistill.arms.build import build_arm, write_arm
from cotdistill.errors import DataError, StudyError
from cotdistill.files.jsonl import write_rows
from cotdistill.files.ledger import read_ledger
from cotdistill.preflight.check import check_run_folder
from cotdistill.runfolder.generate import generate
from cotdistill.studies.load import study_of
from cotdistill.studies.resolve_arms import resolve_arm
from trace_rows import trace_dict, write_jsonl

Study = dict[str, Any]
WriteStudy = Callable[[Study], Path]
# fmt: off
THINGS = (
    "apples", "pears", "plums", "nuts", "figs", "dates", "limes", "kiwis", "beans", "peas",
    "grapes", "olives",
)
# fmt: on


def rows_of(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_traces(path: Path, answers: dict[str, tuple[str, str]]) -> None:
    """Write rows as MiCoTA's: the question, the rationale, the gold."""
    rows = [
        {"instruction": question, "output": rationale, "answer": gold, "resp_answer": ""}
        for question, (rationale, gold) in answers.items()
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def two_teachers(tmp_path: Path) -> None:
    """Two teachers answer twelve questions; each is wrong once, on different ones."""
    questions = {
        f"What do {n} bags of {n + 2} {thing} hold together?": n * (n + 2)
        for n, thing in enumerate(THINGS, 3)
    }
    for name, wrong_at, tail in (("long", 2, " Let me check that again: yes."), ("short", 5, "")):
        write_traces(
            tmp_path / f"{name}.jsonl",
            {
                question: (
                    f"I multiply and get {right}.{tail} The answer is "
                    f"{right + (number == wrong_at)}.",
                    str(right),
                )
                for number, (question, right) in enumerate(questions.items())
            },
        )


@pytest.mark.usefixtures("two_teachers")
def test_a_source_that_changes_within_its_size_and_time_is_no_source_of_an_arm(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    small_study["arms"] = {"long": {"file": "long.jsonl", "filter": {"grade": "strict"}}}
    folder = generate(str(study_file(small_study)), tmp_path / "run").folder
    arm = resolve_arm(study_of(folder), "long", "study.yaml")
    assert arm.digest  # has looked at the files
    source = tmp_path / "long.jsonl"
    before = source.stat()
    source.write_bytes(source.read_bytes().replace(b"multiply", b"multiplY"))
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(DataError, match=r"long\.jsonl: the file changed while"):
        write_arm(arm, folder)
    assert not (folder / "data" / "long.ledger.json").exists()


@pytest.mark.usefixtures("two_teachers")
def test_a_filtered_arm_keeps_right_rows_and_says_why_others_went(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    small_study["arms"] = {
        "long": {"file": "long.jsonl", "filter": {"grade": "strict", "duplicates": []}}
    }
    done = generate(str(study_file(small_study)), tmp_path / "run")
    assert done.to_prepare == ("long",)  # a filter takes its time, so `run` does it
    rows = rows_of(build_arm(tmp_path / "run", "long"))
    assert len(rows) == 11
    assert set(rows[0]) == {"system", "instruction", "output"}
    (rejected,) = rows_of(tmp_path / "run" / "data" / "filtered" / "long.rejected.jsonl")
    assert "wrong" in json.dumps(rejected)
    assert generate(str(study_file(small_study)), tmp_path / "run").changed == ()


@pytest.mark.usefixtures("two_teachers")
def test_a_paired_arm_keeps_only_questions_that_all_got_right(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    small_study["arms"] = {
        "long": {"file": "long.jsonl", "filter": {"paired_with": ["short"], "duplicates": []}},
        "short": {"file": "short.jsonl", "filter": {"paired_with": ["long"], "duplicates": []}},
    }
    generate(str(study_file(small_study)), tmp_path / "run")
    long, short = (rows_of(build_arm(tmp_path / "run", name)) for name in ("long", "short"))
    assert len(long) == len(short) == 10
    assert [row["instruction"] for row in long] == [row["instruction"] for row in short]
    assert "check that again" in long[0]["output"]


@pytest.mark.usefixtures("two_teachers")
def test_the_ledger_of_a_filtered_arm_has_each_of_its_rows_under_one_reason(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    small_study["arms"] = {
        "long": {"file": "long.jsonl", "filter": {"paired_with": ["short"], "duplicates": []}},
        "short": {"file": "short.jsonl", "filter": {"grade": "off"}, "train": False},
        "mixed": {"mix": {"long": 0.5, "short": 0.5}, "rows": 8},
    }
    generate(str(study_file(small_study)), tmp_path / "run")
    built = build_arm(tmp_path / "run", "long")
    ledger = read_ledger(built)
    assert ledger.counts == {"kept": 10, "unpaired": 1, "wrong_answer": 1}
    assert [(each.file, each.rows) for each in ledger.inputs] == [
        ("long.jsonl", 12),
        ("short.jsonl", 12),
    ]
    assert ledger.notes["filter"]["after"]["questions"] == 10
    mixed = read_ledger(build_arm(tmp_path / "run", "mixed"))
    assert mixed.notes["rows_of_source"] == {"long": 4, "short": 4}
    assert sum(mixed.counts.values()) == sum(each.rows for each in mixed.inputs) == 24
    assert mixed.counts["not_drawn"] == 10 + 12 - 8


def test_arms_are_filtered_in_pairs_then_mixed_with_every_row_in_one_ledger(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    for name in ("long", "short"):
        rows = [
            trace_dict(n, rationale=f"{name} The answer is {2 * n + (n % 5 == 0)}")
            for n in range(20)
        ]
        write_jsonl(tmp_path / f"{name}.jsonl", rows)
    small_study["arms"] = {
        "long": {"file": "long.jsonl", "filter": {"paired_with": ["short"]}},
        "short": {"file": "short.jsonl", "filter": {"paired_with": ["long"]}},
        "mixed": {"mix": {"long": 1, "short": 3}, "rows": 12, "matched": True},
    }
    generate(str(study_file(small_study)), tmp_path / "run")
    path = build_arm(tmp_path / "run", "mixed")
    ledger = read_ledger(path)
    assert ledger.counts == {"kept": 12, "not_drawn": 20, "wrong_answer": 8}
    assert sum(ledger.counts.values()) == sum(each.rows for each in ledger.inputs) == 40
    assert set(rows_of(path)[0]) == {"system", "instruction", "output", "source"}
    first = path.read_bytes()
    shutil.rmtree(tmp_path / "run" / "data")
    assert build_arm(tmp_path / "run", "mixed").read_bytes() == first


@pytest.mark.parametrize(
    ("filters", "wrong"),
    [
        ({"paired_with": ["shrt"]}, "arms.long.filter.paired_with: unknown arm 'shrt'; did you me"),
        ({"paired_with": ["mixed"]}, "arms.long.filter.paired_with: 'mixed' is a mix; expected a"),
        ({"golds": ["nowhere.jsonl"]}, "arms.long.filter.golds: no such file"),
    ],
)
@pytest.mark.usefixtures("two_teachers")
def test_what_a_filter_names_and_is_not_there_is_said_before_anything_is_written(
    small_study: Study, study_file: WriteStudy, tmp_path: Path, filters: Study, wrong: str
) -> None:
    small_study["arms"] = {
        "long": {"file": "long.jsonl", "filter": filters},
        "short": {"file": "short.jsonl"},
        "mixed": {"mix": {"short": 1}},
    }
    with pytest.raises(StudyError) as caught:
        generate(str(study_file(small_study)), tmp_path / "run")
    assert wrong in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("two_teachers")
def test_a_check_says_which_arms_a_filter_left_unequal(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    small_study["arms"] = {
        "all": {"file": "long.jsonl", "filter": {"grade": "off", "duplicates": []}},
        "right": {"file": "long.jsonl", "filter": {"duplicates": []}},
    }
    recipe = small_study["recipes"]["full"]
    recipe["epochs"] = recipe.pop("max_steps")
    generate(str(study_file(small_study)), tmp_path / "run")
    assert unequal(tmp_path / "run") == []  # their rows are not known yet
    for arm in ("all", "right"):
        build_arm(tmp_path / "run", arm)
    (note,) = unequal(tmp_path / "run")
    assert note.startswith("arms differ in rows, from 11 (right) to 12 (all), and so in steps")


def unequal(folder: Path) -> list[str]:
    return [note for note in check_run_folder(folder).notes if note.startswith("arms differ")]


@pytest.mark.usefixtures("two_teachers")
def test_a_mix_and_its_source_are_built_at_once_without_harm(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    small_study["arms"] = {
        "long": {"file": "long.jsonl", "filter": {"grade": "off"}},
        "mixed": {"mix": {"long": 1.0}, "rows": 8},
        "other": {"mix": {"long": 1.0}, "rows": 9},
    }
    generate(str(study_file(small_study)), tmp_path / "run")
    program = (
        "import sys; from pathlib import Path; from cotdistill.arms.build import build_arm; "
        "build_arm(Path(sys.argv[1]), sys.argv[2])"
    )
    jobs = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "run"), arm])
        for arm in ("mixed", "other", "long")
    ]
    assert [job.wait() for job in jobs] == [0, 0, 0]
    assert len(rows_of(tmp_path / "run" / "data" / "other.jsonl")) == 9


@pytest.mark.usefixtures("two_teachers")
def test_what_lint_still_finds_in_a_filtered_arm_lies_where_reports_look(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    small_study["arms"] = {
        "all": {"file": "long.jsonl", "filter": {"grade": "off", "duplicates": []}},
        "right": {"file": "long.jsonl", "filter": {"duplicates": []}},
    }
    generate(str(study_file(small_study)), tmp_path / "run")
    found = {}
    for arm in ("all", "right"):
        build_arm(tmp_path / "run", arm)
        report = json.loads((tmp_path / "run" / "data" / f"{arm}.lint.json").read_text("utf-8"))
        found[arm] = {rule["rule"]: rule["rows"] for rule in report["rules"]}
        assert report["rows"] == {"all": 12, "right": 11}[arm]
    assert found["all"]["wrong_answer"] == 1
    assert "wrong_answer" not in found["right"]


@pytest.mark.usefixtures("two_teachers")
def test_other_golds_make_an_arm_anew(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    golds = tmp_path / "golds.jsonl"
    rows = [{"question": row["instruction"], "gold": row["answer"]} for row in
            rows_of(tmp_path / "long.jsonl")]  # fmt: skip
    write_rows(golds, rows)
    filters = {"golds": [str(golds)], "duplicates": []}
    small_study["arms"] = {"long": {"file": "long.jsonl", "filter": filters}}
    generate(str(study_file(small_study)), tmp_path / "run")
    first = read_ledger(build_arm(tmp_path / "run", "long"))
    assert [each.file for each in first.inputs] == ["long.jsonl", "golds.jsonl"]
    write_rows(golds, [{**rows[0], "gold": "1"}, *rows[1:]])
    second = read_ledger(build_arm(tmp_path / "run", "long"))
    assert first.notes["digest"] != second.notes["digest"]


@pytest.mark.usefixtures("two_teachers")
def test_a_matched_mix_has_each_question_once_whatever_the_weights(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    arms = {name: {"file": f"{name}.jsonl", "train": False} for name in ("long", "short")}
    for weight in (0.25, 0.5):
        mix = {"long": weight, "short": 1 - weight}
        arms[f"mix{weight}"] = {"mix": mix, "rows": 8, "matched": True, "seed": 3}
    small_study["arms"] = arms
    generate(str(study_file(small_study)), tmp_path / "run")
    low, high = (rows_of(tmp_path / "run" / "data" / f"mix{w}.jsonl") for w in (0.25, 0.5))
    assert {row["instruction"] for row in low} == {row["instruction"] for row in high}
    assert len(low) == len(high) == 8
    took_long = [{r["instruction"] for r in rows if "again" in r["output"]} for rows in (low, high)]
    assert (len(took_long[0]), len(took_long[1])) == (2, 4)
    assert took_long[0] < took_long[1]  # nested


@pytest.mark.usefixtures("two_teachers")
def test_a_mix_that_asks_too_much_is_told_the_most_it_can_have(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    small_study["arms"] = {
        "long": {"file": "long.jsonl"},
        "short": {"file": "short.jsonl"},
        "mixed": {"mix": {"long": 0.5, "short": 0.5}, "rows": 40},
    }
    with pytest.raises(DataError, match="at most 24 rows"):
        generate(str(study_file(small_study)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("two_teachers")
def test_a_filter_that_keeps_nothing_is_refused(
    small_study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    small_study["arms"] = {"long": {"file": "long.jsonl", "filter": {"max_tokens": 1}}}
    generate(str(study_file(small_study)), tmp_path / "run")
    message = r"no row passes its filter \(1 wrong_answer, 11 too_long\).*long.rejected.jsonl, then"
    with pytest.raises(DataError, match=message):
        build_arm(tmp_path / "run", "long")
    assert not (tmp_path / "run" / "data" / "long.jsonl").exists()


def test_a_filter_names_its_unknown_keys(small_study: Study, study_file: WriteStudy) -> None:
    small_study["arms"] = {"a": {"file": "a.jsonl", "filter": {"grad": "strict"}}}
    with pytest.raises(StudyError, match=r"unknown key 'grad'; did you mean 'grade'\?"):
        generate(str(study_file(small_study)))
