"""A registration: where a training set is and what its columns contain.

The shape is LLaMA-Factory's own `dataset_info.json` entry, so the packaged file is read by both.
What the host would silently accept and then get wrong is refused here: unknown keys, columns that
do not fit the formatting (it ignores every column that is not named), missing tags, and
`formatting: openai`, which adds a sentence to the system prompt.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from cotdistill.catalogue.formats import format_called, with_format
from cotdistill.schema import Shape


class Columns(Shape):
    """Which columns of a file hold what; None takes the first of the known names."""

    prompt: str | None = None
    query: str | None = None
    response: str | None = None
    system: str | None = None


class DatasetColumns(Columns):
    """Columns of a registered dataset; every one that is not named is not read."""

    history: str | None = None
    messages: str | None = None
    tools: str | None = None


class Tags(Shape):
    """How the turns of `messages` are written; LLaMA-Factory wants all that occur named."""

    role_tag: str
    content_tag: str
    user_tag: str
    assistant_tag: str
    system_tag: str | None = None
    observation_tag: str | None = None
    function_tag: str | None = None


class Cell(Shape):
    """Which cell of the CoT-factors grid a file is: questions × teacher × level × format."""

    questions: str
    teacher: Literal["chatgpt", "gemini", "llama", "human", "none"]
    level: int | None = Field(default=None, ge=1, le=6)
    format: Literal[
        "natural", "least-to-most", "rephrase", "symbolic", "zero-shot", "answer-only"
    ] = "natural"

    _one_name = field_validator("format", mode="before")(format_called)


class About(Shape):
    """What a user should know before training on it; LLaMA-Factory ignores this key.

    `gold_shown` says whether the teacher saw the reference answer, None where it is not known. A
    file of an `own_shape` is read by its rows' keys, so that its reference answers are read too.
    """

    licence: str
    source: str
    rows: int | None = Field(default=None, ge=1)
    note: str | None = None
    gold_shown: bool | None = None
    own_shape: bool = False
    cell: Cell | None = None
    factors: dict[str, str | int | float | bool | None] = Field(default_factory=dict)


class Registration(Shape):
    """One entry of a `dataset_info.json`.

    >>> Registration.model_validate({
    ...     "name": "gsm8k", "hf_hub_url": "openai/gsm8k", "subset": "main",
    ...     "columns": {"prompt": "question", "response": "answer"},
    ...     "_about": {"licence": "MIT", "source": "arXiv:2110.14168"},
    ... }).as_entry()
    {'hf_hub_url': 'openai/gsm8k', 'subset': 'main', \
'columns': {'prompt': 'question', 'response': 'answer'}}
    """

    name: str = Field(min_length=1)
    file_name: str | None = None
    hf_hub_url: str | None = None
    formatting: Literal["alpaca", "sharegpt"] = "alpaca"
    subset: str | None = None
    split: str | None = None
    folder: str | None = None
    columns: DatasetColumns
    tags: Tags | None = None
    about: About = Field(alias="_about")

    @field_validator("name")
    @classmethod
    def _name_fits_a_comma_list(cls, name: str) -> str:
        if "," in name or name != name.strip():
            raise ValueError(f"the name '{name}' has a comma or blanks around it")
        return name

    @field_validator("formatting", mode="before")
    @classmethod
    def _openai_is_refused(cls, formatting: object) -> object:
        if formatting == "openai":
            raise ValueError(
                "'openai' makes LLaMA-Factory add 'detailed thinking off' to the system prompt; "
                "use 'sharegpt' with tags"
            )
        return formatting

    @model_validator(mode="after")
    def _is_whole(self) -> Registration:
        if (self.file_name is None) == (self.hf_hub_url is None):
            raise ValueError("name one source: either 'file_name' or 'hf_hub_url'")
        columns = self.columns
        if self.formatting == "alpaca":
            if columns.prompt is None or columns.response is None:
                raise ValueError("alpaca needs the columns 'prompt' and 'response'")
            if columns.messages is not None or self.tags is not None:
                raise ValueError("'messages' and 'tags' go with 'formatting: sharegpt'")
        else:
            if columns.messages is None or self.tags is None:
                raise ValueError("sharegpt needs the column 'messages' and 'tags'")
            if columns.prompt or columns.query or columns.response or columns.history:
                raise ValueError("'prompt', 'query', 'response', 'history' go with alpaca")
        return self

    @property
    def factors(self) -> dict[str, str | int | float | bool | None]:
        """What tells the dataset from others, such as its teacher: columns of a study's report."""
        cell = self.about.cell
        return with_format(
            {**(cell.model_dump(exclude_none=True) if cell else {}), **self.about.factors}
        )

    def as_entry(self) -> dict[str, Any]:
        """Return the entry as LLaMA-Factory reads it: without its name and what is only ours."""
        entry = self.model_dump(exclude_none=True, exclude={"name", "about"})
        if self.formatting == "alpaca":
            del entry["formatting"]
        return entry
