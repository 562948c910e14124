"""Over how many GPUs vLLM spreads a model that is evaluated."""

from __future__ import annotations

from cotdistill.studies.learner import Learner

DEVICE_GB = 80.0
"""Memory of one GPU that is reckoned with, an H100's; model_args of a study decide otherwise."""
_OF_WEIGHTS = 0.7
"""Share of it that weights may fill; the rest is for the attention cache and the activations."""
_BYTES = {"bfloat16": 2, "float16": 2, "half": 2, "float32": 4, "float": 4, "auto": 2}


def tensor_parallel_size(learner: Learner, dtype: str, gpus: int) -> int:
    """Return the least power of two of GPUs whose memory holds a model, as far as there are.

    One where the size is not known. The attention heads are divided evenly.

    >>> from dataclasses import replace
    >>> student = Learner("s", "org/s", "llama3", None, None, None, heads=64, parameters=70.6)
    >>> [tensor_parallel_size(student, "bfloat16", gpus) for gpus in (1, 2, 4, 8)]
    [1, 2, 4, 4]
    >>> tensor_parallel_size(replace(student, parameters=7.6), "bfloat16", 8)
    1
    """
    gigabytes = (learner.parameters or 0.0) * _BYTES.get(dtype, 2)
    size = 1
    while size * 2 <= gpus and size * _OF_WEIGHTS * DEVICE_GB < gigabytes:
        if learner.heads and learner.heads % (size * 2):
            break
        size *= 2
    return size
