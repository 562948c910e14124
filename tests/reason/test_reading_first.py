"""The first promises of the grader's surface."""

import cotdistill
from cotdistill import Judged, extract, grade, grade_many


def test_the_package_does_not_load_the_grader_by_itself() -> None:
    assert set(cotdistill.__all__) >= {"grade", "extract", "equivalent", "grade_many"}


def test_a_text_that_breaks_off_is_cut_off_and_not_wrong() -> None:
    found = grade("First we add 3 and 4. Then we multiply by the", "7")
    assert (found.outcome, found.correct, found.answer) == ("cut_off", False, None)


def test_the_span_is_where_the_answer_stands() -> None:
    text = "Adding gives 12. The answer is 12 km."
    found = extract(text, kind="number")
    assert found.span is not None
    assert text[slice(*found.span)] == found.answer == "12"


def test_many_are_graded_in_order_and_alike_in_processes() -> None:
    items = [Judged(f"The answer is {number}.", str(number % 3)) for number in range(600)]
    serial = list(grade_many(items))
    assert [found.correct for found in serial] == [number == number % 3 for number in range(600)]
    assert list(grade_many(items, workers=2)) == serial
