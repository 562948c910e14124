"""The same steps done by others, each in its own process: `peers.py NAME traces.jsonl FOLDER`.

datasets: `map` of our row rules and `filter` by a set of hashes (exact duplicates), 2 processes.
datatrove: MinHash near-duplicate removal with its defaults (5-grams, 14 buckets of 8), 2 workers.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any


def _linted(row: dict[str, Any]) -> dict[str, Any]:
    from cotdistill.declare.trace import trace_of
    from cotdistill.reason.verdict import found_in

    text = f"{row['question']}\0{row['rationale']}"
    return {"bits": found_in(trace_of(row)), "key": hashlib.blake2b(text.encode()).hexdigest()}


def with_datasets(path: Path, folder: Path) -> None:
    """Lint by `map`, drop exact duplicates and wrong answers by `filter`, write JSON Lines."""
    import datasets

    datasets.disable_progress_bars()
    rows = datasets.load_dataset(
        "json", data_files=str(path), split="train", cache_dir=str(folder / "cache")
    )
    rows = rows.map(_linted, num_proc=2)
    seen: set[str] = set()

    def is_new(key: str) -> bool:
        return not (key in seen or seen.add(key))  # type: ignore[func-returns-value]

    rows.filter(is_new, input_columns="key").to_json(folder / "kept.jsonl")


def with_datatrove(path: Path, folder: Path) -> None:
    """Drop near duplicates in datatrove's four stages."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers.jsonl import JsonlWriter

    for piece in range(2):  # a task reads whole files
        (folder / "in").mkdir(parents=True, exist_ok=True)
        lines = path.read_bytes().splitlines(keepends=True)[piece::2]
        (folder / "in" / f"{piece}.jsonl").write_bytes(b"".join(lines))
    reader = JsonlReader(str(folder / "in"), text_key="rationale")
    places = [str(folder / name) for name in ("signatures", "buckets", "remove", "kept")]
    stages: list[tuple[list[Any], int]] = [
        ([reader, MinhashDedupSignature(places[0])], 2),
        ([MinhashDedupBuckets(places[0], places[1])], 14),
        ([MinhashDedupCluster(places[1], places[2])], 1),
        ([reader, MinhashDedupFilter(places[2]), JsonlWriter(places[3])], 2),
    ]
    for place, (pipeline, tasks) in enumerate(stages):
        LocalPipelineExecutor(
            pipeline, tasks=tasks, workers=2, logging_dir=str(folder / "logs" / str(place))
        ).run()


if __name__ == "__main__":
    {"datasets": with_datasets, "datatrove": with_datatrove}[sys.argv[1]](
        Path(sys.argv[2]), Path(sys.argv[3])
    )
