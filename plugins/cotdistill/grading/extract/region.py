"""Which part of a model's output may hold its answer, and how that part ends.

Thinking is set aside, chat tokens and run-ons to a new question are cut away. Positions are kept:
everything here returns offsets into the text that was given, so that a span can be shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from cotdistill.grading.repetition import loops

Ending = Literal["natural", "cut", "loop"]

_THINK_NAMES = "think|thinking|thought|thoughts|reasoning|analysis|scratchpad"
_THINK_TAG = re.compile(
    rf"<(?P<close>/?)(?:{_THINK_NAMES})>|<\|(?P<edge>begin|end)_of_thought\|>", re.IGNORECASE
)
# OpenAI's harmony format: what follows the last of these is the answer channel.
_FINAL_CHANNEL = "<|channel|>final<|message|>"
# Each begins with one plain character, which a long text is searched for fifty times faster.
_CHAT_TOKEN = re.compile(
    r"<(?:\|(?:im_end|im_start|eot_id|eom_id|eot|endoftext|end_of_text|end|user|assistant|system"
    r"|start_header_id|end_header_id|start|return|begin_of_text|end_of_turn)\|>"
    r"|/?s>|eos>|pad>|eo[ahms]>|(?:end|start)_of_turn>|<SYS>>"
    r"|\uff5c(?:end|begin)\u2581of\u2581sentence\uff5c>|\uff5cUser\uff5c>)",
    re.IGNORECASE,
)
_BRACKET_TOKEN = re.compile(r"\[/?INST\]|\[UNUSED_TOKEN_\d{1,4}\]")
_NEW_QUESTION = (
    r"[#*]{0,4}[ \t]{0,2}(?:(?:New |Next )?(?:Question|Problem)|Q|Exercise|Example|Human|User"
    r"|Instruction|Input)[ \t]{0,2}\d{0,4}\*{0,2}[ \t]{0,2}[:\uff1a]"
)
_RUN_ON = re.compile(rf"\n[ \t]{{0,8}}{_NEW_QUESTION}")
_RUN_ON_IN_LINE = re.compile(rf"(?<=[.!?])[ \t]{{1,4}}{_NEW_QUESTION}")
_IN_LINE = 8_000  # characters: only short outputs are written in one line
_STATES = re.compile(
    r"boxed|answer[ \t*]{0,4}(?:is|:)|####|-->|<answer>|\bcorrect (?:answer|choice|option)",
    re.IGNORECASE,
)
_ANSWER_LINE = re.compile(r"^[ \t]{0,4}A:[ \t]{0,4}\S", re.MULTILINE)

_DANGLING = re.compile(
    r"(?:[=+*/<>,:;&(\[{\\×÷·≈^~-]"
    r"|\b(?:the|a|an|is|are|was|of|and|or|to|by|in|on|for|with|that|which|we|so|then|from|as|at|if"
    r"|have|has|per|than|therefore|thus|because|since|it|this|there|each|he|she|they))$"
)
_CLOSERS = frozenset(".!?。！？…)]}$\"'”’*`>|%°️✓✔")
_LAST_SENTENCES = 2_000
_CUT_LENGTH = 400
_LOOP_WINDOW = 6_000


@dataclass(frozen=True, slots=True)
class Region:
    """Offsets of the part that may hold the answer; `thinking_open` when thoughts never end."""

    start: int
    end: int
    thinking_open: bool


def answer_region(text: str) -> Region:
    """Find the last part outside thinking, before chat tokens and before a run-on.

    >>> text = "<think>5?</think>It is 4.<|im_end|>"
    >>> region = answer_region(text)
    >>> text[region.start : region.end]
    'It is 4.'
    """
    start, end, thinking_open = _outside_thinking(text)
    start, end = _between_chat_tokens(text, start, end)
    return Region(start, _before_run_on(text, start, end), thinking_open)


def ending_of(text: str, start: int, end: int) -> Ending:
    """Tell whether text[start:end] ends as a sentence does, in mid-sentence, or in a loop.

    >>> [ending_of(t, 0, len(t)) for t in ("So it is 4.", "Add 3 and 4. We get 3 +", "ab " * 90)]
    ['natural', 'cut', 'loop']
    """
    tail = text[max(start, end - _LOOP_WINDOW) : end].rstrip()
    if loops(tail, copies=3, shortest=96):
        return "loop"
    ends_line = text[end - 1 : end] == "\n"
    return "cut" if _breaks_off(tail[-_LAST_SENTENCES:], ends_line) else "natural"


def _outside_thinking(text: str) -> tuple[int, int, bool]:
    channel = text.rfind(_FINAL_CHANNEL)
    if channel >= 0:
        return channel + len(_FINAL_CHANNEL), len(text), False
    if "<" not in text:
        return 0, len(text), False
    outside: tuple[int, int] | None = None  # the last piece outside thinking that is not blank
    begin, is_open = 0, False
    for tag in _THINK_TAG.finditer(text):
        closes = tag["close"] == "/" or (tag["edge"] or "").lower() == "end"
        if closes:
            # A closing tag without an opening one: the chat template had opened the thinking.
            begin, is_open = tag.end(), False
            continue
        if not is_open and text[begin : tag.start()].strip():
            outside = begin, tag.start()
        begin, is_open = tag.end(), True
    if not is_open and (outside is None or text[begin:].strip()):
        return begin, len(text), False
    if outside is not None:
        return *outside, is_open
    return len(text), len(text), is_open


def _between_chat_tokens(text: str, start: int, end: int) -> tuple[int, int]:
    pattern = _BRACKET_TOKEN if "INST]" in text or "[UNUSED_" in text else _CHAT_TOKEN
    if pattern is _CHAT_TOKEN and "<" not in text:
        return start, end
    for token in pattern.finditer(text, start, end):
        if text[start : token.start()].strip() not in ("", "assistant"):
            return start, token.start()
        start = token.end()
    return start, end


def _before_run_on(text: str, start: int, end: int) -> int:
    previous, has_head, has_question = start, False, False
    pattern = _RUN_ON if end - start > _IN_LINE or "\n" in text else _RUN_ON_IN_LINE
    for mark in pattern.finditer(text, start, end):
        has_head = has_head or bool(text[previous : mark.start()].strip())
        if has_head and (
            _STATES.search(text, previous, mark.start())
            or (not has_question and _ANSWER_LINE.search(text, previous, mark.start()))
        ):
            return mark.start()
        previous, has_question = mark.end(), True
    return end


def _breaks_off(tail: str, ends_line: bool) -> bool:
    if not tail:
        return False
    if _leaves_open(tail):
        return True
    if tail[-1] in _CLOSERS:
        return False
    last_line = tail[tail.rfind("\n") + 1 :]
    if _DANGLING.search(tail, max(0, len(tail) - 12)):
        return True
    # No full stop: only telling in a long text (outputs are cut at hundreds of tokens) that
    # otherwise writes them.
    if len(tail) < _CUT_LENGTH:
        return False
    if ends_line:  # who is cut off does not get to end the line
        return False
    earlier = tail[: len(tail) - len(last_line)].rstrip()
    if earlier:
        return earlier[-1] in ".。" and (len(last_line) > 60 or ". " in last_line)
    return ". " in last_line


def _leaves_open(tail: str) -> bool:
    return (
        tail.rfind("\\[") > tail.rfind("\\]")
        or tail.rfind("\\begin{") > tail.rfind("\\end{")
        or tail.rfind("\\boxed{") > tail.rfind("}")
    )
