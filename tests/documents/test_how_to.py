"""How-to pages are run as typed, each in a folder that holds what the page says is there.

A page's scene writes the files, models and servers that its reader has; the commands are the
page's own, in its order. Blocks that need a GPU, the hub or a cluster are marked *not run*.
"""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from cotdistill.runfolder.generate import generate
from run_folder import add_run, add_scores, add_training, write_study
from scripted_server import serving
from teacher import obedient, write_questions
from trace_rows import trace_dict, write_jsonl

SMALL: dict[str, Any] = {
    "students": [{"name": "tiny", "scratch": {"hidden_size": 32, "heads": 2, "layers": 1}}],
    "arms": {"fine": {"puzzles": "digit-sum", "level": 6, "rows": 40, "seed": 1}},
    "recipes": {
        "full": {"max_steps": 2, "learning_rate": 2.0e-3, "precision": "fp32", "global_batch": 8,
                 "per_device_batch": 8, "cutoff_len": 256}
    },
    "evaluation": {"tasks": ["cot_gsm8k"], "limit": 2, "generation": {"max_gen_toks": 64}},
    "hardware": {"gpus": 0},
}  # fmt: skip
ROOT = Path(__file__).resolve().parents[2]
PAGES = {path.stem: path for path in sorted((ROOT / "docs" / "how-to").glob("*.md"))}
BLOCK = re.compile(r"(?:^\*(?P<mark>not run:[^*]*)\*\n\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```",
                   re.MULTILINE | re.DOTALL)  # fmt: skip
EVERYWHERE = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md"]
NEEDED = ("GPU", "hub", "cluster")


class Scene:
    """A folder in which a page is run, and what differs from a reader's machine."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.stack = stack
        self.before: list[str] = []
        self.replaced: dict[str, str] = {}
        self.env: dict[str, str] = {"COTDISTILL_DATA": str(folder / "questions")}

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def program(self, name: str, code: str) -> None:
        path = self.write(f"bin/{name}", f"#!{sys.executable}\n{code}")
        path.chmod(0o755)


def blocks(page: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the kind, the text and the mark of each block of a page."""
    for found in BLOCK.finditer(page.read_text(encoding="utf-8")):
        yield found["kind"], found["text"], found["mark"] or ""


def as_typed(page: Path, replaced: dict[str, str]) -> list[str]:
    """Return the lines of a page as a script; what is said to exit with 1 has to."""
    script = []
    for kind, text, mark in blocks(page):
        named = re.match(r"# (\S+\.ya?ml)\n", text)
        if kind == "yaml" and named:
            script.append(f"cat > {named[1]} <<'END_OF_FILE'\n{text}END_OF_FILE")
        if kind != "console" or mark:
            continue
        for typed in re.findall(r"^\$ (.*(?:\n {2,}.*)*)", text, re.MULTILINE):
            line = typed
            for old, new in replaced.items():
                is_aside = old.startswith("#") and old in line
                line = new if is_aside else line.replace(old, new)
            fails = re.search(r"# exits 1", line)
            script.append(f"! {line}" if fails else line)
    return script


def gap_scores(scene: Scene) -> None:
    folder = scene.folder / "runs/gap"
    for arm, right in (("short", 26), ("long", 14), ("mixed", 30)):
        for seed in (1, 2):
            run = f"{arm}--full--s{seed}"
            add_run(folder, run, arm, seed=seed)
            add_scores(folder, run, [True] * (right + seed) + [False] * (40 - right - seed))
    write_study(folder, {arm: {"dataset": "gsm8k_train"} for arm in ("short", "long", "mixed")})


def compared(scene: Scene) -> None:
    """Run folders whose arms, recipes and levels differ."""
    gap_scores(scene)
    for seed in (1, 2):
        right = [True] * (20 + seed) + [False] * (20 - seed)
        for recipe in ("ce", "ce-kd"):
            folder, run = scene.folder / "runs/kd", f"tiny--fine--{recipe}--s{seed}"
            add_run(folder, run, "fine", seed=seed, recipe=recipe)
            add_scores(folder, run, right)
        for level in (1, 6):
            folder, run = scene.folder / "runs/levels", f"tiny--level{level}--full--s{seed}"
            add_run(folder, run, f"level{level}", seed=seed, factors={"level": level})
            add_scores(folder, run, right)
    for name, arms in (("kd", ["fine"]), ("levels", ["level1", "level6"])):
        write_study(scene.folder / "runs" / name, {arm: {"dataset": "gsm8k_train"} for arm in arms})


def a_gap_to_run(scene: Scene) -> None:
    """A run folder whose jobs do next to nothing, on a machine with four GPUs."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from run_overhead import write_folder

    scene.env |= {"CUDA_VISIBLE_DEVICES": "0,1,2,3", "XDG_RUNTIME_DIR": str(scene.folder)}
    write_folder(scene.folder / "runs/gap", 1, "qwen")


def finished(scene: Scene) -> None:
    """A generated run folder in which a run has finished."""
    path = scene.write("mine.yaml", json.dumps(copy.deepcopy(SMALL) | {"name": "mine"}))
    folder = generate(str(path), scene.folder / "runs/mine").folder
    add_training(folder, "tiny--fine--full--s42")
    add_scores(folder, "tiny--fine--full--s42", [True, False, True], "cot_gsm8k")
    (folder / "checkpoints/tiny--fine--full--s42/model.safetensors").write_bytes(b"weights")


def a_bundle(scene: Scene) -> None:
    write_questions(scene.folder / "questions.jsonl", 6)


def traces(scene: Scene) -> None:
    """Files in the formats of the CoT-factors repository, and traces of two lengths."""
    rows = [{"id": n, "question": f"Tom has {n} pens and buys {n + 7}. How many has he?",
             "answer": f"He has {n} + {n + 7} = {2 * n + 7}. The answer is {2 * n + 7}."}
            for n in range(12)]  # fmt: skip
    data = scene.folder / "Distilling-CoT-Reasoning/data"
    data.mkdir(parents=True)
    for level in (1, 6):
        longer = [row | {"answer": f"We add.\n{row['answer']}" * level} for row in rows]
        write_jsonl(data / f"SVAMP_ChatGPT_level{level}.jsonl", longer)
    human = [row | {"answer": "Yes. The answer is yes. The answer is no."} for row in rows]
    write_jsonl(data / "stqa_human.jsonl", human)
    scene.write("strategyQA_test.json", json.dumps(rows[:2]))
    tested = {"Body": "Ann has 3 pens.", "Question": "How many more than 1?", "Equation": "3 - 1"}
    write_jsonl(scene.folder / "svamp.jsonl", [tested | {"Answer": 2}])
    scene.before.append("cotdistill prepare svamp --from svamp.jsonl --split test --any-size")
    for name in ("long", "short"):
        write_jsonl(scene.folder / f"traces/{name}.jsonl", [trace_dict(n) for n in range(20)])


def a_provider(scene: Scene) -> None:
    """Questions of SVAMP, and a program that does what a provider does with a file of requests."""
    write_questions(scene.folder / "svamp.jsonl", 4, dataset="svamp")
    support = str(ROOT / "tests" / "support")
    scene.program(
        "provider",
        f"import json, sys\nsys.path.insert(0, {support!r})\nfrom teacher import obedient\n"
        "with open(sys.argv[2], 'w') as replies:\n"
        "    for row in map(json.loads, open(sys.argv[1])):\n"
        "        model = row['body']['model']\n"
        "        text = {'content': obedient(row['body'])}\n"
        "        message = {'message': text, 'finish_reason': 'stop'}\n"
        "        body = {'status_code': 200, 'body': {'model': model, 'choices': [message]}}\n"
        "        reply = {'custom_id': row['custom_id'], 'response': body}\n"
        "        replies.write(json.dumps(reply) + '\\n')\n",
    )
    scene.replaced["# hand traces/svamp/batch/requests-0001.jsonl to the provider"] = (
        "provider traces/svamp/batch/requests-0001.jsonl output.jsonl"
    )
    scene.replaced["svamp:train"] = "svamp.jsonl"


def a_server(scene: Scene) -> None:
    write_questions(scene.folder / "svamp.jsonl", 2, dataset="svamp")
    script = scene.stack.enter_context(serving(lambda body, _before: obedient(body)))
    scene.replaced["http://127.0.0.1:8000/v1"] = script.url.removesuffix("/chat/completions")
    scene.replaced["svamp:train"] = "svamp.jsonl"


FAST: dict[str, Callable[[Scene], None]] = {
    "backends": a_provider,
    "bundles": a_bundle,
    "corpus": traces,
    "export": finished,
    "results": compared,
    "run": a_gap_to_run,
    "teach": a_server,
}


def models(scene: Scene, *names: str, **shape: int) -> None:
    from tiny_models import build

    for seed, name in enumerate(names):
        build(scene.folder / name, seed=seed, **shape)


def three_models(scene: Scene) -> None:
    models(
        scene,
        "Qwen/Qwen2.5-14B",
        "Qwen/Qwen2.5-14B-Instruct",
        "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B",
    )


def rationales(scene: Scene) -> None:
    """A run folder of two levels, files of rationales, and students to measure them with."""
    models(scene, "MODEL", "Qwen/Qwen2.5-0.5B-Instruct")
    settings = json.dumps({"model_name_or_path": str(scene.folder / "MODEL")})
    rows = {
        times: [
            {"instruction": f"Add {n} and 3.", "output": "We add. " * times + f"It is {n + 3}."}
            for n in range(6)
        ]
        for times in (0, 1, 2)
    }
    for name, times in {"l1": 0, "l6": 2, "a": 0, "b": 1, "c": 2}.items():
        write_jsonl(scene.folder / f"{name}.jsonl", rows[times])
    for level, times in ((1, 0), (6, 2)):
        run, folder = f"tiny--level{level}--full--s1", scene.folder / "runs/levels"
        add_run(folder, run, f"level{level}", data=f"data/level{level}.jsonl")
        (folder / "data").mkdir(exist_ok=True)
        write_jsonl(folder / f"data/level{level}.jsonl", rows[times])
        scene.write(f"runs/levels/train/{run}.yaml", settings)


def a_training_with_a_teacher(scene: Scene) -> None:
    from tiny_models import training_file, write_rows

    models(scene, "student", "Qwen/Qwen2.5-7B-Instruct", "Qwen/Qwen2.5-32B-Instruct")
    write_rows(scene.folder)
    kd = {"teacher": "Qwen/Qwen2.5-7B-Instruct", "weight": 0.5, "temperature": 2.0}
    changes = {"kd": kd | {"divergence": "forward_kl"}, "overwrite_output_dir": True}
    training_file(scene.folder, "train", changes | {"max_steps": 1})


def questions_and_a_model(scene: Scene) -> None:
    """A file of three questions, a student that answers one of them, and its training file."""
    from tiny_models import training_file

    models(scene, "MODEL", "CHECKPOINT", "student", context=4096)
    rows = [{"question": f"What is {n} + 1?", "answer": f"#### {n + 1}"} for n in range(3)]
    write_jsonl(scene.folder / "gsm8k-test.jsonl", rows)
    (scene.folder / "runs/x/train").mkdir(parents=True)
    training_file(scene.folder, "runs/x/train/RUN", {})
    scene.replaced["gsm8k-test.jsonl"] = "gsm8k-test.jsonl --any-size"
    short = "--limit 1 --device cpu --gen_kwargs max_gen_toks=16"
    scene.replaced["--apply_chat_template"] = f"--apply_chat_template {short}"


SLOW: dict[str, Callable[[Scene], None]] = {
    "closeness": rationales,
    "distill": a_training_with_a_teacher,
    "merge": three_models,
    "tasks": questions_and_a_model,
}


def run_page(page: str, make: Callable[[Scene], None], folder: Path) -> None:
    with ExitStack() as stack:
        scene = Scene(folder, stack)
        make(scene)
        scene.write("bin/cotdistill", f'#!/bin/sh\nexec {sys.executable} -m cotdistill "$@"\n')
        (folder / "bin/cotdistill").chmod(0o755)
        programs = [
            str(folder / "bin"),
            scene.env.pop("PATH", ""),
            str(Path(sys.executable).parent),
        ]
        env: dict[str, Any] = os.environ | scene.env
        env["PATH"] = os.pathsep.join([*filter(None, programs), "/usr/bin", "/bin"])
        lines = [*scene.before, *as_typed(PAGES[page], scene.replaced)]
        done = subprocess.run(
            ["bash", "-e", "-x", "-c", "\n".join(lines)],
            cwd=folder, env=env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-3000:]
        assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.host
@pytest.mark.parametrize("page", FAST)
def test_a_page_runs_as_typed(page: str, tmp_path: Path) -> None:
    run_page(page, FAST[page], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("page", SLOW)
def test_a_page_that_loads_a_model_runs_as_typed(page: str, tmp_path: Path) -> None:
    pytest.importorskip("llamafactory")
    run_page(page, SLOW[page], tmp_path)


def test_every_console_block_is_run_or_marked() -> None:
    every = [
        (page, mark) for page in EVERYWHERE for kind, _, mark in blocks(page) if kind == "console"
    ]
    left = [(page.name, mark) for page, mark in every if mark]
    assert all(any(word in mark for word in NEEDED) for _, mark in left), left
    assert len(left) <= 0.1 * len(every), left
    run = {PAGES[name] for name in {**FAST, **SLOW}}
    for page, mark in every:
        elsewhere = page.parent.name == "tutorials" or page.name == "README.md"
        assert mark or elsewhere or page in run, f"{page}: nothing runs its commands"
