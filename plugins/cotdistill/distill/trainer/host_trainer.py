"""LLaMA-Factory's own trainer, with the distillation loss in its student's forward."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from llamafactory.train.sft.trainer import CustomSeq2SeqTrainer

from cotdistill.distill.settings import Distillation
from cotdistill.distill.signals.stored_rows import StoredRows
from cotdistill.distill.trainer.distilling import DistillingMixin, head_size
from cotdistill.distill.trainer.forward import install_teacher
from cotdistill.distill.trainer.pairs import PairCollator, checked_pairs, find_pairs
from cotdistill.distill.trainer.row_choice import RowChoiceCollator
from cotdistill.distill.trainer.signal_batches import SignalCollator, refuse_missing
from cotdistill.errors import Fault, FaultsError
from cotdistill.hosts.replaced import replaced


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
    rows: frozenset[bytes] | None = None  # keys of those that have a teacher; None: all


class DistillingTrainer(DistillingMixin, CustomSeq2SeqTrainer):
    """The host's trainer; only losses, logs and alarms are added."""

    def __init__(self, *, plan: Plan, **host: Any) -> None:
        self.plan = plan
        settings = plan.settings
        if host.get("processor") is not None:
            wrong = "a model for images or sound"
            remedy = "distillation is for text models only"
            raise FaultsError(Fault(plan.place, wrong, "a language model", remedy))
        sizes = [len(host["tokenizer"]), head_size(host["model"])]
        if plan.signals is not None:
            sizes.append(plan.signals.vocabulary)
            refuse_missing(
                _rows(host, plan), plan.signals.stored, plan.signals.differences, plan.place,
                plan.rows,
            )  # fmt: skip
        if settings.divergence == "consistency":
            found = find_pairs(_rows(host, plan), host["tokenizer"].decode, encoded=False)
            self.pairs = checked_pairs(found, plan.place)
        if settings.teacher is not None and settings.source.is_loaded:
            teacher, size = plan.load_teacher()
            sizes += [size, head_size(teacher)]
            install_teacher(teacher)
            host["ref_model"] = teacher
        super().__init__(**host)
        if settings.divergence != "none":
            self.begin(settings, min(sizes), self.ref_model, plan.place)

    def get_train_dataloader(self) -> Any:
        """Return the host's loader; only batches that are trained on get what the loss needs."""
        collator = self._collator()
        if collator is None:
            return super().get_train_dataloader()
        with replaced(self, "data_collator", collator):
            return super().get_train_dataloader()

    def _collator(self) -> Any:
        """Return what makes a batch with stored signals, chosen rows or answers; None: the host."""
        plan, stock = self.plan, vars(self)["data_collator"]
        pads_left = self.processing_class.padding_side == "left"
        if self.pairs is not None:
            return PairCollator(stock, self.pairs, pads_left, encoded=False)
        if plan.signals is not None:
            most = plan.signals.top_k
            return SignalCollator(
                stock, plan.signals.stored, min(plan.settings.top_k or most, most),
                plan.settings.temperature, pads_left, plan.rows,
            )  # fmt: skip
        return None if plan.rows is None else RowChoiceCollator(stock, plan.rows, pads_left)


def _rows(host: Mapping[str, Any], plan: Plan) -> Any:
    rows = host.get("train_dataset")
    if not hasattr(rows, "__len__"):
        wrong, remedy = "streaming: true", "rows are looked up; leave it out"
        raise FaultsError(Fault(plan.place, wrong, "streaming: false", remedy))
    return rows
