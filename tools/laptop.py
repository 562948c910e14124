"""The study of studies/laptop.yaml from nothing to its report, with one command.

    python3 tools/laptop.py --data DIR [--gsm8k FILE] [--quick] [--set KEY=VALUE] [-o FOLDER]
                            [-- OPTIONS OF RUN]

DIR holds the CoT-factors files (the folder `data` of EIT-NLP/Distilling-CoT-Reasoning: SVAMP's
answer-only file and ChatGPT's levels 1, 3 and 6), in one folder anywhere below it. GSM8K's test
questions come from FILE, or from the hub where it is not given and they are not prepared yet; the
quick study asks none of them.
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
FILES = ("SVAMP_only_ans.json", *(f"SVAMP_ChatGPT_level{n}_ranked.json" for n in (1, 3, 6)))
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


def folder_of_files(data: Path) -> Path:
    """Return the folder with the CoT-factors files, at or below another.

    Raises:
        SystemExit: there is none, or one of the files is missing in it.
    """
    found = sorted(data.rglob(FILES[0]))
    if not found:
        raise SystemExit(f"laptop: no {FILES[0]} in {data} or below; see docs/evidence/laptop.md")
    folder = found[0].parent
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        raise SystemExit(f"laptop: {folder} lacks {', '.join(missing)}")
    return folder


def asks_gsm8k(folder: Path) -> bool:
    """Return whether an evaluation of a run folder asks GSM8K's questions."""
    files = (folder / "eval").glob("*.yaml")
    return any("  - cot_gsm8k\n" in path.read_text(encoding="utf-8") for path in files)


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
    if given.quick and given.gsm8k:
        parser.error("--quick asks no question of GSM8K: leave --gsm8k out")
    data = folder_of_files(given.data.resolve())
    folder = given.output or Path("runs") / ("laptop-quick" if given.quick else "laptop")
    folder = folder.resolve()
    sets = [f"data_folder={data}", *(QUICK if given.quick else ()), *given.set]
    settings = [word for one in sets for word in ("--set", one)]
    cotdistill = (PYTHON, "-m", "cotdistill")
    run(sys.executable, ROOT / "tools" / "environment.py")
    run(sys.executable, ROOT / "tools" / "models.py")
    run(PYTHON, ROOT / "tools" / "models.py", "float32")
    os.environ.setdefault("PYTHONPATH", str(ROOT / "plugins"))
    run(*cotdistill, "generate", "laptop", "-o", folder, *settings)
    if asks_gsm8k(folder):
        source = ("--from", given.gsm8k.resolve()) if given.gsm8k else ()
        if given.gsm8k or not gsm8k_is_prepared():
            try:
                run(*cotdistill, "prepare", "gsm8k", "--split", "test", *source)
            except SystemExit:
                sys.stderr.write(f"laptop: {WITHOUT_GSM8K}\n")
                raise
    run(*cotdistill, "check", folder)
    run(*cotdistill, "plan", folder)
    run(*cotdistill, "run", folder, *given.more)
    run(*cotdistill, "report", folder)


if __name__ == "__main__":
    main()
