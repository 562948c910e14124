"""Weights in safetensors files, read and written a block at a time.

NumPy has no bfloat16, and the safetensors library gives whole tensors of it to torch only. The file
is a header of JSON and the numbers after it, so blocks are read and written at their place, and no
tensor is ever whole in memory.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotdistill.errors import DataError, Fault
from cotdistill.files.json_file import read_object

INDEX = "model.safetensors.index.json"
ONE_FILE = "model.safetensors"
FLOATS = {"F32": 4, "F16": 2, "BF16": 2}
"""The types that can be merged, with the bytes of one number."""

_OTHER_SIZES = {
    "F64": 8, "I64": 8, "U64": 8, "I32": 4, "U32": 4, "I16": 2, "U16": 2, "I8": 1, "U8": 1,
    "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "C64": 8,
}  # fmt: skip
_LONGEST_HEADER = 100_000_000
_FINGERPRINTED = 4096  # bytes of each tensor


@dataclass(frozen=True)
class Tensor:
    """Where a tensor lies: its file, type, shape and the bytes that it takes there."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int

    @property
    def numbers(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Weights:
    """The tensors of a model folder by name, in the order of their names."""

    folder: Path
    tensors: Mapping[str, Tensor]
    _open: dict[Path, int] = field(default_factory=dict, repr=False, compare=False)

    def block(self, name: str, start: int, stop: int) -> NDArray[np.float32]:
        """Return the numbers of a tensor between two places, as float32.

        Raises:
            DataError: the file ends before them.
        """
        tensor = self.tensors[name]
        width = FLOATS[tensor.dtype]
        return decoded(self._bytes(tensor, start * width, stop * width), tensor.dtype)

    def fingerprint(self) -> str:
        """Return a hash that tells a model from others of its shape.

        It is of every tensor's name, type and shape and of its first 4 KiB: what a fine-tuning has
        changed shows there, and 15 GB need not be read for it.
        """
        digest = hashlib.sha256()
        for name, tensor in self.tensors.items():
            digest.update(f"{name} {tensor.dtype} {tensor.shape}".encode())
            digest.update(self._bytes(tensor, 0, min(_FINGERPRINTED, tensor.stop - tensor.start)))
        return digest.hexdigest()

    def open(self) -> None:
        """Open all files, so that threads can read from them."""
        for file in dict.fromkeys(tensor.file for tensor in self.tensors.values()):
            if file not in self._open:
                self._open[file] = os.open(file, os.O_RDONLY | os.O_CLOEXEC)

    def _bytes(self, tensor: Tensor, start: int, stop: int) -> bytes:
        if tensor.file not in self._open:
            self.open()
        descriptor = self._open[tensor.file]
        wanted = stop - start
        pieces = []
        while wanted > 0:  # one read returns 2 GiB at most
            piece = os.pread(descriptor, wanted, tensor.start + stop - wanted)
            if not piece:
                wrong = "the file became shorter while it was read"
                raise DataError(Fault(str(tensor.file), wrong, "", "copy it again"))
            pieces.append(piece)
            wanted -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Close the files that blocks were read from."""
        while self._open:
            os.close(self._open.popitem()[1])


def decoded(numbers: bytes, dtype: str) -> NDArray[np.float32]:
    """Return the numbers of a safetensors type as float32.

    >>> decoded(bytes.fromhex("c03f"), "BF16").tolist()
    [1.5]
    """
    if dtype == "BF16":
        wide = np.frombuffer(numbers, "<u2").astype("<u4")
        wide <<= 16
        return wide.view("<f4")
    return np.frombuffer(numbers, {"F16": "<f2", "F32": "<f4"}[dtype]).astype(np.float32)


def encoded(numbers: NDArray[np.float32], dtype: str) -> bytes:
    """Return float32 numbers as the bytes of a safetensors type, rounded half to even.

    >>> encoded(np.float32([1.5]), "BF16").hex()
    'c03f'
    """
    if dtype != "BF16":
        return numbers.astype({"F16": "<f2", "F32": "<f4"}[dtype], copy=False).tobytes()
    bits = np.ascontiguousarray(numbers, "<f4").view("<u4")
    odd = bits >> 16
    odd &= 1
    odd += 0x7FFF
    odd += bits  # finite numbers only: a NaN could become an infinity
    odd >>= 16
    return odd.astype("<u2").tobytes()


def weights_of(folder: Path, place: str) -> Weights:
    """Return where the tensors of a model folder lie, after all files have been looked at.

    Raises:
        DataError: there are none, or a file is broken; all faults at once.
    """
    files = _files_of(folder, place)
    tensors: dict[str, Tensor] = {}
    faults: list[Fault] = []
    for file in files:
        try:
            found = _header(file)
        except DataError as error:
            faults += error.faults
            continue
        faults += [
            Fault(str(file), f"the tensor '{name}' is in {tensors[name].file.name} too")
            for name in found
            if name in tensors
        ]
        tensors |= found
    if not faults and len(files) > 1:
        faults += _index_faults(folder, tensors)
    if faults:
        raise DataError(faults)
    return Weights(folder, dict(sorted(tensors.items())))


def _files_of(folder: Path, place: str) -> list[Path]:
    if not folder.is_dir():
        raise DataError(Fault(place, f"{folder}: no such folder", "a model folder or hub id"))
    if (folder / INDEX).is_file():
        named = read_object(folder / INDEX).get("weight_map")
        names = sorted(set(map(str, named.values()))) if isinstance(named, dict) else []
        if not names or any("/" in name or name.startswith(".") for name in names):
            raise DataError(Fault(str(folder / INDEX), "names no files", "a weight_map of files"))
        return [folder / name for name in names]
    if (folder / ONE_FILE).is_file():
        return [folder / ONE_FILE]
    wrong = f"{folder} holds no {ONE_FILE}"
    remedy = "a folder of a model, not of its parent or an adapter"
    if any(folder.glob("adapter_*")):
        remedy = "merge the adapter into its base first: llamafactory-cli export"
    elif any(folder.glob("*.bin")):
        remedy = "convert it: transformers' save_pretrained writes safetensors"
    raise DataError(Fault(place, wrong, "weights in safetensors files", remedy))


def _index_faults(folder: Path, tensors: Mapping[str, Tensor]) -> Iterator[Fault]:
    named = read_object(folder / INDEX)["weight_map"]
    for name, file in named.items():
        if name not in tensors:
            yield Fault(str(folder / INDEX), f"'{name}' is not in {file}", "", "copy it again")


def _header(file: Path) -> dict[str, Tensor]:
    """Return the tensors that a file's header names.

    Raises:
        DataError: the file is no whole safetensors file.
    """
    try:
        with file.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            start = stream.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
            if not 2 <= length <= min(size - 8, _LONGEST_HEADER):
                raise DataError(_broken(file, "its header is longer than the file, or missing"))
            header = json.loads(stream.read(length))
    except (ValueError, RecursionError) as error:
        raise DataError(_broken(file, "its header is not JSON")) from error
    except FileNotFoundError as error:
        raise DataError(Fault(str(file), "no such file", "", "copy the model again")) from error
    except OSError as error:
        raise DataError(Fault(str(file), f"cannot be read ({error.strerror})")) from error
    if not isinstance(header, dict):
        raise DataError(_broken(file, "its header is not an object"))
    header.pop("__metadata__", None)
    tensors = {}
    faults = []
    for name, entry in header.items():
        found = _tensor(file, entry, 8 + length, size)
        if isinstance(found, str):
            faults.append(_broken(file, f"tensor '{name[:80]}': {found}"))
        else:
            tensors[name] = found
    if faults:
        raise DataError(faults)
    return tensors


def _tensor(file: Path, entry: Any, data: int, size: int) -> Tensor | str:
    """Return a tensor of a header, or what is wrong with its entry."""
    try:
        dtype, shape, (start, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
    except (TypeError, KeyError, ValueError):
        return "no dtype, shape and data_offsets"
    numbers = [start, stop, *shape] if isinstance(shape, list) else [None]
    if not all(type(number) is int and number >= 0 for number in numbers):
        return "its shape or place is no list of whole numbers"
    width = FLOATS.get(str(dtype)) or _OTHER_SIZES.get(str(dtype))
    if width is None:
        return f"its type is {str(dtype)[:20]}"
    if stop - start != math.prod(shape) * width:
        return f"{stop - start} bytes for a shape of {shape} and the type {dtype}"
    if data + stop > size:
        return "the file ends before it"
    return Tensor(file, str(dtype), tuple(shape), data + start, data + stop)


def _broken(file: Path, wrong: str) -> Fault:
    return Fault(
        str(file), f"not a whole safetensors file ({wrong})", "", "copy or download it again"
    )


@dataclass(frozen=True)
class Shard:
    """One file to write: its name and its tensors, in their order, with type and shape."""

    name: str
    tensors: tuple[tuple[str, str, tuple[int, ...]], ...]

    @property
    def bytes(self) -> int:
        """The bytes of its numbers."""
        return sum(FLOATS[dtype] * math.prod(shape) for _, dtype, shape in self.tensors)


def shards_of(
    tensors: Sequence[tuple[str, str, tuple[int, ...]]], most_bytes: int
) -> tuple[Shard, ...]:
    """Divide tensors among files of at most so many bytes; a larger tensor has a file of its own.

    >>> [s.name for s in shards_of([("a", "F32", (2,)), ("b", "F32", (2,))], 8)]
    ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors']
    >>> [s.name for s in shards_of([("a", "F32", (2,)), ("b", "F32", (2,))], 16)]
    ['model.safetensors']
    """
    groups: list[list[tuple[str, str, tuple[int, ...]]]] = []
    filled = 0
    for tensor in tensors:
        size = FLOATS[tensor[1]] * math.prod(tensor[2])
        if not groups or filled + size > most_bytes:
            groups.append([])
            filled = 0
        groups[-1].append(tensor)
        filled += size
    if len(groups) == 1:
        return (Shard(ONE_FILE, tuple(groups[0])),)
    return tuple(
        Shard(f"model-{number:05d}-of-{len(groups):05d}.safetensors", tuple(group))
        for number, group in enumerate(groups, 1)
    )


class ShardWriter:
    """Writes the tensors of one shard, block by block and in any order."""

    def __init__(self, folder: Path, shard: Shard) -> None:
        """Write the header, so that every block has its place."""
        self.path = folder / shard.name
        entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        place = 0
        for name, dtype, shape in shard.tensors:
            size = FLOATS[dtype] * math.prod(shape)
            entries[name] = {
                "dtype": dtype, "shape": list(shape), "data_offsets": [place, place + size]
            }  # fmt: skip
            place += size
        header = json.dumps(entries, separators=(",", ":")).encode()
        header += b" " * (-len(header) % 8)
        self._data = 8 + len(header)
        self._entries = entries
        self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        self._write(struct.pack("<Q", len(header)) + header, 0)
        os.ftruncate(self._file, self._data + place)

    def write(self, name: str, start: int, numbers: NDArray[np.float32]) -> None:
        """Write a block of a tensor that begins at a number of it."""
        entry = self._entries[name]
        place = entry["data_offsets"][0] + start * FLOATS[entry["dtype"]]
        self._write(encoded(numbers, entry["dtype"]), self._data + place)

    def finish(self) -> None:
        """Bring the file to the disk."""
        os.fsync(self._file)

    def close(self) -> None:
        """Close the file, finished or not."""
        os.close(self._file)

    def _write(self, data: bytes, place: int) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._file, view, place)
            view, place = view[written:], place + written
