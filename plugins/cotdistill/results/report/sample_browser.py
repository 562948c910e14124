"""The responses that a page carries for its browser: a sample of questions, the same in every run.

A page must stay a few megabytes, so each task shows as many questions as fit, those on which runs
differ first, and long responses lose their middle. What is left out is counted.

Responses are gathered while the samples files are read for their scores, since no file is read
twice. Which questions will be shown is known only at the end, so more are kept than fit: all of
them where there is room, else a share chosen by the questions' keys, so that every run keeps the
same ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from cotdistill.benchmarks.question import KEY_DIGITS, options_of
from cotdistill.files.jsonl import Row
from cotdistill.hosts.lm_eval.golds import gold_of
from cotdistill.hosts.lm_eval.samples import Sample
from cotdistill.results.questions import QuestionId, by_name, content_of, repeated_contents
from cotdistill.results.report.training_rows import is_long_enough, training_rows
from cotdistill.results.run_results import Results, RunResult, Score
from cotdistill.results.verdict_files import GradedResponses
from cotdistill.tables import counted

CHARACTERS = 4_000_000  # of responses on a page, and so about as many bytes
FEWEST = 60  # questions a task that are always shown, shortened if need be
MOST = 1_000
_KEPT = 4  # times as many characters as a page shows are kept while files are read
_LONGEST = 4_000
_SHORTEST = 400
_RESPONSES = 4
_AROUND = 60  # characters that a response takes besides its text


@dataclass(frozen=True)
class Browsed:
    """What a page's browser shows.

    `answers` are lists [question number, run number, response number, outcome, rule, answer,
    text, beginning and end of the answer in the text, number of the prompt], with -1 where these
    are not known; `questions` are lists [task, text, gold, key]. `arms`, `students` and `settings`
    say of each run what it was taught, who it is, and what it shares with runs of other arms:
    student, recipe and seed. `prompts` are what models were shown. `rows` are training rows
    [prompt, response] by arm, `matches` the numbers of those that ask a question, by arm and
    question number. `shown` and `asked` count questions by task.
    """

    runs: list[str]
    arms: list[str]
    students: list[str]
    settings: list[str]
    questions: list[list[str]]
    answers: list[list[Any]]
    prompts: list[str]
    rows: dict[str, list[list[str]]]
    matches: dict[str, dict[int, list[int]]]
    shown: dict[str, int]
    asked: dict[str, int]


class _Text(NamedTuple):
    """The beginning and the end of a text, as much as a page could show, and its whole length."""

    ends: str
    length: int


# What is kept, as plain tuples: there are hundreds of thousands, and objects slow the collector of
# garbage. Of a question the ends of its text, their length, and its first sample's document and
# target; of what a run said, seven fields a response: ends, length, outcome, rule, answer, where
# the answer stands, and the prompt's hash.
_Asked = tuple[str, int, Row, Any]
_Answers = tuple[Any, ...]
_FIELDS = 7


class SampleKeeper:
    """Keeps responses while samples files are read, in bounded memory; see `browse`.

    Where they take more than a few times `characters`, the task that takes most gives up the half
    of its questions with the largest keys, but never comes below a few times `FEWEST`.
    """

    def __init__(self, characters: int = CHARACTERS) -> None:
        self.characters = characters
        self._tasks: dict[str, _TaskSamples] = {}
        self._used = 0

    def keep(
        self,
        run: str,
        task: str,
        question: QuestionId,
        sample: Sample,
        responses: Sequence[str],
        graded: Callable[[], GradedResponses],
        text: str,
    ) -> None:
        """Take what a run said to a question; what it asks too, from the first run that has it."""
        kept = self._tasks.get(task)
        if kept is None:
            kept = self._tasks[task] = _TaskSamples()
        if not kept.takes(question):
            return
        self._used += kept.add(run, question, sample, responses, graded(), text)
        while self._used > _KEPT * self.characters:
            largest = max(self._tasks.values(), key=lambda one: one.used)
            if len(largest.asked) <= 8 * FEWEST:
                break
            self._used -= largest.give_up_half()

    def answers(self, task: str, run: str) -> dict[QuestionId, _Answers]:
        """Return what is kept of a run."""
        kept = self._tasks.get(task)
        return kept.by_run.get(run, {}) if kept else {}

    def chance(self, task: str) -> float | None:
        """Return what guessing scores on a task, None where its questions do not say.

        It is the mean of 1 / options. Where answers are letters and no options are listed, all
        letters that are an answer count as options.
        """
        docs = [doc for _, _, doc, _ in self.asked(task).values()]
        options = [options_of(doc.get("options")) for doc in docs]
        if docs and all(options):
            return sum(1 / len(one) for one in options if one) / len(docs)
        kinds = {doc.get("kind") for doc in docs}
        if kinds == {"letter"} or kinds == {"boolean"}:
            return 1 / max(len({str(doc.get("gold")) for doc in docs}), 2)
        return None

    def prompts(self, task: str) -> dict[str, _Text]:
        """Return the prompts of the questions that are kept, by the question's content and hash."""
        kept = self._tasks.get(task)
        return kept.prompts if kept else {}

    def asked(self, task: str) -> dict[QuestionId, _Asked]:
        """Return the questions of a task that are kept."""
        kept = self._tasks.get(task)
        return kept.asked if kept else {}


class _TaskSamples:
    """What is kept of one task; `used` counts characters."""

    def __init__(self) -> None:
        self.asked: dict[QuestionId, _Asked] = {}
        self.by_run: dict[str, dict[QuestionId, _Answers]] = {}
        self.prompts: dict[str, _Text] = {}
        self.used = 0
        self._last: str | None = None
        self._contents: set[str] = set()
        self._contents_of_run: set[str] = set()

    def takes(self, question: QuestionId) -> bool:
        """Return whether a question is among those that are kept."""
        return self._last is None or question[: len(self._last)] <= self._last

    def add(
        self,
        run: str,
        question: QuestionId,
        sample: Sample,
        responses: Sequence[str],
        graded: GradedResponses,
        text: str,
    ) -> int:
        """Keep a question and return how many characters that takes."""
        if run not in self.by_run:
            self.by_run[run] = {}
            self._contents_of_run = set()
        content = question[:KEY_DIGITS]
        if content not in self._contents or content in self._contents_of_run:
            # what is asked, once for all runs, but for each document of one run
            asked = (_ends(text), len(text), sample.doc, sample.row.get("target", ""))
            self.asked.setdefault(question, asked)
            self._contents.add(content)
        self._contents_of_run.add(content)
        prompt = content + sample.prompt_hash
        if prompt not in self.prompts:
            shown = sample.prompt
            self.prompts[prompt] = _Text(_ends(shown), len(shown))
        used = _AROUND
        answers: tuple[Any, ...] = ()
        for response, grade in zip(responses[:_RESPONSES], graded, strict=False):
            length = len(response)
            ends = response if length <= _LONGEST else _ends(response)
            used += len(ends)
            answers += (ends, length, *grade, prompt)
        self.by_run[run][question] = answers
        self.used += used
        return used

    def give_up_half(self) -> int:
        """Give up the questions with the larger keys and return how many characters that frees."""
        contents = {content_of(question) for question in self.asked}
        keys = sorted(contents if len(contents) > 1 else self.asked)
        self._last = keys[(len(keys) - 1) // 2]
        self.asked = {question: one for question, one in self.asked.items() if self.takes(question)}
        self.by_run = {
            run: {question: one for question, one in answers.items() if self.takes(question)}
            for run, answers in self.by_run.items()
        }
        contents = {content_of(question) for question in self.asked}
        self.prompts = {
            key: one for key, one in self.prompts.items() if key[:KEY_DIGITS] in contents
        }
        before = self.used
        answers_kept = (one for of_run in self.by_run.values() for one in of_run.values())
        self.used = sum(map(_characters, answers_kept))
        return before - self.used


def _characters(answers: _Answers) -> int:
    return _AROUND + sum(map(len, answers[::_FIELDS]))


def _ends(text: str) -> str:
    """Return as much of a text as a page could show: all, or its beginning and its end."""
    head = _LONGEST // 4
    return text if len(text) <= _LONGEST else text[:head] + text[head - _LONGEST :]


def browse(results: Results, kept: SampleKeeper) -> Browsed:
    """Choose the questions and gather what every run said to them, in `kept.characters`."""
    rows = [(run, score) for run, score in results.rows() if score.table is not None]
    tasks = list(dict.fromkeys(score.task for _, score in rows))
    runs = list(dict.fromkeys(run.run for run, _ in rows))
    named = {run.run: run for run, _ in rows}
    chosen = [
        _choose(kept, task, [row for row in rows if row[1].task == task], len(tasks))
        for task in tasks
    ]
    longest = _longest(kept.characters, chosen)
    questions: list[list[str]] = []
    answers: list[list[Any]] = []
    prompts = _Prompts(kept.characters // 4, sum(len(one.names) for one in chosen))
    for one in chosen:
        numbers = {name: len(questions) + place for place, name in enumerate(one.names)}
        for name in one.names:
            ends, length, doc, target = one.asked[name]
            gold = gold_of(Sample(Path(), 0, one.task, {"doc": doc, "target": target})) or ""
            questions.append([one.task, shorten(_Text(ends, length), longest), gold, name])
        for run, of_run in one.by_run.items():
            for name, number in numbers.items():
                fields = of_run.get(name, ())
                for start in range(0, len(fields), _FIELDS):
                    ends, length, outcome, rule, answer, span, prompt = fields[
                        start : start + _FIELDS
                    ]
                    whole = _Text(ends, length)
                    answers.append(
                        [
                            number,
                            runs.index(run),
                            start // _FIELDS,
                            outcome,
                            rule,
                            answer,
                            shorten(whole, longest),
                            *(shown_span(span, length, longest) or (-1, -1)),
                            prompts.number(kept.prompts(one.task).get(prompt)),
                        ]
                    )
    arms = {run: named[run].arm for run in runs}
    examples = training_rows(
        {arms[run]: named[run].data for run in runs}, [question[1] for question in questions]
    )
    return Browsed(
        runs=runs,
        arms=list(arms.values()),
        students=[named[run].student for run in runs],
        settings=[f"{named[run].student} {named[run].recipe} {named[run].seed}" for run in runs],
        questions=questions,
        answers=answers,
        prompts=prompts.texts,
        rows={arm: [list(row) for row in one.rows] for arm, one in examples.items()},
        matches={arm: one.matches for arm, one in examples.items()},
        shown={one.task: len(one.names) for one in chosen},
        asked={one.task: one.total for one in chosen},
    )


def trained_on(browsed: Browsed) -> list[str]:
    """Return a line for each arm and task whose questions on the page stand in its training rows.

    A question of a few words may be anybody's phrase, and is not counted.
    """
    found: Counter[tuple[str, str]] = Counter()
    for arm, matches in browsed.matches.items():
        for number in matches:
            task, text, *_ = browsed.questions[number]
            found[arm, task] += is_long_enough(text)
    return [
        f"arm {arm}: {count} of {counted(browsed.shown[task], 'question')} of {task} that the page "
        "shows stand in its training rows; cotdistill check looks for all of them"
        for (arm, task), count in found.items()
        if count
    ]


class _Prompts:
    """The prompts on a page, each once; together they take about so many characters."""

    def __init__(self, characters: int, questions: int) -> None:
        self.texts: list[str] = []
        self._numbers: dict[str, int] = {}
        self._longest = min(_LONGEST, max(_SHORTEST, characters // max(questions, 1)))

    def number(self, whole: _Text | None) -> int:
        """Return the number of a prompt, -1 where it was not kept."""
        if whole is None or not whole.length:
            return -1
        text = shorten(whole, self._longest)
        if text not in self._numbers:
            self._numbers[text] = len(self.texts)
            self.texts.append(text)
        return self._numbers[text]


def shorten(text: _Text, longest: int) -> str:
    """Return a text without its middle where it is too long; the end holds the answer.

    >>> shorten(_Text("abcdefghij" * 10, 100), 20).splitlines()[0], shorten(_Text("short", 5), 20)
    ('abcde', 'short')
    """
    if text.length <= longest:
        return text.ends
    head = longest // 4
    tail = longest - head
    return f"{text.ends[:head]}{_left_out(text.length - longest)}{text.ends[-tail:]}"


def shown_span(span: tuple[int, int] | None, length: int, longest: int) -> tuple[int, int] | None:
    """Return where an answer stands in a shortened text, None where it is not in it.

    >>> shown_span((90, 95), 100, 20), shown_span((1, 3), 100, 20), shown_span((40, 45), 100, 20)
    ((40, 45), (1, 3), None)
    """
    if span is None or span[1] > length:
        return None
    head = longest // 4
    if length <= longest or span[1] <= head:
        return span
    cut = length - (longest - head)
    if span[0] < cut:
        return None
    moved = head + len(_left_out(length - longest)) - cut
    return span[0] + moved, span[1] + moved


def _left_out(count: int) -> str:
    return f"\n[… {counted(count, 'character')} left out …]\n"


def fitting_questions(scores: Sequence[Score], room: int) -> int:
    """Return how many questions of a task can be shown in `room` characters, all runs together.

    Runs whose length is not known count as long.
    """
    a_question = 0.0
    for score in scores:
        length = _LONGEST if score.characters is None else min(score.characters, _LONGEST)
        a_question += (length + _AROUND) * min(score.repeats, _RESPONSES)
    return min(MOST, max(FEWEST, int(room / max(a_question, 1))))


@dataclass(frozen=True)
class _Chosen:
    """The questions of a task that are shown, by a name that is the same in every run.

    `asked` holds what was kept of each name, `by_run` what each run said; `total` counts the
    questions of the task, `fitting` those that there was room for.
    """

    task: str
    names: list[str]
    asked: dict[str, _Asked]
    by_run: dict[str, dict[str, _Answers]]
    total: int
    fitting: int


def _choose(
    kept: SampleKeeper, task: str, rows: Sequence[tuple[RunResult, Score]], tasks: int
) -> _Chosen:
    """Choose the questions to show: first those on which the runs differ, in file order."""
    tables = [score.table.values if score.table else {} for _, score in rows]
    repeated = repeated_contents(tables)
    values: dict[str, float] = {}
    differing: set[str] = set()
    for table in tables:
        for name, value in by_name(table, repeated).items():
            if values.setdefault(name, value) != value:
                differing.add(name)
    asked = by_name(kept.asked(task), repeated)
    fitting = fitting_questions([score for _, score in rows], kept.characters // tasks)
    order = [name for name in values if name in asked]
    first = [name for name in order if name in differing]
    same = [name for name in order if name not in differing]
    shown = {*first[: max(fitting - fitting // 3, fitting - len(same))]}
    shown |= {*same[: fitting - len(shown)]}
    return _Chosen(
        task=task,
        names=[name for name in order if name in shown],
        asked=asked,
        by_run={run.run: by_name(kept.answers(task, run.run), repeated) for run, _ in rows},
        total=len(values),
        fitting=fitting,
    )


def _longest(characters: int, chosen: Sequence[_Chosen]) -> int:
    """Return how long a response may be where tasks show more questions than there is room for."""
    tight = [one for one in chosen if one.fitting <= FEWEST]
    count = sum(len(one.names) * len(one.by_run) for one in tight)
    room = characters * len(tight) // max(len(chosen), 1)
    return min(_LONGEST, max(_SHORTEST, room // count if count else _LONGEST))
