"""Filter traces into training rows: what is kept, what is rejected and why, and a ledger of both.

The first pass (`survey`) finds what each row shows by itself; then each row gets its reason
(`reasons`); then every shard writes its kept and rejected rows, and the pieces are joined. All
three keep their pieces in a work folder next to the output, so that an interrupted job resumes
where it stopped, and its bytes do not depend on the interruption.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cotdistill import __version__
from cotdistill.corpus.filtering.held_out import held_out_files, held_out_questions
from cotdistill.corpus.filtering.inputs import TraceFile, input_files, trace_files
from cotdistill.corpus.filtering.reasons import (
    KEPT,
    REASONS,
    Reasons,
    reasons_of,
    rules_for_rows,
)
from cotdistill.corpus.filtering.scan import ScanSettings, write_held_out
from cotdistill.corpus.filtering.settings import Filters
from cotdistill.corpus.filtering.survey import Progress, Survey, survey
from cotdistill.corpus.filtering.workers import Engine, run_tasks
from cotdistill.corpus.filtering.write import (
    WriteTask,
    join_kept,
    join_pieces,
    kept_paths,
    rejected_path,
    write_shard,
)
from cotdistill.corpus.records.parquet import write_parquet_copy
from cotdistill.corpus.records.sources import neighbouring_gold_files
from cotdistill.corpus.rules.rules import FIXABLE, RuleSet
from cotdistill.corpus.text.contamination import HeldOut
from cotdistill.corpus.text.groups import Mask, balance
from cotdistill.errors import DataError, Fault, MisuseError
from cotdistill.files.inputs import InputFiles, refuse_overwriting
from cotdistill.files.jsonl import row_line
from cotdistill.files.ledger import Ledger, LedgerFile, ledger_path, write_ledger
from cotdistill.files.locks import only_writer
from cotdistill.files.parquet import parquet_copy, require_parquet
from cotdistill.files.shards import LOCK, WorkFolder, refuse_foreign_folder

_FAULTS_SHOWN = 20


@dataclass(frozen=True)
class FilterOptions:
    """How `filter` reads and writes; what it keeps is decided by `Filters`.

    `golds` name files of questions with golds. `skip_bad` counts broken lines instead of stopping
    at them. `split` writes one kept file for each input instead of one for all. `parquet` also
    writes each kept file as Parquet.
    """

    golds: tuple[Path, ...] = ()
    skip_bad: bool = False
    split: bool = False
    parquet: bool = False
    workers: int = 1
    engine: Engine = "processes"


def filter_traces(
    paths: Sequence[Path],
    filters: Filters,
    out: Path,
    options: FilterOptions = FilterOptions(),  # noqa: B008
    progress: Progress = lambda _: None,
) -> Ledger:
    """Write the rows that pass to `out`, the others to `<out>.rejected.jsonl`, and the ledger.

    With `options.split` the kept files are `<out>.<input>.jsonl`, one for each input, and there is
    no `out`. A file of another shape than trace rows is imported first. The same call after an
    interruption resumes.

    Raises:
        DataError: a file is missing or broken, or changed meanwhile; without `skip_bad`, each
            broken line by its number.
        MisuseError: `against` names neither a file nor a benchmark, or an output is an input.
        FaultsError: another program writes the same output.
    """
    if options.parquet:
        require_parquet(str(out))
    paths = input_files(paths)
    folder = out.with_name(f"{out.name}.journal")
    read = _files_read(paths, filters, options)
    refuse_overwriting(read, _named_outputs(out, options), [folder])
    questions, not_prepared = held_out_questions(filters.against)
    refuse_foreign_folder(folder)
    inputs = InputFiles.of(read)
    with only_writer(folder / LOCK):
        work = WorkFolder.opened(folder, _job(paths, inputs, filters, options, questions))
        try:
            files = trace_files(
                paths, work.piece("imported"), skip_bad=options.skip_bad, golds=options.golds
            )
            refuse_overwriting(read, kept_paths(files, out, split=options.split))
            surveyed = _surveyed(files, filters, options, questions, work, progress)
            if not options.skip_bad:
                _refuse_bad(surveyed, files)
        except (DataError, MisuseError):
            work.close()  # the same job cannot succeed, so there is nothing to resume
            raise
        reasons = reasons_of(surveyed, filters, work, progress)
        counts = counts_of(reasons, files, filters)
        tasks = _write_tasks(surveyed, files, filters, work)
        _write_all(tasks, options, progress)
        ledger_path(out).unlink(missing_ok=True)  # a file without a ledger is not a finished file
        ledger = Ledger(
            "filter",
            inputs=_inputs(files, surveyed, inputs),
            outputs=_outputs(tasks, files, out, options, counts),
            counts=counts,
            settings=filters.model_dump(mode="json"),
            notes={
                **_notes(surveyed, reasons == KEPT),
                "held_out_questions": len(questions),
                "benchmarks_not_prepared": list(not_prepared),
                "counts_of_inputs": [
                    counts_of(reasons[surveyed.file == place], [file], filters)
                    for place, file in enumerate(files)
                ],
            },
        )
        inputs.refuse_changes()
        write_ledger(out, ledger)
        work.close()
        return ledger


def _files_read(paths: Sequence[Path], filters: Filters, options: FilterOptions) -> list[Path]:
    gold_files = [gold for path in paths for gold in neighbouring_gold_files(path)]
    named = [Path(filters.tokenizer)] if filters.tokenizer else []
    return [*paths, *options.golds, *gold_files, *held_out_files(filters.against), *named]


def _named_outputs(out: Path, options: FilterOptions) -> list[Path]:
    """Return the outputs whose names do not depend on what the inputs hold."""
    outputs = [rejected_path(out), ledger_path(out)]
    if not options.split:
        outputs += [out, parquet_copy(out)] if options.parquet else [out]
    return outputs


def counts_of(reasons: Reasons, files: Sequence[TraceFile], filters: Filters) -> dict[str, int]:
    """Return rows by reason, "kept" first, then in the order of the rules; each row counts once."""
    rows_of_reason = np.bincount(reasons, minlength=len(REASONS)).tolist()
    used = rules_for_rows(filters)
    counts = {"kept": rows_of_reason[KEPT]}
    for place, name in enumerate(REASONS):
        if place == KEPT:
            continue
        rows = rows_of_reason[place] + sum(file.refused_by(name) for file in files)
        if rows or name in used:
            counts[name] = rows
    return counts


def _job(
    paths: Sequence[Path],
    inputs: InputFiles,
    filters: Filters,
    options: FilterOptions,
    questions: Sequence[HeldOut],
) -> dict[str, Any]:
    """Return all that the pieces of a job depend on."""
    return {
        "version": __version__,
        "inputs": [[str(path), inputs.sha256(path)] for path in paths],
        "filters": filters.model_dump(mode="json"),
        "golds": [inputs.sha256(path) for path in options.golds],
        "held_out": [[entry.benchmark, entry.id, entry.question] for entry in questions],
        "skip_bad": options.skip_bad,
    }


def _surveyed(
    files: Sequence[TraceFile],
    filters: Filters,
    options: FilterOptions,
    questions: Sequence[HeldOut],
    work: WorkFolder,
    progress: Progress,
) -> Survey:
    held_out = work.piece("held-out.jsonl")
    if questions and not held_out.is_file():
        write_held_out(held_out, questions)
    settings = ScanSettings(
        held_out=str(held_out) if questions else None,
        rules=rules_for_rows(filters) | (FIXABLE if filters.fix else RuleSet()),
        strict=filters.grade == "strict",
        shortest=filters.min_tokens,
        longest=filters.max_tokens,
        tokenizer=filters.tokenizer,
        finish_reasons=filters.finish_reasons,
        near="near" in filters.duplicates,
    )
    return survey(
        [file.path for file in files],
        settings,
        work,
        workers=options.workers,
        engine=options.engine,
        progress=progress,
    )


def _write_tasks(
    surveyed: Survey, files: Sequence[TraceFile], filters: Filters, work: WorkFolder
) -> list[WriteTask]:
    first_rows = np.concatenate([[0], np.cumsum(surveyed.rows_of_shard)]).tolist()
    return [
        WriteTask(
            scanned=task,
            label=files[task.shard.file].input.name,
            reasons=str(work.piece("reasons.npy")),
            first_row=first_rows[task.shard.number],
            lines_before=surveyed.first_lines[task.shard.number],
            fix=filters.fix,
            kept=str(work.piece(f"kept-{task.shard.number:06d}.jsonl")),
            rejected=str(work.piece(f"rejected-{task.shard.number:06d}.jsonl")),
        )
        for task in surveyed.tasks
    ]


def _write_all(tasks: Sequence[WriteTask], options: FilterOptions, progress: Progress) -> None:
    written = run_tasks(write_shard, tasks, workers=options.workers, engine=options.engine)
    for done, _ in enumerate(written, start=1):
        progress(f"wrote {done} of {len(tasks)} pieces")


def _outputs(
    tasks: Sequence[WriteTask],
    files: Sequence[TraceFile],
    out: Path,
    options: FilterOptions,
    counts: Mapping[str, int],
) -> tuple[LedgerFile, ...]:
    kept = join_kept(tasks, files, out, split=options.split)
    rejected = rejected_path(out)
    join_pieces([Path(task.rejected) for task in tasks], rejected, _refused_lines(files))
    rows = sum(counts.values()) - counts["kept"]
    copied = [file for file in kept if file.rows] if options.parquet else []
    copies = [write_parquet_copy(out.with_name(file.file)) for file in copied]
    return (*kept, LedgerFile.of(rejected, rows, name=rejected.name), *copies)


def _inputs(
    files: Sequence[TraceFile], surveyed: Survey, inputs: InputFiles
) -> tuple[LedgerFile, ...]:
    return tuple(
        LedgerFile(
            file.input.as_posix(),
            file.input_rows or int((surveyed.file == place).sum()),
            inputs.sha256(file.input),
        )
        for place, file in enumerate(files)
    )


def _refused_lines(files: Sequence[TraceFile]) -> Iterator[bytes]:
    """Yield the rows that became no trace when their file was imported, as rejected rows."""
    for file in files:
        for refusal in file.refusals():
            row = {"place": refusal.place, "reason": refusal.rule, "detail": refusal.why}
            yield row_line({**row, "row": refusal.row}).encode()


def _refuse_bad(surveyed: Survey, files: Sequence[TraceFile]) -> None:
    bad = np.flatnonzero(surveyed.has("unreadable_row"))
    if not len(bad):
        return
    faults = [
        Fault(
            f"{files[int(surveyed.file[row])].input}:{int(surveyed.line[row])}",
            surveyed.why_unreadable(int(row)),
            "",
            "fix it, or continue without it: --skip-bad",
        )
        for row in bad[:_FAULTS_SHOWN].tolist()
    ]
    if len(bad) > _FAULTS_SHOWN:
        faults.append(Fault(str(files[0].input), f"{len(bad)} lines in all cannot be read"))
    raise DataError(faults)


def _notes(surveyed: Survey, kept: Mask) -> dict[str, Any]:
    questions = surveyed.column("question")
    return {
        "before": balance(questions, ~surveyed.has("unreadable_row")),
        "after": balance(questions, kept),
        "tokens_kept": int(surveyed.column("tokens")[kept].sum()),
    }
