"""What a stage is, and what it declares its jobs from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cotdistill.runfolder.job import Job

if TYPE_CHECKING:
    from cotdistill.runfolder.config_files import RunFiles
    from cotdistill.runfolder.kept import KeptFiles
    from cotdistill.runfolder.layout import Layout
    from cotdistill.studies.resolve import Resolved
    from cotdistill.studies.runs import Run
    from cotdistill.studies.study import Study


@dataclass(frozen=True)
class StudyFiles:
    """A study with every name found, and the files of its runs, before anything is written."""

    resolved: Resolved
    root: Path
    runs: tuple[tuple[Run, Layout, RunFiles], ...]
    kept: KeptFiles


@dataclass(frozen=True)
class Declared:
    """A job, the text of its configuration file where it has one, and of files next to that."""

    job: Job
    text: str | None = None
    more: Mapping[str, str] = field(default_factory=dict)


def no_jobs(_files: StudyFiles) -> Iterable[Declared]:
    """Declare nothing: the jobs of such a stage follow from the others."""
    return ()


def nothing_to_tidy(_output: Path) -> None:
    """Leave everything where it is."""


def nothing_to_doubt(_output: Path) -> str:
    """Believe the exit status."""
    return ""


def in_every_study(_study: Study) -> bool:
    """Say that every study has jobs of the stage."""
    return True


def no_packages(_study: Study) -> tuple[str, ...]:
    """Need nothing besides the stage's own program."""
    return ()


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A kind of job: everything that is known of it, in one place.

    `program` is the first word of its commands, `extra` the pip extra that brings it; `host` is the
    distribution of a program that is not ours, and `imports` what `doctor --deep` tries. `is_in`
    says whether a study has such jobs, and `packages` what these need besides. `remakes`
    says that each making is another one, so that what follows is made again too; else the outcome
    is known by its bytes. `fault` returns why an exit status of 0 is not believed, or nothing;
    `tidy` then removes what nobody needs from the output of a job that has succeeded.
    """

    name: str
    about: str
    program: str
    extra: str
    remakes: bool
    jobs: Callable[[StudyFiles], Iterable[Declared]]
    fault: Callable[[Path], str] = nothing_to_doubt
    tidy: Callable[[Path], object] = nothing_to_tidy
    host: str = ""
    imports: str = ""
    is_in: Callable[[Study], bool] = in_every_study
    packages: Callable[[Study], tuple[str, ...]] = no_packages
    is_local: bool = False  # on a cluster it runs where `cotdistill run` does
