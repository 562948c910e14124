"""Damage files in ways that were seen in the wild or thought of: the same damage in every run."""

from __future__ import annotations

import copy
import gzip
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from cotdistill.files.yamls import FunctionName, parse_yaml

DEEP = 50_000
Damage = tuple[str, Callable[[Path], None]]
"""What is done to a file, in words, and the function that does it."""


def bytewise(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield what a disk, an editor or a download does to a file, and what was never this file."""
    third = len(data) // 3
    yield "empty", b""
    yield "white space only", b" \n\t\n"
    yield "the first third", data[:third]
    yield "the first two thirds", data[: 2 * third]
    yield "without its last byte", data[:-1]
    yield "without its first byte", data[1:]
    yield "a zero byte in the middle", data[:third] + b"\0" + data[third:]
    yield "zeros at the end", data + bytes(512)
    yield "zeros only", bytes(len(data))
    yield "a byte order mark", b"\xef\xbb\xbf" + data
    yield "two byte order marks", b"\xef\xbb\xbf\xef\xbb\xbf" + data
    yield "UTF-16", data.decode("utf-8", "replace").encode("utf-16")
    yield "Latin-1", data[:third] + "é".encode("latin-1") + data[third:]
    yield "half of a character", data[:third] + "é".encode()[:1] + data[third:]
    yield "Windows line ends", data.replace(b"\n", b"\r\n")
    yield "old Macintosh line ends", data.replace(b"\n", b"\r")
    yield "compressed", gzip.compress(data, mtime=0)
    yield "a picture", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4
    yield "a web page", b"<!doctype html><html><body>404 not found</body></html>\n"
    yield "a merge conflict", b"<<<<<<< HEAD\n" + data + b"=======\n" + data + b">>>>>>> other\n"
    yield (
        "a pointer of Git LFS",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
    )
    yield "twice", data + data
    yield "in one list", b"[" + data + b"]"
    yield "nested lists", b"[" * DEEP + b"]" * DEEP
    yield "open lists", b"[" * DEEP
    yield "nested objects", b'{"a":' * DEEP + b"1" + b"}" * DEEP
    yield "nested lists in a key", b"x: " + b"[" * DEEP + b"]" * DEEP
    yield "open braces", b"{" * DEEP
    yield "many digits", b"9" * 5000 + b"\n"
    yield "null", b"null\n"
    yield "true", b"true\n"
    yield "a number", b"17\n"
    yield "a text", b'"text"\n'
    yield "an empty list", b"[]\n"
    yield "an empty object", b"{}\n"
    yield "a list of nulls", b"[null, null]\n"
    yield "a list of lists", b"[[], [[]]]\n"
    yield (
        "aliases without end",
        b"a: &a [x]\nb: &b [*a,*a,*a]\nc: &c [*b,*b,*b]\nd: [*c,*c]\ne: *e\n",
    )
    yield "a tag of Python", b"!!python/object/apply:os.system ['true']\n"
    yield "a list that holds itself", b"&a [*a]\n"
    yield "random bytes", random.Random(7).randbytes(2048)


def placewise(path: Path) -> Iterator[Damage]:
    """Yield what may stand where a file is expected."""

    def missing(at: Path) -> None:
        at.unlink()

    def folder(at: Path) -> None:
        at.unlink()
        at.mkdir()

    def dangling(at: Path) -> None:
        at.unlink()
        at.symlink_to(at.with_name("nowhere"))

    def loop(at: Path) -> None:
        at.unlink()
        at.symlink_to(at.name)

    def closed(at: Path) -> None:
        at.chmod(0)

    del path
    yield "missing", missing
    yield "a folder", folder
    yield "a link to nowhere", dangling
    yield "a link to itself", loop
    yield "not readable", closed


ODD_VALUES: list[Any] = [
    None, True, 5, -1.5, 0, "", "text", " ", [], {}, [None], [[]], {"a": None}, ["text"],
    float("nan"), float("inf"), 1e308, 2**63, -(2**70), 10**400, "9" * 5000, "\x00", "\x1b[2J\x07",
    "half \ud800", "‮txet", "../../etc/passwd", "=1+1", "<script>alert(1)</script>", "a\nb\r\nc",
    "x" * 100_000, {"a": {"a": {"a": []}}}, [[[[[[1]]]]]],
]  # fmt: skip
GONE = object()


class _Dumper(yaml.SafeDumper):
    """Writes a function's name as lm-eval does."""


_Dumper.add_representer(
    FunctionName, lambda dumper, name: dumper.represent_scalar("!function", str(name))
)


def places_in(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value inside a value, itself first."""
    yield at
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value if isinstance(value, list) else ())
    )
    for key, child in inner:
        yield from places_in(child, (*at, key))


def replaced(value: Any, at: tuple[Any, ...], new: Any) -> Any:
    """Return a copy of a value with another one at a path, or without what is there."""
    if not at:
        return new
    changed = copy.deepcopy(value)
    inner = changed
    for key in at[:-1]:
        inner = inner[key]
    if new is GONE:
        del inner[at[-1]]
    else:
        inner[at[-1]] = new
    return changed


def valuewise(data: bytes, suffix: str) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Yield a file of JSON, JSON Lines or YAML with one value replaced, at every place in turn.

    The file is only made when it is asked for, as most of the thousands are never used.
    """
    text = data.decode("utf-8")
    if suffix == ".jsonl":
        lines = text.splitlines(keepends=True)
        row = json.loads(lines[-1])
        before = "".join(lines[:-1])
    elif suffix == ".json":
        row, before = json.loads(text), ""
    else:
        row, before = parse_yaml(text, "the file", functions=True), ""
    for at in places_in(row):
        for new in (*ODD_VALUES, GONE):
            if new is GONE and not at:
                continue
            name = "nothing" if new is GONE else repr(new)[:40]

            def changed(at: tuple[Any, ...] = at, new: Any = new) -> bytes:
                return _text(before, replaced(row, at, new), suffix)

            yield f"{'.'.join(map(str, at)) or 'the row'} is {name}", changed


def _text(before: str, value: Any, suffix: str) -> bytes:
    if suffix in (".json", ".jsonl"):
        return (before + json.dumps(value) + "\n" * (suffix == ".jsonl")).encode("ascii")
    try:
        return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True).encode()
    except (UnicodeEncodeError, yaml.YAMLError):
        text = yaml.dump(value, Dumper=_Dumper, sort_keys=False)
        return text.encode("utf-8", "surrogatepass")


def damages(path: Path, most: int) -> list[Damage]:
    """Return up to so many ways to damage a file; which ones depends on its name only."""
    data = path.read_bytes()

    def writing(changed: Callable[[], bytes]) -> Callable[[Path], None]:
        def write(at: Path) -> None:
            at.write_bytes(changed())

        return write

    whole: list[Damage] = [
        (name, writing(lambda changed=changed: changed)) for name, changed in bytewise(data)
    ]
    whole += placewise(path)
    chosen = random.Random(path.name)
    values: list[Damage] = []
    if path.suffix in (".json", ".jsonl", ".yaml"):
        values = [(name, writing(changed)) for name, changed in valuewise(data, path.suffix)]
    chosen.shuffle(whole)
    chosen.shuffle(values)
    half = max(most - len(values), most * 2 // 5)
    return [*whole[:half], *values[: most - len(whole[:half])]]
