"""The guards of guided samples: what shows guidance is rejected, what sounds like it is not."""

from __future__ import annotations

import pytest

from cotdistill.teach.guards import mentions_hint, mentions_teacher, states_result

CLASS = "A teacher has 30 pencils and gives 2 to each of 12 pupils. How many are left?"


@pytest.mark.parametrize(
    "text",
    [
        "The teacher gives away 2 * 12 = 24 pencils, so the teacher has 6.",
        "The teacher said nothing of others, so 30 - 24 = 6.",
        "Each teacher needs 3 books.",
    ],
)
def test_a_text_about_the_teacher_of_the_question_is_kept(text: str) -> None:
    assert mentions_teacher(text, "Look at step 1.", CLASS) == ""


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("As your teacher, I add. It is 6.", CLASS),
        ("My teacher pointed out the mistake: 6.", CLASS),
        ("The teacher said that I forgot 2, so 6.", "How many pens?"),
        ("According to my teacher it is 6.", CLASS),
        ("You are right, it is 6.", CLASS),
        ("The teacher identified my mistake in step 2.", "How many pens?"),
        ("Thanks, teacher. It is 6.", "How many pens?"),
        ("Following the teacher’s guidance, 6.", "How many pens?"),
        ("Teacher: step 2 is wrong. 6", "How many pens?"),
        ("My previous answer was wrong.", CLASS),
    ],
)
def test_a_text_that_speaks_of_its_own_teacher_is_rejected(text: str, question: str) -> None:
    assert mentions_teacher(text, "Look at step 1.", question).startswith("it refers to the corr")


@pytest.mark.parametrize(
    "text",
    [
        "Each correct answer gives 4 points, so 3 * 4 = 12.",
        "With the given value 3 we get 12.",
        "The expected value is 3.5.",
        "The known value of x is 2.",
        "This solution is correct: 12.",
    ],
)
def test_words_that_only_sound_like_a_hint_are_kept(text: str) -> None:
    assert mentions_hint(text, "How many points has she?") == ""


@pytest.mark.parametrize(
    "text",
    [
        "Since the known result is 12, we multiply.",
        "This matches the provided answer.",
        "We know the correct answer is 12, hence 3 * 4.",
        "As given by the reference solution, 12.",
        "It equals the expected answer.",
        "The expected result is 12, so 3 * 4.",
        "The target value is 12.",
        "The reference result 12 follows.",
        "We must reach the correct answer, 12.",
        "The answer was given as 12.",
    ],
)
def test_words_that_refer_to_a_given_result_are_rejected(text: str) -> None:
    assert mentions_hint(text, "How many points has she?").startswith("it refers to a hint")


@pytest.mark.parametrize(
    ("code", "stated"),
    [
        ("print(7)", True),
        ("answer = 7\nprint(f'{answer}')", True),
        ("print(float('7'))", True),
        ("print(-7)", True),
        ("print(3 + 4)", False),
        ("pens = 3\npens += 4\nprint(pens)", False),
        ("print(sum([3, 4]))", False),
        ("x = -7\nprint(-x)", False),
        ("print(", False),
    ],
)
def test_a_program_that_only_states_its_result_is_found(code: str, stated: bool) -> None:
    assert bool(states_result(f"```python\n{code}\n```")) is stated
