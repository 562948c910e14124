"""A study: which students learn from which arms by which recipe, with which seeds, scored how.

A study file is YAML. Every run of it is one student × one arm × one recipe × one seed.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from cotdistill.errors import Fault, StudyError
from cotdistill.models.scratch import Scratch
from cotdistill.schema import Shape, read_shape
from cotdistill.studies.arm import Arm, MixedArm

SCHEMA_VERSION = 1
STAGES = ("prepare", "train", "export", "evaluate")
Stage = Literal["prepare", "train", "export", "evaluate"]
Tracker = Literal["tensorboard", "wandb", "mlflow", "trackio", "swanlab"]
Value = Any  # what a YAML file can hold: text, number, boolean, null, list, mapping

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_LONGEST_NAME = 60


def _checked_name(name: str) -> str:
    if len(name) > _LONGEST_NAME:  # four of them make the name of a run and of its files
        wrong = f"the name '{name[:20]}...' has {len(name)} characters"
        raise ValueError(f"{wrong}; at most {_LONGEST_NAME}")
    if not _NAME.match(name):
        raise ValueError(
            f"the name '{name}' becomes a file name; use letters, digits, '.', '_' and '-'"
        )
    if "--" in name:
        raise ValueError(f"the name '{name}' holds '--', which separates the parts of a run's name")
    return name


class NamedStudent(Shape):
    """A student given by its catalogue name, hub id or local path; a bare name is its model.

    What is not said is taken from the catalogue, where the model stands in it.
    """

    name: str | None = None
    model: str
    template: str | None = None
    default_system: str | None = None
    enable_thinking: bool | None = None
    revision: str | None = None  # the hub's commit, branch or tag; None: what it serves then

    _name_is_a_file_name = field_validator("name")(lambda v: v if v is None else _checked_name(v))


class ScratchStudent(Shape):
    """A student made from nothing: a configuration, and a tokenizer trained on the arm's text."""

    name: str
    scratch: Scratch

    _name_is_a_file_name = field_validator("name")(_checked_name)


def _student_tag(value: Any) -> str:
    return "<scratch>" if isinstance(value, dict) and "scratch" in value else "<model>"


Student = Annotated[
    Annotated[NamedStudent, Tag("<model>")] | Annotated[ScratchStudent, Tag("<scratch>")],
    Discriminator(
        lambda v: _student_tag(v)
        if isinstance(v, dict)
        else ("<scratch>" if isinstance(v, ScratchStudent) else "<model>")
    ),
]


class Recipe(Shape):
    """How a student is trained; every key not listed here goes under `settings`."""

    template: str = "full"
    global_batch: int = Field(default=16, ge=1)
    per_device_batch: int = Field(default=1, ge=1)
    cutoff_len: int = Field(default=4096, ge=16)
    max_truncated: float = Field(default=0.01, ge=0, le=1)  # share of rows that may be truncated
    learning_rate: float = Field(default=1.0e-5, gt=0, lt=10, allow_inf_nan=False)
    epochs: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    max_steps: int | None = Field(default=None, ge=1)
    scheduler: str = "cosine"
    warmup_ratio: float = Field(default=0.03, ge=0, le=1)
    val_size: float = Field(default=0.0, ge=0)  # rows, or a share below 1, for the eval loss
    packing: Literal["none", "neat"] = "none"  # neat: rows share a sequence, not their attention
    workers: int | None = Field(default=None, ge=1)  # None: 8 with GPUs, 1 without
    precision: Literal["bf16", "fp16", "fp32"] = "bf16"
    deepspeed: str | None = None
    students: list[str] | None = None
    settings: dict[str, Value] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_length(self) -> Recipe:
        if (self.epochs is None) == (self.max_steps is None):
            raise ValueError("say how long to train: either 'epochs' or 'max_steps'")
        if self.val_size >= 1 and self.val_size != int(self.val_size):
            raise ValueError(f"val_size {self.val_size:g} is neither a number of rows nor a share")
        return self


class Evaluation(Shape):
    """How a trained student is scored by lm-eval."""

    tasks: list[str] = Field(min_length=1)
    backend: str = "hf"
    model_args: dict[str, Value] = Field(default_factory=dict)
    generation: dict[str, Value] = Field(default_factory=dict)
    batch_size: int | str = 8  # with vLLM: auto, all requests at once
    apply_chat_template: bool = True
    system_instruction: str | None = None
    num_fewshot: int | None = Field(default=None, ge=0)
    limit: int | None = Field(default=None, ge=1)
    include_path: list[str] = Field(default_factory=list)
    run_sd: float | None = Field(default=None, gt=0, le=50)  # points, from seed to seed, if known
    primary: Literal["tasks", "mean"] = "tasks"  # whether the mean over tasks is the main result

    @model_validator(mode="before")
    @classmethod
    def _batch_size_fits_the_backend(cls, value: Any) -> Any:
        """lm-eval would send vLLM so many requests at a time, and leave its scheduler idle."""
        if isinstance(value, dict) and value.get("backend") == "vllm":
            return {"batch_size": "auto", **value}
        return value

    @field_validator("batch_size")
    @classmethod
    def _is_a_batch_size(cls, size: int | str) -> int | str:
        if not re.fullmatch(r"0*[1-9]\d*|auto(:\d+)?", str(size)):
            raise ValueError(f"{size!r} is no batch size; use a number of 1 or more, or 'auto'")
        return size


class Hardware(Shape):
    """What one training run gets: GPUs a node (0 trains on the CPU) and nodes."""

    gpus: int = Field(default=1, ge=0)
    nodes: int = Field(default=1, ge=1)

    @property
    def devices(self) -> int:
        """Number of training processes over all nodes."""
        return max(self.gpus, 1) * self.nodes


class Study(Shape):
    """A whole study, as a file declares it."""

    schema_version: int = SCHEMA_VERSION
    name: str
    about: str = ""
    students: list[Student] = Field(min_length=1)
    arms: dict[str, Arm] = Field(min_length=1)
    recipes: dict[str, Recipe] = Field(min_length=1)
    seeds: list[int] = Field(default=[42], min_length=1)
    evaluation: Evaluation
    hardware: Hardware = Hardware()
    environments: dict[Stage, str] = Field(default_factory=dict)
    launcher: Literal["auto", "plain", "torchrun", "accelerate"] = "auto"
    report_to: list[Tracker] = Field(default_factory=list)  # trackers that see training live
    data_folder: str | None = None  # where registered datasets that are local files lie
    bundles: list[str] = Field(default_factory=list)  # folders of packaged files besides our own

    _name_is_a_file_name = field_validator("name")(_checked_name)

    @field_validator("students", mode="before")
    @classmethod
    def _a_name_is_a_model(cls, students: Any) -> Any:
        if not isinstance(students, list):
            return students
        return [{"model": entry} if isinstance(entry, str) else entry for entry in students]

    @field_validator("arms", "recipes")
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
        return [name for name, arm in self.arms.items() if arm.train]


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
    study = read_shape(Study, value, place, StudyError)
    faults = [*_mix_faults(study, place)]
    if faults:
        raise StudyError(faults)
    return study


def _mix_faults(study: Study, place: str) -> list[Fault]:
    faults = []
    for name, arm in study.arms.items():
        for source in arm.mix if isinstance(arm, MixedArm) else ():
            if isinstance(study.arms.get(source), MixedArm):
                faults.append(
                    Fault(f"{place}:arms.{name}.mix", f"'{source}' is itself a mix", "plain arms")
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
