"""The probes of merges: how they ask, where their responses lie, what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator

from cotdistill.errors import Fault
from cotdistill.studies.arm import TeachArm
from cotdistill.studies.declared_model import FolderOfModels, MergedModel, Probe, ScratchModel
from cotdistill.studies.requests import TeachRequest
from cotdistill.studies.study import Study


def probes_of(study: Study) -> dict[str, Probe]:
    """Return the probes of a study by the merge that each looks at."""
    return {
        name: model.probe
        for name, model in study.models.items()
        if isinstance(model, MergedModel) and model.probe is not None
    }


def probed_arm(study: Study, merge: str) -> tuple[str, TeachRequest] | None:
    """Return the first arm that a merge teaches from questions, and what it asks."""
    for name, arm in study.arms.items():
        if isinstance(arm, TeachArm) and arm.teach.teacher == merge and not arm.teach.rewrite_of:
            return name, arm.teach
    return None


def probe_folders(study: Study, merge: str) -> dict[str, str]:
    """Return where the responses of the three models of a probe lie, by model.

    Probes that ask one model the same share its responses.
    """
    seen: dict[tuple[str, str], str] = {}
    found: dict[str, str] = {}
    for name, probe in probes_of(study).items():
        found = {}
        for model in (probe.short, name, probe.long):
            mark = (model, _asked_in_words(study, name, probe))
            number = sum(one == model for one, _ in seen)
            seen.setdefault(mark, f"probe/{model}" + (f"+{number + 1}" if number else ""))
            found[model] = seen[mark]
        if name == merge:
            break
    return found


def probe_record_of(merge: str) -> str:
    """Return where the record of a probe lies.

    >>> probe_record_of("assistant")
    'probe/assistant.json'
    """
    return f"probe/{merge}.json"


def _asked_in_words(study: Study, merge: str, probe: Probe) -> str:
    arm = probed_arm(study, merge)
    assert arm is not None  # else a fault of the study
    of_teaching = {"teacher", "budget", "budget_tokens", "one_call"}
    return f"{probe.questions} {arm[1].model_dump_json(exclude=of_teaching)}"


def probe_faults(study: Study, place: str) -> Iterator[Fault]:
    """Yield what keeps a probe from comparing three models."""
    for merge, probe in probes_of(study).items():
        where = f"{place}:models.{merge}.probe"
        if probed_arm(study, merge) is None:
            wrong = f"'{merge}' teaches no arm, so nothing says how to ask it"
            yield Fault(where, wrong, "an arm with teach: and this teacher", "or leave it out")
        if len({merge, probe.short, probe.long}) < 3:
            yield Fault(where, "compares a model with itself", "three different models")
        for key in ("short", "long"):
            declared = study.models.get(getattr(probe, key))
            if isinstance(declared, ScratchModel | FolderOfModels):
                yield Fault(f"{where}.{key}", "cannot be asked", "a model with weights or a server")
