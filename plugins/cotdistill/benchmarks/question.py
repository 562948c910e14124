"""A question: its shape, its text, and when two of them are the same one.

`Question` is one problem with its reference answer, the same shape whatever file it came from: the
row of prepared data, the document of an lm-eval task, and what a trace is built on.

Questions of different files are joined by `question_key`, which reads what the question says and
nothing else: not its id, and no instruction, few-shot example or chat template, so that runs with
other prompts still pair. There are two strengths:

- `text`: the same text but for white space. Joins the runs of a study (report, compare), verdicts
  with their samples, and reference answers from a file (rescore, judge, grade); ids are made of it.
- `words`: the same words, whatever the punctuation, upper or lower case and a leading `Q:`, and
  without the instruction that a prompt adds. Joins training rows, which copy a question in several
  spellings: the reference answers of `import-traces`, pairs, mixes, and the levels of
  `granularity`.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

import pydantic

from cotdistill.grading.kinds import Kind

Strength = Literal["text", "words"]

# What a document of an lm-eval task calls the parts of its question, in the order they are read.
_CONTEXT = (
    "passage", "article", "context", "body", "story", "paragraph", "background", "support",
    "premise", "hypothesis", "sentence", "sentence1", "sentence2", "dialogue", "ctx", "ctx_a",
    "ctx_b", "code",
)  # fmt: skip
_ASKED = ("question", "problem", "query", "question_stem", "goal", "problems", "questions", "claim")
_LISTS = ("options", "choices", "endings")
_CHOICES = (
    "choice1", "choice2", "choice3", "choice4", "option1", "option2", "sol1",
    "sol2", "answera", "answerb", "answerc", "a", "b", "c", "d", "e",
)  # fmt: skip
# These ask only where nothing above does: elsewhere they are what a run puts around a question.
_MAY_ASK = ("input", "text", "prompt", "instruction")
_NOT_CONTENT = frozenset((
    "instruction", "instructions", "prompt", "system", "system_prompt", "few_shot", "fewshot",
    "fewshot_examples", "examples", "chat_template", "template", "id", "unique_id", "question_id",
    "problem_id", "idx", "doc_id", "index", "before", "after",
))  # fmt: skip
KEY_DIGITS = 16
_LONGEST_KEPT = 1000  # characters of a document whose identity is kept
_Groups = tuple[tuple[str, ...], ...]
_LETTERS = "ABCDEFGHIJ"  # a longer list is no list of options that a grader could read
_LABEL = re.compile(r"\s*Q(?:uestion)?\s*:\s*", re.IGNORECASE)
_WORD = re.compile(r"\w+")
_INSTRUCTION_LENGTH = 320  # characters at the end of a question
_INSTRUCTION = re.compile(
    r"(?:\s*\n\s*|(?<=[.?!:)\]}$'\"])\s+)(?:please|let(?:['’]s| us)|you (?:should|must|need)|work"
    r"|think|reason|solve|show|put|make sure|present|explain|respond|write|answer(?!\s+choices))\b"
    r"[^\n]{0,200}?"
    r"(?:\\boxed\s?\{[^{}\n]*\}|step[- ]by[- ]step|\bpython\b|\bprogram\b)[^\n]{0,80}$",
    re.IGNORECASE,
)
_CHOICE_MARK = re.compile(r"(?:\A|[\s(])[A-Za-z]\s?[).:]\Z")
_CHOICES_HEADING = re.compile(r"\b(?:which choice is true\?\s*)?answer choices\s*:", re.IGNORECASE)
_WHOLE_PROMPT = re.compile(
    r"Solve the following[^\n]*\n\s*Problem:\s*(.+?)\s*\n\s*Answer:\s*", re.DOTALL
)


class Question(pydantic.BaseModel):
    """One problem, its reference answer, and what a grader must know to compare another with it.

    `meta` holds what else the source says: level, subject, answer_type, unit, tolerance ...

    >>> Question(id="toy-1", dataset="toy", split="test", question="1+1?", gold="2", kind="number")
    Question(id='toy-1', dataset='toy', split='test', question='1+1?', gold='2', kind='number', \
options=None, rationale=None, meta={})
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    id: str = pydantic.Field(min_length=1)
    dataset: str = pydantic.Field(min_length=1)
    split: str = pydantic.Field(min_length=1)
    question: str = pydantic.Field(min_length=1)
    gold: str = pydantic.Field(min_length=1)
    kind: Kind = "auto"
    options: dict[str, str] | None = None
    rationale: str | None = None
    meta: dict[str, Any] = {}

    @pydantic.model_validator(mode="after")
    def _gold_is_an_option(self) -> Question:
        if self.kind == "letter" and self.options and self.gold not in self.options:
            raise ValueError(f"gold {self.gold!r} is none of the options {', '.join(self.options)}")
        return self


def options_of(value: Any) -> dict[str, str] | None:
    """Return answer options by letter, from any of the ways in which documents hold them.

    A mapping by letter (Arrow gives every row the letters of all rows, those that a question lacks
    as None), a list whose entries may begin with their letters, or the hub's `text` and `label`.

    >>> options_of({"A": "12", "B": None}), options_of(["A) 12", "B) 24"]), options_of(["12", "24"])
    ({'A': '12'}, {'A': '12', 'B': '24'}, {'A': '12', 'B': '24'})
    >>> options_of({"text": ["12", "24"], "label": ["A", "B"]}), options_of(None)
    ({'A': '12', 'B': '24'}, None)
    """
    if isinstance(value, Mapping):
        texts, labels = value.get("text"), value.get("label")
        if isinstance(texts, list) and isinstance(labels, list):
            value = dict(zip(map(str, labels), texts, strict=False))
        if not all(isinstance(letter, str) and len(letter) == 1 for letter in value):
            return None
        kept = {letter.upper(): str(text) for letter, text in value.items() if text is not None}
        return kept or None
    if not isinstance(value, list) or not value or len(value) > len(_LETTERS):
        return None
    options = {}
    for letter, option in zip(_LETTERS, value, strict=False):
        text = str(option).strip()
        for opening in (f"{letter})", f"({letter})", f"{letter}.", f"{letter}:"):
            text = text.removeprefix(opening)
        options[letter] = text.strip()
    return options


def question_text(document: Mapping[str, Any]) -> str:
    r"""Return what a document asks, its content fields in reading order, one after another.

    Passage, article, body or context come first, then the question or problem, then choices that
    the question does not name itself. Empty where the document has none of these.

    >>> print(question_text({"id": 7, "question": "Who?", "passage": "Ann ran.", "answer": "Ann"}))
    Ann ran.
    <BLANKLINE>
    Who?
    >>> question_text({"Body": "Tom has 3.", "Question": "How many?"})
    'Tom has 3.\n\nHow many?'
    >>> question_text({"question": "Which?", "choices": ["a cat", "a dog"], "prompt": "Think."})
    'Which?\n\nA. a cat\nB. a dog'
    """
    return "\n\n".join(_parts(document, _names(tuple(document))[0]))


def asked_alone(document: Mapping[str, Any]) -> str:
    """Return the question of a document without its passage and choices, or an empty text.

    >>> asked_alone({"passage": "Ann ran.", "Question": "Who?", "choices": ["Ann", "Bob"]})
    'Who?'
    """
    (_, asked, _, _), _ = _names(tuple(document))
    return "\n\n".join(text for name in asked if (text := _text(document[name])))


def question_key(question: str | Mapping[str, Any], strength: Strength = "text") -> str:
    r"""Return a key that is equal for two copies of a question, and only for those.

    Takes a question's text, or a document with content fields (see `question_text`).

    >>> question_key("How  many?\n") == question_key({"id": 7, "problem": "How many?"})
    True
    >>> question_key("Q: Is it?") == question_key("is it"), question_key("is it", "words")
    (False, '86d7a5bf20e432c8')
    """
    if isinstance(question, str) and strength == "text":
        return _digest(" ".join(question.split()))
    parts = [question if isinstance(question, str) else question_text(question)]
    if strength == "words":
        plain = (without_heading(asked_only(part)).lower() for part in parts)
        parts = [word for part in plain for word in _WORD.findall(part)]
    return _digest(" ".join(" ".join(parts).split()))


class Identity(NamedTuple):
    """What a document asks, the key of that (`question_key`), and the key of the whole document.

    The whole document is all but its id and what a run puts around a question. Its key keeps
    documents apart whose content is the same: the same question about a picture, or with another
    reference answer. A document without content fields is known by all that it has, its id too.
    """

    text: str
    content: str
    document: str


def identity_of(document: Mapping[str, Any]) -> Identity:
    """Return by what a document is known.

    >>> first = identity_of({"id": 1, "question": "True?", "gold": "yes"})
    >>> first == identity_of({"id": 2, "question": "True?", "gold": "yes", "prompt": "Think."})
    True
    >>> other = identity_of({"id": 1, "question": "True?", "gold": "no"})
    >>> other.content == first.content, other.document == first.document
    (True, False)
    """
    groups, names = _names(tuple(document))
    whole = ascii([document[name] for name in names])  # one text in every Python
    known = _Known(document, groups, whole)
    return _identity(known) if groups[3] or len(whole) > _LONGEST_KEPT else _kept_identity(known)


class _Known:
    """A document with all that its identity is made of: equal where that is equal."""

    __slots__ = ("document", "groups", "whole")

    def __init__(self, document: Mapping[str, Any], groups: _Groups, whole: str) -> None:
        self.document, self.groups, self.whole = document, groups, whole

    def __hash__(self) -> int:
        return hash(self.whole)

    def __eq__(self, other: object) -> bool:
        same = isinstance(other, _Known) and self.whole == other.whole
        return same and self.groups == other.groups  # type: ignore[attr-defined]


def _identity(known: _Known) -> Identity:
    text = "\n\n".join(_parts(known.document, known.groups))
    digest = hashlib.blake2b(known.whole.encode(), digest_size=KEY_DIGITS // 2).hexdigest()
    return Identity(text, _digest(" ".join(text.split())), digest)


_kept_identity = functools.lru_cache(maxsize=16_384)(_identity)
"""The same for short documents, kept: all runs of a study answer the same questions."""


def without_label(question: str) -> str:
    """Return a question without a leading `Q:`.

    >>> without_label("Q: Is ice cold?")
    'Is ice cold?'
    """
    label = _LABEL.match(question) if question[:1] in "Qq \n" else None
    return question[label.end() :] if label else question


def asked_only(question: str) -> str:
    r"""Return a question without a leading `Q:` and without the instruction that a prompt adds.

    Instructions are those that end a prompt: to reason step by step, to put the answer in a box (as
    MiCoTA's training rows), to write a program (as GSI's); and the learnability gap's whole prompt.

    >>> asked_only("How many?\nPlease reason step by step, and put it within \\boxed{}.")
    'How many?'
    >>> asked_only("Q: How many? Let's write a Python program to solve it.")
    'How many?'
    >>> asked_only("He walks. How many steps, step by step?")
    'He walks. How many steps, step by step?'
    >>> asked_only("What runs? Answer choices: (A) a program (B) a rock")
    'What runs? Answer choices: (A) a program (B) a rock'
    """
    question = without_label(question)
    if question.startswith("Solve the following") and (whole := _WHOLE_PROMPT.fullmatch(question)):
        return whole[1]
    tail = question[-_INSTRUCTION_LENGTH:]
    if "boxed" in tail or "step" in tail or "rogram" in tail:
        cut = _INSTRUCTION.search(question, max(0, len(question) - _INSTRUCTION_LENGTH))
        while cut and _CHOICE_MARK.search(question[: cut.start()]):  # "B. write a program"
            cut = _INSTRUCTION.search(question, cut.start() + 1)
        question = question[: cut.start()] if cut and question[: cut.start()].strip() else question
    return question


def without_heading(question: str) -> str:
    """Return a question without the words that announce its choices, which a document lacks.

    >>> without_heading("What is cold? Answer choices: (A) ice (B) fire")
    'What is cold?   (A) ice (B) fire'
    """
    return _CHOICES_HEADING.sub(" ", question) if "hoices" in question else question


def with_ids(dataset: str, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Give each row an id made of its dataset and its question; a repeated question counts up.

    The id does not depend on the file, its order or its shape, so two copies of a benchmark join.

    >>> rows = [{"question": "1+1?"}, {"question": "2+2?"}, {"question": "1+1?"}]
    >>> [row["id"][-6:] for row in with_ids("toy", rows)]
    ['43bcc2', '5245cd', 'bcc2-2']
    """
    seen: Counter[str] = Counter()
    for row in rows:
        name = f"{dataset}-{question_key(row['question'])[:12]}"
        seen[name] += 1
        yield {"id": name if seen[name] == 1 else f"{name}-{seen[name]}", **row}


_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=str).encode


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:KEY_DIGITS]


@functools.lru_cache(maxsize=256)
def _names(names: tuple[str, ...]) -> tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]:
    """Sort a document's field names into (context, asked, choices, may ask), and all that count.

    Kept, because all documents of a task have the same names.
    """
    by_lower = {name.lower(): name for name in names if isinstance(name, str)}
    groups = tuple(
        tuple(by_lower[name] for name in group if name in by_lower)
        for group in (_CONTEXT, _ASKED, (*_LISTS, *_CHOICES), _MAY_ASK)
    )
    kept = [name for name in names if name.lower() not in _NOT_CONTENT or not any(groups)]
    return groups, tuple(sorted(kept))


def _parts(document: Mapping[str, Any], groups: tuple[tuple[str, ...], ...]) -> list[str]:
    context, asked, choices, may_ask = groups
    if len(asked) == 1 and not context and not choices and (text := _text(document[asked[0]])):
        return [text]  # most benchmarks
    parts = [text for name in context if (text := _text(document[name]))]
    questions = [text for name in asked if (text := _text(document[name]))]
    if not questions:
        first = next((text for name in may_ask if (text := _text(document[name]))), "")
        questions = [first] if first else []
    parts += questions
    if choices and (shown := _choices(document, choices, " ".join(questions))):
        parts.append(shown)
    return parts


def _choices(document: Mapping[str, Any], names: tuple[str, ...], asked: str) -> str:
    texts: list[str] = []
    for name in names:
        value = document[name]
        if options := options_of(value):
            texts += options.values()
        elif isinstance(value, str) or name.lower() in _LISTS:
            texts += [_text(value)]
    if all(text in asked for text in texts):
        return ""  # the question names them itself
    return "\n".join(
        f"{chr(ord('A') + number) if number < 26 else number + 1}. {text}"
        for number, text in enumerate(texts)
    )


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value if value.strip() else ""
    if value is None or isinstance(value, bool):
        return ""
    return _encode(value)
