"""What a report says of the probe of a merge, next to the results of the arm that it taught."""

from __future__ import annotations

from pathlib import Path

import pytest

from cotdistill.errors import DataError
from cotdistill.results.report.probe_report import probe_notes
from cotdistill.results.report.report import report
from cotdistill.runfolder.json_record import write_json_record
from cotdistill.stats.confidence import Interval
from cotdistill.studies.probes import probe_record_of
from cotdistill.teach.probe import ProbedModel, ProbeRecord
from probed import probed_study
from run_folder import add_run, add_scores, add_training, write_json


def ran(folder: Path) -> Path:
    write_json(folder / "study.yaml", probed_study(folder))
    for arm, right in (("by-short", 10), ("by-half", 20), ("by-third", 15)):
        run = f"tiny--{arm}--s1"
        add_run(folder, run, arm, seed=1)
        add_training(folder, run)
        add_scores(folder, run, [n < right for n in range(40)])
    return folder


def put(folder: Path, merge: str, tokens: int, wrong: tuple[str, ...] = ()) -> None:
    def wrote(many: float) -> ProbedModel:
        share = Interval(0.5, 0.2, 0.8)
        return ProbedModel(Interval(many, many - 2, many + 2), share, share, share)

    models = {"short": wrote(22), merge: wrote(tokens), "long": wrote(202)}
    gap = Interval(1.0, 0.5, 1.5)
    record = ProbeRecord(
        merge, "short", "long", 8, 0, models, gap, gap, wrong, (), required=not wrong
    )
    (folder / "probe").mkdir(exist_ok=True)
    write_json_record(folder / probe_record_of(merge), record)


def test_lengths_and_verdict_of_a_probe_stand_next_to_the_arm_that_the_merge_taught(
    tmp_path: Path,
) -> None:
    ran(tmp_path)
    put(tmp_path, "half", 62)
    put(tmp_path, "third", 402, ("it writes 402 tokens, no fewer than long (202)",))
    made = report(tmp_path)
    half = (
        "by-half: half wrote its rows, and its probe found 62 tokens a response, between short "
        "(22) and long (202)"
    )
    third = (
        "by-third: third wrote its rows, and its probe failed (it was allowed to teach all the "
        "same): it writes 402 tokens, no fewer than long (202)"
    )
    assert {half, third} <= set(made.table.notes)
    for name in ("report.html", "report.md"):
        text = (tmp_path / "report" / name).read_text(encoding="utf-8")
        assert half in text
        assert third in text
        assert "Probe of half" in text
        assert "402 [400, 404]" in text.replace("\\", "")
        assert "NOT INTERMEDIATE: it writes 402 tokens" in text


def test_arms_that_take_rows_of_a_merge_from_other_arms_are_named_too(tmp_path: Path) -> None:
    study = probed_study(tmp_path)
    arms = study["arms"]
    arms["with-half"] = {**arms["by-short"], "with": ["by-half"]}
    arms["mixed"] = {"mix": {"by-short": 1, "with-half": 1}}
    arms["half-alone"] = {"mix": {"by-half": 1}}
    write_json(tmp_path / "study.yaml", study)
    put(tmp_path, "half", 62)
    assert [note.split(", and its probe")[0] for note in probe_notes([tmp_path])] == [
        "by-half: half wrote its rows",
        "with-half: half wrote some of its rows",
        "mixed: half wrote some of its rows",
        "half-alone: half wrote its rows",
    ]


def test_a_study_whose_probes_have_not_run_says_nothing_of_them(tmp_path: Path) -> None:
    made = report(ran(tmp_path))
    assert not any("probe" in note for note in made.table.notes)
    assert "Probe of" not in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")


def test_a_broken_record_of_a_probe_is_named(tmp_path: Path) -> None:
    write_json(ran(tmp_path) / "probe" / "half.json", {"merge": "half"})
    with pytest.raises(DataError, match=r"half\.json: is not the record of a probe"):
        report(tmp_path)
