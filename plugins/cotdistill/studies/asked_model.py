"""A model by its name: one of a study's `models:`, or of the catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from cotdistill.errors import MisuseError, did_you_mean

if TYPE_CHECKING:
    from cotdistill.teach.budget import Price


@dataclass(frozen=True)
class AskedModel:
    """What is known of a model; without `endpoints` it is loaded here, from the hub or a folder."""

    model: str
    endpoints: tuple[str, ...] = ()
    key_env: str | None = None
    api: Literal["chat", "completions"] = "chat"
    revision: str | None = None
    price: Price | None = None
    any_model: bool = False
    openai_reasoning: bool = False


def model_called(name: str, study: str | None) -> AskedModel:
    """Return the model of a name: of a study's `models:` if one is given, else of the catalogue.

    Raises:
        MisuseError: there is no such name, or that model cannot be asked from here.

    >>> model_called("Qwen2.5-0.5B-Instruct", None).model
    'Qwen/Qwen2.5-0.5B-Instruct'
    """
    from cotdistill.catalogue.packaged import students

    if study is not None:
        return model_of_study(name, study)
    known = students()
    if name not in known:
        hint = did_you_mean(name, list(known))
        raise MisuseError(
            f"no model '{name}' in the catalogue; {hint}; name a study's with --study FILE, or say "
            "where it answers with --endpoint URL --model NAME"
        )
    return AskedModel(known[name].model)


def model_of_study(name: str, study: str) -> AskedModel:
    """Return a model of a study's `models:`.

    Raises:
        MisuseError: the study has none of that name, or it is made while the study runs.
        FaultsError: the study has faults.
    """
    from cotdistill.catalogue.packaged import students
    from cotdistill.studies.declared_model import EndpointModel, NamedModel
    from cotdistill.studies.load import load_study
    from cotdistill.teach.budget import Price

    declared = load_study(study)[0].models
    found = declared.get(name)
    if found is None:
        raise MisuseError(f"{study}: no model '{name}'; {did_you_mean(name, list(declared))}")
    price = getattr(found, "price", None)
    cost = None if price is None else Price(price.input, price.output)
    if isinstance(found, EndpointModel):
        return AskedModel(
            found.model,
            found.urls,
            found.key_env,
            found.api,
            price=cost,
            any_model=found.any_model,
            openai_reasoning=found.openai_reasoning,
        )
    if isinstance(found, NamedModel):
        packaged = students()
        model = packaged[found.model].model if found.model in packaged else found.model
        return AskedModel(model, revision=found.revision, price=cost)
    raise MisuseError(
        f"{study}: '{name}' is made while the study runs; an arm of teach: or sample: asks it, or "
        "name its folder with --model"
    )
