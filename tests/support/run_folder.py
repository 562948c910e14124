"""A small run folder as the hosts leave it, for the tests of what reads run folders."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cotdistill.runfolder.job import Command
from cotdistill.runfolder.manifest import (
    MANIFEST,
    Factor,
    Files,
    Hashes,
    ManifestRun,
    Outputs,
    Stages,
    manifest_text,
)

STAMP = "2026-01-02T03-04-05.678901"


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def manifest_run(
    run: str, arm: str = "fine", student: str = "tiny", seed: int = 42, data: str | None = None
) -> ManifestRun:
    """Return one run of a manifest, without an export and with a pretrained student."""
    return ManifestRun(
        run=run,
        student=student,
        arm=arm,
        recipe="full",
        seed=seed,
        files=Files(f"train/{run}.yaml", None, f"eval/{run}.yaml", data, None),
        outputs=Outputs(f"checkpoints/{run}", None, f"scores/{run}"),
        stages=Stages(None, Command(("train",)), None, Command(("evaluate",))),
        sha256=Hashes("0" * 64, None, "1" * 64, "2" * 64 if data else None, None),
    )


def add_run(
    folder: Path,
    run: str,
    arm: str,
    student: str = "tiny",
    seed: int = 42,
    *,
    factors: Mapping[str, Factor] | None = None,
    recipe: str = "full",
    data: str | None = None,
) -> None:
    """Add a line to the manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    made = manifest_run(run, arm, student, seed, data)
    if factors is not None:  # a manifest of this version, which has its commands elsewhere
        made = replace(made, factors=factors, stages=None)
    with (folder / MANIFEST).open("a", encoding="utf-8") as stream:
        stream.write(manifest_text([replace(made, recipe=recipe)]))


def add_untrained(folder: Path, run: str, student: str = "tiny") -> None:
    """Add a model that is scored as it is to the manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    made = replace(
        manifest_run(run, "untouched", student),
        recipe="none",
        seed=None,
        files=Files(None, None, f"eval/{run}.yaml", None, None),
        outputs=Outputs(None, None, f"scores/{run}"),
        stages=None,
        sha256=Hashes(None, None, "1" * 64, None, None),
    )
    with (folder / MANIFEST).open("a", encoding="utf-8") as stream:
        stream.write(manifest_text([made]))


def write_study(folder: Path, arms: dict[str, Any], about: str = "") -> None:
    """Write the resolved study of a run folder."""
    study = {
        "name": "levels",
        "about": about,
        "students": [{"name": "tiny", "model": "some/model", "template": "qwen"}],
        "arms": arms,
        "recipes": {"full": {"max_steps": 4}},
        "evaluation": {"tasks": ["digits"]},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.yaml").write_text(json.dumps(study), encoding="utf-8")


def add_training(folder: Path, run: str, loss: float = 0.3, seconds: float = 61.5) -> None:
    """Add what a finished training leaves."""
    out = folder / "checkpoints" / run
    write_json(out / "all_results.json", {"train_loss": loss, "train_runtime": seconds})
    history = [{"step": 10, "loss": 2.0}, {"step": 20, "loss": 0.05}, {"train_loss": loss}]
    write_json(out / "trainer_state.json", {"log_history": history, "num_input_tokens_seen": 12345})


def add_scores(
    folder: Path, run: str, right: Sequence[bool], task: str = "digits", stamp: str = STAMP
) -> Path:
    """Add a results file and its samples, one question a verdict; return the directory."""
    out = folder / "scores" / run / "model"
    numbers = {
        "alias": task,
        "exact_match,none": sum(right) / len(right),
        "exact_match_stderr,none": 0.01,
        "characters,none": 20.0,
        "cut_off,none": 0.05,
    }
    write_json(
        out / f"results_{stamp}.json",
        {
            "results": {task: numbers},
            "n-samples": {task: {"original": len(right), "effective": len(right)}},
            "versions": {task: 1.0},
            "total_evaluation_time_seconds": "12.5",
        },
    )
    rows = [
        {
            "doc_id": number,
            "doc": {
                "id": f"q{number}",
                "question": f"What is {number} + 1?",
                "gold": str(number + 1),
                "kind": "number",
            },
            "target": str(number + 1),
            "arguments": {"gen_args_0": {"arg_0": f"What is {number} + 1?", "arg_1": {}}},
            "resps": [[f"So it is \\boxed{{{number + 1 if verdict else -1}}}."]],
            "filtered_resps": [f"So it is \\boxed{{{number + 1 if verdict else -1}}}."],
            "filter": "none",
            "metrics": ["exact_match"],
            "doc_hash": f"hash{number}",
            "prompt_hash": f"prompt{number}",
            "exact_match": float(verdict),
        }
        for number, verdict in enumerate(right)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (out / f"samples_{task}_{stamp}.jsonl").write_text(text, encoding="utf-8")
    return out
