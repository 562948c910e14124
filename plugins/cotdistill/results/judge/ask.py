"""The second stage: ask a language model about responses, and keep every answer by its content.

A second call, or one after a kill, asks only what is not yet known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from cotdistill.files.journal import Journal
from cotdistill.files.templates import renderer
from cotdistill.hosts.request import Asker, Reply, Request
from cotdistill.hosts.served_model import ServedModels
from cotdistill.results.judge.opinion import Opinion, delimiter_for, read_opinion
from cotdistill.results.judge.options import JudgeOptions
from cotdistill.results.judge.responses import JudgedFile, Response

TRUNCATED = "the judge's reply was truncated at max_tokens"
_CHARACTERS_A_TOKEN = 4
_PASTED = ("question", "gold", "response", "mark")
_KEY = 40  # characters of a digest that name a request in a batch file; OpenAI takes 64


@dataclass
class Spent:
    """What a call asked and what it cost.

    `known` counts questions whose answer was kept from before; `left` those that a limit left out;
    `sent` the requests, `failed` those that got no answer, the last of them with `last_failure`.
    """

    known: int = 0
    asked: int = 0
    sent: int = 0
    failed: int = 0
    left: int = 0
    prompt_tokens: int = 0
    reply_tokens: int = 0
    last_failure: str = ""


def request_maker(options: JudgeOptions) -> Callable[[Response], Request]:
    """Return what makes the request about one response: question, reference answer, tail."""
    filled = renderer(f"prompts/{options.prompt}.j2", _PASTED)

    def request_for(response: Response) -> Request:
        question, gold = response.question.text, response.question.gold
        assert gold is not None  # a question without a reference answer is never asked about
        values = {
            "question": question.strip(),
            "gold": gold,
            "response": response.tail,
            "shortened": response.shortened,
            "mark": delimiter_for(question, gold, response.tail),
        }
        return Request(
            options.model,
            ({"role": "user", "content": filled(values)},),
            temperature=None if options.openai_reasoning else 0,
            max_tokens=options.max_tokens,
            as_completion_tokens=options.openai_reasoning,
            extra=options.extra,
        )

    return request_for


class Asking:
    """The questions to the judge about some files, and the answers in a journal."""

    def __init__(
        self, files: Sequence[JudgedFile], options: JudgeOptions, journal: Journal | None
    ) -> None:
        self.spent = Spent()
        self._files = files
        self._options = options
        self._journal = journal
        self._models = ServedModels(options.any_model)
        self._digests: dict[tuple[int, int], str] = {}
        self._request_for = request_maker(options)

    def ask(self, asker: Asker) -> list[JudgedFile]:
        """Ask what is not known, and return the files with the opinions.

        Raises:
            EndpointError: the judge cannot be reached; what it answered is kept.
            FaultsError: another model answers; what came before is kept.
        """
        asker(self._requests(), self._keep)
        return [
            replace(
                file,
                responses=tuple(
                    replace(response, opinion=self._opinion(number, place))
                    if response.asked
                    else response
                    for place, response in enumerate(file.responses)
                ),
            )
            for number, file in enumerate(self._files)
        ]

    def count(self) -> Spent:
        """Return what would be asked, and what it would cost at most."""
        for request in self._requests():
            self.spent.asked += 1
            self.spent.prompt_tokens += _tokens(request)
            self.spent.reply_tokens += self._options.max_tokens
        return self.spent

    def _requests(self) -> Iterator[Request]:
        options, spent = self._options, self.spent
        under_way: set[str] = set()
        estimated = 0
        for number, file in enumerate(self._files):
            for place, response in enumerate(file.responses):
                if not response.asked:
                    continue
                request = self._request_for(response)
                digest = self._digests[number, place] = request.digest
                if digest in under_way or self._known(digest) is not None:
                    spent.known += 1
                    continue
                used = max(spent.prompt_tokens + spent.reply_tokens, estimated)
                full = options.most_requests is not None and len(under_way) >= options.most_requests
                costly = options.most_tokens is not None and (
                    used + _tokens(request) > options.most_tokens
                )
                if full or costly:
                    spent.left += 1
                    continue
                under_way.add(digest)
                estimated += _tokens(request)
                spent.sent += 1
                yield request.named(digest[:_KEY])

    def _keep(self, request: Request, reply: Reply) -> None:
        spent = self.spent
        if reply.failure:
            spent.failed += 1
            spent.last_failure = reply.failure
            return
        self._models.check(request, reply)
        spent.asked += 1
        spent.prompt_tokens += reply.usage.prompt_tokens or _tokens(request)
        written = reply.usage.completion_tokens
        spent.reply_tokens += written or len(reply.content) // _CHARACTERS_A_TOKEN
        value = {"text": reply.content, "finish_reason": reply.finish_reason}
        if self._journal is not None:
            self._journal.add(request.digest, value)

    def _known(self, digest: str) -> tuple[str, str] | None:
        """The text and finish reason of an answer that was kept; an empty one is none."""
        value = self._journal.latest(digest) if self._journal is not None else None
        if not isinstance(value, dict) or not isinstance(value.get("text"), str):
            return None
        text, finish_reason = value["text"], str(value.get("finish_reason") or "")
        return (text, finish_reason) if text.strip() or finish_reason == "length" else None

    def _opinion(self, number: int, place: int) -> Opinion | None:
        answer = self._known(self._digests[number, place])
        if answer is None:
            return None
        opinion = read_opinion(answer[0])
        if opinion.ruling == "undecided" and answer[1] == "length":
            return Opinion("undecided", TRUNCATED)
        return opinion


def _tokens(request: Request) -> int:
    return len(request.encoded) // _CHARACTERS_A_TOKEN
