"""Puzzles: right answers, rationales at every level, and two sides that never meet."""

import pytest

from cotdistill.benchmarks.puzzles import FAMILIES, STEPS, Puzzle, draw_puzzles, side_of
from cotdistill.errors import DataError
from cotdistill.grading.grade import grade

LEVELS = range(STEPS + 1)


def drawn(family: str, level: int = 6, rows: int = 50, seed: int = 0) -> list[Puzzle]:
    return list(draw_puzzles(family, level, rows, seed, "train"))


def solved_by_hand(puzzle: Puzzle) -> str:
    """Work the question's own text out, in another way than the generator does."""
    inside = puzzle.question.split(". ")[1] if ". " in puzzle.question else puzzle.question
    words = inside.rstrip("?").replace(".", "").replace(",", "").split()
    if puzzle.family == "digit-sum":
        return str(sum(int(word) for word in words if word.isdigit()))[-1]
    if puzzle.family == "last-letters":
        listed = puzzle.question.removeprefix("Take the last letters of ").split(". ")[0]
        return "".join(word[-1] for word in listed.split(", "))
    cups = dict.fromkeys("ABCD", False) | {"A": True}
    for swap in puzzle.question.split("Swap ")[1].split(". ")[0].split(", "):
        cups[swap[0]], cups[swap[1]] = cups[swap[1]], cups[swap[0]]
    return next(cup for cup, here in cups.items() if here)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_answer_is_what_the_question_asks_for(family: str) -> None:
    assert [solved_by_hand(p) for p in drawn(family)] == [p.answer for p in drawn(family)]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("level", LEVELS)
def test_the_last_line_states_the_answer_and_the_grader_reads_it(family: str, level: int) -> None:
    for puzzle in drawn(family, level):
        assert puzzle.rationale.splitlines()[-1] == f"The answer is {puzzle.answer}."
        assert grade(puzzle.rationale, puzzle.answer, kind=FAMILIES[family].kind).correct
        wrong = {"digit-sum": f"{(int(puzzle.answer) + 1) % 10}"} if family == "digit-sum" else {}
        other = wrong.get(family, "E" if family == "ball" else puzzle.answer[::-1] + "q")
        assert not grade(puzzle.rationale, other, kind=FAMILIES[family].kind).correct


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("level", LEVELS)
def test_a_level_is_the_number_of_lines_before_the_answer(family: str, level: int) -> None:
    assert {len(p.rationale.splitlines()) for p in drawn(family, level)} == {level + 1}


def test_the_levels_of_one_seed_ask_the_same_questions() -> None:
    asked = {tuple(p.question for p in drawn("ball", level)) for level in LEVELS}
    assert len(asked) == 1


def test_a_longer_draw_begins_with_the_shorter_one() -> None:
    assert drawn("ball", rows=50)[:20] == drawn("ball", rows=20)


def test_a_rationale_is_written_as_here() -> None:
    puzzle = drawn("ball", level=3, rows=1, seed=5)[0]
    swaps = puzzle.question.split("Swap ")[1].split(". ")[0].split(", ")
    lines = puzzle.rationale.splitlines()
    assert [line.split(" =")[0] for line in lines[:3]] == [
        f"{swaps[0]}, {swaps[1]}",
        f"{swaps[2]}, {swaps[3]}",
        f"{swaps[4]}, {swaps[5]}",
    ]
    assert lines[2].endswith(f" ={puzzle.answer}")


@pytest.mark.parametrize("family", FAMILIES)
def test_held_out_questions_are_never_trained_on_whatever_the_seeds(family: str) -> None:
    trained = {p.question for seed in range(4) for p in drawn(family, rows=3000, seed=seed)}
    held_out = {p.question for seed in range(4) for p in draw_puzzles(family, 0, 500, seed, "test")}
    assert len(trained) > 9000
    assert len(held_out) > 1500
    assert not trained & held_out
    assert {side_of(question) for question in trained} == {"train"}
    assert {side_of(question) for question in held_out} == {"test"}


@pytest.mark.parametrize("family", FAMILIES)
def test_questions_of_one_draw_are_all_different(family: str) -> None:
    puzzles = drawn(family, rows=2000)
    assert len({p.question for p in puzzles}) == len({p.id for p in puzzles}) == 2000


def test_an_eighth_of_the_questions_is_held_out() -> None:
    sides = [side_of(f"question {number}") for number in range(8000)]
    assert 900 < sides.count("test") < 1100


@pytest.mark.parametrize(
    ("family", "level", "rows", "says"),
    [
        ("bal", 3, 10, "no puzzle family 'bal'; did you mean 'ball'?"),
        ("ball", 7, 10, r"level 7; expected 0 \(answer only\) to 6 \(finest\)"),
        ("ball", -1, 10, "level -1"),
        ("digit-sum", 3, 0, "0 rows for train; expected 1 to 437500 rows"),
        ("digit-sum", 3, 900_000, "900000 rows for train"),
    ],
)
def test_what_cannot_be_drawn_is_said(family: str, level: int, rows: int, says: str) -> None:
    with pytest.raises(DataError, match=says):
        next(draw_puzzles(family, level, rows, 0, "train"))
