"""kill -9 at any moment of `capture` and `train`, then the same command: the end is the same."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cotdistill.distill.signals.manifest import read_manifest
from tiny_models import build, losses, training_file, write_rows
from tiny_t5 import folder_with_models
from tiny_t5 import training_file as seq2seq_file

pytestmark = [pytest.mark.host, pytest.mark.slow]

SCRIPT = Path(__file__).parents[1] / "support" / "kill_many.py"
LONG = {
    "packing": True, "neat_packing": True, "cutoff_len": 96, "per_device_train_batch_size": 2,
    "num_train_epochs": 3, "max_steps": -1, "save_strategy": "steps", "save_steps": 2,
}  # fmt: skip
Job = dict[str, Any]


def job(words: str, until: tuple[Path, str, int] | None = None, wait: float = 0.0) -> Job:
    named = None if until is None else [str(until[0]), until[1], until[2]]
    return {
        "words": [word.replace("~", " ") for word in words.split()],
        "until": named,
        "wait": wait,
    }


def capturing(folder: Path, out: str) -> str:
    return (
        f"capture {folder / 'plain.yaml'} --teacher {folder / 'teacher'} -o {folder / out}"
        " --top-k 16 --temperature 2 --part-tokens 300 --batch-size 4"
    )


def jobs_of(folder: Path) -> dict[str, Job]:
    """Return everything that is run, by names: "<what> <number>" is killed if it lives so long."""
    chosen = random.Random(1)
    killed = folder / "killed"
    moments = [("capture.json", 1), ("part-*", 1), ("part-*", 3), (".part-*", 1), ("part-*", 5)]
    jobs = {"capture whole": job(capturing(folder, "whole"))}
    for number, (pattern, count) in enumerate(moments):
        at = (killed, pattern, count)
        jobs[f"capture {number}"] = job(capturing(folder, "killed"), at, chosen.uniform(0, 0.02))
    jobs["capture again"] = job(capturing(folder, "killed"))
    teachers = {"online": str(folder / "teacher"), "stored": {"signals": str(folder / "whole")}}
    for kind, teacher in teachers.items():
        kd = {"teacher": teacher, "temperature": 2.0, "weight": 0.5}
        out = folder / "out" / f"{kind} killed"
        for name in ("whole", "killed"):
            training_file(folder, f"{kind} {name}", LONG | {"kd": kd})
        jobs[f"{kind} whole"] = job(f"train {folder}/{kind}~whole.yaml")
        for number in (1, 2, 3, 5, 6):
            at = (out, "checkpoint-*", number)
            wait = chosen.uniform(0, 0.1)
            jobs[f"{kind} {number}"] = job(f"train {folder}/{kind}~killed.yaml", at, wait)
        jobs[f"{kind} again"] = job(f"train {folder}/{kind}~killed.yaml")
    return jobs


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int | str], str]:
    """Run everything; return the folder, how each ended, and what was printed."""
    folder = tmp_path_factory.mktemp("kills")
    build(folder / "student")
    build(folder / "teacher", width=24, seed=1)
    write_rows(folder)
    training_file(folder, "plain", {})
    jobs = jobs_of(folder)
    done = subprocess.run(
        [sys.executable, str(SCRIPT)], input=json.dumps(list(jobs.values())), capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    endings = dict(zip(jobs, json.loads(done.stdout.splitlines()[-1]), strict=True))
    return folder, endings, done.stderr


Made = tuple[Path, dict[str, int | str], str]


def checked(made: Made, what: str, fewest: int) -> None:
    """Make sure that the whole one and the last one ended well, and that some were killed."""
    found = {name: end for name, end in made[1].items() if name.startswith(what)}
    assert found[f"{what} whole"] == found[f"{what} again"] == 0, made[2][-3000:]
    assert set(found.values()) <= {0, "killed"}, found
    assert list(found.values()).count("killed") >= fewest, found


def test_a_capture_that_is_killed_again_and_again_ends_with_the_same_bytes(made: Made) -> None:
    checked(made, "capture", 2)
    whole, killed = made[0] / "whole", made[0] / "killed"
    assert read_manifest(killed, "t") == read_manifest(whole, "t")
    names = sorted(path.name for path in whole.iterdir())
    assert sorted(path.name for path in killed.iterdir()) == names
    assert len(names) > 6
    for name in names:
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.mark.parametrize("kind", ["online", "stored"])
def test_a_training_that_is_killed_again_and_again_ends_with_the_same_weights(
    kind: str, made: Made
) -> None:
    """Packed, three epochs, shuffled: some kills come in the middle of an epoch."""
    checked(made, kind, 3)
    folder = made[0]
    outs = [folder / "out" / f"{kind} {name}" for name in ("whole", "killed")]
    weights = [(out / "model.safetensors").read_bytes() for out in outs]
    assert weights[0] == weights[1]
    assert losses(folder, f"{kind} killed") == losses(folder, f"{kind} whole")
    logs = [(out / "kd_log.jsonl").read_text() for out in outs]
    assert logs[0] == logs[1]
    summaries = [json.loads((out / "kd_summary.json").read_text()) for out in outs]
    assert summaries[0].pop("loss") == summaries[1].pop("loss")
    assert summaries[0] == pytest.approx(summaries[1], rel=1e-12)


def test_an_encoder_decoder_that_is_killed_goes_on_from_its_last_epoch(tmp_path: Path) -> None:
    """Its best epoch, its answers and its log are those of a training that nothing stopped."""
    folder = folder_with_models(tmp_path)
    config = folder / "student" / "config.json"
    dropping = {**json.loads(config.read_text()), "dropout_rate": 0.1}
    config.write_text(json.dumps(dropping))
    outs = {name: folder / "out" / name for name in ("whole", "killed")}
    for name in outs:
        seq2seq_file(folder, name, num_train_epochs=4, per_device_train_batch_size=2)
    whole, last = (job(f"train {folder}/{name}.yaml") for name in outs)
    moments = [("checkpoint-*/trainer_state.json", 1), ("predictions-*.jsonl", 3)]
    killed = [
        job(f"train {folder}/killed.yaml", (outs["killed"], pattern, count))
        for pattern, count in moments
    ]
    done = subprocess.run(
        [sys.executable, str(SCRIPT)], input=json.dumps([whole, *killed, last]),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    first, *between, end = json.loads(done.stdout.splitlines()[-1])
    assert first == end == 0
    assert set(between) <= {0, "killed"}
    assert "killed" in between
    assert "note: resuming from checkpoint-" in done.stderr
    answers = sorted(path.name for path in outs["whole"].glob("predictions-*.jsonl"))
    assert len(answers) == 4
    for name in ("model.safetensors", "kd_log.jsonl", *answers):
        assert (outs["killed"] / name).read_bytes() == (outs["whole"] / name).read_bytes(), name
    states = [json.loads((out / "trainer_state.json").read_text()) for out in outs.values()]
    for key in ("best_global_step", "global_step", "max_steps"):
        assert states[0][key] == states[1][key]
