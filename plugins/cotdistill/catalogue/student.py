"""A student: a small model, and what a trainer and an evaluation must know of it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Student(BaseModel):
    """One model to be taught, as `templates/students.yaml` or a study file declares it.

    Units: parameters in billions; context in tokens.

    >>> Student(name="tiny", model="models/tiny", template="qwen", parameters=0.0004, context=512,
    ...         licence="Apache-2.0").default_system is None
    True
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, description="how studies and runs call it")]
    model: Annotated[str, Field(min_length=1, description="hub id or local path")]
    template: Annotated[str, Field(min_length=1, description="LLaMA-Factory template")]
    default_system: Annotated[
        str | None, Field(description='system prompt; null: the template\'s own; "": none')
    ] = None
    enable_thinking: Annotated[
        bool | None,
        Field(description="null: keep thoughts the data has, add none to the loss"),
    ] = None
    parameters: Annotated[float, Field(gt=0, description="in billions")]
    context: Annotated[int, Field(gt=0, description="positions, in tokens")]
    heads: Annotated[int | None, Field(gt=0, description="attention heads, where known")] = None
    licence: Annotated[str, Field(min_length=1)]
    about: str = ""
