"""Stored signals: what is written is what is read, within a stated error."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np
import pytest

from cotdistill.distill.signals.row_key import places_of, row_key, rows_of
from cotdistill.distill.signals.shard import RowSignals, mass_of, write_shard
from cotdistill.distill.signals.stored_rows import StoredRows
from cotdistill.errors import DataError

VOCABULARY = 300


def signals(tokens: int = 9, k: int = 16, seed: int = 0, sharp: float = 3.0) -> RowSignals:
    numbers = np.random.default_rng(seed)
    logits = numbers.standard_normal((tokens, VOCABULARY)) * sharp
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    order = np.argsort(-log_p, axis=1)
    ids, rest = order[:, :k], order[:, k:]
    with np.errstate(divide="ignore"):
        tail = np.log(np.exp(np.take_along_axis(log_p, rest, 1)).sum(1))
    log_z = np.log(np.exp(log_p / 2).sum(1))
    kept = np.take_along_axis(log_p, ids, 1).astype(np.float32)
    return RowSignals(ids, kept, tail.astype(np.float32), kept[:, 0], log_z[None].astype("f4"))


def stored(path: Path, *rows: RowSignals) -> list[RowSignals]:
    keys = {row_key([number], [number]): row for number, row in enumerate(rows)}
    write_shard(path, keys)
    found = StoredRows([path], (1.0, 2.0))
    assert len(found) == len(rows)
    return [found.row(key) for key in keys]


def test_what_is_read_is_what_was_written_within_half_a_step(tmp_path: Path) -> None:
    written = signals()
    (read,) = stored(tmp_path / "part.parquet", written)
    order = np.argsort(written.ids, 1)
    assert (read.ids == np.take_along_axis(written.ids, order, 1)).all()
    expected = np.take_along_axis(written.log_p, order, 1)
    near = expected > -20
    assert np.abs(read.log_p - expected)[near].max() < 0.5 / 12 + 0.03  # and the rescaling
    assert np.abs(read.tail - written.tail).max() < 0.01
    assert (read.log_z == written.log_z).all()


def test_kept_tokens_and_tail_add_up_to_one(tmp_path: Path) -> None:
    (read,) = stored(tmp_path / "part.parquet", signals())
    total = np.exp(read.log_p.astype(np.float64)).sum(1) + np.exp(read.tail.astype(np.float64))
    assert total == pytest.approx(np.ones(9), abs=1e-6)


def test_all_of_the_vocabulary_leaves_no_tail(tmp_path: Path) -> None:
    written = signals(k=VOCABULARY)
    assert np.isneginf(written.tail).all()
    (read,) = stored(tmp_path / "part.parquet", written)
    assert np.exp(read.log_p.astype(np.float64)).sum(1) == pytest.approx(np.ones(9), abs=1e-6)
    assert mass_of(written) == pytest.approx(np.ones(9))


def test_rows_are_found_whatever_their_order_and_length(tmp_path: Path) -> None:
    rows = [signals(tokens, seed=tokens) for tokens in (3, 1, 7)]
    assert [len(row.tail) for row in stored(tmp_path / "part.parquet", *rows)] == [3, 1, 7]


def test_a_shard_is_small(tmp_path: Path) -> None:
    """At most 160 bytes for a token at k = 64, with a vocabulary like a real one's."""
    numbers = np.random.default_rng(0)
    tokens, k = 4000, 64
    ids = np.sort(numbers.integers(0, 152_000, (tokens, k)), 1)
    log_p = -np.sort(-numbers.standard_normal((tokens, k)) * 3 - 6, 1)
    tail = np.full(tokens, -3.0)
    row = RowSignals(
        ids, log_p.astype("f4"), tail.astype("f4"), tail.astype("f4"), np.zeros((0, tokens), "f4")
    )
    path = tmp_path / "part.parquet"
    write_shard(path, {row_key([1], [1]): row})
    assert path.stat().st_size / tokens < 160


def test_a_truncated_shard_is_named(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    stored(path, signals())
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"part\.parquet: no shard of signals .*; remove this file"):
        StoredRows([path], (1.0,))


def test_a_row_is_known_by_its_ids_and_by_what_is_trained_of_it() -> None:
    assert len(row_key([1, 2, 3], [-100, 2, 3])) == 16
    others = [([1, 2, 4], [-100, 2, 4]), ([1, 2, 3], [-100, -100, 3]), ([1, 2], [-100, 2])]
    keys = {row_key(ids, labels) for ids, labels in [([1, 2, 3], [-100, 2, 3]), *others]}
    assert len(keys) == 4


def test_packed_rows_have_the_keys_of_rows_by_themselves() -> None:
    alone = [([5, 6, 7], [-100, 6, 7]), ([8, 9], [-100, 9])]
    packed = {
        "input_ids": [5, 6, 7, 8, 9, 0, 0],
        "labels": [-100, 6, 7, -100, 9, -100, -100],
        "position_ids": [0, 1, 2, 0, 1, 0, 0],
    }
    found = list(rows_of(packed))
    assert [(ids, labels) for _, ids, labels in found] == alone
    assert [start for start, _, _ in found] == [0, 3]


def test_the_first_token_is_predicted_by_nothing() -> None:
    assert places_of([1, 2, 3]) == [0, 1]
    assert places_of([-100, -100]) == []


def shards(folder: Path, rows: int = 300) -> tuple[list[Path], list[bytes]]:
    """Write two shards of many row groups each."""
    keys = [row_key([number], [number]) for number in range(rows)]
    keys[7] = keys[7][:14] + b"\0\0"  # numpy strips zeros from the end of bytes
    paths = [folder / "part-0.parquet", folder / "part-1.parquet"]
    for number, path in enumerate(paths):
        some = range(number, rows, 2)
        write_shard(path, {keys[one]: signals(40, 8, seed=one) for one in some})
    return paths, keys


def test_rows_are_read_when_they_are_asked_for_and_memory_is_bounded(tmp_path: Path) -> None:
    paths, keys = shards(tmp_path)
    all_of_them = StoredRows(paths, (1.0, 2.0))
    bounded = StoredRows(paths, (1.0, 2.0), kept_bytes=100_000)
    assert (len(bounded), set(bounded.keys())) == (len(keys), set(keys))
    for number in np.random.default_rng(0).permutation(len(keys)):
        one, same = bounded.row(keys[number]), all_of_them.row(keys[number])
        assert (one.ids == np.sort(signals(40, 8, seed=int(number)).ids, 1)).all()
        assert (one.log_p == same.log_p).all()
        assert (one.log_z == same.log_z).all()
        assert bounded.held_bytes < 200_000
    assert all_of_them.held_bytes > 400_000
    assert row_key([9999], [1]) not in bounded
    with pytest.raises(KeyError):
        bounded.row(b"x" * 16)


def test_processes_that_are_forked_read_side_by_side(tmp_path: Path) -> None:
    """As the workers of a data loader do; a position in a file that they shared would be lost."""
    paths, keys = shards(tmp_path)
    stored = StoredRows(paths, (1.0, 2.0), kept_bytes=1)
    expected = [stored.row(key).ids.sum() for key in keys]

    def sums(order: list[int]) -> list[int]:
        return [int(stored.row(keys[one]).ids.sum()) for one in order]

    children = []
    for seed in range(2):
        order = np.random.default_rng(seed).permutation(len(keys)).tolist()
        child = os.fork()
        if not child:
            wrong = 1
            with contextlib.suppress(Exception):
                wrong = int(sums(order) != [expected[one] for one in order])
            os._exit(wrong)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
