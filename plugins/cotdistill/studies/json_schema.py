"""The JSON Schema of study files: every key as a file may write it, described, with an example.

The shapes are those of a study whose grids are expanded. What a file may say besides (`for:`,
`extends:`, a bare name for a model, the short forms of tasks) is added here, and so are the texts
of shapes that other parts of the package share.
"""

from __future__ import annotations

from typing import Any

from cotdistill.studies.study import Study

Schema = dict[str, Any]

_FOR: Schema = {
    "description": "a grid: axes with their values, or a list of such grids; the axis `datasets` "
    "runs over registered datasets by their factors. Axes stand in braces in name and values",
    "examples": [{"level": [1, 3, 6]}, {"datasets": {"questions": "SVAMP", "teacher": "chatgpt"}}],
    "anyOf": [{"type": "object"}, {"type": "array", "items": {"type": "object"}}],
}
_EXTENDS: Schema = {
    "description": "another recipe whose keys it takes where it has none of its own",
    "examples": ["full"],
    "type": "string",
}
_ARMS = ("DatasetArm", "FileArm", "MixedArm", "PuzzleArm", "UntouchedArm", "AnswersArm",
         "TeachArm", "SampleArm", "LoopArm")  # fmt: skip

_MODELS = ("NamedModel", "ScratchModel", "EndpointModel", "MergedModel", "TrainedModel",
           "FolderOfModels")  # fmt: skip

_OF_MODELS = ("MergeShare", "RunReference", "Scratch", "Price")

_SHARED: dict[str, dict[str, tuple[str, Any]]] = {
    "ArmFilters": {
        "grade": (
            "strict: stated right answers; lenient: also those found without a marker",
            "off",
        ),
        "sound": ("only rationales without a false equation", True),
        "min_tokens": ("shorter rationales are dropped", 20),
        "max_tokens": ("longer rationales are dropped", 4096),
        "tokenizer": ("counts the tokens; null: what provenance says, else words", "gpt2"),
        "finish_reasons": ("only generations that ended so", ["stop"]),
        "duplicates": ("which copies are dropped", ["exact", "normalised"]),
        "duplicates_within": ("among all rows, or those of one source", "source"),
        "drop": ("defects by which rows are dropped; docs/how-to/corpus.md lists them", ["loop"]),
        "against": ("benchmarks or files whose questions are dropped", ["svamp"]),
        "overlap": ("what counts as the same question", ["same_question"]),
        "paired": ("a question stays only where every source has a kept trace", True),
        "at_least": ("a question stays only with so many kept traces", 2),
        "per_question": ("at most so many traces of a question", 1),
        "choose": ("which of a question's traces stay", "first"),
        "fix": ("fix defects whose fix cannot change the meaning", True),
    },
    "FileColumns": {
        "prompt": ("column of the question", "problem"),
        "query": ("column of further input", "input"),
        "response": ("column of the rationale", "solution"),
        "system": ("column of the system prompt", "system"),
    },
    "Scratch": {
        "architecture": ("llama or qwen2", "qwen2"),
        "hidden_size": ("width", 128),
        "layers": ("layers", 2),
        "heads": ("attention heads", 4),
        "intermediate_size": ("width of the feed-forward part", 512),
        "vocab_size": ("at most so many tokens", 512),
        "context": ("tokens that a prompt and its answer may have", 512),
        "seed": ("of the first weights", 0),
    },
    "Target": {
        "answer": ("the answer that the source states, or the reference answer", "gold"),
        "separator": ("what stands between rationale and answer", " --> "),
        "strip": ("leaves out spaces and line breaks before the text", True),
    },
    "Teacher": {
        "model": ("hub id or path of the teacher", "Qwen/Qwen2.5-7B-Instruct"),
        "signals": ("folder of stored signals instead of a model", "signals/svamp"),
        "revision": ("of the model on the hub", "main"),
        "adapters": ("adapters on top of it", ["./lora"]),
        "quantization": ("loads it in fewer bits", 4),
    },
}


def study_json_schema() -> Schema:
    """Return the JSON Schema of study files.

    >>> schema = study_json_schema()
    >>> schema["$defs"]["Recipe"]["properties"]["extends"]["type"]
    'string'
    """
    schema = Study.model_json_schema()
    shapes = schema["$defs"]
    for name, keys in _SHARED.items():
        for key, (about, example) in keys.items():
            entry = shapes.get(name, {}).get("properties", {}).get(key)
            if entry is not None:
                entry.setdefault("description", about)
                entry.setdefault("examples", [example])
    for name in (*_ARMS, *_MODELS, "Recipe"):
        if name in shapes:
            shapes[name]["properties"]["for"] = _FOR
    shapes["Recipe"]["properties"]["extends"] = _EXTENDS
    for name in _ARMS:  # a grid may write an axis, such as "{level}", where a number is meant
        for entry in shapes.get(name, {}).get("properties", {}).values():
            _also_a_hole(entry)
    for name in (*_MODELS, *_OF_MODELS, "TeachRequest", "SampleRequest", "Recipe", "Distill"):
        for entry in shapes.get(name, {}).get("properties", {}).values():
            _also_a_hole(entry)
    for shape in (schema, *shapes.values()):
        for entry in shape.get("properties", {}).values():
            _also_a_switch(entry)
    models = schema["properties"]["models"]
    models["additionalProperties"] = {
        "anyOf": [{"type": "string"}, models["additionalProperties"]],
    }
    schema["properties"]["evaluation"].setdefault("description", "how models are scored")
    tasks = shapes["Evaluation"]["properties"]["tasks"]
    tasks["items"] = {"anyOf": [{"type": "string"}, {"type": "object"}]}
    return schema


def _also_a_hole(entry: Schema) -> None:
    if entry.get("type") in ("integer", "number", "boolean"):
        numeric = {k: entry.pop(k) for k in list(entry) if k in _OF_NUMBERS}
        entry["anyOf"] = [numeric, {"type": "string", "pattern": r"^\{\w+\}$"}]
    elif "enum" in entry:
        entry["anyOf"] = [{"enum": entry.pop("enum")}, {"type": "string", "pattern": r"^\{\w+\}$"}]
        entry.pop("type", None)
    elif any(one.get("type") in ("integer", "number") for one in entry.get("anyOf", ())):
        entry["anyOf"] = [*entry["anyOf"], {"type": "string", "pattern": r"^\{\w+\}$"}]


def _also_a_switch(entry: Schema) -> None:
    """YAML reads the words on and off as truth values, which are read back as the words."""
    choices = [entry, *entry.get("anyOf", ())]
    if any({"on", "off"} <= set(one.get("enum", ())) for one in choices):
        words = {"enum": entry.pop("enum")} if "enum" in entry else {}
        entry.pop("type", None)
        others = entry.get("anyOf", [words])
        entry["anyOf"] = [*others, {"type": "boolean"}]


_OF_NUMBERS = ("type", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
