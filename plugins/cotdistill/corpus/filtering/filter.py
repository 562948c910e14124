"""Filter traces into training rows: what is kept, what is not and why, and a ledger of both.

The first pass (`survey`) says what each row shows by itself; then the rules that need other rows
are asked in order, each among the rows still alive; then every shard writes its kept and rejected
rows, and the pieces are joined. All three leave their pieces in a journal beside the output, so
that an interrupted job goes on where it was and the bytes do not depend on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotdistill.corpus.filtering.held_out import held_out_questions
from cotdistill.corpus.filtering.inputs import Readied, readied
from cotdistill.corpus.filtering.scan import ScanSettings, write_held_out
from cotdistill.corpus.filtering.settings import Filters
from cotdistill.corpus.filtering.survey import (
    Progress,
    Survey,
    near_duplicates,
    other_golds,
    survey,
)
from cotdistill.corpus.filtering.workers import Engine, run_tasks
from cotdistill.corpus.filtering.write import KEPT, WriteTask, join_kept, join_pieces, write_shard
from cotdistill.corpus.records.parquet import write_parquet_copy
from cotdistill.corpus.rules.rules import NAMES
from cotdistill.corpus.text.groups import Mask, balance, over_cap, repeated, too_few, unpaired
from cotdistill.errors import DataError, Fault
from cotdistill.files.atomic import sha256_of, written_bytes
from cotdistill.files.jsonl import row_line
from cotdistill.files.ledger import Ledger, LedgerFile, ledger_path, write_ledger
from cotdistill.files.locks import only_writer
from cotdistill.files.parquet import require_parquet
from cotdistill.files.shards import LOCK, Journal

_FAULTS_SHOWN = 20


def curate(
    paths: Sequence[Path],
    filters: Filters,
    out: Path,
    *,
    skip_bad: bool = False,
    golds: Sequence[Path] = (),
    apart: bool = False,
    workers: int = 1,
    engine: Engine = "processes",
    parquet: bool = False,
    progress: Progress = lambda _: None,
) -> Ledger:
    """Write the rows that pass to `out`, the others to `<out>.rejected.jsonl`, and the ledger.

    With `apart` there is one kept file for each input, `<out>.<input>.jsonl`, and no `out`; with
    `parquet` each kept file has a twin, `<its name>.parquet`.
    A file of another shape than trace rows is imported first. What is done is done for good: the
    same call after an interruption goes on, and after it has ended does nothing.

    Raises:
        DataError: a file is missing or broken; without `skip_bad`, each broken line by its number.
        MisuseError: `against` names neither a file nor a benchmark.
        FaultsError: another program writes the same output.
    """
    if parquet:
        require_parquet(str(out))
    questions, missing = held_out_questions(filters.against)
    hashes = {path: sha256_of(path) for path in paths if path.is_file()}
    job = {
        "inputs": [[str(path), hashes.get(path)] for path in paths],
        "filters": filters.model_dump(mode="json"),
        "golds": [sha256_of(path) for path in golds],
        "held_out": [[entry.benchmark, entry.id, entry.question] for entry in questions],
        "skip_bad": skip_bad,
    }
    folder = out.with_name(f"{out.name}.journal")
    with only_writer(folder / LOCK):
        journal = Journal.opened(folder, job)
        files = readied(paths, journal.piece("imported"), skip_bad=skip_bad, golds=golds)
        held_out = journal.piece("held-out.jsonl")
        if questions and not held_out.is_file():
            write_held_out(held_out, questions)
        surveyed = survey(
            [file.path for file in files],
            _scan_settings(filters, str(held_out) if questions else None),
            journal,
            workers=workers,
            engine=engine,
            progress=progress,
        )
        if not skip_bad:
            _refuse_bad(surveyed, files)
        reasons = _reasons(surveyed, filters, journal, progress)
        tasks = _write_tasks(surveyed, files, filters.mend, journal)
        counts = _counts(reasons, files, filters)
        for done, _ in enumerate(
            run_tasks(write_shard, tasks, workers=workers, engine=engine), start=1
        ):
            progress(f"wrote {done} of {len(tasks)} pieces")
        rejected = out.with_suffix(".rejected.jsonl")
        ledger_path(out).unlink(missing_ok=True)  # a file without a ledger is not a finished file
        outputs = join_kept(tasks, files, out, apart)
        join_pieces([Path(task.rejected) for task in tasks], rejected, _refused_lines(files))
        twins = [
            write_parquet_copy(out.with_name(each.file))
            for each in outputs
            if parquet and each.rows
        ]
        alive = reasons == KEPT
        ledger = Ledger(
            "filter",
            inputs=tuple(
                LedgerFile(
                    file.given.as_posix(),
                    file.rows or int((surveyed.file == place).sum()),
                    hashes[file.given],
                )
                for place, file in enumerate(files)
            ),
            outputs=(
                *outputs,
                LedgerFile.of(rejected, sum(counts.values()) - counts["kept"], name=rejected.name),
                *twins,
            ),
            counts=counts,
            settings=filters.model_dump(mode="json"),
            notes={
                **_notes(surveyed, alive, len(questions), missing),
                "counts_of_inputs": [
                    _counts(reasons[surveyed.file == place], [file], filters)
                    for place, file in enumerate(files)
                ],
            },
        )
        write_ledger(out, ledger)
        journal.close()
        return ledger


def _scan_settings(filters: Filters, held_out: str | None) -> ScanSettings:
    return ScanSettings(
        held_out=held_out,
        grade=filters.grade != "off",
        strict=filters.grade == "strict",
        shortest=filters.min_tokens,
        longest=filters.max_tokens,
        tokenizer=filters.tokenizer,
        finish_reasons=filters.finish_reasons,
        near="near" in filters.duplicates,
    )


def _asked(filters: Filters) -> list[str]:
    """Return the rules by which a row alone can be rejected, in the order of RULES."""
    asked = {"unreadable_row", *filters.drop, "too_short", "too_long", "finish_reason"}
    if filters.grade != "off":
        asked |= {"wrong_answer", "no_answer", "undecided_answer", "cut_off"}
    if filters.sound:
        asked.add("false_step")
    if filters.against:
        asked |= set(filters.overlap)
    return [name for name in NAMES if name in asked - {"other_gold", "duplicate_id"}]


def _reasons(
    surveyed: Survey, filters: Filters, journal: Journal, progress: Progress
) -> NDArray[np.uint8]:
    """Return for each row the place of its reason in NAMES, KEPT if there is none."""
    written = journal.piece("reasons.npy")
    if written.is_file():
        return np.asarray(np.load(written))
    reasons = np.full(len(surveyed.bits), KEPT, dtype=np.uint8)

    def turn_away(mark: Mask, name: str) -> None:
        reasons[mark & (reasons == KEPT)] = NAMES.index(name)

    for name in _asked(filters):
        turn_away(surveyed.has(name), name)
    for mark, name in _among_rows(surveyed, filters, reasons):
        turn_away(mark, name)
        progress(f"{name}: {int((reasons == NAMES.index(name)).sum())} rows")
    with written_bytes(written) as stream:
        np.save(stream, reasons)
    return reasons


def _among_rows(
    surveyed: Survey, filters: Filters, reasons: NDArray[np.uint8]
) -> Iterator[tuple[Mask, str]]:
    """Yield what each rule that needs other rows marks, given the rows that are still alive."""
    questions = surveyed.column("question")
    scope = surveyed.file if filters.scope == "source" else np.zeros_like(surveyed.file)
    if "duplicate_id" in filters.drop:
        yield repeated(surveyed.column("id"), reasons == KEPT), "duplicate_id"
    if "other_gold" in filters.drop:
        yield other_golds(surveyed), "other_gold"
    for kind, column in (("exact", "exact"), ("normalised", "normal")):
        if kind in filters.duplicates:
            with np.errstate(over="ignore"):
                keys = surveyed.column(column) + scope.astype(np.uint64) * np.uint64(
                    0x9E3779B97F4A7C15
                )
            yield repeated(keys, reasons == KEPT), f"{kind}_duplicate"
    if "near" in filters.duplicates:
        yield near_duplicates(surveyed, reasons == KEPT, scope), "near_duplicate"
    if filters.paired:
        wanted = len(surveyed.paths)
        yield unpaired(questions, surveyed.file, reasons == KEPT, wanted), "unpaired"
    if filters.at_least:
        yield too_few(questions, reasons == KEPT, filters.at_least), "too_few"
    if filters.per_question:
        yield over_cap(questions, reasons == KEPT, filters.per_question), "over_cap"


def _counts(
    reasons: NDArray[np.uint8], files: Sequence[Readied], filters: Filters
) -> dict[str, int]:
    """Return rows by reason, "kept" first, then in the order of the rules; each row counts once."""
    of_rows = np.bincount(reasons, minlength=KEPT + 1)
    counts = {"kept": int(of_rows[KEPT])}
    for place, name in enumerate(NAMES):
        refused = sum(file.refused.get(name, 0) for file in files)
        if of_rows[place] or refused or name in _asked(filters):
            counts[name] = int(of_rows[place]) + refused
    return counts


def _write_tasks(
    surveyed: Survey,
    files: Sequence[Readied],
    mend: bool,
    journal: Journal,
) -> list[WriteTask]:
    firsts = np.concatenate([[0], np.cumsum(surveyed.rows_of_shard)])
    return [
        WriteTask(
            shard,
            files[shard.file].given.name,
            str(journal.piece("reasons.npy")),
            int(firsts[shard.number]),
            surveyed.first_lines[shard.number],
            mend,
            str(journal.piece(f"kept-{shard.number:06d}.jsonl")),
            str(journal.piece(f"rejected-{shard.number:06d}.jsonl")),
        )
        for shard in surveyed.shards
    ]


def _refused_lines(files: Sequence[Readied]) -> Iterator[bytes]:
    """Yield the rows that became no trace when their file was imported, as rejected rows."""
    for file in files:
        for refusal in file.refusals:
            row = {"place": refusal.place, "reason": refusal.rule, "detail": refusal.why}
            yield row_line({**row, "row": refusal.row}).encode()


def _refuse_bad(surveyed: Survey, files: Sequence[Readied]) -> None:
    bad = np.flatnonzero(surveyed.has("unreadable_row"))
    if not len(bad):
        return
    faults = [
        Fault(
            f"{files[int(surveyed.file[row])].given}:{int(surveyed.line[row])}",
            surveyed.why_unreadable(int(row)),
            "",
            "mend it, or go on without: --skip-bad",
        )
        for row in bad[:_FAULTS_SHOWN].tolist()
    ]
    if len(bad) > _FAULTS_SHOWN:
        faults.append(Fault(str(files[0].given), f"{len(bad)} lines in all cannot be read"))
    raise DataError(faults)


def _notes(
    surveyed: Survey, alive: Mask, held_out: int, not_prepared: Sequence[str]
) -> dict[str, Any]:
    questions = surveyed.column("question")
    readable = ~surveyed.has("unreadable_row")
    return {
        "before": balance(questions, readable),
        "after": balance(questions, alive),
        "held_out_questions": held_out,
        "benchmarks_not_prepared": list(not_prepared),
        "tokens_kept": int(surveyed.column("tokens")[alive].sum()),
    }
