"""Put together what a capture needs: the host's rows, a teacher, and what scores them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotdistill.distill.capture import Capture, Engine, capture
from cotdistill.distill.model_check import damaged_files, teacher_faults
from cotdistill.distill.settings import Teacher
from cotdistill.distill.signals.manifest import Manifest
from cotdistill.distill.train_file import read_arguments
from cotdistill.errors import Fault, FaultsError, MisuseError
from cotdistill.files.inputs import refuse_overwriting

MOST_OVER_HTTP = 64
"""A server answers about 80 bytes for each of k tokens at each place."""


@dataclass(frozen=True)
class CaptureOptions:
    """What the command line says; None leaves it to the training file's `kd:` block."""

    file: Path
    output: Path | None = None
    teacher: str | None = None
    endpoint: str | None = None
    key_variable: str | None = None
    engine: str = "transformers"
    top_k: int = 32
    temperatures: tuple[float, ...] = ()
    batch: int = 8
    compare: bool = True
    tokens_of_part: int = 200_000


def run_capture(options: CaptureOptions) -> tuple[Path, Manifest]:
    """Capture the signals of a training file's rows; return their folder and what is in it.

    Raises:
        FaultsError: file, teacher or folder have faults.
        MisuseError: options contradict each other.
    """
    arguments, block = read_arguments(options.file)
    source = block.source if block is not None and block.teacher is not None else None
    teacher = _teacher(options, source)
    output = options.output or (Path(source.signals) if source and source.signals else None)
    if output is None:
        raise MisuseError("cotdistill capture: no folder; -o DIR, or teacher: {signals: DIR}")
    _refuse_input_as_output(options.file, arguments, teacher, output)
    models = (arguments.get("model_name_or_path"), teacher.model)
    if faults := damaged_files(*(str(model) for model in models if model)):
        raise FaultsError(faults)
    temperatures = options.temperatures or (block.temperature if block is not None else 1.0,)
    engine = options.endpoint or options.engine
    if engine != "transformers" and set(temperatures) != {1.0}:
        raise MisuseError(
            "cotdistill capture: vLLM answers with k tokens, and a temperature other than 1 needs "
            "all of them; use --engine transformers"
        )
    if options.endpoint and options.top_k > MOST_OVER_HTTP:
        raise MisuseError(
            f"cotdistill capture: --top-k {options.top_k} over HTTP; expected at most "
            f"{MOST_OVER_HTTP}; use --engine vllm for more"
        )
    wanted = Capture(
        arguments, teacher, output, engine, options.top_k, temperatures, options.batch,
        options.compare, options.tokens_of_part,
    )  # fmt: skip
    return output, _with_rows(options, wanted)


def _refuse_input_as_output(
    file: Path, arguments: Mapping[str, Any], teacher: Teacher, output: Path
) -> None:
    folders = [arguments.get("model_name_or_path"), teacher.model, arguments.get("dataset_dir")]
    read = [
        path
        for name in folders
        if isinstance(name, str) and Path(name).is_dir()
        for path in sorted(Path(name).iterdir())
        if path.is_file()
    ]
    refuse_overwriting([file, *read], [output, output / "manifest.json"])
    if output.exists() and not output.is_dir():
        raise MisuseError(f"{output}: is a file; expected a folder, or a name for a new one")


def _teacher(options: CaptureOptions, source: Teacher | None) -> Teacher:
    name = options.teacher or (source.model if source else None)
    if not name:
        raise MisuseError("cotdistill capture: no teacher; --teacher MODEL, or kd.teacher.model")
    if source is not None and name == source.model:
        return source.model_copy(update={"signals": None})
    return Teacher(model=name)


def _with_rows(options: CaptureOptions, wanted: Capture) -> Manifest:
    from cotdistill.distill.trainer.host_rows import host_rows

    try:
        found = host_rows(wanted.arguments)
    except FaultsError:
        raise
    except Exception as error:  # whatever the host raises about a training file is the finding
        wrong = f"LLaMA-Factory refuses it ({type(error).__name__}: {' '.join(str(error).split())})"
        raise FaultsError(Fault(str(options.file), wrong)) from error
    local = not options.endpoint
    if local or options.compare:
        faults = teacher_faults(
            wanted.teacher, found.tokenizer, found.model_arguments, wanted.arguments,
            f"{options.file}: teacher",
        )  # fmt: skip
        if faults:
            raise FaultsError(faults)

    def reference() -> Engine:
        return _transformers(wanted, found)

    engines: dict[str, Callable[[], Engine]] = {
        "transformers": reference,
        "vllm": lambda: _vllm(wanted, len(found.tokenizer)),
    }
    engine = engines.get(wanted.engine, lambda: _server(options, wanted, len(found.tokenizer)))
    compared = None if wanted.engine == "transformers" else reference
    return capture(wanted, found.rows, found.tokenizer, engine, compared)


def _transformers(wanted: Capture, found: Any) -> Engine:
    from cotdistill.distill.trainer.capture_engine import TransformersEngine
    from cotdistill.distill.trainer.teacher import load_teacher

    model, size = load_teacher(wanted.teacher, found.model_arguments)
    vocabulary = min(len(found.tokenizer), size, model.get_output_embeddings().out_features)
    return TransformersEngine(model, vocabulary, wanted.top_k, wanted.temperatures)


def _vllm(wanted: Capture, vocabulary: int) -> Engine:
    from cotdistill.distill.signals.from_scores import ScoreEngine
    from cotdistill.hosts.prompt_logprobs import engine_scores, scoring_engine

    model = str(wanted.teacher.model)
    engine = scoring_engine(model, wanted.top_k, wanted.teacher.revision)
    return ScoreEngine(
        model,
        wanted.top_k,
        vocabulary,
        lambda prompts: engine_scores(engine, prompts, wanted.top_k),
    )


def _server(options: CaptureOptions, wanted: Capture, vocabulary: int) -> Engine:
    import os

    from cotdistill.distill.signals.from_scores import ScoreEngine
    from cotdistill.hosts.prompt_logprobs import server_scores

    url, model = str(options.endpoint), str(wanted.teacher.model)
    key = os.environ.get(options.key_variable or "")
    return ScoreEngine(
        url, wanted.top_k, vocabulary,
        lambda prompts: server_scores(url, model, prompts, wanted.top_k, key),
    )  # fmt: skip
