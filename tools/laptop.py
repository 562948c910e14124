"""The study of studies/laptop.yaml from nothing to its report, with one command.

    python3 tools/laptop.py --data DIR [--gsm8k FILE] [--quick] [--set KEY=VALUE] [-o FOLDER]
                            [-- OPTIONS OF RUN]

DIR holds the CoT-factors files (the folder `data` of EIT-NLP/Distilling-CoT-Reasoning: SVAMP's
answer-only file and ChatGPT's levels), anywhere below it. GSM8K's test questions come from FILE, or
from the hub where it is not given and they are not prepared yet; the quick study asks none of them.
The same command resumes after an interruption. It makes `.venv` and the student (`make models`)
where they are not there.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHON = ROOT / ".venv" / "bin" / "python"
ANSWERS = "SVAMP_only_ans.json"
WITHOUT_GSM8K = (
    "give GSM8K's test questions as --gsm8k FILE, or leave them out: "
    "--set evaluation.tasks=[dev_svamp]"
)
QUICK = (
    "name=laptop-quick",
    "seeds=[1]",
    "evaluation.tasks=[{dev_svamp: {limit: 16}}]",
    "recipes.frozen.max_steps=12",
)


def run(*words: str | Path) -> None:
    """Run one command as a user would type it; stop with its status if it fails."""
    command = [str(word) for word in words]
    sys.stderr.write(f"$ {' '.join(command)}\n".replace(f"{PYTHON} -m ", ""))
    sys.stderr.flush()
    if status := subprocess.call(command, cwd=ROOT):
        raise SystemExit(status)


def found_in(data: Path, name: str) -> Path | None:
    """Return a file by the end of its path, wherever it lies below a folder."""
    return next(iter(sorted(data.rglob(name))), None)


def asks_gsm8k(sets: list[str]) -> bool:
    """Return whether the study asks GSM8K's questions with these settings.

    >>> asks_gsm8k(["seeds=[1]"]), asks_gsm8k(["evaluation.tasks=[dev_svamp]"])
    (True, False)
    """
    tasks = [one for one in sets if one.startswith("evaluation.tasks=")]
    return not tasks or "gsm8k" in tasks[-1]


def gsm8k_is_prepared() -> bool:
    """Return whether the test questions are where `cotdistill prepare` writes them."""
    default = Path("~/.cache/cotdistill/data").expanduser()
    return (Path(os.environ.get("COTDISTILL_DATA", default)) / "gsm8k" / "test.jsonl").is_file()


def main() -> None:
    """Set up, generate, check, plan, run, report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the CoT-factors files")
    parser.add_argument("--gsm8k", type=Path, help="file of GSM8K's test questions [default: hub]")
    parser.add_argument("--quick", action="store_true", help="one seed, fewer steps and questions")
    parser.add_argument("--set", action="append", default=[], help="override a study value")
    parser.add_argument("-o", "--output", type=Path, help="the run folder")
    parser.add_argument("more", nargs="*", help="options of `cotdistill run`, after --")
    given = parser.parse_args()
    data = given.data.resolve()
    answers = found_in(data, ANSWERS)
    if answers is None:
        raise SystemExit(f"laptop: no {ANSWERS} in {data}; see docs/evidence/laptop.md")
    folder = given.output or Path("runs") / ("laptop-quick" if given.quick else "laptop")
    folder = folder.resolve()
    sets = [f"data_folder={answers.parent}", *(QUICK if given.quick else ()), *given.set]
    settings = [word for one in sets for word in ("--set", one)]
    cotdistill = (PYTHON, "-m", "cotdistill")
    run(sys.executable, ROOT / "tools" / "environment.py")
    run(sys.executable, ROOT / "tools" / "models.py")
    run(PYTHON, ROOT / "tools" / "models.py", "float32")
    os.environ.setdefault("PYTHONPATH", str(ROOT / "plugins"))
    if asks_gsm8k(sets):
        source = ("--from", given.gsm8k.resolve()) if given.gsm8k else ()
        if given.gsm8k or not gsm8k_is_prepared():
            try:
                run(*cotdistill, "prepare", "gsm8k", "--split", "test", *source)
            except SystemExit:
                sys.stderr.write(f"laptop: {WITHOUT_GSM8K}\n")
                raise
    run(*cotdistill, "generate", "laptop", "-o", folder, *settings)
    run(*cotdistill, "check", folder)
    run(*cotdistill, "plan", folder)
    run(*cotdistill, "run", folder, *given.more)
    run(*cotdistill, "report", folder)


if __name__ == "__main__":
    main()
