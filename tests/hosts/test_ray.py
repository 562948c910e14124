"""Ray joins a cluster of two nodes, in a network namespace: Ray listens on every interface."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import cotdistill
from cotdistill.cli.main import main
from cotdistill.files.bundle import bundle_folder
from stand_in_vllm import stand_in_vllm
from teacher import write_questions

pytestmark = pytest.mark.slow

SCRIPT = r"""
set -eu
ip link set lo up
export RAY_USAGE_STATS_ENABLED=0 RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=1  # else loopback is refused
ray="$1 -m ray.scripts.scripts start --disable-usage-stats --num-cpus=1"
ray="$ray --object-store-memory=100000000"
$ray --head --node-ip-address=127.0.0.1 --port=26379 --include-dashboard=false --temp-dir="$3" >&2
PYTHONPATH="$4" $ray --address=127.0.0.1:26379 --node-ip-address=127.0.0.2 >&2
RAY_ADDRESS=127.0.0.1:26379 "$1" -c "$2"
"""
TASKS = """
import sys, time
from cotdistill.errors import UserError
from cotdistill.hosts.ray import run_on_ray

def where(number):
    import ray
    time.sleep(1)
    return number, ray.util.get_node_ip_address()

try:
    found = list(run_on_ray(where, range(12), 2))
except UserError as error:
    sys.exit(f"refused: {error}")
print([number for number, _ in found], sorted({place for _, place in found}))
"""


def on_two_nodes(code: str, second_node: str) -> subprocess.CompletedProcess[str]:
    """Run code next to a cluster whose second node finds its modules in `second_node`."""
    pytest.importorskip("ray")
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("ip"):
        pytest.skip("only root may make a network namespace (unshare, ip)")
    temporary = subprocess.check_output(["mktemp", "-d", "/tmp/ray-XXXX"], text=True).strip()
    inside = ["unshare", "-n", "-p", "-f", "--mount-proc", "--kill-child", "bash", "-c", SCRIPT]
    try:
        return subprocess.run(
            [*inside, "bash", sys.executable, code, temporary, second_node],
            capture_output=True,
            text=True,
            timeout=800,
            check=False,
        )
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def test_tasks_run_on_both_nodes_of_a_cluster_in_order() -> None:
    done = on_two_nodes(TASKS, os.environ.get("PYTHONPATH", ""))
    assert done.stdout.strip() == f"{list(range(12))} ['127.0.0.1', '127.0.0.2']", done.stderr


def test_a_node_with_another_version_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "cotdistill").mkdir()
    (tmp_path / "cotdistill/__init__.py").write_text('__version__ = "0.0.9"\n')
    path = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    done = on_two_nodes(TASKS, path)
    assert done.returncode == 1
    assert "(127.0.0.2): has cotdistill 0.0.9" in done.stderr
    assert f"expected {cotdistill.__version__}" in done.stderr
    assert "127.0.0.1)" not in done.stderr


def test_a_file_of_requests_is_answered_on_two_nodes_and_what_failed_is_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions, out = write_questions(tmp_path / "q.jsonl", 5), tmp_path / "out"
    words = ["teach", str(questions), "--model", "m", "-o", str(out), "--levels", "1,6"]
    assert main([*words, "--batch-out", "openai"]) == 0
    programs = stand_in_vllm(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    script = bundle_folder("templates") / "profiles" / "ray" / "run_batch.py"
    options = [str(out / "batch/requests-0001.jsonl"), "m", "--tasks", "3", "--gpus", "0"]
    command = [sys.executable, str(script), *options]
    code = f"import subprocess, sys; sys.exit(subprocess.call({command!r}))"
    (programs / "FAILS").touch()
    done = on_two_nodes(code, os.environ.get("PYTHONPATH", ""))
    assert done.returncode == 1, done.stderr[-3000:]
    assert "3 of 3 tasks failed; the same command repeats them" in done.stdout
    (programs / "FAILS").unlink()
    done = on_two_nodes(code, os.environ.get("PYTHONPATH", ""))
    assert done.returncode == 0, done.stderr[-3000:]
    parts = sorted((out / "batch/replies-0001").glob("*.jsonl"))
    assert len(parts) == 3
    assert main([*words, *(word for part in parts for word in ("--batch-in", str(part)))]) == 0
    assert len((out / "traces.jsonl").read_text(encoding="utf-8").splitlines()) == 10
