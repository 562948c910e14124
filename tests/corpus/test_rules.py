"""Each defect has a rule that finds it, leaves good rows alone, and fixes only what is safe."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cotdistill.corpus.records.trace import Trace
from cotdistill.corpus.records.trace_row import trace_of
from cotdistill.corpus.rules.plain_equations import plainly_true
from cotdistill.corpus.rules.rules import NAMES, RuleSet, defects_in, detail_of, fixed
from cotdistill.errors import MisuseError
from cotdistill.grading.arithmetic.soundness import step_soundness
from trace_rows import trace_dict


def trace(**changes: Any) -> Trace:
    return trace_of(trace_dict(4, **changes))


DEFECTS: list[tuple[str, dict[str, Any], str]] = [
    ("empty_rationale", {"rationale": " "}, "no rationale"),
    ("answer_only", {"rationale": "8"}, "only '8'"),
    ("no_answer_marker", {"rationale": "She has 4 and 4 pens. That is 8."}, "That is 8."),
    ("leaked_tag", {"rationale": "<Solution Path>4 + 4. The answer is 8"}, "<Solution Path>"),
    ("leaked_tag", {"rationale": "4 + 4<|im_end|> The answer is 8"}, "<|im_end|>"),
    ("control_character", {"rationale": "\frac{8}{1}. The answer is 8"}, "x0c"),
    ("control_character", {"rationale": "4 \times 2. The answer is 8"}, "\\t"),
    ("glued_list_number", {"rationale": "1. Take 290.2. We halve.\nThe answer is 8"}, "290.2. We"),
    ("leading_space", {"rationale": " 4 + 4. The answer is 8"}, "starts with ' '"),
    ("separator_inside", {"rationale": "4 --> 8. The answer is 8"}, "-->"),
    ("mentions_given_answer", {"rationale": "The provided answer fits. The answer is 8"}, "prov"),
    ("loop", {"rationale": "Wait, let me see that again. " * 12}, "again and again"),
    ("cut_off", {"provenance": {"finish_reason": "length"}}, "finish reason"),
    ("cut_off", {"rationale": "<think>4 + 4. The answer is 8"}, "never closed"),
    ("cut_off", {"rationale": "<thinking>4 + 4. The answer is 8"}, "never closed"),
    ("loop", {"rationale": "4 + 4 = 8. " + "0" * 3000 + " The answer is 8"}, "repeats '0' 3000"),
    ("loop", {"rationale": "是" * 400 + "。The answer is 8"}, "repeats '是' 400"),
    ("loop", {"rationale": "So. " + "ha, " * 200 + "The answer is 8"}, "200 times"),
    ("broken_thought", {"rationale": "4 + 4\n</think>\nThe answer is 8"}, "without an opening"),
    ("broken_thought", {"rationale": "<think>4</think><think>4</think>It is 8"}, "2 thoughts"),
    ("broken_thought", {"rationale": "<think>4<think>4</think>The answer is 8"}, "2 thoughts"),
    ("broken_thought", {"rationale": "</think>4 + 4<think>The answer is 8"}, "before <think>"),
    ("broken_thought", {"rationale": "<think>4 + 4. The answer is 8</think>\n"}, "nothing after"),
    ("broken_thought", {"rationale": "[THINK]4[/THINK][THINK]4[/THINK]It is 8"}, "2 thoughts"),
    ("broken_text", {"rationale": "4 + 4=8\ufffd\ufffd. The answer is 8"}, "lost character"),
    ("broken_text", {"rationale": "Itâ€™s 4 + 4. The answer is 8"}, "mojibake"),
    ("broken_text", {"question": "CafÃ©: what are 4 and 4?"}, "mojibake 'Ã©'"),
    ("broken_text", {"rationale": "Ð¿Ñ€Ð¸: 4 + 4. The answer is 8"}, "mojibake"),
    ("broken_text", {"rationale": "ä½\u00a0å¥½: 4 + 4. The answer is 8"}, "mojibake"),
    ("broken_text", {"rationale": "9 &gt; 8. The answer is 8"}, "HTML entity '&gt;'"),
    ("placeholder_answer", {"rationale": "4 + 4: \\boxed{your answer here}"}, "your answer here"),
    ("placeholder_answer", {"rationale": "4 + 4: \\boxed{\\text{final answer}}"}, "final answer"),
    ("placeholder_answer", {"rationale": "4 + 4: \\boxed{}."}, "the box is empty"),
    ("placeholder_answer", {"rationale": "4 + 4: \\boxed{}.", "gold": ""}, "the box is empty"),
    ("placeholder_answer", {"rationale": "4 + 4. The answer is [insert number]."}, "[insert"),
    ("placeholder_answer", {"rationale": "4 + 4.\n#### [number]"}, "#### [number]"),
    ("placeholder_answer", {"rationale": "4 + 4. THE ANSWER IS [NUMBER]."}, "ANSWER IS"),
    ("leaked_tag", {"rationale": "The answer is 8</s>"}, "</s>"),
    ("leaked_tag", {"rationale": "The answer is 8<｜end▁of▁sentence｜>"}, "end▁of"),
    ("wrong_answer", {"rationale": "4 + 5. The answer is 9"}, "gold 8, answer 9"),
    ("forced_label", {"rationale": "The answer is 9. The answer is 8"}, "first 9, at last 8"),
    ("truncated_gold", {"gold": "\\frac{1", "kind": "expression"}, "braces do not close"),
    ("truncated_gold", {"gold": "\\frac{1}", "kind": "expression",
                        "meta": {"solution": "so \\boxed{\\frac{1}{2}}"}}, "the box says"),
    ("gold_against_question", {"question": 'Take the last letters of each words in "Ada Bob" and '
     "concatenate them.", "gold": "ba", "kind": "text"}, "the words give ab"),
    ("gold_against_box", {"meta": {"solution": "so \\boxed{9}"}}, "the box says 9"),
    ("unreadable_gold", {"gold": "eight"}, "is no number"),
    ("unreadable_gold", {"gold": "Option B", "kind": "letter"}, "is no letter"),
    ("wrong_option", {"gold": "C", "kind": "letter", "options": {"A": "7", "B": "8"},
                      "rationale": "The answer is C"}, "is none of A, B"),
    ("wrong_option", {"gold": "B", "kind": "letter", "options": {"A": "7", "B": "8"},
                      "rationale": "The correct answer is (B) 7"}, "but that is A"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "changes", "detail"), DEFECTS)
def test_a_defect_is_found_and_told(rule: str, changes: dict[str, Any], detail: str) -> None:
    faulty = trace(**changes)
    assert rule in defects_in(faulty)
    assert detail in detail_of(faulty, rule)


GOOD: list[dict[str, Any]] = [
    {},
    {"rationale": "1. She had 4.\n2. She buys 4 more.\n3. 4 + 4 = 8.\nThe answer is 8"},
    {"rationale": "It was 2. We add 2. The answer is 8"},
    {"rationale": "If x < 9 and x > 7 then x = 8.\tSo the answer is 8"},
    {"rationale": "The answer is 4 + 4 = 8. The answer is 8"},
    {"rationale": "<think>4 + 4</think>The answer is 8"},
    {"rationale": "4 more", "answer": "8"},
    {"gold": "8.0"},
    {"gold": "B", "kind": "letter", "options": {"A": "7", "B": "8"},
     "rationale": "The correct answer is (B) 8"},
    {"gold": "", "rationale": "Nobody knows. The answer is 17"},
    {"rationale": "<think>\n\n</think>\n\nThe answer is 8"},
    {"rationale": "She visits the «CAFÉ», naïve – “as ever” – 4 + 4. The answer is 8"},
    {"rationale": "Ça coûte 4 + 4, déjà vu. Über Straße, NÃO. The answer is 8"},
    {"rationale": "Привет, мир: 4 + 4. 你好。The answer is 8"},
    {"rationale": "-" * 100 + "\n4 + 4. The answer is 8"},
    {"rationale": "So 1" + "0" * 100 + " is a googol. The answer is 8"},
    {"rationale": "If a<b and b>c, [4] fits. The answer is \\boxed{8}"},
]  # fmt: skip


@pytest.mark.parametrize("changes", GOOD)
def test_a_good_trace_has_no_finding(changes: dict[str, Any]) -> None:
    assert defects_in(trace(**changes)).names == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (" 4 + 4. The answer is 8", "4 + 4. The answer is 8"),
        ("<answer>4 + 4.<br>The answer is 8</answer>", "4 + 4.\nThe answer is 8"),
        ("\frac{8}{1} \times 1. The answer is 8", "\\frac{8}{1} \\times 1. The answer is 8"),
        ("1. Take 4.2. Double it. The answer is 8", "1. Take 4.\n2. Double it. The answer is 8"),
        ("4 + 4</think>The answer is 8", "<think>\n4 + 4</think>The answer is 8"),
    ],
)
def test_a_safe_fix_changes_the_defect_and_nothing_else(before: str, after: str) -> None:
    better, done = fixed(trace(rationale=before))
    assert better.rationale == after
    assert done
    assert fixed(better) == (better, RuleSet())


def test_an_unknown_rule_is_named_with_the_nearest() -> None:
    with pytest.raises(MisuseError, match="no rule 'wrong_anser'; did you mean 'wrong_answer'"):
        RuleSet.of("wrong_anser")
    assert len(set(NAMES)) == len(NAMES) < 63


@pytest.mark.parametrize(
    ("rationale", "outcome"),
    [
        ("She has 4 pens and 4 pens, that is <<4+4=8>>8 pens", "no_answer"),
        ("She has 4 pens and buys as many, so in all there are 8", "no_answer"),
        ("She has 4 pens and buys 5 and", "cut_off"),
    ],
)
def test_a_solution_without_its_last_full_stop_is_not_cut_off(rationale: str, outcome: str) -> None:
    found = defects_in(trace(rationale=rationale), strict=True)
    assert ("cut_off" in found) == (outcome == "cut_off")


def test_very_many_statements_are_looked_at_from_both_ends_only() -> None:
    many = trace(rationale="The answer is 9. " + "The answer is " * 60_000 + "8")
    assert "forced_label" in defects_in(many)


def test_only_the_rules_asked_for_are_checked() -> None:
    faulty = trace(rationale=" 4 + 4 = 9. The answer is 9")
    assert defects_in(faulty).names == ["wrong_answer", "false_step", "leading_space"]
    assert defects_in(faulty, RuleSet.of("leading_space")).names == ["leading_space"]


ALPHABET = [
    "3",
    "12",
    "4",
    "7",
    " ",
    "$",
    "+",
    "-",
    "*",
    "/",
    "x",
    "=",
    "(",
    ")",
    ".",
    "%",
    "a",
    "×",
]


@settings(derandomize=True, max_examples=300)
@given(st.lists(st.lists(st.sampled_from(ALPHABET), max_size=30).map("".join), max_size=8))
def test_a_text_that_is_plainly_true_has_no_false_step(texts: list[str]) -> None:
    for text, is_true in zip(texts, plainly_true(texts).tolist(), strict=True):
        if is_true:
            assert step_soundness(text).false == 0, text


@pytest.mark.parametrize(
    ("text", "is_true"),
    [
        ("10 - 4 + 2 = 8", True),
        ("$3 * 4 = $12, (8 ÷ 2 = 4)", True),
        ("3 + 4 = 7 + 2 = 9", False),
        ("x = 7", False),
        ("2 + 2 * 3 = 8", False),
        ("7 / 2 = 3", False),
        ("5 + 5 = 10%", False),
        ("no equation", True),
    ],
)
def test_plain_equations_are_read_as_a_whole(text: str, is_true: bool) -> None:
    assert plainly_true(["", text, "1 + 1 = 2"]).tolist() == [True, is_true, True]
