"""An arm: one way of making the training set, known by the key that names its source."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, ValidationError, model_validator

from cotdistill.catalogue.registration import Columns
from cotdistill.corpus.filtering.settings import Filters
from cotdistill.corpus.mixing.settings import Mixing
from cotdistill.corpus.records.shape import Reasoning
from cotdistill.corpus.records.target import Target
from cotdistill.schema import Shape


class _Source(Shape):
    train: bool = True  # False: other arms are mixed from it, and nothing else


class ArmFilters(Filters):
    """Which of an arm's traces are trained on, as `cotdistill filter` keeps them.

    `paired_with` names other arms: a question stays only where each has a kept trace of it.
    `golds` names files of questions with golds, joined by the question.
    """

    paired_with: tuple[str, ...] = ()
    golds: tuple[str, ...] = ()


class Padding(Shape):
    """Filler before the conclusion of each rationale, until it is as long as another arm's.

    `like` names the arm; its row of the same question gives the length, in words, or in tokens of
    `tokenizer`. Questions that it lacks are dropped and counted.
    """

    like: str
    filler: str = Field(default=".", min_length=1, pattern=r"^\S(.*\S)?$")
    tokenizer: str | None = None


class _Traces(_Source):
    """What is done to the rows of any source of traces; `target` says how their texts end."""

    missing: Literal["refuse", "drop"] = "refuse"  # rows that cannot be trained on
    filter: ArmFilters | None = None
    target: Target = Target()
    pad: Padding | None = None


class DatasetArm(_Traces):
    """A registered dataset, by its name in `dataset_info.json` or in the legacy registry."""

    dataset: str
    folder: str | None = None
    revision: str | None = None  # of a dataset on the hub: a commit, branch or tag


class FileColumns(Columns):
    """Columns of a local file: `messages` holds turns, `reasoning` goes before the response."""

    messages: str | None = None
    reasoning: str | None = None


class FileArm(_Traces):
    """A local `.jsonl`, `.json` or `.parquet` file.

    `reasoning` says what becomes of reasoning that rows store outside their response: between
    `<think>` tags before it (`think`), before it as text (`plain`), or left out (`drop`).
    """

    file: str
    columns: FileColumns = FileColumns()
    reasoning: Reasoning = "think"


class MixedArm(_Source):
    """A weighted mix of other arms or registered datasets: exact counts, seeded, nested.

    The other keys are those of `cotdistill mix`: `tokens` instead of `rows`, `matched` for the
    same questions whatever the weights are, `length_matched` for the same lengths, `replace`.
    """

    mix: dict[str, float]
    rows: int | None = None
    tokens: int | None = None
    seed: int = 0
    matched: bool = False
    length_matched: bool = False
    replace: bool = False

    @model_validator(mode="after")
    def _can_be_mixed(self) -> MixedArm:
        try:
            self.mixing()
        except ValidationError as invalid:
            complaints = (
                item["ctx"]["error"] if "ctx" in item else item["msg"] for item in invalid.errors()
            )
            raise ValueError("; ".join(str(error) for error in complaints)) from invalid
        return self

    def mixing(self) -> Mixing:
        """Return what `mix` is asked for."""
        return Mixing(
            weights=self.mix,
            rows=self.rows,
            tokens=self.tokens,
            seed=self.seed,
            matched=self.matched,
            length_matched=self.length_matched,
            replace=self.replace,
        )


class PuzzleArm(_Source):
    """Questions and rationales made by the project's own seeded puzzle generator."""

    puzzles: str
    level: int | Literal["answer-only"]
    rows: int = Field(default=1000, ge=1)
    seed: int = 0


_TAGS = {"dataset": DatasetArm, "file": FileArm, "mix": MixedArm, "puzzles": PuzzleArm}


def _arm_tag(value: Any) -> str | None:
    if isinstance(value, dict):
        for key in _TAGS:
            if key in value:
                return f"<{key}>"
        return None
    return next((f"<{key}>" for key, shape in _TAGS.items() if isinstance(value, shape)), None)


Arm = Annotated[
    Annotated[DatasetArm, Tag("<dataset>")]
    | Annotated[FileArm, Tag("<file>")]
    | Annotated[MixedArm, Tag("<mix>")]
    | Annotated[PuzzleArm, Tag("<puzzles>")],
    Discriminator(
        _arm_tag,
        custom_error_type="no_source",
        custom_error_message="Input should be an arm with one of the keys: dataset, file, mix, "
        "puzzles",
    ),
]
