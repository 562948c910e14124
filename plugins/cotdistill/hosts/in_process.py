"""What models in this process have in common: requests in batches, and nothing dropped silently."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from cotdistill.errors import MisuseError
from cotdistill.hosts.request import Asker, Reply, Request, Take

CHAT_EXTRA = frozenset(
    {"add_generation_prompt", "chat_template", "chat_template_kwargs", "continue_final_message"}
)
"""Keys of a request that set its chat template; prompts have none."""

Loaded = TypeVar("Loaded")


def batch_asker(
    size: int,
    refuse: Callable[[Sequence[Request]], None],
    load: Callable[[], Loaded],
    replies: Callable[[Loaded, Sequence[Request]], Iterable[Reply]],
) -> Asker:
    """Return what asks `size` requests at once of a model that is loaded when the first come."""

    def ask(requests: Iterator[Request], take: Take) -> None:
        loaded: Loaded | None = None
        while batch := list(islice(requests, size)):
            refuse(batch)
            if loaded is None:
                loaded = load()
            for request, reply in zip(batch, replies(loaded, batch), strict=True):
                take(request, reply)

    return ask


def refuse_unknown(
    backend: str, model: str, batch: Sequence[Request], known: Collection[str]
) -> None:
    """Refuse requests for another model, or with keys besides those that a backend honours.

    Raises:
        MisuseError: names all of them.
    """
    wrong: dict[str, None] = {}
    for request in batch:
        if request.model != model:
            wrong[f"model '{request.model}' (it holds '{model}')"] = None
        chat = CHAT_EXTRA if request.is_chat else frozenset()
        unknown = (name for name in request.extra if name not in known and name not in chat)
        wrong |= dict.fromkeys(f"'{name}'" for name in unknown)
        if request.max_tokens is not None and request.max_tokens < 1:
            wrong[f"max_tokens {request.max_tokens}"] = None
    if wrong:
        raise MisuseError(f"{backend} cannot honour {', '.join(wrong)}; use a server")
