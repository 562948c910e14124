"""What is known of any model that a study names: its size, context and template."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from cotdistill.catalogue.packaged import students
from cotdistill.studies.declared_model import (
    EndpointModel,
    FolderOfModels,
    MergedModel,
    Model,
    NamedModel,
    ScratchModel,
    TrainedModel,
)
from cotdistill.studies.learner import Learner, scratch_size, shape_of_folder


@dataclass(frozen=True)
class KnownModel:
    """What can be said of a model before it is loaded; None where nothing is known.

    Units: `context` in tokens, `parameters` in billions.
    """

    model: str | None = None
    template: str | None = None
    context: int | None = None
    parameters: float | None = None

    @functools.cached_property
    def is_encoder_decoder(self) -> bool:
        """Whether it is a T5, BART or the like, by its own files or its name."""
        return Learner("", self.model, "", None, None, None).is_encoder_decoder

    def tokens_allowed(self, wanted: int) -> int:
        """Return how many tokens a response may have, as far as the model's context allows it.

        An encoder-decoder writes with positions of its own; another model needs some for the
        prompt, for which half of its context is left where more is wanted.

        >>> KnownModel("google/flan-t5-large", context=512).tokens_allowed(4096)
        512
        >>> KnownModel("bigscience/bloom-560m", context=2048).tokens_allowed(4096)
        1024
        """
        if self.context is None:
            return wanted
        if self.is_encoder_decoder:
            return min(wanted, self.context)
        return wanted if wanted < self.context else max(1, self.context // 2)


def known_model(name: str, models: Mapping[str, Model]) -> KnownModel:
    """Return what is known of a model of a study or of the catalogue, by its name or hub id.

    >>> known_model("flan-t5-large", {}).context
    512
    """
    return _known(name, models, ())


def _known(name: str, models: Mapping[str, Model], behind: tuple[str, ...]) -> KnownModel:
    if name in behind:
        return KnownModel()  # a circle, which is a fault of its own
    declared = models.get(name)
    match declared:
        case TrainedModel():
            return _known(declared.run.model, models, (*behind, name))
        case MergedModel():
            donor = _known(declared.chosen_donor, models, (*behind, name))
            template = declared.template or donor.template
            return KnownModel(donor.model, template, donor.context, donor.parameters)
        case ScratchModel(scratch=shape):
            return KnownModel(None, None, shape.context, scratch_size(shape))
        case EndpointModel():
            return KnownModel(declared.model)
        case FolderOfModels():
            return KnownModel()
        case NamedModel() | None:
            return _named(declared or NamedModel(model=name))


def _named(declared: NamedModel) -> KnownModel:
    entry = next((s for s in students().values() if declared.model in (s.name, s.model)), None)
    if entry is None:
        context = declared.context or shape_of_folder(declared.model)[0]
        return KnownModel(declared.model, declared.template, context, declared.parameters)
    return KnownModel(
        entry.model,
        declared.template or entry.template,
        declared.context or entry.context,
        declared.parameters or entry.parameters,
    )
