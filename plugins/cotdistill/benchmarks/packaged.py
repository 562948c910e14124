"""The benchmarks of all bundles: one YAML file each under `dataset_info/benchmarks/`.

A new benchmark is a new file there; `_shapes.yaml` holds the shapes that several of them share.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydantic

from cotdistill.benchmarks.benchmark import Benchmark
from cotdistill.errors import BundleError, Fault, MisuseError, did_you_mean
from cotdistill.files.bundle import bundle_files, by_name
from cotdistill.files.reread import read_when_changed
from cotdistill.files.yamls import read_yaml
from cotdistill.hosts.lm_eval.task_files import file_key


def benchmark_names() -> list[str]:
    """Return the names of all benchmarks, sorted.

    >>> "gsm8k" in benchmark_names()
    True
    """
    return sorted(benchmark_files())


def benchmark_files() -> dict[str, Path]:
    """Return the file of each benchmark.

    Raises:
        BundleError: two bundles have a benchmark of one name.
    """
    files = bundle_files("dataset_info", "benchmarks/*.yaml")
    named = [(path.stem, path) for path in files if not path.name.startswith("_")]
    return by_name("the benchmark", named)


def benchmark(name: str) -> Benchmark:
    """Return one benchmark.

    Raises:
        MisuseError: there is none of that name; points to the nearest.
        BundleError: its file is not what a benchmark's file must be.

    >>> benchmark("gsm8k").rows["test"]
    (1319, 659)
    """
    files = benchmark_files()
    if name not in files:
        raise MisuseError(f"no benchmark '{name}'; {did_you_mean(name, sorted(files))}")
    return _read_benchmark(files[name])


def questions_asked(task_file: Path) -> int | None:
    """Return how many questions a task asks, None where that is not declared."""
    options = file_key(task_file, "dataset_kwargs")
    if not isinstance(options, dict):
        return None
    if isinstance(options.get("rows"), int):
        return int(options["rows"])
    name = options.get("benchmark")
    sizes = benchmark(name).rows.get("test", ()) if name in benchmark_names() else ()
    return sizes[0] if sizes and "subject" not in options else None


def _read_benchmark(path: Path) -> Benchmark:
    declared = _read_mapping(path)
    if declared.get("name") != path.stem:
        wrong = f"the name {declared.get('name')!r}"
        raise BundleError(Fault(f"{path}:name", wrong, f"the file's own: {path.stem}"))
    shapes = declared.get("shapes")
    if isinstance(shapes, list):
        shared = _shared_shapes()
        unknown = [shape for shape in shapes if isinstance(shape, str) and shape not in shared]
        if unknown:
            hint = did_you_mean(unknown[0], list(shared))
            raise BundleError(Fault(f"{path}:shapes", f"no shared shape '{unknown[0]}'", "", hint))
        shapes = [shared[shape] if isinstance(shape, str) else shape for shape in shapes]
        declared = {**declared, "shapes": shapes}
    try:
        return Benchmark.model_validate(declared)
    except pydantic.ValidationError as error:
        raise BundleError(
            Fault(f"{path}:{'.'.join(map(str, problem['loc']))}", problem["msg"])
            for problem in error.errors()
        ) from error


def _shared_shapes() -> dict[str, Any]:
    """Return the shapes that benchmarks name, of all bundles."""
    files = bundle_files("dataset_info", "benchmarks/_shapes.yaml")
    by_name("the shape", ((name, path) for path in files for name in _read_mapping(path)))
    return {name: shape for path in files for name, shape in _read_mapping(path).items()}


@read_when_changed
def _read_mapping(path: Path) -> dict[str, Any]:
    value = read_yaml(path)
    if not isinstance(value, dict):
        raise BundleError(Fault(str(path), "not a mapping", "keys and their values"))
    return value
