"""Rules for environments that do not work for a stage, each with the command that fixes it.

Each rule covers a failure that really occurred; docs/decisions/0002-hosts.md says where.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from cotdistill.hosts.environments import cpu_torch
from cotdistill.hosts.environments.look_into import Environment
from cotdistill.runfolder.stages import STAGES as FOLDER_STAGES
from cotdistill.runfolder.stages import stage_called
from cotdistill.tables import counted


@dataclass(frozen=True)
class Host:
    """What an environment is made for: a distribution, the pip extra with it, what to import."""

    distribution: str
    extra: str
    imports: str


_AROUND = {
    "run": Host("snakemake", "run", "import snakemake.api"),
    "serve": Host("vllm", "serve", "import vllm"),
}
"""Not stages of a run folder: what runs them, and the server that others ask."""

STAGES = (*(stage.name for stage in FOLDER_STAGES if not stage.is_local), *_AROUND)
PROGRAMS = "programs"
"""Not a stage of its own: the sandbox that runs programs of thought during another one."""


def host_of(stage: str) -> Host | None:
    """Return the program of others that a stage starts, None where cotdistill does the work.

    >>> host_of("train").extra, host_of("judge")
    ("'cotdistill[train]'", None)
    """
    if stage in _AROUND:
        around = _AROUND[stage]
        return Host(around.distribution, f"'cotdistill[{around.extra}]'", around.imports)
    declared = stage_called(stage)
    if declared is None or not declared.host:
        return None
    return Host(declared.host, f"'cotdistill[{declared.extra}]'", declared.imports)


_SOUND = {  # from, to (not included)
    "llamafactory": ((0, 9, 5), (0, 10)),
    "lm_eval": ((0, 4, 13), (0, 5)),
    "snakemake": ((9, 20), (10,)),
    "vllm": ((0, 18), (1,)),
    "deepspeed": ((0, 16), (0, 18, 5)),
}
_INSTALLED_AS = {"vllm": "'cotdistill[serve]'", "aiohttp": "'cotdistill[api]'"}
_PINNED = "'transformers>=4.57.1,<5'"


@dataclass(frozen=True)
class Finding:
    """One finding: `broken` and `absent` stop a stage, a `note` does not."""

    grade: Literal["broken", "absent", "note"]
    wrong: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.wrong}; {self.remedy}" if self.remedy else self.wrong


@dataclass(frozen=True)
class Needs:
    """What a study needs of its environments besides the hosts themselves."""

    deepspeed: bool = False
    bitsandbytes: bool = False
    vllm: bool = False
    server: bool = False
    gpus: int = 0
    programs: bool = False
    packages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    from_study: bool = False


def environment_findings(stage: str, here: Environment, needs: Needs) -> list[Finding]:
    """Return all findings about one stage's environment."""
    findings = list(_interpreter(here))
    host = host_of(stage)
    if host is None:
        return findings + _packages(here, needs.packages.get(stage, ()))
    name = host.distribution
    if name not in here.versions:
        absent = f"{name.replace('_', '-')} is not installed"
        remedy = f"{here.pip} {host.extra}"
        if stage == "serve" and "llamafactory" in here.versions:
            # vLLM needs a newer transformers than LLaMA-Factory allows
            remedy = "python3 -m venv with-vllm && with-vllm/bin/pip install 'cotdistill[serve]'"
        return [*findings, Finding("absent", absent, remedy)]
    findings += _version(name, here, host.extra)
    findings += _unmet(stage, here)
    if stage in ("train", "export", "evaluate"):
        findings += _transformers(here)
        findings += _cpu_torch(here)
    if stage == "train":
        findings += _training(here, needs)
    if stage == "evaluate":
        findings += _evaluation(here, needs)
    if stage == "serve" and "llamafactory" in here.versions:
        wrong = "vLLM shares its environment with LLaMA-Factory, which limits transformers"
        findings.append(Finding("note", wrong, "give vLLM an environment of its own"))
    return findings


def _packages(here: Environment, names: Iterable[str]) -> list[Finding]:
    """Return what cotdistill's own work on a stage lacks in an environment."""
    return [
        Finding("absent", f"{name} is not installed", f"{here.pip} {_INSTALLED_AS.get(name, name)}")
        for name in ("cotdistill", *names)
        if name not in here.versions
    ]


def pair_findings(here: Mapping[str, Environment]) -> Iterator[tuple[str, Finding]]:
    """Yield findings about pairs of environments."""
    train, evaluate = here.get("train"), here.get("evaluate")
    if train is None or evaluate is None:
        return
    writes = release(train.versions.get("transformers", ""))
    reads = release(evaluate.versions.get("transformers", ""))
    if writes >= (5,) and () < reads < (5,):
        wrong = (
            f"training uses transformers {_dotted(writes)}, evaluation {_dotted(reads)}: a "
            "tokenizer saved by 5 ('TokenizersBackend') cannot be loaded by 4"
        )
        yield "train", Finding("broken", wrong, f"{train.pip} {_PINNED}")


def release(version: str) -> tuple[int, ...]:
    """Return the numeric part of a version.

    >>> release("2.13.0+cpu"), release("0.5.0.dev3"), release("")
    ((2, 13, 0), (0, 5, 0), ())
    """
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def _interpreter(here: Environment) -> Iterator[Finding]:
    if here.version < (3, 11):
        old = f"Python {_dotted(here.version)}"
        yield Finding(
            "broken", f"{old} is too old for the hosts", "create it with Python 3.11 to 3.13"
        )


def _version(name: str, here: Environment, extra: str) -> Iterator[Finding]:
    at = release(here.versions[name])
    low, high = _SOUND[name]
    if not low <= at < high:
        wrong = f"{name.replace('_', '-')} {here.versions[name]} is outside the tested range"
        wrong += f" ({_dotted(low)} up to, not including, {_dotted(high)})"
        yield Finding("broken", wrong, f"{here.pip} --upgrade {extra}")


def _unmet(stage: str, here: Environment) -> Iterator[Finding]:
    names = {"train": ("llamafactory", "transformers", "omegaconf"), "run": ("snakemake",)}
    names |= {"export": names["train"], "evaluate": ("lm_eval", "transformers"), "serve": ("vllm",)}
    for name in names[stage]:
        for wanted, found in here.unmet.get(name, ()):
            got = f"{found} is installed" if found else "it is not installed"
            wrong = f"{name.replace('_', '-')} requires {wanted} but {got}"
            yield Finding("broken", wrong, f"{here.pip} '{wanted}'")


def _transformers(here: Environment) -> Iterator[Finding]:
    at = release(here.versions.get("transformers", ""))
    if at[:3] == (5, 6, 0):
        wrong = "transformers 5.6.0 resolves but is broken (hiyouga/LlamaFactory#10634)"
        yield Finding("broken", wrong, f"{here.pip} {_PINNED}")
    elif at >= (5,):
        wrong = (
            f"transformers {_dotted(at)}: its checkpoints may name a tokenizer class that "
            "transformers 4 does not know"
        )
        yield Finding("note", wrong, f"{here.pip} {_PINNED}, or keep every stage on 5")


def _cpu_torch(here: Environment) -> Iterator[Finding]:
    if not here.torch or not here.platform.startswith("linux"):
        return
    if here.torch.get("cuda") or here.torch.get("hip"):
        return
    if here.cuda_bound:
        names = " and ".join(here.cuda_bound)
        python = here.pip.removesuffix(" -m pip install")
        remedy = (
            f"{python} {shlex.quote(cpu_torch.__file__)} stand-ins && "
            f"{here.pip} --force-reinstall --no-deps stand-ins/*.whl"
        )
        wrong = f"{names}: built for CUDA, but torch was built without it"
        yield Finding("broken", wrong, remedy)
    if here.gpus:
        wrong = f"torch was built without CUDA, but this machine has {counted(here.gpus, 'GPU')}"
        yield Finding(
            "broken", wrong, f"install torch's CUDA build: {here.pip} --force-reinstall torch"
        )
    elif here.threads is None:
        wrong = (
            "OMP_NUM_THREADS is not set; on a CPU, two threads can be five times slower than one"
        )
        yield Finding("note", wrong, "export OMP_NUM_THREADS=1")


def _training(here: Environment, needs: Needs) -> Iterator[Finding]:
    if "deepspeed" in here.versions:
        yield from _version("deepspeed", here, "'cotdistill[deepspeed]'")
    else:
        remedy = (
            f"{here.pip} setuptools wheel && "
            f"DS_BUILD_OPS=0 {here.pip} --no-build-isolation 'cotdistill[deepspeed]'"
        )
        yield _lacking("deepspeed", "recipes with ZeRO", needs.deepspeed, remedy)
    if "bitsandbytes" not in here.versions:
        yield _lacking(
            "bitsandbytes", "QLoRA recipes", needs.bitsandbytes, f"{here.pip} bitsandbytes"
        )
    if needs.gpus > here.gpus:
        visible = f"{here.gpus} {'is' if here.gpus == 1 else 'are'} visible"
        wrong = f"the study trains on {counted(needs.gpus, 'GPU')}, and {visible}"
        remedy = f"run doctor on the training machine, or --set hardware.gpus={here.gpus}"
        yield Finding("broken", wrong, remedy)
    elif not here.gpus and not needs.from_study:
        remedy = "train on a machine with one, or train small students with --set hardware.gpus=0"
        yield Finding("note", "no GPU is visible", remedy)


def _lacking(name: str, what_for: str, needed: bool, remedy: str) -> Finding:
    if needed:
        return Finding("absent", f"{name} is not installed and the study needs it", remedy)
    return Finding("note", f"{name} is not installed; only {what_for} need it", remedy)


def _evaluation(here: Environment, needs: Needs) -> Iterator[Finding]:
    if "cotdistill" not in here.versions:
        wrong = "cotdistill is not installed; lm-eval imports the hooks of its tasks"
        yield Finding("absent", wrong, f"{here.pip} cotdistill")
    if needs.vllm and "vllm" not in here.versions:
        remedy = (
            "python3 -m venv with-vllm && with-vllm/bin/pip install 'cotdistill[eval,serve]', "
            "and in the study: environments: {evaluate: with-vllm}"
        )
        yield Finding("absent", "vllm is not installed and the study evaluates with it", remedy)
    if needs.server and "tenacity" not in here.versions:
        remedy = f"{here.pip} 'lm-eval[api]'"
        yield Finding(
            "absent", "lm-eval's API extra is not installed and the study uses it", remedy
        )


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))
