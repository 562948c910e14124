"""The base of every declared shape, and how a mapping that does not fit is explained.

Shapes are frozen and forbid unknown keys. `read_shape` turns everything pydantic objects to into
faults that name the file, the key, and where a key is unknown the nearest known one.
"""

from __future__ import annotations

import re
import reprlib
import types
from dataclasses import replace
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from cotdistill.errors import Fault, FaultsError, did_you_mean

_TYPE = re.compile(r"(?:str|int|float|bool|none)|(?:list|dict|tuple|nullable|union|literal)\[.*\]")


def key(default: Any, about: str, example: Any, **limits: Any) -> Any:
    """Return the field of a shape with what the JSON Schema says of it: its meaning, an example.

    `...` as the default makes the key a required one; the limits are pydantic's.

    >>> key(16, "rows of one step", 64, ge=1).description
    'rows of one step'
    """
    return Field(default, description=about, examples=[example], **limits)


class Shape(BaseModel):
    """A declared shape: unknown keys are faults and a value never changes."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), serialize_by_alias=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_boolean_is_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """YAML reads yes, no, on and off as booleans, and pydantic would read these as 1 and 0."""
        kinds = _kinds_in(cls.model_fields[str(info.field_name)].annotation)
        values = list(value.values()) if isinstance(value, dict) else value
        found = [one for one in _as_list(values) if isinstance(one, bool)]
        if found and kinds & {int, float} and not kinds & {bool, Any}:
            shown = found[0] if isinstance(value, dict) else value
            raise ValueError(f"{shown!r} (YAML's yes, no, true, false) is not a number")
        return value


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _kinds_in(annotation: Any) -> set[Any]:
    """Return the plain types that an annotation is made of, as {int, NoneType} of `int | None`."""
    parts = get_args(annotation)
    return {kind for part in parts for kind in _kinds_in(part)} if parts else {annotation}


ShapeT = TypeVar("ShapeT", bound=Shape)


def read_shape(
    shape: type[ShapeT], value: object, place: str, error: type[FaultsError] = FaultsError
) -> ShapeT:
    """Return a mapping as a checked shape.

    Raises:
        FaultsError: (or the given kind of it) with every fault; the place is `file:key.key`.
    """
    if not isinstance(value, dict):
        kind = "nothing" if value is None else f"a {type(value).__name__}"
        raise error(Fault(place, f"{kind}", "a mapping of keys to values"))
    try:
        return shape.model_validate(value)
    except ValidationError as invalid:
        raise error(_one_a_value(shape, place, invalid)) from invalid


def _one_a_value(shape: type[Shape], place: str, invalid: ValidationError) -> list[Fault]:
    """Return the faults; of a value that is none of several types one, which expects any of them.

    Where one of the types fits and something inside it does not, only that is at fault.
    """
    at_types: dict[tuple[Any, ...], list[Fault]] = {}
    faults: dict[tuple[Any, ...], list[Fault]] = {}
    for item in invalid.errors():
        whole = tuple(item["loc"])
        path = tuple(part for part in whole if not _is_a_type(part))
        fault = _fault(shape, place, {**item, "loc": path})
        is_type = bool(whole) and _is_a_type(whole[-1])
        (at_types if is_type else faults).setdefault(path, []).append(fault)
    found = [fault for group in faults.values() for fault in group]
    for path, group in at_types.items():
        if any(inner[: len(path)] == path for inner in faults):
            continue
        expected = " or ".join(dict.fromkeys(fault.expected for fault in group if fault.expected))
        found.append(replace(group[0], expected=expected))
    return found


def _is_a_type(part: object) -> bool:
    """Whether a part of pydantic's path is the type of a union that it tried, and no key."""
    return isinstance(part, str) and _TYPE.fullmatch(part) is not None


def _fault(shape: type[Shape], place: str, item: dict[str, Any]) -> Fault:
    # Tags of unions ("scratch", "file" ...) stand in pydantic's path but not in the user's file.
    path = [str(part) for part in item["loc"] if not str(part).startswith("<")]
    where = f"{place}:{'.'.join(path)}" if path else place
    match item["type"]:
        case "extra_forbidden":
            # Another form that the value might have had may know the key; this one does not.
            known = [key for key in _keys_at(shape, item["loc"][:-1]) if key != path[-1]]
            parent = f"{place}:{'.'.join(path[:-1])}" if path[:-1] else place
            tag = str(item["loc"][-2]) if len(item["loc"]) > 1 else ""
            hint = did_you_mean(path[-1], known)
            other = tag.startswith("<") and hint.startswith("known")  # maybe of another kind of arm
            next_to = f" next to '{tag[1:-1]}'" if other else ""
            return Fault(parent, f"unknown key '{path[-1]}'{next_to}", "", hint)
        case "missing":
            parent = f"{place}:{'.'.join(path[:-1])}" if path[:-1] else place
            return Fault(parent, f"the key '{path[-1]}' is missing")
        case "value_error":
            return Fault(where, str(item["ctx"]["error"]))
        case "too_short":
            return Fault(where, "nothing", "at least one entry")
        case "dict_type" | "model_type":
            return Fault(where, _shown(item["input"]), "a mapping of keys to values")
        case "list_type" | "tuple_type":
            return Fault(where, _shown(item["input"]), "a list")
    message = item["msg"].removeprefix("Input should be ").removeprefix("Unable to parse input ")
    if item["type"] == "int_parsing_size":
        message = "a number of fewer digits"
    return Fault(where, _shown(item["input"]), message, _misspelt(item["input"], message))


def _misspelt(value: object, expected: str) -> str:
    """Point from the keys of a value that fits no kind to the key that makes it one, if any."""
    _, listed, known = expected.partition("with one of the keys: ")
    if not listed or not isinstance(value, dict):
        return ""
    hints = (did_you_mean(str(name), known.split(", ")) for name in value)
    return next((hint for hint in hints if hint.startswith("did you mean")), "")


def _shown(value: object) -> str:
    """Show the beginning of a value; never all of one that aliases have made huge."""
    if value is None:
        return "nothing"
    short = reprlib.Repr()
    short.maxstring = short.maxother = 80
    text = short.repr(value)
    return text if len(text) < 80 else text[:77] + "..."


def _keys_at(shape: type[Shape], path: tuple[int | str, ...]) -> list[str]:
    """List the keys of the shape that a path through nested shapes leads to."""
    options: list[Any] = [shape]
    annotations: list[Any] = []
    for part in path:
        if str(part).startswith("<"):
            tagged = [shape for one in annotations for shape in _tagged(one, str(part))]
            options = tagged or options
            continue
        found = [
            field.annotation
            for option in options
            for name, field in option.model_fields.items()
            if part in (name, field.alias)
        ]
        annotations = found or annotations
        following = [shape for one in found for shape in _shapes_in(one)]
        named = [option for option in options if option.__name__ == str(part)]
        options = named or following or options
    keys = [field.alias or name for one in options for name, field in one.model_fields.items()]
    return list(dict.fromkeys(keys))


def _tagged(annotation: Any, tag: str) -> list[Any]:
    """Return the shapes that a union knows by a tag."""
    parts = get_args(annotation)
    if any(isinstance(part, Tag) and part.tag == tag for part in parts):
        return _shapes_in(parts[0])
    return [shape for part in parts for shape in _tagged(part, tag)]


def _is_shape(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Shape)


def _shapes_in(annotation: Any) -> list[Any]:
    if _is_shape(annotation):
        return [annotation]
    if get_origin(annotation) in (Union, types.UnionType, list, dict, tuple) or get_args(
        annotation
    ):
        return [shape for part in get_args(annotation) for shape in _shapes_in(part)]
    return []
