"""What an evaluation asks for must fit the student, and vLLM gets what it needs to be quick."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from cotdistill.errors import FaultsError
from cotdistill.runfolder.generate import generate

StudyFile = Callable[[dict[str, Any]], Path]

QWEN = "Qwen2.5-0.5B-Instruct"


@pytest.fixture
def gpu_study(small_study: dict[str, Any]) -> dict[str, Any]:
    """A study of a packaged student, scored by vLLM on one GPU."""
    small_study["students"] = [QWEN]
    small_study["hardware"] = {"gpus": 1}
    small_study["evaluation"] = {"tasks": ["cot_math500"], "backend": "vllm"}
    return small_study


def evaluation_file(study: Path, folder: Path) -> dict[str, Any]:
    generate(str(study), folder)
    path = next(iter(sorted((folder / "eval").glob("*.yaml"))))
    values: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return values


def test_vllm_gets_every_request_at_once_and_a_context_of_what_is_needed(
    gpu_study: dict[str, Any], study_file: StudyFile, tmp_path: Path
) -> None:
    values = evaluation_file(study_file(gpu_study), tmp_path / "run")
    assert values["batch_size"] == "auto"
    assert values["model_args"]["max_model_len"] == 4096 + 2048
    gpu_study["evaluation"]["generation"] = {"max_gen_toks": 30000}
    values = evaluation_file(study_file(gpu_study), tmp_path / "long")
    assert values["model_args"]["max_model_len"] == 32768


def test_what_the_study_says_itself_is_kept(
    gpu_study: dict[str, Any], study_file: StudyFile, tmp_path: Path
) -> None:
    gpu_study["evaluation"] |= {"batch_size": 16, "model_args": {"max_model_len": 9000}}
    values = evaluation_file(study_file(gpu_study), tmp_path / "run")
    assert (values["batch_size"], values["model_args"]["max_model_len"]) == (16, 9000)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"max_gen_tok": 64},
            r"unknown key 'max_gen_tok'; did you mean 'max_gen_toks'",
        ),
        ({"max_gen_toks": 0}, r"generation.max_gen_toks: 0; expected a whole number of 1 or more"),
        ({"max_gen_toks": None}, r"max_gen_toks: nothing; expected a whole number"),
        ({"temperature": "1e-1"}, r"generation.temperature: '1e-1'; expected a number of 0"),
        ({"temperature": float("nan")}, r"generation.temperature: nan; expected"),
        ({"top_p": 1.5}, r"generation.top_p: 1.5; expected a number above 0, at most 1"),
        ({"do_sample": 1}, r"generation.do_sample: 1; expected true or false"),
        ({"until": [1]}, r"generation.until: \[1\]; expected a text or a list of texts"),
    ],
)
def test_settings_of_generation_that_no_backend_takes_are_named_before_training(
    gpu_study: dict[str, Any], study_file: StudyFile, tmp_path: Path,
    settings: dict[str, Any], message: str,
) -> None:  # fmt: skip
    gpu_study["evaluation"]["generation"] = settings
    with pytest.raises(FaultsError, match=message):
        generate(str(study_file(gpu_study)), tmp_path / "run")


def test_a_setting_that_only_a_backend_knows_is_passed_on(
    gpu_study: dict[str, Any], study_file: StudyFile, tmp_path: Path
) -> None:
    gpu_study["evaluation"]["generation"] = {"mirostat": 2, "do_sample": True, "top_k": -1}
    values = evaluation_file(study_file(gpu_study), tmp_path / "run")
    assert values["gen_kwargs"]["mirostat"] == 2


def test_other_backends_keep_a_number_as_their_batch_size(
    gpu_study: dict[str, Any], study_file: StudyFile, tmp_path: Path
) -> None:
    gpu_study["evaluation"]["backend"] = "hf"
    assert evaluation_file(study_file(gpu_study), tmp_path / "run")["batch_size"] == 8


@pytest.mark.parametrize(
    ("evaluation", "wrong"),
    [
        ({"generation": {"max_gen_toks": 40000}}, "40,000 tokens, and .* context of 32,768"),
        ({"model_args": {"max_model_len": 2048}}, "2,048 tokens, and .* context of 2,048"),
        ({"model_args": {"tensor_parallel_size": 4}}, "4 does not divide the 14 attention heads"),
    ],
)
def test_what_does_not_fit_the_student_is_refused_before_it_is_trained(
    gpu_study: dict[str, Any],
    study_file: StudyFile,
    tmp_path: Path,
    evaluation: dict[str, Any],
    wrong: str,
) -> None:
    gpu_study["evaluation"] |= evaluation
    with pytest.raises(FaultsError, match=wrong):
        generate(str(study_file(gpu_study)), tmp_path / "run")


def test_a_local_model_says_its_shape_itself(
    gpu_study: dict[str, Any], study_file: StudyFile, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    model.mkdir()
    config = '{"max_position_embeddings": 1024, "num_attention_heads": 9}'
    (model / "config.json").write_text(config, encoding="utf-8")
    gpu_study["students"] = [{"name": "own", "model": str(model), "template": "qwen"}]
    gpu_study["evaluation"]["model_args"] = {"tensor_parallel_size": 2}
    with pytest.raises(FaultsError) as caught:
        generate(str(study_file(gpu_study)), tmp_path / "run")
    assert "context of 1,024" in str(caught.value)
    assert "2 does not divide the 9 attention heads of 'own'; expected one of 1, 3, 9" in str(
        caught.value
    )


def test_members_of_a_group_count_with_their_budgets(
    gpu_study: dict[str, Any], study_file: StudyFile, tmp_path: Path
) -> None:
    gpu_study["evaluation"]["tasks"] = ["cot_math"]
    values = evaluation_file(study_file(gpu_study), tmp_path / "run")
    assert values["model_args"]["max_model_len"] == 4096 + 2048


@pytest.mark.parametrize("backend", ["vllm", "local-completions", "local-chat-completions"])
def test_beam_search_is_refused_before_training_where_the_backend_does_not_do_it(
    gpu_study: dict[str, Any], study_file: StudyFile, tmp_path: Path, backend: str
) -> None:
    gpu_study["evaluation"] = {"tasks": ["cot_csqa_beam", "cot_csqa"], "backend": backend}
    wrong = (
        rf"evaluation.tasks: cot_csqa_beam: beam search \(5 beams\), which backend {backend} does"
    )
    with pytest.raises(FaultsError, match=wrong):
        generate(str(study_file(gpu_study)), tmp_path / "run")
    gpu_study["evaluation"] = {
        "tasks": ["cot_csqa"],
        "backend": backend,
        "generation": {"num_beams": 3},
    }
    with pytest.raises(FaultsError, match=r"num_beams: cot_csqa: beam search \(3 beams\)"):
        generate(str(study_file(gpu_study)), tmp_path / "run")


def test_a_study_may_turn_off_the_beams_of_a_task(
    gpu_study: dict[str, Any], study_file: StudyFile, tmp_path: Path
) -> None:
    gpu_study["evaluation"] = {"tasks": ["cot_csqa_beam"], "backend": "hf"}
    generate(str(study_file(gpu_study)), tmp_path / "beams")
    gpu_study["evaluation"] |= {"backend": "vllm", "generation": {"num_beams": 1}}
    generate(str(study_file(gpu_study)), tmp_path / "greedy")


@pytest.mark.parametrize("backend", ["hf", "vllm"])
def test_stop_is_refused_where_the_host_calls_it_until(
    gpu_study: dict[str, Any], study_file: StudyFile, tmp_path: Path, backend: str
) -> None:
    gpu_study["evaluation"] |= {"backend": backend, "generation": {"stop": ["Question:"]}}
    with pytest.raises(FaultsError, match=r"generation.stop: .* 'stop'; expected 'until'"):
        generate(str(study_file(gpu_study)), tmp_path / "run")
    gpu_study["evaluation"]["generation"] = {"until": ["Question:"]}
    generate(str(study_file(gpu_study)), tmp_path / "run")


def test_stop_in_the_file_of_one_s_own_task_is_refused_too(
    gpu_study: dict[str, Any], study_file: StudyFile, tmp_path: Path
) -> None:
    own = tmp_path / "tasks"
    own.mkdir()
    text = "task: mine\ndataset_path: json\ngeneration_kwargs: {max_gen_toks: 64, stop: [Q]}\n"
    (own / "mine.yaml").write_text(text, encoding="utf-8")
    gpu_study["evaluation"] |= {"tasks": ["mine"], "include_path": [str(own)], "backend": "vllm"}
    with pytest.raises(FaultsError, match=r"evaluation.tasks: mine: .* 'stop'; .*; rename the key"):
        generate(str(study_file(gpu_study)), tmp_path / "run")
    gpu_study["evaluation"]["backend"] = "local-completions"
    generate(str(study_file(gpu_study)), tmp_path / "run")
