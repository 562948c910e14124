"""T5 models of a few thousand weights, with the tokenizer of the other tiny models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from cotdistill.files.yamls import dump_yaml
from tiny_models import ROWS, build


def t5(seed: int = 0, width: int = 16, *, tied: bool = True) -> Any:
    """Return a model without dropout."""
    import torch
    import transformers

    torch.manual_seed(seed)
    config = transformers.T5Config(
        vocab_size=304, d_model=width, d_kv=8, d_ff=24, num_layers=1, num_heads=2, pad_token_id=0,
        eos_token_id=2, decoder_start_token_id=0, tie_word_embeddings=tied, dropout_rate=0.0,
    )  # fmt: skip
    return transformers.T5ForConditionalGeneration(config)


def build_t5(folder: Path, made: Path, seed: int = 0, width: int = 16) -> Path:
    """Write a model folder with the tokenizer of another one."""
    t5(seed, width).save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        if (made / file).is_file():
            shutil.copy(made / file, folder / file)
    return folder


def folder_with_models(tmp_path: Path) -> Path:
    """Write a student, a wider teacher and rows, and return the folder."""
    made = build(tmp_path / "made")
    for name, seed, width in (("student", 0, 16), ("teacher", 1, 24)):
        build_t5(tmp_path / name, made, seed, width)
    rows = [{"q": row["instruction"], "a": f"{row['output']} --> {n}"} for n, row in
            enumerate(ROWS)]  # fmt: skip
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    columns = {"prompt": "q", "response": "a"}
    registry = {"rows": {"file_name": "rows.json", "columns": columns}}
    (tmp_path / "dataset_info.json").write_text(json.dumps(registry))
    return tmp_path


def training_file(folder: Path, name: str = "t5", **changes: Any) -> Path:
    """Write a training file for them; a key whose value is None is left out."""
    arguments = {
        "stage": "seq2seq", "model_name_or_path": str(folder / "student"), "use_cpu": True,
        "dataset_dir": str(folder), "dataset": "rows", "val_size": 8, "target_len": 64,
        "output_dir": str(folder / "out" / name), "num_train_epochs": 2, "logging_steps": 1,
        "per_device_train_batch_size": 8, "learning_rate": 1e-3, "disable_tqdm": True,
        "kd": {"teacher": str(folder / "teacher"), "preset": "mentor-kd"},
    } | changes  # fmt: skip
    path = folder / f"{name}.yaml"
    path.write_text(dump_yaml({k: v for k, v in arguments.items() if v is not None}))
    return path
