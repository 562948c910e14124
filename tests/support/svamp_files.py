"""Files named as those of the CoT-factors study's SVAMP questions, with made-up rows."""

from __future__ import annotations

import json
from pathlib import Path

_FILES = {
    "SVAMP_only_ans.json": "{}",
    **{
        f"SVAMP_ChatGPT_level{level}_ranked.json": "She has {}. The answer is {}"
        for level in (1, 3, 6)
    },
}


def write_svamp_files(folder: Path, count: int = 260) -> None:
    """Write the same questions into each file: with the answer alone, and with a rationale."""
    folder.mkdir(exist_ok=True)
    questions = [f"Ann has {n} pens and gets 2 more. How many has she?" for n in range(count)]
    for name, answer in _FILES.items():
        rows = [
            {"instruction": question, "output": answer.replace("{}", str(n + 2))}
            for n, question in enumerate(questions)
        ]
        (folder / name).write_text(json.dumps(rows), encoding="utf-8")
