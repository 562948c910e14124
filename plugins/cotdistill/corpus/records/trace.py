"""A trace: a question plus one rationale, its answer, and where it came from.

What a student is trained on is `target`: the rationale as it was written, and the answer behind it
where the rationale does not state it itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cotdistill.benchmarks.choices import Form, with_choices
from cotdistill.benchmarks.question import question_key
from cotdistill.grading.kinds import Kind

_STATED = re.compile(
    r"answer\s+(?:choice\s+|option\s+)?(?:is|was|will be|would be|:)"
    r"|\\boxed|####|answer\*{0,2}\s*[:=]|-->[^\n]*\s*\Z",
    re.IGNORECASE,
)


class Provenance(NamedTuple):
    """Where a rationale came from; None is unknown.

    `served_model` and `fingerprint` are what the server called itself. `strategy`, `round`,
    `sample`, `guided` (by what: answer, rationale, prefix, teacher) and `prefix_mode` say how
    sampling came to it. `cached_tokens` are a part of `prompt_tokens`, `reasoning_tokens` of
    `tokens`. `asked` is how often it was asked for until it was as wanted.
    """

    teacher: str | None = None
    revision: str | None = None
    level: int | None = None
    format: str | None = None
    prompt_hash: str | None = None
    decoding: Mapping[str, Any] | None = None
    finish_reason: str | None = None
    tokens: int | None = None
    licence: str | None = None
    source: str | None = None
    served_model: str | None = None
    fingerprint: str | None = None
    strategy: str | None = None
    round: int | None = None
    sample: int | None = None
    guided: str | None = None
    prefix_mode: str | None = None
    gold_shown: bool | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    asked: int | None = None


_UNKNOWN = Provenance()


@dataclass(frozen=True, slots=True)
class Trace:
    """One question with one rationale.

    `gold` is empty where it is unknown; `answer` is what the source says that the rationale
    concludes, None where it says nothing besides the rationale itself.
    """

    id: str
    dataset: str
    split: str
    question: str
    gold: str
    rationale: str
    kind: Kind = "auto"
    options: Mapping[str, str] | None = None
    answer: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    provenance: Provenance = _UNKNOWN


def trace_id(dataset: str, question: str, rationale: str) -> str:
    r"""Return an id that depends on the words of question and rationale, not on file or order.

    >>> trace_id("toy", "1+1?", "It is 2.") == trace_id("toy", "1+1? ", "It  is 2.\n")
    True
    >>> trace_id("toy", "1+1?", "It is 2.")
    'toy-cfe29f43bcc2-6e2662c5'
    """
    return f"{dataset}-{question_key(question)[:12]}-{question_key(rationale)[:8]}"


def states_an_answer(rationale: str) -> bool:
    r"""Whether a rationale says which answer it gives: "the answer is", a box, `####`.

    >>> states_an_answer("Half of 8 is 4. The answer is 4"), states_an_answer("8 / 2 = 4")
    (True, False)
    """
    return "nswer is " in rationale or _STATED.search(rationale) is not None


def target(trace: Trace) -> str:
    r"""Return the text that a student is trained to write.

    >>> target(Trace("1", "toy", "train", "8 / 2?", "4", "It is half of 8.", answer="4"))
    'It is half of 8.\nThe answer is 4'
    """
    if trace.answer and not states_an_answer(trace.rationale):
        conclusion = f"The answer is {trace.answer}"
        rationale = trace.rationale.rstrip()
        return f"{rationale}\n{conclusion}" if rationale else conclusion
    return trace.rationale


def form_of(trace: Trace) -> Form:
    """Return how a trace's answer choices are written where its question does not list them."""
    return "row" if trace.provenance.format == "program" else "lines"


def asked(trace: Trace) -> str:
    r"""Return the question of a trace with its answer choices.

    >>> asked(Trace("1", "toy", "train", "Cold?", "A", "", options={"A": "ice", "B": "fire"}))
    'Cold?\n\nAnswer choices:\nA. ice\nB. fire'
    """
    return with_choices(trace.question, trace.options, form_of(trace))


def system_of(trace: Trace) -> str:
    """Return the system prompt that a trace was written under, empty without one."""
    return str(trace.meta.get("system") or "")


def alpaca_row(trace: Trace) -> dict[str, Any]:
    """Return a trace as LLaMA-Factory's alpaca rows, with a system prompt where it has one.

    >>> alpaca_row(Trace("1", "toy", "train", "8 / 2?", "4", "The answer is 4"))
    {'instruction': '8 / 2?', 'input': '', 'output': 'The answer is 4'}
    """
    row = {"instruction": asked(trace), "input": "", "output": target(trace)}
    return row | ({"system": system} if (system := system_of(trace)) else {})


def training_row(trace: Trace) -> dict[str, Any]:
    """Return a trace as a row of an arm's training file, with its system prompt.

    >>> training_row(Trace("1", "toy", "train", "8 / 2?", "4", "It is 4", meta={"system": "Add."}))
    {'system': 'Add.', 'instruction': '8 / 2?', 'output': 'It is 4'}
    """
    return {"system": system_of(trace), "instruction": asked(trace), "output": target(trace)}


def micota_row(trace: Trace) -> dict[str, Any]:
    r"""Return a trace as MiCoTA's correctness filter writes it (arXiv:2507.01887).

    >>> micota_row(Trace("1", "toy", "train", "8 / 2?", "4", r"So \boxed{4}", answer="4"))
    {'instruction': '8 / 2?', 'output': 'So \\boxed{4}', 'answer': '4', 'resp_answer': '4'}
    """
    return {
        "instruction": asked(trace),
        "output": trace.rationale,
        "answer": trace.gold,
        "resp_answer": trace.answer or "",
    }


def sharegpt_row(trace: Trace) -> dict[str, Any]:
    """Return a trace as LLaMA-Factory's sharegpt rows, with a system prompt where it has one.

    >>> sharegpt_row(Trace("1", "toy", "train", "8 / 2?", "4", "It is 4"))["conversations"][1]
    {'from': 'gpt', 'value': 'It is 4'}
    """
    turns = [
        {"from": "human", "value": asked(trace)},
        {"from": "gpt", "value": target(trace)},
    ]
    system = system_of(trace)
    return {"conversations": turns} | ({"system": system} if system else {})


def messages_row(trace: Trace) -> dict[str, Any]:
    """Return a trace as OpenAI messages, with a system message where it has a system prompt.

    >>> messages_row(Trace("1", "toy", "train", "8 / 2?", "4", "The answer is 4"))["messages"][0]
    {'role': 'user', 'content': '8 / 2?'}
    """
    turns = [
        {"role": "user", "content": asked(trace)},
        {"role": "assistant", "content": target(trace)},
    ]
    system = system_of(trace)
    return {"messages": [*([{"role": "system", "content": system}] if system else []), *turns]}
