"""CPU time and peak memory of merging three models of 215 M parameters, next to mergekit.

    python benchmarks/merge/measure.py [--mergekit ENVIRONMENT] [--rounds 2]

Random bfloat16 weights of a Qwen2 shape. Each merge is a process with one thread; the two tools
take turns. Memory is the largest resident size of the process that merges.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

from cotdistill.models.merge.methods import BLOCK
from cotdistill.models.merge.weights import Shard, ShardWriter

HIDDEN, INNER, KEY, LAYERS, VOCABULARY = 896, 4864, 128, 10, 65536
METHODS = ("linear", "dare_ties", "ties")


def shapes() -> dict[str, tuple[int, ...]]:
    """Return the tensors of the model by name."""
    found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (VOCABULARY, HIDDEN)}
    for layer in range(LAYERS):
        at = f"model.layers.{layer}"
        for part, rows in (("q", HIDDEN), ("k", KEY), ("v", KEY)):
            found[f"{at}.self_attn.{part}_proj.weight"] = (rows, HIDDEN)
            found[f"{at}.self_attn.{part}_proj.bias"] = (rows,)
        found[f"{at}.self_attn.o_proj.weight"] = (HIDDEN, HIDDEN)
        found[f"{at}.mlp.gate_proj.weight"] = (INNER, HIDDEN)
        found[f"{at}.mlp.up_proj.weight"] = (INNER, HIDDEN)
        found[f"{at}.mlp.down_proj.weight"] = (HIDDEN, INNER)
        found[f"{at}.input_layernorm.weight"] = (HIDDEN,)
        found[f"{at}.post_attention_layernorm.weight"] = (HIDDEN,)
    return found | {"model.norm.weight": (HIDDEN,)}


def make(folder: Path, seed: int) -> int:
    """Write a model and return how many parameters it has."""
    folder.mkdir()
    generator = np.random.default_rng(seed)
    tensors = tuple((name, "BF16", shape) for name, shape in shapes().items())
    writer = ShardWriter(folder, Shard("model.safetensors", tensors))
    total = 0
    for name, _, shape in tensors:
        numbers = int(np.prod(shape))
        total += numbers
        for start in range(0, numbers, BLOCK):
            count = min(BLOCK, numbers - start)
            writer.write(name, start, generator.standard_normal(count, np.float32) * 0.02)
    writer.close()
    config = {
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_size": HIDDEN,
        "intermediate_size": INNER, "num_hidden_layers": LAYERS, "num_attention_heads": 14,
        "num_key_value_heads": 2, "vocab_size": VOCABULARY, "rope_theta": 1000000.0,
        "rms_norm_eps": 1e-6, "hidden_act": "silu", "tie_word_embeddings": True,
        "max_position_embeddings": 32768, "torch_dtype": "bfloat16",
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "vocab.json").write_text('{"a": 0}', encoding="utf-8")
    return total


def measured(command: list[str]) -> tuple[float, float]:
    """Run a command; return its CPU seconds and its peak in GiB."""
    silent = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)]
    process = os.posix_spawn(command[0], command, os.environ, file_actions=silent)
    _, status, usage = os.wait4(process, 0)
    if status:
        sys.exit(f"{command}: status {status}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mergekit", type=Path, default=Path(".venv-bench/merge"))
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    program = given.mergekit.absolute() / "bin" / "mergekit-yaml"
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        sizes = [make(folder / name, seed) for seed, name in enumerate(("base", "one", "two"))]
        print(f"3 x {sizes[0] / 1e6:.0f} M parameters, bfloat16; load {os.getloadavg()[0]:.1f}")
        print(f"{'method':<10} {'engine':<9} {'CPU s':>7} {'GiB':>6}")
        for method in METHODS * given.rounds:
            for engine in ("native", "mergekit"):
                if engine == "mergekit" and not program.is_file():
                    continue
                command = command_of(folder, method, program if engine == "mergekit" else None)
                seconds, peak = measured(command)
                print(f"{method:<10} {engine:<9} {seconds:>7.1f} {peak:>6.2f}", flush=True)
                shutil.rmtree(folder / "out")


def command_of(folder: Path, method: str, program: Path | None) -> list[str]:
    """Write the description of a merge and return the command that does it."""
    parts = {"weight": 0.5} | ({} if method == "linear" else {"density": 0.5})
    file, out = folder / "merge.yaml", str(folder / "out")
    has_base = method != "linear"
    if program is None:
        ours = {"merge": method, "models": {"one": parts, "two": parts}, "normalize": True}
        file.write_text(json.dumps(ours | ({"base": "base"} if has_base else {})))
        return [sys.executable, "-P", "-m", "cotdistill", "merge", str(file), "-o", out]
    theirs = {
        "merge_method": method, "dtype": "bfloat16", "parameters": {"normalize": True},
        "models": [{"model": str(folder / name), "parameters": parts} for name in ("one", "two")],
    }  # fmt: skip
    file.write_text(json.dumps(theirs | ({"base_model": str(folder / "base")} if has_base else {})))
    return [str(program), str(file), out, "--quiet", "--no-write-model-card",
            "--no-copy-tokenizer", "--random-seed", "1"]  # fmt: skip


if __name__ == "__main__":
    main()
