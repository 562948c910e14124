"""`vllm run-batch` without vLLM: a program that answers a file of requests."""

from __future__ import annotations

import sys
from pathlib import Path

_PROGRAM = """#!{python}
import json, os, sys
sys.path.insert(0, {support!r})
from teacher import obedient
command, *words = sys.argv[1:]
assert command == "run-batch", command
options = dict(zip(words[::2], words[1::2]))
if os.path.exists({fails!r}):
    sys.exit("CUDA out of memory")
with open(options["-i"]) as requests, open(options["-o"], "w") as replies:
    for line in requests:
        row = json.loads(line)
        assert row["body"]["model"] == options["--model"], "one model a file"
        choice = {{"message": {{"content": obedient(row["body"])}}, "finish_reason": "stop"}}
        response = {{"status_code": 200, "body": {{"model": "m", "choices": [choice]}}}}
        replies.write(json.dumps({{"custom_id": row["custom_id"], "response": response}}) + "\\n")
"""


def stand_in_vllm(folder: Path) -> Path:
    """Write the program into a folder and return it; it fails while FAILS is in there."""
    folder.mkdir(parents=True, exist_ok=True)
    support = str(Path(__file__).resolve().parent)
    fails = str(folder / "FAILS")
    text = _PROGRAM.format(python=sys.executable, support=support, fails=fails)
    (folder / "vllm").write_text(text)
    (folder / "vllm").chmod(0o755)
    return folder
