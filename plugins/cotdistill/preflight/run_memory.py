"""How much memory a run takes, and how one that does not fit would."""

from __future__ import annotations

from cotdistill.preflight.cost import (
    Method,
    model_memory,
    training_memory,
)
from cotdistill.preflight.planned import Assumed
from cotdistill.studies.known_model import known_model
from cotdistill.studies.runs import Run
from cotdistill.studies.study import Study


def run_memory(run: Run, study: Study, size: float, method: Method, batch: int) -> float:
    """Return the GiB that a run takes on each device with a per-device batch."""
    recipe = study.recipes[run.recipe]
    vocabulary = run.student.scratch.vocab_size if run.student.scratch else 152_000
    own = training_memory(
        size,
        method,
        study.hardware.devices,
        recipe.deepspeed,
        batch * recipe.cutoff_len,
        vocabulary,
    )
    return own + _teacher_memory(run, study)


def _teacher_memory(run: Run, study: Study) -> float:
    """Return the GiB of a teacher's weights next to its student, whole on every device."""
    if run.loop and run.loop.capture:
        return 0.0
    wide = study.recipes[run.recipe].precision == "fp32"  # a teacher has its student's precision
    return model_memory(teacher_parameters(run, study), 4.0 if wide else 2.0)


def teacher_parameters(run: Run, study: Study) -> float:
    """Return the billions of weights of a teacher that is asked for a run; 0 without one."""
    kd = study.recipes[run.recipe].kd
    if kd is None or not isinstance(kd.teacher, str):
        return 0.0
    return known_model(kd.teacher, study.models).parameters or 0.0


def what_fits(run: Run, study: Study, size: float, assumed: Assumed) -> str:
    """Return how a run would fit: the largest per-device batch, else the templates that do."""
    recipe, memory = study.recipes[run.recipe], assumed.machine.memory
    method = method_of(recipe.template)
    at_once = recipe.global_batch // study.hardware.devices
    smaller = [n for n in range(recipe.per_device_batch - 1, 0, -1) if at_once % n == 0]
    for batch in smaller:
        if run_memory(run, study, size, method, batch) <= memory:
            return f"per_device_batch {batch} fits"
    least = run_memory(run, study, size, method, 1)
    others: tuple[Method, ...] = ("lora", "qlora")
    ways = [
        f"template {other} would need {need:.0f}"
        for other in others
        if other != method and (need := run_memory(run, study, size, other, 1)) <= memory
    ]
    needs = f"per_device_batch 1 needs {least:.0f} GiB"
    return f"{needs}; {', '.join(ways)}" if ways else f"{needs}; a shorter cutoff_len or more GPUs"


def method_of(template: str) -> Method:
    """Return how a template trains, by its name."""
    return "qlora" if "qlora" in template else "lora" if "lora" in template else "full"


def scratch_size(run: Run) -> float:
    """Return a scratch student's weights, in billions: attention and a gated MLP per layer."""
    scratch = run.student.scratch
    assert scratch is not None
    per_layer = 4 * scratch.hidden_size**2 + 3 * scratch.hidden_size * scratch.intermediate_size
    return (scratch.layers * per_layer + scratch.vocab_size * scratch.hidden_size) / 1e9
