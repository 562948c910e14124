"""LLaMA-Factory's own trainer, with the distillation loss in its student's forward."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from llamafactory.train.sft.trainer import CustomSeq2SeqTrainer

from cotdistill.distill.paths import SUMMARY
from cotdistill.distill.settings import Distillation
from cotdistill.distill.signals.shard import StoredRows
from cotdistill.distill.trainer.chunk_loss import Objective, Sums
from cotdistill.distill.trainer.forward import Distiller, install_student, install_teacher
from cotdistill.distill.trainer.signal_batches import SignalCollator, refuse_missing
from cotdistill.errors import Fault, FaultsError
from cotdistill.hosts.replaced import replaced

LOG = "kd_log.jsonl"
LEAST_SHARE = 1e-4
"""Of the gradient's norm: with less, the teacher might as well not be there."""
_MEASURED_BEFORE_STOP = 50


@dataclass(frozen=True)
class Signals:
    """Stored signals, how many of their vocabulary's ids there are, and how they were captured."""

    stored: StoredRows
    vocabulary: int
    top_k: int
    differences: str


@dataclass(frozen=True)
class Plan:
    """What the host does not hand to its trainer."""

    settings: Distillation
    load_teacher: Callable[[], tuple[Any, int]]
    place: str
    signals: Signals | None = None


class DistillingTrainer(CustomSeq2SeqTrainer):
    """The host's trainer; only losses, logs and alarms are added."""

    def __init__(self, *, plan: Plan, **host: Any) -> None:
        self.plan = plan
        settings = plan.settings
        if host.get("processor") is not None:
            wrong = "a model for images or sound"
            remedy = "distillation is for text models only"
            raise FaultsError(Fault(plan.place, wrong, "a language model", remedy))
        sizes = [len(host["tokenizer"]), _head_size(host["model"])]
        if plan.signals is not None:
            sizes.append(plan.signals.vocabulary)
            rows: Any = host.get("train_dataset")
            if not hasattr(rows, "__len__"):
                wrong, remedy = "streaming: true", "signals are looked up by row; leave it out"
                raise FaultsError(Fault(plan.place, wrong, "streaming: false", remedy))
            refuse_missing(rows, plan.signals.stored, plan.signals.differences, plan.place)
        if settings.teacher is not None and settings.source.is_loaded:
            teacher, size = plan.load_teacher()
            sizes += [size, _head_size(teacher)]
            install_teacher(teacher)
            host["ref_model"] = teacher
        super().__init__(**host)
        self.micro_batches = 0
        self.measured_steps = 0
        self.total = Sums()
        self.distiller: Distiller | None = None
        if settings.divergence == "none":
            return
        vocabulary = min(sizes)
        self.distiller = Distiller(
            objective_of(settings),
            vocabulary,
            self.ref_model,
            settings.chunk,
            settings.count_padding,
        )
        install_student(self.accelerator.unwrap_model(self.model), self.distiller)
        if self.is_world_process_zero():
            sys.stderr.write(f"distillation: {settings.described(vocabulary)}\n")

    def get_train_dataloader(self) -> Any:
        """Return the host's loader; only batches that are trained on get stored signals."""
        signals = self.plan.signals
        if signals is None:
            return super().get_train_dataloader()
        settings = self.plan.settings
        collator = SignalCollator(
            vars(self)["data_collator"],
            signals.stored,
            min(settings.top_k or signals.top_k, signals.top_k),
            settings.temperature,
            self.processing_class.padding_side == "left",
        )
        with replaced(self, "data_collator", collator):
            return super().get_train_dataloader()

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Compute the host's loss; count the calls, and measure on the steps that are logged."""
        if self.distiller is not None and model.training:
            self.micro_batches += 1
            every = max(1, int(self.args.logging_steps))
            self.distiller.measure = (self.state.global_step + 1) % every == 0
        return super().compute_loss(model, inputs, *args, **kwargs)

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Add the loss's parts to what trackers and `trainer_state.json` get."""
        if self.distiller is not None and "loss" in logs:
            logs = logs | self._parts()
        super().log(logs, *args, **kwargs)

    def _parts(self) -> dict[str, float]:
        assert self.distiller is not None
        window = self._over_ranks(self.distiller.sums)
        self.distiller.sums = Sums()
        self.total.add(window)
        parts = {
            "ce": window.ce / max(1, window.tokens),
            "kd": window.kd / max(1, window.kd_tokens),
        }
        if window.measured:
            self.measured_steps += 1
            parts["kd_share"] = window.kd_share
            parts["kd_agreement"] = window.agreeing / max(1, window.measured)
        parts = {name: round(value, 6) for name, value in parts.items()}
        if self.is_world_process_zero():
            line = {"step": self.state.global_step, **parts, "kd_tokens": window.kd_tokens}
            with (Path(self.args.output_dir) / LOG).open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")
        if self.measured_steps == _MEASURED_BEFORE_STOP:
            self._refuse_no_effect()
        return parts

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
        if self.distiller is not None and self.micro_batches:
            self.total.add(self._over_ranks(self.distiller.sums))
            self._refuse_no_effect()
            if self.is_world_process_zero():
                self._summarise()
        return done

    def _refuse_no_effect(self) -> None:
        assert self.distiller is not None
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
            raise FaultsError(Fault(self.plan.place, f"no effect: {wrong}", "", remedy))

    def _summarise(self) -> None:
        assert self.distiller is not None
        total = self.total
        summary = {
            "loss": self.plan.settings.described(self.distiller.vocabulary),
            "batches": self.distiller.calls,
            "tokens": int(total.tokens),
            "kd_tokens": int(total.kd_tokens),
            "ce": total.ce / max(1, total.tokens),
            "kd": total.kd / max(1, total.kd_tokens),
            "kd_share": total.kd_share,
            "kd_agreement": total.agreeing / total.measured if total.measured else None,
        }
        path = Path(self.args.output_dir) / SUMMARY
        path.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


def _head_size(model: Any) -> int:
    return int(model.get_output_embeddings().out_features)


def objective_of(settings: Distillation) -> Objective:
    """Return the loss that a block asks for."""
    mixture = settings.beta if settings.divergence == "jsd" else settings.alpha
    return Objective(
        1.0 - settings.weight, settings.kd_weight, settings.divergence, settings.temperature,
        mixture, settings.top_k,
    )  # fmt: skip
