"""What any trainer of transformers needs for distillation: counting, logs, and alarms."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import Trainer

from cotdistill.distill.paths import SUMMARY
from cotdistill.distill.settings import Distillation
from cotdistill.distill.trainer.chunk_loss import Objective, Sums
from cotdistill.distill.trainer.forward import (
    PROJECTION,
    Distiller,
    HiddenMatch,
    install_student,
    targets_of,
)
from cotdistill.distill.trainer.pairs import (
    SPANS,
    Consistency,
    PairCounts,
    Pairs,
    PairSampler,
    counts_of,
)
from cotdistill.errors import Fault, FaultsError
from cotdistill.files.atomic import write_text

LOG = "kd_log.jsonl"
PROJECTED = "kd_projection.safetensors"
COUNTED = "cotdistill"
"""Where a checkpoint's `trainer_state.json` holds what was counted before it."""
LEAST_SHARE = 1e-4
"""Of the gradient's norm: with less, the teacher might as well not be there."""
_MEASURED_BEFORE_STOP = 50


class DistillingMixin(Trainer):
    """Comes before another trainer's class; `begin` is called when the trainer is there."""

    distiller: Any = None  # a Distiller, once it has begun
    pairs: Pairs | None = None
    place: str = ""

    def begin(self, settings: Distillation, vocabulary: int, teacher: Any, place: str) -> None:
        """Put the loss into the student's forward, and say which loss that is."""
        self.place, self.settings = place, settings
        self.micro_batches = self.measured_steps = self.batches_before = 0
        self.total = Sums()
        self.distiller = Distiller(
            objective_of(settings), vocabulary, teacher, settings.chunk, settings.count_padding
        )
        inner = self.accelerator.unwrap_model(self.model)
        if settings.hidden_factor:
            self.distiller.hidden = HiddenMatch(
                settings.hidden_factor, add_projection(inner, teacher, self.args.seed)
            )
        if settings.divergence == "consistency":
            self.distiller.pairs = Consistency(settings.kd_weight, settings.temperature)
        install_student(self.accelerator.unwrap_model(self.model), self.distiller)
        if self.is_world_process_zero() and settings.divergence != "none":
            sys.stderr.write(f"distillation: {settings.described(vocabulary)}\n")

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Compute the host's loss; count the calls, and measure on the steps that are logged."""
        if self.distiller is not None and model.training:
            if not self.micro_batches:
                self._take_up()
            self.micro_batches += 1
            every = max(1, int(self.args.logging_steps))
            self.distiller.measure = (self.state.global_step + 1) % every == 0
        return super().compute_loss(model, inputs, *args, **kwargs)

    def _take_up(self) -> None:
        """Go on counting where the checkpoint stopped that the host resumes from, if it does."""
        before = self.state.stateful_callbacks.get(COUNTED)
        if isinstance(before, dict):
            self.total, self.batches_before = Sums(**before["sums"]), int(before["batches"])
            if self.is_world_process_zero():  # sums over all processes, so one of them has them
                self.distiller.sums = Sums(**before["since_log"])
        log = Path(self.args.output_dir) / LOG
        if self.is_world_process_zero() and log.is_file():
            _cut(log, self.state.global_step)

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        """Save what the host saves, and in its state what was counted so far."""
        if self.distiller is not None:
            self.state.stateful_callbacks[COUNTED] = {
                "sums": dataclasses.asdict(self.total),
                "since_log": dataclasses.asdict(self._over_ranks(self.distiller.sums)),
                "batches": self.batches_before + self.distiller.calls,
            }
        super()._save_checkpoint(*args, **kwargs)

    def _get_train_sampler(self, *args: Any, **kwargs: Any) -> Any:
        """Return the host's sampler, or one that keeps the rationales of a question together."""
        if self.pairs is None:
            return super()._get_train_sampler(*args, **kwargs)
        return PairSampler(self.pairs, self.args.data_seed or self.args.seed)

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        """Return the batches of an optimizer step; their pairs are counted over all processes."""
        batches, items = super().get_batch_samples(*args, **kwargs)
        if self.distiller is not None and self.distiller.pairs is not None and batches:
            self.distiller.counts = self._pair_counts(batches)
        return batches, items

    def _pair_counts(self, batches: list[Any]) -> PairCounts:
        counts = torch.zeros(3, dtype=torch.float64, device=self.args.device)
        for batch in batches:
            labels = batch["labels"]
            encoded = bool(self.accelerator.unwrap_model(self.model).config.is_encoder_decoder)
            targets = labels if encoded else targets_of(labels, None)
            counts += torch.tensor(counts_of(targets, batch[SPANS]), device=counts.device)
        if self.args.world_size > 1:
            counts = self.accelerator.reduce(counts, reduction="sum")
        return PairCounts(*counts.tolist())

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Save what the host saves; the projection of hidden states goes to a file of its own."""
        projection = self._projection()
        if projection is None:
            super()._save(output_dir, state_dict)
            return
        folder = Path(output_dir or str(self.args.output_dir))
        state = self.model.state_dict() if state_dict is None else state_dict
        kept = {name: one for name, one in state.items() if PROJECTION not in name.split(".")}
        super()._save(output_dir, kept)
        save_file({"weight": projection.weight.detach().cpu().contiguous()}, folder / PROJECTED)

    def _load_from_checkpoint(self, checkpoint: str, *args: Any, **kwargs: Any) -> None:
        """Load what the host loads, and the projection of hidden states."""
        super()._load_from_checkpoint(checkpoint, *args, **kwargs)
        projection = self._projection()
        if projection is not None:
            stored = load_file(Path(checkpoint) / PROJECTED)
            projection.weight.data.copy_(stored["weight"])

    def _projection(self) -> Any:
        hidden = None if self.distiller is None else self.distiller.hidden
        return None if hidden is None else hidden.projection

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Add the loss's parts to what trackers and `trainer_state.json` get."""
        if self.distiller is not None and "loss" in logs:
            logs = logs | self._parts()
        super().log(logs, *args, **kwargs)

    def _parts(self) -> dict[str, float]:
        window = self._over_ranks(self.distiller.sums)
        self.distiller.sums = Sums()
        self.total.add(window)
        parts = {
            "ce": window.ce / max(1, window.tokens),
            "kd": self._kd(window),
        }
        if self.settings.hidden_weight:
            parts["kd_hidden_mse"] = window.hidden / max(1, window.kd_tokens)
        if window.measured:
            self.measured_steps += 1
            parts["kd_share"] = window.kd_share
            parts["kd_agreement"] = window.agreeing / max(1, window.measured)
        parts = {name: round(value, 6) for name, value in parts.items()}
        if self.is_world_process_zero():
            line = {"step": self.state.global_step, **parts, "kd_tokens": window.kd_tokens}
            with (Path(self.args.output_dir) / LOG).open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")
        if self.measured_steps == _MEASURED_BEFORE_STOP and window.kd_tokens:
            self._refuse_no_effect()
        return parts

    def _kd(self, sums: Sums) -> float:
        """Return the divergence per token."""
        only_hidden = self.settings.divergence == "hidden_mse"
        return (sums.hidden if only_hidden else sums.kd) / max(1, sums.kd_tokens)

    def _over_ranks(self, sums: Sums) -> Sums:
        """Add up what all processes have counted."""
        if self.args.world_size == 1:
            return sums
        names = list(Sums.__dataclass_fields__)
        values = [float(getattr(sums, name)) for name in names]
        mine = torch.tensor(values, dtype=torch.float64, device=self.args.device)
        added = self.accelerator.reduce(mine, reduction="sum").tolist()
        return Sums(**dict(zip(names, added, strict=True)))

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train as the host does, and fail where the teacher had no part in it."""
        if self.distiller is not None and self.is_world_process_zero():
            Path(self.args.output_dir).mkdir(parents=True, exist_ok=True)
        done = super().train(*args, **kwargs)
        if self.distiller is not None:
            if not self.micro_batches:  # resumed from the last checkpoint of all
                self._take_up()
            self.total.add(self._over_ranks(self.distiller.sums))
            self.distiller.sums = Sums()
            if self.settings.divergence != "none":
                self._refuse_no_effect()
            if self.is_world_process_zero():
                self._summarise()
        return done

    def _refuse_no_effect(self) -> None:
        wrong = ""
        if self.distiller.calls != self.micro_batches:
            wrong = (
                f"its loss was computed for {self.distiller.calls} of {self.micro_batches} batches"
            )
        elif not self.total.kd_tokens:
            wrong = "no trained token had a teacher"
        elif self.total.measured and self.total.kd_effect < LEAST_SHARE:
            wrong = (
                f"it has {self.total.kd_effect:.1e} of the gradient's norm: teacher and student "
                "agree, or the weight is too small"
            )
        if wrong:
            remedy = "train without the kd: block, or choose another teacher or weight"
            raise FaultsError(Fault(self.place, f"no effect: {wrong}", "", remedy))

    def _summarise(self) -> None:
        total = self.total
        summary = {
            "loss": self.settings.described(self.distiller.vocabulary),
            "batches": self.batches_before + self.distiller.calls,
            "tokens": int(total.tokens),
            "kd_tokens": int(total.kd_tokens),
            "ce": total.ce / max(1, total.tokens),
            "kd": self._kd(total),
            "kd_share": total.kd_share,
            "kd_agreement": total.agreeing / total.measured if total.measured else None,
        }
        write_text(Path(self.args.output_dir) / SUMMARY, json.dumps(summary, indent=2) + "\n")


def _cut(log: Path, step: int) -> None:
    """Drop the lines of steps that are taken again, and what a kill cut in half."""
    kept = []
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
        try:
            if json.loads(line)["step"] <= step and line.endswith("\n"):
                kept.append(line)
        except (ValueError, KeyError, TypeError):
            continue
    write_text(log, "".join(kept))


def head_size(model: Any) -> int:
    """Return how many rows a model's head has."""
    return int(model.get_output_embeddings().out_features)


def objective_of(settings: Distillation) -> Objective:
    """Return the loss that a block asks for."""
    mixture = settings.beta if settings.divergence == "jsd" else settings.alpha
    of_logits = settings.divergence not in ("hidden_mse", "consistency")
    return Objective(
        settings.ce_weight, settings.kd_weight if of_logits else 0.0, settings.divergence,
        settings.temperature, mixture, settings.top_k,
    )  # fmt: skip


def add_projection(student: Any, teacher: Any, seed: int) -> Any:
    """Give a student the weights that map its states to a wider or narrower teacher's.

    They are part of the model while it trains, so that optimizer and wrappers treat them as its
    own. None where both are equally wide.
    """
    inner = unwrapped(student)
    widths = [int(unwrapped(one).get_output_embeddings().in_features) for one in (inner, teacher)]
    if widths[0] == widths[1]:
        return None
    first = next(inner.parameters())
    projection = torch.nn.Linear(*widths, bias=False, device="cpu", dtype=torch.float32)
    random = torch.Generator().manual_seed(seed)
    torch.nn.init.normal_(projection.weight, std=widths[0] ** -0.5, generator=random)
    inner.add_module(PROJECTION, projection.to(first.device, first.dtype))
    return projection


def unwrapped(model: Any) -> Any:
    """Return a model without the adapters around it."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model
