"""Which samples are judged, by which model, and within which limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class JudgeOptions:
    """What `judge` takes besides the samples and whom to ask.

    `task` and `stamp` (the time in the file's name) choose among the samples; `golds` is a file
    with reference answers for questions that have none. `audit` is the share of correct responses
    that are asked about too; `skip_truncated` leaves responses that never came to an end to the
    grader. `prompt` names a file of `templates/prompts/`. `most_requests` and `most_tokens` limit
    what is asked in one call; None is no limit. `any_model` accepts replies of a model with another
    name than was asked for; `openai_reasoning` sends no temperature, which OpenAI's reasoning
    models refuse. `out` is where results go, into a folder a run, instead of next to the samples.
    """

    model: str
    task: str | None = None
    stamp: str | None = None
    golds: Path | None = None
    audit: float = 0.1
    random_seed: int = 0
    max_tokens: int = 512
    skip_truncated: bool = False
    most_requests: int | None = None
    most_tokens: int | None = None
    prompt: str = "judge"
    out: Path | None = None
    any_model: bool = False
    openai_reasoning: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)
