"""What lm-eval is told of one document: verdicts, shares, votes, lengths, strata."""

from typing import Any

import pytest

from cotdistill.benchmarks.hooks import (
    METRICS,
    grade_final_answers,
    grade_responses,
    keep_all,
)
from cotdistill.grading.grade import OUTCOMES


def document(**changes: Any) -> dict[str, Any]:
    return {"gold": "12", "kind": "number", "options": None, "meta": {}, **changes}


def test_one_right_response_scores_one() -> None:
    metrics = grade_responses(document(), ["So it is \\boxed{12}."])
    assert metrics["exact_match"] == 1.0
    assert metrics["answered"][0]["answer"] == "12"
    assert metrics["no_answer"] == metrics["cut_off"] == metrics["undecided"] == 0.0
    assert "pass@1" not in metrics


def test_repeats_give_avg_pass_and_maj_and_say_whether_they_differ() -> None:
    responses = ["\\boxed{7}", "\\boxed{12}", "\\boxed{12.0}", "\\boxed{7}"]
    metrics = grade_responses(document(), keep_all([responses], []))
    assert metrics["avg@4"] == metrics["exact_match"] == 0.5
    assert metrics["pass@1"] == 0.5
    assert metrics["pass@4"] == 1.0
    assert metrics["maj@1"] == 0.0
    assert metrics["maj@4"] == 0.0  # two against two: the class sampled first wins
    assert metrics["identical"] == 0.0
    assert grade_responses(document(), [["\\boxed{12}"] * 4])["identical"] == 1.0


def test_equal_answers_in_different_writing_vote_together() -> None:
    responses = ["\\boxed{7}", "\\boxed{12}", "\\boxed{12.0}"]
    assert grade_responses(document(), [responses])["maj@3"] == 1.0


@pytest.mark.parametrize("response", [None, "", "   "])
def test_nothing_said_is_no_answer(response: str | None) -> None:
    metrics = grade_responses(document(), [[response]])
    assert metrics["exact_match"] == 0.0
    assert metrics["no_answer"] + metrics["cut_off"] == 1.0


def test_a_megabyte_is_graded_and_kept_whole() -> None:
    long = "word " * 200_000 + "The answer is \\boxed{12}."
    metrics = grade_responses(document(), [long])
    assert metrics["exact_match"] == 1.0
    assert metrics["characters"] == len(long)


def test_options_that_another_row_has_are_not_this_row_s() -> None:
    given = document(gold="B", kind="letter", options={"A": "red", "B": "blue", "C": None})
    assert grade_responses(given, ["The answer is B."])["exact_match"] == 1.0


def test_scores_are_split_by_level_subject_and_answer_type() -> None:
    meta = {"level": "5", "subject": "Counting & Probability", "answer_type": "?"}
    metrics = grade_responses(document(meta=meta), ["\\boxed{12}"])
    assert metrics["exact_match_level_5"] == 1.0
    assert metrics["exact_match_subject_counting_probability"] == 1.0
    assert not [name for name in metrics if "answer_type" in name]


def test_every_metric_has_its_aggregation_so_that_lm_eval_does_not_guess() -> None:
    declared = {metric["metric"] for metric in METRICS}
    meta = {"level": "1", "subject": "Algebra", "answer_type": "Tuple"}
    given = grade_responses(document(meta=meta), [["\\boxed{12}"] * 64])
    assert set(given) <= declared
    assert {f"{name}@{k}" for name in ("pass", "maj") for k in (1, 2, 4, 8, 16, 32, 64)} <= set(
        given
    )


def test_an_answer_found_in_prose_only_is_not_a_strict_one() -> None:
    stated = grade_responses(document(), ["The answer is 12."])
    found = grade_responses(document(), ["So she has 12 pens."])
    assert stated["exact_match"] == stated["exact_match_strict"] == 1.0
    assert (found["exact_match"], found["exact_match_strict"]) == (1.0, 0.0)


def test_every_outcome_of_grading_that_is_not_an_answer_has_a_metric() -> None:
    declared = {metric["metric"] for metric in METRICS}
    given = set(grade_responses(document(), ["12"]))
    assert set(OUTCOMES) - {"correct", "wrong"} <= declared & given


def test_the_gap_s_strict_score_asks_for_its_literal_format() -> None:
    metrics = grade_final_answers(
        document(gold="1200"),
        [["Final Answer: \\boxed{1,200}", "\\boxed{1200}", "Final Answer: \\boxed{12}"]],
    )
    assert metrics["strict_match"] == pytest.approx(1 / 3)
    assert metrics["exact_match"] == pytest.approx(2 / 3)


def test_a_tolerance_of_the_data_reaches_the_grader() -> None:
    given = document(gold="4.2", meta={"tolerance": 0.1 / 4.2})
    assert grade_responses(given, ["\\boxed{4.15}"])["exact_match"] == 1.0
    assert grade_responses(given, ["\\boxed{4.5}"])["exact_match"] == 0.0


@pytest.mark.host
def test_tokens_are_counted_where_a_tokenizer_is_named(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"a": 0, "b": 1, "?": 2}, unk_token="?"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="?").save_pretrained(tmp_path)
    assert "tokens" not in grade_responses(document(), ["a b c"])
    monkeypatch.setenv("COTDISTILL_TOKENIZER", str(tmp_path))
    assert grade_responses(document(), ["a b c"])["tokens"] == 3.0
