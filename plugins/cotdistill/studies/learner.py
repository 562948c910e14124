"""A student of a study, with all that a training or evaluation file needs to know of it."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cotdistill.catalogue.lookup import student_called
from cotdistill.catalogue.student import Student as CatalogueStudent
from cotdistill.errors import Fault, StudyError
from cotdistill.files.json_file import NOT_JSON
from cotdistill.models.scratch import SCRATCH_TEMPLATE, Scratch
from cotdistill.studies.declared_model import (
    EndpointModel,
    FolderOfModels,
    MergedModel,
    Model,
    NamedModel,
    ScratchModel,
    merged_folder,
)
from cotdistill.studies.prompt import Prompt

_ENCODER_DECODER = re.compile(
    r"(^|[-_])(m|by|code|long-?)?(t5|bart)([-_.]|gemma|p-|$)", re.IGNORECASE
)
"""Names of hub models that are encoder-decoders, such as google/flan-t5-small."""


@dataclass(frozen=True)
class Learner:
    """A student with all that a training or evaluation file needs to know of it.

    Units: `parameters` in billions; `context` in tokens.
    """

    name: str
    model: str | None  # None: randomly initialised, a model for each arm
    template: str
    default_system: str | None
    enable_thinking: bool | None
    scratch: Scratch | None
    context: int | None = None  # where known
    heads: int | None = None  # of attention, where known
    model_len: int | None = None  # tokens of context that the evaluation needs, where known
    revision: str | None = None  # of a model on a hub; None: what the hub serves then
    parameters: float | None = None  # where known
    endpoint: EndpointModel | None = None  # a model that is only asked, never trained
    merged: str | None = None  # the folder of a merge, relative to the run folder

    @functools.cached_property
    def is_encoder_decoder(self) -> bool:
        """Whether it is a T5, BART or the like, by its own files or, on a hub, by its name."""
        if self.scratch or self.endpoint or self.model is None:
            return False
        config = _config_of_folder(Path(self.model))
        if config is not None:
            return config.get("is_encoder_decoder") is True
        return bool(_ENCODER_DECODER.search(self.model.rpartition("/")[2]))

    @functools.cached_property
    def is_on_hub(self) -> bool:
        """Whether the model is a hub's: neither made here nor a local folder."""
        model = self.model
        if model is None or self.endpoint:
            return False
        return not Path(model).is_dir() and not model.startswith(("/", ".", "~"))


def learner_of(
    name: str, models: Mapping[str, Model], known: Mapping[str, CatalogueStudent], place: str
) -> Learner:
    """Return a student by its name in `models:` or in the catalogue, or by its hub id.

    Raises:
        StudyError: there is no such model, it has no template, or it cannot be trained; or a local
            model is given a revision.
    """
    declared = models.get(name)
    match declared:
        case None:
            found = student_called(name, known, place)
            return _learner(found.name, NamedModel(model=found.name), found)
        case ScratchModel(scratch=shape):
            size = scratch_size(shape)
            return Learner(
                name, None, SCRATCH_TEMPLATE, None, None, shape, shape.context, shape.heads,
                parameters=size,
            )  # fmt: skip
        case NamedModel():
            if declared.revision is not None and Path(declared.model).is_dir():
                wrong = f"a revision is given, and {declared.model} is a local folder"
                remedy = "leave the revision out"
                where = f"{place.partition(':')[0]}:models.{name}.revision"
                raise StudyError(Fault(where, wrong, "a hub id", remedy))
            match_ = (s for s in known.values() if declared.model in (s.name, s.model))
            entry = next(match_, None)
            if entry is None and declared.template is None:
                entry = student_called(declared.model, known, f"{place}: {name}")
            return _learner(name, declared, entry)
        case MergedModel():
            merge = _merge(name, declared, models, known)
            if merge.template == _NO_TEMPLATE:
                unsaid = f"the merge '{name}' has no template"
                how = "say template: in it, or name a donor of the catalogue"
                raise StudyError(Fault(place, unsaid, "LLaMA-Factory's template of its donor", how))
            return merge
    what = type(declared).__name__
    wrong = f"'{name}' is {_NOT_TRAINED[what]}, which is not trained"
    raise StudyError(Fault(place, wrong, "a model with weights: model or scratch"))


_NO_TEMPLATE = "empty"
_NOT_TRAINED = {
    "EndpointModel": "an endpoint",
    "TrainedModel": "a run of this study",
    "FolderOfModels": "a folder of models",
}


def evaluated_models(
    name: str, models: Mapping[str, Model], known: Mapping[str, CatalogueStudent], place: str
) -> Iterator[Learner]:
    """Yield the models that a name of `evaluation.models` stands for: one, or those of a folder.

    Raises:
        StudyError: there is no such model, or the folder holds none.
    """
    declared = models.get(name)
    if isinstance(declared, EndpointModel):
        yield Learner(name, declared.model, "empty", None, None, None, endpoint=declared)
    elif isinstance(declared, MergedModel):
        yield _merge(name, declared, models, known)
    elif isinstance(declared, FolderOfModels):
        found = sorted(Path(declared.folder).glob(declared.pattern), key=_step_then_name)
        folders = [path for path in found if (path / "config.json").is_file()]
        if not folders:
            wrong = f"no model in {declared.folder} that is called {declared.pattern}"
            raise StudyError(Fault(f"{place}: {name}", wrong, "subfolders with a config.json"))
        for path in folders:
            context, heads = shape_of_folder(path)
            template = declared.template or "empty"
            yield Learner(
                f"{name}-{path.name}", str(path), template, None, None, None, context, heads
            )
    else:
        yield learner_of(name, models, known, place)


def _merge(
    name: str,
    declared: MergedModel,
    models: Mapping[str, Model],
    known: Mapping[str, CatalogueStudent],
    behind: tuple[str, ...] = (),
) -> Learner:
    """Return a merge, which is asked and trained as its donor is; `behind` is whose donor it is."""
    donor = models.get(declared.chosen_donor, NamedModel(model=declared.chosen_donor))
    if isinstance(donor, MergedModel) and declared.chosen_donor not in behind:
        like = _merge(name, donor, models, known, (*behind, declared.chosen_donor))
    elif isinstance(donor, NamedModel):
        entry = next((s for s in known.values() if donor.model in (s.name, s.model)), None)
        like = _learner(name, donor, entry)
    else:
        like = Learner(name, None, _NO_TEMPLATE, None, None, None)
    template = declared.template or like.template or _NO_TEMPLATE
    return replace(like, model=None, revision=None, template=template, merged=merged_folder(name))


def _step_then_name(path: Path) -> tuple[str, int, str]:
    head, _, step = path.name.rpartition("-")
    return (head, int(step), "") if step.isdigit() else (path.name, 0, "")


def asked_as(learner: Learner, prompt: Prompt) -> tuple[str | None, bool | None]:
    """Return the system prompt and the thinking mode that a study trains a student with."""
    system = learner.default_system if prompt.system is None else prompt.system
    thinking = {"data": learner.enable_thinking, "on": True, "off": False}[prompt.thinking]
    return system, thinking


def scratch_size(scratch: Scratch) -> float:
    """Return a scratch student's weights, in billions: attention and a gated MLP per layer."""
    per_layer = 4 * scratch.hidden_size**2 + 3 * scratch.hidden_size * scratch.intermediate_size
    return (scratch.layers * per_layer + scratch.vocab_size * scratch.hidden_size) / 1e9


def _learner(name: str, declared: NamedModel, found: CatalogueStudent | None) -> Learner:
    context, heads = shape_of_folder(declared.model) if found is None else (None, None)
    system, thinking = declared.default_system, declared.enable_thinking
    if found is not None:
        system = found.default_system if system is None else system
        thinking = found.enable_thinking if thinking is None else thinking
    return Learner(
        name,
        found.model if found else declared.model,
        declared.template or (found.template if found else ""),
        system,
        thinking,
        None,
        declared.context or (found.context if found else context),
        declared.heads or (found.heads if found else heads),
        revision=declared.revision,
        parameters=declared.parameters or (found.parameters if found else None),
    )


def named_models(students: Sequence[Learner], models: Mapping[str, Model]) -> dict[str, Model]:
    """Return the models of a study with those that it names without declaring them.

    Their values are those of the catalogue, so that a run folder says them.
    """
    added: dict[str, Model] = {
        one.name: NamedModel(
            model=str(one.model),
            template=one.template,
            default_system=one.default_system,
            enable_thinking=one.enable_thinking,
            revision=one.revision,
            parameters=one.parameters,
            context=one.context,
            heads=one.heads,
        )
        for one in students
        if one.name not in models and one.model and not one.endpoint
    }
    return {**models, **added}


def shape_of_folder(folder: str | Path) -> tuple[int | None, int | None]:
    """Return the context and the attention heads that a local model's `config.json` states."""
    config = _config_of_folder(Path(folder)) or {}
    values = (config.get("max_position_embeddings"), config.get("num_attention_heads"))
    context, heads = (value if isinstance(value, int) else None for value in values)
    return context, heads


def _config_of_folder(folder: Path) -> dict[str, Any] | None:
    """Return a local model's configuration; None of a hub id, or a folder the hosts will refuse."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except NOT_JSON:
        return None
    return config if isinstance(config, dict) else None
