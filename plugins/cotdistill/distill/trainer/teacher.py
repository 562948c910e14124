"""Load a teacher with the host's own loader, in the student's precision and attention."""

from __future__ import annotations

from typing import Any

from llamafactory.hparams import FinetuningArguments, ModelArguments
from llamafactory.model import load_model, load_tokenizer

from cotdistill.distill.settings import Teacher
from cotdistill.errors import Fault, FaultsError


def load_teacher(teacher: Teacher, student: Any) -> tuple[Any, int]:
    """Return a frozen teacher in evaluation mode, and the size of its tokenizer's vocabulary.

    `student` are the host's model arguments for the student.

    Raises:
        FaultsError: LLaMA-Factory cannot load it.
    """
    arguments = ModelArguments.copyfrom(
        student,
        model_name_or_path=teacher.model,
        model_revision=teacher.revision or "main",
        adapter_name_or_path=teacher.adapters,
        quantization_bit=teacher.quantization,
        train_from_scratch=False,
        resize_vocab=False,
        add_tokens=None,
        add_special_tokens=None,
        new_special_tokens_config=None,
    )
    try:
        tokenizer = load_tokenizer(arguments)["tokenizer"]
        model = load_model(tokenizer, arguments, FinetuningArguments(), is_trainable=False)
    except MemoryError:
        raise
    except (
        Exception
    ) as error:  # a damaged file ends anywhere in the host; what it says is the finding
        cause = f"{type(error).__name__}: {' '.join(str(error).split())}"
        wrong = f"LLaMA-Factory cannot load it as the teacher ({cause})"
        raise FaultsError(Fault(str(teacher.model), wrong)) from error
    return model, len(tokenizer)
