"""The one reason of every row: why it is rejected, or that it is kept."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cotdistill.corpus.filtering.settings import Filters
from cotdistill.corpus.filtering.survey import (
    Progress,
    Survey,
    near_duplicates,
    other_golds,
    over_diverse_cap,
)
from cotdistill.corpus.rules.rules import NAMES, RuleSet
from cotdistill.corpus.text.groups import Mask, over_cap, repeated, too_few, unpaired
from cotdistill.files.atomic import written_bytes
from cotdistill.files.shards import WorkFolder
from cotdistill.tables import counted

REASONS = ("kept", *NAMES)
"""What can become of a row, in the order in which rules are applied; arrays hold places in it."""
KEPT = REASONS.index("kept")

Reasons = NDArray[np.uint8]


def rules_for_rows(filters: Filters) -> RuleSet:
    """Return the rules by which a row can be rejected without looking at other rows."""
    names = {"unreadable_row", *filters.drop, "too_short", "too_long", "finish_reason"}
    if filters.grade != "off":
        names |= {"wrong_answer", "no_answer", "undecided_answer", "cut_off"}
    if filters.sound:
        names.add("false_step")
    if filters.against:
        names |= set(filters.overlap)
    return RuleSet.of(*(names - {"other_gold", "duplicate_id"}))


def reasons_of(survey: Survey, filters: Filters, work: WorkFolder, progress: Progress) -> Reasons:
    """Return the reason of each row, a place in REASONS; the first rule that applies counts."""
    written = work.piece("reasons.npy")
    if written.is_file():
        return np.asarray(np.load(written))
    reasons = np.full(len(survey), KEPT, dtype=np.uint8)

    def reject(rows: Mask, rule: str) -> None:
        reasons[rows & (reasons == KEPT)] = REASONS.index(rule)

    for rule in rules_for_rows(filters):
        reject(survey.has(rule), rule)
    for rows, rule in _by_other_rows(survey, filters, reasons):
        reject(rows, rule)
        progress(f"{rule}: {counted(int((reasons == REASONS.index(rule)).sum()), 'row')}")
    with written_bytes(written) as stream:
        np.save(stream, reasons)
    return reasons


def _by_other_rows(
    survey: Survey, filters: Filters, reasons: Reasons
) -> Iterator[tuple[Mask, str]]:
    """Yield the rows that each rule rejects by looking at other rows, in the order of the rules.

    The caller writes each result into `reasons` before it asks for the next, and every rule looks
    only at rows that are still kept. So with the rows

        1  question A, rationale x     kept
        2  question A, rationale x     exact_duplicate of row 1
        3  question A, wrong answer    wrong_answer: rejected before, by its own text
        4  question B, rationale y     kept

    and `at_least=2`, row 2 goes first, and then rows 1 and 4 are too_few: rows 2 and 3 do not count
    for question A any more.
    """
    questions = survey.column("question")
    scope = survey.file if filters.scope == "source" else np.zeros_like(survey.file)
    if "duplicate_id" in filters.drop:
        yield repeated(survey.column("id"), reasons == KEPT), "duplicate_id"
    if "other_gold" in filters.drop:
        yield other_golds(survey), "other_gold"
    for kind, column in (("exact", "exact"), ("normalised", "normal")):
        if kind in filters.duplicates:
            keys = within_scope(survey.column(column), scope)
            yield repeated(keys, reasons == KEPT), f"{kind}_duplicate"
    if "near" in filters.duplicates:
        yield near_duplicates(survey, reasons == KEPT, scope), "near_duplicate"
    if filters.paired:
        sources = len(survey.paths)
        yield unpaired(questions, survey.file, reasons == KEPT, sources), "unpaired"
    if filters.at_least:
        yield too_few(questions, reasons == KEPT, filters.at_least), "too_few"
    if filters.per_question and filters.choose == "diverse":
        yield over_diverse_cap(survey, reasons == KEPT, filters.per_question), "over_cap"
    elif filters.per_question:
        yield over_cap(questions, reasons == KEPT, filters.per_question), "over_cap"


def within_scope(keys: NDArray[np.uint64], scope: NDArray[np.int32]) -> NDArray[np.uint64]:
    """Return keys that differ between scopes, so that rows are equal only within one."""
    with np.errstate(over="ignore"):
        return keys + scope.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
