"""What the small studies of the tests have in common: a recipe of two steps, two short answers."""

from __future__ import annotations

from typing import Any

RECIPES: dict[str, Any] = {
    "full": {
        "max_steps": 2,
        "learning_rate": 2.0e-3,
        "precision": "fp32",
        "global_batch": 8,
        "per_device_batch": 8,
        "cutoff_len": 256,
    }
}
EVALUATION: dict[str, Any] = {
    "tasks": ["cot_gsm8k"],
    "limit": 2,
    "generation": {"max_gen_toks": 64},
}
