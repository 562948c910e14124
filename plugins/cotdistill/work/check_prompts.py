"""Check that every run of a run folder is evaluated with the prompt that it is trained with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotdistill.errors import Fault
from cotdistill.files.rows import read_rows, row_line
from cotdistill.files.yamls import read_yaml
from cotdistill.hosts.prompt_parity import evaluated_of, parity_fault, trained_of


@dataclass(frozen=True)
class PromptCheck:
    """Faults of the prompts of a run folder, and the tokenizers that were not at hand."""

    faults: tuple[Fault, ...]
    unchecked: tuple[str, ...]


def check_prompts(folder: Path) -> PromptCheck:
    """Compare the training and the evaluation prompt of every run, once for each that differs.

    The tokenizer is the checkpoint's where there is one, else the one that training will load.
    """
    faults: list[Fault] = []
    unchecked: list[str] = []
    seen: set[str] = set()
    for run in read_rows(folder / "manifest.jsonl"):
        files = run["files"]
        train = read_yaml(folder / files["train"])
        evaluation = read_yaml(folder / files["eval"])
        response = _typical_response(folder, files.get("data"))
        trained, evaluated = trained_of(train, response), evaluated_of(evaluation)
        place = _tokenizer_place(folder, run, train)
        said = repr((place, trained, evaluated))
        if said in seen:
            continue
        seen.add(said)
        tokenizer = _tokenizer(place)
        if tokenizer is None:
            unchecked.append(place)
            continue
        if fault := parity_fault(f"{folder / files['eval']}", tokenizer, trained, evaluated):
            faults.append(fault)
    return PromptCheck(tuple(faults), tuple(dict.fromkeys(unchecked)))


def _tokenizer_place(folder: Path, run: dict[str, Any], train: dict[str, Any]) -> str:
    outputs = [run["outputs"].get("export"), run["outputs"].get("train")]
    for output in outputs:
        if output and (folder / output / "tokenizer_config.json").is_file():
            return str(folder / output)
    return str(train["model_name_or_path"])


def _tokenizer(place: str) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(place)  # type: ignore[no-untyped-call]
    except (OSError, ValueError):  # not made yet, or on a hub that cannot be reached
        return None


def _typical_response(folder: Path, data: str | None) -> str:
    """A response with think tags where the training data has them: they change the prompt."""
    if data and (folder / data).is_file():
        first = next(read_rows(folder / data))
        if "<think>" in row_line(first):
            return "<think>\nThink.\n</think>\n\nIt is 2."
    return "It is 2."
