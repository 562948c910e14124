"""Build what a run needs before it can train: its arm's rows, and its student if from scratch."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from cotdistill.arms.asking import asked_row, from_arm, without_dev
from cotdistill.arms.rows import Tally, inputs_of, source_traces, trace_of_training_row
from cotdistill.arms.shaping import with_padding, with_targets
from cotdistill.benchmarks.choices import record_key
from cotdistill.corpus.filtering.settings import Filters
from cotdistill.corpus.filtering.write import rejected_path
from cotdistill.corpus.records.row_reader import field_lines
from cotdistill.corpus.records.shape import SourceInfo
from cotdistill.corpus.records.sources import golds_of
from cotdistill.corpus.records.trace import Trace, training_row
from cotdistill.corpus.records.trace_row import trace_of, trace_row
from cotdistill.errors import DataError, Fault, StudyError, did_you_mean
from cotdistill.files.atomic import write_text
from cotdistill.files.inputs import InputFiles, changed_fault
from cotdistill.files.jsonl import BadRow, Row, read_rows, write_rows
from cotdistill.files.ledger import Ledger, LedgerFile, ledger_path, read_ledger, write_ledger
from cotdistill.files.locks import waited_lock
from cotdistill.studies.arm import ArmFilters
from cotdistill.studies.declared_model import ScratchModel
from cotdistill.studies.load import study_of
from cotdistill.studies.question_sets import asked_file, dev_questions, question_sets
from cotdistill.studies.resolve_arms import resolve_arm
from cotdistill.studies.resolved_arm import ResolvedArm, Source
from cotdistill.studies.runs import student_folder


def arm_traces(arm: ResolvedArm, folder: Path, tally: Tally) -> Iterator[Trace]:
    """Yield the traces of any arm in their final order, counted in a tally as they are read.

    No development question of the study is among them.

    Raises:
        DataError: a source is missing or broken, a row cannot be trained on, no row passes the
            filter, or the mix asks for more rows than there are.
    """
    if arm.dev.missing:
        raise DataError(one.not_here for one in arm.dev.missing)
    if arm.mixing:
        return _mixed_traces(arm, folder, tally)  # its parts have no development question
    if arm.filter:
        traces = _filtered_traces(arm, folder, tally)
    else:
        assert arm.source is not None
        traces = source_traces(_with_golds(arm.source, arm.golds), tally)
    if arm.dev:
        traces = without_dev(traces, arm.dev.keys, tally)
    if arm.is_shaped:
        traces = with_targets(arm, traces, tally)
    if arm.like is not None:
        traces = with_padding(arm, traces, write_arm(arm.like, folder), tally)
    if arm.added:
        own = (from_arm(trace, arm.name) for trace in traces)
        traces = itertools.chain(own, _added_traces(arm, folder, tally))
    return traces


def _added_traces(arm: ResolvedArm, folder: Path, tally: Tally) -> Iterator[Trace]:
    """Yield the rows of the arms that an arm names under `with`, as they are trained on there."""
    counts = tally.notes.setdefault("rows_of_added_arms", {})
    for other in arm.added:
        path = write_arm(other, folder)
        counts[other.name] = 0
        with path.open("rb") as stream:
            for line in stream:
                trace = trace_of_training_row(line)
                if isinstance(trace, BadRow):
                    raise DataError(Fault(str(path), trace.why))
                counts[other.name] += 1
                yield from_arm(trace, other.name)


def located(arm: ResolvedArm, folder: Path) -> ResolvedArm:
    """Return an arm whose sources that jobs make have their paths in a run folder."""

    def found(source: Source | None) -> Source | None:
        if source is None or source.made is None:
            return source
        return replace(source, path=folder / source.made)

    return replace(
        arm,
        source=found(arm.source),
        paired=tuple(each for source in arm.paired if (each := found(source))),
        parts=tuple(located(part, folder) for part in arm.parts),
        added=tuple(located(other, folder) for other in arm.added),
        like=located(arm.like, folder) if arm.like else None,
    )


def _with_golds(source: Source, golds: Sequence[Path]) -> Source:
    """Return a source that knows the reference answers of some files."""
    known = golds_of(golds)
    return replace(source, info=replace(source.info, golds=known)) if known else source


def _filtered_traces(arm: ResolvedArm, folder: Path, tally: Tally) -> Iterator[Trace]:
    """Yield the traces of an arm that its filter keeps; it writes the others with their reasons.

    The tally gets the arm's own rows by reason, and the rows of every file that was read. What
    `lint` still finds among the kept rows is written to `data/<arm>.lint.json`.
    """
    # numpy and the grader, which most commands that read an arm do without
    from cotdistill.corpus.filtering.filter import FilterOptions, filter_traces
    from cotdistill.corpus.filtering.lint import LintOptions, lint, report_json

    filters = arm.filter
    assert filters is not None
    golds = tuple(Path(path) for path in filters.golds)
    files = {}
    for source in arm.sources:
        counted = tally if source is arm.source else Tally()
        files[source.name] = _source_file(source, golds, folder, counted)
        tally.read.update(counted.read if counted is not tally else {})
    out = folder / "data" / "filtered" / f"{arm.name}.jsonl"
    settings = filters.model_dump(exclude=set(ArmFilters.model_fields) - set(Filters.model_fields))
    asked = Filters.model_validate({**settings, "paired": bool(filters.paired_with)})
    options = FilterOptions(
        golds=golds,
        split=len(files) > 1,
        workers=os.cpu_count() or 1,
    )
    ledger = filter_traces(list(files.values()), asked, out, options)
    kept = out.with_name(ledger.outputs[0].file)
    if not ledger.outputs[0].rows:
        counts = ", ".join(f"{count} {why}" for why, count in ledger.counts.items() if count)
        wrong = f"no row passes its filter ({counts or 'no row was read'})"
        remedy = f"read {rejected_path(out)}, then change arms.{arm.name}.filter"
        raise DataError(Fault(f"arm {arm.name}", wrong, "one row or more", remedy))
    _count_filtered(ledger, files, tally)
    found = lint([kept], LintOptions(tuple(filters.against), workers=os.cpu_count() or 1))
    write_text(folder / "data" / f"{arm.name}.lint.json", report_json(found))
    for row in read_rows(kept):
        yield trace_of(row)


def _count_filtered(ledger: Ledger, files: Mapping[str, Path], tally: Tally) -> None:
    for name, path in files.items():
        if name not in tally.read:
            of_file = (each.rows for each in ledger.inputs if each.file == path.as_posix())
            tally.read[name] = next(of_file)
    notes = dict(ledger.notes)
    own = notes.pop("counts_of_inputs")[0]  # the first is the arm's, the others it is paired with
    tally.dropped.update({reason: rows for reason, rows in own.items() if rows})
    del tally.dropped["kept"]
    tally.notes["filter"] = notes


def _unchanged_inputs(arm: ResolvedArm) -> InputFiles:
    """Hash the files of an arm again, as a file can change and keep its size and its time."""
    paths = [source.path for source in arm.sources if source.path]
    inputs = InputFiles.of([*paths, *arm.gold_files])
    if changed := [path for path in inputs.known if inputs.sha256(path) != arm.hashes.of(path)]:
        raise DataError(changed_fault(path) for path in changed)
    return inputs


def _source_file(source: Source, golds: Sequence[Path], folder: Path, tally: Tally) -> Path:
    """Return a file that the filter reads as the arm does: the source's own, or its traces."""
    info = source.info
    as_it_is = SourceInfo(info.dataset, answers_are_targets=True)
    as_read = source.registration or (info == as_it_is and source.level is None)
    if source.path and as_read:
        return source.path
    path = folder / "data" / "sources" / f"{source.name}.jsonl"
    write_rows(path, map(trace_row, source_traces(_with_golds(source, golds), tally)))
    return path


def _mixed_traces(arm: ResolvedArm, folder: Path, tally: Tally) -> Iterator[Trace]:
    """Yield the traces of a mix in their final order.

    The parts are written to files first and read from there by place, so that memory does not grow
    with the rows. The tally gets what the parts' ledgers say, and the rows that were not drawn.
    """
    from cotdistill.corpus.mixing.mix import draw_mix

    assert arm.mixing is not None
    files = {part.name: write_arm(part, folder) for part in arm.parts}
    for part in arm.parts:
        _count_part(part, read_ledger(files[part.name]), tally)
    mix = draw_mix(files, arm.mixing, read=trace_of_training_row)
    tally.notes["rows_of_source"] = mix.rows_of_source
    if mix.not_drawn:
        tally.dropped["not_drawn"] = mix.not_drawn
    for source, trace in mix.traces():
        yield from_arm(trace, source)


def _count_part(part: ResolvedArm, ledger: Ledger, tally: Tally) -> None:
    files = [source for source in part.sources if source.path]
    for source, entry in zip(files, ledger.inputs, strict=False):  # golds come after them
        tally.read[source.name] = entry.rows
    tally.dropped.update({why: rows for why, rows in ledger.counts.items() if why != "kept"})


def check_arm(arm: ResolvedArm) -> Tally:
    """Read an arm at hand to its last row, and see whether a mix can be met; writes nothing.

    Returns what was counted of its own rows; of a mix, nothing.

    Raises:
        DataError: every row that is wrong, or the most that a mix can have.
    """
    sizes = {}
    tallies = {}
    for source in arm.sources:
        tallies[source.name] = tally = Tally()
        traces = source_traces(_with_golds(source, arm.golds), tally)
        if arm.is_shaped and source is arm.source:
            traces = with_targets(arm, traces, tally)
        sizes[source.name] = sum(1 for _ in traces)
    mixing = arm.mixing
    if mixing and mixing.rows and not (mixing.matched or mixing.length_matched):
        from cotdistill.corpus.mixing.mixture import mixture

        mixture(sizes, mixing.weights, mixing.rows, mixing.seed, replace=mixing.replace)
    return tallies.get(arm.name, Tally())


def build_arm(folder: Path, arm: str) -> Path:
    """Write `data/<arm>.jsonl` and its ledger into a run folder, unless they are there and current.

    Raises:
        DataError: a source is missing or broken; nothing is written.
        StudyError: the study has no such arm.
    """
    return write_arm(resolve_arm(study_of(folder), arm, str(folder / "study.yaml")), folder)


def write_arm(arm: ResolvedArm, folder: Path) -> Path:
    """Write an arm's rows and ledger into a run folder, unless they are there and current.

    Jobs that run at once may want the same arm, as a mix and its source do: one makes it.
    """
    arm = located(arm, folder)
    path = folder / arm.file
    if not is_current(arm, folder):
        with waited_lock(path.with_name(f".{arm.name}.lock"), f"process {os.getpid()}"):
            if not is_current(arm, folder):
                _write_arm(arm, folder)
    return path


def _write_arm(arm: ResolvedArm, folder: Path) -> None:
    unprepared = [s.questions for s in arm.sources if s.questions and not s.questions.is_here]
    if unprepared:
        raise DataError(one.not_here for one in unprepared)
    if arm.missing:
        raise DataError(_missing_file(source.name, source.path) for source in arm.missing)
    path = folder / arm.file
    ledger_path(path).unlink(missing_ok=True)  # a file without a ledger is not a finished file
    inputs = _unchanged_inputs(arm)
    tally = Tally()
    count = write_rows(
        path, (asked_row(trace, arm.frame) for trace in arm_traces(arm, folder, tally))
    )
    inputs.refuse_changes()
    fields = tally.fields.as_notes()
    write_ledger(
        path,
        Ledger(
            made_by="generate",
            inputs=tuple(inputs_of(arm, tally.read)),
            outputs=(LedgerFile(path.name, count, arm.hashes.of(path)),),
            counts={"kept": count, **dict(sorted(tally.dropped.items()))},
            settings=arm.declared.model_dump(mode="json"),
            seed=getattr(arm.declared, "seed", None),
            notes={"digest": arm.digest, **({"fields": fields} if fields else {}), **tally.notes},
        ),
    )


def build_student(folder: Path, student: str, arm: str) -> Path:
    """Write the model of a scratch student, its tokenizer trained on one arm's text.

    Raises:
        StudyError: the study has no such scratch student or arm.
        DataError: the arm's rows cannot be read.
    """
    from cotdistill.models.scratch_model import build_student as build

    study, place = study_of(folder), str(folder / "study.yaml")
    scratch = {n: m.scratch for n, m in study.models.items() if isinstance(m, ScratchModel)}
    if student not in scratch:
        hint = did_you_mean(student, list(scratch)) if scratch else "it has none"
        raise StudyError(Fault(place, f"no student '{student}' made from scratch", "", hint))
    resolved = resolve_arm(study, arm, place)
    if resolved.has_file:
        rows = read_rows(write_arm(resolved, folder))
    else:
        assert resolved.source is not None
        rows = map(training_row, source_traces(resolved.source, Tally()))
    target = folder / student_folder(student, arm)
    build(scratch[student], (text for row in rows for text in _texts(row)), target)
    return target


def build_questions(folder: Path, name: str) -> Path:
    """Write a question set without the development questions of the study, for models to be asked.

    Raises:
        StudyError: the study has no such set.
        DataError: questions are not prepared, or cannot be read.
    """
    study = study_of(folder)
    sets, faults = question_sets(study, str(folder / "study.yaml"))
    if name not in sets:
        raise StudyError(faults or [Fault(str(folder), f"no question set '{name}'")])
    kept = dev_questions(sets)
    absent = {one.name: one for one in (*kept.missing, sets[name]) if not one.is_here}
    if absent:
        raise DataError(one.not_here for one in absent.values())
    path = folder / asked_file(name)
    rows = [dict(row) for row in sets[name].rows if record_key(row) not in kept.keys]
    if not rows:
        raise DataError(Fault(f"questions {name}", "all are kept for development", "fewer in dev"))
    write_rows(path, rows)
    return path


def known_rows(arm: ResolvedArm, folder: Path) -> int | None:
    """Return how many rows an arm has: its ledger's, or what is declared; None: unknown."""
    path = folder / arm.file
    if ledger_path(path).is_file():
        return read_ledger(path).outputs[0].rows
    if arm.mixing:
        return arm.mixing.rows
    return arm.source.declared_rows if arm.source and not arm.filter else None


def arm_notes(arm: ResolvedArm, folder: Path, tally: Tally | None = None) -> list[str]:
    """Return what should be known of an arm's rows: fields kept or not read, and rows dropped.

    The counts are those of a tally, else of the arm's ledger if there is one.
    """
    path = folder / arm.file
    if tally is not None:
        fields, dropped = tally.fields.as_notes(), dict(sorted(tally.dropped.items()))
    elif ledger_path(path).is_file():
        ledger = read_ledger(path)
        fields = ledger.notes.get("fields") or {}
        dropped = {why: rows for why, rows in ledger.counts.items() if why != "kept"}
    else:
        return []
    if arm.filter or arm.mixing:
        dropped = {}  # filters and mixes leave rows out on purpose
    return [f"arm {arm.name}: {line}" for line in field_lines({**fields, "dropped": dropped})]


def _texts(row: Row) -> list[str]:
    return [row[key] for key in ("system", "instruction", "output") if row.get(key)]


def is_current(arm: ResolvedArm, folder: Path) -> bool:
    """Return whether a finished data file is there that was made from just this."""
    arm = located(arm, folder)
    path = folder / arm.file
    if not path.is_file() or not ledger_path(path).is_file():
        return False
    ledger = read_ledger(path)
    if ledger.notes.get("digest") != arm.digest:
        return False
    return ledger.outputs[0].sha256 == arm.hashes.of(path)


def _missing_file(arm: str, path: Path | None) -> Fault:
    return Fault(
        f"arm {arm}",
        f"no such file {path}",
        "the dataset's file in the study's data_folder",
        "fetch it and say --set data_folder=FOLDER",
    )
