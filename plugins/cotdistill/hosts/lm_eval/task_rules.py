"""What a task file of ours must say, and what lm-eval would quietly do where it does not.

lm-eval skips a broken file, ignores a key it does not know, stops generating after 256 tokens, and
sends one seed with every repeat. Each rule here is one of those traps, found by reading the file
before the host does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cotdistill.errors import Fault, did_you_mean

_OURS = ("include", "task", "group", "tag", "class")
_SETTINGS = ("until", "max_gen_toks", "do_sample", "temperature", "seed")


def key_faults(
    place: str, written: Mapping[str, Any], task_keys: Sequence[str], group_keys: Sequence[str]
) -> list[Fault]:
    """Return a fault for every key that lm-eval does not know and would ignore or refuse.

    >>> print(*key_faults("x.yaml", {"num_fewshots": 0}, ["num_fewshot"], []))
    x.yaml: unknown key 'num_fewshots'; did you mean 'num_fewshot'?
    """
    known = [*_OURS, *(group_keys if "group" in written else task_keys)]
    return [
        Fault(place, f"unknown key '{key}'", "", did_you_mean(str(key), known))
        for key in written
        if key not in known
    ]


def setting_faults(place: str, task: Mapping[str, Any]) -> list[Fault]:
    """Return a fault for everything that a generative task, includes resolved, leaves to defaults.

    >>> [fault.wrong for fault in setting_faults("x.yaml", {"output_type": "multiple_choice"})]
    []
    """
    if task.get("output_type", "generate_until") != "generate_until":
        return []
    given = task.get("generation_kwargs") or {}
    faults = [
        Fault(place, f"generation_kwargs does not set '{name}'", "every setting written out")
        for name in _SETTINGS
        if name not in given
    ]
    if given.get("seed") is not None:
        wrong = f"seed is {given['seed']}: an API server then gives equal samples"
        faults.append(Fault(place, wrong, "seed: null"))
    if task.get("num_fewshot") is None:
        faults.append(Fault(place, "num_fewshot is not set", "a number, 0 for none"))
    if "version" not in (task.get("metadata") or {}):
        faults.append(Fault(place, "metadata has no version", "metadata: {version: 1.0}"))
    repeats = task.get("repeats", 1)
    if repeats > 1 and not (given.get("do_sample") and given.get("temperature")):
        wrong = f"{repeats} repeats, decoded greedily, are all the same"
        faults.append(Fault(place, wrong, "do_sample: true and a temperature above 0"))
    if repeats > 1 and not task.get("filter_list"):
        wrong = f"{repeats} repeats without a filter: lm-eval keeps the first"
        faults.append(Fault(place, wrong, "a filter that keeps all"))
    return faults
