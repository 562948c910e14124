"""The distillation head on one GPU: time, peak memory and error, next to others.

    PYTHONPATH=plugins python benchmarks/gpu/head.py [--peers FOLDER] [--seconds 240] [-o table.md]
    PYTHONPATH=plugins python benchmarks/gpu/head.py --smallest      # on a CPU: does it work?

Needs torch and no network. Liger and TRL's kernels (1.16, which need transformers) are measured
where FOLDER or the environment has them: `pip install --no-deps --target FOLDER -r
benchmarks/kd/peers.txt`, of TRL only `trl/kernels` is loaded. What is missing gets a line that says
so. Shapes are those of Qwen2.5 (0.5B from 1.5B) and of Liger's own benchmark. bfloat16, 0.7 CE +
0.3 D at T = 2, where D is KL(teacher, student) or the Jensen-Shannon divergence; five runs to warm
up, twenty timed with CUDA events, the median; the peak is above that of the inputs. The error is
that of the hidden states' gradient on 512 tokens, against the formula in float64. 8,192 tokens come
first, so that both shapes and divergences are measured where time is short.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.nn import functional

from cotdistill.distill.trainer.chunk_loss import Objective
from cotdistill.distill.trainer.head import DenseTeacher, HeadInput, head_loss, module_head_loss

sys.path.append(str(Path(__file__).parents[1] / "kd"))
from trl_kernels import load_kernels

SHAPES = {"qwen2.5": (896, 1536, 151_936), "liger": (2048, 4096, 128_256)}
TOKENS = (8192, 2048, 32_768)
SMALLEST = {"smallest": (16, 24, 1000)}
WEIGHT, TEMPERATURE = 0.3, 2.0
BETAS = {"KL": 0.0, "JSD": 0.5}
"""Liger and TRL compute the forward KL where their beta is 0, which is not JSD's limit."""
Loss = Callable[[dict[str, Any]], Any]


def ours(divergence: str, *, called: bool = False) -> Loss:
    """Return our loss, from the head's weight or through a head that is called."""
    name = {"KL": "forward_kl", "JSD": "jsd"}[divergence]
    objective = Objective(1 - WEIGHT, WEIGHT, name, TEMPERATURE, BETAS[divergence])

    def loss(x: dict[str, Any]) -> Any:
        teacher = DenseTeacher(x["ht"], lambda h: h @ x["wt"].t())
        given = HeadInput(x["h"], x["y"], teacher, len(x["w"]))
        if called:
            total, _ = module_head_loss(given, lambda h: h @ x["w"].t(), objective)
        else:
            total, _ = head_loss(given, x["w"], objective)
        return total / len(x["y"])

    return loss


def naive(divergence: str) -> Loss:
    """Return the formula over full logits."""
    beta = BETAS[divergence]

    def kl(log_p: Any, log_q: Any) -> Any:
        return functional.kl_div(log_q, log_p, reduction="batchmean", log_target=True)

    def loss(x: dict[str, Any]) -> Any:
        wide = torch.float64 if x["h"].dtype == torch.float64 else torch.float32
        student, teacher = (x["h"] @ x["w"].t()).to(wide), (x["ht"] @ x["wt"].t()).to(wide)
        log_q = functional.log_softmax(student / TEMPERATURE, -1)
        log_p = functional.log_softmax(teacher / TEMPERATURE, -1)
        if divergence == "KL":
            far = kl(log_p, log_q)
        else:
            log_m = torch.logaddexp(log_p + math.log(beta), log_q + math.log(1 - beta))
            far = beta * kl(log_p, log_m) + (1 - beta) * kl(log_q, log_m)
        return (1 - WEIGHT) * functional.cross_entropy(student, x["y"]) + WEIGHT * far

    return loss


def liger(divergence: str, *, compiled: bool) -> Loss:
    """Return Liger's chunked loss."""
    from liger_kernel.chunked_loss import LigerFusedLinearJSDLoss

    loss = LigerFusedLinearJSDLoss(
        weight_hard_loss=1 - WEIGHT, weight_soft_loss=WEIGHT, beta=BETAS[divergence],
        temperature=TEMPERATURE, compiled=compiled,
    )  # fmt: skip
    return lambda x: loss(x["h"], x["w"], x["ht"], x["wt"], x["y"])


def trl(divergence: str) -> Loss:
    """Return TRL's divergence kernel, and its log-probability kernel for cross-entropy."""
    kernels = load_kernels(sys.path)
    return lambda x: kernels.loss(x, WEIGHT, TEMPERATURE, beta=BETAS[divergence])


def losses_of(divergence: str, *, compiled: bool) -> dict[str, Loss | None]:
    """Return every implementation; None for one that is not installed."""
    found: dict[str, Loss | None] = {"ours": ours(divergence)}
    others: dict[str, Callable[[], Loss]] = {
        "Liger eager": lambda: liger(divergence, compiled=False),
        **({"Liger compiled": lambda: liger(divergence, compiled=True)} if compiled else {}),
        "TRL kernels": lambda: trl(divergence),
    }
    for name, load in others.items():
        try:
            found[name] = load()
        except ImportError as error:
            found[name] = None
            print(f"{name}: {error}", file=sys.stderr)
    called = ours(divergence, called=True)
    return found | {"naive": naive(divergence), "ours, head called": called}


class Case(NamedTuple):
    """What one line of the table measures."""

    label: str
    shape: tuple[int, int, int]
    tokens: int
    divergence: str
    name: str
    head: str


def inputs(shape: tuple[int, int, int], tokens: int, device: str, *, trained: bool) -> Any:
    """Return states, heads and labels."""
    torch.manual_seed(0)
    width, teacher_width, vocabulary = shape

    def normal(*size: int, scale: float) -> Any:
        return (torch.randn(*size, device=device) * scale).to(torch.bfloat16)

    return {
        "h": normal(tokens, width, scale=0.5).requires_grad_(),
        "w": normal(vocabulary, width, scale=0.03).requires_grad_(trained),
        "ht": normal(tokens, teacher_width, scale=0.5),
        "wt": normal(vocabulary, teacher_width, scale=0.03),
        "y": torch.randint(0, vocabulary, (tokens,), device=device),
    }


def once(loss_of: Loss, x: dict[str, Any]) -> None:
    """Go forward and backward."""
    for name in ("h", "w"):
        x[name].grad = None
    loss_of(x).backward()


def measured(loss_of: Loss, x: dict[str, Any], runs: int) -> tuple[float, float]:
    """Return the median milliseconds, and the peak GiB above the inputs."""
    if x["h"].device.type != "cuda":
        times = []
        for _ in range(runs):
            start = time.perf_counter()
            once(loss_of, x)
            times.append(1000 * (time.perf_counter() - start))
        return statistics.median(times), 0.0
    for _ in range(max(1, runs // 4)):
        once(loss_of, x)
    for name in ("h", "w"):
        x[name].grad = None
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    times = []
    for _ in range(runs):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        once(loss_of, x)
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times), (torch.cuda.max_memory_allocated() - before) / 2**30


def error(loss_of: Loss, divergence: str, shape: tuple[int, int, int], device: str) -> float:
    """Return the largest error of the states' gradient, relative to its largest entry."""
    x = inputs(shape, 512, device, trained=False)
    exact = {k: v.detach().double() if v.is_floating_point() else v for k, v in x.items()}
    exact["h"].requires_grad_()
    once(loss_of, x)
    once(naive(divergence), exact)
    wanted = exact["h"].grad
    return float((x["h"].grad.double() - wanted).abs().max() / wanted.abs().max())


def main() -> None:
    """Measure what time allows and print one table in Markdown."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers", default="", help="folder with liger_kernel and trl")
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--smallest", action="store_true")
    parser.add_argument("-o", "--output", default="")
    options = parser.parse_args()
    if options.peers:
        sys.path.append(options.peers)  # at the end: torch's own Triton comes first
    device = "cuda" if torch.cuda.is_available() else "cpu"
    card = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    lines = [
        f"{card}, torch {torch.__version__}, bfloat16", "",
        "| shape | N | loss | by | head | ms | us a token | peak GiB | gradient error |",
        "|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    print("\n".join(lines), flush=True)
    began = time.monotonic()
    shapes = SMALLEST if options.smallest else SHAPES
    losses = {one: losses_of(one, compiled=device == "cuda") for one in BETAS}
    cases = [
        Case(label, shapes[label], tokens, divergence, name, head)
        for tokens in ((64,) if options.smallest else TOKENS)
        for label in shapes
        for divergence in BETAS
        for name in losses[divergence]
        for head in ("trained", "frozen")
    ]
    not_begun = 0
    for case in cases:
        if time.monotonic() - began > options.seconds:
            not_begun += 1
            continue
        lines.append(_row(case, losses[case.divergence][case.name], device))
        print(lines[-1], flush=True)
    if not_begun:
        lines.append(f"\nTime was over: {not_begun} of {len(cases)} lines were not begun.")
        print(lines[-1], flush=True)
    if options.output:
        Path(options.output).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _row(case: Case, loss_of: Loss | None, device: str) -> str:
    label, shape, tokens, divergence, name, head = case
    place = f"| {label} | {tokens:,} | CE + {divergence} | {name} | {head} |"
    if loss_of is None:
        return f"{place} not installed | | | |"
    try:
        x = inputs(shape, tokens, device, trained=head == "trained")
        time_ms, peak = measured(loss_of, x, 20 if device == "cuda" else 3)
        off = error(loss_of, divergence, shape, device)
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        return f"{place} out of memory | | | |"
    return f"{place} {time_ms:.1f} | {1000 * time_ms / tokens:.1f} | {peak:.2f} | {off:.1e} |"


if __name__ == "__main__":
    main()
