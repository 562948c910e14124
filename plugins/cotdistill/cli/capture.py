"""`capture`: store a teacher's next-token distributions for the rows of a training file."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from cotdistill.errors import MisuseError


@dataclass(frozen=True, kw_only=True)
class CaptureArguments:
    """The rows to score, who scores them, and what is kept."""

    file: Annotated[Path, typer.Argument(help="training file whose rows are scored")]
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="folder [default: kd.teacher.signals]")
    ] = None
    teacher: Annotated[
        str | None, typer.Option(help="model folder or hub id [default: kd.teacher.model]")
    ] = None
    engine: Annotated[str, typer.Option(help="transformers, or vllm in this process")] = (
        "transformers"
    )
    endpoint: Annotated[
        str | None, typer.Option(help="a vLLM server to ask, as http://127.0.0.1:8000/v1")
    ] = None
    key_env: Annotated[
        str | None, typer.Option(help="environment variable with the server's key")
    ] = None
    top_k: Annotated[int, typer.Option(min=1, help="tokens kept for each place")] = 32
    temperature: Annotated[
        list[float] | None,
        typer.Option(min=0.01, help="to train with later; repeatable [default: kd.temperature]"),
    ] = None
    batch_size: Annotated[int, typer.Option(min=1, help="rows that are scored at once")] = 8
    part_tokens: Annotated[
        int, typer.Option(min=1, help="tokens of a shard, which a kill costs at most")
    ] = 200_000
    compare: Annotated[
        bool, typer.Option(help="score one percent of the rows with transformers too")
    ] = True


def capture(arguments: CaptureArguments) -> None:
    """Store a teacher's next-token distributions for exactly the tokens that a training sees.

    Training from them (kd.teacher.signals) needs no teacher in memory. A capture that was
    interrupted resumes after its last shard; it serves every student with the tokenizer.

    Example:
        cotdistill capture train.yaml --teacher some/model -o signals/model
    """
    from cotdistill.distill.capture import mass_table
    from cotdistill.distill.launch_capture import CaptureOptions, run_capture

    if arguments.engine not in ("transformers", "vllm"):
        raise MisuseError(
            f"cotdistill capture: --engine {arguments.engine}; expected transformers or vllm"
        )
    options = CaptureOptions(
        arguments.file, arguments.output, arguments.teacher, arguments.endpoint, arguments.key_env,
        arguments.engine, arguments.top_k, tuple(arguments.temperature or ()),
        arguments.batch_size, arguments.compare, arguments.part_tokens,
    )  # fmt: skip
    folder, manifest = run_capture(options)
    write = sys.stdout.write
    write(f"{folder}: {manifest.rows:,} rows, {manifest.tokens:,} tokens, ")
    write(f"{manifest.bytes_per_token:g} bytes a token at k = {manifest.job.top_k}\n")
    write("   k  bytes a token  mass kept  worst 5 %\n")
    for k, size, mean, worst in mass_table(folder, manifest):
        write(f"{k:>4}  {size:>13.1f}  {mean:>9.4f}  {worst:>9.4f}\n")
    if manifest.comparison is not None:
        found = manifest.comparison
        write(
            f"against {found.reference}, {found.tokens:,} tokens: log probabilities differ by "
            f"{found.mean_difference:.4f} nats on average, {found.largest_difference:.4f} at most; "
            f"the likeliest token is the same for {found.same_likeliest:.1%}\n"
        )
