"""The distillation head on one GPU: time, peak memory and error, next to others.

    PYTHONPATH=plugins python benchmarks/gpu/head.py [--peers FOLDER] [--seconds 240] [-o table.md]
    PYTHONPATH=plugins python benchmarks/gpu/head.py --smallest      # on a CPU: does it work?

Needs torch and nothing else, no network; Liger is measured where FOLDER or the environment has it.
Shapes are those of Qwen2.5 (0.5B from 1.5B) and of Liger's own benchmark. bfloat16, 0.7 CE + 0.3
KL(teacher, student) at T = 2; five runs to warm up, twenty timed with CUDA events, the median; the
peak is above that of the inputs. The error is that of the hidden states' gradient on 512 tokens,
against the formula in float64.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from cotdistill.distill.trainer.chunk_loss import Objective
from cotdistill.distill.trainer.head import DenseTeacher, HeadInput, head_loss

SHAPES = {"qwen2.5": (896, 1536, 151_936), "liger": (2048, 4096, 128_256)}
TOKENS = (2048, 8192, 32_768)
SMALLEST = {"smallest": (16, 24, 1000)}
OBJECTIVE = Objective(0.7, 0.3, "forward_kl", 2.0)
Loss = Callable[[dict[str, Any]], Any]


def ours(x: dict[str, Any]) -> Any:
    """Return our loss."""
    teacher = DenseTeacher(x["ht"], lambda h: h @ x["wt"].t())
    given = HeadInput(x["h"], x["y"], teacher, len(x["w"]))
    return head_loss(given, x["w"], OBJECTIVE)[0] / len(x["y"])


def naive(x: dict[str, Any]) -> Any:
    """Return the formula over full logits."""
    wide = torch.float64 if x["h"].dtype == torch.float64 else torch.float32
    student, teacher = (x["h"] @ x["w"].t()).to(wide), (x["ht"] @ x["wt"].t()).to(wide)
    kl = functional.kl_div(
        functional.log_softmax(student / 2, -1), functional.log_softmax(teacher / 2, -1),
        reduction="batchmean", log_target=True,
    )  # fmt: skip
    return 0.7 * functional.cross_entropy(student, x["y"]) + 0.3 * kl


def liger(*, compiled: bool) -> Loss:
    """Return Liger's chunked loss."""
    from liger_kernel.chunked_loss import LigerFusedLinearJSDLoss

    loss = LigerFusedLinearJSDLoss(
        weight_hard_loss=0.7, weight_soft_loss=0.3, beta=0.0, temperature=2.0, compiled=compiled
    )
    return lambda x: loss(x["h"], x["w"], x["ht"], x["wt"], x["y"])


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


def error(loss_of: Loss, shape: tuple[int, int, int], device: str) -> float:
    """Return the largest error of the states' gradient, relative to its largest entry."""
    x = inputs(shape, 512, device, trained=False)
    exact = {k: v.detach().double() if v.is_floating_point() else v for k, v in x.items()}
    exact["h"].requires_grad_()
    once(loss_of, x)
    once(naive, exact)
    wanted = exact["h"].grad
    return float((x["h"].grad.double() - wanted).abs().max() / wanted.abs().max())


def main() -> None:
    """Measure what time allows and print one table in Markdown."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers", default="", help="folder with liger_kernel")
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--smallest", action="store_true")
    parser.add_argument("-o", "--output", default="")
    options = parser.parse_args()
    if options.peers:
        sys.path.insert(0, options.peers)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    card = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    lines = [
        f"{card}, torch {torch.__version__}, bfloat16", "",
        "| shape | N | loss | head | ms | us a token | peak GiB | gradient error |",
        "|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    print("\n".join(lines), flush=True)
    losses: dict[str, Loss] = {"ours": ours, "naive": naive}
    try:
        losses |= {"Liger eager": liger(compiled=False)}
        losses |= {"Liger compiled": liger(compiled=True)} if device == "cuda" else {}
    except ImportError:
        print("liger_kernel is not there", file=sys.stderr)
    began = time.monotonic()
    shapes = SMALLEST if options.smallest else SHAPES
    for label, shape in shapes.items():
        for tokens in (64,) if options.smallest else TOKENS:
            for name, loss_of in losses.items():
                for head in ("trained", "frozen"):
                    if time.monotonic() - began > options.seconds:
                        continue
                    line = _row(label, shape, tokens, name, head, loss_of, device)
                    lines.append(line)
                    print(line, flush=True)
    if options.output:
        Path(options.output).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _row(
    label: str, shape: tuple[int, int, int], tokens: int, name: str, head: str, loss_of: Loss,
    device: str,
) -> str:  # fmt: skip
    place = f"| {label} | {tokens:,} | {name} | {head} |"
    try:
        x = inputs(shape, tokens, device, trained=head == "trained")
        time_ms, peak = measured(loss_of, x, 20 if device == "cuda" else 3)
        off = error(loss_of, shape, device)
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        return f"{place} out of memory | | | |"
    return f"{place} {time_ms:.1f} | {1000 * time_ms / tokens:.1f} | {peak:.2f} | {off:.1e} |"


if __name__ == "__main__":
    main()
