"""Every rule by which a row is defective or rejected, in one table, and what rules find in a trace.

What is found in a row is a `RuleSet`, one bit for each rule in the order of RULES; the details of a
finding are worked out again only for the rows that are shown. `lint` counts findings; `filter`
drops a row for the first of its chosen rules that applies: every dropped row has one reason.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from cotdistill.corpus.records.trace import Trace
from cotdistill.corpus.rules import answer_defects, text_defects
from cotdistill.errors import Fault, MisuseError, did_you_mean

Finder = Callable[[Trace], str | None]


@dataclass(frozen=True)
class Rule:
    """A named rule: what it finds, how one trace is checked, and a safe fix of the text if any.

    `find` returns the detail of a finding, None if there is none. A rule without `find` needs other
    rows, or is decided together with another rule.
    """

    name: str
    about: str
    find: Finder | None = None
    fix: Callable[[str], str] | None = None


RULES: tuple[Rule, ...] = (
    Rule("unreadable_row", "the line is not a JSON object, or not UTF-8, or huge"),
    Rule("missing_column", "the row lacks a column that its file is read by"),
    Rule("several_turns", "more than one question and answer; a trace has one of each"),
    Rule("not_a_target", "marked as not to be trained on: weight 0, label false"),
    Rule("unsupported_content", "tools, images or other content that a text cannot hold"),
    Rule(
        "empty_rationale",
        "nothing to learn from: the rationale is empty or blank",
        text_defects.empty_rationale,
    ),
    Rule("duplicate_id", "an earlier row has the same id"),
    Rule(
        "truncated_gold",
        "the gold is truncated: its braces do not close, or the solution's box holds more",
        answer_defects.truncated_gold,
    ),
    Rule(
        "gold_against_box",
        "the solution's box holds another text than the gold, and the gold is not just truncated",
        answer_defects.gold_against_box,
    ),
    Rule(
        "gold_against_question",
        "the gold is not what the question makes it: last letters, joined",
        answer_defects.gold_against_question,
    ),
    Rule(
        "unreadable_gold",
        "the gold is not of the kind that the question asks for",
        answer_defects.unreadable_gold,
    ),
    Rule(
        "wrong_option",
        "the answer is none of the options, or its letter is given with another option's text",
        answer_defects.wrong_option,
    ),
    Rule("wrong_answer", "the answer given is not the gold answer"),
    Rule("no_answer", "there is a gold answer, and no answer to compare with it"),
    Rule("undecided_answer", "answer and gold could not be compared within the grader's bounds"),
    Rule(
        "cut_off",
        "the teacher was stopped at its token limit, or never closed its thought",
        text_defects.cut_off,
    ),
    Rule(
        "placeholder_answer",
        "the prompt's placeholder is given for an answer, or the box is empty",
        answer_defects.placeholder_answer,
    ),
    Rule(
        "forced_label",
        "two answers are stated, and the last differs from the first",
        answer_defects.forced_label,
    ),
    Rule("false_step", "an equation in the rationale does not hold", answer_defects.false_step),
    Rule(
        "loop",
        "the rationale repeats itself endlessly, or one piece hundreds of times",
        text_defects.loop,
    ),
    Rule(
        "no_answer_marker",
        "the rationale does not say which answer it gives, and the source does not either",
        text_defects.no_answer_marker,
    ),
    Rule("answer_only", "the whole rationale is the bare answer", text_defects.answer_only),
    Rule(
        "leaked_tag",
        "scaffolding of the teacher's prompt was left in",
        text_defects.leaked_tag,
        text_defects.without_tags,
    ),
    Rule(
        "control_character",
        r"a control character, mostly LaTeX that a JSON reader damaged: `\f` + `rac`",
        text_defects.control_character,
        text_defects.with_latex_restored,
    ),
    Rule(
        "broken_text",
        "damaged by a wrong encoding: lost characters, mojibake, HTML entities",
        text_defects.broken_text,
    ),
    Rule(
        "broken_thought",
        "the thought is not marked by one opening and one closing tag, in this order",
        text_defects.broken_thought,
        text_defects.with_thought_opened,
    ),
    Rule(
        "glued_list_number",
        "the number of a list item is glued to the end of the item before: `is 290.2. We`",
        text_defects.glued_list_number,
        text_defects.with_list_unglued,
    ),
    Rule(
        "leading_space",
        "white space before the first word, which a student learns to write",
        text_defects.leading_space,
        str.lstrip,
    ),
    Rule(
        "separator_inside",
        "the separator that some trainers put before the answer is inside the rationale",
        text_defects.separator_inside,
    ),
    Rule(
        "mentions_given_answer",
        "the teacher was shown the answer and says so",
        text_defects.mentions_given_answer,
    ),
    Rule("too_short", "fewer tokens than required"),
    Rule("too_long", "more tokens than allowed"),
    Rule("finish_reason", "the teacher stopped for a reason that is not among those kept"),
    Rule("same_question", "a test set has this question"),
    Rule("same_stem", "a test set has this question with other choices"),
    Rule("same_but_numbers", "a test set has this question with other numbers"),
    Rule("most_of_question", "most of a test question is in this row"),
    Rule("thirteen_words", "13 words in a row in common with a test question"),
    Rule("eight_words", "8 words in a row in common with a test question"),
    Rule("exact_duplicate", "an earlier row is the same, character by character"),
    Rule("normalised_duplicate", "an earlier row is the same but for case, space and punctuation"),
    Rule("near_duplicate", "an earlier row has nearly the same question and rationale"),
    Rule("other_gold", "an earlier row has the same question with another gold answer"),
    Rule("unpaired", "not every input file has a kept trace of this question"),
    Rule("too_few", "the question has fewer kept traces than required"),
    Rule("over_cap", "the question already has the most kept traces allowed"),
)
NAMES: tuple[str, ...] = tuple(rule.name for rule in RULES)
RULE_BY_NAME: Mapping[str, Rule] = {rule.name: rule for rule in RULES}
_BIT: Mapping[str, int] = {name: 1 << place for place, name in enumerate(NAMES)}


@dataclass(frozen=True, slots=True)
class RuleSet:
    """A set of rules as the bits of one integer, so that a row's findings fit into an array.

    >>> found = RuleSet.of("wrong_answer", "loop")
    >>> found.names, "loop" in found, bool(RuleSet())
    (['wrong_answer', 'loop'], True, False)
    """

    bits: int = 0

    @classmethod
    def of(cls, *names: str) -> RuleSet:
        """Return the set of the named rules.

        Raises:
            MisuseError: a name is no rule; suggests the nearest.
        """
        bits = 0
        for name in names:
            if name not in _BIT:
                fault = Fault("rules", f"no rule '{name}'", "", did_you_mean(name, NAMES))
                raise MisuseError(str(fault))
            bits |= _BIT[name]
        return cls(bits)

    @property
    def names(self) -> list[str]:
        """The rules of the set, in the order of RULES."""
        return [name for name, bit in _BIT.items() if self.bits & bit]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, name: object) -> bool:
        return bool(self.bits & _BIT[str(name)])

    def __bool__(self) -> bool:
        return bool(self.bits)

    def __or__(self, other: RuleSet) -> RuleSet:
        return RuleSet(self.bits | other.bits)

    def __and__(self, other: RuleSet) -> RuleSet:
        return RuleSet(self.bits & other.bits)


ALL_RULES = RuleSet.of(*NAMES)
FIXABLE = RuleSet.of(*(rule.name for rule in RULES if rule.fix is not None))
OVERLAP_RULES = (
    "same_question", "same_stem", "same_but_numbers", "most_of_question", "thirteen_words",
    "eight_words",
)  # fmt: skip
OUTCOME_RULES = {
    "wrong": "wrong_answer",
    "no_answer": "no_answer",
    "undecided": "undecided_answer",
    "timeout": "undecided_answer",
    "cut_off": "cut_off",
}
_OUTCOME_BITS = {outcome: _BIT[name] for outcome, name in OUTCOME_RULES.items()}


def defects_in(trace: Trace, rules: RuleSet = ALL_RULES, *, strict: bool = False) -> RuleSet:
    """Return those of some rules that one trace breaks by itself; `strict` is the grader's.

    >>> defects_in(Trace("1", "toy", "train", "8 / 2?", "5", " It is 4. The answer is 4")).names
    ['wrong_answer', 'leading_space']
    """
    bits = 0
    finders, graded = _checks(rules.bits)
    for bit, find in finders:
        if find(trace) is not None:
            bits |= bit
    if graded and trace.rationale.strip():
        outcome = answer_defects.outcome(trace, strict=strict)
        if outcome in _OUTCOME_BITS:
            bits |= _OUTCOME_BITS[outcome]
    return RuleSet(bits)


@functools.cache
def _checks(bits: int) -> tuple[tuple[tuple[int, Finder], ...], bool]:
    """Return the finders of some rules, and whether one of the rules needs the answer graded."""
    finders = tuple(
        (_BIT[rule.name], rule.find)
        for rule in RULES
        if rule.find is not None and bits & _BIT[rule.name]
    )
    return finders, any(bits & bit for bit in _OUTCOME_BITS.values())


def detail_of(trace: Trace, name: str) -> str:
    """Return what a rule says of one trace, in a few words.

    >>> detail_of(Trace("1", "toy", "train", "8 / 2?", "5", "The answer is 4"), "wrong_answer")
    'gold 5, answer 4'
    """
    rule = RULE_BY_NAME[name]
    if rule.find is not None:
        return rule.find(trace) or "the text breaks off without an answer"
    if name in ("wrong_answer", "undecided_answer"):
        return f"gold {trace.gold}, answer {answer_defects.answer_read(trace)}"
    if name == "finish_reason":
        return f"finish reason {trace.provenance.finish_reason!r}"
    return rule.about


def fixed(trace: Trace, rules: RuleSet = FIXABLE) -> tuple[Trace, RuleSet]:
    r"""Return a trace whose defects with a safe fix are fixed, and the rules that were fixed.

    >>> trace, rules = fixed(Trace("1", "toy", "train", "?", "4", " It<br>is 4"))
    >>> trace.rationale, rules.names
    ('It\nis 4', ['leaked_tag'])
    """
    done = RuleSet()
    for rule in RULES:
        if rule.fix is None or rule.find is None or rule.name not in rules:
            continue
        if rule.find(trace) is None:
            continue
        better = replace(trace, rationale=rule.fix(trace.rationale))
        if rule.name == "control_character":
            better = replace(better, question=rule.fix(trace.question), gold=rule.fix(trace.gold))
        trace, done = better, done | RuleSet.of(rule.name)
    return trace, done
