"""Does distillation help? A trained mentor, a student with few rows, CE against CE + KD.

    python -P benchmarks/kd/helps.py [--rows 200] [--steps 300] [--slips 0] [--seeds 5]
                                     [--chosen 0.9,2] [--only-development]

Puzzles (where is the ball after six swaps, or the last digit of a sum), rationales of level 6,
randomly initialised models with one tokenizer. With `--slips 0.2` a step of a rationale is wrong
with this probability, and those after it go on from there: the chains of an unreliable teacher,
which are not filtered. The mentor (4 layers) is trained on 6,400 questions, the student (2 layers,
half as wide by default) on `--rows` of them, from the mentor's stored signals (all tokens of the
vocabulary). The students' learning rate is constant after a warm-up. Weight and temperature are
chosen on development questions with random seeds of their own (`--chosen` repeats an earlier
choice); the comparison uses other seeds and the test questions. `permuted` is a control: the same
teacher with the rows of its head in another order, so that its probabilities belong to other
tokens. Intervals are Student's t over seeds, and over the differences to CE, which has the same
initial weights and order of rows in each seed. Everything trains through LLaMA-Factory, in one
process.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import random
import sys
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))

from training import quiet, train_file

LAYERS = 2
MENTOR_ROWS = 6400
TRIED = [(0.5, 1.0), (0.5, 2.0), (0.9, 1.0), (0.9, 2.0)]
_T95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}


def main() -> None:
    """Train everything and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=11)
    parser.add_argument("--slips", type=float, default=0.0, help="chance of a wrong step")
    parser.add_argument("--family", default="ball", help="ball or digit-sum")
    parser.add_argument("--width", type=int, default=32, help="of the student")
    parser.add_argument("--development", type=int, default=3, help="seeds that choose")
    parser.add_argument("--only-development", action="store_true")
    parser.add_argument("--chosen", default="", help="weight,temperature")
    parser.add_argument("--folder", default="")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        place = Path(options.folder or stack.enter_context(tempfile.TemporaryDirectory()))
        folder = place / f"{options.family}-slips-{options.slips:g}"
        folder.mkdir(parents=True, exist_ok=True)
        compare(folder, options)


def compare(folder: Path, options: argparse.Namespace) -> None:
    """Train the mentor, choose weight and temperature, compare."""
    from cotdistill.benchmarks.puzzles import draw_puzzles

    rows, steps = options.rows, options.steps
    pair = tuple(map(float, options.chosen.split(","))) if options.chosen else None

    drawn = list(draw_puzzles(options.family, 6, MENTOR_ROWS + 200, 1, "train"))
    test = list(draw_puzzles(options.family, 6, 200, 2, "test"))
    many, dev = drawn[:MENTOR_ROWS], drawn[MENTOR_ROWS:]
    many = [slipping(puzzle, options.slips, number) for number, puzzle in enumerate(many)]
    texts = [f"{puzzle.question}\n{puzzle.rationale}" for puzzle in many]
    sets = {"many": many, "few": list(islice(many, rows))}
    write_rows(folder, sets)
    if not (folder / "mentor" / "model.safetensors").is_file():
        build(folder / "mentor-0", texts, 64, 4, 0)
        train(folder, "mentor", "mentor-0", "many", 300, 1, None)
    if not (folder / "permuted" / "model.safetensors").is_file():
        permute(folder / "mentor", folder / "permuted")
    signals = {name: captured(folder, name, rows) for name in ("mentor", "permuted")}
    print(f"mentor, 4 layers, {MENTOR_ROWS:,} rows: test {accuracy(folder / 'mentor', test):.1%}")
    chosen, best = pair or TRIED[0], -1.0
    tried: list[tuple[float, float] | None] = [None, *TRIED]
    for one in [] if pair else tried:
        kd = one and {"teacher": signals["mentor"], "weight": one[0], "temperature": one[1]}
        label = "CE" if one is None else f"weight {one[0]:g}, T {one[1]:g}"
        found = []
        for seed in range(1, 1 + options.development):
            name = f"dev-{label.replace(' ', '')}-{rows}-{steps}-{seed}"
            build(folder / f"student-{seed}", texts, options.width, LAYERS, seed)
            train(folder, name, f"student-{seed}", "few", steps, seed, kd)
            found.append(accuracy(folder / name, dev))
        shown = ", ".join(f"{score:.1%}" for score in found)
        print(f"development: {label}: {shown}", flush=True)
        if one is not None and sum(found) > best:
            chosen, best = one, sum(found)
    if options.only_development:
        return
    weight, temperature = chosen
    kd = {"weight": weight, "temperature": temperature}
    recipes: dict[str, dict[str, Any] | None] = {
        "CE": None,
        "CE + KD": kd | {"teacher": signals["mentor"]},
        "CE + KD, permuted": kd | {"teacher": signals["permuted"]},
    }
    scores: dict[str, list[float]] = {name: [] for name in recipes}
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        build(folder / f"student-{seed}", texts, options.width, LAYERS, seed)
        for name, block in recipes.items():
            out = f"{name.replace(' ', '')}-{seed}"
            train(folder, out, f"student-{seed}", "few", steps, seed, block)
            scores[name].append(accuracy(folder / out, test))
            print(f"seed {seed}, {name}: {scores[name][-1]:.1%}", flush=True)
    print(
        f"\nstudent, {LAYERS} layers, {rows:,} rows, slips {options.slips:g}, {steps} steps, "
        f"weight {weight:g}, T {temperature:g}; {len(test)} test questions"
    )
    for name, values in scores.items():
        mean, half = interval(values)
        print(f"{name:<20}{mean:>7.1%}  [{max(0, mean - half):.1%}, {min(1, mean + half):.1%}]")
    for name, values in list(scores.items())[1:]:
        gaps = [value - other for value, other in zip(values, scores["CE"], strict=True)]
        mean, half = interval(gaps)
        print(f"{name} minus CE: {mean:+.1%}  [{mean - half:+.1%}, {mean + half:+.1%}]")


def slipping(puzzle: Any, slips: float, number: int) -> Any:
    """Return a puzzle whose rationale goes wrong at some steps, and on from there."""
    if not slips:
        return puzzle
    chance = random.Random(number)
    digits = puzzle.family == "digit-sum"
    state, states = ("0", "0123456789") if digits else ("A", "ABCD")
    lines = []
    for line in puzzle.rationale.splitlines()[:-1]:
        step = line.partition(" =")[0]
        if digits:
            state = str((int(state) + int(step)) % 10)
        else:
            state = {step[0]: step[1], step[1]: step[0]}.get(state, state)
        if chance.random() < slips:
            state = chance.choice([other for other in states if other != state])
        lines.append(f"{step} ={state}")
    return dataclasses.replace(puzzle, rationale="\n".join([*lines, f"The answer is {state}."]))


def captured(folder: Path, teacher: str, rows: int) -> dict[str, str]:
    """Store a teacher's signals for the student's rows, as the command does."""
    from cotdistill.cli.main import main as cotdistill

    out = folder / f"signals-{teacher}-{rows}"
    file = write_file(folder, f"capture-{rows}", "mentor", "few", 1, 1, None)
    words = ["capture", str(file), "--teacher", str(folder / teacher), "-o", str(out)]
    for temperature in {1.0, 2.0}:
        words += ["--temperature", str(temperature)]
    with quiet():
        if cotdistill([*words, "--top-k", "10000", "--batch-size", "32"]):
            raise SystemExit(f"capture of {teacher} failed")
    return {"signals": str(out)}


def interval(values: list[float]) -> tuple[float, float]:
    """Return the mean and half of its 95 % interval."""
    mean = sum(values) / len(values)
    sd = (sum((v - mean) ** 2 for v in values) / max(1, len(values) - 1)) ** 0.5
    return mean, _T95.get(len(values), 2.6) * sd / len(values) ** 0.5


def write_rows(folder: Path, sets: dict[str, list[Any]]) -> None:
    """Write training sets and their registration."""
    columns = {"prompt": "instruction", "response": "output"}
    registry = {}
    for name, puzzles in sets.items():
        rows = [{"instruction": p.question, "output": p.rationale} for p in puzzles]
        (folder / f"{name}.json").write_text(json.dumps(rows), encoding="utf-8")
        registry[name] = {"file_name": f"{name}.json", "columns": columns}
    (folder / "dataset_info.json").write_text(json.dumps(registry), encoding="utf-8")


def build(path: Path, texts: list[str], width: int, layers: int, seed: int) -> None:
    """Write a randomly initialised model."""
    from cotdistill.models.scratch import Scratch
    from cotdistill.models.scratch_model import build_student

    shape = Scratch(
        hidden_size=width, layers=layers, heads=4, intermediate_size=2 * width, context=192,
        seed=seed,
    )  # fmt: skip
    build_student(shape, texts, path)


def write_file(
    folder: Path, name: str, model: str, dataset: str, steps: int, seed: int,
    kd: dict[str, Any] | None,
) -> Path:  # fmt: skip
    """Write a training file of LLaMA-Factory, with or without a teacher."""
    from cotdistill.files.yamls import dump_yaml

    schedule = "constant_with_warmup" if dataset == "few" else "cosine"
    arguments = {
        "model_name_or_path": str(folder / model), "stage": "sft", "do_train": True,
        "finetuning_type": "full", "dataset_dir": str(folder), "dataset": dataset,
        "template": "chatml", "cutoff_len": 128, "output_dir": str(folder / name),
        "overwrite_output_dir": True, "logging_steps": 10, "save_strategy": "no",
        "report_to": "none", "use_cpu": True,
        "per_device_train_batch_size": 32, "max_steps": steps, "learning_rate": 4.0e-3,
        "lr_scheduler_type": schedule, "warmup_ratio": 0.1, "seed": seed, "disable_tqdm": True,
        "preprocessing_num_workers": 1, "disable_gradient_checkpointing": True,
    }  # fmt: skip
    path = folder / f"{name}.yaml"
    path.write_text(dump_yaml(arguments | ({"kd": kd} if kd else {})), encoding="utf-8")
    return path


def train(
    folder: Path, name: str, model: str, dataset: str, steps: int, seed: int,
    kd: dict[str, Any] | None,
) -> None:  # fmt: skip
    """Train one model through LLaMA-Factory."""
    train_file(write_file(folder, name, model, dataset, steps, seed, kd))


def permute(teacher: Path, out: Path) -> None:
    """Write the teacher with the rows of its head in another order."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(teacher)
    embeddings = model.get_input_embeddings().weight.detach().clone()
    order = torch.randperm(len(embeddings), generator=torch.Generator().manual_seed(0))
    model.config.tie_word_embeddings = False
    model.lm_head = torch.nn.Linear(embeddings.shape[1], len(embeddings), bias=False)
    model.lm_head.weight.data = embeddings[order].clone()
    model.save_pretrained(out)
    AutoTokenizer.from_pretrained(teacher).save_pretrained(out)


def accuracy(path: Path, puzzles: list[Any]) -> float:
    """Return the share of puzzles whose greedy answer is right."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from cotdistill.grading.grade import grade

    model = AutoModelForCausalLM.from_pretrained(path).eval()
    tokenizer = AutoTokenizer.from_pretrained(path, padding_side="left")
    right = 0
    for start in range(0, len(puzzles), 100):
        some = puzzles[start : start + 100]
        asked = [
            tokenizer.apply_chat_template(
                [{"role": "user", "content": puzzle.question}], tokenize=False,
                add_generation_prompt=True,
            )
            for puzzle in some
        ]  # fmt: skip
        batch = tokenizer(asked, return_tensors="pt", padding=True, add_special_tokens=False)
        with torch.no_grad():
            ids = model.generate(**batch, max_new_tokens=72, do_sample=False)
        texts = tokenizer.batch_decode(
            ids[:, batch["input_ids"].shape[1] :], skip_special_tokens=True
        )
        right += sum(
            bool(grade(text, puzzle.answer).correct)
            for text, puzzle in zip(texts, some, strict=True)
        )
    return right / len(puzzles)


if __name__ == "__main__":
    sys.exit(main())
