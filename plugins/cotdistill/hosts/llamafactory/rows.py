"""What LLaMA-Factory really trains on: its own data code, asked in the training environment.

`ask_python` starts this file there. Each row is tokenised twice, once at the file's cutoff_len and
once without a limit, because LLaMA-Factory truncates silently (infer_seqlen in its data/processor).
With packing it takes one token off cutoff_len.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

_NO_LIMIT = 1 << 22
_NOT_TRAINED = -100
_COUNTS = ("rows", "truncated", "prompts_cut", "answers_cut", "no_loss", "tokens", "trained_tokens")


def report(arguments: dict[str, Any], show: int) -> dict[str, Any]:
    """Return what the host makes of a training file's rows."""
    import torch
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import get_train_args
    from llamafactory.model import load_tokenizer

    taken = int(bool(arguments.get("packing") or arguments.get("neat_packing")))
    arguments = {
        key: value for key, value in arguments.items() if key not in ("packing", "neat_packing")
    }
    arguments |= {"overwrite_cache": True, "report_to": "none"}
    if not torch.cuda.is_available():
        arguments |= {"use_cpu": True}
    passes: list[Any] = []
    template = tokenizer = None
    for cutoff in (arguments.get("cutoff_len", 2048) - taken, _NO_LIMIT):
        model, data, training, _, _ = get_train_args({**arguments, "cutoff_len": cutoff})
        loaded = load_tokenizer(model)
        tokenizer = loaded["tokenizer"]
        template = get_template_and_fix_tokenizer(tokenizer, data)
        rows = get_dataset(template, model, data, training, stage="sft", **loaded)
        passes.append(rows)
    assert tokenizer is not None
    cut, whole = (rows["train_dataset"] for rows in passes)
    counts = Counter[str]()
    lengths: Counter[int] = Counter()
    for short, long in zip(cut, whole, strict=True):  # one row at a time: an arm may be large
        counts["rows"] += 1
        counts["truncated"] += len(short["input_ids"]) < len(long["input_ids"])
        counts["prompts_cut"] += _prompt(short) < _prompt(long)
        counts["answers_cut"] += _trained(short) < _trained(long)
        counts["no_loss"] += not _trained(short)
        counts["tokens"] += len(short["input_ids"])
        counts["trained_tokens"] += _trained(short)
        lengths[len(long["input_ids"]) + taken] += 1
    first = whole[0]
    return {
        **{name: counts[name] for name in _COUNTS},
        "validation_rows": _rows_in(passes[0].get("eval_dataset")),
        "longest": max(lengths),
        "lengths": sorted(lengths.items()),
        "ends_with": tokenizer.decode(first["labels"][-2:]) if _trained(first) else "",
        "shown": [_shown(cut[number], tokenizer) for number in range(min(show, len(cut)))],
        "prompt": tokenizer.decode(
            [i for i, j in zip(first["input_ids"], first["labels"], strict=True) if j < 0]
        ),
    }


def _rows_in(held_back: Any) -> int:
    """Return the rows that `val_size` keeps for the evaluation loss, of one dataset or several."""
    if held_back is None:
        return 0
    return sum(map(len, held_back.values())) if isinstance(held_back, dict) else len(held_back)


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
    truncated prompts and answers, rows without loss and tokens, gives the number of rows of each
    length in tokens without a limit, and shows the trained text.
    """
    reports = []
    for file in files:
        try:
            reports.append(report(file["arguments"], file["show"]))
        except Exception as error:  # whatever the host raises is the answer to this one
            text = " ".join(str(error).split())[:300]
            reports.append({"error": f"{type(error).__name__}: {text}"})
    return reports
