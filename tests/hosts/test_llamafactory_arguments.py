"""Training and export files are checked against the snapshot, and the snapshot against the host."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from cotdistill.errors import FaultsError
from cotdistill.hosts.environments.ask_python import ask_python
from cotdistill.hosts.llamafactory import snapshot as llamafactory_snapshot
from cotdistill.hosts.llamafactory.arguments import (
    accepted_by_llamafactory,
    export_argument_faults,
    training_argument_faults,
)

FULL: dict[str, Any] = {
    "model_name_or_path": "/models/tiny", "stage": "sft", "do_train": True,
    "finetuning_type": "full", "dataset_dir": "/runs", "dataset": "level1", "template": "qwen",
    "default_system": "", "enable_thinking": None, "cutoff_len": 4096, "overwrite_cache": True,
    "preprocessing_num_workers": 1, "output_dir": "/tmp/never-made", "logging_steps": 5,
    "save_strategy": "no", "plot_loss": True, "report_to": "none", "learning_rate": 5.0e-5,
    "per_device_train_batch_size": 4, "gradient_accumulation_steps": 4, "num_train_epochs": 3.0,
    "lr_scheduler_type": "cosine", "warmup_ratio": 0.0, "seed": 100, "bf16": True,
    "flash_attn": "auto", "deepspeed": "/runs/deepspeed/ds_z3.json", "ddp_timeout": 180000000,
}  # fmt: skip
LORA = {**FULL, "finetuning_type": "lora", "lora_rank": 16, "lora_target": ["q_proj", "v_proj"]}
QLORA = {**LORA, "quantization_bit": 4, "quantization_method": "bnb", "upcast_layernorm": True}
EXPORT: dict[str, Any] = {
    "model_name_or_path": "/models/tiny", "adapter_name_or_path": "/c/x", "template": "qwen",
    "finetuning_type": "lora", "export_dir": "/e/x", "export_size": 5, "export_device": "cpu",
}  # fmt: skip


def faults_of(**changed: Any) -> list[str]:
    return [str(fault) for fault in training_argument_faults({**FULL, **changed}, "t.yaml")]


@pytest.mark.parametrize("arguments", [FULL, LORA, QLORA], ids=["full", "lora", "qlora"])
def test_usual_training_files_have_no_faults(arguments: dict[str, Any]) -> None:
    assert training_argument_faults(arguments, "t.yaml") == []


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("cutof_len", 1, "t.yaml:cutof_len: unknown to LLaMA-Factory 0.9.5; did you mean 'cutoff"),
        ("save_safetensors", True, "only transformers 4 knows this key"),
        ("train_sampling_strategy", "random", "only transformers 5 knows this key"),
        ("learning_rate", "1e-05", "text '1e-05'; expected number; write 1.0e-05 without quotes"),
        ("cutoff_len", "abc", "text 'abc'; expected integer"),
        ("cutoff_len", 4096.0, "number 4096.0; expected integer; write 4096"),
        ("cutoff_len", True, "boolean True; expected integer"),
        ("warmup_steps", 0.5, "number 0.5; expected integer"),
        ("save_strategy", False, "boolean False; expected text; quote it: \"no\""),
        ("bf16", "yes", "text 'yes'; expected boolean; write true without quotes"),
        ("seed", None, "null None; expected integer"),
        ("template", "qwenn", "'qwenn'; expected one of 121 choices; did you mean 'qwen'?"),
        ("finetuning_type", "lorra", "'lorra'; expected one of 4 choices; did you mean 'lora'?"),
        ("lr_scheduler_type", "cosin", "did you mean 'cosine'?"),
        ("mix_strategy", "foo", "known: concat, interleave_under"),
        ("lora_target", {"a": 1}, "mapping {'a': 1}; expected list or text"),
    ],
)  # fmt: skip
def test_a_fault_says_what_is_wrong_and_the_way_out(key: str, value: object, says: str) -> None:
    (fault,) = faults_of(**{key: value})
    assert fault.startswith(f"t.yaml:{key}: ")
    assert says in fault


def test_all_faults_come_at_once() -> None:
    assert len(faults_of(learnin_rate=1e-4, stage="stf", seed="7")) == 3


def test_an_export_file_takes_no_training_key() -> None:
    assert export_argument_faults(EXPORT, "e.yaml") == []
    (fault,) = export_argument_faults({**EXPORT, "learning_rate": 1e-4}, "e.yaml")
    assert "a training key, which LLaMA-Factory 0.9.5 refuses here" in str(fault)


def test_a_number_key_that_is_whole_in_transformers_4_must_be_whole() -> None:
    four = {"versions": {"llamafactory": "1", "transformers": "4"}, "arguments": {
        "warmup": {"of": "training", "kinds": ["integer"], "choices": None, "default": 0},
        "how": {"of": "data", "kinds": ["text"], "choices": ["a", "b"], "default": "a"},
        "gone": {"of": "data", "kinds": ["text"], "choices": None, "default": "a"},
    }}  # fmt: skip
    five = json.loads(json.dumps(four))
    five["arguments"]["warmup"]["kinds"] = ["null", "number"]
    five["arguments"]["how"]["choices"] = ["b", "c"]
    del five["arguments"]["gone"]
    assert llamafactory_snapshot.merged(four, five)["arguments"] == {
        "gone": {"of": "data", "kinds": ["text"], "default": "a", "only_in": 4},
        "how": {"of": "data", "kinds": ["text"], "choices": ["b"], "default": "a"},
        "warmup": {"of": "training", "kinds": ["integer"], "default": 0},
    }


@pytest.mark.host
def test_the_snapshot_is_what_the_installed_llamafactory_says() -> None:
    reading = ask_python([sys.executable], Path(llamafactory_snapshot.__file__))
    major = int(reading["versions"]["transformers"].split(".")[0])
    snapshot = json.loads(llamafactory_snapshot.SNAPSHOT.read_text(encoding="utf-8"))
    assert snapshot["llamafactory"] == reading["versions"]["llamafactory"]
    here = {
        name: entry
        for name, entry in snapshot["arguments"].items()
        if entry.get("only_in", major) == major
    }
    assert here.keys() == reading["arguments"].keys()
    for name, entry in here.items():
        theirs = reading["arguments"][name]
        assert entry["of"] == theirs["of"], name
        wide = {*theirs["kinds"], *(["integer"] if "number" in theirs["kinds"] else [])}
        assert set(entry["kinds"]) <= wide, name
        if theirs["choices"]:
            assert set(entry["choices"]) <= set(theirs["choices"]), name
        else:
            assert "choices" not in entry or "only_in" in entry, name


@pytest.mark.host
def test_llamafactory_itself_accepts_what_is_accepted_here_and_names_what_it_refuses() -> None:
    wrong = {**FULL, "streaming": True}  # a rule across keys, which only the host knows
    unknown = {**FULL, "cutof_len": 1}
    faults = accepted_by_llamafactory(
        [
            ("full", "train", FULL),
            ("lora", "train", LORA),
            ("qlora", "train", QLORA),
            ("export", "export", EXPORT),
            ("wrong", "train", wrong),
            ("unknown", "train", unknown),
        ]
    )
    assert [fault.place for fault in faults] == ["wrong", "unknown"]
    assert "max_steps" in faults[0].wrong
    assert "cutof_len" in faults[1].wrong


def test_a_python_without_llamafactory_is_one_clear_line() -> None:
    with pytest.raises(FaultsError, match=r"cannot be asked .*cotdistill doctor"):
        accepted_by_llamafactory([("x", "train", FULL)], [sys.executable, "-S", "-I"])


def test_frozen_layers_of_half_precision_are_a_fault_on_a_cpu(tmp_path: Path) -> None:
    arguments = {
        "model_name_or_path": str(tmp_path), "finetuning_type": "freeze", "use_cpu": True,
        "bf16": False, "fp16": False,
    }  # fmt: skip
    (tmp_path / "config.json").write_text('{"dtype": "bfloat16"}', encoding="utf-8")
    (fault,) = training_argument_faults(arguments, "t.yaml")
    assert str(fault).startswith("t.yaml:finetuning_type: the frozen layers stay bfloat16")
    assert training_argument_faults(arguments | {"bf16": True}, "t.yaml") == []
    assert training_argument_faults(arguments | {"use_cpu": False}, "t.yaml") == []
    (tmp_path / "config.json").write_text('{"dtype": "float32"}', encoding="utf-8")
    assert training_argument_faults(arguments, "t.yaml") == []
