"""Hostile texts: no grader, rule, reader or page stalls on them, fails, or passes them on."""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from attack.children import Outcome, outcomes
from attack.texts import TEXTS
from cotdistill import grade
from cotdistill.benchmarks.question import question_key
from cotdistill.cli.main import main
from cotdistill.corpus.records.trace import Trace
from cotdistill.corpus.rules.rules import RULES, defects_in, detail_of, fixed
from cotdistill.corpus.text.contamination import HeldOut, bare, index_of, overlaps
from cotdistill.corpus.text.minhash import run_hashes, sketches
from cotdistill.corpus.text.words import words_of
from cotdistill.grading.arithmetic.soundness import step_soundness
from cotdistill.hosts.request import Request, read_reply
from cotdistill.results.judge.opinion import delimiter_for, read_opinion
from cotdistill.tables import escaped_markdown, printable
from run_folder import STAMP, add_run, add_scores, add_training
from trace_rows import read_jsonl, trace_dict, write_jsonl

STEERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def _trace(text: str) -> Trace:
    return Trace("1", "d", "train", "What is 2 + 2?", "4", text)


def _lint(text: str) -> object:
    trace = _trace(text)
    found = defects_in(trace)
    return [detail_of(trace, rule.name) for rule in RULES if rule.name in found.names][:1]


def _sketch(text: str) -> object:
    words = words_of([text, text + " more"])
    hashes, owner = run_hashes(words)
    return sketches(hashes, owner, 2).shape[0]


def _reply(text: str) -> object:
    message = {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}
    request = Request(key="k", model="m", messages=({"role": "user", "content": "?"},))
    return str(type(read_reply(json.dumps(message).encode(), request)).__name__)


def _overlap(text: str) -> object:
    index = index_of([HeldOut("b", "1", text or "?", "4", text), HeldOut("b", "2", "Why?", "", "")])
    words = words_of([text])
    return len(overlaps(index, [text], words_of([bare(text)]), words).row) >= 0


FUNCTIONS: dict[str, Callable[[str], object]] = {
    "grade as a response": lambda text: grade(text, "4").outcome,
    "grade as an answer": lambda text: grade(f"The answer is {text}", "4").outcome,
    "grade as a gold": lambda text: grade("The answer is 4", text or "?").outcome,
    "grade as a strict expression": lambda text: grade(
        f"\\boxed{{{text}}}", "x^2", kind="expression", strict=True
    ).outcome,
    "lint": _lint,
    "fix": lambda text: len(fixed(_trace(text))[0].rationale),
    "check steps": lambda text: step_soundness(text).stated,
    "identify a question": lambda text: question_key(text, "words")[:9] is not None,
    "hash": _sketch,
    "decontaminate": _overlap,
    "read a judge": lambda text: read_opinion(text).ruling,
    "read a reply": _reply,
    "quote for a judge": lambda text: text not in ("",) and delimiter_for(text) in text,
    "print": lambda text: bool(STEERS.search(printable(text).replace("\r", ""))),
    "write Markdown": lambda text: "<" in escaped_markdown(text),
}
SHOWS = ("print", "write Markdown", "quote for a judge")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_function_fails_or_stalls_on_a_hostile_text(
    name: str, part_of: Any, count: Counter[str]
) -> None:
    texts = part_of(list(TEXTS), 3, len(name))
    found = outcomes(texts, lambda text: FUNCTIONS[name](TEXTS[text]))
    faults = [
        f"{name}, {text}: {outcome.ended}"
        for text, outcome in zip(texts, found, strict=True)
        if outcome.ended != "fine"
    ]
    assert not faults, "\n".join(faults)
    if name in SHOWS:
        assert not any(outcome.result for outcome in found), "a text got through"
    count["hostile texts, a function each"] += len(texts)


def run_in_child(folder: Path, *commands: str) -> list[Outcome]:
    def run(command: str) -> int:
        with contextlib.chdir(folder):
            return main(command.split())

    found = outcomes(commands, run)
    for command, outcome in zip(commands, found, strict=True):
        assert outcome.ended == "fine", f"{command}: {outcome.ended}"
        assert not STEERS.search(outcome.printed.replace("\r", "")), command
    return found


def test_verbs_account_for_every_row_with_a_hostile_text(
    tmp_path: Path, part_of: Any, count: Counter[str]
) -> None:
    rows = []
    for number, text in enumerate(part_of(list(TEXTS.values()), 4), start=1):
        rows.append(trace_dict(number, rationale=text))
        rows.append(trace_dict(number, id=f"asked-{number}", question=text))
        rows.append(trace_dict(number, id=f"gold-{number}", gold=text))
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = run_in_child(
        tmp_path,
        "lint a.jsonl --workers 1 --findings f.jsonl",
        "filter a.jsonl -o k.jsonl --workers 1 --skip-bad",
        "grade a.jsonl -o g.jsonl",
        "granularity a.jsonl",
        "import-traces a.jsonl -o out --skip-bad",
        "mix one=a.jsonl=1 -o m.jsonl",
    )
    assert [outcome.result for outcome in found] == [1, 0, 0, 0, 0, 0], [o.printed for o in found]
    kept, rejected = read_jsonl(tmp_path / "k.jsonl"), read_jsonl(tmp_path / "k.rejected.jsonl")
    assert len(kept) + len(rejected) == len(rows)
    assert len(read_jsonl(tmp_path / "g.jsonl")) == len(rows)
    count["hostile texts, a row each in six verbs"] += 6 * len(rows)


class Elements(HTMLParser):
    """Counts what a page would run or load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "img", "iframe", "object", "embed", "base", "form"):
            self.found[tag] += 1
        for name, value in attributes:
            if name.startswith("on") or "javascript:" in (value or "").lower():
                self.found[name] += 1


def test_a_page_of_hostile_texts_runs_nothing_of_theirs(
    tmp_path: Path, count: Counter[str]
) -> None:
    texts = [text[:5000] for text in TEXTS.values()]
    elements = []
    for name, responses in (("plain", ["4"] * len(texts)), ("hostile", texts)):
        folder = tmp_path / name
        for arm in ("base", "fine"):
            run = f"tiny--{arm}"
            add_run(folder, run, arm)
            add_training(folder, run)
            out = add_scores(folder, run, [True, False] * (len(texts) // 2))
            path = out / f"samples_digits_{STAMP}.jsonl"
            rows = read_jsonl(path)
            for row, text in zip(rows, responses, strict=False):
                row["resps"] = [[text]]
                row["doc"]["question"] += text
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        rescored, reported, compared = run_in_child(
            folder,
            "rescore scores --workers 1",
            "report .",
            "compare scores/tiny--base scores/tiny--fine --flips 5",
        )
        assert (rescored.result, reported.result, compared.result) == (0, 0, 0), reported.printed
        page = Elements()
        page.feed((folder / "report" / "report.html").read_text())
        elements.append(page.found)
    assert elements[0] == elements[1]
    count["hostile texts, on a page"] += len(texts)


def test_hostile_rows_are_written_as_jsonl_that_reads_back(tmp_path: Path) -> None:
    rows = [{"text": text} for text in TEXTS.values()]
    from cotdistill.files.jsonl import read_rows, write_rows

    write_rows(tmp_path / "a.jsonl", rows)
    assert list(read_rows(tmp_path / "a.jsonl")) == rows
    assert write_jsonl(tmp_path / "b.jsonl", [{"a": 1}]).is_file()
