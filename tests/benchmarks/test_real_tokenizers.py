"""Training and evaluation prompts of generated files, with tokenizers that models really have."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from cotdistill.catalogue.packaged import students
from cotdistill.hosts.llamafactory.thinking import REASONING
from cotdistill.hosts.prompt_parity import (
    Asked,
    Evaluated,
    Trained,
    evaluated_of,
    parity_fault,
    trained_of,
    training_prompt,
)
from cotdistill.runfolder.generate import generate
from real_model import real_model
from trace_rows import write_jsonl

pytestmark = [pytest.mark.host, pytest.mark.filterwarnings("ignore")]

ROOT = Path(__file__).resolve().parents[2]
TOKENIZERS = Path(os.environ.get("COTDISTILL_TOKENIZERS", ROOT / ".venv" / "tokenizers"))
PLAIN, THOUGHT = "It is 2.", "<think>\nOne and one.\n</think>\n\nIt is 2."
SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    "<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% endif %}"
)
"""SmolLM2-Instruct's own chat template, as its published files have it."""


@functools.cache
def real_tokenizer(name: str) -> Any:
    """Load a tokenizer that `make tokenizers` fetched; without it CI fails, a laptop skips."""
    from transformers import AutoTokenizer

    if not (TOKENIZERS / name).is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"{TOKENIZERS / name} is missing; type: make tokenizers")
        pytest.skip("type: make tokenizers")
    return AutoTokenizer.from_pretrained(TOKENIZERS / name)  # type: ignore[no-untyped-call]


def generated(tmp_path: Path, model: dict[str, Any], output: str, prompt: dict[str, Any]) -> Any:
    """Generate a study of one run and return its training file, evaluation file and first row."""
    write_jsonl(tmp_path / "rows.jsonl", [{"instruction": "What is 1 + 1?", "output": output}])
    study = {
        "schema_version": 2,
        "name": "s",
        "models": {"m": model},
        "students": ["m"],
        "prompt": prompt,
        "arms": {"rows": {"file": "rows.jsonl"}},
        "recipes": {"full": {"max_steps": 1}},
        "evaluation": {"tasks": ["cot_svamp"]},
    }
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    generate(str(tmp_path / "s.yaml"), tmp_path / "run")
    files = [tmp_path / "run" / stage / "m--rows--full--s42.yaml" for stage in ("train", "eval")]
    train, evaluation = (yaml.safe_load(path.read_text()) for path in files)
    return train, evaluation, yaml.safe_load((tmp_path / "run/data/rows.jsonl").read_text())


@pytest.mark.parametrize(
    ("name", "template", "output", "instruction"),
    [
        ("qwen3", "qwen3", PLAIN, "boxed"),
        ("qwen3", "qwen3", THOUGHT, "question_answer"),
        ("qwen3", "qwen3_nothink", PLAIN, "none"),
        ("llama3_1", "llama3", PLAIN, "boxed"),
        ("gemma3", "gemma3", PLAIN, "none"),
        ("deepseek_v3", "deepseek3", PLAIN, "boxed"),
        ("deepseek_v3", "deepseekr1", PLAIN, "boxed"),
        ("deepseek_v3", "deepseekr1", THOUGHT, "none"),
    ],
)
def test_generated_files_ask_the_same_byte_for_byte(
    tmp_path: Path, name: str, template: str, output: str, instruction: str
) -> None:
    tokenizer = real_tokenizer(name)
    model = {"model": str(TOKENIZERS / name), "template": template}
    train, evaluation, row = generated(tmp_path, model, output, {"instruction": instruction})
    after = evaluation["metadata"]["instruction"]
    question = row.get("question", row["instruction"])
    asked = after.replace("{question}", question) if "{question}" in after else None
    asked = asked or (f"{question}\n\n{after}" if after else question)
    assert row["instruction"] == asked
    fault = parity_fault(
        "x", tokenizer, trained_of(train, output), evaluated_of(evaluation),
        Asked(row["instruction"], asked),
    )  # fmt: skip
    assert fault is None


@pytest.mark.parametrize("thinking", ["on", "off"])
def test_qwen3_s_thinking_mode_is_one_for_both_sides(tmp_path: Path, thinking: str) -> None:
    tokenizer = real_tokenizer("qwen3")
    model = {"model": str(TOKENIZERS / "qwen3"), "template": "qwen3"}
    train, evaluation, row = generated(tmp_path, model, THOUGHT, {"thinking": thinking})
    trained = trained_of(train, THOUGHT)
    asked = Asked(row["instruction"], row["instruction"])
    assert parity_fault("x", tokenizer, trained, evaluated_of(evaluation), asked) is None
    assert ("<think>" in training_prompt(tokenizer, trained).text) == (thinking == "off")


def test_smollm2_s_system_prompt_has_no_full_stop_on_either_side(tiny_model: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(tiny_model)  # type: ignore[no-untyped-call]
    tokenizer.chat_template = SMOLLM2
    student = students()["SmolLM2-135M-Instruct"]
    system = student.default_system
    trained = Trained(student.template, system)
    assert parity_fault("x", tokenizer, trained, Evaluated(system_instruction=system)) is None
    as_the_host_has_it = parity_fault("x", tokenizer, Trained(student.template), Evaluated())
    assert as_the_host_has_it is not None
    assert "gging Face.<|im_end|>" in as_the_host_has_it.expected


@pytest.mark.slow
@pytest.mark.parametrize("instruction", ["none", "boxed", "question_answer"])
def test_smollm2_s_files_ask_the_same_with_its_own_tokenizer(
    tmp_path: Path, instruction: str
) -> None:
    from transformers import AutoTokenizer

    folder = real_model()
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)  # type: ignore[no-untyped-call]
    student = students()["SmolLM2-135M-Instruct"]
    model = {"model": str(folder), "template": student.template}
    model |= {"default_system": student.default_system}
    train, evaluation, row = generated(tmp_path, model, PLAIN, {"instruction": instruction})
    asked = Asked(row["instruction"], row["instruction"])
    trained = trained_of(train, PLAIN)
    assert parity_fault("x", tokenizer, trained, evaluated_of(evaluation), asked) is None
    without = {name: value for name, value in train.items() if name != "default_system"}
    with_full_stop = trained_of(without, PLAIN)
    assert parity_fault("x", tokenizer, with_full_stop, evaluated_of(evaluation), asked)


def test_every_reasoning_template_of_the_host_is_known() -> None:
    from llamafactory.data import template

    found = {
        name
        for name, one in template.TEMPLATES.items()
        if isinstance(one, template.ReasoningTemplate)
    }
    assert found == REASONING
