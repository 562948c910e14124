"""The two-stage judge: the grader first, then a language model on what it did not call right.

A random share of what the grader calls right is asked about too, so that the judge is judged and
an error of the grader in either direction shows. Every answer is kept by its content: a second
run, or one after a kill, asks only what is not yet known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cotdistill.files.journal import Journal
from cotdistill.files.templates import render
from cotdistill.grading.grade import Grade
from cotdistill.hosts.lm_eval.generated import with_text
from cotdistill.hosts.lm_eval.samples import Sample, SampleFile, find_samples
from cotdistill.hosts.request import Asker, Reply, Request
from cotdistill.results.judge.opinion import Opinion, is_audited, mark_of, read_opinion, tail_of
from cotdistill.results.questions import QuestionId, single_samples, text_of
from cotdistill.results.regrade import Task, regrade, task_of

CUT_OFF = "the judge's reply was cut off at max_tokens"
_CHARACTERS_A_TOKEN = 4


@dataclass(frozen=True)
class Judge:
    """Who is asked, and how: the model's name and what is sent with every question.

    `audit` is the share of right answers that are asked about; `skip_cut_off` leaves answers
    that never came to an end to the grader.
    """

    model: str
    audit: float = 0.1
    seed: int = 0
    max_tokens: int = 512
    skip_cut_off: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Budget:
    """The most that may be asked in one call; None is no limit."""

    requests: int | None = None
    tokens: int | None = None


@dataclass
class Spent:
    """What a call asked and what it cost.

    `known` counts questions whose answer was kept from before; `left` those that a budget left
    out; `failed` those that the server did not answer.
    """

    known: int = 0
    asked: int = 0
    failed: int = 0
    left: int = 0
    prompt_tokens: int = 0
    reply_tokens: int = 0


@dataclass(frozen=True)
class Item:
    """One response: what the grader says, whether the judge is asked, and what it says.

    `grade` is None where the question has no reference answer. `audit` marks an answer that the
    grader calls right. `opinion` is None where nobody was asked or the answer did not come.
    """

    key: str
    question: QuestionId
    index: int
    grade: Grade | None
    asked: bool
    audit: bool
    opinion: Opinion | None = None

    @property
    def correct(self) -> bool:
        """The final verdict: the grader's "right" stands, its other verdicts give way."""
        raised = self.opinion is not None and self.opinion.ruling == "correct"
        return raised or (self.grade is not None and self.grade.correct)


@dataclass(frozen=True)
class Judged:
    """One samples file with a verdict of both stages on every response."""

    file: SampleFile
    items: tuple[Item, ...]


def judge(
    places: Sequence[Path],
    asker: Judge,
    ask: Asker,
    cache: Path,
    *,
    task: str | None = None,
    stamp: str | None = None,
    golds: Mapping[str, str] | None = None,
    budget: Budget | None = None,
    dry_run: bool = False,
    tell: Callable[[str], None] | None = None,
) -> tuple[list[Judged], Spent]:
    """Grade every response, ask the judge about those that need it, and join the two.

    `ask` sends requests (see `hosts.endpoint` and `hosts.vllm`); it is not called in a dry run.

    Raises:
        DataError: there are no samples.
        EndpointError: the judge cannot be reached; what it answered is kept.
    """
    files = with_text(find_samples(places, task, stamp), tell)
    graded = [(file, _graded(file, golds or {}, asker)) for file in files]
    spent = Spent()
    with Journal(cache) as journal:
        requests = _requests(graded, asker, golds or {}, journal, spent, budget or Budget())
        if dry_run:
            for request in requests:
                spent.asked += 1
                spent.prompt_tokens += _tokens(request)
                spent.reply_tokens += asker.max_tokens
        else:
            ask(requests, lambda request, reply: _keep(journal, spent, request, reply))
        judged = [
            Judged(file, tuple(_with_opinions(file, items, asker, golds or {}, journal)))
            for file, items in graded
        ]
    return judged, spent


def request_for(sample: Sample, response: str, gold: str, asker: Judge) -> Request:
    """Return what is asked about one response: the question, the gold answer, the tail."""
    shown = tail_of(response)
    question = text_of(sample)
    mark = mark_of(question, gold, shown)
    values = {
        "question": question.strip(),
        "gold": gold,
        "response": shown,
        "shortened": len(shown) < len(response),
        "mark": mark,
    }
    return Request(
        asker.model,
        ({"role": "user", "content": render("prompts/judge.j2", values)},),
        temperature=0,
        max_tokens=asker.max_tokens,
        extra=asker.extra,
    )


def _graded(file: SampleFile, golds: Mapping[str, str], asker: Judge) -> list[Item]:
    names = ((one, sample) for one, sample in single_samples(file))
    tasks = (task_of(sample, golds) for _, sample in single_samples(file))
    items = []
    for (question, sample), grades in zip(names, regrade(tasks), strict=True):
        if grades is None:
            count = len(sample.responses)
            items += [Item(sample.key, question, n, None, False, False) for n in range(count)]
            continue
        for index, grade in enumerate(grades):
            audit = grade.correct and is_audited(
                f"{file.task}\x00{question}\x00{index}", asker.audit, asker.seed
            )
            skipped = asker.skip_cut_off and grade.outcome == "cut_off"
            needed = not grade.correct and not skipped
            items.append(Item(sample.key, question, index, grade, needed or audit, audit))
    return items


def _asked_requests(
    file: SampleFile, items: Sequence[Item], asker: Judge, golds: Mapping[str, str]
) -> Iterator[tuple[int, Request]]:
    """Yield the place of every item that is asked about, with its request."""
    place = 0
    for _, sample in single_samples(file):
        wanted = task_of(sample, golds)
        for response in wanted.responses:
            if items[place].asked:
                yield place, request_for(sample, response, _gold(wanted), asker)
            place += 1


def _gold(wanted: Task) -> str:
    assert wanted.gold is not None  # an item without a gold answer is never asked about
    return wanted.gold


def _requests(
    graded: Sequence[tuple[SampleFile, list[Item]]],
    asker: Judge,
    golds: Mapping[str, str],
    journal: Journal,
    spent: Spent,
    budget: Budget,
) -> Iterator[Request]:
    under_way: set[str] = set()
    sent = estimated = 0
    for file, items in graded:
        for _, request in _asked_requests(file, items, asker, golds):
            if request.digest in journal or request.digest in under_way:
                spent.known += 1
                continue
            used = max(spent.prompt_tokens + spent.reply_tokens, estimated)
            full = budget.requests is not None and sent >= budget.requests
            dear = budget.tokens is not None and used + _tokens(request) > budget.tokens
            if full or dear:
                spent.left += 1
                continue
            under_way.add(request.digest)
            sent += 1
            estimated += _tokens(request)
            yield request


def _tokens(request: Request) -> int:
    return len(request.encoded) // _CHARACTERS_A_TOKEN


def _keep(journal: Journal, spent: Spent, request: Request, reply: Reply) -> None:
    if reply.failure:
        spent.failed += 1
        return
    spent.asked += 1
    spent.prompt_tokens += reply.usage.prompt_tokens or _tokens(request)
    written = reply.usage.completion_tokens
    spent.reply_tokens += written or len(reply.content) // _CHARACTERS_A_TOKEN
    journal.add(request.digest, {"text": reply.content, "finish_reason": reply.finish_reason})


def _with_opinions(
    file: SampleFile,
    items: Sequence[Item],
    asker: Judge,
    golds: Mapping[str, str],
    journal: Journal,
) -> Iterator[Item]:
    opinions: dict[int, Opinion] = {}
    for place, request in _asked_requests(file, items, asker, golds):
        held = journal.latest(request.digest)
        if held is not None:
            said = read_opinion(held["text"])
            if said.ruling == "undecided" and held["finish_reason"] == "length":
                said = Opinion("undecided", CUT_OFF)
            opinions[place] = said
    for place, item in enumerate(items):
        yield Item(
            item.key,
            item.question,
            item.index,
            item.grade,
            item.asked,
            item.audit,
            opinions.get(place),
        )
