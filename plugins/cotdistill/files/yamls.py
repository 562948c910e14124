"""YAML in and out: safe, strict about twice-used keys, and written so that every reader agrees.

PyYAML reads `1e-05` as text and `no` as false; LLaMA-Factory's reader does not. What is written
here reads the same in both: floats carry a point (`1.0e-05`), words that look like booleans are
quoted, nothing is folded, and the order of keys is kept.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from cotdistill.errors import Fault, FaultsError


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
        # both derive from the safe loader
        return yaml.load(text, Loader=_TaskLoader if functions else _StrictLoader)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise FaultsError(Fault(f"{place}{line}", f"not YAML ({error.problem})")) from error
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise FaultsError(Fault(place, f"not YAML ({_one_line(error)})")) from error


def read_yaml(path: Path, *, functions: bool = False) -> Any:
    """Return what a YAML file holds; see `parse_yaml`.

    Raises:
        FaultsError: the file is missing, not UTF-8, or not YAML.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise FaultsError(Fault(str(path), "not UTF-8", "a YAML file")) from error
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
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1_000_000)


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


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
