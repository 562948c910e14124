"""Training steps on one GPU: plain fine-tuning, an online teacher, stored signals, full logits.

    PYTHONPATH=plugins python benchmarks/gpu/steps.py [--seconds 240] [-o table.md]
    PYTHONPATH=plugins python benchmarks/gpu/steps.py --smallest     # on a CPU: does it work?

Needs torch and transformers (peft for the LoRA rows, TRL for its own; what is missing gets a line
that says so), no network: the models are random, with the shapes of Qwen2.5 (student 0.5B, teacher
1.5B). Rows of 2,048 tokens, four at a time, two accumulated, bfloat16 weights, gradient
checkpointing, AdamW. The loop is our own, and the loss is the one that `cotdistill train` puts into
the student's forward, so this measures the loss within a training step, without LLaMA-Factory's
data loading. `full logits` is the formula over the logits of both models, as LLaMA-Factory's ASFT
computes its own. `TRL GKD` is the loss of TRL's trainer without rows sampled from the student
(lmbda = 0), with beta = 0: KL alone, where the other ways are half cross-entropy and half KL. Its
first loss is thus twice that of `full logits` less that of `fine-tuning`, but for what bfloat16
rounds. Three steps to warm up, the others timed; every way sees the same tokens.
"""

from __future__ import annotations

import argparse
import copy
import functools
import importlib
import importlib.util
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from cotdistill.distill.trainer.chunk_loss import Objective
from cotdistill.distill.trainer.forward import Distiller, install_student, install_teacher

QWEN = {
    "student": (896, 24, 14, 2, 4864),
    "teacher": (1536, 28, 12, 2, 8960),
}  # hidden size, layers, heads, key-value heads, inner size
TINY = {"student": (16, 2, 2, 2, 24), "teacher": (24, 2, 2, 2, 32)}
VOCABULARY = 151_936
WARM_UP, K = 3, 64
OBJECTIVE = Objective(0.5, 0.5, "forward_kl", 1.0)
WAYS = ("fine-tuning", "stored, k = 64", "online", "full logits", "TRL GKD")


def model_of(shape: tuple[int, ...], vocabulary: int, device: str) -> Any:
    """Return a random model."""
    import transformers

    hidden, layers, heads, kv_heads, inner = shape
    torch.manual_seed(hidden)
    config = transformers.Qwen2Config(
        vocab_size=vocabulary, hidden_size=hidden, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=kv_heads, intermediate_size=inner,
        tie_word_embeddings=True, use_cache=False,
    )  # fmt: skip
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    return model.to(device)


def batches(rows: int, tokens: int, vocabulary: int, device: str) -> list[dict[str, Any]]:
    """Return the two batches of every step; three quarters of a row are trained on."""
    random = torch.Generator().manual_seed(0)
    found = []
    for _ in range(2):
        ids = torch.randint(0, vocabulary, (rows, tokens), generator=random)
        labels = ids.clone()
        labels[:, : tokens // 4] = -100
        found.append(
            {"input_ids": ids.to(device), "attention_mask": torch.ones_like(ids).to(device),
             "labels": labels.to(device)}
        )  # fmt: skip
    return found


def with_signals(batch: dict[str, Any], vocabulary: int, k: int) -> dict[str, Any]:
    """Return a batch with stored signals of random tokens, which cost what real ones do."""
    shape = (*batch["input_ids"].shape, k)
    device = batch["input_ids"].device
    random = torch.Generator().manual_seed(1)
    first = torch.randint(0, vocabulary - k, (*shape[:2], 1), generator=random)
    log_p = torch.log_softmax(torch.randn(shape, generator=random), -1) - 0.05
    return batch | {
        "kd_ids": (first + torch.arange(k)).to(device), "kd_log_p": log_p.to(device),
        "kd_log_z": torch.zeros(shape[:2], device=device),
    }  # fmt: skip


def full_logits(student: Any, teacher: Any, batch: dict[str, Any]) -> Any:
    """Return the summed loss over the logits of both models."""
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        theirs = teacher(**inputs).logits[:, :-1].float()
    ours = student(**inputs).logits[:, :-1].float()
    targets = batch["labels"][:, 1:]
    keep = targets != -100
    ours, theirs, targets = ours[keep], theirs[keep], targets[keep]
    kl = functional.kl_div(
        functional.log_softmax(ours, -1), functional.log_softmax(theirs, -1), reduction="sum",
        log_target=True,
    )  # fmt: skip
    return 0.5 * functional.cross_entropy(ours, targets, reduction="sum") + 0.5 * kl


@functools.cache
def trl_trainer() -> Any | None:
    """Return TRL's trainer for GKD, or None where it is not installed."""
    for module in ("trl.experimental.gkd", "trl"):  # of TRL 1, and of 0.24
        try:
            return importlib.import_module(module).GKDTrainer
        except (ImportError, RuntimeError, AttributeError) as error:  # RuntimeError: a lazy module
            print(f"{module}: {error}", file=sys.stderr)
    return None


def gkd_loss(trainer: Any, student: Any, teacher: Any, batch: dict[str, Any], items: int) -> Any:
    """Return a batch's part of the loss, as the method of TRL's trainer computes it."""
    settings = types.SimpleNamespace(
        use_liger_gkd_loss=False, teacher_model=teacher, beta=0.0,
        generalized_jsd_loss=trainer.generalized_jsd_loss,
    )  # fmt: skip
    trained = batch["labels"][:, 1:] != -100
    prompts = batch["input_ids"][:, : int((batch["labels"][0] == -100).sum())]
    loss = trainer.compute_loss(settings, student, {**batch, "prompts": prompts})
    return loss * trained.sum() / items  # it is the mean of the batch


def loss_of(way: str, student: Any, teacher: Any, vocabulary: int) -> Callable[[Any, int], Any]:
    """Return the function that gives a batch's loss; forwards are replaced where that is needed."""
    if way == "fine-tuning":
        return lambda batch, items: student(**batch, num_items_in_batch=items).loss
    if way == "full logits":
        return lambda batch, items: full_logits(student, teacher, batch) / items
    if way == "TRL GKD":
        trainer = trl_trainer()
        return lambda batch, items: gkd_loss(trainer, student, teacher, batch, items)
    if way == "online":
        install_teacher(teacher)
    install_student(student, Distiller(OBJECTIVE, vocabulary, teacher if way == "online" else None))
    return lambda batch, items: student(**batch, num_items_in_batch=items).loss


def lora(student: Any) -> Any:
    """Return the model with adapters."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=16, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"], task_type="CAUSAL_LM"
    )
    student.enable_input_require_grads()
    return get_peft_model(student, config)


def measured(
    way: str, student: Any, teacher: Any, given: list[dict[str, Any]], steps: int, vocabulary: int
) -> tuple[float, float, float]:
    """Return tokens a second, the peak GiB, and the first step's loss."""
    device = given[0]["input_ids"].device
    student.gradient_checkpointing_enable({"use_reentrant": False})
    student.train()
    loss = loss_of(way, student, teacher, vocabulary)
    learned = [parameter for parameter in student.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=1e-5)
    items = sum(int((batch["labels"][:, 1:] != -100).sum()) for batch in given)
    if way.startswith("stored"):
        given = [with_signals(batch, vocabulary, min(K, vocabulary // 2)) for batch in given]
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    first, began = 0.0, 0.0
    for step in range(WARM_UP + steps):
        if step == WARM_UP:
            _wait(device)
            began = time.perf_counter()
        for batch in given:
            value = loss(batch, items)
            value.backward()
            first += float(value.detach()) if step == 0 else 0.0
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    _wait(device)
    seconds = time.perf_counter() - began
    tokens = steps * sum(batch["input_ids"].numel() for batch in given)
    peak = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else 0.0
    return tokens / seconds, peak, first


def _wait(device: Any) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    """Measure what time allows and print one table in Markdown."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--steps", type=int, default=20, help="timed steps")
    parser.add_argument("--smallest", action="store_true")
    parser.add_argument("-o", "--output", default="")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    card = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    shapes, vocabulary = (TINY, 1000) if options.smallest else (QWEN, VOCABULARY)
    rows, tokens = (2, 32) if options.smallest else (4, 2048)
    steps = 2 if options.smallest else options.steps
    lines = [
        f"{card}, torch {torch.__version__}, {rows} rows of {tokens:,} tokens, 2 accumulated", "",
        "| student | way | tokens a second | of fine-tuning | peak GiB | loss of the first step |",
        "|---|---|---|---|---|---|",
    ]  # fmt: skip
    print("\n".join(lines), flush=True)
    given = batches(rows, tokens, vocabulary, device)
    has_peft = importlib.util.find_spec("peft") is not None
    began = time.monotonic()
    not_begun = 0
    for kind in ("full", "LoRA"):
        plain = 0.0
        for way in WAYS:
            if time.monotonic() - began > options.seconds:
                not_begun += 1
                continue
            place = f"| {kind} | {way} |"
            if (kind == "LoRA" and not has_peft) or (way == "TRL GKD" and trl_trainer() is None):
                lines.append(f"{place} not installed | | | |")
                print(lines[-1], flush=True)
                continue
            student = model_of(shapes["student"], vocabulary, device)
            teacher = None
            if way in ("online", "full logits", "TRL GKD"):
                teacher = model_of(shapes["teacher"], vocabulary, device).eval()
                teacher.requires_grad_(False)
            if kind == "LoRA":
                student = lora(student)
            try:
                speed, peak, first = measured(
                    way, student, teacher, copy.copy(given), steps, vocabulary
                )
            except torch.OutOfMemoryError:
                line = f"{place} out of memory | | | |"
            else:
                plain = plain or speed
                share = speed / plain
                line = f"{place} {speed:,.0f} | {share:.2f} | {peak:.1f} | {first:.4f} |"
            del student, teacher
            if device == "cuda":
                torch.cuda.empty_cache()
            lines.append(line)
            print(line, flush=True)
    if not_begun:
        lines.append(f"\nTime was over: {not_begun} of {2 * len(WAYS)} lines were not begun.")
        print(lines[-1], flush=True)
    if options.output:
        Path(options.output).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
