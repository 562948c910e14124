"""Collecting all scores into the report; its one job waits for every evaluation."""

from __future__ import annotations

from cotdistill.runfolder.stages.stage import Stage, no_jobs

COLLECT = Stage(
    name="collect",
    about="write the report",
    program="cotdistill",
    extra="",
    remakes=False,
    is_local=True,
    jobs=no_jobs,
)
