"""Each defect has a rule that finds it, leaves good rows alone, and fixes only what is safe."""

from __future__ import annotations

from typing import Any

import pytest

from cotdistill.corpus.records.trace import Trace
from cotdistill.corpus.records.trace_row import trace_of
from cotdistill.corpus.rules.rules import NAMES, RuleSet, defects_in, detail_of, fixed
from cotdistill.errors import MisuseError
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
    ("wrong_answer", {"rationale": "4 + 5. The answer is 9"}, "gold 8, answer 9"),
    ("forced_label", {"rationale": "The answer is 9. The answer is 8"}, "first 9, at last 8"),
    ("truncated_gold", {"gold": "\\frac{1", "kind": "expression"}, "braces do not close"),
    ("truncated_gold", {"gold": "\\frac{1}", "kind": "expression",
                        "meta": {"solution": "so \\boxed{\\frac{1}{2}}"}}, "the box says"),
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
