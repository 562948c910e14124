"""YAML in and out: safe, strict about twice-used keys, and written so that every reader agrees.

PyYAML reads `1e-05` as text and `no` as false; LLaMA-Factory's reader does not. What is written
here reads the same in both: floats carry a point (`1.0e-05`), words that look like booleans are
quoted, nothing is folded, and the order of keys is kept.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import yaml

from cotdistill.errors import Fault, FaultsError

_WORD = re.compile(r"[A-Za-z0-9_/][A-Za-z0-9_/.+=@%-]*")
_READ_AS_OTHER: dict[str, list[tuple[str, re.Pattern[str]]]] = (
    yaml.SafeDumper.yaml_implicit_resolvers
)
"""By first character: patterns of what YAML reads as a number, a date, a truth value or null."""
_DEEPEST = 100
_DEEP_INDENTATION = re.compile(rf"^[ ?:\t-]{{{_DEEPEST // 2}}}", re.MULTILINE)
_LONGEST_KEY = 100  # PyYAML writes longer keys in another way


class FunctionName(str):
    """What stood after `!function` in one of lm-eval's task files: a dotted name."""


class _StrictLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """A safe loader that refuses a key used twice in one mapping."""


def _strict_mapping(loader: Any, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: dict[str, int] = {}
    for key, _ in node.value:
        if key.tag == "tag:yaml.org,2002:merge":
            continue
        line = key.start_mark.line + 1
        if isinstance(key, yaml.ScalarNode) and seen.setdefault(key.value, line) != line:
            raise yaml.constructor.ConstructorError(
                None,
                None,
                f"the key '{key.value}' stands twice, first in line {seen[key.value]}",
                key.start_mark,
            )
    loader.flatten_mapping(node)
    return {
        loader.construct_object(key, deep=True): loader.construct_object(value, deep=True)
        for key, value in node.value
    }


_StrictLoader.add_constructor("tag:yaml.org,2002:map", _strict_mapping)


class _TaskLoader(_StrictLoader):
    """The strict loader that also knows `!function`, as lm-eval writes it; the name is kept."""


_TaskLoader.add_constructor(
    "!function", lambda loader, node: FunctionName(loader.construct_scalar(node))
)


class _Dumper(yaml.SafeDumper):
    """Lists indented under their key, as people write them."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


class _LineDumper(_Dumper):
    """Writes a text of several lines with escapes, so that every value stays on one line."""


_OTHER_BREAKS = "\r\x85\u2028\u2029"  # line breaks that PyYAML reads back as another one
_Dumper.add_representer(str, lambda dumper, text: _text(dumper, text, _OTHER_BREAKS))
_LineDumper.add_representer(str, lambda dumper, text: _text(dumper, text, "\n" + _OTHER_BREAKS))


def _text(dumper: yaml.SafeDumper, text: str, escaped: str) -> yaml.ScalarNode:
    style = '"' if any(sign in text for sign in escaped) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def parse_yaml(text: str, place: str, *, functions: bool = False) -> Any:
    """Return what a YAML text holds; with `functions`, lm-eval's `!function` tags are names.

    Raises:
        FaultsError: it is not YAML or uses a key twice; the place carries the line.
    """
    try:
        refuse_deep_nesting(text)
        # both derive from the safe loader
        return yaml.load(text, Loader=_TaskLoader if functions else _StrictLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f":{mark.line + 1}" if mark else ""
        at = text.splitlines()[mark.line : mark.line + 1] if mark else []
        remedy = "indent with spaces, not with tabs" if any("\t" in row for row in at) else ""
        problem = str(error.problem)
        if "another document" in problem:
            problem, remedy = "a second document begins (---)", "put each into a file of its own"
        raise FaultsError(Fault(f"{place}{line}", f"not YAML ({problem})", "", remedy)) from error
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise FaultsError(Fault(place, f"not YAML ({_one_line(error)})")) from error


def refuse_deep_nesting(text: str) -> None:
    """Refuse a YAML text that is nested deeper than PyYAML can build without a crash.

    Raises:
        yaml.YAMLError: it is nested too deep, or is not YAML.
    """
    # each level of a block has an indentation of its own, each other one a bracket
    if text.count("[") + text.count("{") < _DEEPEST and not _DEEP_INDENTATION.search(text):
        return
    depth = 0
    for event in yaml.parse(text, Loader=_StrictLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            wrong = f"nested more than {_DEEPEST} deep"
            raise yaml.YAMLError(wrong)


def read_yaml(path: Path, *, functions: bool = False) -> Any:
    """Return what a YAML file holds; see `parse_yaml`.

    Raises:
        FaultsError: the file is missing, not UTF-8, or not YAML.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        is_wide = error.object[:2] in (b"\xff\xfe", b"\xfe\xff")
        remedy = f"convert it: iconv -f {'UTF-16' if is_wide else 'ENCODING'} -t UTF-8"
        raise FaultsError(Fault(str(path), "not UTF-8", "a YAML file", remedy)) from error
    except FileNotFoundError as error:
        raise FaultsError(Fault(str(path), "no such file", "a YAML file")) from error
    except OSError as error:
        raise FaultsError(Fault(str(path), f"cannot be read ({error.strerror})")) from error
    return parse_yaml(text, str(path), functions=functions)


def dump_yaml(value: Any) -> str:
    """Return a value as YAML whose every scalar reads back as the same type.

    >>> print(dump_yaml({"learning_rate": 1e-5, "eval_strategy": "no", "steps": 3}), end="")
    learning_rate: 1.0e-05
    eval_strategy: 'no'
    steps: 3
    """
    if isinstance(value, dict) and value and (lines := _block(value, "")) is not None:
        return "\n".join(lines) + "\n"
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1_000_000)


@functools.lru_cache(maxsize=4096)
def is_plain_text(text: str) -> bool:
    """Whether a text is one word that YAML reads as text without quotes; False if in doubt.

    >>> [is_plain_text(text) for text in ("/data/a-1.jsonl", "1e5", "no", "a b")]
    [True, True, False, False]
    """
    return _WORD.fullmatch(text) is not None and not any(
        kind.match(text) for _, kind in _READ_AS_OTHER.get(text[0], ())
    )


def yaml_line(key: str, value: Any) -> str:
    """Return one key of a YAML file with its value, without the last line end.

    >>> print(yaml_line("tasks", ["AIME", "AMC"]))
    tasks:
      - AIME
      - AMC
    """
    if isinstance(value, dict | list) and value:
        return dump_yaml({key: value}).removesuffix("\n")
    text = _one_line_scalar(value)
    return f"{key}: {yaml_scalar(value) if text is None else text}"


def yaml_scalar(value: Any) -> str:
    r"""Return one value as it stands after `key: ` in a YAML file, on one line.

    >>> yaml_scalar(1e-5), yaml_scalar("no"), yaml_scalar(None), yaml_scalar(["a", 1])
    ('1.0e-05', "'no'", 'null', '[a, 1]')
    >>> print(yaml_scalar("two\nlines"))
    "two\nlines"
    """
    text = yaml.dump(
        value,
        Dumper=_LineDumper,
        default_flow_style=True,
        allow_unicode=True,
        width=1_000_000,
        sort_keys=False,
    )
    return text.removesuffix("\n").removesuffix("\n...").replace("\n", " ")


def _block(value: Any, indent: str) -> list[str] | None:
    """Return a mapping or list in block style, line by line, as PyYAML writes it but faster.

    None where it holds anything but names, numbers, truth values, null and one-line texts.
    """
    lines: list[str] = []
    entries = value.items() if isinstance(value, dict) else ((None, entry) for entry in value)
    for key, entry in entries:
        if key is None:
            start = f"{indent}-"
        elif type(key) is str and len(key) < _LONGEST_KEY and is_plain_text(key):
            start = f"{indent}{key}:"
        else:
            return None
        if isinstance(entry, dict | list) and entry:
            if key is None:
                return None
            inner = _block(entry, f"{indent}  ")
            if inner is None:
                return None
            lines += [start, *inner]
        elif (text := _one_line_scalar(entry)) is not None:
            lines.append(f"{start} {text}")
        else:
            return None
    return lines


def _one_line_scalar(value: Any) -> str | None:
    if type(value) is str:
        if is_plain_text(value):
            return value
        return _quoted(value) if value.isprintable() else None
    if value is None or type(value) in (int, bool, float):
        return _number(type(value).__name__, value)
    return "{}" if value == {} else "[]" if value == [] else None


@functools.lru_cache(maxsize=4096)
def _quoted(text: str) -> str:
    return yaml_scalar(text)


@functools.lru_cache(maxsize=4096)
def _number(_kind: str, value: Any) -> str:  # the type is in the key because 1 == 1.0 == True
    return yaml_scalar(value)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
