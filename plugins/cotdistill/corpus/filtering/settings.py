"""Which traces may become training rows: `filter:` of a study's arm, the options of `filter`."""

from __future__ import annotations

from typing import Literal

from pydantic import AliasChoices, Field, model_validator

from cotdistill.schema import Shape

Overlap = Literal[
    "same_question", "same_stem", "same_but_numbers", "most_of_question", "thirteen_words",
    "eight_words",
]  # fmt: skip
Duplicate = Literal["exact", "normalised", "near"]
Droppable = Literal[
    "missing_column", "empty_rationale", "cut_off", "forced_label", "loop", "no_answer_marker",
    "answer_only", "leaked_tag", "control_character", "glued_list_number", "truncated_gold",
    "unreadable_gold", "gold_against_box", "gold_against_question", "wrong_option",
    "mentions_given_answer", "other_gold",
    "separator_inside", "leading_space", "duplicate_id", "placeholder_answer", "broken_text",
    "broken_thought",
]  # fmt: skip


class Filters(Shape):
    """What a trace must be to be kept; every other row is written to a second file with its reason.

    `grade`: "strict" keeps stated right answers only, "lenient" also those that the grader finds
    without a marker; rows without a gold cannot be graded and are kept. `paired` keeps a question
    only where every input file has a kept trace of it. `choose` says which traces of a question
    `per_question` keeps: the first, or those that are least like each other ("diverse"). Lengths
    count tokens of `tokenizer`, else those that provenance states, else words. `fix` also answers
    to its old name `mend`.

    >>> Filters(max_tokens=4096, paired=True).grade
    'strict'
    """

    grade: Literal["strict", "lenient", "off"] = "strict"
    sound: bool = False
    min_tokens: int | None = Field(default=None, ge=0)
    max_tokens: int | None = Field(default=None, ge=1)
    tokenizer: str | None = None
    finish_reasons: tuple[str, ...] = ()
    duplicates: tuple[Duplicate, ...] = ("exact", "normalised", "near")
    duplicates_within: Literal["all", "source"] | None = None
    drop: tuple[Droppable, ...] = (
        "missing_column", "empty_rationale", "cut_off", "loop", "placeholder_answer",
    )  # fmt: skip
    against: tuple[str, ...] = ()
    overlap: tuple[Overlap, ...] = ("same_question", "same_stem", "most_of_question")
    paired: bool = False
    at_least: int | None = Field(default=None, ge=1)
    per_question: int | None = Field(default=None, ge=1)
    choose: Literal["first", "diverse"] = "first"
    fix: bool = Field(default=False, validation_alias=AliasChoices("fix", "mend"))

    @model_validator(mode="after")
    def _lengths_are_a_range(self) -> Filters:
        if None not in (self.min_tokens, self.max_tokens) and self.min_tokens > self.max_tokens:  # type: ignore[operator]
            raise ValueError(f"min_tokens {self.min_tokens} is above max_tokens {self.max_tokens}")
        return self

    @model_validator(mode="after")
    def _there_is_something_to_choose(self) -> Filters:
        if self.choose == "diverse" and self.per_question is None:
            raise ValueError("'choose: diverse' needs 'per_question', how many to choose")
        return self

    @property
    def scope(self) -> Literal["all", "source"]:
        """Among which rows duplicates are looked for; a pair's rows must not drop each other."""
        return self.duplicates_within or ("source" if self.paired else "all")
