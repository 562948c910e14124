"""The manifest of a run folder, `manifest.jsonl`: one line a run, read and written only here.

A line says which run it is, its factors, and the tasks that it is asked; it names the run's
configuration files and outputs, relative to the run folder, and hashes of all that decides the
result. What is to be done for it is in `jobs.jsonl` (`cotdistill.runfolder.job`).

Columns for whoever reads results:

- `student`, `arm`, `recipe`, `seed`: the run. A model that is evaluated as it is has the recipe
  "none", no seed, no `files.train` and no `outputs.train`; its arm is the study's `train: none`
  arm ("untouched" where it has none), and it belongs next to every recipe and seed.
- `factors`: name -> text, number, truth value or null: the axes of `for:`, the registered factors
  of a dataset (`questions`, `teacher`, `level`, `format`), those of a recipe's grid, and `step` for
  a checkpoint. A run may lack a factor that others have.
- `step`: the optimizer step of an evaluated checkpoint; null at the end of the training.
- `rounds`: the most rounds of a loop, whose model is that of one of them (`runfolder/rounds.py`);
  its training file is that of round 1. Null for every other run.
- `tasks`: the tasks asked, in order; runs of one study may be asked different ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cotdistill.errors import DataError, Fault
from cotdistill.files.atomic import write_if_changed
from cotdistill.files.jsonl import BadRow, Row, numbered_rows, row_line
from cotdistill.runfolder.job import JOBS, Command

MANIFEST = "manifest.jsonl"
Factor = str | int | float | bool | None
_MADE_OF = ("files.", "stages.", "sha256.")


@dataclass(frozen=True)
class Files:
    """What a run is made from; None where it has no such file.

    `train` is None where a model is evaluated as it is, `data` where LLaMA-Factory itself fetches
    the rows, `student` where the student is a pretrained model.
    """

    train: str | None
    export: str | None
    eval: str
    data: str | None
    student: str | None


@dataclass(frozen=True)
class Outputs:
    """The folders that a run's stages write; no export where nothing is merged."""

    train: str | None
    export: str | None
    evaluate: str


@dataclass(frozen=True)
class Stages:
    """The commands of a run as release 0.1 wrote them; no `prepare` in the same environment."""

    prepare: Command | None
    train: Command
    export: Command | None
    evaluate: Command


@dataclass(frozen=True)
class Hashes:
    """SHA-256 of each configuration file, and of what the rows and the student are made from.

    `lengths` is that of what decides how many tokens the rows have in training and where they are
    truncated; None in a folder that an older version generated.
    """

    train: str | None
    export: str | None
    eval: str
    data: str | None
    student: str | None
    lengths: str | None = None


@dataclass(frozen=True)
class ManifestRun:
    """One run of a run folder: one student × one arm × one recipe × one random seed.

    The module's docstring says what each column is. `revisions` are the models and datasets of a
    hub that it is made from, each with the revision that the study gives; None: what the hub serves
    when it is fetched. `stages` is None where `jobs.jsonl` has them.
    """

    run: str
    student: str
    arm: str
    recipe: str
    seed: int | None
    files: Files
    outputs: Outputs
    sha256: Hashes
    revisions: Mapping[str, str | None] = field(default_factory=dict)
    stages: Stages | None = None
    factors: Mapping[str, Factor] = field(default_factory=dict)
    tasks: tuple[str, ...] = ()
    step: int | None = None
    rounds: int | None = None

    @property
    def is_trained(self) -> bool:
        """Whether it has a training; else a model is evaluated as it is."""
        return self.files.train is not None


def manifest_text(runs: Iterable[ManifestRun]) -> str:
    """Return a manifest as it is written; the same runs give the same bytes."""
    return "".join(row_line(_row(run)) for run in runs)


def write_manifest(folder: Path, runs: Iterable[ManifestRun]) -> bool:
    """Write a run folder's manifest if its bytes changed, and return whether they did."""
    return write_if_changed(folder / MANIFEST, manifest_text(runs))


def read_manifest(folder: Path, *, for_results: bool = False) -> tuple[ManifestRun, ...]:
    """Return the runs of a run folder in the manifest's order.

    Keys that are not known are left unread, so that a newer version may add some. `for_results`
    asks for the runs' names and outputs only: a table of scores needs no file, command or hash.

    Raises:
        DataError: it is not a run folder, or lines of its manifest are broken; all at once, each
            with its line and the keys that are wrong.
    """
    path = folder / MANIFEST
    if not path.is_file():
        wrong = f"not a run folder (it has no {MANIFEST})" if folder.is_dir() else "no such folder"
        remedy = f"make one: cotdistill generate STUDY -o {folder}"
        raise DataError(Fault(str(folder), wrong, "what `cotdistill generate` writes", remedy))
    remedy = f"generate it again: cotdistill generate STUDY -o {folder}"
    runs: dict[str, ManifestRun] = {}
    line_of: dict[str, int] = {}
    faults: list[Fault] = []
    for number, row in numbered_rows(path):
        place = f"{path}:{number}"
        if isinstance(row, BadRow):
            faults.append(Fault(place, row.why, "a run as a JSON object", remedy))
            continue
        reader = _Reader()
        run = reader.run(row)
        if for_results:
            reader.missing = [key for key in reader.missing if not key.startswith(_MADE_OF)]
        if reader.complaints or reader.missing:
            faults.append(Fault(place, f"not a run ({reader.summary()})", "", remedy))
        elif run.run in runs:
            wrong = f"the run '{run.run}' stands twice, first in line {line_of[run.run]}"
            faults.append(Fault(place, wrong, "", remedy))
        else:
            runs[run.run], line_of[run.run] = run, number
    if faults:
        raise DataError(faults)
    return tuple(runs.values())


def no_jobs_fault(folder: Path, runs: Iterable[ManifestRun]) -> Fault | None:
    """Return a fault if a folder has no `jobs.jsonl` and its runs do not say what is to be done."""
    if (folder / JOBS).is_file() or all(run.stages for run in runs):
        return None
    remedy = f"generate it again: cotdistill generate STUDY -o {folder}"
    return Fault(str(folder), f"it has no {JOBS}", "what `cotdistill generate` writes", remedy)


def _row(run: ManifestRun) -> Row:
    files, outputs, hashes = run.files, run.outputs, run.sha256
    row: Row = {
        "run": run.run,
        "student": run.student,
        "arm": run.arm,
        "recipe": run.recipe,
        "seed": run.seed,
    }
    if run.stages is None:
        rounds = {} if run.rounds is None else {"rounds": run.rounds}
        row |= {"step": run.step, **rounds, "factors": dict(run.factors), "tasks": run.tasks}
    row["files"] = vars(files)
    row["outputs"] = vars(outputs)
    if run.stages is not None:
        stages = run.stages
        row["stages"] = {
            "prepare": _command_row(stages.prepare),
            "train": _command_row(stages.train),
            "export": _command_row(stages.export),
            "evaluate": _command_row(stages.evaluate),
        }
    row["sha256"] = {k: v for k, v in vars(hashes).items() if k != "lengths" or v}
    if run.revisions:
        row["revisions"] = dict(run.revisions)
    return row


def _command_row(command: Command | None) -> Row | None:
    if command is None:
        return None
    row: Row = {"command": command.command, "env": command.env, "gpus": command.gpus}
    if command.minutes is not None:
        row["minutes"] = command.minutes
    if command.memory_mb is not None:
        row["memory_mb"] = command.memory_mb
    return row


class _Reader:
    """Reads one line and remembers every key that is missing or has a value of another type."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self.missing: list[str] = []

    def summary(self) -> str:
        """Say all that is wrong, on one line."""
        missing = [f"no {', '.join(self.missing)}"] if self.missing else []
        return "; ".join([*self.complaints, *missing])

    def run(self, row: Row) -> ManifestRun:
        """Return the run of a line; what is missing in it is an empty value."""
        files, outputs = self.part(row, "files"), self.part(row, "outputs")
        stages, hashes = self.part(row, "stages"), self.part(row, "sha256")
        data, student = self.optional(files, "files.data"), self.optional(files, "files.student")
        return ManifestRun(
            run=self.name(row, "run"),
            student=self.name(row, "student"),
            arm=self.name(row, "arm"),
            recipe=self.name(row, "recipe"),
            seed=self.number(row, "seed"),
            files=Files(
                self.null_or_name(files, "files.train"),
                self.optional(files, "files.export"),
                self.name(files, "files.eval"),
                data,
                student,
            ),
            outputs=Outputs(
                self.null_or_name(outputs, "outputs.train"),
                self.optional(outputs, "outputs.export"),
                self.name(outputs, "outputs.evaluate"),
            ),
            sha256=Hashes(
                self.null_or_name(hashes, "sha256.train"),
                self.optional(hashes, "sha256.export"),
                self.name(hashes, "sha256.eval"),
                self.name(hashes, "sha256.data") if data else None,
                self.name(hashes, "sha256.student") if student else None,
                self.optional(hashes, "sha256.lengths"),
            ),
            revisions=self.part(row, "revisions"),
            stages=self.stages(stages) if "stages" in row else None,
            factors=self.factors(row),
            tasks=self.words(row, "tasks"),
            step=self.number(row, "step", least=0),
            rounds=self.number(row, "rounds", least=1),
        )

    def stages(self, stages: Row) -> Stages:
        """Return the commands of a run as release 0.1 wrote them."""
        return Stages(
            self.optional_command(stages, "stages.prepare"),
            self.command(stages, "stages.train"),
            self.optional_command(stages, "stages.export"),
            self.command(stages, "stages.evaluate"),
        )

    def factors(self, row: Row) -> dict[str, Factor]:
        """Return the factors of a run; one without has none."""
        value = row.get("factors") or {}
        if isinstance(value, dict) and not any(isinstance(v, dict | list) for v in value.values()):
            return dict(value)
        self.wrong("factors", value, "an object of texts and numbers")
        return {}

    def words(self, row: Row, key: str) -> tuple[str, ...]:
        """Return a list of words; a line without it has none."""
        value = row.get(key) or []
        if isinstance(value, list) and all(isinstance(word, str) for word in value):
            return tuple(value)
        self.wrong(key, value, "a list of words")
        return ()

    def null_or_name(self, part: Row, key: str) -> str | None:
        """Return a name that may be null, but must be there."""
        inner = _last(key)
        return None if inner in part and part[inner] is None else self.name(part, key)

    def part(self, row: Row, key: str) -> Row:
        """Return an object inside a line."""
        value = row.get(key)
        if isinstance(value, dict):
            return value
        if value is not None:
            self.wrong(key, value, "an object")
        return {}

    def name(self, part: Row, key: str) -> str:
        """Return a name that can be a path inside the folder."""
        value = part.get(_last(key))
        if value is None:
            self.missing.append(key)
        elif _is_inside(value):
            return str(value)
        else:
            self.wrong(key, value, "a name inside the folder")
        return ""

    def optional(self, part: Row, key: str) -> str | None:
        """Return such a name, or None where there is none."""
        return None if part.get(_last(key)) is None else self.name(part, key)

    def number(self, part: Row, key: str, least: int | None = None) -> int | None:
        """Return a whole number, or None where there is none."""
        value = part.get(_last(key))
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            self.wrong(key, value, "a whole number")
        elif least is not None and value < least:
            self.wrong(key, value, f"a whole number of {least} or more")
        else:
            return int(value)
        return None

    def command(self, stages: Row, key: str) -> Command:
        """Return the command of a stage."""
        part = stages.get(_last(key))
        if part is None:
            self.missing.append(key)
            return Command(())
        if not isinstance(part, dict):
            self.wrong(key, part, "an object")
            return Command(())
        words, env = part.get("command"), part.get("env") or {}
        if not isinstance(words, list) or not words or not all(isinstance(w, str) for w in words):
            self.wrong(f"{key}.command", words, "a list of words")
            words = []
        if not isinstance(env, dict):
            self.wrong(f"{key}.env", env, "an object")
            env = {}
        return Command(
            tuple(words),
            {name: str(value) for name, value in env.items()},
            self.number(part, f"{key}.gpus", least=0) or 0,
            self.number(part, f"{key}.minutes", least=0),
            self.number(part, f"{key}.memory_mb", least=0),
        )

    def optional_command(self, stages: Row, key: str) -> Command | None:
        """Return the command of a stage that a run may lack."""
        return None if stages.get(_last(key)) is None else self.command(stages, key)

    def wrong(self, key: str, value: Any, expected: str) -> None:
        """Remember a value that cannot be meant."""
        shown = json.dumps(value, ensure_ascii=False)
        shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
        self.complaints.append(f"{key}: {shown} is not {expected}")


def _is_inside(value: Any) -> bool:
    if not isinstance(value, str) or not value or value.startswith("/"):
        return False
    return ".." not in value.split("/")


def _last(key: str) -> str:
    return key.rpartition(".")[2]
