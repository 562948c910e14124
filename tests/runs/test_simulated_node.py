"""How GPUs are dealt out on a node of eight: the real scheduler, and jobs that take no time."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulated_node import Simulated, simulate

pytestmark = pytest.mark.host


def well_dealt(node: Simulated) -> None:
    started = [row["job"] for row in node.log if row["what"] == "start"]
    assert len(started) == len(set(started)) == node.jobs + 1  # and the rule `all`
    assert node.doubly_used() == []
    assert node.idle_while_work_fits() == []
    assert node.makespan <= 1.1 * node.bound
    # Snakemake's own limit of jobs a second leaves a timer behind for every job that ended
    assert all(row["timers"] == 0 for row in node.log if row["what"] == "waits")


def test_no_gpu_idles_while_work_fits_and_none_is_given_twice(tmp_path: Path) -> None:
    """Jobs of many GPUs go first, so that the makespan is close to what eight full GPUs need."""
    well_dealt(simulate(tmp_path / "node", runs=60, gpus=8))


@pytest.mark.slow
def test_five_hundred_runs_are_dealt_out_as_well(tmp_path: Path) -> None:
    well_dealt(simulate(tmp_path / "node", runs=500, gpus=8))
