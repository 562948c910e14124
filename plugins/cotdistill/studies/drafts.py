"""Drafts of new files for a bundle: a benchmark, a task, a study, a prompt.

A draft works as it is written: it is made from the first rows of a file and read back, and what was
guessed is listed for the user to check. Existing files are never overwritten.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotdistill.benchmarks.convert import questions_of
from cotdistill.benchmarks.guess import Guess, guess_shape
from cotdistill.benchmarks.packaged import benchmark, benchmark_files
from cotdistill.errors import BundleError, DataError, Fault, FaultsError, MisuseError, did_you_mean
from cotdistill.files.atomic import write_text
from cotdistill.files.bundle import bundle_file, bundle_folder, more_bundles, parts_of
from cotdistill.files.jsonl import BadRow, numbered_rows
from cotdistill.files.templates import parse_template, render
from cotdistill.files.yamls import read_yaml
from cotdistill.grading.kinds import Kind
from cotdistill.hosts.lm_eval.task_files import packaged_tasks, upstream_names
from cotdistill.studies.load import shipped_studies

KINDS = ("benchmark", "task", "study", "prompt")
_LOOKED_AT = 50  # rows that a guess must fit
_EXAMPLES = 2
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*\Z")
_MADE_UP = [
    {"question": "Ada has 2 nuts and finds 3. How many nuts has she?", "answer": "5"},
    {"question": "Ben eats 1 of his 4 figs. How many figs are left?", "answer": "3"},
]
_NO_LICENCE = "not known"
_PROMPT_OF = {"letter": "_letter.yaml", "boolean": "cot_strategyqa.yaml"}
_TEXT_PROMPT = (
    "{{before | default('')}}{{question}}{% if after is defined %}{{after}}{% else %}\n\nThink it "
    'through step by step, then end with "The answer is X", where X is the answer.{% endif %}'
)


@dataclass(frozen=True)
class Draft:
    """The files that were written, what to look at in them, and the commands that come next."""

    written: tuple[Path, ...]
    look_at: tuple[str, ...]
    next: tuple[str, ...]


def new_draft(
    kind: str, name: str, source: Path | None, folder: Path, benchmark_name: str | None = None
) -> Draft:
    """Write the draft of a new file into a bundle's folder, from the first rows of a file.

    A task asks the questions of `benchmark_name` (of the benchmark of its own name); a benchmark
    that is not there yet is drafted with it, if there are rows.

    Raises:
        MisuseError: there is no such kind of file, or the name cannot be one.
        FaultsError: the name is taken, or the rows are not what the draft needs.
    """
    if kind not in KINDS:
        raise MisuseError(f"cotdistill new: no kind '{kind}'; {did_you_mean(kind, KINDS)}")
    if not _NAME.match(name) or "--" in name:
        raise MisuseError(
            f"cotdistill new: the name '{name}' becomes a file name; use letters (a to z), digits, "
            "'.', '_' and '-' (not '--'), and begin with a letter or a digit"
        )
    folder = folder.expanduser().resolve()
    with _bundle_in(folder):
        match kind:
            case "benchmark":
                return _new_benchmark(name, source, folder)
            case "task":
                return _new_task(name, benchmark_name or name, source, folder)
            case "study":
                return _new_study(name, source, folder)
        return _new_prompt(name, source, folder)


@contextmanager
def _bundle_in(folder: Path) -> Iterator[None]:
    if folder.is_dir() and parts_of(folder):
        with more_bundles([folder]):
            yield
    else:
        yield


def _new_benchmark(name: str, source: Path | None, folder: Path) -> Draft:
    path = folder / "dataset_info" / "benchmarks" / f"{name}.yaml"
    _refuse(path, f"the benchmark '{name}'", benchmark_files().get(name))
    rows = _first_rows(source) if source else _MADE_UP
    guess = guess_shape(rows, str(source or "the made-up rows"))
    split = _split_of(source)
    count = _count(source) if source else len(rows)
    examples = [{c: row[c] for c in guess.columns if c in row} for row in rows[:_EXAMPLES]]
    values = {
        "name": name,
        "source": source.name if source else None,
        "about": f"Questions of {source.name}" if source else "Two made-up questions",
        "licence": _NO_LICENCE,
        "kind": guess.kind,
        "inline": guess.inline,
        "split": split,
        "rows": count,
        "shape": guess.shape,
        "examples": examples,
    }
    write_text(path, render("new/benchmark.yaml.j2", values))
    prepare = f"cotdistill prepare {name} --from {source or 'FILE'} --split {split}"
    with more_bundles([folder]):
        declared = benchmark(name)
        first = declared.question(dict(rows[0]), split)
        look_at = [*_guessed(guess, first), *_unreadable(name, source, split)]
    return Draft(
        (path,),
        (*look_at, f"licence: {_NO_LICENCE}; the data's own goes there", "about: in one line"),
        (f"cotdistill check {_shown(folder)}", f"{prepare} --bundle {_shown(folder)}"),
    )


def _guessed(guess: Guess, first: Mapping[str, Any]) -> list[str]:
    lines = [f"{key}: {value}" for key, value in guess.shape.items() if key not in ("has", "meta")]
    lines += [f"meta.{key}: {value}" for key, value in guess.shape.get("meta", {}).items()]
    if guess.unread:
        lines.append(f"columns that are not read: {', '.join(guess.unread)}")
    lines.append(f"kind: {guess.kind}; the first reference answer is {first['gold']!r}")
    if first["options"]:
        lines.append(f"the first question's choices are {first['options']}")
    return lines


def _unreadable(name: str, source: Path | None, split: str) -> list[str]:
    """Say which rows of the file cannot be read; the guess was made from the first ones only."""
    if source is None:
        return []
    try:
        rows = (row for _, row in numbered_rows(source) if not isinstance(row, BadRow))
        questions_of(benchmark(name), split, rows, str(source))
    except DataError as error:
        more = len(error.faults) - 1
        return [f"{error.faults[0]}" + (f" (and {more} more)" if more else "")]
    return []


def _new_task(name: str, benchmark_name: str, source: Path | None, folder: Path) -> Draft:
    path = folder / "task_configs" / f"{name}.yaml"
    _refuse(path, f"the task '{name}'", packaged_tasks().get(name))
    if name in upstream_names():
        wrong = f"the task '{name}' is one of lm-eval's own"
        raise FaultsError(Fault(str(path), wrong, "a new name", f"such as cot_{name}"))
    drafted = Draft((), (), ())
    if benchmark_name not in benchmark_files():
        if source is None:
            hint = did_you_mean(benchmark_name, sorted(benchmark_files()))
            raise MisuseError(
                f"cotdistill new: no benchmark '{benchmark_name}'; {hint}; --benchmark names "
                "another, --from FILE drafts one from rows"
            )
        drafted = _new_benchmark(benchmark_name, source, folder)
    with _bundle_in(folder):
        declared = benchmark(benchmark_name)
    values = {
        "name": name,
        "about": f"{name}: {declared.about}",
        "benchmark": benchmark_name,
        "prompt": _prompt_for(declared.kind),
        "settings": _settings(),
    }
    write_text(path, render("new/task.yaml.j2", values))
    where = _shown(folder)
    return Draft(
        (*drafted.written, path),
        (*drafted.look_at, f"doc_to_text: the prompt, for answers of the kind {declared.kind}",
         "generation_kwargs: max_gen_toks is 2048, greedy"),
        (f"cotdistill check {where}", *drafted.next[1:],
         f"cotdistill eval --bundle {where} --tasks {name} --model hf --model_args pretrained=MODEL"
         " --apply_chat_template --output_path scores --log_samples"),
    )  # fmt: skip


def _prompt_for(kind: Kind) -> str:
    """Return what our own task of this kind of answer asks."""
    if kind in ("text", "date"):
        return _TEXT_PROMPT
    ours = bundle_folder("task_configs") / _PROMPT_OF.get(kind, "_boxed.yaml")
    return str(read_yaml(ours, functions=True)["doc_to_text"])


def _settings() -> str:
    """Return what all our tasks share, with hooks that are found from any folder."""
    base = (bundle_folder("task_configs") / "_zero_shot.yaml").read_text(encoding="utf-8")
    return base.replace("!function hooks.", "!function cotdistill.task_hooks.").rstrip("\n")


def _new_study(name: str, source: Path | None, folder: Path) -> Draft:
    path = folder / "studies" / f"{name}.yaml"
    _refuse(path, f"the study '{name}'", shipped_studies().get(name))
    look_at = ["students: a tiny one that starts from nothing; a study compares real ones"]
    if source is None:
        arms: dict[str, Any] = {
            "answer-only": {"puzzles": "ball", "level": "answer-only", "rows": 500},
            "steps": {"puzzles": "ball", "level": 6, "rows": 500},
        }
        tasks = ["cot_puzzles_ball"]
    else:
        arm, lines = _arm_of(source, path.parent)
        arms, tasks = {_arm_name(source): arm}, _tasks_in(folder) or ["cot_gsm8k"]
        look_at += [*lines, f"tasks: {', '.join(tasks)}"]
    look_at.append("recipes.full: 20 steps at a learning rate for tiny students")
    values = {
        "name": name,
        "source": source.name if source else None,
        "about": "What this study asks, in one line",
        "arms": arms,
        "tasks": tasks,
    }
    write_text(path, render("new/study.yaml.j2", values))
    shown = _shown(path)
    commands = (f"cotdistill check {shown}", f"cotdistill generate {shown} -o runs/{name}")
    return Draft((path,), tuple(look_at), commands)


def _arm_of(source: Path, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Return an arm that trains on a file's rows, and which columns it reads."""
    row = _first_rows(source)[0]
    prompt = next((c for c in _PROMPT_COLUMNS if c in row), None)
    response = next((c for c in _RESPONSE_COLUMNS if c in row and c != prompt), None)
    if prompt is None or response is None:
        what = "prompt" if prompt is None else "response"
        known = _PROMPT_COLUMNS if prompt is None else _RESPONSE_COLUMNS
        wrong = f"no {what} column (columns: {', '.join(row)})"
        raise DataError(Fault(str(source), wrong, f"one of {', '.join(known)}", "rename a column"))
    arm = {
        "file": os.path.relpath(source.resolve(), folder),
        "columns": {"prompt": prompt, "response": response},
    }
    return arm, [f"arms: the prompt is column '{prompt}', the response column '{response}'"]


_PROMPT_COLUMNS = ("instruction", "question", "problem", "prompt", "input")
_RESPONSE_COLUMNS = ("output", "response", "rationale", "completion", "solution", "answer")


def _arm_name(source: Path) -> str:
    return re.sub(r"-{2,}|[^\w.-]", "-", source.stem).strip("-.") or "rows"


def _tasks_in(folder: Path) -> list[str]:
    return [n for n, path in packaged_tasks().items() if path.is_relative_to(folder)]


def _new_prompt(name: str, source: Path | None, folder: Path) -> Draft:
    path = folder / "templates" / "prompts" / f"{name}.j2"
    try:
        taken = bundle_file("templates", f"prompts/{name}.j2")
    except BundleError:
        taken = None
    _refuse(path, f"the prompt '{name}'", taken)
    text = bundle_file("templates", "prompts/judge.j2").read_text(encoding="utf-8")
    _, _, rest = text.partition("#}\n")
    write_text(path, f"{{# {name}: what `cotdistill judge --prompt {name}` asks. #}}\n{rest}")
    with more_bundles([folder]):
        parse_template(f"prompts/{name}.j2")
        look_at = [
            "values: question, gold, response (its end only, where shortened is true), mark",
            'the reply must hold {"verdict": "correct" | "wrong" | "undecided"}',
        ]
        if source is not None:
            look_at.append(f"filled in with the first row:\n{_filled_in(name, source)}")
    judge = f"cotdistill judge SAMPLES --bundle {_shown(folder)} --prompt {name} --model MODEL ..."
    return Draft((path,), tuple(look_at), (f"cotdistill check {_shown(folder)}", judge))


def _filled_in(name: str, source: Path) -> str:
    rows = _first_rows(source)
    question = guess_shape(rows, str(source)).benchmark(rows[0]).question(rows[0], "test")
    values = {"question": question["question"], "gold": question["gold"]}
    response = question["rationale"] or f"The answer is {question['gold']}."
    return render(
        f"prompts/{name}.j2", {**values, "response": response, "shortened": False, "mark": "-----"}
    )


def _first_rows(source: Path) -> list[dict[str, Any]]:
    rows = list(itertools.islice(numbered_rows(source), _LOOKED_AT))
    if broken := [(number, row) for number, row in rows if isinstance(row, BadRow)]:
        raise DataError(Fault(f"{source}:{number}", row.why, "a row") for number, row in broken)
    return [row for _, row in rows if not isinstance(row, BadRow)]


def _count(source: Path) -> int:
    return sum(1 for _ in numbered_rows(source))


def _split_of(source: Path | None) -> str:
    stem = source.stem.lower() if source else ""
    return next((split for split in ("train", "validation") if split in stem), "test")


def _refuse(path: Path, what: str, taken: Path | None) -> None:
    """Refuse a name that some bundle has, and a file that is there."""
    if taken is not None:
        raise FaultsError(Fault(str(path), f"{what} is already in {taken}", "a new name"))
    if path.exists():
        raise FaultsError(Fault(str(path), "already exists", "a new name"))


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
