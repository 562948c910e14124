"""Which question each row of a samples file asks: what runs, verdicts and judges are joined by.

A question is known by its content (`benchmarks.question.question_key`), so that copies of a
benchmark with other ids, and arms with other prompts, pair. Different documents with the same
content stay separate questions: the rest of the document tells them apart, and where even that is
equal, the order in the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, NewType, TypeVar

from cotdistill.benchmarks.question import KEY_DIGITS, identity_of, question_text
from cotdistill.errors import DataError, Fault
from cotdistill.hosts.lm_eval.samples import Sample, SampleFile, read_samples

QuestionId = NewType("QuestionId", str)
"""A question of a samples file: the key of its content, of its document, and its copy from 2 up.

Plain text, because a report holds hundreds of thousands and objects slow the collector of garbage.
"""

Value = TypeVar("Value")


class Identified(NamedTuple):
    """A row with the question that it asks; `repeated` if the file has had the same row before.

    `text` is what the document asks, empty where it names no question.
    """

    question: QuestionId
    sample: Sample
    repeated: bool
    text: str


def content_of(question: QuestionId) -> str:
    """Return the key of a question's content, which is that of `question_key`."""
    return question[:KEY_DIGITS]


def identified(samples: Iterable[Sample]) -> Iterator[Identified]:
    """Yield samples with their questions, in their order.

    A row is repeated if filter, content, document, row number and id are all those of an earlier
    one; with another number or id it is another question.

    Raises:
        DataError: a document is nested too deeply to be compared.
    """
    first: dict[str, str] = {}  # the number and id of the first row with a document and filter
    more: dict[str, list[str]] = {}  # those of others with the same
    for sample in samples:
        try:
            text, content, document = identity_of(sample.doc)
        except RecursionError as error:
            raise DataError(Fault(sample.place, "doc: nested too deeply")) from error
        name = f"{content}-{document}"
        filtered = f"{name}\x1f{sample.filter}"
        row = f"{sample.number}\x1f{sample.key}"
        earlier = first.get(filtered)
        repeated = earlier == row
        if earlier is None:
            first[filtered] = row
        elif not repeated:
            others = more.setdefault(filtered, [])
            repeated = row in others
            if not repeated:
                others.append(row)
            name = f"{name}-{others.index(row) + 2}"
        yield Identified(QuestionId(name), sample, repeated, text)


def single_samples(file: SampleFile) -> Iterator[tuple[QuestionId, Sample]]:
    """Yield each question of a file once, whatever the number of filters."""
    passed: set[QuestionId] = set()
    for question, sample, _, _ in identified(read_samples(file)):
        if question not in passed:
            passed.add(question)
            yield question, sample


def text_of(sample: Sample) -> str:
    """Return what a sample asks, or its prompt where the document names no question."""
    return question_text(sample.doc) or sample.prompt


def joined(tables: Sequence[Mapping[QuestionId, Value]]) -> list[dict[str, Value]]:
    """Return tables by a name that is the same for the same question in all of them.

    The content alone is the name where no table has it twice, so that documents may differ in
    their ids or in what a run put around the question. Elsewhere it is the whole identity.

    >>> one, other = (QuestionId(f"{'c' * 16}-{document * 16}") for document in "de")
    >>> joined([{one: 0.5}, {other: 1.0}])
    [{'cccccccccccccccc': 0.5}, {'cccccccccccccccc': 1.0}]
    >>> [len(names) for names in joined([{one: 0.5}, {one: 1.0, other: 0.0}])]
    [1, 2]
    """
    repeated = repeated_contents(tables)
    return [by_name(table, repeated) for table in tables]


def repeated_contents(tables: Iterable[Iterable[QuestionId]]) -> frozenset[str]:
    """Return the contents that one of the tables has in several questions."""
    found: set[str] = set()
    for table in tables:
        contents = [question[:KEY_DIGITS] for question in table]
        if len(set(contents)) < len(contents):
            found |= {content for content, count in Counter(contents).items() if count > 1}
    return frozenset(found)


def by_name(table: Mapping[QuestionId, Value], repeated: frozenset[str]) -> dict[str, Value]:
    """Return a table by name: the whole identity of questions with a repeated content."""
    if not repeated:
        return {question[:KEY_DIGITS]: value for question, value in table.items()}
    return {
        question if (content := question[:KEY_DIGITS]) in repeated else content: value
        for question, value in table.items()
    }
