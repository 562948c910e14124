"""Every number of docs/evidence follows from the table of answers next to it."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from cotdistill.cli.main import main
from run_folder import add_run, add_scores, add_training, add_untrained, write_study

ROOT = Path(__file__).resolve().parents[2]
EVIDENCE = ROOT / "docs" / "evidence"
ARMS = {
    "untouched": ["0000100001"],
    "answer-only": ["0010100101", "0110100001"],
    "level-1": ["1110101101", "1110110111"],
}


def evidence(*words: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "evidence.py"), *map(str, words)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page_and_its_figures_are_what_the_answers_give() -> None:
    pages = EVIDENCE / "laptop.md", EVIDENCE / "laptop-details.md"
    evidence("numbers", EVIDENCE / "laptop", "--into", *pages, "--check")


def test_the_table_of_answers_gives_the_numbers_of_compare_and_holds_no_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "run", tmp_path / "out"
    write_study(
        folder,
        {"untouched": {"train": "none"}, "answer-only": {"file": "a"}, "level-1": {"file": "b"}},
    )
    (folder / "data").mkdir()
    for arm, runs in ARMS.items():
        for seed, digits in enumerate(runs, start=1):
            name = f"tiny--{arm}--full--s{seed}"
            if arm == "untouched":
                add_untrained(folder, name)
            else:
                add_run(folder, name, arm, seed=seed)
                add_training(folder, name)
            add_scores(folder, name, [digit == "1" for digit in digits])
    words = Tokenizer(WordLevel({"x": 0}, unk_token="x"))
    words.pre_tokenizer = Whitespace()
    words.save(str(tmp_path / "tokenizer.json"))
    evidence("take", folder, "-o", out, "--model", tmp_path)
    with (out / "answers.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 50
    assert len({row["question"] for row in rows}) == 10
    assert not [row for row in rows if "What" in "".join(row.values())]
    tables = evidence("numbers", out)
    assert main(["compare", str(folder), "--baseline", "untouched", "--json"]) == 0
    for one in json.loads(capsys.readouterr().out)["comparisons"]:
        value, low, high = (f"{100 * one[name]:+.1f}" for name in ("difference", "low", "high"))
        arms = f"{one['second']} - {one['first']}"
        assert f"| {arms} | {value} | [{low}, {high}] | {one['p']:.3f} |" in tables


def numbers_in(text: str) -> set[str]:
    """The numbers of a text; a thousands separator does not count."""
    return set(re.findall(r"\d+(?:\.\d+)?", text.replace(",", "")))


def test_every_number_of_the_conclusions_is_in_the_page_s_tables() -> None:
    page = (EVIDENCE / "laptop.md").read_text(encoding="utf-8")
    _, found, rest = page.partition("## What can be concluded\n")
    conclusions, _, _ = rest.partition("\n## ")
    assert found
    assert numbers_in(conclusions)
    tables = "\n".join(line for line in page.splitlines() if line.startswith("|"))
    assert numbers_in(conclusions) - numbers_in(tables) == set()
