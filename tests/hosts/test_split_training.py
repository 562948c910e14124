"""The shipped DeepSpeed and FSDP files, read by the libraries that they are written for."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cotdistill.files.bundle import bundle_files, bundle_folder
from cotdistill.files.yamls import dump_yaml, read_yaml

ROWS = [
    {"instruction": f"Add {n} and {n + 1}.", "output": f"The answer is {2 * n + 1}."}
    for n in range(24)
]
BUILD = """
import pathlib, sys
from cotdistill.models.scratch import Scratch
from cotdistill.models.scratch_model import build_student
tiny = Scratch(hidden_size=16, layers=1, heads=2, intermediate_size=32, vocab_size=300)
build_student(tiny, ["Add 1 and 2.", "The answer is 3."], pathlib.Path(sys.argv[1]))
"""  # in a process of its own: an installed DeepSpeed warns when transformers imports it
DEEPSPEED = {path.stem: path for path in bundle_files("templates", "deepspeed/*.json")}
APART = Path(sys.prefix) / "deepspeed"  # where tools/environment.py puts it
FSDP = bundle_folder("templates") / "accelerate" / "fsdp.yaml"


def deepspeed_file(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(DEEPSPEED[name].read_text(encoding="utf-8"))
    return read


def test_there_is_a_deepspeed_file_for_every_name_that_a_recipe_may_give() -> None:
    assert sorted(DEEPSPEED) == ["z2", "z2-offload", "z3", "z3-offload"]


@pytest.mark.parametrize("name", DEEPSPEED)
def test_deepspeed_takes_batch_sizes_and_precision_from_the_training_file(name: str) -> None:
    read = deepspeed_file(name)
    for key in ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_clipping"):
        assert read[key] == "auto"
    assert read["gradient_accumulation_steps"] == "auto"
    assert (read["bf16"]["enabled"], read["fp16"]["enabled"]) == ("auto", "auto")
    zero = read["zero_optimization"]
    assert zero["stage"] == int(name[1])
    assert ("offload_optimizer" in zero) == name.endswith("offload")
    assert ("offload_param" in zero) == (name == "z3-offload")
    # without it a ZeRO-3 run saves no weights that another program can read
    assert zero.get("stage3_gather_16bit_weights_on_model_save", name[1] == "2")


@pytest.mark.slow
@pytest.mark.skipif(
    not (APART / "deepspeed").is_dir() and not importlib.util.find_spec("deepspeed"),
    reason="deepspeed is not installed; make test puts it into .venv/deepspeed",
)
@pytest.mark.parametrize("name", ["z2", "z3"])
def test_stock_llamafactory_trains_on_two_ranks_with_the_deepspeed_file(
    name: str, tmp_path: Path
) -> None:
    subprocess.run([sys.executable, "-c", BUILD, str(tmp_path / "model")], check=True)
    (tmp_path / "rows.json").write_text(json.dumps(ROWS), encoding="utf-8")
    entry = {"file_name": "rows.json", "columns": {"prompt": "instruction", "response": "output"}}
    (tmp_path / "dataset_info.json").write_text(json.dumps({"rows": entry}), encoding="utf-8")
    training = {
        "model_name_or_path": str(tmp_path / "model"), "stage": "sft", "do_train": True,
        "finetuning_type": "full", "deepspeed": str(DEEPSPEED[name]),
        "dataset_dir": str(tmp_path), "dataset": "rows", "template": "chatml",
        "cutoff_len": 128, "output_dir": str(tmp_path / "out"), "logging_steps": 1,
        "save_strategy": "no", "report_to": "none", "per_device_train_batch_size": 2,
        "max_steps": 6, "learning_rate": 1.0e-2, "seed": 1,
    }  # fmt: skip
    (tmp_path / "train.yaml").write_text(dump_yaml(training), encoding="utf-8")
    environment = {
        **os.environ,
        "DS_ACCELERATOR": "cpu",
        "FORCE_TORCHRUN": "1",
        "NPROC_PER_NODE": "2",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",  # for torchrun and ninja
        "PYTHONPATH": f"{APART}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
    }
    command = [sys.executable, "-m", "llamafactory.cli", "train", str(tmp_path / "train.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    log = (tmp_path / "out" / "trainer_log.jsonl").read_text(encoding="utf-8").splitlines()
    losses = [json.loads(line)["loss"] for line in log if "loss" in line]
    assert len(losses) == 6
    assert losses[-1] < losses[0] - 0.3, losses
    assert (tmp_path / "out" / "model.safetensors").is_file()
    if name == "z3":
        assert "activating zero.init()" in done.stderr + done.stdout


def test_the_fsdp_file_leaves_precision_to_the_training_file() -> None:
    read = read_yaml(FSDP)
    assert read["distributed_type"] == "FSDP"
    assert read["mixed_precision"] == "no"
    assert read["fsdp_config"]["fsdp_state_dict_type"] == "FULL_STATE_DICT"


@pytest.mark.slow
def test_accelerate_hands_the_fsdp_file_on_to_its_plugin(tmp_path: Path) -> None:
    script = tmp_path / "show.py"
    script.write_text(
        "import os\n"
        "from accelerate import FullyShardedDataParallelPlugin\n"
        "plugin = FullyShardedDataParallelPlugin()\n"
        "print('plugin', plugin.fsdp_version, plugin.reshard_after_forward,\n"
        "      plugin.state_dict_type.name, os.environ['ACCELERATE_USE_FSDP'])\n"
    )
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(FSDP)]
    launch += ["--num_processes", "2", str(script)]
    done = subprocess.run(
        launch,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("plugin 2 True FULL_STATE_DICT true") == 2
