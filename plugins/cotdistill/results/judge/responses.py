"""The first stage: every response with the grader's verdict, and which of them the judge gets.

A samples file is read once. What later steps need of it stays in memory: of each question its
text, of each response that the judge is asked about its end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cotdistill.benchmarks.question import asked_alone, question_key
from cotdistill.grading.grade import Grade
from cotdistill.hosts.lm_eval.samples import SampleFile
from cotdistill.results.judge.opinion import Opinion, is_audited, tail_of
from cotdistill.results.judge.options import JudgeOptions
from cotdistill.results.questions import QuestionId, single_samples, text_of
from cotdistill.results.regrade import Task, regrade, task_of


@dataclass(frozen=True)
class Question:
    """One question of a samples file. `gold` is None where there is no reference answer.

    `alone` is its identity without the rest of its document, by which an older judge's rows join.
    """

    id: QuestionId
    key: str
    text: str
    gold: str | None
    alone: str


@dataclass(frozen=True)
class Response:
    """One response: the grader's verdict, whether the judge is asked about it, what it says.

    `grade` is None where the question has no reference answer. `audited` marks a response that the
    grader calls correct and that is asked about all the same. `tail` is the end of a response that
    is asked about. `opinion` is None where nobody was asked or no answer came.
    """

    question: Question
    index: int
    grade: Grade | None
    asked: bool = False
    audited: bool = False
    tail: str = ""
    shortened: bool = False
    opinion: Opinion | None = None

    @property
    def correct(self) -> bool:
        """The final verdict: the grader's "correct" is final, its other verdicts are not."""
        raised = self.opinion is not None and self.opinion.ruling == "correct"
        return raised or (self.grade is not None and self.grade.correct)


@dataclass(frozen=True)
class JudgedFile:
    """One samples file with the verdicts of both stages on every response."""

    file: SampleFile
    responses: tuple[Response, ...]

    def by_question(self) -> dict[QuestionId, list[Response]]:
        """Return the responses to each question, in their order."""
        found: dict[QuestionId, list[Response]] = {}
        for response in self.responses:
            found.setdefault(response.question.id, []).append(response)
        return found


def graded_file(file: SampleFile, golds: Mapping[str, str], options: JudgeOptions) -> JudgedFile:
    """Grade every response of a samples file and choose those that the judge is asked about."""
    under_way: deque[tuple[Question, Task]] = deque()

    def tasks() -> Iterator[Task]:
        for identity, sample in single_samples(file):
            task = task_of(sample, golds)
            text = text_of(sample)
            alone = question_key(asked_alone(sample.doc) or text)
            under_way.append((Question(identity, sample.key, text, task.gold, alone), task))
            yield task

    responses: list[Response] = []
    for grades in regrade(tasks()):
        question, task = under_way.popleft()
        for index, text in enumerate(task.responses):
            grade = grades[index] if grades is not None else None
            responses.append(_response(file.task, question, index, grade, text, options))
    return JudgedFile(file, tuple(responses))


def _response(
    task: str, question: Question, index: int, grade: Grade | None, text: str, options: JudgeOptions
) -> Response:
    if grade is None:
        return Response(question, index, None)
    audited = grade.correct and is_audited(
        f"{task}\x00{question.id}\x00{index}", options.audit, options.random_seed
    )
    skipped = options.skip_truncated and grade.outcome == "cut_off"
    if not audited and (grade.correct or skipped):
        return Response(question, index, grade)
    tail = tail_of(text)
    return Response(question, index, grade, True, audited, tail, len(tail) < len(text))
