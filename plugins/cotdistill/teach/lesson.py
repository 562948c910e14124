"""One question taught: asked at each level, in each format and as often as wanted.

A response that misses its level, its format or the form of its last line is asked for again, at
most twice, with what was wrong; then it is kept and flagged.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cotdistill.catalogue.formats import TAUGHT, format_meant
from cotdistill.corpus.records.shape import Reasoning
from cotdistill.errors import MisuseError
from cotdistill.files.bundle import bundle_files
from cotdistill.teach.asking import Answer, Ask, Decoding, request_of
from cotdistill.teach.checks import faults_of, step_count
from cotdistill.teach.engine import Course
from cotdistill.teach.prompts import LEVELS, Prompts, values_for
from cotdistill.teach.questions import Item

_SECTION = re.compile(r"^\W*level\s+(\d)\W*$", re.IGNORECASE | re.MULTILINE)
PLAIN = "plain"


@dataclass(frozen=True)
class Lesson:
    """What a teacher is asked for about each question.

    `levels` empty asks for no level. `bundle` asks for all levels in one reply. `rewrite` turns the
    rationale that a question comes with into another level or format. `reasoning` says what becomes
    of thoughts that a server returns apart from the answer. `again` is how often a disobedient
    response is asked for once more.

    Raises:
        MisuseError: a level or a format that there is not, or parts that exclude each other.
    """

    decoding: Decoding
    levels: tuple[int, ...] = ()
    formats: tuple[str, ...] = ("natural",)
    samples: int = 1
    gold_shown: bool = False
    bundle: bool = False
    rewrite: bool = False
    reasoning: Reasoning = "drop"
    again: int = 2
    prompts: Prompts = field(default_factory=Prompts)

    def __post_init__(self) -> None:
        for level in self.levels:
            if level not in LEVELS:
                wrong = f"--levels: {level} is none; the levels are 1 (coarse) to 6 (fine)"
                raise MisuseError(wrong)
        known = (*TAUGHT, PLAIN)
        for name in self.formats:
            own = bundle_files("templates", f"prompts/teach/{name}.j2")
            if self.prompts.folder is None and name not in known and not own:
                raise MisuseError(f"--formats: no format '{name}'; {format_meant(name, known)}")
        if not self.formats or self.samples < 1:
            raise MisuseError("nothing to ask for: no format, or less than one sample")
        if PLAIN in self.formats and (self.levels or self.bundle or self.rewrite):
            raise MisuseError("the format plain has no levels, bundles or rewriting")
        if self.bundle and (len(self.levels) < 2 or self.formats != ("natural",)):
            wrong = "bundled levels are several levels of the format natural, as --levels 1-6"
            raise MisuseError(wrong)
        if self.bundle and self.rewrite:
            raise MisuseError("levels are either bundled or rewritten from traces, not both")
        decoding = self.decoding
        if self.samples > 1 and decoding.temperature == 0:
            raise MisuseError("several samples at temperature 0 are the same text; raise it")

    @functools.cached_property
    def cells(self) -> tuple[tuple[str, int | None], ...]:
        """Every format with every level."""
        levels: Sequence[int | None] = self.levels or (None,)
        return tuple((name, level) for name in self.formats for level in levels)

    @property
    def prompt_names(self) -> tuple[str, ...]:
        """The prompt files that are used."""
        if self.rewrite:
            return ("rewrite",)
        return ("bundle",) if self.bundle else self.formats


@dataclass(frozen=True, slots=True)
class Sample:
    """One response that was wanted, and what came of it.

    `text` is the rationale, empty unless the answer was kept. `faults` are what it misses, by kind;
    `steps` are its steps as its format counts them, without a thought; `asked` is how often it was
    asked for.
    """

    format: str
    level: int | None
    number: int
    answer: Answer
    text: str
    faults: Mapping[str, str]
    steps: int = 0
    asked: int = 1


@dataclass(frozen=True, slots=True)
class Taught:
    """All samples of one question, and every answer that they took."""

    samples: Sequence[Sample]
    answers: Sequence[Answer]

    @property
    def billed(self) -> Iterable[tuple[str, Answer]]:
        """The answers, each once, with the backend that gave them."""
        return [("", one) for one in {one.key: one for one in self.answers}.values()]


def taught(item: Item, lesson: Lesson) -> Course[Taught]:
    """Return the course of one question; see `engine`."""
    if lesson.bundle:
        return _bundled(item, lesson)
    return _separate(item, lesson)


def _separate(item: Item, lesson: Lesson) -> Course[Taught]:
    wanted = [(*cell, number) for cell in lesson.cells for number in range(lesson.samples)]
    best: dict[int, Sample] = {}
    tries: dict[int, int] = {}
    answers: list[Answer] = []
    left = list(range(len(wanted)))
    for attempt in range(1 + lesson.again):
        asks = []
        for place in left:
            name, level, number = wanted[place]
            contrast = "; ".join(best[place].faults.values()) if place in best else ""
            asks.append(_ask(item, lesson, name, level, number, contrast, attempt))
        got = yield asks
        answers += got
        again = []
        for place, answer in zip(left, got, strict=True):
            sample = _sample(item, lesson, wanted[place], answer)
            before = best.get(place)
            if before is None or (sample.text and len(sample.faults) <= len(before.faults)):
                best[place] = sample
            if sample.text and sample.faults:
                again.append(place)
        tries.update(dict.fromkeys(left, attempt + 1))
        left = again
        if not left:
            break
    found = [
        best[place] if tries[place] == 1 else replace(best[place], asked=tries[place])
        for place in range(len(wanted))
    ]
    return Taught(found, answers)


def _ask(
    item: Item,
    lesson: Lesson,
    format: str,  # noqa: A002
    level: int | None,
    number: int,
    contrast: str,
    attempt: int,
) -> Ask:
    values = values_for(
        item,
        level=level,
        format=format,
        gold_shown=lesson.gold_shown,
        rationale=item.rationale if lesson.rewrite else "",
        contrast=contrast,
    )
    name = "rewrite" if lesson.rewrite else format
    messages = lesson.prompts.messages(name, values)
    return Ask(request_of(lesson.decoding, messages, sample=number, round_=attempt))


def _sample(
    item: Item, lesson: Lesson, wanted: tuple[str, int | None, int], answer: Answer
) -> Sample:
    name, level, number = wanted
    text = _text_of(answer, lesson.reasoning) if answer.state == "kept" else ""
    if not text:
        return Sample(name, level, number, answer, text, {})
    own = answer.text.strip()
    faults = faults_of(own, name, level, item.question)
    return Sample(name, level, number, answer, text, faults, step_count(own, name))


def _text_of(answer: Answer, how: Reasoning) -> str:
    text = answer.text.strip()
    thought = answer.reasoning.strip()
    if not thought or how == "drop":
        return text
    if how == "plain":
        return f"{thought}\n\n{text}"
    return f"<think>\n{thought}\n</think>\n\n{text}"


def _bundled(item: Item, lesson: Lesson) -> Course[Taught]:
    best: dict[int, dict[int, Sample]] = {}
    tries: dict[int, int] = {}
    answers: list[Answer] = []
    left = list(range(lesson.samples))
    contrasts = dict.fromkeys(left, "")
    for attempt in range(1 + lesson.again):
        asks = []
        for number in left:
            values = values_for(
                item,
                gold_shown=lesson.gold_shown,
                levels=lesson.levels,
                contrast=contrasts[number],
            )
            messages = lesson.prompts.messages("bundle", values)
            asks.append(Ask(request_of(lesson.decoding, messages, sample=number, round_=attempt)))
        got = yield asks
        answers += got
        again = []
        for number, answer in zip(left, got, strict=True):
            found = _of_bundle(item, lesson, number, answer)
            before = best.get(number)
            if before is None or _badness(found) < _badness(before):
                best[number] = found
            faults = [
                f"level {level}: {fault}"
                for level, sample in found.items()
                for fault in sample.faults.values()
            ]
            missing = [level for level, sample in found.items() if not sample.text]
            if missing and answer.state == "kept":
                faults.append(f"level {missing[0]} is missing")
            contrasts[number] = "; ".join(faults[:3])
            if faults:
                again.append(number)
        tries.update(dict.fromkeys(left, attempt + 1))
        left = again
        if not left:
            break
    samples = [
        replace(best[number][level], asked=tries[number])
        for level in lesson.levels
        for number in range(lesson.samples)
    ]
    return Taught(samples, answers)


def _of_bundle(item: Item, lesson: Lesson, number: int, answer: Answer) -> dict[int, Sample]:
    parts = bundle_parts(answer.text) if answer.state == "kept" else {}
    found = {}
    for level in lesson.levels:
        text = parts.get(level, "")
        faults = faults_of(text, "natural", level, item.question) if text else {}
        of = answer
        if answer.state == "kept" and not text:
            of = Answer(answer.key, "failed", why=f"its reply holds no part for level {level}")
        steps = step_count(text) if text else 0
        found[level] = Sample("natural", level, number, of, text, faults, steps)
    return found


def bundle_parts(text: str) -> dict[int, str]:
    r"""Return the solutions of a reply by the level in their markers; the first of a level counts.

    >>> bundle_parts("### Level 1\n24\n### Level 2\n6 * 4 = 24\n")
    {1: '24', 2: '6 * 4 = 24'}
    """
    pieces = _SECTION.split(text)
    found: dict[int, str] = {}
    for level, part in zip(pieces[1::2], pieces[2::2], strict=True):
        if part.strip():
            found.setdefault(int(level), part.strip())
    return found


def _badness(found: Mapping[int, Sample]) -> tuple[int, int]:
    missing = sum(not sample.text for sample in found.values())
    return missing, sum(len(sample.faults) for sample in found.values())


def levels_of(text: str | None) -> tuple[int, ...]:
    """Return the levels that were typed: one, a range or a list.

    Raises:
        MisuseError: it is none.

    >>> levels_of("1-3"), levels_of("1,3,6"), levels_of(None)
    ((1, 2, 3), (1, 3, 6), ())
    """
    if not text:
        return ()
    found: dict[int, None] = {}
    for part in text.split(","):
        low, dash, high = part.strip().partition("-")
        if not low.isdecimal() or (dash and not high.isdecimal()) or len(low + high) > 4:
            raise MisuseError(f"--levels: '{text}' is no list of levels; expected 1-6 or 1,3,6")
        found |= dict.fromkeys(range(int(low), int(high or low) + 1))
    if not found:
        raise MisuseError(f"--levels: '{text}' names no level; expected 1-6 or 1,3,6")
    return tuple(found)
