"""Every packaged benchmark, in every shape its sources have, becomes the one record."""

from typing import Any

import pytest

from cotdistill.benchmarks.benchmark import Benchmark
from cotdistill.benchmarks.convert import questions_of
from cotdistill.benchmarks.packaged import benchmark, benchmark_names
from cotdistill.errors import DataError, MisuseError
from cotdistill.preflight.tasks import gold_is_right

INLINE = "Where do fish live? Answer Choices:\nA. sky\nB. water\n"
OPTIONS = {"A": "sky", "B": "water"}

SHAPES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    # AIME pads its golds, AMC writes them as floats, OlympiadBench wraps them
    ("aime24", {"id": 1, "problem": "x?", "answer": "025"}, {"gold": "25"}),
    ("aime24", {"ID": "2024-I-1", "Problem": "x?", "Answer": 33, "Solution": "s"}, {"gold": "33"}),
    ("aime24", {"problem": "x?", "solution": "is \\boxed{007}"}, {"gold": "7"}),
    ("amc23", {"id": 0, "question": "x?", "answer": 27.0}, {"gold": "27"}),
    ("amc23", {"id": 0, "question": "x?", "answer": -1.0}, {"gold": "-1"}),
    ("amc23", {"id": 0, "question": "x?", "answer": 2.5}, {"gold": "2.5"}),
    (
        "math500",
        {"problem": "x?", "solution": "so $\\boxed{\\frac{1}{2}}$"},
        {"gold": "\\frac{1}{2}", "kind": "expression"},
    ),
    # CoT factors cut this gold at its first closing brace; the box still has it
    (
        "math",
        {"problem": "x?", "level": "Level 2", "type": "Algebra", "output": "\\frac{1}",
         "solution": "so $\\boxed{\\frac{1}{2}}$"},
        {"gold": "\\frac{1}{2}", "meta": {"level": "2", "subject": "Algebra"}},
    ),
    (
        "math",
        {"problem": "x?", "level": "Level 2", "type": "Algebra", "output": "52", "solution": "52."},
        {"gold": "52", "rationale": "52."},
    ),
    ("gsm8k", {"question": "x?", "answer": "9*2=<<9*2=18>>18\n#### 1,018"},
     {"gold": "1018", "rationale": "9*2=18"}),
    ("gsm8k", {"input": "x?\n", "answer": "1,018"}, {"gold": "1018", "question": "x?"}),
    ("gsm8k", {"instruction": "x?", "output": " It is 18. The answer is 18."}, {"gold": "18"}),
    ("gsm8k", {"item_id": "g0", "question": "x?", "answer_cot": "print(1)", "answer_value": "1"},
     {"gold": "1", "rationale": "print(1)"}),
    ("svamp", {"Body": "Ada has 5 nuts", "Question": "How many?", "Equation": "5", "Answer": 5.0},
     {"question": "Ada has 5 nuts. How many?", "gold": "5"}),
    ("svamp", {"input": "x?", "chain": "c", "answer": "32", "initial_correct": False},
     {"gold": "32", "rationale": "c"}),
    ("csqa", {"input": INLINE, "answer": "B. water"},
     {"gold": "B", "options": OPTIONS, "question": "Where do fish live?"}),
    ("csqa", {"instruction": INLINE, "output": "", "label": "B"}, {"gold": "B"}),
    ("csqa", {"instruction": "Q: Where? Answer choices: A: sky, B: water",
              "output": "Fish swim. The answer is B"}, {"gold": "B", "options": OPTIONS}),
    ("aqua", {"item_id": "a0", "question": "x?\nAnswer Choices: (A) sky (B) water",
              "answer_cot": "c", "answer_value": "A"}, {"gold": "A", "options": OPTIONS}),
    ("mathqa", {"item_id": "m0", "question": "x ?\nAnswer Choices: a ) a ) 2 , b ) b ) - 5",
                "options": "a ) a ) 2 , b ) b ) - 5", "answer_value": "b"},
     {"gold": "B", "options": {"A": "2", "B": "- 5"}}),
    ("mathqa", {"item_id": "m0", "question": "x ?\nAnswer Choices: ['a ) 2 : 3', 'b ) 4']",
                "options": "...", "answer_value": "a"}, {"options": {"A": "2 : 3", "B": "4"}}),
    ("strategyqa", {"instruction": "x?", "label": "False"}, {"gold": "No"}),
    ("strategyqa", {"input": "x?", "answer": "Yes"}, {"gold": "Yes"}),
    ("strategyqa", {"instruction": "x?", "output": "s. The answer is True"}, {"gold": "Yes"}),
    ("date", {"input": "x?\nWhich choice is true? Answer choices: (A) sky, (B) water.",
              "answer": "B"}, {"question": "x?", "options": OPTIONS}),
    ("theoremqa", {"item_id": "t0", "question": "x?", "answer_value": "(c)"},
     {"gold": "C", "kind": "letter"}),
    ("theoremqa", {"item_id": "t0", "question": "x?", "answer_value": "[1, 2]"},
     {"kind": "expression", "meta": {"answer_type": "list"}}),
    ("theoremqa", {"item_id": "t0", "question": "x?", "answer_value": "0.25"},
     {"kind": "number", "meta": {"answer_type": "float", "tolerance": 0.04}}),
    ("olympiadbench",
     {"id": 1, "question": "x?", "context": None, "solution": ["s"], "final_answer": ["$4.2$"],
      "is_multiple_answer": False, "unit": "$cm^2$", "answer_type": "Numerical", "error": "1e-1",
      "subfield": "Geometry"},
     {"gold": "4.2",
      "meta": {"source_id": "1", "subject": "Geometry", "answer_type": "Numerical",
               "several": False, "unit": "cm^2", "tolerance": pytest.approx(0.1 / 4.2)}}),
]  # fmt: skip


def test_twenty_two_benchmarks_are_packaged() -> None:
    assert len(benchmark_names()) == 22
    assert all(benchmark(name).name == name for name in benchmark_names())


@pytest.mark.parametrize("name", benchmark_names())
def test_the_examples_are_in_the_hub_s_shape_and_their_golds_are_graded_right(name: str) -> None:
    declared = benchmark(name)
    made = questions_of(declared, "test", declared.examples, name, any_size=True)
    assert len(made.rows) == len(declared.examples)
    for row in made.rows:
        assert gold_is_right(row), row


@pytest.mark.parametrize(("name", "row", "expected"), SHAPES)
def test_a_source_s_row_becomes_a_question(
    name: str, row: dict[str, Any], expected: dict[str, Any]
) -> None:
    question = benchmark(name).question(row, "test")
    assert {key: question[key] for key in expected} == expected


def test_the_id_is_the_same_from_every_source() -> None:
    declared = benchmark("gsm8k")
    rows = [{"question": "How many?", "answer": "#### 4"}, {"input": "How  many?\n", "answer": "4"}]
    ids = [questions_of(declared, "test", [row], "x", any_size=True).rows[0]["id"] for row in rows]
    assert ids[0] == ids[1]


def test_an_unknown_name_points_to_the_nearest() -> None:
    with pytest.raises(MisuseError, match="did you mean 'gsm8k'"):
        benchmark("gms8k")


def bare(name: str = "toy", **changes: Any) -> Benchmark:
    declared = {"name": name, "about": "a", "licence": "l", "kind": "number",
                "rows": {"test": [2], "train": [2]}, "examples": [{"q": "1"}],
                "shapes": [{"has": ["q", "a"], "question": "q", "gold": "a | number"}]}  # fmt: skip
    return Benchmark.model_validate({**declared, **changes})


def test_a_wrong_count_says_what_is_known() -> None:
    with pytest.raises(DataError, match="1 row of test; expected 2 rows"):
        questions_of(bare(), "test", [{"q": "x?", "a": "1"}], "here")


def test_a_changed_schema_is_one_line_that_names_the_columns() -> None:
    with pytest.raises(DataError) as caught:
        questions_of(bare(), "test", [{"question": "x?", "answer": "1"}] * 5, "here")
    assert str(caught.value).count("\n") == 0
    assert "its columns (question, answer) are in no shape known for toy; expected q+a" in str(
        caught.value
    )


def test_an_unreadable_test_row_stops_and_an_unreadable_training_row_is_counted() -> None:
    rows = [{"q": "x?", "a": "1"}, {"q": "y?", "a": "seven"}]
    with pytest.raises(DataError, match="here: row 2: gold: 'seven' is not a number"):
        questions_of(bare(), "test", rows, "here")
    kept = questions_of(bare(), "train", rows, "here")
    assert (len(kept.rows), kept.read, kept.dropped) == (1, 2, {"gold cannot be read": 1})


def test_a_gold_that_is_no_option_is_a_fault() -> None:
    declared = bare(
        kind="letter",
        shapes=[{"has": ["q"], "question": "q", "gold": "'C'", "options": "{'A': 'x', 'B': 'y'}"}],
    )
    with pytest.raises(DataError, match="gold 'C' is none of the options A, B"):
        questions_of(declared, "test", [{"q": "x?"}] * 2, "here")


def test_a_column_is_data_and_never_an_expression() -> None:
    row = {"q": "{{ 7 * 7 }} ''.__class__", "a": "1"}
    assert bare().question(row, "test")["question"] == row["q"]


def test_a_declared_expression_cannot_leave_the_sandbox() -> None:
    declared = bare(shapes=[{"has": ["q"], "question": "q.__class__.__mro__", "gold": "'1'"}])
    with pytest.raises(DataError, match="question"):
        questions_of(declared, "test", [{"q": "x?"}] * 2, "here")
