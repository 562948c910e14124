"""One configuration file from a template: typed values in, text out, read back to prove it.

A template says each key with `line(key, default)`. A recipe's own settings win over the default;
settings that no line has asked for are listed by `rest()`. So a template decides the order, the
comments and the defaults, and a study can change any value without the template knowing of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cotdistill.errors import BundleError, Fault
from cotdistill.files.templates import render
from cotdistill.files.yamls import yaml_line

_MARK = "\0"
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
    lines: list[str] = []

    def line(key: str, default: Any) -> str:
        if key in values:
            raise BundleError(Fault(f"templates/{template}", f"the key '{key}' is written twice"))
        values[key] = settings.get(key, default)
        lines.append(yaml_line(key, values[key]))
        return lines[-1]

    def rest() -> list[str]:
        return [key for key in settings if key not in values]

    text = render(template, {**context, "line": line, "rest": rest}, folder)
    if _is_comments_and(lines, text) and _is_one_line(values):
        return ConfigFile(text, values)  # each line reads back, so the text does
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


class ConfigRenderer:
    """Renders one template for many runs that differ in a few values.

    The template is filled in once with holes in place of those values, and each run's values are
    put into the holes. A template that does more with such a value than to write it (a condition, a
    filter) is rendered anew for every run. `context` and `settings` are the same for all runs.
    """

    def __init__(
        self,
        template: str,
        context: Mapping[str, Any],
        settings: Mapping[str, Any],
        folder: Path | None = None,
    ) -> None:
        self.template, self.context, self.settings = template, context, settings
        self.folder = folder
        self._form: _Form | None = None
        self._is_tried = False

    def render(self, varying: Mapping[str, Any]) -> ConfigFile:
        """Return the file of one run.

        Raises:
            BundleError: as `render_config`.
        """
        if self._form is not None and (file := self._form.filled(varying)) is not None:
            return file
        context = {**self.context, **varying}
        whole = render_config(self.template, context, self.settings, self.folder)
        if not self._is_tried:
            self._is_tried = True
            form = self._with_holes(varying)
            if form is not None and form.filled(varying) == whole:
                self._form = form
        return whole

    def _with_holes(self, varying: Mapping[str, Any]) -> _Form | None:
        values: dict[str, Any] = {}

        def line(key: str, default: Any) -> str:
            values[key] = self.settings.get(key, default)
            if isinstance(values[key], _Hole):
                return f"{_MARK}{key}={values[key].name}{_MARK}"
            return yaml_line(key, values[key])

        def rest() -> list[str]:
            return [key for key in self.settings if key not in values]

        holes = {name: _Hole(name) for name in varying}
        try:
            text = render(
                self.template, {**self.context, **holes, "line": line, "rest": rest}, self.folder
            )
        except (BundleError, TypeError, ValueError, AttributeError, yaml.YAMLError):
            return None  # it does more with a value than to write it
        return _Form(tuple(text.split(_MARK)), values)


class _Hole:
    """Stands for a value that is not known yet; only writing it is possible."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __str__(self) -> str:
        return f"{_MARK}{self.name}{_MARK}"

    def __bool__(self) -> bool:
        raise TypeError(f"the value of {self.name} is not known yet")

    def __eq__(self, other: object) -> bool:
        raise TypeError(f"the value of {self.name} is not known yet")

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class _Form:
    """A text with holes: every second part is the name of a value, or `key=name` of a line."""

    parts: tuple[str, ...]
    values: dict[str, Any]

    def filled(self, varying: Mapping[str, Any]) -> ConfigFile | None:
        """Return the file with its values, None where one of them would not stay on its line."""
        for value in varying.values():
            if not (value.isprintable() if type(value) is str else _is_one_line(value)):
                return None
        values = dict(self.values)
        parts = list(self.parts)
        for place in range(1, len(parts), 2):
            key, is_line, name = parts[place].rpartition("=")
            if name not in varying:
                return None
            parts[place] = yaml_line(key, varying[name]) if is_line else str(varying[name])
            if is_line:
                values[key] = varying[name]
        return ConfigFile("".join(parts), values)


def _is_comments_and(lines: list[str], text: str) -> bool:
    """Whether a text is just these lines, with comments and blank lines between them."""
    kept = [line for line in text.split("\n") if line and not line.startswith("#")]
    return kept == "\n".join(lines).split("\n")


def _is_one_line(value: Any) -> bool:
    """Whether no text in a value has a line break, so that no `#` in it can start a line."""
    if isinstance(value, str):
        return value.isprintable()
    if isinstance(value, dict):
        return all(_is_one_line(key) and _is_one_line(entry) for key, entry in value.items())
    return not isinstance(value, list) or all(map(_is_one_line, value))
