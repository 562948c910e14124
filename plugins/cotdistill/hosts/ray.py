"""Ray: tasks over shards on more machines than one. They must share the folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any


def run_on_ray(function: Callable[[Any], Any], tasks: Sequence[Any], workers: int) -> Iterator[Any]:
    """Yield the result of each task in order, at most `workers` of them under way at once.

    It joins the cluster of `RAY_ADDRESS`, else starts one on this machine only.

    Raises:
        ImportError: Ray is not installed.
    """
    import ray

    started_here = not ray.is_initialized()
    if started_here:
        ray.init(
            num_cpus=workers, include_dashboard=False, log_to_driver=False, configure_logging=False
        )
    try:
        remote = ray.remote(function)
        waiting = [remote.remote(task) for task in tasks[: workers * 2]]
        for place in range(len(tasks)):
            yield ray.get(waiting.pop(0))
            if place + workers * 2 < len(tasks):
                waiting.append(remote.remote(tasks[place + workers * 2]))
    finally:
        if started_here:
            ray.shutdown()
