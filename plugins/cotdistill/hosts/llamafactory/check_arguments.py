"""LLaMA-Factory's own parser on many configuration files; `ask_python` starts it there.

What depends on the machine and not on the file is left out: `deepspeed` needs torchrun, and `fsdp`
needs a GPU.
"""

from __future__ import annotations

from typing import Any


def answer(files: list[tuple[str, str, dict[str, Any]]]) -> list[tuple[str, str, str]]:
    """Return (place, kind of error, text) for each file that the parser refuses.

    A file is (place, "train" or "export", arguments).
    """
    import torch
    from llamafactory.hparams import get_infer_args, get_train_args

    refused = []
    for place, kind, arguments in files:
        if kind == "train":
            arguments.pop("deepspeed", None)
            if not torch.cuda.is_available():
                arguments["use_cpu"] = True
                if arguments.get("fsdp"):
                    arguments.pop("fsdp")
                    arguments.pop("fsdp_config", None)
        try:
            (get_train_args if kind == "train" else get_infer_args)(arguments)
        except Exception as error:  # whatever the parser raises is the finding
            refused.append((place, type(error).__name__, str(error)))
    return refused
