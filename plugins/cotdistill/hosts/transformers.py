"""Ask a model without a server: transformers in this process, for small models and CPUs.

Requests share a batch and nothing else: each has its own random numbers, temperature, stops and
maximum of tokens. For large models use a server or vLLM, which are many times faster.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from cotdistill.errors import Fault, FaultsError, MisuseError
from cotdistill.hosts.in_process import CHAT_EXTRA, batch_asker, refuse_unknown
from cotdistill.hosts.request import (
    Asker,
    Choice,
    Reply,
    Request,
    TokenLogprob,
    Usage,
    answer_fault,
    split_thought,
)
from cotdistill.hosts.tokenizer import load_tokenizer
from cotdistill.tables import counted

_AT_ONCE = 8
_SAMPLING_EXTRA = frozenset({"top_k", "min_p"})
_SETTINGS = frozenset({"batch_size", "device", "dtype", "revision"})


def transformers_asker(model: str, settings: Mapping[str, Any] | None = None) -> Asker:
    """Return what asks a model that transformers loads when the first request comes.

    `settings`: batch_size (8), device (cpu, or cuda where there is one), dtype (the model's own),
    revision. Of a request's `extra`, top_k, min_p and the settings of the chat template are
    honoured; anything else is refused. Texts of one seed can differ between batch sizes, because
    sums of floats do.

    Raises:
        MisuseError: transformers is not installed, or a setting or request cannot be honoured.
    """
    if importlib.util.find_spec("transformers") is None:
        raise MisuseError("transformers is not installed here; pip install 'cotdistill[eval]'")
    given = dict(settings or {})
    if unknown := sorted(given.keys() - _SETTINGS):
        raise MisuseError(
            f"transformers: no setting {', '.join(unknown)}; known: {', '.join(sorted(_SETTINGS))}"
        )
    size = given.pop("batch_size", _AT_ONCE)
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise MisuseError(f"transformers: batch_size {size!r}; expected a whole number from 1")

    return batch_asker(
        size,
        lambda batch: refuse_unknown("transformers", model, batch, _SAMPLING_EXTRA),
        lambda: _load(model, given),
        lambda loaded, batch: _replies(loaded, batch, size),
    )


@dataclass(frozen=True)
class _Loaded:
    model: Any
    tokenizer: Any
    context: int
    ends: frozenset[int]
    encodes: bool = False  # an encoder-decoder: prompt and response do not share the context


@dataclass
class _Row:
    """One text that is being written: how to sample it, and what it has so far."""

    request: Request
    prompt: list[int]
    most: int
    random: Any
    tokens: list[int] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finish: str = ""
    text: str = ""


def _load(name: str, settings: Mapping[str, Any]) -> _Loaded:
    import torch
    from transformers import (
        AutoConfig,
        AutoModelForCausalLM,
        AutoModelForSeq2SeqLM,
    )

    device = settings.get("device") or ("cuda" if torch.cuda.is_available() else "cpu")
    revision = {"revision": settings["revision"]} if "revision" in settings else {}
    tokenizer = load_tokenizer(name, padding_side="left", **revision)
    try:
        encodes = bool(AutoConfig.from_pretrained(name, **revision).is_encoder_decoder)
        kind: Any = AutoModelForSeq2SeqLM if encodes else AutoModelForCausalLM
        model: Any = kind.from_pretrained(name, dtype=settings.get("dtype", "auto"), **revision)
        model.to(device).eval()
    except Exception as error:  # the host raises its own kinds for files, settings and memory
        words = " ".join(str(error).split())[:300]
        raise FaultsError(Fault(f"transformers {name}", f"cannot be loaded ({words})")) from error
    ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    known = {end for end in (*ends, tokenizer.eos_token_id) if end is not None}
    context = getattr(model.config, "max_position_embeddings", None) or tokenizer.model_max_length
    return _Loaded(model, tokenizer, int(context), frozenset(known), encodes)


def _replies(loaded: _Loaded, batch: Sequence[Request], size: int) -> Iterator[Reply]:
    prompts = [_prompt(loaded, request) for request in batch]
    rows = [
        _row(loaded, request, prompt, sample)
        for request, prompt in zip(batch, prompts, strict=True)
        if len(prompt) < loaded.context
        for sample in range(request.n)
    ]
    for start in range(0, len(rows), size):
        _write(loaded, rows[start : start + size])
    written = iter(rows)
    for request, prompt in zip(batch, prompts, strict=True):
        if len(prompt) >= loaded.context:
            wrong = f"the prompt has {counted(len(prompt), 'token')}, the context {loaded.context}"
            yield Reply(failure=wrong)
        else:
            yield _reply(request, prompt, list(islice(written, request.n)))


def _prompt(loaded: _Loaded, request: Request) -> list[int]:
    tokenizer = loaded.tokenizer
    if not request.is_chat:
        return list(tokenizer(request.prompt)["input_ids"])
    if loaded.encodes:
        texts = [str(message["content"]) for message in request.messages]
        return list(tokenizer("\n\n".join(texts))["input_ids"])
    if tokenizer.chat_template is None and "chat_template" not in request.extra:
        raise MisuseError(f"{request.model} has no chat template; it can only continue prompts")
    extra = {name: value for name, value in request.extra.items() if name in CHAT_EXTRA}
    further = extra.pop("chat_template_kwargs", None) or {}
    options = {"add_generation_prompt": True, **extra, **further}
    if options.get("continue_final_message") and "add_generation_prompt" not in extra:
        options["add_generation_prompt"] = False
    try:
        text = tokenizer.apply_chat_template(list(request.messages), tokenize=False, **options)
    except Exception as error:  # a template raises what its author chose
        words = " ".join(str(error).split())[:300]
        raise MisuseError(f"{request.model}: its chat template refuses this: {words}") from error
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _row(loaded: _Loaded, request: Request, prompt: list[int], sample: int) -> _Row:
    import torch

    most = loaded.context - (0 if loaded.encodes else len(prompt))
    random = torch.Generator()
    if request.random_seed is None:
        random.seed()
    else:
        random.manual_seed(request.random_seed + sample)
    return _Row(request, prompt, min(most, request.max_tokens or most), random)


def _write(loaded: _Loaded, rows: list[_Row]) -> None:
    """Generate all rows at once; each token is chosen by its row's own settings."""
    import torch

    pad = loaded.tokenizer.pad_token_id
    pad = min(loaded.ends) if pad is None else pad
    width = max(len(row.prompt) for row in rows)
    ids = torch.tensor([[pad] * (width - len(row.prompt)) + row.prompt for row in rows])
    mask = torch.tensor([[0] * (width - len(r.prompt)) + [1] * len(r.prompt) for r in rows])

    def choose(_ids: Any, scores: Any) -> Any:
        chosen = torch.full_like(scores, -math.inf)
        for place, row in enumerate(rows):
            token = pad if row.finish else _next_token(loaded, row, scores[place].float().cpu())
            chosen[place, token] = 0.0
        return chosen

    def done(_ids: Any, _scores: Any, **_kept: Any) -> Any:
        return torch.tensor([bool(row.finish) for row in rows], device=loaded.model.device)

    with torch.inference_mode():
        loaded.model.generate(
            input_ids=ids.to(loaded.model.device),
            attention_mask=mask.to(loaded.model.device),
            do_sample=False,  # the choice is made above
            temperature=None,
            top_p=None,
            top_k=None,
            max_new_tokens=max(row.most for row in rows),
            pad_token_id=pad,
            eos_token_id=None,
            logits_processor=[choose],
            stopping_criteria=[done],
        )


def _next_token(loaded: _Loaded, row: _Row, scores: Any) -> int:
    """Choose a row's next token, note it, and see whether the row ends with it."""
    import torch

    temperature = 1.0 if row.request.temperature is None else row.request.temperature
    if temperature <= 0:
        token = int(scores.argmax())
    else:
        shares = _nucleus(torch.softmax(scores / temperature, dim=-1), row.request)
        token = int(torch.multinomial(shares, 1, generator=row.random))
    if token in loaded.ends:
        row.finish = "stop"
        return token
    row.tokens.append(token)
    if row.request.logprobs is not None:
        row.logprobs.append(_token_logprob(loaded, row.request.logprobs, token, scores))
    row.text = loaded.tokenizer.decode(row.tokens, skip_special_tokens=True)
    ends = [place for stop in row.request.stop if (place := row.text.find(stop)) >= 0]
    if ends:
        row.text, row.finish = row.text[: min(ends)], "stop"
    elif len(row.tokens) >= row.most:
        row.finish = "length"
    return token


def _nucleus(shares: Any, request: Request) -> Any:
    """Set to zero what top_k, top_p and min_p exclude."""
    import torch

    top_k, min_p = request.extra.get("top_k"), request.extra.get("min_p")
    if top_k and top_k > 0:
        least = torch.topk(shares, min(top_k, len(shares))).values[-1]
        shares = torch.where(shares >= least, shares, 0.0)
    if min_p:
        shares = torch.where(shares >= min_p * shares.max(), shares, 0.0)
    if request.top_p is not None and request.top_p < 1:
        ordered, places = torch.sort(shares / shares.sum(), descending=True)
        before = torch.cumsum(ordered, dim=-1) - ordered
        shares = shares.clone()
        shares[places[before >= request.top_p]] = 0.0
    return shares


def _token_logprob(loaded: _Loaded, count: int, token: int, scores: Any) -> TokenLogprob:
    import torch

    logs = torch.log_softmax(scores, dim=-1)
    best = torch.topk(logs, count)
    decode = loaded.tokenizer.decode
    top = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return TokenLogprob(
        decode([token]), float(logs[token]), tuple((decode([one]), value) for one, value in top)
    )


def _reply(request: Request, prompt: list[int], rows: Sequence[_Row]) -> Reply:
    choices = []
    for row in rows:
        content, reasoning = split_thought(row.text)
        logprobs = None if request.logprobs is None else tuple(row.logprobs)
        choices.append(Choice(content, reasoning, row.finish, logprobs))
    return Reply(
        tuple(choices),
        failure=answer_fault(choices, request),
        usage=Usage(len(prompt), sum(len(row.tokens) for row in rows)),
        model=request.model,
    )
