"""The teacher that is loaded next to a student has its own weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from cotdistill.distill.settings import Teacher
from cotdistill.models.scratch import Scratch
from cotdistill.models.scratch_model import build_student


def test_a_teacher_keeps_its_weights_where_the_student_draws_new_ones(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    hparams = pytest.importorskip("llamafactory.hparams")
    from safetensors.torch import load_file

    from cotdistill.distill.trainer.teacher import load_teacher

    place = tmp_path / "teacher"
    build_student(Scratch(hidden_size=16, layers=1, heads=2), ["one two three"], place)
    student = hparams.ModelArguments(model_name_or_path=str(place), train_from_scratch=True)
    student.compute_dtype = torch.float32
    student.device_map = {"": "cpu"}
    model, _ = load_teacher(Teacher(model=str(place)), student)
    stored = load_file(place / "model.safetensors")["model.embed_tokens.weight"]
    assert torch.equal(model.get_input_embeddings().weight, stored)
