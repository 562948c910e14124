"""Ray: tasks over shards on more machines than one. They must share the folders."""

from __future__ import annotations

import os
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from cotdistill import __version__
from cotdistill.errors import Fault, FaultsError


def run_on_ray(function: Callable[[Any], Any], tasks: Sequence[Any], workers: int) -> Iterator[Any]:
    """Yield the result of each task in order, at most `workers` of them under way at once.

    It joins the cluster of `RAY_ADDRESS`, else starts one on this machine only.

    Raises:
        ImportError: Ray is not installed.
        FaultsError: nodes of the cluster lack cotdistill, or have another version of it.
    """
    import ray

    started_here = not ray.is_initialized()
    if started_here:
        quiet = {"log_to_driver": False, "configure_logging": False}
        if os.environ.get("RAY_ADDRESS"):  # a cluster has its own processors
            ray.init(**quiet)
        else:
            ray.init(num_cpus=workers, include_dashboard=False, **quiet)
    try:
        if faults := _other_versions(ray):
            raise FaultsError(faults)
        remote = ray.remote(function)
        waiting = [remote.remote(task) for task in tasks[: workers * 2]]
        for place in range(len(tasks)):
            yield ray.get(waiting.pop(0))
            if place + workers * 2 < len(tasks):
                waiting.append(remote.remote(tasks[place + workers * 2]))
    finally:
        if started_here:
            ray.shutdown()


def _version_here() -> str:
    """Return the version of cotdistill on a node, empty where it has none; sent to it as code."""
    import importlib

    try:
        return str(importlib.import_module("cotdistill").__version__)
    except ImportError:
        return ""


def _other_versions(ray: Any) -> list[Fault]:
    """Return a fault for each living node whose workers would run other code than this."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}
    code = _by_value(_version_here)
    asked = {
        node: ray.remote(code)
        .options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False))
        .remote()
        for node in nodes
    }
    faults = []
    for node, answer in asked.items():
        found = ray.get(answer)
        if found != __version__:
            name = nodes[node].get("NodeManagerHostname") or node
            address = nodes[node].get("NodeManagerAddress", "")
            wrong = f"has cotdistill {found}" if found else "has no cotdistill"
            remedy = f"pip install cotdistill=={__version__} there"
            place = f"Ray node {name} ({address})"
            faults.append(Fault(place, wrong, __version__, remedy))
    return faults


def _by_value(function: Callable[[], str]) -> Callable[[], str]:
    """Return a copy of a function that is sent as code: a node may lack the module it is in."""
    copy = types.FunctionType(function.__code__, {"__builtins__": __builtins__}, function.__name__)
    copy.__module__ = "__main__"
    return copy
