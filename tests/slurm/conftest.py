"""One SLURM of two nodes for all tests of this folder; skipped where it cannot be started."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from loopback_slurm import loopback_slurm, why_not


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two idle nodes; returns the folder of the cluster's files."""
    if reason := why_not():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("slurm")
    with loopback_slurm(folder):
        yield folder


@pytest.fixture
def plugin() -> None:
    """The executor of Snakemake for SLURM."""
    code = "import snakemake_executor_plugin_slurm"
    if subprocess.call([sys.executable, "-c", code], stderr=subprocess.DEVNULL):
        pytest.skip("snakemake-executor-plugin-slurm is not installed: make test-slurm")
