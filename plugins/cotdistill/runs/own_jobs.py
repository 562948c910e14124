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
        from cotdistill.results.report.report import report

        written = report(folder).written
        sys.stdout.write("".join(f"wrote {path}\n" for path in written))
    elif job.gate:
        from cotdistill.runs.lengths import check_lengths

        check_lengths(folder, job.arm or "", folder / (job.output or ""))
    elif job.student is not None:
        from cotdistill.arms.build import build_student

        build_student(folder, job.student, job.arm or "")
    else:
        from cotdistill.arms.build import build_arm

        build_arm(folder, job.arm or name)
