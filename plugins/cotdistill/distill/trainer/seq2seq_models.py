"""An encoder-decoder student and its teacher: what is checked of both, and how they are loaded."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForSeq2SeqLM

from cotdistill.distill.model_check import memory_faults
from cotdistill.distill.own_texts import ROWS_ENCODED
from cotdistill.distill.seq2seq_file import Seq2SeqFile
from cotdistill.distill.settings import Teacher
from cotdistill.distill.vocabulary import vocabulary_faults
from cotdistill.errors import Fault, FaultsError
from cotdistill.hosts.tokenizer import load_tokenizer


def load_student(file: Seq2SeqFile) -> Any:
    """Return the student, with new adapters where these are to be trained."""
    student = AutoModelForSeq2SeqLM.from_pretrained(
        file.model_name_or_path,
        revision=file.model_revision or "main",
        dtype=torch.bfloat16 if file.bf16 and file.finetuning_type == "lora" else torch.float32,
    )
    if file.finetuning_type == "full":
        return student
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=file.lora_rank, lora_alpha=file.lora_alpha, lora_dropout=file.lora_dropout,
        target_modules=file.lora_target.split(","), task_type="SEQ_2_SEQ_LM",
    )  # fmt: skip
    return get_peft_model(student, config)


def load_seq2seq_teacher(source: Teacher, dtype: Any, place: str) -> Any:
    """Return a frozen teacher in evaluation mode, its adapters merged into it.

    Several adapters are separated by commas and merged one after the other, as LLaMA-Factory does.

    Raises:
        FaultsError: its adapters do not belong to it.
    """
    model = AutoModelForSeq2SeqLM.from_pretrained(
        source.model, revision=source.revision or "main", dtype=dtype
    )
    for name in _adapters_of(source):
        from peft import PeftModel

        try:
            model = PeftModel.from_pretrained(model, name).merge_and_unload()
        except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
            cause = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            wrong = f"{name} cannot be put on {source.model} ({cause})"
            fault = Fault(f"{place}.adapters", wrong, "LoRA adapters of this teacher")
            raise FaultsError(fault) from error
    return model.requires_grad_(False).eval()


def seq2seq_model_faults(
    file: Seq2SeqFile, tokenizer: Any, texts: Iterable[str], place: str
) -> list[Fault]:
    """Return why a student cannot learn from its teacher; no weights are loaded.

    `texts` are those of the rows, which both tokenizers must encode alike.
    """
    faults = []
    named = {"model_name_or_path": (file.model_name_or_path, file.model_revision)}
    source = file.kd.source if file.kd and file.kd.teacher is not None else None
    if source is not None:
        named["kd.teacher"] = (str(source.model), source.revision)
    for key, (name, revision) in named.items():
        try:
            config = AutoConfig.from_pretrained(name, revision=revision or "main")
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0][:200]
            faults.append(Fault(f"{place}:{key}", f"{name} cannot be read ({reason})"))
            continue
        if not config.is_encoder_decoder:
            faults.append(Fault(f"{place}:{key}", f"{name} is no encoder-decoder", "as T5"))
    if source is None or file.kd is None:
        return faults
    faults += _adapter_faults(source, f"{place}:kd.teacher.adapters")
    if not faults:
        faults += memory_faults(str(source.model), None, f"{place}:kd.teacher")
        if file.kd.vocabulary_check:
            theirs = load_tokenizer(str(source.model), source.revision)
            rows = islice(texts, ROWS_ENCODED)
            faults += vocabulary_faults(tokenizer, theirs, rows, f"{place}:kd.teacher")
    return faults


def _adapters_of(source: Teacher) -> list[str]:
    return [name.strip() for name in (source.adapters or "").split(",") if name.strip()]


def _adapter_faults(source: Teacher, place: str) -> list[Fault]:
    faults = []
    for name in _adapters_of(source):
        from peft import PeftConfig

        try:
            PeftConfig.from_pretrained(name)
        except (OSError, ValueError, TypeError, KeyError) as error:
            reason = str(error).splitlines()[0][:200]
            wrong = f"{name} cannot be read ({reason})"
            faults.append(Fault(place, wrong, "a folder or hub id of LoRA adapters"))
    return faults
