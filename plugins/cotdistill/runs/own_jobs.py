"""The jobs that cotdistill does itself: an arm's rows and their lengths, students, the report."""

from __future__ import annotations

import sys
from pathlib import Path

from cotdistill.runfolder.bundles import in_recorded_bundles
from cotdistill.runs.jobs import read_jobs, stage_of


@in_recorded_bundles
def run_own_job(folder: Path, stage: str, name: str) -> None:
    """Do the work of a job that has no host program.

    Raises:
        FaultsError: an arm cannot be built, or more of its rows are truncated than is allowed.
    """
    folder = folder.resolve()
    job = read_jobs(folder)[(stage_of(stage), name)]
    if job.stage == "collect":
        written = _reports(folder)
        sys.stdout.write("".join(f"wrote {path}\n" for path in written))
    elif job.stage == "filter":
        from cotdistill.improve.keep import keep_rows

        data = keep_rows(folder, name)
        kept = ", ".join(f"{count:,} {source}" for source, count in data.rows.items()) or "nothing"
        sys.stdout.write(f"{data.coverage:.1%} of {data.questions:,} questions covered; ")
        sys.stdout.write(f"rows: {kept}\n")
        sys.stdout.write("".join(f"{why}\n" for why in data.skip.values()))
    elif job.stage == "likelihood":
        from cotdistill.improve.likelihood import measure_likelihood

        sys.stdout.write(f"{measure_likelihood(folder, name)}\n")
    elif job.stage == "decide" and (job.output or "").startswith("race/"):
        from cotdistill.racing.decide import decide_race, lines_of

        sys.stdout.write("".join(f"{line}\n" for line in lines_of(decide_race(folder, name))))
    elif job.stage == "decide" and (job.output or "").startswith("epochs/"):
        from cotdistill.results.best_epoch import decide_epoch

        sys.stdout.write("".join(f"{line}\n" for line in decide_epoch(folder, name)))
    elif job.stage == "decide":
        from cotdistill.improve.tell import decided

        sys.stdout.write("".join(f"{line}\n" for line in decided(folder, name)))
    elif job.stage == "probe":
        _probe(folder, name)
    elif name.endswith("+questions"):
        from cotdistill.arms.build import build_questions

        build_questions(folder, name.removesuffix("+questions"))
    elif job.gate:
        from cotdistill.runs.lengths import check_lengths

        check_lengths(folder, job.arm or "", folder / (job.output or ""))
    elif job.student is not None:
        from cotdistill.arms.build import build_student

        build_student(folder, job.student, job.arm or "")
    else:
        from cotdistill.arms.build import build_arm

        build_arm(folder, job.arm or name)


def _probe(folder: Path, merge: str) -> None:
    """Compare a merge's length with those of two models.

    Raises:
        DataError: it is not between them, and has to be; the record is written before.
    """
    from cotdistill.errors import DataError, Fault
    from cotdistill.runfolder.json_record import write_json_record
    from cotdistill.studies.load import study_of
    from cotdistill.studies.probes import probe_folders, probe_record_of, probes_of
    from cotdistill.tables import markdown_of
    from cotdistill.teach.probe import probe_record

    study = study_of(folder)
    probe = probes_of(study)[merge]
    folders = {name: folder / place for name, place in probe_folders(study, merge).items()}
    found = probe_record(merge, probe.short, probe.long, folders, required=probe.required)
    write_json_record(folder / probe_record_of(merge), found)
    sys.stdout.write("\n".join((markdown_of(found.table()), *found.table().notes)) + "\n")
    if found.wrong and probe.required:
        remedy = f"change its weights, or say models.{merge}.probe.required: false"
        wrong = f"is not of intermediate length: {'; '.join(found.wrong)}"
        raise DataError(Fault(f"the merge '{merge}'", wrong, "", remedy))


def _reports(folder: Path) -> list[Path]:
    """Write the report, and where the study has a judge a second one of the judge's verdicts."""
    from cotdistill.results.report.report import report
    from cotdistill.studies.load import study_if_any

    written = report(folder).written
    study = study_if_any(folder)
    if study is not None and study.judge is not None:
        written += report(folder, source="judged", out=folder / "report" / "judged").written
    return written
