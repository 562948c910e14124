"""Peak memory and CPU time of the distillation loss from hidden states, next to the peers'.

    python benchmarks/kd/head.py [--peers FOLDER] [--large] [--types float32,bfloat16]

Each measurement is a process of its own, with one thread, forward and backward: 0.7 CE + 0.3
KL(teacher, student) at T = 2, mean over tokens, from hidden states and two heads. `trained` heads
get a gradient, `frozen` ones do not. Peak is resident memory above that of the inputs, sampled
every 4 ms. Peers lie in FOLDER (`pip install --no-deps --target`, see benchmarks/kd/peers.txt).

LLaMA-Factory's ASFT has another loss (DFT + KL at T = 1) over full logits; TRL's kernel has no
cross-entropy, which its own second kernel adds here.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent))

SHAPES = {"small": (512, 49_152, 576, 960), "large": (2048, 151_936, 896, 1536)}
ONES = (
    "ours, trained", "ours, frozen", "ours by module, trained", "Liger eager, trained",
    "Liger eager, frozen", "TRL kernel, trained", "TRL kernel, frozen", "naive, trained",
    "LLaMA-Factory ASFT, trained",
)  # fmt: skip
WEIGHT, TEMPERATURE = 0.3, 2.0


def measured(name: str, shape: tuple[int, int, int, int], kind: str) -> dict[str, Any]:
    """Return what one implementation costs, in this process."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    tokens, vocabulary, width, teacher_width = shape
    dtype = getattr(torch, kind)
    given = {
        "h": (torch.randn(tokens, width) * 0.5).to(dtype).requires_grad_(),
        "w": (torch.randn(vocabulary, width) * 0.03).to(dtype),
        "ht": (torch.randn(tokens, teacher_width) * 0.5).to(dtype),
        "wt": (torch.randn(vocabulary, teacher_width) * 0.03).to(dtype),
        "y": torch.randint(0, vocabulary, (tokens,)),
    }
    given["w"].requires_grad_(name.endswith("trained"))
    loss_of = {
        "ours": ours, "ours by module": ours_by_module, "Liger eager": liger, "TRL kernel": trl,
        "naive": naive, "LLaMA-Factory ASFT": asft,
    }[name.rpartition(", ")[0]]  # fmt: skip
    few = {key: given[key][:8].detach() for key in ("h", "ht", "y")}
    loss_of({"w": given["w"].detach(), "wt": given["wt"], **few})  # imports, and a warm-up
    before, peak, stop = resident(), [0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.004):
            peak[0] = max(peak[0], resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    cpu = time.process_time()
    loss = loss_of(given)
    loss.backward()
    cpu = time.process_time() - cpu
    stop.set()
    watcher.join()
    gradient = given["h"].grad
    assert gradient is not None
    return {
        "peak": (max(peak[0], resident()) - before) / 2**30,
        "cpu": cpu,
        "loss": float(loss.detach()),
        "gradient": float(gradient.float().norm()),
    }


def resident() -> int:
    """Return the bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def ours(x: dict[str, Any]) -> Any:
    """Return our loss with gradients in closed form."""
    from cotdistill.distill.trainer.chunk_loss import Objective
    from cotdistill.distill.trainer.head import head_loss

    objective = Objective(1 - WEIGHT, WEIGHT, "forward_kl", TEMPERATURE)
    return head_loss(_given(x), x["w"], objective)[0] / len(x["y"])


def ours_by_module(x: dict[str, Any]) -> Any:
    """Return our loss through a head that is called."""
    from cotdistill.distill.trainer.chunk_loss import Objective
    from cotdistill.distill.trainer.head import module_head_loss

    objective = Objective(1 - WEIGHT, WEIGHT, "forward_kl", TEMPERATURE)
    return module_head_loss(_given(x), lambda h: h @ x["w"].t(), objective)[0] / len(x["y"])


def _given(x: dict[str, Any]) -> Any:
    from cotdistill.distill.trainer.head import DenseTeacher, HeadInput

    teacher = DenseTeacher(x["ht"], lambda h: h @ x["wt"].t())
    return HeadInput(x["h"], x["y"], teacher, len(x["w"]))


def liger(x: dict[str, Any]) -> Any:
    """Return Liger's chunked loss, not compiled (a CPU has no compiler here)."""
    from liger_kernel.chunked_loss import LigerFusedLinearJSDLoss

    loss = LigerFusedLinearJSDLoss(
        weight_hard_loss=1 - WEIGHT, weight_soft_loss=WEIGHT, beta=0.0, temperature=TEMPERATURE,
        compiled=False,
    )  # fmt: skip
    return loss(x["h"], x["w"], x["ht"], x["wt"], x["y"])


def trl(x: dict[str, Any]) -> Any:
    """Return TRL's divergence kernel, and its log-probability kernel for cross-entropy."""
    from trl_kernels import load_kernels

    return load_kernels([os.environ["KD_PEERS"]]).loss(x, WEIGHT, TEMPERATURE)


def naive(x: dict[str, Any]) -> Any:
    """Return the formula over full logits."""
    from torch.nn import functional

    student, teacher = (x["h"] @ x["w"].t()).float(), (x["ht"] @ x["wt"].t()).float()
    kl = functional.kl_div(
        functional.log_softmax(student / TEMPERATURE, -1),
        functional.log_softmax(teacher / TEMPERATURE, -1),
        reduction="batchmean", log_target=True,
    )  # fmt: skip
    return (1 - WEIGHT) * functional.cross_entropy(student, x["y"]) + WEIGHT * kl


def asft(x: dict[str, Any]) -> Any:
    """Return LLaMA-Factory's own loss with a reference model, as its trainer computes it."""
    from llamafactory.train.trainer_utils import asft_loss_func

    student, teacher = x["h"] @ x["w"].t(), x["ht"] @ x["wt"].t()
    return asft_loss_func({"logits": student[None]}, x["y"][None], teacher[None])


def main() -> None:
    """Measure everything and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers", default="")
    parser.add_argument("--large", action="store_true", help="N = 2,048 and V = 151,936 too")
    parser.add_argument("--types", default="float32,bfloat16")
    parser.add_argument("--only", default="", help="only names that contain this")
    parser.add_argument("--tokens", type=int, default=0, help="another N")
    parser.add_argument("--one", nargs=3, help="used by itself")
    options = parser.parse_args()
    if options.one:
        name, shape, kind = options.one
        sys.stdout.write(json.dumps(measured(name, tuple(json.loads(shape)), kind)) + "\n")
        return
    peers = str(Path(options.peers).resolve()) if options.peers else ""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "KD_PEERS": peers}
    for label in ["small", "large"] if options.large else ["small"]:
        shape = SHAPES[label]
        shape = (options.tokens or shape[0], *shape[1:])
        for kind in options.types.split(","):
            print(f"\nN = {shape[0]:,}, V = {shape[1]:,}, H = {shape[2]} / {shape[3]}, {kind}")
            print(f"{'':28}{'peak GiB':>9}{'CPU s':>8}{'loss':>9}{'|grad|':>10}")
            for name in (one for one in ONES if options.only in one):
                print(_line(name, shape, kind, environment), flush=True)


def _line(name: str, shape: tuple[int, ...], kind: str, environment: dict[str, str]) -> str:
    if name.startswith("Liger"):
        folders = [environment.get("PYTHONPATH", ""), environment["KD_PEERS"]]
        environment = environment | {"PYTHONPATH": os.pathsep.join(filter(None, folders))}
    done = subprocess.run(
        [sys.executable, "-P", __file__, "--one", name, json.dumps(shape), kind],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["killed"])[-1]
        return f"{name:<28}  not measured: {reason[:80]}"
    found = json.loads(done.stdout.splitlines()[-1])
    return (
        f"{name:<28}{found['peak']:>9.2f}{found['cpu']:>8.1f}{found['loss']:>9.4f}"
        f"{found['gradient']:>10.6f}"
    )


if __name__ == "__main__":
    main()
