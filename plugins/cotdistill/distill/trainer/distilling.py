"""What any trainer of transformers needs for distillation: counting, logs, and alarms."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer

from cotdistill.distill.paths import SUMMARY
from cotdistill.distill.settings import Distillation
from cotdistill.distill.trainer.chunk_loss import Objective, Sums
from cotdistill.distill.trainer.forward import Distiller, install_student
from cotdistill.errors import Fault, FaultsError

LOG = "kd_log.jsonl"
LEAST_SHARE = 1e-4
"""Of the gradient's norm: with less, the teacher might as well not be there."""
_MEASURED_BEFORE_STOP = 50


class DistillingMixin(Trainer):
    """Comes before another trainer's class; `begin` is called when the trainer is there."""

    distiller: Any = None  # a Distiller, once it has begun
    place: str = ""

    def begin(self, settings: Distillation, vocabulary: int, teacher: Any, place: str) -> None:
        """Put the loss into the student's forward, and say which loss that is."""
        self.place, self.settings = place, settings
        self.micro_batches = self.measured_steps = 0
        self.total = Sums()
        self.distiller = Distiller(
            objective_of(settings), vocabulary, teacher, settings.chunk, settings.count_padding
        )
        install_student(self.accelerator.unwrap_model(self.model), self.distiller)
        if self.is_world_process_zero() and settings.divergence != "none":
            sys.stderr.write(f"distillation: {settings.described(vocabulary)}\n")

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
        if self.measured_steps == _MEASURED_BEFORE_STOP and window.kd_tokens:
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


def head_size(model: Any) -> int:
    """Return how many rows a model's head has."""
    return int(model.get_output_embeddings().out_features)


def objective_of(settings: Distillation) -> Objective:
    """Return the loss that a block asks for."""
    mixture = settings.beta if settings.divergence == "jsd" else settings.alpha
    return Objective(
        1.0 - settings.weight, settings.kd_weight, settings.divergence, settings.temperature,
        mixture, settings.top_k,
    )  # fmt: skip
