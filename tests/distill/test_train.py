"""`cotdistill train` on the real LLaMA-Factory: tiny models, a few steps, many variations.

All trainings of one process run before the first test, since starting the host takes seconds.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from cotdistill.files.bundle import bundle_file
from tiny_models import build, losses, train_log, training_file, write_rows

pytestmark = pytest.mark.host

KD: dict[str, Any] = {"temperature": 2.0, "weight": 0.5}
EVALUATED = {"val_size": 8, "eval_strategy": "steps", "eval_steps": 2, "do_eval": True}
DEEPSPEED = Path(sys.prefix) / "deepspeed"  # where tools/environment.py puts it
TRACKED = importlib.util.find_spec("tensorboard") is not None
LORA = {"finetuning_type": "lora", "lora_rank": 2, "lora_target": "all"}


def cases(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what each training changes; `kd` is its block."""
    kd = {"teacher": str(folder / "teacher"), **KD}
    none = {"divergence": "none"}
    halves = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}
    quarters = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}
    odd = {"max_samples": 21, "max_steps": -1, "num_train_epochs": 1}
    saved = {"save_strategy": "steps", "save_steps": 2, "save_total_limit": 5}
    resumed = {"resume_from_checkpoint": str(folder / "out" / "saved" / "checkpoint-2")}
    hidden = {"teacher": kd["teacher"], "divergence": "hidden_mse", "weight": 0.5}
    added = {"preset": "mentor-kd", "hidden_weight": 0.5}
    hidden_resumed = {"resume_from_checkpoint": str(folder / "out" / "hidden" / "checkpoint-2")}
    paired = {"dataset": "paired"}
    consistent = {"preset": "mcc-kd", "weight": 1.0}
    return {
        "stock": EVALUATED,
        "none": EVALUATED | {"kd": none},
        "whole": {"kd": kd},
        "halves": halves | {"kd": kd},
        "quarters": quarters | {"kd": kd},
        "odd whole": odd | {"kd": kd},
        "odd quarters": odd | quarters | {"kd": kd},
        "evaluated": EVALUATED | {"kd": kd},
        "padded": {"kd": kd, "disable_gradient_checkpointing": True},
        "packed": {"packing": True, "neat_packing": True, "cutoff_len": 192, "kd": kd},
        "loosely packed": {"packing": True, "cutoff_len": 192, "kd": kd},
        "lora": LORA | {"kd": kd},
        "bf16": {"bf16": True, "kd": kd},
        "saved": saved | {"kd": kd},
        "resumed": saved | resumed | {"kd": kd},
        "self": {"kd": kd | {"teacher": str(folder / "student"), "weight": 1.0}, "max_steps": 1},
        "mentor": {"kd": {"teacher": kd["teacher"], "preset": "mentor-kd"}}
        | ({"report_to": "tensorboard", "logging_dir": str(folder / "events")} if TRACKED else {}),
        "hidden": saved | {"kd": hidden},
        "hidden resumed": saved | hidden_resumed | {"kd": hidden},
        "hidden lora": LORA | {"kd": hidden},
        "hidden added": {"kd": {"teacher": kd["teacher"], **added}},
        "mentor rows": paired | {"kd": kd | {"rows": {"source": "mentor"}}},
        "all rows": paired | {"kd": kd | {"rows": {"source": ["mentor", "teacher"]}}},
        "every row": paired | {"kd": kd},
        "packed mentor rows": paired
        | {"packing": True, "neat_packing": True, "cutoff_len": 192}
        | {"kd": kd | {"rows": {"source": "mentor"}}},
        "no rows": paired | {"kd": kd | {"rows": {"source": "menter"}}},
        "pairs": paired | {"kd": consistent},
        "halved pairs": paired | halves | {"kd": consistent},
        "no pairs": {"kd": {"preset": "mcc-kd"}},
        "damaged rows": {"dataset": "damaged", "kd": kd},
        "sum of reverse": {"kd": kd | {"divergence": "reverse_kl", "top_k": 16}},
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str], str]:
    """Train all cases; return their folder, how each ended, and everything that was printed."""
    folder = tmp_path_factory.mktemp("trained")
    build(folder / "student")
    build(folder / "teacher", width=24, seed=1)
    write_rows(folder)
    registry = json.loads((folder / "dataset_info.json").read_text())
    registry["damaged"] = {"file_name": "damaged.json"}
    (folder / "dataset_info.json").write_text(json.dumps(registry))
    (folder / "damaged.json").write_text('[{"instruction": 5, "output": [7]}]')
    made = {name: training_file(folder, name, change) for name, change in cases(folder).items()}
    script = Path(__file__).parents[1] / "support" / "train_many.py"
    done = subprocess.run(
        [sys.executable, str(script), *map(str, made.values())],
        capture_output=True, text=True, check=False, env=quiet(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    endings = json.loads(done.stdout.splitlines()[-1])
    return folder, dict(zip(made, endings, strict=True)), done.stderr


def quiet(**more: str) -> dict[str, str]:
    return {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", **more}


Trained = tuple[Path, dict[str, str], str]


def test_every_variation_trains_and_has_an_effect(trained: Trained) -> None:
    stopped = ("self", "no rows", "no pairs", "damaged rows")
    endings = {name: ending for name, ending in trained[1].items() if name not in stopped}
    assert set(endings.values()) == {"ok"}, endings


def test_without_a_divergence_training_and_evaluation_are_the_stock_hosts_to_the_bit(
    trained: Trained,
) -> None:
    for key in ("loss", "grad_norm", "eval_loss"):
        assert losses(trained[0], "none", key) == losses(trained[0], "stock", key)


def test_evaluation_loss_is_plain_cross_entropy(trained: Trained) -> None:
    """Before and after it, distillation changes the training loss only."""
    folder = trained[0]
    evaluated = losses(folder, "evaluated", "eval_loss")
    stock = losses(folder, "stock", "eval_loss")
    assert len(evaluated) == len(stock) == 2
    assert evaluated != stock
    first = losses(folder, "stock")[0]
    assert losses(folder, "evaluated", "ce")[0] == pytest.approx(first, abs=1e-4)


@pytest.mark.parametrize(
    ("parts", "whole"),
    [("halves", "whole"), ("quarters", "whole"), ("odd quarters", "odd whole")],
)
def test_one_batch_of_eight_is_two_of_four_and_four_of_two(
    parts: str, whole: str, trained: Trained
) -> None:
    """Also where the last window of an epoch has fewer rows."""
    folder = trained[0]
    for key, near in (("loss", 2e-4), ("grad_norm", 1e-4), ("ce", 1e-4), ("kd", 1e-4)):
        found, expected = losses(folder, parts, key), losses(folder, whole, key)
        assert len(found) in (3, 4)
        assert found == pytest.approx(expected, rel=near), key
    assert losses(folder, parts, "kd_share") == pytest.approx(
        losses(folder, whole, "kd_share"), rel=1e-3
    )


def test_the_logged_parts_add_up_to_the_logged_loss(trained: Trained) -> None:
    for name, factor in (("whole", 4.0), ("mentor", 1.0)):
        weight = 0.5 if name == "whole" else 0.3
        for line in train_log(trained[0], name):
            if "loss" in line:
                total = (1 - weight) * line["ce"] + weight * factor * line["kd"]
                assert line["loss"] == pytest.approx(total, abs=2e-4)


def test_gradient_checkpointing_changes_nothing(trained: Trained) -> None:
    assert losses(trained[0], "padded") == losses(trained[0], "whole")


def test_packed_rows_train_and_neat_packing_keeps_rows_apart(trained: Trained) -> None:
    for name in ("packed", "loosely packed", "bf16", "lora"):
        found = losses(trained[0], name)
        assert len(found) == 4
        assert found[-1] < found[0], name


def test_a_resumed_training_ends_like_one_without_interruption(trained: Trained) -> None:
    folder = trained[0]
    assert losses(folder, "resumed")[2:] == losses(folder, "saved")[2:]
    files = [folder / "out" / name / "model.safetensors" for name in ("resumed", "saved")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_checkpoints_hold_nothing_of_the_teacher_and_load_in_stock_transformers(
    trained: Trained,
) -> None:
    import transformers

    folder = trained[0]
    for place in ("out/saved/checkpoint-2", "out/saved"):
        with (
            safe_open(folder / place / "model.safetensors", "pt") as found,
            safe_open(folder / "student" / "model.safetensors", "pt") as before,
        ):
            assert set(found.keys()) == set(before.keys())
    model = transformers.AutoModelForCausalLM.from_pretrained(folder / "out" / "saved")
    assert model.config.hidden_size == 16


def test_a_teacher_that_is_the_student_stops_the_run(trained: Trained) -> None:
    ending = trained[1]["self"]
    assert "self.yaml:kd: no effect: it has" in ending
    assert "of the gradient's norm" in ending
    assert "\n" not in ending
    assert not (trained[0] / "out" / "self" / "model.safetensors").exists()


def test_rows_that_the_host_cannot_read_are_one_message(trained: Trained) -> None:
    ending = trained[1]["damaged rows"]
    assert "damaged rows.yaml: LLaMA-Factory cannot use its rows or models (" in ending
    assert "\n" not in ending


def test_the_loss_is_stated_in_the_log_and_summed_up_at_the_end(trained: Trained) -> None:
    folder, _, talk = trained
    line = (
        "distillation: 0.7 * CE + 0.3 * forward_kl(teacher, student), T = 2, not multiplied by T^2;"
        " sum over supervised tokens / their number in the global batch; all "
    )
    assert line in talk
    summary = json.loads((folder / "out" / "mentor" / "kd_summary.json").read_text())
    assert summary["batches"] == 4
    assert summary["tokens"] == summary["kd_tokens"] > 0
    assert 0 < summary["kd_share"] < 1
    assert 0 <= summary["kd_agreement"] <= 1
    lines = (folder / "out" / "mentor" / "kd_log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4]


@pytest.mark.skipif(not TRACKED, reason="tensorboard is not installed")
def test_the_parts_of_the_loss_are_written_for_tensorboard(trained: Trained) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(trained[0] / "events"))
    events.Reload()
    for key in ("ce", "kd", "kd_share", "kd_agreement"):
        written = [one.value for one in events.Scalars(f"train/{key}")]
        assert written == pytest.approx(losses(trained[0], "mentor", key), abs=1e-6)


def test_hidden_states_are_matched_and_the_projection_stays_out_of_the_model(
    trained: Trained,
) -> None:
    folder = trained[0]
    for name in ("hidden", "hidden lora"):
        found = losses(folder, name, "kd")
        assert found[-1] < found[0], name
        assert all(0 < share < 1 for share in losses(folder, name, "kd_share"))
    for line in train_log(folder, "hidden added"):
        if "loss" in line:
            total = 0.7 * line["ce"] + 0.3 * line["kd"] + 0.5 * line["kd_hidden_mse"]
            assert line["loss"] == pytest.approx(total, abs=2e-4)
    out = folder / "out" / "hidden"
    assert (out / "kd_projection.safetensors").is_file()
    with safe_open(out / "model.safetensors", "pt") as weights:
        assert not [name for name in weights.keys() if "projection" in name]  # noqa: SIM118
    assert losses(folder, "hidden resumed")[2:] == losses(folder, "hidden")[2:]
    for file in ("model.safetensors", "kd_projection.safetensors"):
        ends = [folder / "out" / name / file for name in ("hidden", "hidden resumed")]
        assert ends[0].read_bytes() == ends[1].read_bytes()


def test_only_the_rows_that_were_asked_for_have_a_teacher(trained: Trained) -> None:
    folder, endings, _ = trained
    tokens = {
        name: json.loads((folder / "out" / name / "kd_summary.json").read_text())
        for name in ("mentor rows", "all rows", "every row", "packed mentor rows")
    }
    assert tokens["every row"]["kd_tokens"] == tokens["every row"]["tokens"]
    for name in ("mentor rows", "packed mentor rows"):
        assert 0.4 < tokens[name]["kd_tokens"] / tokens[name]["tokens"] < 0.9
    assert losses(folder, "all rows") == losses(folder, "every row")
    assert losses(folder, "mentor rows") != losses(folder, "every row")
    assert "no row has source: menter; expected values of the columns" in endings["no rows"]


def test_two_rationales_of_a_question_are_trained_to_give_the_same_answer(
    trained: Trained,
) -> None:
    folder, endings, talk = trained
    for key, near in (("loss", 3e-4), ("grad_norm", 3e-4), ("ce", 3e-4), ("kd", 3e-2)):
        assert losses(folder, "halved pairs", key) == pytest.approx(
            losses(folder, "pairs", key), rel=near
        )
    lines = [line for line in train_log(folder, "pairs") if "loss" in line]
    for line in lines:  # the mean over the tokens of both sides is near that over all
        assert line["loss"] == pytest.approx(line["ce"] + line["kd"], rel=0.05)
    assert "(CE of one rationale + CE of another) / 2 + 1 * symmetric KL" in talk
    assert "no question has two rationales whose answers can be found" in endings["no pairs"]


def command(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cotdistill", "train", *words],
        capture_output=True, text=True, check=False, env=quiet(**environment),
    )  # fmt: skip


WITH_DEEPSPEED = pytest.mark.skipif(
    not (DEEPSPEED / "deepspeed").is_dir(),
    reason="deepspeed is not installed; make test-slow puts it into .venv/deepspeed",
)


HASHES_WEIGHTS = """
import hashlib, os, pathlib

if "RANK" in os.environ:  # one of torchrun's processes
    from torch.optim.optimizer import register_optimizer_step_post_hook

    def note(optimizer, *_):
        digest = hashlib.sha256()
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                digest.update(parameter.detach().float().numpy().tobytes())
        with pathlib.Path(__file__).with_name(f"rank{os.environ['RANK']}").open("a") as stream:
            stream.write(digest.hexdigest() + "\\n")

    register_optimizer_step_post_hook(note)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "split",
    ["", pytest.param("z2", marks=WITH_DEEPSPEED), pytest.param("z3", marks=WITH_DEEPSPEED)],
)
def test_two_processes_with_rows_of_their_own_are_one_with_all_rows(
    split: str, trained: Trained, tmp_path: Path
) -> None:
    folder = tmp_path / "with a space"
    folder.mkdir()
    build(folder / "student")
    build(folder / "teacher", width=24, seed=1)
    write_rows(folder)
    halves = {"per_device_train_batch_size": 4, "ddp_timeout": 1000}
    change: dict[str, Any] = EVALUATED | halves
    environment = {"FORCE_TORCHRUN": "1", "NPROC_PER_NODE": "2", "CUDA_VISIBLE_DEVICES": ""}
    if split:
        file = bundle_file("templates", f"deepspeed/{split}.json")
        change |= {"deepspeed": str(file), "use_cpu": False}
        found = f"{DEEPSPEED}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        ninja = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment |= {"DS_ACCELERATOR": "cpu", "PYTHONPATH": found, "PATH": ninja}
    else:  # in ZeRO every process updates its own part of the weights
        (folder / "sitecustomize.py").write_text(HASHES_WEIGHTS)
        paths = [str(folder), os.environ.get("PYTHONPATH", "")]
        environment |= {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    # rows differ in length, so the ranks need different numbers of chunks
    kd = {"teacher": str(folder / "teacher"), **KD, "chunk": 5}
    path = training_file(folder, "two", change | {"kd": kd})
    done = command(str(path), **environment)
    assert done.returncode == 0, done.stderr[-4000:]
    if not split:
        steps = [(folder / f"rank{rank}").read_text().split() for rank in (0, 1)]
        assert steps[0] == steps[1]
        assert len(set(steps[0])) == 4
    # a later step's loss is also that of the other rank's rows, so both have the same weights
    for key in ("loss", "grad_norm", "ce", "kd", "eval_loss"):
        found, expected = losses(folder, "two", key), losses(trained[0], "evaluated", key)
        assert len(found) == (2 if key == "eval_loss" else 4)
        assert found == pytest.approx(expected, rel=3e-4), key


@pytest.mark.slow
def test_without_a_block_the_stock_command_runs_unchanged(tmp_path: Path) -> None:
    build(tmp_path / "student")
    write_rows(tmp_path)
    done = command(str(training_file(tmp_path, "plain", {"max_steps": 1})))
    assert done.returncode == 0, done.stderr[-2000:]
    assert "kd" not in train_log(tmp_path, "plain")[0]
    assert not list((tmp_path / "out" / "plain").glob("kd_*"))
