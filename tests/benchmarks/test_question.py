"""When two rows ask the same question, whatever file, shape, prompt or id they have."""

from typing import Any

import pytest

from cotdistill.benchmarks.question import (
    identity_of,
    options_of,
    question_key,
    question_text,
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"id": 1, "problem": "a  b"}, {"id": "x", "question": "a b\n"}),
        ({"question": "Who?"}, {"question": "Who?", "instruction": "Think first.", "answer": 4}),
        ({"question": "Who?"}, {"question": "Who?", "prompt": "Q: 1+1?\nA: 2\n\nQ: Who?\nA:"}),
        ({"Body": "Tom has 3.", "Question": "Left?"}, {"question": "Tom has 3. Left?"}),
        (
            {"question": "Which?", "options": {"A": "red", "B": "blue", "C": None}},
            {"question": "Which?", "choices": {"text": ["red", "blue"], "label": ["A", "B"]}},
        ),
        (
            {"question": "Which?", "options": ["A) red", "B) blue"]},
            {"question": "Which?", "A": "red", "B": "blue"},
        ),
    ],
)
def test_the_content_of_two_documents_makes_them_one_question(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert question_key(one) == question_key(other)


@pytest.mark.parametrize("field", ["body", "passage", "article", "context", "story", "premise"])
def test_what_a_question_is_about_is_part_of_it(field: str) -> None:
    asked = {"question": "Which of these is true?"}
    keys = {question_key({**asked, field: text}) for text in ("Ann ran.", "Bob ran.")}
    assert len(keys | {question_key(asked)}) == 3


@pytest.mark.parametrize(
    "choices",
    [
        [{"choices": ["red", "blue"]}, {"choices": ["blue", "red"]}],
        [{"options": {"A": "1", "B": "2"}}, {"options": {"A": "1", "B": "3"}}],
        [{"endings": ["he sat", "he ran"]}, {"endings": ["he sat", "he fell"]}],
        [{"choice1": "it fell", "choice2": "it rose"}, {"choice1": "it fell", "choice2": "it sat"}],
    ],
)
def test_choices_are_part_of_a_question(choices: list[dict[str, Any]]) -> None:
    keys = {question_key({"question": "Which is right?", **one}) for one in choices}
    assert len(keys) == 2


def test_an_instruction_or_prompt_asks_only_where_nothing_else_does() -> None:
    assert question_text({"instruction": "Add 3 and 4.", "input": ""}) == "Add 3 and 4."
    assert question_text({"instruction": "Solve it.", "input": "3 + 4"}) == "3 + 4"
    assert question_text({"prompt": "Write a poem."}) == "Write a poem."
    assert question_text({"passage": "Ann ran.", "prompt": "Who ran?"}) == "Ann ran.\n\nWho ran?"
    assert question_text({"id": 5, "label": 1}) == ""


def test_all_choices_of_a_long_list_count() -> None:
    texts = [f"choice {number}" for number in range(30)]
    changed = [*texts[:-1], "another"]
    assert question_key({"question": "Which?", "choices": texts}) != question_key(
        {"question": "Which?", "choices": changed}
    )


def test_choices_that_the_question_names_itself_are_not_shown_twice() -> None:
    document = {"question": "Is it (A) hot or (B) cold?", "options": {"A": "hot", "B": "cold"}}
    assert question_text(document) == "Is it (A) hot or (B) cold?"


def whole(document: dict[str, Any]) -> str:
    return identity_of(document).document


def test_documents_of_the_same_content_differ_by_anything_but_id_and_prompt() -> None:
    document = {"id": 1, "question": "True?", "gold": "yes", "picture": "a.png"}
    assert whole(document) == whole({**document, "id": 2, "prompt": "Think."})
    assert whole(document) != whole({**document, "gold": "no"})
    assert whole(document) != whole({**document, "picture": "b.png"})
    assert whole({"id": 1, "label": 0}) != whole({"id": 2, "label": 0})


def test_half_a_surrogate_pair_has_a_key_too() -> None:
    assert question_key({"question": "half \ud800"}) != question_key("half")
    assert whole({"question": "half \ud800"}) != whole({"question": "half"})


@pytest.mark.parametrize("value", ["", 5, [], {}, {"first": "a"}, ["x"] * 11, {"A": None}])
def test_what_are_no_options_is_none(value: Any) -> None:
    assert options_of(value) is None


ASKED = "Ida has 3 pens and finds 4. How many pens has she?"


@pytest.mark.parametrize(
    "prompt",
    [
        f"{ASKED}\nPlease reason step by step, and put your final answer within \\boxed{{}}.",
        f"{ASKED} Please reason step by step, and put your final answer within \\boxed{{}}.",
        f"Question: {ASKED}\n\nLet's think step by step.",
        f"{ASKED}\n\nWork it out step by step, then give the final answer inside \\boxed{{}}.",
        f"{ASKED} Let's write a Python program to solve it.",
        f"{ASKED} Please respond by writing a program in Python.",
        "Solve the following math problem. Present the final answer in the format: Final Answer: "
        f"\\boxed{{your_answer}}.\nProblem: {ASKED}\nAnswer:",
    ],
)
def test_the_instruction_of_a_prompt_is_no_part_of_what_is_asked(prompt: str) -> None:
    assert question_key(prompt, "words") == question_key(ASKED, "words")
    assert question_key(prompt) != question_key(ASKED)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Write a program that adds.", "Write a program that divides."),
        ("She walks. Please say how many steps.", "She walks. Please say how many miles."),
        ("Draw a box. What is \\boxed{3} + 4?", "Draw a box. What is \\boxed{3} + 5?"),
        ("He runs 3 miles. He does so step by step", "He runs 3 miles. He does so at once"),
    ],
)
def test_what_a_question_says_itself_is_not_taken_for_an_instruction(one: str, other: str) -> None:
    assert question_key(one, "words") != question_key(other, "words")
