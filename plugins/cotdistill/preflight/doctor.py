"""Check each stage's environment and name the command that fixes what is broken.

What a stage needs follows from the study, if one is named. Only `deep` imports the hosts; without
it, the findings rest on installed versions and on the libraries that compiled code links to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cotdistill.errors import FaultsError, MisuseError, did_you_mean
from cotdistill.hosts.environments.look_into import Environment, import_fault, look_into, python_of
from cotdistill.hosts.sandbox.sandbox import examine as examine_sandbox
from cotdistill.preflight.doctor_rules import (
    PROGRAMS,
    STAGES,
    Finding,
    Needs,
    environment_findings,
    host_of,
    pair_findings,
)
from cotdistill.runfolder.stages import STAGES as FOLDER_STAGES
from cotdistill.studies.load import load_study, study_of
from cotdistill.studies.study import Study

_TORCHVISION = """
import importlib.util
if importlib.util.find_spec("torchvision"):  # the stand-in next to a CPU torch has no module
    import torchvision
"""


@dataclass(frozen=True)
class Examined:
    """One stage: the contents of its environment, and the findings."""

    stage: str
    state: Literal["works", "broken", "absent"]
    holds: str
    findings: tuple[Finding, ...]


def examine(
    what: str | None = None,
    stages: Sequence[str] = (),
    prefixes: Mapping[str, str] | None = None,
    deep: bool = False,
    sets: Sequence[str] = (),
    tell: Callable[[str], None] = lambda _: None,
) -> list[Examined]:
    """Examine the environments of a study, of a run folder, or of this machine.

    `prefixes` override the study's environments. `serve` is only examined if it is named; the
    sandbox for programs is tried in this process's environment. `tell` is told of each check that
    begins.

    Raises:
        MisuseError: there is no such stage.
        FaultsError: the study has faults.
    """
    for stage in (*stages, *(prefixes or {})):
        known = (*STAGES, PROGRAMS)
        if stage not in known:
            raise MisuseError(
                f"cotdistill doctor: no stage '{stage}'; {did_you_mean(stage, known)}"
            )
    study = _study(what, sets)
    needs = _needs(study)
    chosen = [stage for stage in stages if stage != PROGRAMS] if stages else _chosen(study)
    declared = study.environments if study else {}
    given = {str(stage): prefix for stage, prefix in declared.items()} | dict(prefixes or {})
    environments: dict[str, Environment] = {}
    found: dict[str, list[Finding]] = {}
    for stage in chosen:
        tell(f"{stage}: versions and libraries")
        try:
            environment = look_into(python_of(given.get(stage, "")))
        except FaultsError as error:
            found[stage] = [Finding("broken", str(error), "")]
            continue
        environments[stage] = environment
        found[stage] = environment_findings(stage, environment, needs)
        is_run = stage == "run" or host_of(stage) is None
        if deep and not is_run and "torchvision" in environment.versions:
            tell(f"{stage}: import of torchvision")
            fault = import_fault(environment.python, _TORCHVISION)
            remedy = f"{environment.pip} --force-reinstall torch torchvision"
            if fault:
                found[stage].append(Finding("broken", f"torchvision fails: {fault}", remedy))
        host = host_of(stage)
        if deep and host and not any(finding.grade == "absent" for finding in found[stage]):
            tell(f"{stage}: import of its host")
            fault = import_fault(environment.python, host.imports)
            if fault:
                wrong = f"import fails: {fault}"
                found[stage].append(Finding("broken", wrong, f"{environment.pip} {host.extra}"))
    for stage, finding in pair_findings(environments):
        found[stage].append(finding)
    examined = [
        Examined(stage, _state(found[stage]), _holds(environments.get(stage)), tuple(found[stage]))
        for stage in chosen
    ]
    if PROGRAMS in stages or not stages:
        tell(f"{PROGRAMS}: the sandbox")
        examined.append(_sandbox(needed=needs.programs or PROGRAMS in stages))
    return examined


def _chosen(study: Study | None) -> list[str]:
    """Return the stages that have an environment to examine: of a study, those that it has."""
    folder = [one for one in FOLDER_STAGES if not one.is_local]
    if study is None:
        return [*(one.name for one in folder if one.host), "run"]
    has = [one for one in folder if one.is_in(study)]
    given = study.environments
    return [*(s.name for s in has if s.host or s.name in given or s.packages(study)), "run"]


def _sandbox(needed: bool) -> Examined:
    """Try the tiers of the sandbox here, with a program that tries to get out."""
    tried = examine_sandbox()
    works = [one.tier for one in tried if one.works]
    findings = tuple(
        Finding(
            "broken" if needed and not works else "note", f"{one.tier}: {one.fault}", one.remedy
        )
        for one in tried
        if not one.works
    )
    holds = f"{' and '.join(works)} confine programs" if works else "no sandbox for programs"
    return Examined(PROGRAMS, _state(findings), holds, findings)


def _study(what: str | None, sets: Sequence[str]) -> Study | None:
    if what is None:
        return None
    folder = Path(what)
    return study_of(folder) if folder.is_dir() else load_study(what, sets)[0]


def _needs(study: Study | None) -> Needs:
    if study is None:
        return Needs()
    return Needs(
        deepspeed=any(recipe.deepspeed for recipe in study.recipes.values()),
        bitsandbytes=any(recipe.template == "qlora" for recipe in study.recipes.values()),
        vllm=study.evaluation.backend == "vllm",
        server=study.evaluation.backend.startswith("local-"),
        gpus=study.hardware.gpus,
        programs=study.evaluation.run_programs,
        packages={one.name: one.packages(study) for one in FOLDER_STAGES},
        from_study=True,
    )


def _state(findings: Sequence[Finding]) -> Literal["works", "broken", "absent"]:
    grades = {finding.grade for finding in findings}
    return "broken" if "broken" in grades else "absent" if "absent" in grades else "works"


def _holds(environment: Environment | None) -> str:
    if environment is None:
        return ""
    shown = ("llamafactory", "lm_eval", "snakemake", "vllm", "transformers", "torch", "deepspeed")
    parts = [f"Python {'.'.join(map(str, environment.version))}"]
    parts += [
        f"{name} {environment.versions[name]}" for name in shown if name in environment.versions
    ]
    parts.append(f"{environment.gpus} GPU{'s' * (environment.gpus != 1)}")
    return ", ".join(parts)
