"""One question sampled: plain at first, then with guidance until enough answers are right.

Guided Self-Improvement (Ding et al. 2024, arXiv:2411.00750) has six strategies; they differ in what
is asked when too few plain samples are right. Whatever guided a sample, the student is trained on
the plain question with it, so guidance must not show in the text (`guards`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar, get_args

from cotdistill.benchmarks.choices import Form
from cotdistill.benchmarks.instruction import frame_of
from cotdistill.errors import MisuseError, did_you_mean
from cotdistill.files.templates import render
from cotdistill.teach.asking import Answer, Ask, Decoding, request_of
from cotdistill.teach.continuing import Way, continued, joined
from cotdistill.teach.engine import Course
from cotdistill.teach.graded import NOT_GRADED, Graded, Grader, graded_text
from cotdistill.teach.guards import copies, mentions_hint, mentions_teacher, states_result
from cotdistill.teach.prefixes import prefixes_of
from cotdistill.teach.prompts import unstated
from cotdistill.teach.questions import Item

Strategy = Literal["vanilla", "uniform", "answer", "rationale", "interactive", "state_reset"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
NEEDS_RATIONALE = frozenset({"rationale", "interactive", "state_reset"})
TEACHER = "teacher"

Result = TypeVar("Result")
Steps = Generator[Sequence[Ask], Sequence[Answer], Result]


@dataclass(frozen=True)
class Plan:
    """How one question is sampled.

    `samples` plain ones come first. Then, where fewer than `min_correct` different ones are right,
    one more a round, at most `rounds` times, as the strategy says. `helper` is how the teacher of
    the interactive strategy is sampled, `way` how the state reset continues texts. `instruction` is
    asked instead of ours: around `{question}`, else after a blank line, as the prompt of a study;
    `system` is the system message.
    """

    decoding: Decoding
    strategy: Strategy = "vanilla"
    samples: int = 8
    min_correct: int = 4
    rounds: int = 8
    mode: Literal["cot", "program"] = "cot"
    way: Way = field(default_factory=Way)
    helper: Decoding | None = None
    instruction: str | None = None
    system: str | None = None
    grader: Grader = field(default=graded_text)

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise MisuseError(
                f"--strategy: no strategy '{self.strategy}'; "
                f"{did_you_mean(self.strategy, STRATEGIES)}"
            )
        if self.samples < 1:
            raise MisuseError("-k: at least one sample is needed")
        if self.samples > 1 and self.decoding.temperature == 0:
            raise MisuseError("several samples at temperature 0 are the same text; raise it")
        if self.strategy == "interactive" and self.helper is None:
            raise MisuseError(
                "the interactive strategy needs a teacher: --teacher-endpoint and --teacher-model"
            )

        if self.strategy == "interactive" and self.decoding.api == "completions":
            raise MisuseError("the interactive strategy is a conversation; completions has none")

    @property
    def guided_rounds(self) -> int:
        """The most rounds after the plain ones."""
        return 0 if self.strategy == "vanilla" else self.rounds


@dataclass(frozen=True, slots=True)
class Attempt:
    """One sample: in which round, guided by what, what came and how it was graded.

    `rejected` says which guard it failed; such a text counts as a sample and never as correct.
    `correction` is the teacher's reply before it; where that is missing, it is the `answer` too.
    """

    round: int
    number: int
    guided: str
    answer: Answer
    text: str = ""
    graded: Graded = NOT_GRADED
    rejected: str = ""
    prefix_mode: str = ""
    history: Sequence[dict[str, str]] = ()
    correction: Answer | None = None

    @property
    def billed(self) -> list[tuple[str, Answer]]:
        """The answers that it took, with the backend that gave them: the model's, the teacher's."""
        own = [] if self.answer is self.correction else [("", self.answer)]
        return own + ([] if self.correction is None else [(TEACHER, self.correction)])

    @property
    def is_correct(self) -> bool:
        """Whether it may be trained on."""
        return self.graded.correct is True and not self.rejected


@dataclass(frozen=True, slots=True)
class Sampled:
    """All attempts at one question, and every answer that they took, the teacher's too."""

    attempts: Sequence[Attempt]
    answers: Sequence[Answer]

    def correct(self) -> list[Attempt]:
        """Return the correct attempts whose text differs from earlier ones, in their order."""
        seen: dict[str, Attempt] = {}
        for attempt in self.attempts:
            if attempt.is_correct:
                seen.setdefault(normal(attempt.text), attempt)
        return list(seen.values())

    @property
    def billed(self) -> Iterable[tuple[str, Answer]]:
        """All answers, with the backend that gave them."""
        return (one for attempt in self.attempts for one in attempt.billed)


def normal(text: str) -> str:
    r"""Return a text by which two samples count as the same one.

    >>> normal("It is  4.\n") == normal("it is 4")
    True
    """
    return " ".join(text.lower().split()).rstrip(".")


def sampled(item: Item, plan: Plan) -> Course[Sampled]:
    """Return the course of one question; see `engine`."""
    attempts: list[Attempt] = []
    answers: list[Answer] = []
    plain = _plain(item, plan)
    got = yield [
        Ask(request_of(plan.decoding, plain, sample=number)) for number in range(plan.samples)
    ]
    answers += got
    attempts += [_attempt(item, plan, 0, number, "", answer) for number, answer in enumerate(got)]
    prefixes = prefixes_of(item.rationale, item.gold, item.kind)
    for round_ in range(1, plan.guided_rounds + 1):
        if len(Sampled(attempts, ()).correct()) >= plan.min_correct:
            break
        if any(answer.state == "open" for answer in answers):
            break  # what is missing may be right; the next run goes on from here
        if plan.strategy == "interactive":
            revised = yield from _corrected(item, plan, round_, attempts, answers)
            if revised is None:
                continue
            attempt = revised
        elif plan.strategy == "state_reset":
            if not prefixes:
                break
            prefix = prefixes[(round_ - 1) % len(prefixes)]
            attempt = yield from _resumed(item, plan, round_, prefix, answers)
        else:
            attempt = yield from _hinted(item, plan, round_, answers)
        attempts.append(attempt)
    return Sampled(attempts, answers)


def _hinted(item: Item, plan: Plan, round_: int, answers: list[Answer]) -> Steps[Attempt]:
    """Ask again plainly, or with the reference answer, or with the reference solution."""
    number = plan.samples + round_ - 1
    guided = "" if plan.strategy == "uniform" else plan.strategy
    text = _prompt(item, plan, guided) if guided else _asked(item, plan)
    messages = _messages(plan, text)
    (answer,) = yield [Ask(request_of(plan.decoding, messages, sample=number, round_=round_))]
    answers.append(answer)
    return _attempt(item, plan, round_, number, guided, answer)


def _resumed(
    item: Item, plan: Plan, round_: int, prefix: str, answers: list[Answer]
) -> Steps[Attempt]:
    """Let the student go on from the beginning of the reference solution."""
    number = plan.samples + round_ - 1
    request = continued(
        plan.decoding,
        plan.way,
        _plain(item, plan),
        prefix,
        quoted=_messages(plan, _prompt(item, plan, "continue", prefix=prefix)),
        sample=number,
        round_=round_,
    )
    (answer,) = yield [Ask(request)]
    answers.append(answer)
    return _attempt(item, plan, round_, number, "prefix", answer, _Help(prefix))


def _corrected(
    item: Item, plan: Plan, round_: int, attempts: Sequence[Attempt], answers: list[Answer]
) -> Steps[Attempt | None]:
    """Let a teacher name the first wrong step of the latest attempt, and the student try again."""
    assert plan.helper is not None
    wrong = [one for one in attempts if one.text and not one.is_correct]
    spoken = wrong or [one for one in attempts if one.text]
    if not spoken:
        return None
    last = spoken[-1]
    question = _prompt(item, plan, "correction", attempt=last)
    asked = request_of(plan.helper, _user(question), sample=last.number, round_=round_)
    (correction,) = yield [Ask(asked, TEACHER)]
    answers.append(correction)
    number = plan.samples + round_ - 1
    if correction.state != "kept":
        return Attempt(round_, number, TEACHER, correction, correction=correction)
    comment = correction.text.strip()
    turns = [
        *_plain(item, plan),
        {"role": "assistant", "content": last.text},
        {"role": "user", "content": _prompt(item, plan, "revise", correction=comment)},
    ]
    (answer,) = yield [Ask(request_of(plan.decoding, turns, sample=number, round_=round_))]
    answers.append(answer)
    attempt = _attempt(item, plan, round_, number, TEACHER, answer, _Help("", comment, turns))
    return replace(attempt, correction=correction)


@dataclass(frozen=True)
class _Help:
    """What a student was given: the beginning of a solution, or a comment with the talk so far."""

    prefix: str = ""
    correction: str = ""
    history: Sequence[dict[str, str]] = ()


_NO_HELP = _Help()


def _attempt(
    item: Item,
    plan: Plan,
    round_: int,
    number: int,
    guided: str,
    answer: Answer,
    help_: _Help = _NO_HELP,
) -> Attempt:
    prefix, history = help_.prefix, help_.history
    mode = plan.way.mode if prefix else ""
    if answer.state != "kept":
        return Attempt(round_, number, guided, answer, prefix_mode=mode, history=history)
    text = answer.text.strip() if not prefix else joined(prefix, answer.text).strip()
    rejected = _guard(item, plan, guided, answer.text, help_.correction)
    graded = plan.grader(text, item)
    return Attempt(round_, number, guided, answer, text, graded, rejected, mode, history)


def _guard(item: Item, plan: Plan, guided: str, text: str, correction: str) -> str:
    if guided in ("answer", "rationale"):
        found = mentions_hint(text, item.question)
        if not found and guided == "rationale":
            found = copies(text, item.rationale)
        if not found and plan.mode == "program":
            found = states_result(text)
        return found
    if guided == TEACHER:
        return mentions_teacher(text, correction, item.question)
    return ""


def _plain(item: Item, plan: Plan) -> tuple[dict[str, str], ...]:
    return _messages(plan, _asked(item, plan))


def _asked(item: Item, plan: Plan) -> str:
    if plan.instruction is None:
        return _prompt(item, plan, "plain")
    form: Form = "row" if plan.mode == "program" else "lines"
    return frame_of(plan.instruction).asked(item.question.strip(), item.options, form)


def _messages(plan: Plan, text: str) -> tuple[dict[str, str], ...]:
    system = ({"role": "system", "content": plan.system},) if plan.system else ()
    return (*system, {"role": "user", "content": text})


def _prompt(item: Item, plan: Plan, name: str, **more: Any) -> str:
    values: dict[str, Any] = {
        "question": item.question.strip(),
        "choices": unstated(item.options or {}, item.question),
        "gold": item.gold,
        "rationale": item.rationale.strip(),
        "mode": plan.mode,
        "mark": hashlib.sha256(item.question.encode(errors="surrogatepass")).hexdigest()[:12],
    }
    if name != "plain":
        values["plain"] = _asked(item, plan)
    last = more.pop("attempt", None)
    if last is not None:
        values |= {"attempt": last.text, "is_correct": last.graded.correct is True}
    return render(f"prompts/sample/{name}.j2", values | more).strip()


def _user(text: str) -> tuple[dict[str, str], ...]:
    return ({"role": "user", "content": text},)
