"""What LLaMA-Factory really trains on: its own data code, asked in the training environment.

`ask_python` starts this file there. Each row is tokenised twice, once at the file's cutoff_len and
once without a limit, because LLaMA-Factory truncates silently (infer_seqlen in its
data/processor).
"""

from __future__ import annotations

from typing import Any

_NO_LIMIT = 1 << 22
_NOT_TRAINED = -100


def report(arguments: dict[str, Any], show: int) -> dict[str, Any]:
    """Return what the host makes of a training file's rows."""
    import torch
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import get_train_args
    from llamafactory.model import load_tokenizer

    arguments = {
        key: value
        for key, value in arguments.items()
        if key not in ("deepspeed", "fsdp", "fsdp_config", "packing", "neat_packing")
    }
    arguments |= {"overwrite_cache": True, "report_to": "none"}
    if not torch.cuda.is_available():
        arguments |= {"use_cpu": True}
    kept: list[list[Any]] = []
    template = tokenizer = None
    for cutoff in (arguments.get("cutoff_len", 2048), _NO_LIMIT):
        model, data, training, _, _ = get_train_args({**arguments, "cutoff_len": cutoff})
        loaded = load_tokenizer(model)
        tokenizer = loaded["tokenizer"]
        template = get_template_and_fix_tokenizer(tokenizer, data)
        rows = get_dataset(template, model, data, training, stage="sft", **loaded)
        kept.append(list(rows["train_dataset"]))
    cut, whole = kept
    assert tokenizer is not None
    return {
        "rows": len(cut),
        "prompts_cut": sum(_prompt(a) < _prompt(b) for a, b in zip(cut, whole, strict=True)),
        "answers_cut": sum(_trained(a) < _trained(b) for a, b in zip(cut, whole, strict=True)),
        "no_loss": sum(not _trained(row) for row in cut),
        "tokens": sum(len(row["input_ids"]) for row in cut),
        "trained_tokens": sum(_trained(row) for row in cut),
        "longest": max(len(row["input_ids"]) for row in whole),
        "ends_with": tokenizer.decode(whole[0]["labels"][-2:]) if _trained(whole[0]) else "",
        "shown": [_shown(row, tokenizer) for row in cut[:show]],
        "prompt": tokenizer.decode(
            [i for i, j in zip(whole[0]["input_ids"], whole[0]["labels"], strict=True) if j < 0]
        ),
    }


def _trained(row: dict[str, list[int]]) -> int:
    return sum(label != _NOT_TRAINED for label in row["labels"])


def _prompt(row: dict[str, list[int]]) -> int:
    return sum(label == _NOT_TRAINED for label in row["labels"])


def _shown(row: dict[str, list[int]], tokenizer: Any) -> list[list[Any]]:
    """Return a row as pieces of text, each with whether it is trained on."""
    pieces: list[list[Any]] = []
    start = 0
    trained = [label != _NOT_TRAINED for label in row["labels"]]
    for end in range(1, len(trained) + 1):
        if end == len(trained) or trained[end] != trained[start]:
            pieces.append([trained[start], tokenizer.decode(row["input_ids"][start:end])])
            start = end
    return pieces


def answer(files: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a report for each file, or in `error` why there is none.

    A file is {"arguments": a training file's mapping, "show": rows to show}. A report counts rows,
    truncated prompts and answers, rows without loss and tokens, and shows the trained text.
    """
    reports = []
    for file in files:
        try:
            reports.append(report(file["arguments"], file["show"]))
        except Exception as error:  # whatever the host raises is the answer to this one
            text = " ".join(str(error).split())[:300]
            reports.append({"error": f"{type(error).__name__}: {text}"})
    return reports
