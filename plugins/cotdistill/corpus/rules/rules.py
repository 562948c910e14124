"""Every rule by which a row is found faulty or turned away, in one table, and the verdict on a row.

What is found in a row is kept as bits of one integer, a bit a rule, in the order of RULES; details
are worked out again only for the rows that are shown. `lint` counts bits; `filter` drops a row for
the first of its chosen rules whose bit is set, so that every dropped row has exactly one reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from cotdistill.corpus.records.trace import Trace
from cotdistill.corpus.rules import answer_defects, text_defects
from cotdistill.errors import Fault, MisuseError, did_you_mean

Finder = Callable[[Trace], str | None]


@dataclass(frozen=True)
class Rule:
    """A named rule: what it finds, how one trace is asked, and a mend of the text if one is safe.

    `find` is None for rules that need other rows, and for those decided together with another.
    """

    name: str
    about: str
    find: Finder | None = None
    mend: Callable[[str], str] | None = None


def _stripped(text: str) -> str:
    return text.lstrip()


def _own(finder: Finder, mend: Callable[[str], str] | None = None) -> Rule:
    about = (finder.__doc__ or "").split("\n")[0].rstrip(".")
    return Rule(finder.__name__, about[:1].lower() + about[1:], finder, mend)


RULES: tuple[Rule, ...] = (
    Rule("unreadable_row", "the line is not a JSON object, or not UTF-8, or huge"),
    Rule("missing_column", "the row lacks a column that its file is read by"),
    _own(text_defects.empty_rationale),
    Rule("duplicate_id", "an earlier row has the same id"),
    _own(answer_defects.truncated_gold),
    _own(answer_defects.gold_against_box),
    _own(answer_defects.unreadable_gold),
    _own(answer_defects.wrong_option),
    Rule("wrong_answer", "the answer given is not the gold answer"),
    Rule("no_answer", "there is a gold answer, and no answer to hold against it"),
    Rule("undecided_answer", "answer and gold could not be compared within the grader's bounds"),
    _own(text_defects.cut_off),
    _own(answer_defects.forced_label),
    _own(answer_defects.false_step),
    _own(text_defects.loop),
    _own(text_defects.no_answer_marker),
    _own(text_defects.answer_only),
    _own(text_defects.leaked_tag, text_defects.without_tags),
    _own(text_defects.control_character, text_defects.with_latex_mended),
    _own(text_defects.glued_list_number, text_defects.with_list_unglued),
    _own(text_defects.leading_space, _stripped),
    _own(text_defects.separator_inside),
    _own(text_defects.mentions_given_answer),
    Rule("too_short", "fewer tokens than asked for"),
    Rule("too_long", "more tokens than asked for"),
    Rule("finish_reason", "the teacher ended for another reason than those asked for"),
    Rule("same_question", "a test set has this question"),
    Rule("same_stem", "a test set has this question with other choices"),
    Rule("same_but_numbers", "a test set has this question with other numbers"),
    Rule("thirteen_words", "13 words in a row in common with a test question"),
    Rule("eight_words", "8 words in a row in common with a test question"),
    Rule("exact_duplicate", "an earlier row is the same, sign by sign"),
    Rule("normalised_duplicate", "an earlier row is the same but for case, space and signs"),
    Rule("near_duplicate", "an earlier row has nearly the same question and rationale"),
    Rule("other_gold", "an earlier row has the same question with another gold answer"),
    Rule("unpaired", "not every named source has a kept trace of this question"),
    Rule("too_few", "the question has fewer kept traces than asked for"),
    Rule("over_cap", "the question already has as many kept traces as it may have"),
)
NAMES: tuple[str, ...] = tuple(rule.name for rule in RULES)
BIT: Mapping[str, int] = {name: 1 << place for place, name in enumerate(NAMES)}
OUTCOME_RULES = {
    "wrong": "wrong_answer",
    "no_answer": "no_answer",
    "undecided": "undecided_answer",
    "cut_off": "cut_off",
}
OVERLAP_RULES = (
    "same_question", "same_stem", "same_but_numbers", "thirteen_words", "eight_words",
)  # fmt: skip
_OWN = tuple((BIT[rule.name], rule.find) for rule in RULES if rule.find is not None)


def bits_of(names: Iterable[str]) -> int:
    """Return the bits of some rules.

    Raises:
        MisuseError: a name is no rule; names the nearest.

    >>> bits_of(["unreadable_row", "empty_rationale"])
    5
    """
    bits = 0
    for name in names:
        if name not in BIT:
            raise MisuseError(
                str(Fault("rules", f"no rule '{name}'", "", did_you_mean(name, NAMES)))
            )
        bits |= BIT[name]
    return bits


def names_of(bits: int) -> list[str]:
    """Return the rules that bits stand for, in the order of RULES.

    >>> names_of(5)
    ['unreadable_row', 'empty_rationale']
    """
    return [name for place, name in enumerate(NAMES) if bits >> place & 1]


def found_in(trace: Trace, *, grade: bool = True, strict: bool = False) -> int:
    """Return the bits of all that one trace shows by itself.

    >>> names_of(found_in(Trace("1", "toy", "train", "8 / 2?", "5", " It is 4. The answer is 4")))
    ['wrong_answer', 'leading_space']
    """
    bits = 0
    for bit, find in _OWN:
        if find(trace) is not None:
            bits |= bit
    if grade and not bits & BIT["empty_rationale"]:
        said = answer_defects.outcome(trace, strict=strict)
        bits |= BIT.get(OUTCOME_RULES.get(said or "", ""), 0)
    return bits


def detail_of(trace: Trace, name: str) -> str:
    """Return what a rule says of one trace, in a few words.

    >>> detail_of(Trace("1", "toy", "train", "8 / 2?", "5", "The answer is 4"), "wrong_answer")
    'gold 5, said 4'
    """
    rule = RULES[NAMES.index(name)]
    if rule.find is not None:
        return rule.find(trace) or "the text breaks off without an answer"
    if name in ("wrong_answer", "undecided_answer"):
        return f"gold {trace.gold}, said {answer_defects.answer_said(trace)}"
    if name == "finish_reason":
        return f"finish reason {trace.provenance.finish_reason!r}"
    return rule.about


def mended(trace: Trace, bits: int) -> tuple[Trace, int]:
    r"""Return a trace whose defects with a safe mend are mended, and the bits of those mended.

    >>> trace, bits = mended(Trace("1", "toy", "train", "?", "4", " It<br>is 4"), ~0)
    >>> trace.rationale, names_of(bits)
    ('It\nis 4', ['leaked_tag'])
    """
    done = 0
    for rule in RULES:
        if rule.mend is None or rule.find is None or not bits & BIT[rule.name]:
            continue
        if rule.find(trace) is None:
            continue
        better = replace(trace, rationale=rule.mend(trace.rationale))
        if rule.name == "control_character":
            better = replace(better, question=rule.mend(trace.question), gold=rule.mend(trace.gold))
        trace, done = better, done | BIT[rule.name]
    return trace, done
