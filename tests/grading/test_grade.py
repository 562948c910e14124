"""The grader as a user meets it: verdicts, spans, many at once, and text that nobody wished for."""

import json
import sys
import threading
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cotdistill
from cotdistill import Judged, extract, grade, grade_many
from cotdistill.grading.grade import Outcome

CASES = [
    json.loads(line)
    for line in (Path(__file__).parent / "cases_extraction.jsonl").read_text("utf-8").splitlines()
]
KINDS = ("auto", "number", "expression", "letter", "boolean", "date", "text")
PIECES = [
    "\\boxed{", "}", "{", "\\boxed", "the answer is ", "Answer:", "####", "<think>", "</think>",
    "$", "\\[", "\\]", "(A)", "B", " or ", "\n", "\nQuestion:", "-->", "<answer>", "</answer>",
    "=", "3", "1,000", "\\frac", "%", ".", "\x00", "\ud800", "<|im_end|>", "True", "no", "…",
    "答案是", "\u202e", "1/", "^", "e9999", "US$ ", "Rs.", "**",
]  # fmt: skip


def named(case: dict[str, Any]) -> str:
    return f"{case['category']}: {case['text'][-40:]!r} for {case['gold']!r}"


def arguments(case: dict[str, Any]) -> dict[str, Any]:
    return {key: case[key] for key in ("kind", "options", "strict") if key in case}


def test_there_are_cases_of_every_category() -> None:
    assert len(CASES) > 480
    assert len({case["category"] for case in CASES}) >= 20
    assert sum(case["outcome"] != "correct" for case in CASES) > 60


@pytest.mark.parametrize("case", CASES, ids=named)
def test_a_labelled_case_gets_its_outcome(case: dict[str, Any]) -> None:
    found = grade(case["text"], case["gold"], **arguments(case))
    assert found.outcome == case["outcome"], found
    assert found.correct == (found.outcome == "correct")


@pytest.mark.parametrize("case", CASES, ids=named)
def test_an_answer_lies_in_its_span_or_is_a_letter_or_a_list(case: dict[str, Any]) -> None:
    found = grade(case["text"], case["gold"], **arguments(case))
    if found.answer is None or found.span is None:
        assert found.outcome in ("no_answer", "cut_off")
        return
    shown = case["text"][slice(*found.span)]
    assert found.answer in shown or len(found.answer) == 1 or ", " in found.answer


def test_the_package_loads_the_grader_only_when_it_is_asked_for() -> None:
    assert cotdistill.grade is grade
    assert set(cotdistill.__all__) >= {"grade", "extract", "equivalent", "grade_many"}
    with pytest.raises(AttributeError, match="no attribute 'grad'"):
        cotdistill.grad  # noqa: B018


@pytest.mark.parametrize(
    "prefix", ["--> ", "The answer is ", "Therefore, the answer is ", "So the answer is ", ""]
)
@pytest.mark.parametrize(
    ("gold", "other", "kind"),
    [
        ("36", "35", "number"),
        ("-2.5", "2.5", "number"),
        ("B", "C", "letter"),
        ("Yes", "No", "boolean"),
        ("eeei", "eeie", "text"),
    ],
)
def test_every_prefix_that_mentor_kd_knows_is_read_for_every_kind_of_its_sets(
    prefix: str, gold: str, other: str, kind: Any
) -> None:
    assert grade(f"{prefix}{gold}", gold, kind=kind).correct
    assert not grade(f"{prefix}{other}", gold, kind=kind).correct
    if prefix:
        assert grade(f"We work it out. {prefix}{gold}.", gold, kind=kind).correct


def test_strict_takes_stated_answers_only() -> None:
    text = "Each of 4 boxes holds 6 eggs. Therefore, Nora has 24 eggs."
    assert grade(text, "24").outcome == "correct"
    assert grade(text, "24", strict=True).outcome == "no_answer"
    assert grade(text + " The answer is 24.", "24", strict=True).outcome == "correct"


def test_many_are_graded_in_order_and_alike_in_processes() -> None:
    items = [Judged(f"The answer is {number}.", str(number % 3)) for number in range(600)]
    serial = list(grade_many(items))
    assert [found.correct for found in serial] == [number == number % 3 for number in range(600)]
    assert list(grade_many(items, workers=2)) == serial


def test_threads_give_the_same_verdicts() -> None:
    items = [(case["text"], case["gold"]) for case in CASES[:80]]
    alone = list(grade_many(items))
    found: dict[int, list[Any]] = {}

    def work(number: int) -> None:
        found[number] = list(grade_many(items))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[number] for number in range(4)] == [alone] * 4


@given(
    st.one_of(st.text(max_size=300), st.lists(st.sampled_from(PIECES), max_size=40).map("".join)),
    st.sampled_from(KINDS),
    st.booleans(),
)
@settings(max_examples=300)
def test_no_text_raises_and_reading_is_deterministic(text: str, kind: Any, strict: bool) -> None:
    first = extract(text, kind=kind, strict=strict)
    assert extract(text, kind=kind, strict=strict) == first
    assert (first.answer is None) == (first.outcome != "found")
    if first.span is not None:
        assert 0 <= first.span[0] <= first.span[1] <= len(text)


@given(st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=20).map("".join))
@settings(max_examples=100)
def test_no_gold_raises(gold: str, text: str) -> None:
    assert grade(text, gold).outcome in get_args(Outcome)


HOSTILE = {
    "open boxes": "\\boxed{" * 150_000,
    "closed boxes": "\\boxed{1}" * 110_000,
    "answers": "the answer " * 90_000,
    "answers that are": "the answer is " * 70_000,
    "braces": "\\boxed{" + "{" * 1_000_000,
    "dollars": "$" * 1_000_000,
    "money": "$1 " * 330_000,
    "digits": "1" * 1_000_000,
    "commas": "1," * 500_000,
    "spaces": "the answer is" + " " * 1_000_000 + "4",
    "stars": "*" * 1_000_000,
    "letters": "(A) " * 250_000,
    "questions": "\nQuestion:" * 100_000,
    "thoughts": "<think>" * 140_000,
    "arrows": "-->" * 330_000,
    "hashes": "#" * 1_000_000,
    "tags": "<answer>" * 120_000,
    "tokens": "<|im_end|>" * 100_000,
    "lines": "\n" * 1_000_000,
    "equations": "1 = " * 250_000,
    "so": ", so " * 200_000,
    "answers of": "answer of " + "a " * 500_000,
    "quotes": '"' * 1_000_000,
    "backslashes": "\\" * 1_000_000,
    "foreign": "答案是" * 300_000,
    "verdicts": "A. Wrong. B. Right. " * 50_000,
    "ticks": "(A) ✗ (B) ✓ " * 60_000,
    "clauses": "La respuesta es A, " * 50_000,
    "asides": "5 (" * 300_000,
    "asides in a sentence": "He has 5 " + "(a " * 200 + "= 3)" * 200,
    "spoken": "minus " * 160_000,
    "quantities": "5 feet " * 140_000,
    "exclusions": "We rule out A and " * 60_000,
    "exclamations": "5" + "!" * 900_000,
    "thin arrows": "=> " * 300_000,
}


@pytest.mark.parametrize("bait", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.timeout(300)
def test_a_megabyte_of_bait_is_read_in_moments(bait: str, kind: Any) -> None:
    assert extract(bait, kind=kind).outcome in ("found", "no_answer", "cut_off")


def test_a_long_output_is_read_from_its_end() -> None:
    filler = "We add 3 and 4 and see that x = 7, so we go on with the next case. " * 15_000
    assert sys.getsizeof(filler) > 900_000
    found = grade(filler + "\nThe answer is 42.", "42")
    assert (found.correct, found.span) == (True, (len(filler) + 15, len(filler) + 17))


GOLDS = [
    "42", "-3", "1,234", "0.5", r"\frac{3}{4}", r"2\sqrt{3}", r"(3, \frac{\pi}{2})", "[2, 5)",
    "x+1", r"\{1,2\}", "1,2,3", r"\begin{pmatrix}1\\2\end{pmatrix}", "10!", "5^{10}", r"x \le 2",
    r"45^\circ",
]  # fmt: skip
WRAPPERS = [
    "{}",
    "${}$",
    r"So we get $\boxed{{{}}}$.",
    "We add them. The answer is ${}$.",
    "Answer: ${}$",
    "Therefore, the final answer is: ${}$. I hope it is correct.",
    "Work.\n#### {}",
    "Some work.\n\n**Final Answer**\n\n\\[\n{}\n\\]",
    "<think>or 7?</think><answer>{}</answer>",
    "\\boxed{{{}}}\n\nQuestion: what is 2 + 2?\nThe answer is 4.",
    r"The answer is \({}\), as said.",
    "Thus, ${}$ is the answer.",
    "The answer is **${}$**.<|im_end|>",
]


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("gold", GOLDS)
def test_a_gold_is_right_however_it_is_wrapped_and_another_is_not(wrapper: str, gold: str) -> None:
    text = wrapper.format(gold)
    assert grade(text, gold, strict=True).outcome == "correct"
    assert not grade(text, "8675309").correct


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join), st.sampled_from(KINDS))
@settings(max_examples=200)
def test_what_is_stated_is_read_alike_when_lenient(text: str, kind: Any) -> None:
    strict = extract(text, kind=kind, strict=True)
    if strict.outcome == "found":
        assert extract(text, kind=kind) == strict
