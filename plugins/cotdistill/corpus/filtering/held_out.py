"""Questions that must not be trained on: of files, of prepared benchmarks, or of all of these."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cotdistill.benchmarks.packaged import benchmark_names
from cotdistill.benchmarks.store import prepared_splits, read_split
from cotdistill.corpus.records.import_traces import traces_in
from cotdistill.corpus.records.sources import find_sources
from cotdistill.corpus.records.trace import Trace
from cotdistill.corpus.text.contamination import HeldOut
from cotdistill.errors import DataError, Fault, MisuseError, did_you_mean

PACKAGED = "packaged"


def held_out_questions(against: Sequence[str]) -> tuple[list[HeldOut], list[str]]:
    """Return test questions, and the packaged benchmarks that are not prepared and so not there.

    Each of `against` is a file, the name of a benchmark, or "packaged": all benchmarks whose test
    questions are prepared.

    Raises:
        MisuseError: it is none of these.
        DataError: a file has no questions, or a benchmark is not prepared.
    """
    questions: list[HeldOut] = []
    missing: list[str] = []
    for wanted in against:
        if wanted == PACKAGED:
            for name in benchmark_names():
                if "test" in prepared_splits(name):
                    questions += _prepared(name)
                else:
                    missing.append(name)
        elif wanted in benchmark_names():
            questions += _prepared(wanted)
        elif Path(wanted).is_file():
            questions += _of_file(Path(wanted))
        else:
            known = [PACKAGED, *benchmark_names()]
            hint = did_you_mean(wanted, known)
            raise MisuseError(f"--against {wanted}: neither a file nor a benchmark; {hint}")
    return questions, missing


def _prepared(name: str) -> list[HeldOut]:
    return [
        HeldOut(name, row["id"], row["question"], row["gold"], row.get("rationale") or "")
        for row in read_split(name, "test")
    ]


def _of_file(path: Path) -> list[HeldOut]:
    source = find_sources([path])[0]
    questions = [
        HeldOut(path.stem, f"{path.name}:{number}", found.question, found.gold, found.rationale)
        for number, found, _ in traces_in(source)
        if isinstance(found, Trace)
    ]
    if not questions:
        raise DataError(Fault(str(path), "no question in it", "rows with questions"))
    return questions
