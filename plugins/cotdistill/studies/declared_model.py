"""A model of a study: a student, teacher, mentor, assistant or judge, named once under `models:`.

A model is known by the key that says where it comes from: `model` (catalogue name, hub id or local
path), `scratch` (randomly initialised), `endpoint` (a server), `merge`, `run` (a trained run of
this study) or `folder` (every model in it). A bare name is its `model`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from cotdistill.models.merge.settings import Merge
from cotdistill.models.scratch import Scratch
from cotdistill.schema import Shape, key


class Price(Shape):
    """What a model costs, in a currency of your choice per million tokens."""

    input: float = key(..., "per million tokens of prompts", 0.4, ge=0)
    output: float = key(..., "per million generated tokens", 0.9, ge=0)


class NamedModel(Shape):
    """A model by its catalogue name, hub id or local path.

    What is not said is taken from the catalogue, where the model is in it.
    """

    model: str = key(..., "catalogue name, hub id or local path", "Qwen/Qwen2.5-0.5B-Instruct")
    template: str | None = key(
        None, "LLaMA-Factory template; needed for a model that is not in the catalogue", "qwen"
    )
    default_system: str | None = key(
        None, 'system prompt; null: the template\'s own, "": none', "You are a tutor."
    )
    enable_thinking: bool | None = key(
        None, "for templates with a thinking mode; null: as in the data", False
    )
    parameters: float | None = key(None, "size in billions of weights", 0.49, gt=0)
    context: int | None = key(None, "positions, in tokens", 32768, gt=0)
    heads: int | None = key(None, "attention heads", 14, gt=0)
    revision: str | None = key(None, "branch, tag or commit on the hub", "main")
    price: Price | None = key(
        None, "where the model is paid for by token", {"input": 0.1, "output": 0.4}
    )


class ScratchModel(Shape):
    """A randomly initialised model; its tokenizer is trained on the text of its arm."""

    scratch: Scratch = key(..., "its architecture", {"hidden_size": 128, "layers": 2, "heads": 4})


class EndpointModel(Shape):
    """A model behind an OpenAI-compatible server."""

    endpoint: str | list[str] = key(
        ..., "base URL, or several that share the work", "http://127.0.0.1:8000/v1"
    )
    model: str = key(..., "name of the model at the server", "Qwen/Qwen2.5-72B-Instruct")
    key_env: str | None = key(None, "environment variable with the API key", "TEACHER_KEY")
    api: Literal["chat", "completions"] = key("chat", "which of the server's interfaces", "chat")
    tokenizer: str | None = key(
        None, "hub id or path of its tokenizer, to count tokens", "Qwen/Qwen2.5-72B-Instruct"
    )
    price: Price | None = key(
        None, "unknown, and reported as unknown, without it", {"input": 0.4, "output": 0.9}
    )
    openai_reasoning: bool = key(
        False, "o-series, gpt-5: is sent max_completion_tokens and no temperature", True
    )
    any_model: bool = key(False, "accept a server that calls its model otherwise", True)

    @property
    def urls(self) -> tuple[str, ...]:
        """The servers that share the work."""
        return (self.endpoint,) if isinstance(self.endpoint, str) else tuple(self.endpoint)

    @field_validator("endpoint")
    @classmethod
    def _is_a_url(cls, endpoint: str | list[str]) -> str | list[str]:
        urls = [endpoint] if isinstance(endpoint, str) else endpoint
        if not urls:
            raise ValueError("no URL is given; name at least one")
        for url in urls:
            if not url.startswith(("http://", "https://")):
                raise ValueError(f"'{url}' is no URL; it starts with http:// or https://")
        return endpoint

    @model_validator(mode="after")
    def _reasons_in_chat(self) -> EndpointModel:
        if self.openai_reasoning and self.api == "completions":
            raise ValueError("OpenAI's reasoning models answer chat only; leave 'api' out")
        return self


class Probe(Shape):
    """Whether a merge writes at a length between two models, asked before it teaches or is sampled.

    All three answer the same questions, as the first arm that the merge teaches asks them.
    """

    short: str = key(..., "a model of `models:` that writes less", "short")
    long: str = key(..., "a model of `models:` that writes more", "long")
    questions: int = key(64, "questions that each of them is asked", 64, ge=2, le=10_000)
    required: bool = key(
        True, "false: a merge that is not between them teaches all the same", False
    )


class MergedModel(Merge):
    """A model merged from others of one shape, as MiCoTA's teacher assistant."""

    template: str | None = key(None, "LLaMA-Factory template of the donor", "qwen")
    probe: Probe | None = key(
        None,
        "asks the merge and two models a few questions before it teaches, and compares lengths",
        {"short": "short", "long": "long"},
    )


def merged_folder(name: str) -> str:
    """Return where a merged model of a study lies, relative to the run folder.

    >>> merged_folder("assistant")
    'merged/assistant'
    """
    return f"merged/{name}"


class RunReference(Shape):
    """A run of this study: model, arm, recipe and seed."""

    model: str = key(..., "name of the model that is trained", "Qwen2.5-1.5B-Instruct")
    arm: str = key(..., "the arm that it is trained on", "level-3")
    recipe: str = key(..., "the recipe that it is trained with", "full")
    seed: int | None = key(None, "its seed; null: the first of its recipe", 1)


class TrainedModel(Shape):
    """A trained run of this study, as Mentor-KD's mentor."""

    run: RunReference = key(
        ...,
        "which one",
        {"model": "Qwen2.5-1.5B-Instruct", "arm": "level-3", "recipe": "full", "seed": 1},
    )


class FolderOfModels(Shape):
    """Every model in a folder, each evaluated under its folder's name: checkpoints of steps too."""

    folder: str = key(..., "folder whose subfolders are models", "checkpoints/their-run")
    pattern: str = key("*", "shell pattern of the subfolders' names", "checkpoint-*")
    template: str | None = key(None, "LLaMA-Factory template, where they are trained", "qwen")


_TAGS: dict[str, type[Shape]] = {
    "endpoint": EndpointModel,
    "merge": MergedModel,
    "run": TrainedModel,
    "scratch": ScratchModel,
    "folder": FolderOfModels,
    "model": NamedModel,
}


def _model_tag(value: Any) -> str | None:
    if isinstance(value, dict):
        return next((f"<{key}>" for key in _TAGS if key in value), None)
    return next((f"<{key}>" for key, shape in _TAGS.items() if isinstance(value, shape)), None)


Model = Annotated[
    Annotated[EndpointModel, Tag("<endpoint>")]
    | Annotated[MergedModel, Tag("<merge>")]
    | Annotated[TrainedModel, Tag("<run>")]
    | Annotated[ScratchModel, Tag("<scratch>")]
    | Annotated[FolderOfModels, Tag("<folder>")]
    | Annotated[NamedModel, Tag("<model>")],
    Discriminator(
        _model_tag,
        custom_error_type="no_model",
        custom_error_message="Input should be a name, or a model with one of the keys: "
        + ", ".join(_TAGS),
    ),
    Field(),
]
