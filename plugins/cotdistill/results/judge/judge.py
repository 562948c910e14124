"""The two-stage judge: the grader first, then a language model on what it did not call correct.

A random share of what the grader calls correct is asked about too, so that the judge is audited
and an error of the grader in either direction shows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cotdistill.corpus.records.gold_files import read_golds
from cotdistill.errors import DataError, Fault, FaultsError
from cotdistill.files.inputs import refuse_overwriting
from cotdistill.files.journal import Journal
from cotdistill.hosts.lm_eval.generated import with_text
from cotdistill.hosts.lm_eval.samples import find_samples
from cotdistill.hosts.request import Asker
from cotdistill.results.judge.agreement import Agreement, agreement, agreement_table
from cotdistill.results.judge.ask import Asking, Spent
from cotdistill.results.judge.older_judge import older_judge_note, older_judge_of
from cotdistill.results.judge.options import JudgeOptions
from cotdistill.results.judge.outputs import judged_paths, output_fault, write_judged
from cotdistill.results.judge.responses import JudgedFile, graded_file
from cotdistill.results.run_names import output_folders, run_names
from cotdistill.tables import Table

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Judgement:
    """What came of judging: the files with both verdicts, how far they agree, what was written."""

    files: tuple[JudgedFile, ...]
    agreements: tuple[Agreement, ...]
    spent: Spent
    table: Table
    written: tuple[Path, ...]


def judge(
    paths: Sequence[Path],
    options: JudgeOptions,
    asker: Asker,
    cache: Path | None = None,
    tell: Tell | None = None,
) -> Judgement:
    """Grade every response, ask the judge about those that need it, and write what both say.

    `asker` sends the requests (see `hosts.endpoint` and `hosts.vllm`). Answers are kept in
    `cache`, by default next to the samples; `tell` gets a line on every file that is left out.

    Raises:
        DataError: there are no samples, or no reference answers; the cache is no cache.
        EndpointError: the judge cannot be reached; what it answered is kept.
        MisuseError: an output is an input, or the cache is.
        FaultsError: no request was answered, another model answers, or the files cannot be written.
    """
    graded = _graded(paths, options, tell)
    folders = output_folders([file.file for file in graded], options.out)
    if faults := [fault for folder in folders if (fault := output_fault(folder))]:
        raise FaultsError(faults)
    kept = cache or _cache(paths, options.out)
    read = [file.file.path for file in graded] + ([options.golds] if options.golds else [])
    written = [
        path
        for file, folder in zip(graded, folders, strict=True)
        for path in judged_paths(file.file, folder).values()
    ]
    refuse_overwriting(read, [kept, *written])
    olders = [older_judge_of(one.file) for one in graded]
    with Journal(kept) as journal:
        asking = Asking(graded, options, journal)
        files = asking.ask(asker)
    spent = asking.spent
    if spent.failed and not spent.asked and not spent.known:
        wrong = f"none of {spent.failed:,} requests was answered, last: {spent.last_failure}"
        raise FaultsError(Fault("judge", wrong, "", "nothing was written; run it again"))
    names = run_names([one.file for one in files])
    agreements = [agreement(one, name) for one, name in zip(files, names, strict=True)]
    notes = [
        older_judge_note(one, name, older)
        for one, name, older in zip(files, names, olders, strict=True)
        if older is not None
    ]
    table = agreement_table(agreements, spent)
    return Judgement(
        files=tuple(files),
        agreements=tuple(agreements),
        spent=spent,
        table=replace(table, notes=(*table.notes, *notes)),
        written=tuple(
            path
            for file, found, folder in zip(files, agreements, folders, strict=True)
            for path in write_judged(file, found, folder)
        ),
    )


def requests_to_make(
    paths: Sequence[Path],
    options: JudgeOptions,
    cache: Path | None = None,
    tell: Tell | None = None,
) -> Spent:
    """Return what `judge` would ask, and its tokens at most; asks nothing and writes nothing.

    Raises:
        DataError: there are no samples; the cache is no cache.
    """
    graded = _graded(paths, options, tell)
    cache = cache or _cache(paths, options.out)
    if not cache.exists():
        return Asking(graded, options, None).count()
    with Journal(cache) as journal:
        return Asking(graded, options, journal).count()


def write_requests(
    paths: Sequence[Path],
    options: JudgeOptions,
    writer: Asker,
    cache: Path | None = None,
    tell: Tell | None = None,
) -> int:
    """Hand what `judge` would ask to a writer of batch files; return the number of requests.

    Raises:
        DataError: there are no samples; the cache is no cache.
    """
    with Journal(cache or _cache(paths, options.out)) as journal:
        asking = Asking(_graded(paths, options, tell), options, journal)
        asking.ask(writer)
        return asking.spent.sent


def _graded(paths: Sequence[Path], options: JudgeOptions, tell: Tell | None) -> list[JudgedFile]:
    golds = read_golds(options.golds) if options.golds else {}
    files = with_text(find_samples(paths, options.task, options.stamp), tell)
    graded = [graded_file(file, golds, options) for file in files]
    wrong = "no question has a reference answer"
    remedy = "give the answers with --golds FILE (rows of question and gold)"
    if faults := [
        Fault(str(one.file.path), wrong, "", remedy)
        for one in graded
        if all(response.grade is None for response in one.responses)
    ]:
        raise DataError(faults)
    return graded


def _cache(paths: Sequence[Path], out: Path | None) -> Path:
    folder = out or (paths[0] if paths[0].is_dir() else paths[0].parent)
    return folder / "judge_cache.jsonl"
