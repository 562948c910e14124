"""What teaching leaves: `traces.jsonl`, `failures.jsonl` and the ledger over both.

The rows depend on the answers alone, never on when or in how many pieces they came, or how often a
request was sent for one: that is in the journal of each answer, and its sum in the ledger.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cotdistill import __version__
from cotdistill.corpus.records.trace import Provenance, Trace
from cotdistill.corpus.records.trace_row import trace_row
from cotdistill.files.atomic import sha256_of, write_text, written_whole
from cotdistill.files.jsonl import row_line
from cotdistill.teach.budget import Bill
from cotdistill.teach.graded import NOT_GRADED, Graded, Grader
from cotdistill.teach.lesson import Lesson, Sample, Taught
from cotdistill.teach.obedience import Obedience
from cotdistill.teach.questions import Item

TRACES, FAILURES, LEDGER, PLAN = "traces.jsonl", "failures.jsonl", "ledger.json", "plan.json"
_STATES = ("kept", "cut", "refused", "failed", "open")


@dataclass
class Totals:
    """What all samples came to; `asked` = the sum of `states`."""

    questions: int = 0
    states: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    flagged: Counter[str] = field(default_factory=Counter)
    bill: Bill = field(default_factory=Bill)
    repeats: list[int] = field(default_factory=lambda: [0, 0])
    obedience: Obedience = field(default_factory=Obedience)
    first_missing: str = ""
    first_format_fault: str = ""

    @property
    def asked(self) -> int:
        """All samples that were wanted."""
        return self.states.total()

    @property
    def missing(self) -> int:
        """Samples that did not become a row."""
        return self.asked - self.states["kept"]

    @property
    def correct_share(self) -> float | None:
        """The share of graded rows that are correct, None where nothing was graded."""
        graded = sum(many for outcome, many in self.outcomes.items() if outcome != "not_graded")
        return self.outcomes["correct"] / graded if graded else None

    @property
    def repeated_share(self) -> float:
        """The share of samples whose text another sample of the same question has."""
        same, several = self.repeats
        return same / several if several else 0.0


@dataclass(frozen=True)
class Teaching:
    """What rows are written from: what was asked for, who answered, and who grades."""

    lesson: Lesson
    teacher: str
    revision: str | None
    grader: Grader
    program_grader: Grader | None = None


def write_rows(
    folder: Path, rows: Iterable[tuple[Item, Taught]], teaching: Teaching, totals: Totals
) -> None:
    """Write the traces and the failures of all questions, in their order, and count them."""
    hashes = {name: teaching.lesson.prompts.digest(name) for name in teaching.lesson.prompt_names}
    with ExitStack() as stack:
        traces = stack.enter_context(written_whole(folder / TRACES))
        failures = stack.enter_context(written_whole(folder / FAILURES))
        for item, found in rows:
            totals.questions += 1
            for backend, answer in found.billed:
                totals.bill.add(answer, backend)
            _count_levels(found.samples, totals)
            for sample in found.samples:
                totals.states[sample.answer.state if not sample.text else "kept"] += 1
                if sample.text:
                    traces.write(row_line(_trace_row(item, sample, teaching, hashes, totals)))
                else:
                    failures.write(row_line(_failure_row(item, sample, totals)))


def _trace_row(
    item: Item,
    sample: Sample,
    teaching: Teaching,
    hashes: Mapping[str, str],
    totals: Totals,
) -> dict[str, Any]:
    lesson, answer = teaching.lesson, sample.answer
    graded = _grade(item, sample, teaching)
    totals.outcomes[graded.outcome] += 1
    flags = [f"{kind}_missed" for kind in sample.faults]
    totals.flagged.update(flags)
    if "format" in sample.faults and not totals.first_format_fault:
        totals.first_format_fault = f"{item.id}: {sample.faults['format']}"
    totals.obedience.add(
        sample.format,
        sample.level,
        sample.steps,
        len(sample.text.split()),
        sample.faults,
        sample.asked,
    )
    meta: dict[str, Any] = {**item.meta}
    if graded.correct is not None:
        meta["correct"] = graded.correct
        meta["outcome"] = graded.outcome
    if flags:
        meta["flags"] = flags
    if lesson.bundle:
        meta["bundle"] = True
    if lesson.rewrite:
        meta["rewritten_from"] = item.id
    name = "rewrite" if lesson.rewrite else "bundle" if lesson.bundle else sample.format
    provenance = Provenance(
        teacher=teaching.teacher,
        revision=teaching.revision,
        level=sample.level,
        format=sample.format,
        prompt_hash=hashes[name],
        decoding=lesson.decoding.described(),
        finish_reason=answer.finish_reason or None,
        tokens=answer.completion_tokens or None,
        served_model=answer.served_model or None,
        fingerprint=answer.fingerprint or None,
        strategy="rewrite" if lesson.rewrite else "teach",
        sample=sample.number,
        gold_shown=lesson.gold_shown,
        prompt_tokens=answer.prompt_tokens or None,
        cached_tokens=answer.cached_tokens or None,
        reasoning_tokens=answer.reasoning_tokens or None,
        asked=sample.asked,
    )
    trace = Trace(
        id=_row_id(item, sample),
        dataset=item.dataset,
        split=item.split,
        question=item.question,
        gold=item.gold,
        rationale=sample.text,
        kind=item.kind,
        options=item.options,
        answer=graded.answer,
        meta=meta,
        provenance=provenance,
    )
    return trace_row(trace)


def _grade(item: Item, sample: Sample, teaching: Teaching) -> Graded:
    if sample.format == "program":
        grader = teaching.program_grader
        return grader(sample.text, item) if grader else NOT_GRADED
    return teaching.grader(sample.text, item)


def _failure_row(item: Item, sample: Sample, totals: Totals) -> dict[str, Any]:
    answer = sample.answer
    reason = answer.why.partition(":")[0][:80] or answer.state
    totals.reasons[reason] += 1
    totals.first_missing = totals.first_missing or f"{item.id}: {answer.why or answer.state}"
    return {
        "id": _row_id(item, sample),
        "question_id": item.id,
        "question": item.question,
        "format": sample.format,
        "level": sample.level,
        "sample": sample.number,
        "state": answer.state,
        "why": answer.why,
        "tokens": answer.completion_tokens or None,
        "key": answer.key,
    }


def _row_id(item: Item, sample: Sample) -> str:
    level = "" if sample.level is None else f"-level{sample.level}"
    return f"{item.id}{level}-{sample.format}-{sample.number}"


def _count_levels(samples: Sequence[Sample], totals: Totals) -> None:
    """Count how steps rise with levels, and texts that repeat, within one question."""
    steps: dict[tuple[str, int], dict[int, int]] = defaultdict(dict)
    texts: dict[tuple[str, int | None], list[str]] = defaultdict(list)
    for sample in samples:
        if not sample.text:
            continue
        if sample.level is not None:
            steps[sample.format, sample.number][sample.level] = sample.steps
        texts[sample.format, sample.level].append(" ".join(sample.text.split()))
    for (format_, _), by_level in steps.items():
        totals.obedience.add_question(format_, by_level)
    for several in texts.values():
        if len(several) > 1:
            totals.repeats[0] += len(several) - len(set(several))
            totals.repeats[1] += len(several)


def input_entry(name: str, path: Path | None) -> dict[str, Any]:
    """Return what the ledger says of the questions that were read."""
    if path is None or not path.is_file():
        return {"file": name}
    return {"file": name, "sha256": sha256_of(path)}


def settings_row(lesson: Lesson, teacher: str) -> dict[str, Any]:
    """Return what was asked for, for the ledger; it holds no address and no key."""
    return {
        "teacher": teacher,
        "levels": list(lesson.levels),
        "formats": list(lesson.formats),
        "samples": lesson.samples,
        "gold_shown": lesson.gold_shown,
        "bundle": lesson.bundle,
        "rewrite": lesson.rewrite,
        "reasoning": lesson.reasoning,
        "asked_again_at_most": lesson.again,
        "prompts": {name: lesson.prompts.digest(name) for name in lesson.prompt_names},
        "decoding": {"model": lesson.decoding.model, **lesson.decoding.described()},
    }


def write_ledger(folder: Path, entries: Mapping[str, Any], totals: Totals) -> None:
    """Write the ledger, last of all."""
    graded = totals.correct_share
    ledger: dict[str, Any] = {
        "made_by": "teach",
        "versions": {"cotdistill": __version__},
        **entries,
        "outputs": [
            {"file": name, "rows": rows, "sha256": sha256_of(folder / name)}
            for name, rows in (
                (TRACES, totals.states["kept"]),
                (FAILURES, totals.missing),
            )
        ],
        "counts": {
            "questions": totals.questions,
            "asked": totals.asked,
            **{state: totals.states[state] for state in _STATES},
        },
        "missing_by_reason": dict(sorted(totals.reasons.items())),
        "grades": {
            **dict(sorted(totals.outcomes.items())),
            **({"correct_share": round(graded, 4)} if graded is not None else {}),
        },
        "flags": dict(sorted(totals.flagged.items())),
        "tokens": dict(sorted(totals.bill.tokens.get("", {}).items())),
        "asked_at": totals.bill.when,
        "sent_again": totals.bill.sent_again,
        "identical_texts_share": round(totals.repeated_share, 4),
        "obedience": totals.obedience.summary(),
    }
    write_text(folder / LEDGER, json.dumps(ledger, ensure_ascii=False, indent=2) + "\n")


def shard_filter(shard: tuple[int, int] | None) -> Callable[[Item], bool]:
    """Return what tells whether a question belongs to shard I of N; all do without one."""
    if shard is None:
        return lambda _item: True
    number, count = shard

    def is_ours(item: Item) -> bool:
        digest = hashlib.sha256(item.question.encode(errors="surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") % count == number - 1

    return is_ours
