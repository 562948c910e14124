"""Rows of samples files are joined by what they ask; different documents stay apart."""

import json
from pathlib import Path
from typing import Any

from cotdistill.benchmarks.question import question_key
from cotdistill.hosts.lm_eval.samples import SampleFile, read_samples
from cotdistill.results.questions import identified, joined, single_samples

ROW: dict[str, Any] = {"resps": [["4"]], "filter": "none", "target": "4"}


def file_of(tmp_path: Path, *rows: dict[str, Any]) -> SampleFile:
    path = tmp_path / "samples_t.jsonl"
    path.write_text("".join(json.dumps(ROW | row) + "\n" for row in rows), encoding="utf-8")
    return SampleFile(path, "t", "")


def test_documents_of_the_same_text_stay_separate_questions(tmp_path: Path) -> None:
    docs = [{"id": n, "question": "Which is true?", "gold": str(n)} for n in range(3)]
    file = file_of(tmp_path, *({"doc_id": n, "doc": doc} for n, doc in enumerate(docs)))
    assert len({question for question, _ in single_samples(file)}) == 3


def test_equal_documents_under_other_numbers_are_copies_and_a_repeated_row_is_none(
    tmp_path: Path,
) -> None:
    doc = {"question": "1+1?", "answer": "2"}
    rows = [{"doc_id": 0, "doc": doc}, {"doc_id": 1, "doc": doc}, {"doc_id": 0, "doc": doc}]
    found = list(identified(read_samples(file_of(tmp_path, *rows))))
    first, second, third = (one.question for one in found)
    assert (first, second) == (third, f"{third}-2")
    assert [one.repeated for one in found] == [False, False, True]


def test_a_shared_id_or_row_number_does_not_make_two_questions_one(tmp_path: Path) -> None:
    docs = [{"id": "algebra", "question": f"What is {n} + 1?"} for n in range(2)]
    file = file_of(tmp_path, *({"doc_id": 0, "doc": doc} for doc in docs))
    assert len(list(single_samples(file))) == 2


def test_filters_show_each_question_once(tmp_path: Path) -> None:
    doc = {"question": "1+1?"}
    rows = [{"doc_id": 0, "doc": doc, "filter": name} for name in ("strict", "flexible")]
    ((_, sample),) = single_samples(file_of(tmp_path, *rows))
    assert sample.filter == "strict"


def test_a_question_alone_pairs_with_its_copy_of_another_id_and_prompt(tmp_path: Path) -> None:
    (one,) = single_samples(file_of(tmp_path, {"doc": {"id": 1, "problem": "a  b"}}))
    changed = {"id": "x", "question": "a b", "instruction": "Think.", "subject": "algebra"}
    (other,) = single_samples(file_of(tmp_path, {"doc": changed}))
    tables = joined([{one[0]: 0.0}, {other[0]: 1.0}])
    assert [list(table) for table in tables] == [[question_key("a b")]] * 2


def test_where_one_file_has_several_of_the_same_text_the_whole_document_joins(
    tmp_path: Path,
) -> None:
    docs = [{"question": "Which?", "picture": name} for name in "ab"]
    both, only = (
        {question: 1.0 for question, _ in single_samples(file_of(tmp_path, *rows))}
        for rows in ([{"doc": docs[0]}, {"doc": docs[1]}], [{"doc": docs[1]}])
    )
    first, second = joined([both, only])
    assert list(second) == list(first)[1:]
