"""Equivalence: labelled pairs of each category, the stated policy both ways, rewriting."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cotdistill import grade
from cotdistill.grading.equivalence.equivalent import equivalent
from cotdistill.grading.equivalence.normalize import tidy
from cotdistill.grading.equivalence.parser import parse

CASES = Path(__file__).with_name("cases_equivalence.txt")


LABELS = {"===": True, "=/=": False, "=?=": None}


def labelled() -> list[tuple[str, str, str, bool | None]]:
    found, category = [], ""
    for line in CASES.read_text(encoding="utf-8").splitlines()[1:]:
        if line.startswith("# "):
            category = line[2:]
            continue
        match = re.fullmatch(r"(.*) (===|=/=|=\?=) (.*)", line)
        if match:
            found.append((category, match[1], match[3], LABELS[match[2]]))
    return found


PAIRS = labelled()


def test_every_category_has_pairs_of_both_labels() -> None:
    labels = {(category, equal) for category, _, _, equal in PAIRS if equal is not None}
    assert len(PAIRS) > 400
    assert len(labels) == 2 * len({category for category, _ in labels})


@pytest.mark.parametrize(("category", "answer", "gold", "equal"), PAIRS)
def test_a_labelled_pair_gets_its_verdict(
    category: str, answer: str, gold: str, equal: bool | None
) -> None:
    assert equivalent(answer, gold).equal is equal, category


def test_a_labelled_pair_gets_its_verdict_in_a_box() -> None:
    for _, answer, gold, equal in PAIRS:
        if answer != r"\text{Option C}":  # no option is known
            text = rf"So the result is $\boxed{{{answer}}}$."
            assert grade(text, gold).correct is (equal is True), (answer, gold)


@pytest.mark.parametrize(
    ("answer", "gold", "equal"),
    [
        ("3.1416", r"\pi", True),
        ("3.14", r"\pi", False),
        ("1.4213", "1.42", True),
        ("1.42", "1.4213", False),
        ("1.43", "1.4213", False),
        ("18", "18.0001", False),
        ("10%", "0.1", True),
        ("10%", "10", True),
        ("10", "0.1", False),
        ("2 hours", "120 minutes", True),
        ("2 hours", "120", False),
        ("50 cents", "0.5", False),
        ("1.5 million", "1500000", True),
        ("1.5 million", "1.5", True),
        ("1.5 million", "1500", False),
        ("x=5", "5", True),
        ("y=5", "x=5", False),
        ("204", "204_5", True),
        ("54", "204_5", False),
        ("2,1", "1,2", True),
        ("(2,1)", "(1,2)", False),
        (r"\{2,1,1\}", r"\{1,2\}", True),
        ("2,1,1", "1,2", False),
        ("[1,2]", "(1,2)", False),
        (r"\{1,2,3\}", "(1,2,3)", False),
        (r"\sqrt{x^2}", "x", False),
        (r"\sqrt{x^2}", "|x|", True),
        ("2x=4y", "x=2y", True),
        ("033", "33", True),
        ("4:30 p.m.", "4:30", True),
        ("16:30", "4:30 a.m.", False),
        ("6:4", "3:2", True),
        ("a+b=7", "7", True),
        ("7", "a+b=7", False),
        ("1,234", "1234", True),
        ("1,234", "234, 1", True),
        ("2,74", "274", False),
    ],
)
def test_the_stated_policy_holds(answer: str, gold: str, equal: bool) -> None:
    assert equivalent(answer, gold).equal is equal


@pytest.mark.parametrize("blank", ["", " ", "$$", r"\boxed{}", r"\(\)"])
def test_nothing_is_never_an_answer(blank: str) -> None:
    assert equivalent(blank, "0").equal is not True
    assert equivalent("0", blank).equal is not True
    assert equivalent("", "").equal is False


def test_a_tolerance_is_relative_to_the_gold() -> None:
    assert equivalent("3.14", r"\pi", tolerance=0.01).equal is True
    assert equivalent("-1.05", "-1.047", tolerance=0.04).equal is True
    assert equivalent("96", "100", tolerance=0.04).equal is True
    assert equivalent("95", "100", tolerance=0.04).equal is False
    assert equivalent("(1, 2.1)", "(1, 2)", tolerance=0.04).equal is False


OPTIONS = {"A": "40 km", "B": "50 km", "C": "blue ball"}


@pytest.mark.parametrize(
    ("answer", "gold", "equal"),
    [
        ("A", "A", True),
        ("(b)", "B", True),
        ("B) 50 km", "B", True),
        ("40", "A", True),
        ("40 km", "A", True),
        ("50", "A", False),
        ("the blue ball", "C", True),
        ("C", "blue ball", True),
        ("red ball", "C", False),
        ("C", "A", False),
    ],
)
def test_choices_are_compared_by_letter_or_by_text(answer: str, gold: str, equal: bool) -> None:
    assert equivalent(answer, gold, kind="letter", options=OPTIONS).equal is equal


@pytest.mark.parametrize(
    ("answer", "gold", "equal"),
    [
        ("no", "no solution", False),
        ("no real solutions", "no solution", False),
        ("A: 3, B: 5", "A: 3, B: 4", False),
        ("A: 3, B: 4", "A: 3, B: 4", True),
        ("x: 5", "y: 5", False),
        ("(b) 7 m", "(b)", True),
        ("B", "(B) Rome", True),
        ("Rome", "(B) Rome", True),
        ("(A) Rome", "(B) Rome", False),
    ],
)
def test_a_gold_that_only_looks_like_a_choice_is_none(answer: str, gold: str, equal: bool) -> None:
    assert equivalent(answer, gold).equal is equal


def test_kinds_read_what_they_are_told_to() -> None:
    assert equivalent("T", "True", kind="boolean").equal is True
    assert equivalent("3 March 2021", "03/03/2021", kind="date").equal is True
    assert equivalent("03/04/2021", "03/03/2021", kind="date").equal is False
    assert equivalent("E-E-I", "eei", kind="text").equal is True
    assert equivalent("eie", "eei", kind="text").equal is False


ANSWERS = [
    "7", "-12", "3.5", "1250", r"\frac{3}{7}", r"-\frac{2}{9}", r"2\sqrt{5}", r"\frac{\sqrt{3}}{2}",
    r"5\pi", "4-3i", "(2,-7)", "1, 4, 9", r"\{3, 8\}", "[0, 6)",
    r"(-\infty, 2) \cup (5, \infty)",
    "x^2-4x+1", "k=4n+2",
    r"\begin{pmatrix} 2 & 0 \\ 1 & 5 \end{pmatrix}", r"\text{Lena}", r"35^\circ",
    "112_3", r"40\%", "y=3x-8",
]  # fmt: skip
HARMLESS = [
    "${}$", r"\({}\)", r"\[{}\]", "$${}$$", "{}.", " {} ", r"\boxed{{{}}}", r"\displaystyle {}",
    "**{}**", "{},",    r"\mathbf{{{}}}", r"$\boxed{{{}}}$.", "{}\n",
]  # fmt: skip


@pytest.mark.parametrize("dress", HARMLESS)
def test_dress_changes_nothing(dress: str) -> None:
    for answer in ANSWERS:
        dressed = dress.format(answer)
        assert equivalent(dressed, answer).equal is True, dressed
        assert equivalent(answer, dressed).equal is True, dressed


def test_different_answers_stay_different() -> None:
    for at, one in enumerate(ANSWERS):
        for two in ANSWERS[at + 1 :]:
            assert equivalent(one, two).equal is False, (one, two)


@pytest.mark.parametrize(
    ("rewrite", "answers"),
    [
        (lambda text: text + ".0", ["7", "-12", "1250"]),
        (lambda text: text + r"\text{ units}", ["7", "3.5", "1250", r"\frac{3}{7}"]),
        (lambda text: text + r"\,\mathrm{cm}", ["7", "3.5", r"2\sqrt{5}"]),
        (lambda text: "x = " + text, ["7", "3.5", r"\frac{3}{7}", "4-3i"]),
        (lambda text: text.replace(r"^\circ", "°"), [r"35^\circ"]),
        (lambda text: text.replace(r"^\circ", " degrees"), [r"35^\circ"]),
        (lambda text: text.replace(r"\frac{3}{7}", "3/7"), [r"\frac{3}{7}"]),
        (lambda text: text.replace(r"\frac", r"\dfrac"), [r"\frac{3}{7}", r"\frac{\sqrt{3}}{2}"]),
        (lambda text: text.replace(r"\sqrt{5}", r"\sqrt 5"), [r"2\sqrt{5}"]),
        (lambda text: text.replace("pmatrix", "bmatrix"), [ANSWERS[17]]),
        (lambda text: text.replace("_3", "_{3}"), ["112_3"]),
        (lambda text: text.replace("1250", "1,250"), ["1250"]),
        (lambda text: text.replace("-", "−"), ["-12", "(2,-7)", "4-3i", "x^2-4x+1"]),
        (lambda text: text.replace("\\", "\\\\"), [r"\frac{3}{7}", r"2\sqrt{5}", r"5\pi"]),
    ],
)
def test_a_harmless_rewriting_keeps_the_verdict(rewrite, answers) -> None:  # type: ignore[no-untyped-def]
    for answer in answers:
        assert rewrite(answer) != answer
        assert equivalent(rewrite(answer), answer).equal is True, rewrite(answer)


SIGNS = r"\{}()[]$^_,.;:+-*/=<>|&%! 0123456789abfracsqrtextpim"
numbers = st.integers(-999, 999).map(str)
atoms = st.one_of(numbers, st.sampled_from(["x", "y", "n", r"\pi", r"\sqrt{2}", "0.5", "i"]))
expressions = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda two: rf"\frac{{{two[0]}}}{{{two[1]}}}"),
        st.tuples(inner, inner).map(lambda two: f"({two[0]})+({two[1]})"),
        st.tuples(inner, inner).map(lambda two: f"({two[0]})({two[1]})"),
        st.tuples(inner, st.integers(0, 5)).map(lambda two: f"({two[0]})^{{{two[1]}}}"),
        inner.map(lambda one: rf"\sin({one})"),
    ),
    max_leaves=6,
)
answers = st.one_of(
    expressions,
    st.lists(expressions, min_size=2, max_size=4).map(", ".join),
    st.lists(expressions, min_size=2, max_size=3).map(lambda parts: f"({', '.join(parts)})"),
    st.tuples(numbers, numbers).map(lambda ends: f"[{ends[0]}, {ends[1]})"),
)


@settings(max_examples=200)
@given(answers)
def test_an_answer_is_itself_and_dressed_itself(answer: str) -> None:
    assert equivalent(answer, answer).equal is True
    assert equivalent(rf"$\left({answer}\right)$", f"({answer})").equal is True


@settings(max_examples=200)
@given(expressions, expressions)
def test_verdicts_on_expressions_are_symmetric_and_repeat(a: str, b: str) -> None:
    first = equivalent(a, b)
    assert equivalent(a, b) == first
    assert equivalent(b, a).equal == first.equal


@settings(max_examples=100)
@given(expressions, expressions)
def test_a_sum_is_its_terms_in_another_order_and_not_one_more(a: str, b: str) -> None:
    assert equivalent(f"({a})+({b})", f"({b})+({a})").equal in (True, None)
    assert equivalent(f"({a})+1", f"({a})").equal is not True


@settings(max_examples=300)
@given(
    st.text(max_size=60),
    st.text(alphabet=r"\{}()[]$^_,.;:+-*/=<>|&%! 0123456789abfracsqrtextpim", max_size=60),
)
def test_no_text_raises_and_verdicts_repeat(a: str, b: str) -> None:
    for one, two in ((a, b), (b, a), (b, b)):
        assert equivalent(one, two) == equivalent(one, two)
    if parse(tidy(b)) is not None:
        assert equivalent(b, b).equal is True


@pytest.mark.slow
@settings(max_examples=2000)
@given(expressions, expressions)
def test_a_longer_search_finds_no_pair_that_breaks_a_rule(a: str, b: str) -> None:
    test_verdicts_on_expressions_are_symmetric_and_repeat.hypothesis.inner_test(a, b)  # type: ignore[attr-defined]
    test_a_sum_is_its_terms_in_another_order_and_not_one_more.hypothesis.inner_test(a, b)  # type: ignore[attr-defined]


@pytest.mark.slow
@settings(max_examples=2000)
@given(answers)
def test_a_longer_search_finds_no_answer_that_is_not_itself(answer: str) -> None:
    test_an_answer_is_itself_and_dressed_itself.hypothesis.inner_test(answer)  # type: ignore[attr-defined]
