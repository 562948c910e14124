"""What would fail or mislead hours later is said by `check`: as a fault, or as a note."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cotdistill.cli.main import main
from cotdistill.files.yamls import dump_yaml
from trace_rows import write_jsonl

CheckSays = Callable[..., tuple[int, str]]
REASONER = "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B"


@pytest.fixture
def check_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> CheckSays:
    """What `check` says of a study of two arms, changed by keys: its status and all its text."""
    rows = [{"question": f"What is {n} + 1?", "gold": str(n + 1)} for n in range(20)]
    write_jsonl(tmp_path / "q.jsonl", rows)
    solved = [{**row, "rationale": f"It is {row['gold']}."} for row in rows]
    write_jsonl(tmp_path / "solved.jsonl", solved)

    def check(**keys: Any) -> tuple[int, str]:
        arms = {"a": {"puzzles": "ball", "level": 1}, **keys.pop("arms", {})}
        study = {
            "schema_version": 2,
            "name": "early",
            "models": {"teacher": {"endpoint": "http://127.0.0.1:9/v1", "model": "m"},
                       **keys.pop("models", {})},
            "students": ["Llama-3.2-1B"],
            "questions": {"q": {"file": "q.jsonl"}, **keys.pop("questions", {})},
            "arms": arms,
            "recipes": {"full": {"epochs": 1, "per_device_batch": 2}},
            "evaluation": {"tasks": ["cot_gsm8k"], "generation": {"max_gen_toks": 64}},
            **keys,
        }  # fmt: skip
        path = tmp_path / "s.yaml"
        path.write_text(dump_yaml(study))
        status = main(["check", str(path)])
        out = capsys.readouterr()
        return status, (out.out + out.err).replace(str(tmp_path) + "/", "")

    return check


def sampled(**keys: Any) -> dict[str, Any]:
    return {"sample": {"questions": "q", "model": "teacher", **keys}}


def taught(**keys: Any) -> dict[str, Any]:
    return {"teach": {"questions": "q", "teacher": "teacher", **keys}}


@pytest.mark.parametrize("strategy", ["state_reset", "rationale"])
def test_a_strategy_that_goes_by_solutions_needs_them(check_says: CheckSays, strategy: str) -> None:
    status, text = check_says(arms={"s": sampled(strategy=strategy)})
    assert status == 1
    assert "arms.s.sample.questions: 20 of 20 questions of 'q' have no reference solution" in text
    assert "only the strategies interactive, rationale and state_reset go by solutions" in text
    solved = {"q": {"file": "solved.jsonl"}}
    assert check_says(arms={"s": sampled(strategy=strategy)}, questions=solved)[0] == 0


def test_a_loop_that_goes_by_solutions_needs_them_too(check_says: CheckSays) -> None:
    loop = {"recipe": "full", "rounds": 2, "sample": {"questions": "q", "strategy": "state_reset"}}
    status, text = check_says(improve=loop, questions={"q": {"file": "q.jsonl", "dev": 4}})
    assert status == 1
    assert "16 of 16 questions of 'q' have no reference solution" in text


def test_a_fault_of_all_loops_is_one_line_with_their_number(check_says: CheckSays) -> None:
    loop = {"recipe": "ful", "rounds": 2, "sample": {"questions": "q"},
            "for": {"strategy": ["vanilla", "uniform", "answer"]}}  # fmt: skip
    text = check_says(improve=loop, questions={"q": {"file": "q.jsonl", "dev": 4}})[1]
    assert text.count("no recipe 'ful'") == 1
    assert "improve.recipe: no recipe 'ful' (in 3 entries of the grid, first " in text


def test_a_data_folder_that_is_not_there_is_a_fault(check_says: CheckSays) -> None:
    status, text = check_says(data_folder="nowhere")
    assert status == 1
    assert "data_folder: no such folder nowhere" in text
    status, text = check_says(arms={"d": {"dataset": "svamp_gemma_bsm", "folder": "gone"}})
    assert "arms.d.folder: no such folder gone" in text


@pytest.mark.parametrize("dev", [20, 0.9999999])
def test_development_questions_may_not_be_all_that_an_arm_asks(
    check_says: CheckSays, dev: float
) -> None:
    status, text = check_says(
        arms={"s": taught()}, questions={"q": {"file": "q.jsonl", "dev": dev}}
    )
    assert status == 1
    assert "questions.q.dev: all 20 questions would be kept out of training" in text


def test_a_set_that_only_chooses_may_be_for_development_as_a_whole(check_says: CheckSays) -> None:
    assert check_says(questions={"q": {"file": "q.jsonl", "dev": 20}})[0] == 0


def test_a_share_that_keeps_no_question_is_a_fault(check_says: CheckSays) -> None:
    status, text = check_says(questions={"q": {"file": "q.jsonl", "dev": 0.001}})
    assert status == 1
    assert "questions.q.dev: 0.001 of 20 questions is none" in text


def test_a_largest_number_that_leaves_no_question_to_ask_is_a_fault(check_says: CheckSays) -> None:
    few = {"file": "q.jsonl", "dev": 3, "largest_number": 15}
    status, text = check_says(questions={"q": few})
    assert status == 1
    assert (
        "questions.q.largest_number: 3 development questions, each with a number above 15" in text
    )
    assert "at least 16, with which one is asked" in text
    assert check_says(questions={"q": {**few, "largest_number": 16}})[0] == 0


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"largest_number": 30}, "largest_number is for development questions: say dev as well"),
        ({"largest_number": -1, "dev": 3}, "questions.q.largest_number: -1"),
        ({"largest_number": float("nan"), "dev": 3}, "questions.q.largest_number: nan"),
        ({"largest_number": float("inf"), "dev": 3}, "questions.q.largest_number: inf"),
    ],
)
def test_a_largest_number_is_one_of_development_questions(
    check_says: CheckSays, keys: dict[str, float], message: str
) -> None:
    status, text = check_says(questions={"q": {"file": "q.jsonl", **keys}})
    assert status == 1
    assert message in text


def test_a_merge_of_one_model_is_said(check_says: CheckSays) -> None:
    merge = {"merge": "dare_ties", "base": "b", "donor": "c", "models": {"c": {"density": 0.5}}}
    text = check_says(models={"one": merge})[1]
    assert "model 'one': merges one model: the base and 1 times its difference to 'c'" in text


def test_weights_that_look_like_shares_and_are_none_are_said(check_says: CheckSays) -> None:
    arms = {"b": {"puzzles": "ball", "level": 2}, "m": {"mix": {"a": 0.2, "b": 0.9}}}
    text = check_says(arms=arms)[1]
    assert "arm 'm': weights are relative and sum to 1.1, so it is a 18.2%, b 81.8%" in text
    arms["m"] = {"mix": {"a": 3, "b": 4}}
    assert "relative" not in check_says(arms=arms)[1]


def test_a_teacher_of_another_kind_cannot_distil(check_says: CheckSays) -> None:
    recipe = {"epochs": 1, "kd": {"teacher": "Qwen2.5-7B-Instruct"}}
    status, text = check_says(students=["flan-t5-small"], recipes={"kd": recipe})
    assert status == 1
    assert (
        "recipes.kd.kd.teacher: 'Qwen2.5-7B-Instruct' is a decoder, and its student "
        "'flan-t5-small' an encoder-decoder"
    ) in text


def test_a_teacher_of_another_family_is_said(check_says: CheckSays) -> None:
    status, text = check_says(
        recipes={"kd": {"epochs": 1, "kd": {"teacher": "Qwen2.5-7B-Instruct"}}}
    )
    assert status == 0
    assert "most likely other tokenizers" in text


@pytest.mark.parametrize(("arm", "why"), [
    ({"file": "rows.jsonl", "filter": {"per_question": 1}}, "filter.per_question 1"),
    (taught(), "teach.samples 1"),
    ({"answers": "q"}, "answers"),
])  # fmt: skip
def test_pairs_of_rationales_need_two_a_question(
    check_says: CheckSays, tmp_path: Path, arm: dict[str, Any], why: str
) -> None:
    write_jsonl(tmp_path / "rows.jsonl", [{"instruction": "1 + 1?", "output": "It is 2."}] * 2)
    recipe = {"epochs": 1, "per_device_batch": 2, "arms": ["p"], "kd": {"preset": "mcc-kd"}}
    plain = {"epochs": 1, "arms": ["a"]}
    status, text = check_says(arms={"p": arm}, recipes={"pairs": recipe, "plain": plain})
    assert status == 1
    assert f"arms.p: {why} leaves one rationale a question" in text


@pytest.mark.parametrize(("arm", "wrong"), [
    (taught(samples=2, temperature=0), "several samples at temperature 0 are the same text"),
    (taught(format="plain", level=3), "the format plain has no levels"),
    (taught(prompt="nobody-wrote-it"), "no format 'nobody-wrote-it'"),
    (sampled(samples=2, temperature=0), "several samples at temperature 0 are the same text"),
])  # fmt: skip
def test_what_teach_and_sample_would_refuse_is_said_before(
    check_says: CheckSays, arm: dict[str, Any], wrong: str
) -> None:
    status, text = check_says(arms={"t": arm})
    assert status == 1
    assert wrong in text


def test_thoughts_that_are_left_out_are_said_with_the_way_to_keep_them(
    check_says: CheckSays,
) -> None:
    models = {"long": {"model": REASONER, "template": "deepseekr1"}}
    arms = {"t": taught(profile="micota", teacher="long")}
    text = check_says(models=models, arms=arms)[1]
    assert "t: the thoughts of 'long' are left out of the rows (reasoning: drop)" in text
    assert "reasoning: plain keeps them as text, think in <think> tags" in text
    kept = {"t": taught(profile="micota", teacher="long", reasoning="plain")}
    assert "thoughts of" not in check_says(models=models, arms=kept)[1]
    assert "thoughts of" not in check_says(arms={"t": taught(profile="micota")})[1]


def test_a_merge_of_a_reasoning_model_may_think_too(check_says: CheckSays) -> None:
    merge = {"merge": "ties", "base": "Qwen/Qwen2.5-14B", "donor": "Qwen/Qwen2.5-14B-Instruct",
             "models": {"Qwen/Qwen2.5-14B-Instruct": {}, REASONER: {}}}  # fmt: skip
    arms = {"t": taught(profile="micota", teacher="assistant")}
    assert (
        "the thoughts of 'assistant' are left out"
        in check_says(models={"assistant": merge}, arms=arms)[1]
    )


def test_a_selection_that_no_arm_meets_is_said(check_says: CheckSays) -> None:
    tasks = ["cot_gsm8k", {"when": {"questions": "bal"}, "tasks": ["cot_svamp"]}]
    text = check_says(evaluation={"tasks": tasks, "generation": {"max_gen_toks": 64}})[1]
    assert "task 'cot_svamp': no arm has questions bal; there are ball" in text


def test_the_gap_s_tasks_ask_in_the_words_of_its_instruction(check_says: CheckSays) -> None:
    tasks = {"tasks": ["cot_learnability_gap"], "generation": {"max_gen_toks": 64}}
    assert check_says(prompt={"instruction": "gap"}, evaluation=tasks)[0] == 0
    status, text = check_says(prompt={"instruction": "boxed"}, evaluation=tasks)
    assert status == 1
    assert "ask in their own words, which no training row has" in text


def test_a_mentor_is_asked_for_no_more_tokens_than_it_has_positions(
    check_says: CheckSays, tmp_path: Path
) -> None:
    mentor = {"run": {"model": "flan-t5-large", "arm": "a", "recipe": "mentor"}}
    recipes = {"mentor": {"epochs": 1, "students": ["flan-t5-large"], "arms": ["a"]},
               "small": {"epochs": 1, "students": ["flan-t5-small"]}}  # fmt: skip
    arms = {"s": {"sample": {"questions": "q", "model": "mentor"}}}
    status, text = check_says(
        students=["flan-t5-large", "flan-t5-small"], models={"mentor": mentor}, arms=arms,
        recipes=recipes,
    )  # fmt: skip
    assert status == 0, text
    assert main(["generate", str(tmp_path / "s.yaml"), "-o", str(tmp_path / "runs")]) == 0
    jobs = (tmp_path / "runs" / "jobs.jsonl").read_text()
    assert '"--max-tokens", "512"' in jobs.replace('","', '", "')
