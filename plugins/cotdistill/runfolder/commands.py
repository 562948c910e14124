"""The exact command lines of a run's stages, with the environment each needs."""

from __future__ import annotations

import math
import os
import shlex
from pathlib import Path

from cotdistill.distill.launch import WORKER as KD_WORKER
from cotdistill.errors import Fault, StudyError
from cotdistill.files.bundle import RECORDED
from cotdistill.runfolder.job import Command
from cotdistill.studies.declared_model import EndpointModel
from cotdistill.studies.study import Recipe, Stage, Study


def prefixed(study: Study, stage: Stage, command: list[str]) -> list[str]:
    """Put a stage's environment before its command: words to type, or a virtual environment.

    >>> from cotdistill.studies.study import read_study
    >>> study = read_study({"name": "s", "students": ["a"], "arms": {"a": {"dataset": "d"}},
    ...     "recipes": {"r": {"epochs": 1}}, "evaluation": {"tasks": ["t"]},
    ...     "environments": {"evaluate": "conda run -n eval"}}, "s.yaml")
    >>> prefixed(study, "evaluate", ["lm-eval", "run"])
    ['conda', 'run', '-n', 'eval', 'lm-eval', 'run']
    """
    prefix = study.environments.get(stage, "").strip()
    if not prefix:
        return command
    program = Path(prefix).expanduser() / "bin" / command[0]
    if (Path(prefix).expanduser() / "bin" / "python").exists():
        return [str(program), *command[1:]]
    return [*shlex.split(prefix), *command]


def prepare_command(study: Study) -> Command | None:
    """Return what starts cotdistill in the environment that prepares, if that is another one."""
    if not study.environments.get("prepare", "").strip():
        return None
    return Command(tuple(prefixed(study, "prepare", ["cotdistill"])))


def train_command(
    study: Study, recipe: Recipe, file: str, accelerate_file: str, *, seq2seq: bool = False
) -> Command:
    """Return the command that trains one run: plain, under torchrun, or under accelerate.

    `seq2seq` says that the student is an encoder-decoder, which LLaMA-Factory does not train.
    """
    ours = seq2seq or recipe.kd is not None
    hardware = study.hardware
    launcher = study.launcher
    if launcher == "auto":
        split = recipe.deepspeed is not None or hardware.devices > 1
        launcher = "torchrun" if split else "plain"
    env: dict[str, str] = {}
    words = ["cotdistill" if ours else "llamafactory-cli", "train", file]
    if launcher == "torchrun":
        if " " in file and not ours:
            raise StudyError(
                Fault(
                    file,
                    "the path holds a blank, at which LLaMA-Factory's torchrun command breaks",
                    "a folder without blanks",
                    "choose another folder with -o",
                )
            )
        env = {"FORCE_TORCHRUN": "1", "NPROC_PER_NODE": str(max(hardware.gpus, 1))}
        if hardware.nodes > 1:
            env["NNODES"] = str(hardware.nodes)
    elif launcher == "accelerate":
        words = ["accelerate", "launch", "--config_file", accelerate_file]
        words += ["--num_processes", str(hardware.devices)]
        words += ["--num_machines", str(hardware.nodes)]
        words += ["-m", KD_WORKER if ours else "llamafactory.launcher", file]
    words = prefixed(study, "train", words)
    return Command(tuple(words), env, hardware.gpus, nodes=hardware.nodes)


def export_command(study: Study, file: str) -> Command:
    """Return the command that merges one run's adapter."""
    return Command(tuple(prefixed(study, "export", ["llamafactory-cli", "export", file])))


def evaluate_command(study: Study, backend: str, file: str, spread: int = 1) -> Command:
    """Return the command that scores one run and resumes, with the GPUs that its backend uses.

    vLLM uses as many as its model_args say, else as many as its weights are `spread` over; a
    server's clients none; others one. The bundles of the
    study go with it, because a task may ask for the questions of a benchmark that one of them has.
    """
    gpus = 0
    if backend == "vllm":
        given = study.evaluation.model_args
        sizes = [given.get(f"{way}_parallel_size", 1) for way in ("data", "pipeline")]
        sizes.append(given.get("tensor_parallel_size", spread))
        gpus = math.prod(size for size in sizes if isinstance(size, int))
    elif study.hardware.gpus and not backend.startswith("local-"):
        gpus = 1
    env = {RECORDED: os.pathsep.join(study.bundles)} if study.bundles else {}
    words = ["cotdistill", "eval", "run", "--config", file]
    return Command(tuple(prefixed(study, "evaluate", words)), env, gpus)


def stock_evaluate_command(study: Study, backend: str, file: str) -> Command:
    """Return the same with the stock host, for the file's header: it does not resume."""
    ours = evaluate_command(study, backend, file)
    words = ["lm-eval", "run", "--config", file]
    return Command(tuple(prefixed(study, "evaluate", words)), ours.env, ours.gpus)


def judge_command(study: Study, root: Path) -> Command:
    """Return the command that asks the judge about every response of a run folder."""
    judge = study.judge
    assert judge is not None
    model = study.models[judge.model]
    assert isinstance(model, EndpointModel)
    words = ["cotdistill", "judge", str(root / "scores"), "--model", model.model]
    words += [word for url in model.urls for word in ("--endpoint", url)]
    words += ["--audit", str(judge.audit), "--prompt", judge.prompt]
    words += ["--max-tokens", str(judge.max_tokens)]
    words += ["--key-env", model.key_env] if model.key_env else []
    words += ["--openai-reasoning"] if model.openai_reasoning else []
    words += ["--any-model"] if model.any_model else []
    words += ["--cache", str(root / "judge.jsonl")]
    return Command(tuple(prefixed(study, "judge", words)))
