"""A run folder with a loop, and what its jobs would leave in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotdistill.cli.main import main
from run_folder import add_scores
from slow_server import slow_server
from tiny_models import build

LOOP = "tiny--improve-uniform--full--s42"
START = "tiny--start--full--s42"

Answers = Callable[[int], Sequence[int | str]]
"""The answers that a question's samples give, by the number of the question."""


def study(**changed: Any) -> dict[str, Any]:
    """Return a study with one loop of three rounds over sums of two numbers."""
    loop = {
        "recipe": "full",
        "start": "start",
        "rounds": 3,
        "sample": {"questions": "sums", "samples": 4, "temperature": 0.7, "max_tokens": 32},
        "keep": {"per_question": 2},
        "stop": {"patience": 1, "gain": 0.0},
        "difficulty": "level",
        "for": {"strategy": ["uniform"]},
    } | changed.pop("improve", {})
    return {
        "schema_version": 2,
        "name": "loops",
        "models": {"tiny": {"scratch": {"hidden_size": 16, "heads": 2, "layers": 1}}},
        "students": ["tiny"],
        "questions": {"sums": {"file": "sums.jsonl", "dev": 5, "task": "cot_gsm8k"}},
        "arms": {"start": {"file": "start.jsonl"}},
        "recipes": {
            "full": {
                "max_steps": 2, "precision": "fp32", "global_batch": 4, "per_device_batch": 4,
                "cutoff_len": 64,
            }
        },
        "improve": loop,
        "evaluation": {
            "tasks": ["cot_puzzles_digit_sum"],
            "limit": 2,
            "generation": {"max_gen_toks": 32},
        },
        "hardware": {"gpus": 0},
    } | changed  # fmt: skip


def question(number: int) -> str:
    return f"What is {number} plus {number % 7}?"


def write_inputs(folder: Path, count: int = 45, meta: bool = True) -> None:
    """Write the questions, of five levels, and the rows that the first model is trained on."""
    with (folder / "sums.jsonl").open("w", encoding="utf-8") as stream:
        for number in range(count):
            gold = number + number % 7
            row = {
                "id": f"sum-{number}", "dataset": "sums", "split": "train",
                "question": question(number), "gold": str(gold), "kind": "number",
                "rationale": f"{number} + {number % 7} = {gold}. The answer is {gold}.",
                "meta": {"level": f"Level {number % 5 + 1}"} if meta else {},
            }  # fmt: skip
            stream.write(json.dumps(row) + "\n")
    with (folder / "start.jsonl").open("w", encoding="utf-8") as stream:
        for number in range(100, 130):
            row = {"instruction": question(number), "output": f"It is {number + number % 7}."}
            stream.write(json.dumps(row) + "\n")


@dataclass
class LoopFolder:
    """A run folder with a loop, and what its jobs would leave in it."""

    root: Path

    def name(self, number: int) -> str:
        return f"{LOOP}--round{number}" if number else f"{START}--round0"

    def weights(self, name: str, seed: int) -> None:
        """Write a model as a training would."""
        folder = build(self.root / "checkpoints" / name, seed=seed)
        results = {"train_runtime": 1.5, "train_loss": 0.5}
        (folder / "train_results.json").write_text(json.dumps(results))
        (folder / "all_results.json").write_text(json.dumps(results))
        history = [{"step": 1, "loss": 2.0 + seed}, {"step": 2, "loss": 1.0}]
        (folder / "trainer_state.json").write_text(json.dumps({"log_history": history}))

    def samples(self, number: int, answers: Answers, *words: str) -> None:
        """Let a server answer the questions of a round through `cotdistill sample`."""
        asked: dict[str, int] = {}

        def decide(body: dict[str, Any]) -> str:
            text = body["messages"][-1]["content"]
            of_question = int(text.split()[2])
            place = asked[text] = asked.get(text, -1) + 1
            given = answers(of_question)
            answer = given[place % len(given)]
            return answer if isinstance(answer, str) else f"Way {place}. The answer is {answer}."

        jobs = map(json.loads, (self.root / "jobs.jsonl").read_text().splitlines())
        command = next(
            job["command"]
            for job in jobs
            if (job["stage"], job["name"]) == ("sample", self.name(number))
        )
        command = [*command[1:], *words]
        at = command.index("--transformers")
        out = command.index("-o") + 1
        command[out] = str(self.root / command[out])
        command[1] = str(self.root / command[1])
        with slow_server(decide) as server:
            command[at : at + 2] = ["--endpoint", server.url]
            assert main([*command, "--any-model", "--concurrency", "1"]) == 0

    def scores(self, number: int, right: Sequence[bool]) -> None:
        """Write the scores of a round on the development questions."""
        add_scores(self.root / "rounds", self.name(number), right, task="dev_sums")
