"""The options that say which model answers, and what asks it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cotdistill.cli.tables import warn
from cotdistill.errors import MisuseError

if TYPE_CHECKING:
    from cotdistill.hosts.request import Asker
    from cotdistill.teach.budget import Price

Endpoints = Annotated[
    list[str] | None,
    typer.Option(
        "--endpoint", help="OpenAI-compatible base URL, ending in /v1; repeatable: one model"
    ),
]
Vllm = Annotated[
    str | None,
    typer.Option(metavar="SETTINGS", help="run vLLM in-process with these settings (YAML mapping)"),
]
Transformers = Annotated[
    str | None,
    typer.Option(
        metavar="SETTINGS", help="run transformers in-process (YAML mapping): small models, CPUs"
    ),
]
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
KeyEnv = Annotated[str, typer.Option(help="environment variable with the API key")]
Concurrency = Annotated[
    int | None, typer.Option(min=1, help="concurrent requests per endpoint [default: adapts]")
]
Timeout = Annotated[float, typer.Option(min=1, help="seconds per request")]
Patience = Annotated[float, typer.Option(min=1, help="give a silent server up after seconds")]
Stream = Annotated[
    str, typer.Option(help="on, off, or auto: only for more than 8,192 tokens a reply")
]
PriceOption = Annotated[
    str | None,
    typer.Option(help="money per million tokens, '{input: 0.4, output: 0.9, cached: 0.1}'"),
]
Extra = Annotated[
    str | None,
    typer.Option(help="more keys of the request's body (YAML mapping), e.g. '{top_k: 20}'"),
]
Shard = Annotated[
    str | None, typer.Option(metavar="I/N", help="do part I of N; run without it at the end")
]


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
                os.environ.get(self.key_env),
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
    return found


def price_of(text: str | None) -> Price | None:
    """Return the price that was typed, None without one."""
    from cotdistill.teach.budget import Price

    return None if text is None else Price.of(mapping_of(text, "--price"))


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
