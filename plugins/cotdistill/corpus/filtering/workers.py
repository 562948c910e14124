"""The same function over many shards, on one process, several, or a Ray cluster; in stable order.

Each task writes its own file and returns nothing worth sending, so the engines differ only in who
does the work: the bytes are the same.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Literal, TypeVar

from cotdistill.errors import MisuseError

Task = TypeVar("Task")
Done = TypeVar("Done")
Engine = Literal["processes", "ray"]


def run_tasks(
    function: Callable[[Task], Done],
    tasks: Sequence[Task],
    *,
    workers: int,
    engine: Engine = "processes",
) -> Iterator[Done]:
    """Yield the result of each task in the order of the tasks.

    Raises:
        MisuseError: Ray was asked for and is not installed.
    """
    if engine == "ray":
        yield from _on_ray(function, tasks, workers)
    elif workers <= 1 or len(tasks) <= 1:
        yield from map(function, tasks)
    else:
        # a fresh process imports our modules once, and all workers are its copies
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([function.__module__])
        with ProcessPoolExecutor(min(workers, len(tasks)), context, _leave_with_parent) as pool:
            try:
                yield from pool.map(function, tasks)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _leave_with_parent() -> None:
    """End this worker when its parent is gone, even by kill -9."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _on_ray(
    function: Callable[[Task], Done], tasks: Sequence[Task], workers: int
) -> Iterator[Done]:
    from cotdistill.hosts.ray import run_on_ray

    try:
        yield from run_on_ray(function, tasks, workers)
    except ImportError as error:
        raise MisuseError("Ray is not installed; type: pip install 'cotdistill[ray]'") from error
