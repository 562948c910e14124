"""Predict the cost of a training run: steps, operations, memory, each by a stated formula."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Method = Literal["full", "lora", "qlora"]

_WEIGHTS = {
    "full": 2.0,  # bytes per parameter: bf16
    "lora": 2.0,
    "qlora": 0.56,  # 4 bits and their double-quantised scales: Dettmers 2023, arXiv:2305.14314
}
_GRADIENTS = 2.0  # bf16; trained weights only
_OPTIMISER = 12.0  # fp32 master weights and both of Adam's moments
_ADAPTERS = 0.01  # approximate share of the weights that LoRA trains
_ACTIVATION_BYTES = 34  # per token, layer and hidden unit, recomputed layer by layer
_LOGIT_BYTES = 10  # per token and vocabulary entry: bf16 logits, fp32 copy and gradient
_STATES = 8.0  # fp32 moments of Adam, in a checkpoint
_SHARDED_STATES = 14.0  # DeepSpeed's: bf16 weights, fp32 master weights and moments
_REPLY = 330  # bytes of a journal's line without its text
_ROW = 950  # of a row of traces without its rationale, with a question of 60 tokens
_BYTES_A_TOKEN = 3.5
_GIB = 2**30


GPU_TERAFLOPS = 312.0  # an A100's, dense bf16
GPU_DECODE = 2000.0  # tokens a second


@dataclass(frozen=True)
class Machine:
    """One device: peak speed (None where not known), the share that training reaches, memory.

    Units: TFLOP/s (dense bf16); a fraction; GiB.
    """

    teraflops: float | None = GPU_TERAFLOPS
    utilisation: float = 0.35
    memory: float = 80.0


def training_steps(
    rows: int, global_batch: int, epochs: float | None, max_steps: int | None
) -> int:
    """Return optimizer steps as the trainer counts them, including the last, smaller batch.

    >>> training_steps(5383, 8, 2, None)
    1346
    >>> training_steps(8000, 32, None, 400)
    400
    """
    if max_steps is not None:
        return max_steps
    return math.ceil(math.ceil(rows / global_batch) * (epochs or 0.0))


def training_seconds(
    parameters: float, tokens: float, method: Method, machine: Machine, teacher: float = 0.0
) -> float | None:
    """Return device seconds for a number of tokens, padding included; None at an unknown speed.

    Formula: 6 operations per parameter and token (2 forward, 4 backward), 2 more for gradient
        checkpointing; with frozen weights their own gradient (2) is not computed. A teacher that
        is asked at each step takes 2 per parameter and token.
    Source: Kaplan et al. 2020, arXiv:2001.08361, sec. 2.1.
    Units: parameters in billions, the teacher's too.

    >>> round(training_seconds(7.0, 1e9, "full", Machine()) / 3600, 1)
    142.5
    """
    if machine.teraflops is None:
        return None
    own = {"full": 8.0, "lora": 6.0, "qlora": 6.0}[method] * parameters
    operations = (own + 2.0 * teacher) * 1e9 * tokens
    return operations / (machine.teraflops * 1e12 * machine.utilisation)


def training_memory(
    parameters: float,
    method: Method,
    devices: int,
    deepspeed: str | None,
    tokens_at_once: int,
    vocabulary: int = 152_000,
) -> float:
    """Return GiB per device: weights, gradients, optimizer, checkpointed activations, logits.

    Formula: bytes per parameter by method, divided over devices as ZeRO does; activations of one
        layer recomputed at a time with one kept input per layer, for a hidden size and a depth of
        the usual shape (12 · layers · hidden² parameters, hidden = 128 · layers); the logits.
    Source: Rajbhandari et al. 2020, arXiv:1910.02054; Korthikanti et al. 2022, arXiv:2205.05198.
    Units: parameters in billions; `tokens_at_once` is per-device batch × cutoff.

    >>> round(training_memory(0.5, "full", 1, None, 2048))
    11
    """
    trained = 1.0 if method == "full" else _ADAPTERS
    weights = _WEIGHTS[method] / (devices if "z3" in (deepspeed or "") else 1)
    gradients = trained * _GRADIENTS / (devices if deepspeed else 1)
    optimiser = trained * _OPTIMISER / (devices if deepspeed else 1)
    if "offload" in (deepspeed or ""):
        optimiser = 0.0  # kept in the host's memory
        if "z3" in (deepspeed or ""):
            weights = 0.0
    own = parameters * 1e9 * (weights + gradients + optimiser)
    layers = math.cbrt(parameters * 1e9 / (12 * 128**2))
    hidden = 128 * layers
    activations = tokens_at_once * hidden * (_ACTIVATION_BYTES + 2 * layers)
    logits = tokens_at_once * vocabulary * _LOGIT_BYTES
    return (own + activations + logits) / _GIB


def model_memory(parameters: float, bytes_a_weight: float = _WEIGHTS["full"]) -> float:
    """Return GiB of a model that is only asked: its weights, in bf16 unless said otherwise.

    Units: parameters in billions.

    >>> round(model_memory(7.61), 1)
    14.2
    """
    return parameters * 1e9 * bytes_a_weight / _GIB


def training_disk(
    parameters: float, method: Method, deepspeed: str | None, checkpoints: int = 1
) -> tuple[float, float]:
    """Return GiB on disk for one run: when it has finished, and at most while it trains.

    Formula: LLaMA-Factory keeps trained weights in fp32 (4 bytes; 2 with DeepSpeed, which gathers
        bf16) and saves them once at the end and once in each checkpoint kept, of which the last is
        stored as the model itself once the run has finished; until then a checkpoint has the
        optimizer's states as well, and one more checkpoint is there while the oldest gives way.
        LoRA saves its adapters so, and the merged model in bf16.
    Source: bytes of a checkpoint of LLaMA-Factory 0.9.5 with bf16, without DeepSpeed: 4.0 for the
        weights and 8.2 for the states a parameter.
    Units: parameters in billions.

    >>> [round(size, 1) for size in training_disk(0.5, "full", None)]
    [1.9, 13.0]
    """
    trained = parameters * 1e9 * (1.0 if method == "full" else _ADAPTERS)
    weights, states = (2.0, _SHARDED_STATES) if deepspeed else (4.0, _STATES)
    merged = 0.0 if method == "full" else 2.0 * parameters * 1e9
    kept = trained * weights * max(1, checkpoints) + merged
    training = trained * (weights + (weights + states) * (1 + checkpoints))
    return kept / _GIB, max(training, kept) / _GIB


def written_disk(replies: int, tokens: int) -> float:
    """Return GiB on disk of what a model answers: its journal, and the rows made from it.

    Formula: a reply takes 330 bytes and its text in the journal, a row 950 and the text again.
    Source: journals and traces of taught rows have 247 to 329 bytes a reply and 558 to 685 a row
        without their texts; English has about 3.5 bytes a token.

    >>> round(written_disk(1_000_000, 100_000_000), 2)
    1.84
    """
    return (replies * (_REPLY + _ROW) + 2 * tokens * _BYTES_A_TOKEN) / _GIB


def signals_disk(tokens: float, top_k: int, temperature: float) -> float:
    """Return GiB on disk of a teacher's signals for trained tokens.

    Formula: an entry takes 2.4 bytes after compression (id and log probability), a token 4 more
        (the mass outside and its own log probability), 4 more at a temperature other than 1.
    Source: SmolLM2's for 20,544 tokens of rationales took 80.5 bytes a token at k = 32 and 42.2
        at k = 16.

    >>> round(signals_disk(1, 32, 1.0) * 2**30, 1), round(signals_disk(1, 16, 1.0) * 2**30, 1)
    (80.8, 42.4)
    """
    return tokens * (2.4 * top_k + 4 + (4 if temperature != 1.0 else 0)) / _GIB


def in_words(gib: float) -> str:
    """Return a size for people.

    >>> in_words(12.34), in_words(0.01)
    ('12.3 GiB', '10.2 MiB')
    """
    return f"{gib:,.1f} GiB" if gib >= 0.1 else f"{gib * 1024:,.1f} MiB"
