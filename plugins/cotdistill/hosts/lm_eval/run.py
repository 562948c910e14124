"""lm-eval's own command line, run in this process with four of its names replaced for a while.

The index reads our tasks only, requests are checked before anything is generated, every response
is kept as it comes in, and the results are checked before they are written. Nothing of lm-eval
is changed on disk, and what it parses, prints and writes is its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cotdistill.errors import MisuseError
from cotdistill.files.journal import Journal
from cotdistill.hosts.lm_eval.kept_responses import RESPONSES_KEPT
from cotdistill.hosts.lm_eval.task_files import is_kept
from cotdistill.hosts.replaced import replaced


@dataclass(frozen=True)
class EvalRequest:
    """One prompt as it will be sent: its text, its length in tokens (None: unknown), settings."""

    task: str
    prompt: str
    tokens: int | None
    settings: dict[str, Any]
    context: int | None


class Watcher(Protocol):
    """What `cotdistill eval` checks while lm-eval runs."""

    def before(self, arguments: dict[str, Any]) -> Path | None:
        """Check the parsed arguments; return where to keep responses until the run ends."""

    def requests(self, requests: Sequence[EvalRequest]) -> None:
        """Check all requests before the first is sent; raise to stop."""

    def after(self, results: dict[str, Any]) -> None:
        """Check the results before lm-eval writes them."""


def run_lm_eval(
    arguments: Sequence[str], folders: Sequence[Path], *, with_upstream: bool, watcher: Watcher
) -> None:
    """Run `lm_eval ARGUMENTS` with the tasks of our folders.

    The results of an evaluation that was resumed say under `RESPONSES_KEPT` how many responses it
    had before: its seconds are those of the others.

    Raises:
        MisuseError: lm-eval is not installed.
        SystemExit: lm-eval's own argument parser ends this way.
    """
    try:
        import lm_eval  # type: ignore[import-untyped]
    except ModuleNotFoundError as error:
        if error.name != "lm_eval":  # it is installed and something that it needs is not
            raise
        wrong = "cotdistill eval: lm-eval is not installed here"
        raise MisuseError(f"{wrong}; type: pip install 'cotdistill[eval]'") from error
    import lm_eval.__main__  # type: ignore[import-untyped]
    import lm_eval.evaluator  # type: ignore[import-untyped]
    import lm_eval.tasks  # type: ignore[import-untyped]

    real_manager, real_simple = lm_eval.tasks.TaskManager, lm_eval.simple_evaluate
    real_evaluate = lm_eval.evaluator.evaluate
    kept: list[Journal] = []
    used_again: Counter[str] = Counter()

    def manager(include_path: Any = None, **given: Any) -> Any:
        theirs = include_path if isinstance(include_path, list | tuple) else [include_path]
        given_paths = [str(path) for path in theirs if path]
        kept = any(is_kept(Path(path)) for path in given_paths)  # a run folder has its own copies
        paths = dict.fromkeys([*([] if kept else map(str, folders)), *given_paths])
        return real_manager(
            include_path=list(paths), **{**given, "include_defaults": with_upstream}
        )

    def simple(**given: Any) -> Any:
        path = watcher.before(given)
        with contextlib.ExitStack() as stack:
            if path is not None:
                kept.append(stack.enter_context(Journal(path)))
            results = real_simple(**given)
        if results is not None:
            results |= used_again
            watcher.after(results)
        return results

    def evaluate(lm: Any, *given: Any, **named: Any) -> Any:
        with _watched(lm, watcher, kept[0] if kept else None, used_again):
            return real_evaluate(lm, *given, **named)

    with (
        replaced(sys, "argv", ["lm_eval", *arguments]),
        replaced(lm_eval.tasks, "TaskManager", manager),
        replaced(lm_eval, "simple_evaluate", simple),
        replaced(lm_eval.evaluator, "evaluate", evaluate),
    ):
        lm_eval.__main__.cli_evaluate()
    for journal in kept:
        journal.remove()


def request_key(context: Any, settings: Any) -> str:
    """Return a short name for one request: its whole prompt and its generation settings.

    >>> request_key("1+1?", {"seed": None}) == request_key("1+1?", {"seed": 1})
    False
    """
    text = json.dumps([str(context), settings], sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:24]


@contextlib.contextmanager
def _watched(
    lm: Any, watcher: Watcher, journal: Journal | None, used_again: Counter[str]
) -> Iterator[None]:
    generate: Callable[..., list[str]] = lm.generate_until
    model = getattr(lm, "lm", lm)  # under --use_cache the model is inside

    def generate_watched(requests: Sequence[Any], **given: Any) -> list[str]:
        watcher.requests(_as_sent(model, requests))
        if journal is None:
            return generate(requests, **given)
        asked = 0

        def generate_rest(rest: list[Any]) -> list[str]:
            nonlocal asked
            asked = len(rest)
            return generate(rest, **given)

        responses = _resumed(requests, journal, model, generate_rest)
        if asked < len(responses):
            used_again[RESPONSES_KEPT] += len(responses) - asked
        return responses

    with replaced(lm, "generate_until", generate_watched), _without_empty_settings(lm):
        yield


@contextlib.contextmanager
def _without_empty_settings(lm: Any) -> Iterator[None]:
    """Leave out settings without a value for an encoder-decoder, whose forward refuses `seed`.

    A causal model of transformers ignores them.
    """
    if getattr(lm, "backend", None) != "seq2seq":
        yield
        return
    generate = lm._model_generate

    def generate_with_values(**given: Any) -> Any:
        return generate(**{name: value for name, value in given.items() if value is not None})

    with replaced(lm, "_model_generate", generate_with_values):
        yield


def _as_sent(model: Any, requests: Sequence[Any]) -> list[EvalRequest]:
    """Every different request once; tokens are counted where the backend itself counts them."""
    encode = getattr(model, "tok_encode", None)
    if not getattr(model, "tokenized_requests", True) or not getattr(model, "tokenizer", None):
        encode = None
    context = getattr(model, "max_length", None) if encode else None
    seen: dict[str, EvalRequest] = {}
    for request in requests:
        text, settings = _prompt_and_settings(request)
        key = request_key(text, settings)
        if key not in seen:
            tokens = len(encode(text)) if encode else None
            seen[key] = EvalRequest(request.task_name or "", text, tokens, settings, context)
    return list(seen.values())


def _resumed(
    requests: Sequence[Any],
    journal: Journal,
    model: Any,
    generate: Callable[[list[Any]], list[str]],
) -> list[str]:
    """Answer from the journal, generate the rest, and keep each new response as it comes in.

    Four requests, of which two are the same prompt sampled twice, with one response kept:

        requests   a  b  b  c          journal  b: ["first"]
        responses  -  "first"  -  -    only a, the second b, and c are generated
    """
    keys = [request_key(*_prompt_and_settings(request)) for request in requests]
    responses = [journal.take(key) for key in keys]
    rest = [number for number, response in enumerate(responses) if response is None]
    if len(rest) < len(requests):
        sys.stderr.write(f"{len(requests) - len(rest)} responses kept from before are used again\n")
    if not rest:
        return [response or "" for response in responses]
    waiting = Counter(keys[number] for number in rest)
    by_prompt = {_prompt_and_settings(requests[number])[0]: keys[number] for number in rest}
    hook = model.cache_hook

    class _Keeper:
        """Takes the place of lm-eval's response cache, and passes everything on to it."""

        def add_partial(self, kind: str, request: Any, response: Any) -> None:
            hook.add_partial(kind, request, response)
            context = str(getattr(request[0], "prompt", request[0]))
            key = request_key(context, request[1])
            # vLLM reports settings of its own making: then the prompt alone says which it was
            key = key if waiting[key] else by_prompt.get(context, key)
            if response is not None and waiting[key] > 0:
                waiting[key] -= 1
                journal.add(key, response)

    model.set_cache_hook(_Keeper())
    try:
        generated = generate([requests[number] for number in rest])
    finally:
        model.set_cache_hook(hook)
    for number, response in zip(rest, generated, strict=True):
        responses[number] = response
    return [response if response is not None else "" for response in responses]


def _prompt_and_settings(request: Any) -> tuple[str, Any]:
    prompt, settings = request.args[:2]
    return str(getattr(prompt, "prompt", prompt)), settings
