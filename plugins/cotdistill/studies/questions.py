"""A question set of a study: where it comes from, and which part is kept for development."""

from __future__ import annotations

from pydantic import model_validator

from cotdistill.schema import Shape, key


class Questions(Shape):
    """Questions by benchmark, file or dataset; `dev` of them are trained on by no arm."""

    benchmark: str | None = key(None, "a benchmark of `cotdistill list benchmarks`", "svamp")
    split: str = key("train", "which of its splits", "train")
    file: str | None = key(None, "instead: a file of questions with reference answers", "q.jsonl")
    dataset: str | None = key(
        None,
        "instead: a registered dataset that is a local file, with reference answers as responses",
        "svamp_answer_only",
    )
    dev: float = key(
        0.0,
        "questions kept out of all training, for choices on the way: a share below 1 (by a hash of "
        "each question, so about as many), or a number (exactly as many); "
        "they are the evaluation task dev_<name>",
        0.1,
        ge=0,
    )
    largest_number: float | None = key(
        None,
        "development questions are asked only where no number in the question or its answer is "
        "larger; all of `dev` stay out of training",
        30,
        ge=0,
        allow_inf_nan=False,
    )
    seed: int = key(0, "which questions these are", 0)
    task: str | None = key(
        None, "task whose settings the development questions are asked with", "cot_svamp"
    )

    @model_validator(mode="after")
    def _one_source(self) -> Questions:
        if sum(one is not None for one in (self.benchmark, self.file, self.dataset)) != 1:
            raise ValueError("name one source: 'benchmark', 'file' or 'dataset'")
        if self.dev >= 1 and self.dev != int(self.dev):
            raise ValueError(f"dev {self.dev:g} is neither a number of questions nor a share")
        if self.largest_number is not None and not self.dev:
            raise ValueError("largest_number is for development questions: say dev as well")
        return self

    @property
    def is_written(self) -> bool:
        """Whether models are asked a file of the run folder, and not the source itself."""
        return bool(self.dev) or self.dataset is not None
