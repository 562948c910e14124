"""Which question each row of a samples file asks: what runs, verdicts and judges are joined by.

A question is known by its content (`benchmarks.question.question_key`), so that copies of a
benchmark with other ids, and arms with other prompts, pair. Different documents with the same
content stay separate questions: the rest of the document tells them apart, and where even that is
equal, the order in the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from cotdistill.benchmarks.question import document_key, question_key, question_text
from cotdistill.errors import DataError, Fault
from cotdistill.hosts.lm_eval.samples import Sample, SampleFile, read_samples


class QuestionId(NamedTuple):
    """A question of a samples file: its content, its whole document, and its copy from 1 up."""

    content: str
    document: str
    copy: int = 1

    def __str__(self) -> str:
        return f"{self.content}-{self.document}" + (f"-{self.copy}" if self.copy > 1 else "")


class Identified(NamedTuple):
    """A row with the question that it asks; `repeated` if the file has had the same row before."""

    question: QuestionId
    sample: Sample
    repeated: bool


def identified(samples: Iterable[Sample]) -> Iterator[Identified]:
    """Yield samples with their questions, in their order.

    A row is repeated if filter, content, document, row number and id are all those of an earlier
    one; with another number or id it is another question.

    Raises:
        DataError: a document is nested too deeply to be compared.
    """
    seen: dict[tuple[str, str, str], dict[tuple[str, str], int]] = {}
    for sample in samples:
        try:
            content, document = question_key(sample.doc), document_key(sample.doc)
        except RecursionError as error:
            raise DataError(Fault(sample.place, "doc: nested too deeply")) from error
        rows = seen.setdefault((sample.filter, content, document), {})
        row = (sample.number, sample.key)
        repeated = row in rows
        copy = rows.setdefault(row, len(rows) + 1)
        yield Identified(QuestionId(content, document, copy), sample, repeated)


def single_samples(file: SampleFile) -> Iterator[tuple[QuestionId, Sample]]:
    """Yield each question of a file once, whatever the number of filters."""
    passed: set[QuestionId] = set()
    for question, sample, _ in identified(read_samples(file)):
        if question not in passed:
            passed.add(question)
            yield question, sample


def text_of(sample: Sample) -> str:
    """Return what a sample asks, or its prompt where the document names no question."""
    return question_text(sample.doc) or sample.prompt


def joined(tables: Sequence[Iterable[QuestionId]]) -> list[dict[str, QuestionId]]:
    """Return each table's questions by a name that is the same for the same question in all.

    The content alone is the name where no table has it twice, so that documents may differ in
    their ids or in what a run put around the question. Elsewhere it is the whole identity.

    >>> one, other = QuestionId("c", "d1"), QuestionId("c", "d2")
    >>> [list(names) for names in joined([[one], [other]])]
    [['c'], ['c']]
    >>> [list(names) for names in joined([[one], [one, other]])]
    [['c-d1'], ['c-d1', 'c-d2']]
    """
    held = [list(table) for table in tables]
    several = {
        content
        for table in held
        for content, count in Counter(question.content for question in table).items()
        if count > 1
    }
    return [
        {str(one) if one.content in several else one.content: one for one in table}
        for table in held
    ]
