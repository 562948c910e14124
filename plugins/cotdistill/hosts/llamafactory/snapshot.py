"""Record the arguments that LLaMA-Factory knows in `arguments.json`, for checks without it.

A maintainer's tool. LLaMA-Factory checks neither types nor choices when it reads a YAML file, and
importing it takes seconds; the snapshot lets every generated file be checked in milliseconds. It
is taken under transformers 4 and 5, because half of the keys are transformers' and some exist in
only one of them:

    cotdistill snapshot PYTHON_WITH_4 PYTHON_WITH_5 [OUTPUT]

A key's kinds and choices are those that both know. Where LLaMA-Factory itself splits a comma text
into a list (`split_arg`), a list is a kind too.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import json
import re
import sys
import types
import typing
from pathlib import Path
from typing import Any

SNAPSHOT = Path(__file__).with_name("arguments.json")
_KINDS = {
    bool: "boolean", int: "integer", float: "number", str: "text", Path: "text",
    dict: "mapping", list: "list", type(None): "null",
}  # fmt: skip


def kinds_of(hint: Any) -> set[str]:
    """Return the kinds of YAML value that a type hint allows.

    >>> sorted(kinds_of(typing.Optional[typing.Union[dict, str]]))
    ['mapping', 'null', 'text']
    >>> sorted(kinds_of(typing.Literal["lora", "full"]))
    ['text']
    """
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return {kind for part in typing.get_args(hint) for kind in kinds_of(part)}
    if origin is typing.Literal:
        return {_KINDS[type(choice)] for choice in typing.get_args(hint)}
    if inspect.isclass(hint) and issubclass(hint, enum.Enum):
        return {"text"}
    return {_KINDS[origin or hint]} if (origin or hint) in _KINDS else set()


def read_arguments() -> dict[str, Any]:
    """Return every training argument of the LLaMA-Factory that this interpreter can import."""
    import importlib.metadata

    from llamafactory.data.template import TEMPLATES
    from llamafactory.hparams import parser
    from transformers import HfArgumentParser

    actions = {action.dest: action for action in HfArgumentParser(parser._TRAIN_ARGS)._actions}
    arguments: dict[str, Any] = {}
    for shape in parser._TRAIN_ARGS:
        hints = typing.get_type_hints(shape)
        split = _split_into_lists(shape)
        for field in dataclasses.fields(shape):
            if not field.init:
                continue
            kinds = kinds_of(hints[field.name]) | ({"list"} if field.name in split else set())
            choices = actions[field.name].choices
            arguments[field.name] = {
                "of": shape.__name__.removesuffix("Arguments").lower(),
                "kinds": sorted(kinds or {"mapping"}),
                "choices": [_plain(choice) for choice in choices] if choices else None,
                "default": _plain(_default(field)),
            }
    arguments["template"]["choices"] = sorted(TEMPLATES)  # it declares no choices, but has them
    versions = {name: importlib.metadata.version(name) for name in ("llamafactory", "transformers")}
    return {"versions": versions, "arguments": arguments}


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Return one snapshot of two readings: transformers 4 first, 5 second."""
    arguments: dict[str, Any] = {}
    for name in sorted(old["arguments"].keys() | new["arguments"].keys()):
        four, five = old["arguments"].get(name), new["arguments"].get(name)
        entry = dict(four or five)
        if four and five:
            entry["kinds"] = sorted(_common_kinds(four["kinds"], five["kinds"]))
            if four["choices"] and five["choices"]:
                entry["choices"] = [one for one in four["choices"] if one in five["choices"]]
        else:
            entry["only_in"] = 4 if four else 5
        arguments[name] = {key: entry[key] for key in entry if entry[key] is not None}
    return {
        "llamafactory": old["versions"]["llamafactory"],
        "transformers": [old["versions"]["transformers"], new["versions"]["transformers"]],
        "arguments": arguments,
    }


def _common_kinds(four: list[str], five: list[str]) -> set[str]:
    """Return what both allow; a number may be an integer, and "number" says so by itself.

    >>> _common_kinds(["integer"], ["null", "number"])
    {'integer'}
    """
    wide = [{*kinds, *(["integer"] if "number" in kinds else [])} for kinds in (four, five)]
    common = wide[0] & wide[1]
    return common - {"integer"} if "number" in common else common


def _split_into_lists(shape: type) -> set[str]:
    found: set[str] = set()
    for parent in shape.__mro__:
        if "__post_init__" in vars(parent):
            source = inspect.getsource(vars(parent)["__post_init__"])
            found |= set(re.findall(r"= split_arg\(self\.(\w+)\)", source))
    return found


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default


def _plain(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.value
    return value if isinstance(value, bool | int | float | str | list | dict | None) else None


def _reading(python: str) -> dict[str, Any]:
    from cotdistill.hosts.environments.ask_python import ask_python

    reading: dict[str, Any] = ask_python((python,), Path(__file__))
    return reading


def answer(_question: None) -> dict[str, Any]:
    """Return what the LLaMA-Factory of this Python knows; `ask_python` calls this there."""
    return read_arguments()


def main(given: list[str]) -> int:
    """Read with two interpreters and write the snapshot."""
    if len(given) not in (2, 3):
        sys.stderr.write(f"{__doc__}\n")
        return 2
    from cotdistill.files.atomic import write_text

    snapshot = merged(_reading(given[0]), _reading(given[1]))
    lines = ",\n".join(
        f"  {json.dumps(name)}: {json.dumps(entry)}"
        for name, entry in snapshot.pop("arguments").items()
    )
    head = json.dumps(snapshot)[1:-1]
    output = Path(given[2]) if len(given) == 3 else SNAPSHOT
    write_text(output, f'{{{head}, "arguments": {{\n{lines}\n}}}}\n')
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
