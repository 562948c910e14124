"""`lm_eval` and `cotdistill eval` run our tasks: on a tiny model, and on servers that misbehave."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cotdistill.benchmarks.evaluate import evaluate
from cotdistill.cli.main import main
from cotdistill.errors import DataError, FaultsError
from cotdistill.files.bundle import bundle_folder

pytestmark = [
    pytest.mark.host,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.usefixtures("prepared"),
]

SEEDS = "AIME,AMC,Olympiad,gsm8k_zero,hendrycks_math_500"


def chat(content: str | None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": {"role": "assistant", "content": content}}]}


def results_of(folder: Path) -> dict[str, Any]:
    (path,) = folder.rglob("results_*.json")
    return dict(json.loads(path.read_text(encoding="utf-8")))


def samples_of(folder: Path, task: str) -> list[dict[str, Any]]:
    (path,) = folder.rglob(f"samples_{task}_2*.jsonl")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def on_server(url: str, task: str, output: Path, *more: str) -> int:
    return main(
        ["eval", "--model", "local-chat-completions", "--tasks", task, "--apply_chat_template",
         "--model_args", f"model=m,base_url={url}/chat/completions,max_retries=1,timeout=5",
         "--output_path", str(output), "--log_samples", *more]
    )  # fmt: skip


def test_the_stock_harness_runs_the_seeds_tasks_from_any_folder(
    tiny_model: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = [
        sys.executable, "-m", "lm_eval", "--include_path", str(bundle_folder("task_configs")),
        "--tasks", SEEDS, "--model", "hf", "--model_args", f"pretrained={tiny_model}",
        "--device", "cpu", "--batch_size", "8", "--log_samples", "--apply_chat_template",
        "--gen_kwargs", "do_sample=false,temperature=0,max_gen_toks=16",
        "--output_path", str(tmp_path / "out"),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=elsewhere, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "No aggregation function" not in done.stderr
    found = results_of(tmp_path / "out")
    for task in SEEDS.split(","):
        assert 0.0 <= found["results"][task]["exact_match,none"] <= 1.0
        assert found["configs"][task]["generation_kwargs"]["seed"] is None
    (sample,) = samples_of(tmp_path / "out", "AIME")
    assert sample["doc"]["id"].startswith("aime24-")
    assert sample["answered"][0]["outcome"] in ("wrong", "no_answer", "cut_off", "correct")
    assert isinstance(sample["resps"][0][0], str)


def test_sampled_repeats_differ_and_are_all_scored(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(
        ["eval", "--model", "hf", "--model_args", f"pretrained={tiny_model}", "--device", "cpu",
         "--tasks", "cot_gsm8k_k4", "--apply_chat_template", "--batch_size", "4",
         "--gen_kwargs", "max_gen_toks=16", "--output_path", str(tmp_path), "--log_samples"]
    )  # fmt: skip
    assert status == 0, capsys.readouterr().err
    scores = results_of(tmp_path)["results"]["cot_gsm8k_k4"]
    assert scores["identical,none"] == 0.0
    assert {"avg@4,none", "pass@4,none", "maj@4,none", "tokens,none"} <= set(scores)
    assert len(samples_of(tmp_path, "cot_gsm8k_k4")[0]["resps"][0]) == 4
    assert not list(tmp_path.rglob(".unfinished*"))
    assert "COTDISTILL_TOKENIZER" not in os.environ


def test_a_prompt_that_does_not_fit_stops_before_anything_is_generated(
    tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(
        ["eval", "--model", "hf", "--model_args", f"pretrained={tiny_model}", "--device", "cpu",
         "--tasks", "cot_gsm8k", "--gen_kwargs", "max_gen_toks=1000"]
    )  # fmt: skip
    error = capsys.readouterr().err
    assert status == 1
    assert "expected at most the context of 1024; add --gen_kwargs max_gen_toks=" in error


def test_beam_search_is_done_by_hf_and_refused_elsewhere(
    tiny_model: Path,
    serve: Callable[..., Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    on_hf = ["eval", "--model", "hf", "--model_args", f"pretrained={tiny_model}", "--device", "cpu"]
    settings = ["--tasks", "cot_gsm8k", "--gen_kwargs", "num_beams=3,max_gen_toks=8"]
    assert main([*on_hf, *settings, "--output_path", str(tmp_path / "hf"), "--log_samples"]) == 0
    ((first, *_),) = [row["resps"] for row in samples_of(tmp_path / "hf", "cot_gsm8k")[:1]]
    assert isinstance(first[0], str)
    server = serve(lambda *_: (200, chat("The answer is 3.")))
    assert on_server(server.url, "cot_gsm8k", tmp_path, "--gen_kwargs", "num_beams=3") == 1
    assert "num_beams=3, which --model local-chat-completions does not do" in (
        capsys.readouterr().err
    )
    assert not server.payloads


def test_stop_is_refused_before_a_model_that_knows_it_as_until_generates(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    on_hf = ["eval", "--model", "hf", "--model_args", f"pretrained={tiny_model}", "--device", "cpu"]
    settings = ["--tasks", "cot_gsm8k", "--gen_kwargs", "stop=Q,max_gen_toks=8"]
    assert main([*on_hf, *settings, "--output_path", str(tmp_path / "hf")]) == 1
    expected = "cot_gsm8k: generation_kwargs has 'stop', which --model hf does not take"
    assert expected in capsys.readouterr().err


def test_the_learnability_gap_s_prompt_is_sent_as_its_logs_have_it(
    serve: Callable[..., Any], tmp_path: Path
) -> None:
    server = serve(lambda *_: (200, chat("So it is Final Answer: \\boxed{3}.")))
    assert on_server(server.url, "cot_aime24_gap", tmp_path) == 0
    sent = server.payloads[0]["messages"][-1]["content"]
    opening, question, ending = sent.split("\n")
    assert opening == (
        "Solve the following math problem. Present the final answer in the format: "
        "Final Answer: \\boxed{your_answer}."
    )
    assert question.startswith("Problem: ")
    assert ending == "Answer:"
    assert server.payloads[0]["stop"] == ["Problem:"]


def test_strict_scores_stand_next_to_lenient_ones(
    serve: Callable[..., Any], tmp_path: Path
) -> None:
    golds = [row["doc"]["gold"] for row in _asked(serve, tmp_path / "first", "cot_gsm8k_gap")]
    responses = [
        f"So it is Final Answer: \\boxed{{{golds[0]}}}.",
        f"The answer is {golds[1]}.",
        f"Together they have {golds[2]} pens.",
    ]
    server = serve(lambda _, count: (200, chat(responses[(count - 1) % 3])))
    assert on_server(server.url, "cot_gsm8k_gap", tmp_path / "second") == 0
    scores = results_of(tmp_path / "second")["results"]["cot_gsm8k_gap"]
    assert scores["exact_match,none"] == 1.0
    assert scores["exact_match_strict,none"] == pytest.approx(2 / 3)
    assert scores["strict_match,none"] == pytest.approx(1 / 3)
    assert scores["timeout,none"] == 0.0


def _asked(serve: Callable[..., Any], folder: Path, task: str) -> list[dict[str, Any]]:
    server = serve(lambda *_: (200, chat("I do not know.")))
    assert on_server(server.url, task, folder) == 0
    return samples_of(folder, task)


def test_a_server_gets_no_seed_and_all_repeats(serve: Callable[..., Any], tmp_path: Path) -> None:
    server = serve(lambda _, count: (200, chat(f"Try {count}: the answer is \\boxed{{{count}}}.")))
    assert on_server(server.url, "cot_gsm8k_k4", tmp_path) == 0
    assert len(server.payloads) == 12
    assert {payload["seed"] for payload in server.payloads} == {None}
    assert {payload["temperature"] for payload in server.payloads} == {0.6}
    assert all(payload["max_tokens"] == 2048 for payload in server.payloads)
    scores = results_of(tmp_path)["results"]["cot_gsm8k_k4"]
    assert scores["identical,none"] == 0.0
    assert scores["pass@4,none"] >= scores["pass@1,none"] > 0.0


def test_repeats_that_are_all_alike_are_said(
    serve: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve(lambda *_: (200, chat("I do not know")))
    assert on_server(server.url, "cot_gsm8k_k4", tmp_path) == 0
    error = capsys.readouterr().err
    assert "all 4 repeats are the same for 100% of the questions" in error
    assert "100% of the responses have no answer" in error


def test_no_content_and_a_megabyte_are_graded(serve: Callable[..., Any], tmp_path: Path) -> None:
    message = [None, "hm " * 350_000 + "The answer is \\boxed{2}.", "\\boxed{3}"]
    server = serve(lambda _, count: (200, chat(message[count - 1])))
    assert on_server(server.url, "cot_gsm8k", tmp_path) == 0
    scores = results_of(tmp_path)["results"]["cot_gsm8k"]
    assert scores["exact_match,none"] == pytest.approx(2 / 3)
    assert max(len(row["resps"][0][0]) for row in samples_of(tmp_path, "cot_gsm8k")) > 1_000_000


@pytest.mark.parametrize("status", [400, 429, 500])
def test_a_server_that_fails_midway_loses_nothing_and_the_run_goes_on(
    status: int, serve: Callable[..., Any], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    failing = True

    def answer(_: dict[str, Any], count: int) -> tuple[int, Any]:
        if failing and count > 1:
            return status, {"error": {"message": "no more"}}
        return 200, chat("The answer is \\boxed{2}.")

    server = serve(answer)
    assert on_server(server.url, "cot_gsm8k", tmp_path) == 1
    error = capsys.readouterr().err
    assert "run the same command again to resume from there" in error.splitlines()[-1]
    failing, sent = False, len(server.payloads)
    assert on_server(server.url, "cot_gsm8k", tmp_path) == 0
    assert len(server.payloads) == sent + 2  # the first answer was kept
    assert "1 responses kept from before are used again" in capsys.readouterr().err
    assert results_of(tmp_path)["responses_kept"] == 1
    assert len(samples_of(tmp_path, "cot_gsm8k")) == 3


def test_a_server_that_is_not_there_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert on_server("http://127.0.0.1:9", "cot_gsm8k", tmp_path) == 1
    assert "lm_eval: stopped (" in capsys.readouterr().err.splitlines()[-1]


def test_a_setting_that_lm_eval_refuses_is_one_line_that_names_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text("tasks: [cot_gsm8k]\nbatch_sise: 2\n")
    assert main(["eval", "run", "--config", str(path)]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert f"lm_eval with {path}: stopped (TypeError" in last
    assert "batch_sise" in last


def task_that_loads_by(function: str, folder: Path) -> list[str]:
    path = folder / "mine.yaml"
    path.write_text(
        f"task: mine\ncustom_dataset: !function {function}\ntest_split: test\n"
        "dataset_kwargs: {questions_file: [1]}\noutput_type: generate_until\n"
        "doc_to_text: '{{question}}'\ndoc_to_target: ''\n"
    )
    return ["--model", "dummy", "--tasks", str(path)]


def test_an_error_in_a_task_s_own_hook_is_one_line_that_names_the_hook_s_line(
    tmp_path: Path,
) -> None:
    hook = tmp_path / "hooks.py"
    hook.write_text("def load(**_):\n    return {}['gold']\n")
    with pytest.raises(FaultsError) as caught:
        evaluate(task_that_loads_by("hooks.load", tmp_path))
    assert str(caught.value) == f"lm_eval: stopped (KeyError: 'gold', in {hook}:2)"


def test_an_error_in_a_standard_function_that_we_call_is_ours(tmp_path: Path) -> None:
    with pytest.raises(TypeError):  # of pathlib, for a list in place of a path
        evaluate(task_that_loads_by("cotdistill.task_hooks.load_questions", tmp_path))


@pytest.mark.parametrize("text", ["true\n", "a text\n", "[cot_gsm8k]\n"])
def test_a_file_of_settings_that_is_no_mapping_is_named(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    assert main(["eval", "run", "--config", str(path)]) == 1
    assert f"{path}: not a mapping; expected arguments of lm_eval" in capsys.readouterr().err


def test_the_cache_of_another_model_is_refused(
    serve: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = (
        serve(lambda *_, text=text: (200, chat(f"\\boxed{{{text}}}"))) for text in (1, 2)
    )
    cache = ("--use_cache", str(tmp_path / "cache"))
    assert on_server(first.url, "cot_gsm8k", tmp_path / "a", *cache) == 0
    assert on_server(first.url, "cot_gsm8k", tmp_path / "b", *cache) == 0
    assert len(first.payloads) == 3
    assert on_server(second.url, "cot_gsm8k", tmp_path / "c", *cache) == 1
    assert "holds the responses of another model" in capsys.readouterr().err
    assert second.payloads == []


def test_sample_files_that_were_not_written_are_a_fault(
    serve: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from lm_eval.loggers import EvaluationTracker

    server = serve(lambda *_: (200, chat("\\boxed{1}")))
    monkeypatch.setattr(EvaluationTracker, "save_results_samples", lambda *_, **__: None)
    assert on_server(server.url, "cot_gsm8k", tmp_path) == 1
    assert "did not write samples_cot_gsm8k_*.jsonl" in capsys.readouterr().err


def test_missing_data_is_one_line_on_the_stock_harness_too(tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "lm_eval", "--include_path", str(bundle_folder("task_configs")),
        "--tasks", "cot_aime25", "--model", "dummy",
    ]  # fmt: skip
    environment = {"COTDISTILL_DATA": str(tmp_path), "HF_HUB_OFFLINE": "1", "HOME": str(tmp_path)}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "NotPreparedError" in last
    assert "type: cotdistill prepare aime25" in last


def test_missing_data_does_not_end_the_program_that_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notebook goes on, and so do the other tasks that it evaluates."""
    from lm_eval.tasks import TaskManager

    monkeypatch.setenv("COTDISTILL_DATA", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    manager = TaskManager(include_path=str(bundle_folder("task_configs")), include_defaults=False)
    with pytest.raises(DataError, match="the test questions of aime25 are not here"):
        manager.load(["cot_aime25"])


def test_two_evaluations_into_one_folder_exclude_each_other(
    serve: Callable[..., Any], tmp_path: Path
) -> None:
    second: list[subprocess.CompletedProcess[str]] = []

    def arguments(model: str) -> list[str]:
        settings = f"model={model},base_url={server.url}/chat/completions,timeout=300"
        return ["eval", "--model", "local-chat-completions", "--tasks", "cot_gsm8k",
                "--apply_chat_template", "--model_args", settings,
                "--output_path", str(tmp_path), "--log_samples"]  # fmt: skip

    def answer(_: dict[str, Any], count: int) -> tuple[int, Any]:
        if count == 1:  # another evaluation is started while this one waits for its first response
            command = [sys.executable, "-m", "cotdistill", *arguments("other")]
            second.append(subprocess.run(command, capture_output=True, text=True, check=False))
        return 200, chat("The answer is \\boxed{2}.")

    server = serve(answer)
    assert main(arguments("m")) == 0
    assert second[0].returncode == 1
    last = second[0].stderr.splitlines()[-1]
    assert last.startswith(f"{tmp_path}: another evaluation writes into it (process ")
    assert last.endswith("wait for it or stop it, or give another --output_path")
    assert len(server.payloads) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to evaluate"),
        (["--tasks", "cot_gsm", "--model", "hf"], "did you mean 'cot_gsm8k'?"),
        (["--tasks", "cot_gsm8k", "--model", "local-chat-completions"], "--apply_chat_template"),
    ],
)
def test_misuse_is_said_before_anything_is_loaded(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", *arguments]) == 2
    assert message in capsys.readouterr().err
