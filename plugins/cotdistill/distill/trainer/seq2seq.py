"""Train an encoder-decoder student on transformers' own trainer, with the same losses and logs.

The encoder reads the question, the decoder writes rationale and answer. Rows are padded to the
longest of their batch. After each epoch the development questions are answered greedily and
graded; the best epoch is kept. Generations are written to `predictions-<step>.jsonl`. The same
command after a stop goes on from the last whole epoch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import DataCollatorForSeq2Seq, Seq2SeqTrainer, Seq2SeqTrainingArguments

from cotdistill.distill.resuming import UNFINISHED, resuming_from
from cotdistill.distill.seq2seq_file import Seq2SeqFile
from cotdistill.distill.settings import Distillation
from cotdistill.distill.signals.row_key import encoded_key
from cotdistill.distill.trainer.distilling import DistillingMixin, head_size
from cotdistill.distill.trainer.forward import NOT_TRAINED, PROJECTION, install_teacher
from cotdistill.distill.trainer.pairs import PairCollator, checked_pairs, find_pairs
from cotdistill.distill.trainer.row_choice import RowChoiceCollator, has_values
from cotdistill.distill.trainer.seq2seq_models import (
    load_seq2seq_teacher,
    load_student,
    seq2seq_model_faults,
)
from cotdistill.errors import Fault, FaultsError
from cotdistill.files.jsonl import read_rows
from cotdistill.grading.grade import grade
from cotdistill.hosts.replaced import replaced
from cotdistill.hosts.tokenizer import load_tokenizer

ARROW = "-->"
"""What stands before the answer in Mentor-KD's responses."""
_LATER = 1e-10
"""What a step is worth among epochs with as many correct answers: of equals the later is kept."""
_OWN_KEYS = {
    "stage", "do_train", "model_name_or_path", "model_revision", "dataset_dir", "dataset",
    "eval_dataset", "val_size", "cutoff_len", "target_len", "finetuning_type", "lora_rank",
    "lora_alpha", "lora_dropout", "lora_target", "kd", "resume_from_checkpoint", "best_epoch",
}  # fmt: skip


class _Trainer(DistillingMixin, Seq2SeqTrainer):
    """transformers' trainer; the loss is divided by the tokens of the whole batch."""

    of_training: Any = None  # makes a batch that is trained on, where the loss needs more

    def get_train_dataloader(self) -> Any:
        """Return the host's loader; only batches that are trained on get what the loss needs."""
        if self.of_training is None:
            return super().get_train_dataloader()
        with replaced(self, "data_collator", self.of_training):
            return super().get_train_dataloader()


def train_seq2seq(file: Seq2SeqFile, place: str) -> int:
    """Train a student and keep its best epoch; return the exit status.

    Raises:
        FaultsError: a model is no encoder-decoder, vocabularies differ, or the teacher had no
            effect.
    """
    tokenizer = load_tokenizer(file.model_name_or_path, file.model_revision)
    train, dev = _rows(file)
    texts = (row[key] for row in train for key in ("question", "response"))
    faults = seq2seq_model_faults(file, tokenizer, texts, place)
    if faults:
        raise FaultsError(faults)
    if not train or (file.best_epoch and not dev):
        raise FaultsError(Fault(f"{place}:dataset", "no rows are left for training or development"))
    torch.manual_seed(file.seed)
    student = load_student(file)
    arguments = Seq2SeqTrainingArguments(**_host_arguments(file, bool(dev)))
    encoded = [_encoded(row, tokenizer, file) for row in train]
    trainer = _Trainer(
        model=student,
        args=arguments,
        train_dataset=encoded,
        eval_dataset=[_encoded(row, tokenizer, file) for row in dev] or None,
        processing_class=tokenizer,
        data_collator=DataCollatorForSeq2Seq(tokenizer, label_pad_token_id=NOT_TRAINED),
    )
    trainer.compute_metrics = _Metrics(trainer, tokenizer, dev)
    settings = file.kd or Distillation(divergence="none", weight=0.0)
    teacher = None
    sizes = [len(tokenizer), head_size(student)]
    stock = vars(trainer)["data_collator"]
    if settings.divergence == "consistency":
        trainer.pairs = checked_pairs(find_pairs(encoded, _text_of(tokenizer), encoded=True), place)
        trainer.of_training = PairCollator(stock, trainer.pairs, pads_left=False, encoded=True)
    elif settings.rows is not None:
        chosen = _chosen(train, encoded, settings.rows, f"{place}:kd.rows")
        trainer.of_training = RowChoiceCollator(stock, chosen, pads_left=False, encoded=True)
    if settings.teacher is not None:
        teacher = load_seq2seq_teacher(settings.source, student.dtype, f"{place}:kd.teacher")
        teacher = teacher.to(arguments.device)
        sizes.append(head_size(teacher))
        install_teacher(teacher)
    trainer.begin(settings, min(sizes), teacher, f"{place}:kd")
    trainer.model_accepts_loss_kwargs = True  # sums over tokens / their number in the whole batch
    with arguments.main_process_first(local=False):  # it may move checkpoints aside
        checkpoint = resuming_from(file)
    result = trainer.train(resume_from_checkpoint=checkpoint)
    trainer.save_metrics("train", result.metrics)
    trainer.save_state()
    if trainer.is_world_process_zero():
        _save(trainer, tokenizer, arguments.output_dir)
        (Path(arguments.output_dir) / UNFINISHED).unlink(missing_ok=True)
    return 0


def _save(trainer: Any, tokenizer: Any, output: str) -> None:
    """Save the whole student, with adapters merged into it."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    if hasattr(model, "merge_and_unload"):
        model = model.merge_and_unload()
    state = {name: one for name, one in model.state_dict().items() if PROJECTION not in name}
    model.save_pretrained(output, state_dict=state)
    tokenizer.save_pretrained(output)


def _text_of(tokenizer: Any) -> Callable[[list[int]], str]:
    return lambda ids: str(tokenizer.decode(ids, skip_special_tokens=True))


def _chosen(
    rows: Sequence[Mapping[str, Any]], encoded: Sequence[Any], wanted: Mapping[str, Any], place: str
) -> frozenset[bytes]:
    """Return the keys of the rows that have a teacher."""
    keys = frozenset(
        encoded_key(ids["input_ids"], ids["labels"])
        for row, ids in zip(rows, encoded, strict=True)
        if has_values(row["columns"], wanted)
    )
    if not keys:
        asked = ", ".join(f"{column}: {value}" for column, value in wanted.items())
        has = ", ".join(sorted({column for row in rows for column in row["columns"]}))
        raise FaultsError(Fault(place, f"no row has {asked}", f"values of the columns {has}"))
    return keys


def _host_arguments(file: Seq2SeqFile, has_dev: bool) -> dict[str, Any]:
    given = {name: value for name, value in file.model_dump().items() if name not in _OWN_KEYS}
    return given | {
        "predict_with_generate": True,
        "generation_max_length": file.target_len,
        "generation_num_beams": 1,
        "eval_strategy": "epoch" if has_dev and file.best_epoch else "no",
        "save_strategy": "epoch",
        "load_best_model_at_end": file.best_epoch,
        "metric_for_best_model": "correct_then_later" if file.best_epoch else None,
        "remove_unused_columns": False,
    }


def _rows(file: Seq2SeqFile) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return rows to train on, and development rows: declared ones, or the last of the former."""
    rows = _read(file, file.dataset)
    if file.eval_dataset:
        return rows, _read(file, file.eval_dataset)
    size = int(file.val_size) if file.val_size >= 1 else round(len(rows) * file.val_size)
    if not size:
        return rows, []
    order = np.random.default_rng(file.seed).permutation(len(rows))
    questions = list(dict.fromkeys(rows[number]["question"] for number in order))
    held_back = set(questions[:size])  # all rationales of a question, so that none leaks
    train = [row for row in rows if row["question"] not in held_back]
    dev = {row["question"]: row for row in rows if row["question"] in held_back}
    return train, list(dev.values())


def _read(file: Seq2SeqFile, name: str) -> list[dict[str, Any]]:
    folder = Path(file.dataset_dir)
    entry = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))[name]
    path = folder / entry["file_name"]
    columns = entry.get("columns", {})
    prompt, query = columns.get("prompt", "instruction"), columns.get("query", "input")
    response = columns.get("response", "output")
    rows, faults = [], []
    for number, row in enumerate(read_rows(path), start=1):
        if wrong := [key for key in (prompt, response) if not isinstance(row.get(key), str)]:
            faults.append(Fault(f"{path}: row {number}", f"no text in '{wrong[0]}'", "a text"))
            continue
        asked = (row[prompt], row.get(query))
        rows.append(
            {
                "question": "\n".join(str(part) for part in asked if part).strip(),
                "response": row[response],
                "label": str(row.get("gold") or row[response].rpartition(ARROW)[2]).strip(),
                "columns": row,
            }
        )
    if faults:
        raise FaultsError(faults[:5])
    return rows


def _encoded(row: Mapping[str, Any], tokenizer: Any, file: Seq2SeqFile) -> dict[str, list[int]]:
    return {
        "input_ids": _ids(row["question"], tokenizer, file.cutoff_len),
        "labels": _ids(row["response"], tokenizer, file.target_len),
    }


def _ids(text: str, tokenizer: Any, most: int) -> list[int]:
    """Return token ids that end with the end token, also where they were cut."""
    ids = [token for token in tokenizer(text)["input_ids"] if token != tokenizer.eos_token_id]
    return [*ids[: most - 1], tokenizer.eos_token_id]


class _Metrics:
    """Grades greedy answers, and writes them next to their questions."""

    def __init__(self, trainer: Any, tokenizer: Any, rows: Sequence[Mapping[str, str]]) -> None:
        self.trainer, self.tokenizer, self.rows = trainer, tokenizer, rows

    def __call__(self, predictions: Any) -> dict[str, float]:
        """Return the share of correct answers.

        Several processes answer rows in turn, and the last batches are filled up with the first
        rows: `Seq2SeqTrainer` leaves these further answers at the end.

        Shapes: predictions (answers, tokens), at least an answer a row.
        """
        padding = self.tokenizer.pad_token_id
        ids = predictions.predictions[: len(self.rows)]
        ids = np.where(ids < 0, padding, ids)
        texts = self.tokenizer.batch_decode(ids, skip_special_tokens=True)
        lines = []
        for row, text in zip(self.rows, texts, strict=True):
            answer = text.rpartition(ARROW)[2] if ARROW in text else text
            correct = grade(answer, row["label"]).correct
            lines.append(
                {"question": row["question"], "prediction": text, "label": row["label"],
                 "correct": correct}
            )  # fmt: skip
        if self.trainer.is_world_process_zero():
            step = self.trainer.state.global_step
            path = Path(self.trainer.args.output_dir) / f"predictions-{step}.jsonl"
            path.write_text(
                "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines),
                encoding="utf-8",
            )
        share = sum(bool(line["correct"]) for line in lines) / len(lines)
        later = _LATER * self.trainer.state.global_step
        return {"correct": share, "correct_then_later": share + later}
