"""Run one script in this Python and print its answer; `ask_python` starts this file there.

    python -P runner.py MARK SCRIPT QUESTION

It loads SCRIPT, calls its `answer` with what the JSON file QUESTION holds, and prints one line,
MARK and the answer as JSON. It knows nothing of cotdistill, which that Python need not have.
"""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path


def main(mark: str, script: str, question: str) -> None:
    """Print the marked answer; whatever else the hosts print is on other lines."""
    answer = runpy.run_path(script)["answer"]
    found = answer(json.loads(Path(question).read_text(encoding="utf-8")))
    sys.stdout.write(f"\n{mark}{json.dumps(found)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
