"""A study with merges of three tiny models, and a server that answers in the place of all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from teacher import asked_about

WRITES = {"short": 20, "half": 60, "assistant-0.5": 60, "long": 200, "third": 400}
"""Tokens of a response, by the model's name; a little more for some questions than for others."""


def probed_study(folder: Path, *, required: bool = True, **changed: Any) -> dict[str, Any]:
    """Return a study of two assistants, of which one is as long as it should be."""
    merge = {
        "merge": "ties", "base": str(folder / "base"), "donor": "short", "template": "chatml",
        "probe": {"short": "short", "long": "long", "questions": 8, "required": required},
    }  # fmt: skip
    models = {
        "short": {"model": str(folder / "one"), "template": "chatml"},
        "long": {"model": str(folder / "two"), "template": "chatml"},
    }
    shares = {"half": 0.5, "third": 0.3}
    merges = {
        name: {**merge, "models": {"short": {"weight": 0.5}, "long": {"weight": weight}}}
        for name, weight in shares.items()
    }
    ask = {"questions": "pens", "profile": "micota", "reasoning": "plain", "max_tokens": 512}
    arms = {
        f"by-{name}": {"teach": {**ask, "teacher": name}, "filter": {"grade": "strict"}}
        for name in ("half", "third", "short")
    }
    return {
        "schema_version": 2,
        "name": "probed",
        "models": {**models, **merges, "tiny": {"scratch": {"hidden_size": 16, "heads": 2}}},
        "students": ["tiny"],
        "prompt": {"instruction": "boxed"},
        "questions": {"pens": {"file": str(folder / "q.jsonl")}},
        "arms": arms,
        "recipes": {"full": {"max_steps": 2, "precision": "fp32", "cutoff_len": 256}},
        "evaluation": {"tasks": ["cot_gsm8k"], "limit": 2, "generation": {"max_gen_toks": 32}},
        "hardware": {"gpus": 0},
    } | changed  # fmt: skip


def decide(body: dict[str, Any]) -> dict[str, Any]:
    """Answer rightly, with as many tokens as the asked model writes."""
    asked, total = asked_about(body)
    name = {"one": "short", "two": "long"}.get(Path(body["model"]).name, Path(body["model"]).name)
    text = f"It is {asked}, so \\boxed{{{total}}}."
    return {
        "model": body["model"],
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        ],
        "usage": {"prompt_tokens": 30, "completion_tokens": WRITES[name] + total % 5},
    }


def ask_a_server(root: Path, url: str) -> None:
    """Let the jobs of a run folder that ask a model here ask a server instead."""
    lines = []
    for line in (root / "jobs.jsonl").read_text(encoding="utf-8").splitlines():
        job = json.loads(line)
        words = job.get("command", [])
        if "--transformers" in words:
            at = words.index("--transformers")
            words[at : at + 2] = ["--endpoint", url, "--any-model", "--concurrency", "2"]
        lines.append(json.dumps(job) + "\n")
    (root / "jobs.jsonl").write_text("".join(lines), encoding="utf-8")
