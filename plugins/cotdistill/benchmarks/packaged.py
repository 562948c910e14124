"""The packaged benchmarks: one YAML file each under `dataset_info/benchmarks/`.

A new benchmark is a new file there; `_shapes.yaml` holds the shapes that several of them share.
"""

from __future__ import annotations

import functools
from typing import Any

import pydantic

from cotdistill.benchmarks.benchmark import Benchmark
from cotdistill.errors import BundleError, Fault, MisuseError, did_you_mean
from cotdistill.files.bundle import bundle_files
from cotdistill.files.yamls import read_yaml


def benchmark_names() -> list[str]:
    """Return the names of all packaged benchmarks, sorted.

    >>> "gsm8k" in benchmark_names()
    True
    """
    files = bundle_files("dataset_info", "benchmarks/*.yaml")
    return [path.stem for path in files if not path.name.startswith("_")]


@functools.cache
def benchmark(name: str) -> Benchmark:
    """Return one packaged benchmark.

    Raises:
        MisuseError: there is none of that name; points to the nearest.
        BundleError: its file is not what a benchmark's file must be.

    >>> benchmark("gsm8k").rows["test"]
    (1319, 659)
    """
    if name not in benchmark_names():
        raise MisuseError(f"no benchmark '{name}'; {did_you_mean(name, benchmark_names())}")
    (path,) = bundle_files("dataset_info", f"benchmarks/{name}.yaml")
    declared: dict[str, Any] = read_yaml(path)
    shared = _shared_shapes()
    try:
        declared["shapes"] = [
            shared[shape] if isinstance(shape, str) else shape for shape in declared["shapes"]
        ]
        return Benchmark.model_validate(declared)
    except KeyError as error:
        raise BundleError(
            Fault(str(path), f"no shared shape {error}", ", ".join(shared))
        ) from error
    except pydantic.ValidationError as error:
        raise BundleError(
            Fault(f"{path}:{'.'.join(map(str, problem['loc']))}", problem["msg"])
            for problem in error.errors()
        ) from error


@functools.cache
def _shared_shapes() -> dict[str, Any]:
    (path,) = bundle_files("dataset_info", "benchmarks/_shapes.yaml")
    return dict(read_yaml(path))
