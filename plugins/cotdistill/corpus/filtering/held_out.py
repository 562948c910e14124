"""Questions that must not be trained on: of files, of prepared benchmarks, or of all of these."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cotdistill.benchmarks.choices import with_choices
from cotdistill.benchmarks.packaged import benchmark_names
from cotdistill.benchmarks.store import prepared_splits, read_split
from cotdistill.corpus.records.import_traces import traces_in
from cotdistill.corpus.records.sources import find_sources
from cotdistill.corpus.records.trace import Trace, asked
from cotdistill.corpus.text.contamination import HeldOut
from cotdistill.errors import DataError, Fault, MisuseError, did_you_mean

PACKAGED = "packaged"
_PREPARE = "prepare one: cotdistill prepare gsm8k"


def held_out_questions(against: Sequence[str]) -> tuple[list[HeldOut], list[str]]:
    """Return test questions, and the packaged benchmarks that are left out: they are not prepared.

    Each of `against` is a file, the name of a benchmark, or "packaged": all benchmarks whose test
    questions are prepared.

    Raises:
        MisuseError: it is none of these.
        DataError: a file has no questions, or a benchmark, or for "packaged" all, is not prepared.
    """
    questions: list[HeldOut] = []
    missing: list[str] = []
    for wanted in against:
        if wanted == PACKAGED:
            prepared = [name for name in benchmark_names() if "test" in prepared_splits(name)]
            if not prepared:
                wrong = "no packaged benchmark is prepared, so there is nothing to compare with"
                raise DataError(Fault(f"--against {PACKAGED}", wrong, "", _PREPARE))
            questions += [question for name in prepared for question in _prepared(name)]
            missing += [name for name in benchmark_names() if name not in prepared]
        elif wanted in benchmark_names():
            questions += _prepared(wanted)
        elif Path(wanted).is_file():
            questions += _of_file(Path(wanted))
        else:
            known = [PACKAGED, *benchmark_names()]
            hint = did_you_mean(wanted, known)
            raise MisuseError(f"--against {wanted}: neither a file nor a benchmark; {hint}")
    return questions, missing


def held_out_files(against: Sequence[str]) -> list[Path]:
    """Return the files among what is named to compare with."""
    names = (PACKAGED, *benchmark_names())
    return [Path(each) for each in against if each not in names and Path(each).is_file()]


def _prepared(name: str) -> list[HeldOut]:
    return [
        HeldOut(
            name,
            row["id"],
            with_choices(row["question"], row.get("options")),
            row["gold"],
            row.get("rationale") or "",
        )
        for row in read_split(name, "test")
    ]


def _of_file(path: Path) -> list[HeldOut]:
    source = find_sources([path])[0]
    questions = [
        HeldOut(path.stem, f"{path.name}:{number}", asked(found), found.gold, found.rationale)
        for number, found, _ in traces_in(source)
        if isinstance(found, Trace)
    ]
    if not questions:
        raise DataError(Fault(str(path), "no question in it", "rows with questions"))
    return questions
