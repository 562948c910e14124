"""The same steps done by others, each in its own process: `peers.py NAME traces.jsonl FOLDER`.

datasets: `map` of our row rules and `filter` by a set of hashes (exact duplicates), 2 processes.
datatrove: MinHash near-duplicate removal with its defaults (5-grams, 14 buckets of 8), 2 workers.
decontaminate: datatrove's n-gram decontamination, 13-grams of question and rationale against those
of a file of test questions, 2 workers. Its indexer fetches its test questions through lighteval;
here it gets ours as documents, and only its own hashing of them is used.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any


def _linted(row: dict[str, Any]) -> dict[str, Any]:
    from cotdistill.corpus.records.trace_row import trace_of
    from cotdistill.corpus.rules.rules import defects_in

    text = f"{row['question']}\0{row['rationale']}"
    return {
        "bits": defects_in(trace_of(row)).bits,
        "key": hashlib.blake2b(text.encode()).hexdigest(),
    }


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

    split_in_two(path, folder)
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


def decontaminated(path: Path, folder: Path, questions: Path) -> None:
    """Drop rows that share 13 words in a row with a question of a file of questions."""
    import numpy as np
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.decont import (
        NGramsDecontConfig,
        NGramsDecontFilter,
        NGramsDecontIndexer,
    )
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers.jsonl import JsonlWriter

    split_in_two(path, folder)
    config = NGramsDecontConfig(n_grams=13, find_query_ngrams=True)
    indexer = object.__new__(NGramsDecontIndexer)  # its own way asks for lighteval
    indexer.__init__(str(folder / "index"), config=config)
    hashes: set[int] = set()
    with questions.open(encoding="utf-8") as stream:
        for line in stream:
            row = json.loads(line)
            hashes.update(indexer.compute_hashes(row["gold"], row["question"]))
    (folder / "index").mkdir()
    found = np.array(sorted(hashes), dtype=config.hash_config.np_descr)
    found.tofile(folder / "index" / "ours.index.hashes")
    reader = JsonlReader(str(folder / "in"), adapter=question_and_rationale)
    turned_away = JsonlWriter(str(folder / "contaminated"))
    keep = NGramsDecontFilter(str(folder / "index"), config, exclusion_writer=turned_away)
    writer = JsonlWriter(str(folder / "kept"))
    LocalPipelineExecutor(
        [reader, keep, writer], tasks=2, workers=2, logging_dir=str(folder / "logs")
    ).run()


def question_and_rationale(
    _: object, row: dict[str, Any], path: str, place: int | str
) -> dict[str, Any]:
    """Return a trace row as the document that datatrove reads."""
    text = f"{row['question']}\n{row['rationale']}"
    return {"text": text, "id": f"{path}/{place}", "metadata": {}}


def split_in_two(path: Path, folder: Path) -> None:
    """Write `in/0.jsonl` and `in/1.jsonl`, since a task of datatrove reads whole files."""
    (folder / "in").mkdir(parents=True, exist_ok=True)
    lines = path.read_bytes().splitlines(keepends=True)
    for piece in range(2):
        (folder / "in" / f"{piece}.jsonl").write_bytes(b"".join(lines[piece::2]))


PEERS = {
    "datasets": with_datasets,
    "datatrove": with_datatrove,
    "decontaminate": decontaminated,
}

if __name__ == "__main__":
    PEERS[sys.argv[1]](*map(Path, sys.argv[2:]))
