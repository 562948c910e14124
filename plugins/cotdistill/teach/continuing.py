"""Let a model continue a text that it did not write, in the way that its server understands.

Servers differ, and a way that they do not know is often ignored without an error: the model then
begins anew. So every way is tried once at the start, and the first that really continues is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from cotdistill.errors import Fault, FaultsError, MisuseError
from cotdistill.hosts.request import Asker, Reply, Request
from cotdistill.teach.asking import Decoding, request_of

PrefixMode = Literal["flags", "assistant", "prefix", "template", "completion", "asked"]
"""How a text is continued. flags: vLLM, SGLang. assistant: llama.cpp. prefix: DeepSeek, Mistral.
template: the chat template is filled in here and sent as a prompt, the same bytes to every server.
completion: a prompt that is written out, for base models. asked: the beginning is quoted in the
question, where nothing else works; such samples compare only with each other."""

CHAT_MODES: tuple[PrefixMode, ...] = ("flags", "assistant", "prefix", "asked")
ChatText = Callable[[Sequence[Mapping[str, Any]], Mapping[str, Any]], str]
"""What fills a chat template in: messages and the template's own settings become a prompt."""


@dataclass(frozen=True)
class Way:
    """How texts are continued; `chat_text` is what the mode template fills in.

    Raises:
        MisuseError: the mode template without a tokenizer.
    """

    mode: PrefixMode = "flags"
    chat_text: ChatText | None = None

    def __post_init__(self) -> None:
        if self.mode == "template" and self.chat_text is None:
            raise MisuseError("--prefix-mode template needs --tokenizer, whose template is filled")


_COUNT = "Write the numbers from one to six as words, in one line, separated by commas."
_BEGUN = "Counting aloud: one, two, three,"
"""No answer would begin like this by itself, so one that begins anew is not taken for an echo."""


def continued(
    decoding: Decoding,
    way: Way,
    question: Sequence[Mapping[str, Any]],
    prefix: str,
    *,
    quoted: Sequence[Mapping[str, Any]] = (),
    sample: int = 0,
    round_: int = 0,
) -> Request:
    """Return the request that continues a prefix; `quoted` is the question of the mode `asked`.

    White space at the end of a prefix is left out, because servers refuse it, and put back by
    `joined`.
    """
    begun, mode = prefix.rstrip(), way.mode
    if mode == "asked":
        return request_of(decoding, quoted, sample=sample, round_=round_)
    if mode == "template" and way.chat_text is not None:
        text = way.chat_text(question, _template_settings(decoding)) + begun
        calm = replace(decoding, thinking=None, extra=_without_template(decoding.extra))
        return request_of(calm, prompt=text, sample=sample, round_=round_)
    if mode == "completion":
        text = "\n".join(str(turn["content"]) for turn in question)
        return request_of(decoding, prompt=f"{text}\n{begun}", sample=sample, round_=round_)
    turn: dict[str, Any] = {"role": "assistant", "content": begun}
    extra: dict[str, Any] = {}
    if mode == "prefix":
        turn["prefix"] = True
    if mode == "flags":
        extra = {"add_generation_prompt": False, "continue_final_message": True}
    return request_of(decoding, (*question, turn), sample=sample, round_=round_, extra=extra)


def _template_settings(decoding: Decoding) -> dict[str, Any]:
    given = dict(decoding.extra.get("chat_template_kwargs") or {})
    if decoding.thinking is None:
        return given
    return {"enable_thinking": decoding.thinking, **given}


def _without_template(extra: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in extra.items() if name != "chat_template_kwargs"}


def joined(prefix: str, reply: str) -> str:
    r"""Return prefix and continuation as one text; an echo of the prefix is taken off once.

    >>> joined("one, two,", " three"), joined("one, two,", "one, two, three")
    ('one, two, three', 'one, two, three')
    >>> joined("6 trays.\n", "So 24.")
    '6 trays.\nSo 24.'
    """
    begun = prefix.rstrip()
    rest = reply
    if rest.lstrip().startswith(begun):
        rest = rest.lstrip()[len(begun) :]
    if rest and not rest[0].isspace():
        rest = (prefix[len(begun) :] or " ") + rest
    return begun + rest


def working_mode(
    asker: Asker,
    decoding: Decoding,
    modes: Sequence[PrefixMode] = CHAT_MODES,
    chat_text: ChatText | None = None,
) -> PrefixMode:
    """Return the first way in which the model really continues a text.

    Raises:
        FaultsError: none works, with what came of each; or the server is gone.
    """
    temperature = None if decoding.openai_reasoning else 0.0
    calm = replace(decoding, temperature=temperature, max_tokens=48, stop=())
    question = ({"role": "user", "content": _COUNT},)
    quoted = ({"role": "user", "content": f"{_COUNT}\nIt begins with: {_BEGUN}\nWrite the rest."},)
    tried = []
    for mode in modes:
        request = continued(calm, Way(mode, chat_text), question, _BEGUN, quoted=quoted)
        reply = _asked(asker, request)
        if continues(reply.content):
            return mode
        tried.append(f"{mode}: {reply.failure or repr(reply.content[:60])}")
    wrong = "the server continues no text that was begun for it"
    raise FaultsError(
        Fault(
            f"model '{decoding.model}'",
            f"{wrong} ({'; '.join(tried)})",
            "one of the ways in docs/how-to/teach.md",
            "use another strategy or server, or name a way with --prefix-mode",
        )
    )


def continues(reply: str) -> bool:
    """Whether a reply continues to count where the text ended.

    >>> continues(" four, five, six"), continues("Counting aloud: one, two, three, four")
    (True, True)
    >>> continues("one, two, three, four, five, six")
    False
    """
    text = joined(_BEGUN, reply)[len(_BEGUN) :].strip(" ,.\n").lower()
    return text.startswith("four") and "one, two" not in text


def _asked(asker: Asker, request: Request) -> Reply:
    replies: list[Reply] = []
    asker(iter([request]), lambda _request, reply: replies.append(reply))
    return replies[0] if replies else Reply(failure="no reply")
