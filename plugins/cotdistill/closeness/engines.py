"""Who scores the tokens: transformers in this process, vLLM in this process, or a vLLM server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from cotdistill.errors import Fault, FaultsError, MisuseError
from cotdistill.hosts.tokenizer import load_tokenizer

Scored = tuple[list[float], list[int]]
"""The log probability and the rank of each token of a response."""
Tokens = tuple[list[int], list[int]]
"""A prompt and a response, as token ids."""
Engine = Callable[[Sequence[Tokens]], Iterator[Scored]]

_CHUNK = 256  # tokens of the head at a time: 150 MB of logits for a vocabulary of 152,000


class Student:
    """A student's tokenizer: what a question and a response are as its training sees them."""

    def __init__(self, model: str, revision: str | None = None) -> None:
        """Load the tokenizer.

        Raises:
            FaultsError: it cannot be loaded.
        """
        _refuse_missing(model)
        self.tokenizer = load_tokenizer(model, revision)

    def tokens(self, system: str, question: str, response: str) -> Tokens:
        """Return a prompt through the chat template, and the response without an end token.

        A model without a chat template gets the question and a line break.
        """
        messages = [{"role": "user", "content": question}]
        if system:
            messages.insert(0, {"role": "system", "content": system})
        if self.tokenizer.chat_template is None:
            prompt = self.tokenizer(f"{question}\n")["input_ids"]
        else:
            text = self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )
            prompt = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return list(prompt), list(self.tokenizer(response, add_special_tokens=False)["input_ids"])


def transformers_engine(model: str, revision: str | None, dtype: str, batch: int) -> Engine:
    """Return what scores by a forward pass and a chunked head; works without a GPU, in float32.

    Raises:
        FaultsError: the model cannot be loaded.
    """
    import torch
    from transformers import AutoModelForCausalLM

    from cotdistill.distill.trainer.language_model import LanguageModel

    _refuse_missing(model)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    kind = dtype if dtype != "auto" else ("float32" if device == "cpu" else "bfloat16")
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            model, revision=revision or "main", dtype=getattr(torch, kind)
        )
    except Exception as error:  # the host raises its own kinds for files, settings and memory
        raise _cannot(model, error) from error
    parts = LanguageModel.of(loaded.to(device).eval(), f"student {model}")

    def score(rows: Sequence[Tokens]) -> Iterator[Scored]:
        waiting = iter(rows)
        while group := list(islice(waiting, batch)):
            yield from _forward(parts, group, device)

    return score


def _forward(parts: Any, group: Sequence[Tokens], device: str) -> list[Scored]:
    import torch

    longest = max(len(prompt) + len(response) for prompt, response in group)
    ids = torch.zeros(len(group), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for number, (prompt, response) in enumerate(group):
        both = torch.tensor(prompt + response)
        ids[number, : len(both)] = both
        mask[number, : len(both)] = 1
    found = []
    with torch.inference_mode():
        states = parts.states(input_ids=ids.to(device), attention_mask=mask.to(device))
        for number, (prompt, response) in enumerate(group):
            start, stop = len(prompt) - 1, len(prompt) + len(response) - 1
            wanted = torch.tensor(response, device=device)
            found.append(_scores(parts, states[number, start:stop], wanted))
    return found


def _scores(parts: Any, states: Any, wanted: Any) -> Scored:
    import torch

    logprobs: list[float] = []
    ranks: list[int] = []
    for start in range(0, len(wanted), _CHUNK):
        logits = parts.logits(states[start : start + _CHUNK]).float()
        chosen = logits.gather(1, wanted[start : start + _CHUNK, None])
        logprobs += (chosen[:, 0] - torch.logsumexp(logits, -1)).tolist()
        ranks += ((logits > chosen).sum(-1) + 1).tolist()
    return logprobs, ranks


def vllm_engine(model: str, revision: str | None) -> Engine:
    """Return what scores with vLLM in this process.

    Raises:
        MisuseError: vLLM is not installed here.
        FaultsError: it cannot load the model.
    """
    from cotdistill.hosts.prompt_logprobs import engine_scores, scoring_engine

    engine = scoring_engine(model, 1, revision)
    return lambda rows: _of_prompts(rows, engine_scores(engine, [p + r for p, r in rows], 1))


def server_engine(url: str, model: str, key: str | None) -> Engine:
    """Return what asks a vLLM server."""
    from cotdistill.hosts.prompt_logprobs import server_scores

    return lambda rows: _of_prompts(
        rows, server_scores(url, model, [p + r for p, r in rows], 1, key)
    )


def _of_prompts(rows: Sequence[Tokens], answers: Iterator[Any]) -> Iterator[Scored]:
    """Yield the response's part of what vLLM says of a prompt."""
    for (prompt, response), places in zip(rows, answers, strict=True):
        logprobs, ranks = [], []
        for place, token in zip(places[len(prompt) :], response, strict=True):
            entry = (place or {}).get(token)
            if entry is None or entry[1] < 1:
                wrong = f"no log probability and rank of token {token}"
                raise FaultsError(Fault("vLLM", wrong, "prompt_logprobs with ranks"))
            logprobs.append(entry[0])
            ranks.append(entry[1])
        yield logprobs, ranks


def _refuse_missing(model: str) -> None:
    if model.startswith(("/", ".", "~")) and not (Path(model) / "config.json").is_file():
        raise FaultsError(Fault(model, "no config.json in it", "a model folder or hub id"))


def _cannot(model: str, error: Exception) -> FaultsError:
    if isinstance(error, ModuleNotFoundError):
        raise MisuseError(f"{error}; pip install 'cotdistill[eval]'") from error
    words = " ".join(str(error).split())[:300]
    return FaultsError(Fault(f"student {model}", f"cannot be loaded ({words})"))
