"""A student of a study, with all that a training or evaluation file needs to know of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cotdistill.catalogue.lookup import student_called
from cotdistill.catalogue.student import Student as CatalogueStudent
from cotdistill.errors import Fault, StudyError
from cotdistill.files.json_file import NOT_JSON
from cotdistill.models.scratch import SCRATCH_TEMPLATE, Scratch
from cotdistill.studies.study import ScratchStudent, Student


@dataclass(frozen=True)
class Learner:
    """A student with all that a training or evaluation file needs to know of it."""

    name: str
    model: str | None  # None: made from scratch, a model for each arm
    template: str
    default_system: str | None
    enable_thinking: bool | None
    scratch: Scratch | None
    context: int | None = None  # tokens, where known
    heads: int | None = None  # of attention, where known
    model_len: int | None = None  # tokens of context that the evaluation needs, where known
    revision: str | None = None  # of a model on a hub; None: what the hub serves then

    @property
    def is_on_hub(self) -> bool:
        """Whether the model is a hub's: neither made here nor a local folder."""
        model = self.model
        if model is None:
            return False
        return not Path(model).is_dir() and not model.startswith(("/", ".", "~"))


def learner_of(entry: Student, known: Mapping[str, CatalogueStudent], place: str) -> Learner:
    """Return a study's student with what the catalogue or its own folder says of it.

    Raises:
        StudyError: no template is given, and the catalogue does not have the model; or a local
            model is given a revision.
    """
    if isinstance(entry, ScratchStudent):
        shape = entry.scratch
        return Learner(
            entry.name, None, SCRATCH_TEMPLATE, None, None, shape, shape.context, shape.heads
        )
    if entry.revision is not None and Path(entry.model).is_dir():
        wrong = f"a revision is given, and {entry.model} is a local folder"
        raise StudyError(Fault(f"{place}.revision", wrong, "a hub id", "leave the revision out"))
    if entry.template is None:
        found: CatalogueStudent | None = student_called(entry.model, known, place)
    else:
        found = next((s for s in known.values() if entry.model in (s.name, s.model)), None)
    if found is None:
        name = entry.name or entry.model.rstrip("/").split("/")[-1]
        template = str(entry.template)
        system, thinking = entry.default_system, entry.enable_thinking
        context, heads = _shape_of_folder(Path(entry.model))
        return Learner(
            name,
            entry.model,
            template,
            system,
            thinking,
            None,
            context,
            heads,
            revision=entry.revision,
        )
    system, thinking = entry.default_system, entry.enable_thinking
    return Learner(
        entry.name or found.name,
        found.model,
        entry.template or found.template,
        found.default_system if system is None else system,
        found.enable_thinking if thinking is None else thinking,
        None,
        found.context,
        found.heads,
        revision=entry.revision,
    )


def _shape_of_folder(folder: Path) -> tuple[int | None, int | None]:
    """Return the context and the attention heads that a local model's `config.json` states."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except NOT_JSON:
        return None, None  # a hub id, or a folder that the hosts will complain about
    if not isinstance(config, dict):
        return None, None
    values = (config.get("max_position_embeddings"), config.get("num_attention_heads"))
    context, heads = (value if isinstance(value, int) else None for value in values)
    return context, heads
