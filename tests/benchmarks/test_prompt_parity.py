"""The evaluation prompt against the training prompt, for every template of the catalogue."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cotdistill.catalogue.packaged import students
from cotdistill.errors import FaultsError
from cotdistill.hosts.prompt_parity import (
    Evaluated,
    Trained,
    evaluation_prompt,
    install_training_template,
    parity_fault,
    training_chat_template,
    training_prompt,
)
from cotdistill.preflight.prompts import check_prompts
from cotdistill.runfolder.manifest import write_manifest
from run_folder import manifest_run

pytestmark = [pytest.mark.host, pytest.mark.filterwarnings("ignore")]

PLAIN, THOUGHT = "It is 2.", "<think>\nOne and one.\n</think>\n\nIt is 2."
CATALOGUE = sorted(
    {(each.template, each.default_system, each.enable_thinking) for each in students().values()},
    key=str,
)
MORE = [("default", None, True), ("phi4", "Say 'x' in \\boxed{}.", None), ("gemma3", None, True),
        ("qwen3", None, False), ("qwen3", None, True), ("deepseekr1", "", None)]  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer(tiny_model: Path) -> Any:
    """A tokenizer without a chat template, as a base model's."""
    from transformers import AutoTokenizer

    loaded: Any = AutoTokenizer.from_pretrained(tiny_model)  # type: ignore[no-untyped-call]
    loaded.chat_template = None
    return loaded


@pytest.mark.parametrize("response", [PLAIN, THOUGHT], ids=["plain", "thought"])
@pytest.mark.parametrize(("template", "system", "thinking"), [*CATALOGUE, *MORE])
def test_the_installed_template_gives_the_training_prompt_byte_for_byte(
    template: str, system: str | None, thinking: bool | None, response: str, tokenizer: Any
) -> None:
    trained = Trained(template, system, thinking, response=response)
    own = copy.deepcopy(tokenizer)
    own.chat_template = training_chat_template(own, trained)
    assert parity_fault("x", own, trained, Evaluated()) is None
    wanted, got = training_prompt(own, trained), evaluation_prompt(own, Evaluated())
    assert got.text == wanted.text
    assert got.ids == wanted.ids


@pytest.mark.parametrize("template", ["default", "alpaca", "gemma", "llama3", "qwen"])
def test_a_base_model_s_checkpoint_needs_nothing(template: str, tokenizer: Any) -> None:
    assert parity_fault("x", tokenizer, Trained(template), Evaluated()) is None


def test_the_chat_template_must_be_applied(tokenizer: Any) -> None:
    fault = parity_fault("eval.yaml", tokenizer, Trained("qwen"), Evaluated(chat=False))
    assert fault is not None
    assert fault.remedy == "set --apply_chat_template"


def test_a_system_prompt_that_only_training_has_is_named(tokenizer: Any) -> None:
    own = copy.deepcopy(tokenizer)
    own.chat_template = (
        "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content"
        " + '<|im_end|>\\n' }}{% endfor %}{{ '<|im_start|>assistant\\n' }}"
    )
    trained = Trained("qwen", "Put the answer in \\boxed{}.")
    fault = parity_fault("eval.yaml", own, trained, Evaluated())
    assert fault is not None
    assert fault.remedy == "set --system_instruction 'Put the answer in \\\\boxed{}.'"
    fixed = Evaluated(system_instruction="Put the answer in \\boxed{}.")
    assert parity_fault("eval.yaml", own, trained, fixed) is None


def test_a_system_prompt_with_a_backslash_is_spoilt_by_the_host_s_own_template(
    tokenizer: Any,
) -> None:
    trained = Trained("qwen", "Put the answer in \\boxed{}.")
    fault = parity_fault("eval.yaml", tokenizer, trained, Evaluated())
    assert fault is not None
    assert "\\x08oxed" in fault.wrong


def test_an_empty_thought_that_only_training_has_leads_to_the_checkpoint(
    tokenizer: Any, tiny_model: Path, tmp_path: Path
) -> None:
    trained = Trained("qwen3", enable_thinking=None)
    fault = parity_fault("eval.yaml", tokenizer, trained, Evaluated())
    assert fault is not None
    assert "cotdistill prompts CHECKPOINT TRAIN.yaml" in fault.remedy
    for path in tiny_model.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    install_training_template(tmp_path, trained)
    from transformers import AutoTokenizer

    saved: Any = AutoTokenizer.from_pretrained(tmp_path)  # type: ignore[no-untyped-call]
    assert parity_fault("eval.yaml", saved, trained, Evaluated()) is None


def test_giving_a_checkpoint_its_prompt_leaves_its_vocabulary_as_it_was(
    tiny_model: Path, tmp_path: Path
) -> None:
    for path in tiny_model.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    settings = tmp_path / "tokenizer_config.json"
    text = json.loads(settings.read_text(encoding="utf-8"))
    text["additional_special_tokens"] = ["<never trained on>"]
    settings.write_text(json.dumps(text), encoding="utf-8")
    install_training_template(tmp_path, Trained("qwen"))
    for path in tiny_model.iterdir():
        if path.name not in ("tokenizer_config.json", "special_tokens_map.json"):
            assert (tmp_path / path.name).read_bytes() == path.read_bytes()
    assert (tmp_path / "chat_template.jinja").is_file()


@pytest.mark.parametrize("key", ["eos_token", "additional_special_tokens"])
def test_a_checkpoint_with_a_damaged_tokenizer_is_named(
    key: str, tiny_model: Path, tmp_path: Path
) -> None:
    for path in tiny_model.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    settings = tmp_path / "tokenizer_config.json"
    text = json.loads(settings.read_text(encoding="utf-8")) | {key: True}
    settings.write_text(json.dumps(text), encoding="utf-8")
    with pytest.raises(FaultsError, match="no tokenizer"):
        install_training_template(tmp_path, Trained("qwen"))


def test_a_beginning_of_text_that_only_evaluation_has_is_named(tokenizer: Any) -> None:
    from tokenizers.processors import TemplateProcessing

    own = copy.deepcopy(tokenizer)
    own.bos_token = "<|endoftext|>"
    own._tokenizer.post_processor = TemplateProcessing(
        single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", own.bos_token_id)]
    )
    fault = parity_fault("eval.yaml", own, Trained("default"), Evaluated())
    assert fault is not None
    assert fault.remedy == "set --model_args add_bos_token=False"


def test_one_template_does_not_leave_its_settings_to_the_next(tokenizer: Any) -> None:
    training_prompt(copy.deepcopy(tokenizer), Trained("qwen", "Sing."))
    plain = training_prompt(copy.deepcopy(tokenizer), Trained("qwen"))
    assert "Sing." not in plain.text


def run_folder(folder: Path, model: Path, rows: list[dict[str, str]]) -> None:
    """Two runs, one of them evaluated without the chat template."""
    for part in ("train", "eval", "data"):
        (folder / part).mkdir()
    train = f"model_name_or_path: {model}\ntemplate: chatml\n"
    (folder / "train" / "a.yaml").write_text(train, encoding="utf-8")
    for name, text in (("good", "apply_chat_template: true\n"), ("bad", "")):
        (folder / "eval" / f"{name}.yaml").write_text(f"tasks: cot_gsm8k\n{text}")
    (folder / "data" / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    runs = []
    for number, name in enumerate(("good", "bad", "good")):
        run = manifest_run(f"{name}-s{number}", data="data/a.jsonl")
        files = replace(run.files, train="train/a.yaml", eval=f"eval/{name}.yaml")
        runs.append(replace(run, files=files))
    write_manifest(folder, runs)


def test_every_run_of_a_run_folder_is_compared(tiny_model: Path, tmp_path: Path) -> None:
    run_folder(tmp_path, tiny_model, [{"system": "", "instruction": "1 + 1?", "output": "2"}])
    found = check_prompts(tmp_path)
    assert [fault.place for fault in found.faults] == [str(tmp_path / "eval" / "bad.yaml")]
    assert found.unchecked == ()
    (note,) = found.notes
    assert note.startswith("cot_gsm8k adds the instruction 'Work it out step by step")
    assert note.endswith("no row of data/a.jsonl has it")


def test_the_system_prompt_of_the_rows_counts(tiny_model: Path, tmp_path: Path) -> None:
    asked = "1 + 1?\n\nWork it out step by step, then give the final answer inside \\boxed{}."
    run_folder(tmp_path, tiny_model, [{"system": "Sing.", "instruction": asked, "output": "2"}])
    found = check_prompts(tmp_path)
    assert found.notes == ()
    assert "set --system_instruction 'Sing.'" in [fault.remedy for fault in found.faults]
