"""The options that say which model answers, and what asks it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cotdistill.cli.tables import talk, warn
from cotdistill.errors import MisuseError

if TYPE_CHECKING:
    from cotdistill.hosts.request import Asker
    from cotdistill.teach.asking import Decoding
    from cotdistill.teach.budget import Limits, Price

USUAL_KEY = "OPENAI_API_KEY"

BatchOut = Annotated[
    str | None,
    typer.Option(
        metavar="DIALECT", help="only write request files: openai (and vLLM), mistral, anthropic"
    ),
]
BatchIn = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", help="read replies to the request files written before"),
]
OpenaiReasoning = Annotated[
    bool,
    typer.Option(
        "--openai-reasoning",
        help="for o-series, gpt-5: send max_completion_tokens and no temperature",
    ),
]


@dataclass(frozen=True, kw_only=True)
class Whom:
    """What is asked about, who answers, and where that goes."""

    questions: Annotated[
        str,
        typer.Argument(
            metavar="QUESTIONS", help="benchmark[:split], a file, or a hub dataset ORG/NAME[:split]"
        ),
    ]
    output: Annotated[Path, typer.Option("-o", "--output", help="output folder")]
    model: Annotated[
        str | None, typer.Option(help="model name at the endpoint, or a folder or hub id")
    ] = None
    study: Annotated[
        str | None, typer.Option(metavar="STUDY", help="file whose models: are known by name")
    ] = None
    endpoint: Annotated[
        list[str] | None,
        typer.Option(help="OpenAI-compatible base URL, ending in /v1; repeatable: one model"),
    ] = None
    api: Annotated[str | None, typer.Option(help="chat, or completions: for base models")] = None
    vllm: Annotated[
        str | None,
        typer.Option(
            metavar="SETTINGS", help="run vLLM in-process with these settings (YAML mapping)"
        ),
    ] = None
    transformers: Annotated[
        str | None,
        typer.Option(
            metavar="SETTINGS",
            help="run transformers in-process (YAML mapping): small models, CPUs",
        ),
    ] = None
    batch_out: BatchOut = None
    batch_in: BatchIn = None
    revision: Annotated[str | None, typer.Option(help="revision in the provenance")] = None

    @property
    def is_only_written(self) -> bool:
        """Whether requests are written down and nobody answers."""
        return self.batch_out is not None

    @property
    def is_batched(self) -> bool:
        """Whether replies come from batch files, which have a price of their own."""
        return bool(self.batch_in)


@dataclass(frozen=True, kw_only=True)
class How:
    """How a model is sampled, within which limits, and how patiently servers are asked."""

    top_p: Annotated[float | None, typer.Option(min=0, max=1, help="nucleus sampling")] = None
    stop: Annotated[list[str] | None, typer.Option(help="text that ends a reply; repeatable")] = (
        None
    )
    grow_max_tokens: Annotated[
        int, typer.Option(min=0, help="ask truncated ones again with twice the tokens, N times")
    ] = 0
    thinking: Annotated[
        bool | None, typer.Option("--thinking/--no-thinking", help="for hybrid models")
    ] = None
    openai_reasoning: OpenaiReasoning = False
    seed: Annotated[int | None, typer.Option(help="another seed gives other samples")] = None
    extra: Annotated[
        str | None,
        typer.Option(help="more keys of the request's body (YAML mapping), e.g. '{top_k: 20}'"),
    ] = None
    sandbox: Annotated[
        str, typer.Option(help="where programs run: auto, bubblewrap, landlock, plain")
    ] = "auto"
    limit: Annotated[int | None, typer.Option(min=1, help="only the first N questions")] = None
    draw: Annotated[
        int | None, typer.Option(min=1, help="only N questions, drawn at random by their words")
    ] = None
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="do part I of N; run without it at the end")
    ] = None
    price: Annotated[
        str | None,
        typer.Option(
            help="money per million tokens, '{input: 0.4, output: 0.9, cached: 0.1}'; "
            "batch: 0.5 is half of it through batch files"
        ),
    ] = None
    pilot: Annotated[
        int | None, typer.Option(min=2, help="ask N questions only and estimate the whole")
    ] = None
    budget: Annotated[
        float | None,
        typer.Option(min=0, help="most money for the output folder, all runs together"),
    ] = None
    budget_tokens: Annotated[
        int | None,
        typer.Option(min=0, help="most tokens for the output folder, all runs together"),
    ] = None
    budget_requests: Annotated[
        int | None, typer.Option(min=0, help="most requests to send in this run")
    ] = None
    any_model: Annotated[
        bool, typer.Option("--any-model", help="accept a server that calls its model otherwise")
    ] = False
    allow_missing: Annotated[
        float, typer.Option(min=0, max=1, help="share of samples that may be missing for exit 0")
    ] = 0.0
    concurrency: Annotated[
        int | None,
        typer.Option(min=1, max=4096, help="concurrent requests per endpoint [default: adapts]"),
    ] = None
    timeout: Annotated[float, typer.Option(min=1, help="seconds per request")] = 600
    patience: Annotated[
        float, typer.Option(min=1, help="give a silent server up after seconds")
    ] = 600
    stream: Annotated[
        str, typer.Option(help="on, off, or auto: only for more than 8,192 tokens a reply")
    ] = "auto"
    key_env: Annotated[
        str | None,
        typer.Option(help="environment variable with the API key [default: OPENAI_API_KEY]"),
    ] = None

    def limits(self) -> Limits:
        """Return what may be spent."""
        from cotdistill.teach.budget import Limits

        return Limits(self.budget, self.budget_tokens, self.budget_requests)

    def decoding(
        self, model: Model, temperature: float | None, max_tokens: int, otherwise: float
    ) -> Decoding:
        """Return how a model is sampled; `otherwise` is the temperature where none was given.

        Raises:
            MisuseError: options exclude each other, or the model takes none of them.
        """
        from cotdistill.teach.asking import Decoding

        if temperature is None and not model.openai_reasoning:
            temperature = otherwise
        return Decoding(
            model.name,
            temperature=temperature,
            top_p=self.top_p,
            stop=tuple(self.stop or ()),
            max_tokens=max_tokens,
            seed=self.seed,
            thinking=self.thinking,
            extra=mapping_of(self.extra, "--extra"),
            api=model.api,
            openai_reasoning=model.openai_reasoning,
        )


@dataclass(frozen=True)
class Model:
    """The model that answers: its name there, what asks it, and what is known of it."""

    name: str
    api: Literal["chat", "completions"]
    asker: Asker
    revision: str | None
    price: Price | None
    any_model: bool = False
    openai_reasoning: bool = False


def model_of(verb: str, whom: Whom, how: How, name: str | None = None) -> Model:
    """Return the model that was typed, or is called `name` in a study or the catalogue.

    Raises:
        MisuseError: none is named, or there is no such name, or an option has no such value.
    """
    from cotdistill.studies.asked_model import AskedModel, model_called, model_of_study

    known, is_named = AskedModel(whom.model or ""), True
    if whom.model is None and name is None:
        raise MisuseError(f"cotdistill {verb}: name who answers, with --model")
    if whom.model is None:
        known = model_called(str(name), whom.study)
    elif whom.study is not None:
        known = model_of_study(whom.model, whom.study)
    else:
        is_named = False
    api: Any = whom.api or known.api
    if api not in ("chat", "completions"):
        raise MisuseError(f"--api: '{whom.api}'; expected chat or completions")
    typed = (whom.endpoint, whom.vllm, whom.transformers, whom.batch_out, whom.batch_in)
    vllm, transformers = whom.vllm, whom.transformers
    endpoint = whom.endpoint
    if is_named and not any(way is not None for way in typed):
        endpoint = list(known.endpoints) or None
        if endpoint is None:
            vllm, transformers = _in_this_process(known.model)
    backend = Backend(
        verb,
        known.model,
        endpoint,
        vllm,
        how.key_env or known.key_env or USUAL_KEY,
        how.concurrency,
        how.timeout,
        how.patience,
        how.stream,
        transformers=transformers,
        batch_out=whom.batch_out,
        batch_in=whom.batch_in,
        batch_folder=whom.output / "batch",
    )
    price = price_of(how.price) or known.price
    return Model(
        known.model,
        api,
        backend.asker(),
        whom.revision or known.revision,
        price,
        any_model=how.any_model or known.any_model,
        openai_reasoning=how.openai_reasoning or known.openai_reasoning,
    )


def key_in(variable: str) -> str | None:
    """Return the key in an environment variable; the usual one may be missing.

    Raises:
        MisuseError: another one was named, and is not set or empty.
    """
    key = os.environ.get(variable)
    if not key and variable != USUAL_KEY:
        raise MisuseError(
            f"no key in the environment variable {variable}, which was named for it; "
            f"type: export {variable}=KEY"
        )
    return key


def _in_this_process(model: str) -> tuple[str | None, str | None]:
    """Return the settings of vLLM, or where that is not installed those of transformers."""
    import importlib.util

    has_vllm = importlib.util.find_spec("vllm") is not None
    talk(f"{model} is asked in this process, with {'vLLM' if has_vllm else 'transformers'}")
    return ("{}", None) if has_vllm else (None, "{}")


@dataclass(frozen=True)
class Backend:
    """What was typed about a model and where it answers; `verb` and `prefix` word the faults."""

    verb: str
    model: str
    endpoint: list[str] | None
    vllm: str | None
    key_env: str
    concurrency: int | None = None
    timeout: float = 600.0
    patience: float = 600.0
    stream: str = "auto"
    prefix: str = "--"
    transformers: str | None = None
    batch_out: str | None = None
    batch_in: list[Path] | None = None
    batch_folder: Path | None = None

    def asker(self) -> Asker:
        """Return what asks it.

        Raises:
            MisuseError: no backend is named, or two are, or an option has no such value.
        """
        from cotdistill.hosts.endpoint import Endpoint, endpoint_asker
        from cotdistill.hosts.transformers import transformers_asker
        from cotdistill.hosts.vllm import vllm_asker

        batches = (self.batch_out, self.batch_in or None)
        ways = (self.endpoint or None, self.vllm, self.transformers, *batches)
        if sum(way is not None for way in ways) != 1:
            raise MisuseError(
                f"cotdistill {self.verb}: name who answers, with either {self.prefix}endpoint URL "
                f"or {self.prefix}vllm SETTINGS (or transformers; docs/how-to/backends.md)"
            )
        if self.batch_folder is not None and any(batches):
            return self._batch(self.batch_folder)
        if self.endpoint:
            streams = {"auto": None, "on": True, "off": False}
            if self.stream not in streams:
                raise MisuseError(f"--stream: '{self.stream}'; expected auto, on or off")
            endpoint = Endpoint(
                tuple(self.endpoint),
                key_in(self.key_env),
                self.concurrency,
                self.timeout,
                patience=self.patience,
                stream=streams[self.stream],
            )
            return endpoint_asker(endpoint, tell=warn)
        if self.transformers is not None:
            settings = mapping_of(self.transformers, f"{self.prefix}transformers")
            return transformers_asker(self.model, settings)
        return vllm_asker(self.model, mapping_of(self.vllm, f"{self.prefix}vllm"))

    def _batch(self, folder: Path) -> Asker:
        from cotdistill.hosts.batch_files import batch_reader, batch_writer

        if self.batch_in:
            return batch_reader(self.batch_in, folder, warn)
        dialect: Any = self.batch_out
        return batch_writer(folder, dialect, warn)


def mapping_of(text: str | None, option: str) -> dict[str, Any]:
    """Return a YAML mapping that was typed, empty without one.

    Raises:
        MisuseError: it is no mapping.
    """
    from cotdistill.files.yamls import parse_yaml

    found = parse_yaml(text or "{}", option)
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise MisuseError(f"{option} takes a mapping, as '{{dtype: float32}}'")
    if glued := [name for name, value in found.items() if value is None and ":" in name]:
        name, _, value = glued[0].partition(":")
        raise MisuseError(f"{option}: '{glued[0]}' is no key; write {name}: {value}, with a space")
    return found


def known_tier(tier: str) -> Any:
    """Return the sandbox that was typed with --sandbox, whether programs run or not.

    Raises:
        MisuseError: there is no such sandbox.
    """
    from cotdistill.hosts.sandbox.execution import TIERS

    if tier not in ("auto", *TIERS):
        raise MisuseError(f"--sandbox: no sandbox '{tier}'; known: auto, {', '.join(TIERS)}")
    return tier


def price_of(text: str | None, option: str = "--price") -> Price | None:
    """Return the price that was typed, None without one."""
    from cotdistill.teach.budget import Price

    return None if text is None else Price.of(mapping_of(text, option), option)


def shard_of(text: str | None) -> tuple[int, int] | None:
    """Return the shard that was typed as I/N, None without one.

    Raises:
        MisuseError: it is none.

    >>> shard_of("2/8"), shard_of(None)
    ((2, 8), None)
    """
    if text is None:
        return None
    number, slash, count = text.partition("/")
    if not slash or not (number + count).isdecimal() or not 1 <= int(number) <= int(count) <= 9999:
        raise MisuseError(f"--shard: '{text}' is none; expected I/N with I from 1 to N, as 2/8")
    return int(number), int(count)


def output_folder(path: Path) -> Path:
    """Return a folder to write to.

    Raises:
        MisuseError: it is a file.
    """
    if path.exists() and not path.is_dir():
        raise MisuseError(f"{path} is a file; -o names a folder")
    return path
