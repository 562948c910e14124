"""An arm: one way of making the training set, known by the key that names its source.

`for:` and `datasets:` of a study file are not here: `expand` turns them into plain arms that carry
their `factors`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Tag, ValidationError, model_validator

from cotdistill.catalogue.registration import Columns
from cotdistill.corpus.filtering.settings import Filters
from cotdistill.corpus.mixing.settings import Mixing
from cotdistill.corpus.records.shape import Reasoning
from cotdistill.corpus.records.target import Target
from cotdistill.schema import Shape, key
from cotdistill.studies.requests import Loop, SampleRequest, TeachRequest

Factor = str | int | float | bool | None
"""The value of a factor of an arm, such as level 3 or teacher chatgpt."""


class _Source(Shape):
    train: bool = key(True, "false: other arms are made from it, and nothing else", False)
    factors: dict[str, Factor] = key(
        {},
        "what tells the arm from others: columns of manifest, CSV and report",
        {"level": 3, "teacher": "chatgpt"},
    )


class ArmFilters(Filters):
    """Which of an arm's traces are trained on, as `cotdistill filter` keeps them.

    `paired_with` names other arms: a question stays only where each has a kept trace of it.
    `golds` names files of questions with golds, joined by the question.
    """

    paired_with: tuple[str, ...] = key(
        (), "other arms: a question stays only where each has a kept trace of it", ["short"]
    )
    golds: tuple[str, ...] = key(
        (), "files of questions with reference answers, joined by the question", ["golds.jsonl"]
    )


Missing = Literal["refuse", "drop"]
_ABOUT_MISSING = "rows that cannot be trained on: an error, or dropped and counted"
_ABOUT_FILTER = "which of its rows are trained on; the options of `cotdistill filter`"


class Padding(Shape):
    """Filler before the conclusion of each rationale, until it is as long as another arm's.

    `like` names the arm; its row of the same question gives the length, in words, or in tokens of
    `tokenizer`. Questions that it lacks are dropped and counted.
    """

    like: str = key(..., "the arm that gives the lengths", "level-6")
    filler: str = key(".", "what is repeated", "...", min_length=1, pattern=r"^\S(.*\S)?$")
    tokenizer: str | None = key(None, "counts tokens instead of words", "Qwen/Qwen2.5-0.5B")


class _Traces(_Source):
    """What is done to the rows of any source of traces; `target` says how their texts end."""

    missing: Missing = key("refuse", _ABOUT_MISSING, "drop")
    filter: ArmFilters | None = key(None, _ABOUT_FILTER, {"grade": "strict"})
    target: Target = key(Target(), "how its texts begin and end",
        {"answer": "gold", "separator": " --> "})  # fmt: skip
    pad: Padding | None = key(None, "filler, for texts as long as another arm's", {"like": "l6"})


class DatasetArm(_Traces):
    """A registered dataset, by its name in `dataset_info.json` or in the legacy registry."""

    dataset: str = key(..., "its name, as `cotdistill list datasets` has it", "gsm8k")
    folder: str | None = key(None, "folder of its file; null: the study's data_folder", "data")
    revision: str | None = key(None, "of a dataset on the hub: a commit, branch or tag", "main")


class FileColumns(Columns):
    """Columns of a local file: `messages` holds turns, `reasoning` goes before the response."""

    messages: str | None = key(None, "column of a list of turns", "messages")
    reasoning: str | None = key(None, "column of reasoning kept apart", "reasoning_content")


class FileArm(_Traces):
    """A local `.jsonl`, `.json` or `.parquet` file.

    `reasoning` says what becomes of reasoning that rows store outside their response: between
    `<think>` tags before it (`think`), before it as text (`plain`), or left out (`drop`).
    """

    file: str = key(..., "its path, relative to the study file", "long.jsonl")
    columns: FileColumns = key(
        FileColumns(), "which column holds what, where the names do not say", {"prompt": "problem"}
    )
    reasoning: Reasoning = key(
        "think", "reasoning stored outside the response: in think tags, as text, left out", "plain"
    )


class MixedArm(_Source):
    """A weighted mix of other arms or registered datasets: exact counts, seeded, nested.

    The other keys are those of `cotdistill mix`: `tokens` instead of `rows`, `matched` for the
    same questions whatever the weights are, `length_matched` for the same lengths, `replace`.
    """

    mix: dict[str, float] = key(
        ...,
        "arms or registered datasets with their weights, relative to each other",
        {"long": 0.2, "short": 0.8},
    )
    rows: int | None = key(None, "rows in all; null: as many as the weights allow", 5000)
    tokens: int | None = key(None, "tokens in all, instead of rows", 1000000)
    seed: int = key(0, "of the draw", 42)
    matched: bool = key(False, "the same questions whatever the weights are", True)
    length_matched: bool = key(False, "the same lengths whatever the weights are", True)
    replace: bool = key(False, "a row may be drawn more than once", True)

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

    puzzles: str = key(..., "the family: ball, digit-sum, last-letters", "ball")
    level: int | Literal["answer-only"] = key(..., "how finely the rationale is divided", 3)
    rows: int = key(1000, "how many", 500, ge=1)
    seed: int = key(0, "of the draw", 1)


class UntouchedArm(Shape):
    """No training: the student is evaluated as it is, which makes it a baseline."""

    train: Literal["none"] = key(..., "none, without quotes or with them", "none")
    factors: dict[str, Factor] = key({}, "columns of manifest, CSV and report", {"level": 0})


class AnswersArm(_Source):
    """Reference answers without a rationale: the questions of a set with their golds."""

    answers: str = key(..., "a question set of `questions:`", "svamp")


class TeachArm(_Traces):
    """Rationales that a teacher writes for a question set, as `cotdistill teach` asks for them."""

    teach: TeachRequest = key(
        ..., "what is asked of which teacher", {"questions": "svamp", "teacher": "t", "level": 3}
    )
    with_: list[str] = key([], "arms whose rows are added", ["level-3"], alias="with")


class SampleArm(_Traces):
    """Answers that a student, mentor or assistant samples, as `cotdistill sample` asks for them."""

    sample: SampleRequest = key(
        ..., "what is sampled from which model", {"questions": "svamp", "model": "mentor"}
    )
    with_: list[str] = key([], "arms whose rows are added", ["level-3"], alias="with")


class LoopArm(Shape):
    """A loop in which a student learns from its own samples; `improve:` of a study writes these."""

    improve: Loop = key(
        ..., "the loop", {"recipe": "full", "rounds": 4, "sample": {"questions": "svamp"}}
    )
    factors: dict[str, Factor] = key(
        {}, "columns of manifest, CSV and report", {"strategy": "uniform"}
    )


_TAGS: dict[str, type[Shape]] = {
    "dataset": DatasetArm,
    "file": FileArm,
    "mix": MixedArm,
    "puzzles": PuzzleArm,
    "answers": AnswersArm,
    "teach": TeachArm,
    "sample": SampleArm,
    "improve": LoopArm,
    "train: none": UntouchedArm,
}


def _arm_tag(value: Any) -> str | None:
    if isinstance(value, dict):
        for name in _TAGS:
            if name in value:
                return f"<{name}>"
        return "<train: none>" if value.get("train") == "none" else None
    return next((f"<{name}>" for name, shape in _TAGS.items() if isinstance(value, shape)), None)


Arm = Annotated[
    Annotated[DatasetArm, Tag("<dataset>")]
    | Annotated[FileArm, Tag("<file>")]
    | Annotated[MixedArm, Tag("<mix>")]
    | Annotated[PuzzleArm, Tag("<puzzles>")]
    | Annotated[AnswersArm, Tag("<answers>")]
    | Annotated[TeachArm, Tag("<teach>")]
    | Annotated[SampleArm, Tag("<sample>")]
    | Annotated[LoopArm, Tag("<improve>")]
    | Annotated[UntouchedArm, Tag("<train: none>")],
    Discriminator(
        _arm_tag,
        custom_error_type="no_source",
        custom_error_message="Input should be an arm with one of the keys: " + ", ".join(_TAGS),
    ),
]
