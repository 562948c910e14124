"""How a score was made: what must be equal for two scores to compare, and what should be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cotdistill.files.jsonl import Row

_SAFE_TO_DIFFER = ("chat template",)  # each student has its own


@dataclass(frozen=True)
class RunSettings:
    """The settings that a run logged for one task.

    Each maps a name to a value as text; names that a run does not log are absent. Scores compare
    only where `must` is equal; where `should` differs, they may not.
    """

    must: Mapping[str, str]
    should: Mapping[str, str]

    @property
    def all(self) -> Mapping[str, str]:
        """Every setting by its name."""
        return {**self.must, **self.should}


NOT_LOGGED = RunSettings({}, {})


@dataclass(frozen=True)
class UnequalSetting:
    """A setting that differs: which, whether it must not, and which runs have which value."""

    name: str
    must: bool
    values: Mapping[str, tuple[str, ...]]


def settings_of(results: Row, task: str) -> RunSettings:
    """Return the settings of a task that a results file logs.

    >>> settings_of({"versions": {"t": 1.0}, "config": {"model": "hf"}}, "t")
    RunSettings(must={'task version': '1.0'}, should={'engine': 'hf'})
    """
    config = results.get("config") or {}
    of_task = (results.get("configs") or {}).get(task) or {}
    decoding = {**_mapping(of_task.get("generation_kwargs")), **_mapping(config.get("gen_kwargs"))}
    arguments = arguments_of(config)
    must = {
        "task version": (results.get("versions") or {}).get(task),
        "decoding": decoding or None,
        "few-shot examples": (results.get("n-shot") or {}).get(task),
        "repeats": of_task.get("repeats"),
    }
    should = {
        "engine": config.get("model"),
        "dtype": config.get("model_dtype") or arguments.get("dtype"),
        "tensor parallel size": arguments.get("tensor_parallel_size"),
        "batch size": config.get("batch_size"),
        "lm-eval": results.get("lm_eval_version"),
        "transformers": results.get("transformers_version"),
        "chat template": results.get("chat_template_sha"),
        "system prompt": results.get("system_instruction_sha"),
    }
    return RunSettings(_texts(must), _texts(should))


def unequal_settings(runs: Sequence[tuple[str, RunSettings]]) -> list[UnequalSetting]:
    """Return what is not equal over runs that are to be compared, what must be equal first.

    Runs without any logged setting are left out. A setting that only some runs log counts as
    "not logged" for the others.

    >>> hf, vllm = (RunSettings({"task version": "1"}, {"engine": name}) for name in ("hf", "vllm"))
    >>> unequal_settings([("a", hf), ("b", vllm), ("c", NOT_LOGGED)])
    [UnequalSetting(name='engine', must=False, values={'hf': ('a',), 'vllm': ('b',)})]
    """
    logged = [(run, settings) for run, settings in runs if settings.all]
    found = []
    for must in (True, False):
        parts = [(run, settings.must if must else settings.should) for run, settings in logged]
        for name in dict.fromkeys(name for _, part in parts for name in part):
            values: dict[str, tuple[str, ...]] = {}
            for run, part in parts:
                value = part.get(name, "not logged")
                values[value] = (*values.get(value, ()), run)
            if len(values) > 1:
                found.append(UnequalSetting(name, must, values))
    return found


def settings_warnings(tasks: Mapping[str, Sequence[tuple[str, RunSettings]]]) -> list[str]:
    """Return a line a task and setting that should be equal over all runs of a study and is not."""
    return [
        f"{task}: {one.name} differs between runs, so their scores may not compare: "
        + "; ".join(f"{value} ({runs[0]}{_more(runs)})" for value, runs in one.values.items())
        for task, runs_of_task in tasks.items()
        for one in unequal_settings(runs_of_task)
        if one.name not in _SAFE_TO_DIFFER
    ]


def _more(runs: Sequence[str]) -> str:
    return f" and {len(runs) - 1} more" if len(runs) > 1 else ""


def arguments_of(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the model's arguments of lm-eval's settings, a mapping or `key=value,key=value`.

    >>> arguments_of({"model_args": "pretrained=some/model,dtype=float32"})["pretrained"]
    'some/model'
    """
    return _mapping(config.get("model_args"))


def model_of(config: Mapping[str, Any]) -> str:
    """Return the folder or name of the model in lm-eval's settings, empty where there is none.

    >>> model_of({"model_args": {"pretrained": "some/model", "dtype": "float32"}})
    'some/model'
    """
    return str(arguments_of(config).get("pretrained") or "")


def _mapping(value: Any) -> dict[str, Any]:
    """Read what lm-eval logs either as a mapping or as `key=value,key=value`."""
    if isinstance(value, dict):
        return value
    if isinstance(value, str) and "=" in value:
        return dict(part.split("=", 1) for part in value.split(",") if "=" in part)
    return {}


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: ", ".join(f"{key}={value[key]}" for key in sorted(value))
        if isinstance(value, dict)
        else str(value)
        for name, value in values.items()
        if value is not None
    }
