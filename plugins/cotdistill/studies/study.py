"""A study: which students learn from which arms by which recipe, with which seeds, scored how.

A study file is YAML (`read_study` first applies `upgrade` and `expand` to it). Every run of it is
one student × one arm × one recipe × one seed, or a model that is evaluated as it is.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Any, Literal

from pydantic import field_validator, model_validator

from cotdistill.errors import Fault, StudyError
from cotdistill.schema import Shape, key, read_shape
from cotdistill.studies.arm import Arm, Factor, LoopArm, MixedArm, UntouchedArm
from cotdistill.studies.baselines import baseline_arms
from cotdistill.studies.declared_model import Model, TrainedModel
from cotdistill.studies.expand import expand
from cotdistill.studies.loops import with_loops
from cotdistill.studies.prompt import Prompt
from cotdistill.studies.questions import Questions
from cotdistill.studies.requests import Distill, Improve, Loop, Race
from cotdistill.studies.selection import When
from cotdistill.studies.upgrade import SCHEMA_VERSION, upgrade

Stage = Literal[
    "prepare", "teach", "sample", "merge", "capture", "train", "export", "evaluate", "judge"
]
"""Kinds of job that may run in an environment of their own."""
Tracker = Literal["tensorboard", "wandb", "mlflow", "trackio", "swanlab"]
Value = Any  # what a YAML file can hold: text, number, boolean, null, list, mapping

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_LONGEST_NAME = 60
_ABOUT_WHEN = "only for arms with these factors; a value, a shell pattern, or a list of them"


_LARGEST_SEED = 2**32 - 1


def _checked_seeds(seeds: list[int] | None) -> list[int] | None:
    """Refuse random seeds that numpy does not take, and runs that would be the same."""
    for seed in seeds or ():
        if not 0 <= seed <= _LARGEST_SEED:
            raise ValueError(f"{seed} is no random seed; use numbers from 0 to {_LARGEST_SEED}")
    if twice := [seed for seed, count in Counter(seeds or ()).items() if count > 1]:
        raise ValueError(f"{twice[0]} is there twice; each random seed is one run")
    return seeds


def _checked_name(name: str) -> str:
    if len(name) > _LONGEST_NAME:  # four of them make the name of a run and of its files
        wrong = f"the name '{name[:20]}...' has {len(name)} characters"
        raise ValueError(f"{wrong}; at most {_LONGEST_NAME}")
    if not _NAME.match(name):
        raise ValueError(
            f"the name '{name}' becomes a file name; use letters (a to z), digits, '.', '_' and "
            "'-', and begin with a letter or a digit"
        )
    if "--" in name:
        raise ValueError(f"the name '{name}' holds '--', which separates the parts of a run's name")
    return name


class Recipe(Shape):
    """How a student is trained; every key not listed here goes under `settings`."""

    template: str = key("full", "a file of templates/train/", "lora")
    global_batch: int = key(16, "rows of one optimizer step, met exactly", 64, ge=1)
    per_device_batch: int = key(1, "rows on one device at once", 4, ge=1)
    cutoff_len: int = key(4096, "tokens of a row; longer rows are truncated", 16384, ge=16)
    max_truncated: float = key(
        0.01, "share of rows that may be truncated at cutoff_len", 0.05, ge=0, le=1
    )
    learning_rate: float = key(
        1.0e-5, "the highest of the schedule", 1.0e-5, gt=0, lt=10, allow_inf_nan=False
    )
    epochs: float | None = key(
        None, "passes over the arm; this or max_steps", 3, gt=0, allow_inf_nan=False
    )
    max_steps: int | None = key(None, "optimizer steps; this or epochs", 500, ge=1)
    scheduler: str = key("cosine", "LLaMA-Factory's lr_scheduler_type", "linear")
    warmup_ratio: float = key(0.03, "share of the steps that warm up", 0.1, ge=0, le=1)
    val_size: float = key(0.0, "rows, or a share below 1, for an evaluation loss", 0.01, ge=0)
    packing: Literal["none", "neat"] = key(
        "none", "neat: rows share a sequence, not their attention", "neat"
    )
    workers: int | None = key(
        None, "processes that tokenise; null: 8 with GPUs, 1 without", 16, ge=1
    )
    precision: Literal["bf16", "fp16", "fp32"] = key("bf16", "of the training", "bf16")
    deepspeed: str | None = key(None, "a file of templates/deepspeed/", "z3")
    save_steps: int | None = key(
        None, "keep a checkpoint every so many steps; null: one an epoch, the last kept", 100, ge=1
    )
    keep: Literal["last", "best"] = key(
        "last",
        "which epoch is evaluated: the last, or the best on the development questions; "
        "encoder-decoders choose theirs wherever there are such questions",
        "best",
    )
    students: list[str] | None = key(
        None,
        "only these students: names, shell patterns, or sizes like '< 14 B'; null: all",
        [">= 14 B"],
    )
    arms: list[str] | None = key(
        None, "only these arms: names or shell patterns; null: all", ["level-*"]
    )
    when: When | None = key(None, _ABOUT_WHEN, {"questions": "svamp"})
    factors: dict[str, str | int | float | bool | None] = key(
        {}, "columns of manifest, CSV and report", {"weight": 0.3}
    )
    seeds: list[int] | None = key(
        None, "random seeds of its runs; null: those of the study", [1, 2, 3, 4, 5], min_length=1
    )
    kd: Distill | None = key(
        None, "distillation; needs `cotdistill train`", {"teacher": "mentor", "weight": 0.3}
    )
    settings: dict[str, Value] = key({}, "any other key of LLaMA-Factory", {"lora_rank": 32})

    _seeds_are_runs = field_validator("seeds")(_checked_seeds)

    @model_validator(mode="after")
    def _one_length(self) -> Recipe:
        if (self.epochs is None) == (self.max_steps is None):
            raise ValueError("say how long to train: either 'epochs' or 'max_steps'")
        if self.val_size >= 1 and self.val_size != int(self.val_size):
            raise ValueError(f"val_size {self.val_size:g} is neither a number of rows nor a share")
        return self


class TaskUse(Shape):
    """One task of the evaluation, and for which arms it is asked."""

    task: str = key(..., "a task of `cotdistill list tasks`, or of lm-eval", "cot_svamp")
    limit: int | None = key(None, "only its first questions", 500, ge=1)
    when: When | None = key(None, _ABOUT_WHEN, {"questions": "SVAMP"})
    own_words: bool = key(
        False, "asked in the words of its own file, whatever prompt: says, on purpose", True
    )


class Evaluation(Shape):
    """How a trained student is scored by lm-eval."""

    tasks: list[TaskUse] = key(
        ...,
        "tasks, {task: {limit: N}}, or {when: {factor: value}, tasks: [...]}; dev_<name> are the "
        "development questions of a question set",
        ["cot_svamp", {"cot_gsm8k": {"limit": 500}}],
        min_length=1,
    )
    models: list[str] = key(
        [], "further models that are scored as they are, by name", ["teacher", "their-checkpoint"]
    )
    checkpoints: bool = key(
        False, "score every checkpoint of a run too; needs save_steps in its recipe", True
    )
    backend: str = key("hf", "a file of templates/eval/", "vllm")
    model_args: dict[str, Value] = key({}, "passed to the backend", {"max_model_len": 20000})
    generation: dict[str, Value] = key({}, "wins over what the tasks say", {"max_gen_toks": 16000})
    batch_size: int | str = key(8, "a number, or auto; with vLLM: auto", "auto")
    apply_chat_template: bool = key(True, "ask through the model's chat template", True)
    num_fewshot: int | None = key(None, "worked examples; null: as the tasks say", 4, ge=0)
    limit: int | None = key(None, "only the first questions of every task", 20, ge=1)
    include_path: list[str] = key([], "folders of further lm-eval tasks", ["my_tasks"])
    run_programs: bool = key(
        False, "let tasks execute programs that a student wrote, in the sandbox", True
    )
    run_sd: float | None = key(
        None, "points from seed to seed, if known from earlier runs", 1.0, gt=0, le=50
    )
    primary: Literal["tasks", "mean"] = key(
        "tasks", "whether each task or the mean over them is the main result", "mean"
    )

    @model_validator(mode="before")
    @classmethod
    def _batch_size_fits_the_backend(cls, value: Any) -> Any:
        """lm-eval would send vLLM so many requests at a time, and leave its scheduler idle."""
        if isinstance(value, dict) and value.get("backend") == "vllm":
            return {"batch_size": "auto", **value}
        return value

    @field_validator("tasks", mode="before")
    @classmethod
    def _one_use_each(cls, tasks: Any) -> Any:
        return (
            [use for entry in tasks for use in _uses(entry)] if isinstance(tasks, list) else tasks
        )

    @field_validator("batch_size")
    @classmethod
    def _is_a_batch_size(cls, size: int | str) -> int | str:
        if not re.fullmatch(r"0*[1-9]\d*|auto(:\d+)?", str(size)):
            raise ValueError(f"{size!r} is no batch size; use a number of 1 or more, or 'auto'")
        return size

    @property
    def task_names(self) -> list[str]:
        """The names of all tasks, each once, in file order."""
        return list(dict.fromkeys(use.task for use in self.tasks))


_TASK_KEYS = {"task", "tasks", *TaskUse.model_fields}


def _uses(entry: Any) -> list[Any]:
    """Return the uses that an entry of `tasks:` stands for; what is none is left to be refused."""
    if isinstance(entry, str):
        return [{"task": entry}]
    if not isinstance(entry, dict) or "task" in entry:
        return [entry]
    if isinstance(entry.get("tasks"), list):
        rest = {name: value for name, value in entry.items() if name != "tasks"}
        return [
            {**use, **rest} if isinstance(use, dict) else use
            for inner in entry["tasks"]
            for use in _uses(inner)
        ]
    if entry and not entry.keys() & _TASK_KEYS:
        return [_use(str(task), options) for task, options in entry.items()]
    return [entry]


def _use(task: str, options: Any) -> dict[str, Any]:
    if options is None:  # `- cot_svamp:`, whose settings were taken out
        return {"task": task}
    if not isinstance(options, dict):
        raise ValueError(
            f"{task}: {options!r}; expected settings, as in {{{task}: {{limit: 500}}}}"
        )
    return {"task": task, **options}


class Compare(Shape):
    """Which arm the others are compared with."""

    baseline: str | dict[str, Factor] | None = key(
        None,
        "an arm, or factors: {level: 1} compares each arm with the arm of level 1 whose other "
        "factors it has; null: the arm called answer-only, else the first of the file",
        {"level": 1},
    )
    also: list[str] = key([], "further arms that all are compared with", ["answer-only"])

    @field_validator("baseline", mode="before")
    @classmethod
    def _one_value_a_factor(cls, value: Any) -> Any:
        if isinstance(value, dict) and any(isinstance(one, list | dict) for one in value.values()):
            raise ValueError("one value a factor, as in {level: 1}")
        return value


class Judge(Shape):
    """The second opinion at the end of a study."""

    model: str = key(..., "a model of `models:` behind an endpoint", "teacher")
    audit: float = key(0.1, "share of correct answers that is judged too", 0.1, ge=0, le=1)
    prompt: str = key("judge", "a file of templates/prompts/", "judge")
    max_tokens: int = key(512, "tokens of a reply", 512, ge=1)


class Hardware(Shape):
    """What one training run gets: GPUs a node (0 trains on the CPU) and nodes."""

    gpus: int = key(1, "GPUs a node; 0 trains on the CPU", 4, ge=0)
    nodes: int = key(1, "nodes", 1, ge=1)

    @property
    def devices(self) -> int:
        """Number of training processes over all nodes."""
        return max(self.gpus, 1) * self.nodes


class Study(Shape):
    """A whole study, as a file declares it, with grids expanded."""

    schema_version: int = key(SCHEMA_VERSION, "of the file; 1 is read as 2", SCHEMA_VERSION, ge=1)
    name: str = key(..., "also the run folder's: runs/<name>", "svamp-granularity")
    about: str = key("", "one sentence: what it asks", "Which granularity suits a 0.5 B student?")
    models: dict[str, Model] = key(
        {}, "every model by the name that the rest of the file calls it",
        {"student": "Qwen2.5-0.5B-Instruct"},
    )  # fmt: skip
    students: list[str] = key(
        ..., "models that are trained, of `models:` or the catalogue", ["student"], min_length=1
    )
    prompt: Prompt = key(Prompt(), "how questions are asked, in training and evaluation alike",
        {"instruction": "boxed", "thinking": "off"})  # fmt: skip
    questions: dict[str, Questions] = key(
        {}, "question sets by name", {"svamp": {"benchmark": "svamp", "dev": 0.1}}
    )
    arms: dict[str, Arm] = key(
        ..., "ways of making the training set, by name", {"gsm8k": {"dataset": "gsm8k"}},
        min_length=1,
    )  # fmt: skip
    recipes: dict[str, Recipe] = key(
        ..., "ways of training, by name", {"full": {"epochs": 3, "global_batch": 64}}, min_length=1
    )
    seeds: list[int] = key([42], "random seeds; each run is repeated with each", [1, 2, 3],
        min_length=1)  # fmt: skip
    evaluation: Evaluation = key(..., "how models are scored", {"tasks": ["cot_svamp"]})
    compare: Compare = key(Compare(), "what the report compares", {"baseline": "untouched"})
    judge: Judge | None = key(None, "a second opinion at the end", {"model": "teacher"})
    improve: Improve | None = key(None, "loops of sampling and training, as arms",
        {"recipe": "full", "rounds": 4})  # fmt: skip
    race: Race | None = key(None, "seeds go to the leading arms", {"first": 1, "batches": 4})
    hardware: Hardware = key(Hardware(), "what one training run gets", {"gpus": 4})
    environments: dict[Stage, str] = key(
        {}, "a virtual environment's folder or a command prefix, by stage",
        {"evaluate": "conda run -n eval"},
    )  # fmt: skip
    launcher: Literal["auto", "plain", "torchrun", "accelerate"] = key(
        "auto", "how several processes start", "torchrun"
    )
    report_to: list[Tracker] = key([], "trackers that see training live", ["wandb"])
    data_folder: str | None = key(
        None, "where registered datasets that are local files lie", "data"
    )
    bundles: list[str] = key([], "folders of packaged files besides our own", ["../my-bundle"])

    _name_is_a_file_name = field_validator("name")(_checked_name)
    _seeds_are_runs = field_validator("seeds")(_checked_seeds)

    @field_validator("models", mode="before")
    @classmethod
    def _a_name_is_a_model(cls, models: Any) -> Any:
        if not isinstance(models, dict):
            return models
        return {k: {"model": v} if isinstance(v, str) else v for k, v in models.items()}

    @field_validator("students", mode="before")
    @classmethod
    def _a_student_is_a_name(cls, students: Any) -> Any:
        for entry in students if isinstance(students, list) else ():
            if isinstance(entry, dict):
                raise ValueError("a student is described under models: and named here")
        return students

    @field_validator("models", "questions", "arms", "recipes")
    @classmethod
    def _names_are_file_names(cls, named: dict[str, Any]) -> dict[str, Any]:
        for name in named:
            _checked_name(name)
        return named

    @model_validator(mode="after")
    def _launcher_fits(self) -> Study:
        split = [name for name, recipe in self.recipes.items() if recipe.deepspeed]
        if split and self.launcher in ("plain", "accelerate"):
            raise ValueError(
                f"recipe '{split[0]}' uses DeepSpeed, which the launcher '{self.launcher}' cannot "
                "start; use 'auto' or 'torchrun'"
            )
        if self.launcher == "plain" and self.hardware.devices > 1:
            raise ValueError("the launcher 'plain' starts one process; use 'auto' or 'torchrun'")
        return self

    def trained_arms(self) -> list[str]:
        """Return the names of the arms that are trained on, in file order."""
        return [
            name
            for name, arm in self.arms.items()
            if not isinstance(arm, UntouchedArm | LoopArm) and arm.train
        ]

    def seeds_of(self, recipe: str) -> list[int]:
        """Return the random seeds of a recipe's runs: its own, else the study's."""
        own = self.recipes[recipe].seeds if recipe in self.recipes else None
        return self.seeds if own is None else own

    def loops(self) -> dict[str, Loop]:
        """Return the loops by the names of their arms, in file order."""
        return {name: a.improve for name, a in self.arms.items() if isinstance(a, LoopArm)}

    def dev_tasks(self, loop: Loop) -> tuple[TaskUse, ...]:
        """Return the tasks that ask the development questions of what a loop samples."""
        asked = loop.sample.questions
        sets = [asked] if isinstance(asked, str) else asked
        names = [f"dev_{name}" for name in sets if self.questions[name].dev]
        known = {use.task: use for use in self.evaluation.tasks}
        return tuple(known.get(name, TaskUse(task=name)) for name in names)

    def task_names(self) -> list[str]:
        """Return every task that is asked, those that only choose the rounds of loops too."""
        chosen_by = [use.task for loop in self.loops().values() for use in self.dev_tasks(loop)]
        chosen_by += [use.task for use in self.race_tasks()]
        if any(recipe.keep == "best" for recipe in self.recipes.values()):
            chosen_by += [use.task for use in self.epoch_tasks(None)]
        return list(dict.fromkeys([*self.evaluation.task_names, *chosen_by]))

    def epoch_tasks(self, questions: object) -> tuple[TaskUse, ...]:
        """Return the tasks that choose an epoch: those of an arm's question set, else of all."""
        sets = {name.lower(): name for name, each in self.questions.items() if each.dev}
        own = sets.get(str(questions).lower())
        known = {use.task: use for use in self.evaluation.tasks}
        names = [f"dev_{name}" for name in ([own] if own else sets.values())]
        return tuple(known.get(name, TaskUse(task=name)) for name in names)

    def race_tasks(self) -> tuple[TaskUse, ...]:
        """Return the tasks that decide a race: those of all development questions."""
        names = [f"dev_{name}" for name, each in self.questions.items() if each.dev]
        known = {use.task: use for use in self.evaluation.tasks}
        return tuple(known.get(name, TaskUse(task=name)) for name in names if self.race)

    def never_dropped(self) -> set[str]:
        """Return the arms that a race keeps: those that others are compared with or made from."""
        found = baseline_arms(self)
        declared = [arm for arm in found.values() if arm is not None]
        if all(arm == baseline for arm, baseline in found.items()):
            declared = []  # recipes or students are compared, and no arm is the others' baseline
        named = [*(declared or [next(iter(self.arms))]), *self.compare.also]
        named += [loop.start for loop in self.loops().values() if loop.start]
        named += [m.run.arm for m in self.models.values() if isinstance(m, TrainedModel)]
        return set(named)

    def untouched_arms(self) -> list[str]:
        """Return the names of the arms that students are evaluated for as they are."""
        return [name for name, arm in self.arms.items() if isinstance(arm, UntouchedArm)]


def read_study(value: object, place: str) -> Study:
    """Return a study file's mapping as a checked study.

    Raises:
        StudyError: every fault, each with `file:key`; a study of a newer schema gets only that.
    """
    if isinstance(value, dict):
        version = value.get("schema_version", SCHEMA_VERSION)
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise StudyError(
                Fault(
                    f"{place}:schema_version",
                    f"written for schema {version}",
                    f"{SCHEMA_VERSION} or older",
                    "upgrade cotdistill",
                )
            )
        value = with_loops(expand(upgrade(value, place).value, place), place)
    study = read_shape(Study, value, place, StudyError)
    faults = [*_mix_faults(study, place)]
    if faults:
        raise StudyError(faults)
    return study


def _mix_faults(study: Study, place: str) -> list[Fault]:
    faults = []
    for name, arm in study.arms.items():
        for source in arm.mix if isinstance(arm, MixedArm) else ():
            if isinstance(study.arms.get(source), MixedArm | UntouchedArm | LoopArm):
                what = "itself a mix" if isinstance(study.arms[source], MixedArm) else "no rows"
                faults.append(
                    Fault(f"{place}:arms.{name}.mix", f"'{source}' is {what}", "plain arms")
                )
    return faults


def batch_steps(recipe: Recipe, hardware: Hardware, place: str) -> int:
    """Return the accumulation steps that meet a recipe's global batch exactly.

    global batch = per-device batch × accumulation × GPUs × nodes.

    Raises:
        StudyError: no whole number of steps does; names the nearest choices that work.

    >>> batch_steps(Recipe(epochs=1, global_batch=64, per_device_batch=4), Hardware(gpus=4), "s")
    4
    """
    at_once = recipe.per_device_batch * hardware.devices
    if recipe.global_batch % at_once == 0:
        return recipe.global_batch // at_once
    below = recipe.global_batch // at_once * at_once
    near = [str(batch) for batch in (below, below + at_once) if batch]
    share = recipe.global_batch // hardware.devices
    sizes = [
        size
        for size in range(1, min(share, 4096) + 1)
        if recipe.global_batch % (size * hardware.devices) == 0
    ]
    size = min(sizes, key=lambda size: abs(math.log(size / recipe.per_device_batch)), default=None)
    remedy = f"use a global_batch of {' or '.join(near)}"
    if size is not None:
        remedy += f", or a per_device_batch of {size}"
    raise StudyError(
        Fault(
            place,
            f"global_batch {recipe.global_batch} cannot be met by {recipe.per_device_batch} a "
            f"device on {hardware.devices} device{'s' * (hardware.devices > 1)}",
            f"a multiple of {at_once}",
            remedy,
        )
    )
