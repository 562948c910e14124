"""The responses that a page carries for its browser: a sample of questions, the same in every run.

A page must stay a few megabytes, so each task shows as many questions as fit, those on which runs
differ first, and long responses lose their middle. What is left out is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cotdistill.files.jsonl import read_rows
from cotdistill.hosts.lm_eval.golds import gold_of
from cotdistill.hosts.lm_eval.samples import Sample, SampleFile, read_samples
from cotdistill.results.collect import Results, Score
from cotdistill.results.question_scores import question_facts
from cotdistill.results.questions import (
    QuestionId,
    identified,
    joined,
    single_samples,
    text_of,
)
from cotdistill.results.verdict_files import Source, made_file

CHARACTERS = 4_000_000  # of responses on a page, and so about as many bytes
FEWEST = 60  # questions a task that are always shown, shortened if need be
MOST = 1_000
_LONGEST = 4_000
_SHORTEST = 400
_RESPONSES = 4
_AROUND = 60  # characters that a response takes beside its text


@dataclass(frozen=True)
class Browsed:
    """What a page's browser shows.

    `answers` are lists [question number, run number, response number, outcome, rule, answer,
    text], `questions` lists [task, text, gold]. `arms` and `kin` say of each run what it was
    taught and what it shares with runs of other arms: student, recipe and seed. `shown` and `held`
    count questions by task.
    """

    runs: list[str]
    arms: list[str]
    kin: list[str]
    questions: list[list[str]]
    answers: list[list[Any]]
    shown: dict[str, int]
    held: dict[str, int]
    outcomes: dict[str, Counter[str]]


def browse(results: Results, characters: int = CHARACTERS) -> Browsed:
    """Choose the questions and gather what every run said to them, in so many characters."""
    pairs = [(run, score) for run, score in results.rows() if score.samples is not None]
    tasks = list(dict.fromkeys(score.task for _, score in pairs))
    runs = list(dict.fromkeys(run.run for run, _ in pairs))
    named = {run.run: run for run, _ in pairs}
    per_task = {task: [(r.run, s.samples) for r, s in pairs if s.task == task] for task in tasks}
    fitting = {
        task: fitting_questions([s for _, s in pairs if s.task == task], characters // len(tasks))
        for task in tasks
    }
    chosen = {
        task: _chosen([f for _, f in per_task[task] if f], fitting[task], results.source)
        for task in tasks
    }
    tight = [task for task in tasks if fitting[task] <= FEWEST]
    count = sum(len(chosen[task][0]) * len(per_task[task]) for task in tight)
    room = characters * len(tight) // max(len(tasks), 1)
    longest = min(_LONGEST, max(_SHORTEST, room // count if count else _LONGEST))
    questions: list[list[str]] = []
    answers: list[list[Any]] = []
    outcomes: dict[str, Counter[str]] = {}
    for task in tasks:
        picked, _ = chosen[task]
        numbers = {identity: len(questions) + place for place, identity in enumerate(picked)}
        texts: dict[str, list[str]] = {}
        for run, file in per_task[task]:
            if file is None:
                continue
            seen: set[QuestionId] = set()
            asked = [question for question, _ in single_samples(file)]
            names = {question: name for name, question in joined([asked])[0].items()}
            verdicts = _made_verdicts(file, results.source)
            for question, sample, _ in identified(read_samples(file)):
                if question in seen:
                    continue
                seen.add(question)
                identity = names[question]
                graded = verdicts.get(sample.key) or _logged_verdicts(sample)
                outcomes.setdefault(run, Counter()).update(one[0] for one in graded)
                if identity in numbers:
                    texts.setdefault(
                        identity, [task, shorten(text_of(sample), longest), gold_of(sample) or ""]
                    )
                    place = [numbers[identity], runs.index(run)]
                    for number, (text, said) in enumerate(
                        zip(sample.responses[:_RESPONSES], graded, strict=False)
                    ):
                        answers.append([*place, number, *said, shorten(text, longest)])
        questions += [texts.get(identity, [task, "", ""]) for identity in picked]
    return Browsed(
        runs=runs,
        arms=[named[run].arm for run in runs],
        kin=[f"{named[run].student} {named[run].recipe} {named[run].seed}" for run in runs],
        questions=questions,
        answers=answers,
        shown={task: len(picked) for task, (picked, _) in chosen.items()},
        held={task: total for task, (_, total) in chosen.items()},
        outcomes=outcomes,
    )


def shorten(text: str, longest: int) -> str:
    """Return a text without its middle where it is too long; the end holds the answer.

    >>> shorten("abcdefghij" * 10, 20).splitlines()[0], shorten("short", 20)
    ('abcde', 'short')
    """
    text = text.encode("utf-8", "replace").decode("utf-8")
    if len(text) <= longest:
        return text
    head = longest // 4
    tail = longest - head
    return f"{text[:head]}\n[… {len(text) - longest:,} characters left out …]\n{text[-tail:]}"


def fitting_questions(scores: Sequence[Score], room: int) -> int:
    """Return how many questions of a task can be shown in `room` characters, all runs together.

    Runs whose length is not known count as long.
    """
    a_question = 0.0
    for score in scores:
        length = _LONGEST if score.characters is None else min(score.characters, _LONGEST)
        a_question += (length + _AROUND) * min(score.repeats, _RESPONSES)
    return min(MOST, max(FEWEST, int(room / max(a_question, 1))))


def _chosen(files: Sequence[SampleFile], most: int, source: Source) -> tuple[list[str], int]:
    """Return the questions to show: first those on which the runs differ, in file order."""
    values: dict[str, list[float]] = {}
    for file in files:
        for identity, fact in question_facts(file, source).items():
            values.setdefault(identity, []).append(fact.value)
    differing = [key for key, held in values.items() if len(set(held)) > 1]
    same = [key for key in values if len(set(values[key])) == 1]
    picked = differing[: max(most - most // 3, most - len(same))]
    picked += same[: most - len(picked)]
    kept = set(picked)
    return [key for key in values if key in kept], len(values)


def _logged_verdicts(sample: Sample) -> list[tuple[str, str, str]]:
    logged = sample.metrics.get("answered")
    if isinstance(logged, list) and all(isinstance(one, dict) for one in logged):
        return [
            (str(one.get("outcome")), str(one.get("rule") or ""), str(one.get("answer") or ""))
            for one in logged
        ]
    numbers = sample.numbers()
    value = next(iter(numbers.values()), None)
    outcome = "not graded" if value is None else "correct" if value >= 1 else "wrong"
    return [(outcome, "as logged", "") for _ in sample.responses]


def _made_verdicts(file: SampleFile, source: Source) -> dict[str, list[tuple[str, str, str]]]:
    path = made_file(file, source)
    if path is None:
        return {}
    return {
        row["key"]: [
            (one["outcome"], one.get("rule") or "", one.get("answer") or "")
            for one in row["verdicts"]
        ]
        for row in read_rows(path)
    }
