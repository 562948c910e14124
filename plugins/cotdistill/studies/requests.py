"""What a study asks of a model that writes training rows: of a teacher, a sampled model, a loop."""

from __future__ import annotations

import json
from typing import Any, Literal, Self, TypeVar, get_args

from pydantic import (
    ModelWrapValidatorHandler,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from cotdistill.catalogue.formats import format_called, format_meant
from cotdistill.corpus.records.shape import Reasoning
from cotdistill.distill.settings import Distillation, Teacher, with_preset
from cotdistill.errors import MisuseError
from cotdistill.schema import Shape, key
from cotdistill.studies.prompt import Thinking, word_of_switch
from cotdistill.teach.limits import MOST_SAMPLES
from cotdistill.teach.profiles import profile_called

Format = Literal["natural", "least-to-most", "rephrase", "symbolic", "program", "plain"]
CAPTURED_TOKENS = 32
"""Likeliest tokens that are stored a place where a recipe keeps all: a capture cannot."""
Strategy = Literal["vanilla", "uniform", "answer", "rationale", "interactive", "state_reset"]


class Decoding(Shape):
    """How a model is asked: its decoding (null leaves a value to the server) and its limits."""

    temperature: float | None = key(None, "0 is greedy", 0.7, ge=0)
    top_p: float | None = key(None, "share of the probability that is drawn from", 0.95, gt=0, le=1)
    max_tokens: int = key(4096, "tokens of a response", 16384, ge=1)
    seed: int = key(0, "each request derives its own from it", 0)
    thinking: Thinking = key("data", "on, off, or data: as the model does by itself", "on")
    stop: list[str] = key([], "texts that end a response", ["\n\nQuestion:"])
    extra: dict[str, Any] = key(
        {}, "more keys of the request's body, as the server knows them", {"top_k": 20}
    )
    allow_missing: float = key(
        0.1, "share of responses that may be truncated or missing; more fails the job", 0.5,
        ge=0, le=1,
    )  # fmt: skip
    budget: float | None = key(
        None, "most money for the arm, all starts together; the model needs a price", 5.0,
        ge=0, allow_inf_nan=False,
    )  # fmt: skip
    budget_tokens: int | None = key(
        None, "most tokens for the arm, all starts together", 2_000_000, ge=0
    )

    _switch = field_validator("thinking", mode="before")(word_of_switch)

    @model_serializer(mode="wrap")
    def _without_unused(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out keys that came later where they say nothing, so that no digest changes."""
        later = ("extra", "budget", "budget_tokens")
        unused = {name for name in later if getattr(self, name) in (None, {})}
        return {name: value for name, value in dump(self).items() if name not in unused}

    @field_validator("extra")
    @classmethod
    def _is_json(cls, extra: dict[str, Any]) -> dict[str, Any]:
        try:
            json.dumps(extra, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError("a value is no JSON: text, numbers, lists and mappings") from error
        return extra

    @field_validator("format", mode="before", check_fields=False)
    @classmethod
    def _one_name_of_a_format(cls, name: Any) -> Any:
        """Take the names that papers have for a format, and point to the nearest one."""
        known = get_args(cls.model_fields["format"].annotation)
        found = format_called(name)
        if isinstance(found, str) and found not in known:
            raise ValueError(f"no format '{name}'; {format_meant(found, known)}")
        return found


class TeachRequest(Decoding):
    """What a teacher writes: `samples` rationales a question, at one level, in one format.

    `profile` names a set of defaults of `templates/prompts/teach/profiles/` for the other keys.
    """

    profile: str | None = key(None, "long, short, micota, mentor-kd, or a file: defaults", "micota")
    questions: str = key(..., "a question set of `questions:`", "svamp")
    teacher: str = key(..., "a model of `models:`", "teacher")
    level: int | None = key(None, "granularity 1 to 6; null: as the teacher likes", 3, ge=1, le=6)
    format: Format = key(
        "natural", "form of the rationale; bsm, rar and sym are read as its names too", "symbolic"
    )
    samples: int = key(1, "rationales a question", 4, ge=1, le=MOST_SAMPLES)
    gold: Literal["hidden", "shown"] = key("hidden", "whether the teacher sees the answer", "shown")
    prompt: str | None = key(None, "a file of templates/prompts/teach/; null: by format", "mine")
    rewrite_of: str | None = key(None, "arm whose rationales are rewritten instead", "level-3")
    reasoning: Reasoning = key(
        "drop", "thoughts in the rationale: think (in tags), plain, or drop", "think"
    )
    again: int = key(2, "how often a disobedient response is asked for again", 0, ge=0, le=2)
    one_call: bool = key(
        False, "asks in one reply for the levels of all arms that differ in nothing else", True
    )

    @model_validator(mode="wrap")
    @classmethod
    def _profile_fills_in(cls, value: Any, read: ModelWrapValidatorHandler[Self]) -> Self:
        """Take a profile's values; only the keys that were written count as set."""
        asked = read(_with_profile(value))
        if isinstance(value, dict):
            asked.model_fields_set.intersection_update(value)
        return asked

    @model_validator(mode="after")
    def _can_be_one_call(self) -> TeachRequest:
        if not self.one_call:
            return self
        lacks = [] if self.level is not None else ["a level"]
        lacks += [] if self.format == "natural" else ["the format natural"]
        lacks += ["no prompt of its own"] if self.prompt is not None else []
        lacks += ["questions to answer, not rewrite_of"] if self.rewrite_of is not None else []
        if lacks:
            raise ValueError(f"one_call needs {', '.join(lacks)}")
        return self


class SampleRequest(Decoding):
    """What a model samples: answers to questions, graded as they arrive."""

    questions: str | list[str] = key(..., "question sets of `questions:`", "svamp")
    model: str | None = key(None, "a model of `models:`; null in `improve`: its student", "mentor")
    strategy: Strategy = key("uniform", "who gets help, and which", "state_reset")
    format: Literal["natural", "program"] = key("natural", "form of the rationale", "program")
    samples: int = key(1, "answers a question", 3, ge=1, le=MOST_SAMPLES)
    min_correct: int = key(1, "correct answers after which a question rests", 4, ge=0)
    attempts: int = key(1, "most resamplings of a question", 8, ge=1, le=MOST_SAMPLES)
    helper: str | None = key(None, "model that corrects, for interactive", "teacher")
    keep: Literal["correct", "all"] = key(
        "correct", "all: wrong answers become rows too, with a flag, as Mentor-KD's do", "all"
    )


DecodingT = TypeVar("DecodingT", bound=Decoding)


def asked_of_reasoning(asked: DecodingT) -> DecodingT:
    """Return what one of OpenAI's reasoning models is asked: not what only a profile sets.

    >>> asked = TeachRequest(questions="q", teacher="t", profile="long")
    >>> asked.temperature, asked_of_reasoning(asked).temperature
    (0.0, None)
    """
    from cotdistill.teach.asking import NOT_FOR_REASONING

    usual = type(asked).model_fields
    unset = [name for name in NOT_FOR_REASONING if name not in asked.model_fields_set]
    defaults = {name: usual[name].get_default(call_default_factory=True) for name in unset}
    return asked.model_copy(update=defaults)


def _with_profile(asked: Any) -> Any:
    """Return what a teacher is asked with its profile's values for the keys that are not given."""
    if not isinstance(asked, dict):
        return asked
    found: dict[str, Any] = {}
    if isinstance(asked.get("profile"), str):
        try:
            profile = profile_called(asked["profile"])
        except MisuseError as error:
            raise ValueError(str(error).removeprefix("--")) from error
        found = profile.model_dump(include=profile.model_fields_set)
        name = format_called(found.pop("format", profile.format))
        found |= {"prompt": name} if name not in get_args(Format) else {"format": name}
    if word_of_switch(asked.get("thinking", found.get("thinking"))) == "on":
        found.setdefault("reasoning", "think")
    return found | asked


class Keep(Shape):
    """Which rows a round is trained on."""

    data: Literal["none", "previous", "original"] = key(
        "none", "rows besides the new ones: of no round, of earlier rounds, of the start", "none"
    )
    per_question: int | None = key(None, "most rows of one question", 4, ge=1)
    balance: bool = key(
        False, "equally many rows of each fifth of difficulty, as far as there are so many", True
    )


class Stop(Shape):
    """When a loop ends early: after `patience` rounds that gain no more than `gain` points."""

    patience: int = key(1, "rounds without such a gain, one after the other", 1, ge=1)
    gain: float = key(
        0.0, "points more than the best round before, on the development questions", 0.5,
        ge=0, lt=100, allow_inf_nan=False,
    )  # fmt: skip


class Loop(Shape):
    """Rounds of sample, filter, train: an arm whose training rows its own student writes."""

    recipe: str = key(..., "recipe of every round", "full")
    rounds: int = key(..., "most rounds", 4, ge=1, le=99)
    sample: SampleRequest = key(
        ..., "what each round samples", {"questions": ["gsm8k"], "strategy": "state_reset"}
    )
    start: str | None = key(
        None, "arm that the first model is trained on; null: the student as it is", "start"
    )
    from_: Literal["base", "previous"] = key(
        "base", "which model a round trains: the student as it is, or the last round's",
        "previous", alias="from",
    )  # fmt: skip
    keep: Keep = key(Keep(), "which rows a round trains on", {"per_question": 4})
    stop: Stop | None = key(
        Stop(), "when the loop ends early; null: after all rounds", {"patience": 1}
    )
    capture: bool = key(
        False,
        "store the signals of the recipe's kd teacher for each round's rows before training, "
        "instead of loading the teacher next to the student",
        True,
    )
    difficulty: str | None = key(
        None,
        "key of the questions' meta that says how hard they are; null: fifths by how many answers "
        "of round 1 are right",
        "level",
    )

    likelihood: int | None = key(
        None,
        "rows of a round, each of another question, whose likelihood under the model that wrote "
        "them is measured by a forward pass; null: none, and the first training loss stands in",
        200,
        ge=2,
    )

    @model_validator(mode="before")
    @classmethod
    def _truncated_samples_are_no_fault(cls, value: Any) -> Any:
        """A weak student truncates many; a round counts them, and an alarm tells of them."""
        if isinstance(value, dict) and isinstance(value.get("sample"), dict):
            return {**value, "sample": {"allow_missing": 1.0, **value["sample"]}}
        return value

    @model_validator(mode="after")
    def _can_stop(self) -> Loop:
        if self.stop is not None and 1 < self.rounds <= self.stop.patience:
            raise ValueError(
                f"stop.patience {self.stop.patience} never ends a loop of {self.rounds} rounds "
                f"early; use 1 to {self.rounds - 1}, or stop: null to do all rounds"
            )
        if self.sample.model is not None:
            raise ValueError("sample.model: a loop samples its own student; leave it out")
        limits = {"budget": self.sample.budget, "budget_tokens": self.sample.budget_tokens}
        if given := [f"sample.{name}" for name, value in limits.items() if value is not None]:
            raise ValueError(
                f"{', '.join(given)}: a loop has no budget; rounds, samples and attempts bound "
                "what it asks, and `plan` shows how much that is"
            )
        if self.sample.strategy == "interactive" and self.sample.helper is None:
            raise ValueError("the strategy interactive needs a 'helper' that corrects")
        return self


class Improve(Loop):
    """Loops of sample, filter, train: each cell of `for` is an arm, `improve-<strategy>`."""

    for_: dict[str, list[Any]] = key(
        {}, "strategies or other keys of sample that become loops, each an arm",
        {"strategy": ["uniform", "state_reset"]}, alias="for",
    )  # fmt: skip
    start: dict[str, Any] | str | None = key(  # type: ignore[assignment]
        None,
        "an arm that the first model is trained on, or its name; null: the student as it is",
        {"dataset": "MathInstruct"},
    )


class Race(Shape):
    """Seeds go to the leading arms in batches, instead of equally many to each.

    The seeds of the race are others than those of `seeds`, which only the finalists are trained
    with: their comparison on the test questions owes nothing to the race.
    """

    procedure: Literal["leaders", "halving"] = key(
        "leaders",
        "leaders: a seed a batch for the arms that may be best; halving: 1, 2, 4 seeds for ever "
        "fewer arms",
        "halving",
    )
    first: int = key(1, "seeds of every arm before any is dropped", 1, ge=1)
    batches: int = key(4, "batches of seeds that follow", 4, ge=1, le=20)
    top: int = key(3, "arms that a batch goes to; of halving: that stay at least", 3, ge=1)
    final: int = key(1, "leaders that are compared on the test questions in the end", 2, ge=1)
    on: Literal["dev"] = key("dev", "questions that decide", "dev")


class Distill(Shape):
    """Knowledge distillation on top of a recipe: the `kd:` block of `cotdistill train`."""

    teacher: str | Teacher | None = key(
        None,
        "a model of `models:` or the catalogue, or {signals: DIR} of `capture`; consistency has "
        "none",
        "mentor",
    )
    preset: Literal["mentor-kd", "mcc-kd"] | None = key(
        None, "a paper's formula, exactly", "mentor-kd"
    )
    weight: float = key(0.5, "share of the distillation loss", 0.3, ge=0, le=1)
    temperature: float | None = key(None, "of both distributions; null: 1", 2.0, gt=0, le=100)
    t2_scale: bool = key(True, "multiply the loss by the temperature's square", True)
    divergence: Literal[
        "forward_kl", "reverse_kl", "jsd", "skew_forward", "skew_reverse", "tvd", "soft_ce",
        "logit_mse", "hidden_mse", "consistency", "none",
    ] = key("forward_kl", "what is minimised", "forward_kl")  # fmt: skip
    beta: float | None = key(None, "of jsd", 0.5, gt=0, lt=1)
    alpha: float | None = key(None, "of the skewed divergences", 0.1, gt=0, lt=1)
    top_k: int | None = key(None, "teacher's probabilities kept a token; null: all", 64, ge=1)
    hidden_weight: float | None = key(
        None, "adds the squared error of the last hidden states, times this", 0.5, gt=0, le=100
    )
    chunk: int | None = key(None, "tokens whose logits exist at once", 1024, ge=1)
    count_padding: bool = key(
        False, "repeat Mentor-KD's bug: a mean over padding and prompt too", True
    )
    rows: dict[str, Any] | None = key(
        None, "which rows of the arm it applies to; null: all", {"source": "mentor"}
    )

    @model_validator(mode="before")
    @classmethod
    def _preset_fills_in(cls, value: Any) -> Any:
        return with_preset(value)

    @model_validator(mode="after")
    def _is_a_block(self) -> Distill:
        """Let `cotdistill train`'s own shape object to what has no effect."""
        try:
            self.block("teacher" if isinstance(self.teacher, str) else self.teacher)
        except ValidationError as invalid:
            raise ValueError(str(invalid.errors()[0]["ctx"]["error"])) from invalid
        return self

    def block(self, teacher: str | Teacher | None) -> Distillation:
        """Return the `kd:` block of a training file, with the teacher where it lies."""
        given = self.model_dump(exclude={"teacher", "preset"}, exclude_none=True)
        return Distillation.model_validate({"teacher": teacher, **given})
