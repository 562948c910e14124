"""Whether an arm's rows fit their cutoff_len, found out before any student is trained on them.

LLaMA-Factory truncates rows silently: a response that is too long loses its answer and its
end token. Most arms are so short that their bytes show it, or the tokenizer of a scratch student.
The others are tokenised by the host itself, for every student and recipe trained on them.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cotdistill.arms.rows import COLUMNS
from cotdistill.distill.seq2seq_file import STAGE as SEQ2SEQ
from cotdistill.errors import DataError, Fault
from cotdistill.files.atomic import write_text
from cotdistill.files.jsonl import read_rows
from cotdistill.files.yamls import read_yaml
from cotdistill.hosts.llamafactory.row_counts import RowCounts, ask_rows
from cotdistill.hosts.tokenizer import token_counts
from cotdistill.runfolder.commands import prefixed
from cotdistill.runfolder.dev_rows import write_dev_rows
from cotdistill.runfolder.manifest import ManifestRun, read_manifest
from cotdistill.studies.load import study_of
from cotdistill.studies.question_sets import question_sets
from cotdistill.studies.study import Study

_BATCH = 10_000
_AROUND = 512
"""Bytes that no template's marks and own system prompt reach together."""

_AROUND_CHATML = 64
"""Tokens that the marks of a scratch student's template have at most, without a system prompt."""

_A_CHARACTER = 36
"""Most tokens of one character that is not ASCII: 12 after Unicode normalisation, 3 bytes each."""


def check_lengths(folder: Path, arm: str, output: Path) -> None:
    """Check every student's view of an arm, and write what was found to `output`.

    Raises:
        DataError: for each student and recipe of which more rows are truncated than the recipe's
            `max_truncated` allows; it names the cutoff_len that would fit.
        FaultsError: LLaMA-Factory cannot be asked.
    """
    study = study_of(folder)
    views = _views(folder, arm)
    files = {run.run: read_yaml(folder / str(run.files.train)) for run in views}
    found: dict[str, dict[str, Any]] = {}
    longest = _most_tokens(folder, views[0].files.data)
    for run in views:
        cutoff = int(files[run.run]["cutoff_len"])
        around = _AROUND + _weight(str(files[run.run].get("default_system") or ""))
        most = None if longest is None else longest + around
        if most is not None and most > cutoff and run.files.data and run.files.student:
            most = _AROUND_CHATML + _longest_row(
                folder / run.files.data, folder / run.files.student
            )
        if most is not None and most <= cutoff:
            found[run.run] = {"truncated": 0, "tokens_at_most": most}
    faults: list[Fault] = []
    encoded = [run for run in views if files[run.run].get("stage") == SEQ2SEQ]
    if any(files[run.run].get("eval_dataset") for run in encoded):
        write_dev_rows(folder, study, question_sets(study, str(folder / "study.yaml"))[0])
    for run in encoded:
        if run.run not in found:
            faults += _seq2seq_faults(folder, run, study, files[run.run], found)
    asked = [run for run in views if run.run not in found]
    if asked:
        answers = ask_rows(_python(study), [files[run.run] for run in asked])
        for run, counts in zip(asked, answers, strict=True):
            if isinstance(counts, str):
                wrong = f"LLaMA-Factory cannot read the rows of arm {arm} ({counts})"
                faults.append(Fault(run.run, wrong))
                continue
            found[run.run] = _counted(counts)
            faults += _faults(run, study, counts, files[run.run])
    if faults:
        raise DataError(faults)
    write_text(output, json.dumps(found, indent=1, sort_keys=True) + "\n")


def _views(folder: Path, arm: str) -> list[ManifestRun]:
    """Return a run for each way in which an arm is tokenised and truncated: seeds do not matter."""
    views: dict[str | None, ManifestRun] = {}
    for run in read_manifest(folder):
        if run.arm == arm and run.is_trained:
            views.setdefault(run.sha256.lengths, run)
    return list(views.values())


def _most_tokens(folder: Path, data: str | None) -> int | None:
    """Return more tokens than any row of a file has, None where LLaMA-Factory fetches the rows."""
    if data is None:
        return None
    texts = ([v for v in row.values() if isinstance(v, str)] for row in read_rows(folder / data))
    return max((sum(map(_weight, row)) for row in texts), default=0)


def _longest_row(data: Path, student: Path) -> int:
    """Return the tokens of the longest row by a scratch student's tokenizer, without its marks."""
    longest = 0
    rows = read_rows(data)
    while batch := list(itertools.islice(rows, _BATCH)):
        counts = np.zeros(len(batch), dtype=np.int64)
        for column in COLUMNS.values():
            counts += token_counts(str(student), [row[column] for row in batch])
        longest = max(longest, int(counts.max()))
    return longest


def _weight(text: str) -> int:
    """Return the most tokens that a text can have: no token is shorter than a byte.

    >>> _weight("2 + 2"), _weight("2 − 2")
    (5, 40)
    """
    if text.isascii():
        return len(text)
    ascii_characters = len(text.encode("ascii", "ignore"))
    return ascii_characters + _A_CHARACTER * (len(text) - ascii_characters)


def _python(study: Study) -> Sequence[str]:
    words = prefixed(study, "train", ["python"])
    return [sys.executable] if words == ["python"] else words


def _seq2seq_faults(
    folder: Path, run: ManifestRun, study: Study, file: Mapping[str, Any], found: dict[str, Any]
) -> list[Fault]:
    """Return whether an encoder-decoder's questions and responses fit, and note what was counted.

    Each side has its own limit and ends with the end token.
    """
    limits = {"prompt": int(file["cutoff_len"]), "response": int(file["target_len"])}
    tokenizer = str(file["model_name_or_path"])
    rows = [*read_rows(folder / str(run.files.data))] if run.files.data else []
    counts = {
        side: np.array(token_counts(tokenizer, [row[COLUMNS[side]] for row in rows]))
        for side in limits
    }
    cut = {side: int((counts[side] + 1 > limit).sum()) for side, limit in limits.items()}
    either = sum(counts[side] + 1 > limit for side, limit in limits.items())
    truncated = int(np.count_nonzero(either))
    longest = max((int(count.max()) + 1 for count in counts.values() if count.size), default=0)
    found[run.run] = {
        "rows": len(rows), "truncated": truncated, "prompts_cut": cut["prompt"],
        "answers_cut": cut["response"], "longest": longest,
    }  # fmt: skip
    allowed = study.recipes[run.recipe].max_truncated
    if truncated <= allowed * len(rows):
        return []
    wrong = (
        f"{truncated:,} of {len(rows):,} rows are truncated: {cut['prompt']:,} questions at "
        f"cutoff_len {limits['prompt']:,}, {cut['response']:,} responses at target_len "
        f"{limits['response']:,}"
    )
    place = f"arm {run.arm}, student {run.student}, recipe {run.recipe}"
    key = f"recipes.{run.recipe}"
    remedy = f"generate with --set {key}.cutoff_len={longest}; or filter long rows"
    return [Fault(place, wrong, f"at most {allowed:.1%} ({key}.max_truncated)", remedy)]


def _counted(counts: RowCounts) -> dict[str, Any]:
    return {
        "rows": counts.rows,
        "truncated": counts.truncated,
        "prompts_cut": counts.prompts_cut,
        "answers_cut": counts.answers_cut,
        "longest": counts.longest,
        "tokens": counts.tokens,
        "trained_tokens": counts.trained_tokens,
    }


def _faults(
    run: ManifestRun, study: Study, counts: RowCounts, arguments: Mapping[str, Any]
) -> list[Fault]:
    allowed = study.recipes[run.recipe].max_truncated
    if counts.allows(allowed):
        return []
    fits = counts.fitting(allowed)
    share = counts.truncated / counts.rows
    shown = f"{share:.1%}" if f"{share:.1%}" != f"{allowed:.1%}" else f"{share:.2%}"
    wrong = (
        f"{counts.truncated:,} of {counts.rows:,} rows ({shown}) are "
        f"truncated at cutoff_len {arguments['cutoff_len']:,}: {counts.answers_cut:,} lose the end "
        f"of the response, {counts.prompts_cut:,} part of the prompt"
    )
    rest = f"{counts.longest:,} fits all rows"
    if fits < counts.longest:
        rest = f"{fits:,} fits all but {allowed:.1%} of them, {rest}"
    key = f"recipes.{run.recipe}"
    remedy = f"cutoff_len {rest}: generate with --set {key}.cutoff_len={fits}; or filter long rows"
    place = f"arm {run.arm}, student {run.student}, recipe {run.recipe}"
    expected = f"at most {allowed:.1%} ({key}.max_truncated)"
    return [Fault(place, wrong, expected, remedy)]
