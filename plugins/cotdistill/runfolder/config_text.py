"""One configuration file from a template: typed values in, text out, read back to prove it.

A template says each key with `line(key, default)`. A recipe's own settings win over the default;
settings that no line has asked for are listed by `rest()`. So a template decides the order, the
comments and the defaults, and a study can change any value without the template knowing of it.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cotdistill.errors import BundleError, Fault
from cotdistill.files.templates import render
from cotdistill.files.yamls import dump_yaml, yaml_scalar

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class ConfigFile:
    """The text of a configuration file, and the typed values that it stands for."""

    text: str
    values: dict[str, Any]


def render_config(
    template: str,
    context: Mapping[str, Any],
    settings: Mapping[str, Any],
    folder: Path | None = None,
) -> ConfigFile:
    """Return a configuration file whose text reads back as exactly the values meant.

    Raises:
        BundleError: the template is broken, says a key twice, or writes something else than meant.
    """
    values: dict[str, Any] = {}

    def line(key: str, default: Any) -> str:
        if key in values:
            raise BundleError(Fault(f"templates/{template}", f"the key '{key}' is written twice"))
        values[key] = settings.get(key, default)
        return _line(key, values[key])

    def rest() -> list[str]:
        return [key for key in settings if key not in values]

    text = render(template, {**context, "line": line, "rest": rest}, folder)
    read_back = yaml.load(text, Loader=_LOADER)
    if read_back != values:
        wrong = sorted(
            key
            for key in {**values, **(read_back if isinstance(read_back, dict) else {})}
            if not isinstance(read_back, dict)
            or key not in values
            or key not in read_back
            or read_back[key] != values[key]
        )
        raise BundleError(
            Fault(f"templates/{template}", f"the text does not read back as meant: {wrong}")
        )
    return ConfigFile(text, values)


def _line(key: str, value: Any) -> str:
    if isinstance(value, dict | list) and value:
        return dump_yaml({key: value}).removesuffix("\n")
    return (
        f"{key}: {_scalar(type(value).__name__, value) if _is_plain(value) else yaml_scalar(value)}"
    )


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


@functools.lru_cache(maxsize=4096)
def _scalar(_kind: str, value: Any) -> str:  # the type is in the key because 1 == 1.0 == True
    return yaml_scalar(value)
