"""How fast `cotdistill closeness` scores tokens, next to a plain forward pass of the same model.

    python benchmarks/closeness.py [--rounds 3] [--traces 24]

A randomly initialised student of SmolLM2-135M's shape, in float32 and one thread. The plain pass is
the host's `model(input_ids, attention_mask)` on the same batches, whose logits are thrown away;
closeness reads from them the log probability and the rank of every token of a response. Both take
turns in one process, and CPU seconds are counted.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from cotdistill.closeness.engines import transformers_engine

VOCABULARY, PROMPT, RESPONSE, BATCH = 49_152, 60, 240, 4
Tokens = tuple[list[int], list[int]]


def student(folder: Path) -> None:
    """Write a student with random weights."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
        num_attention_heads=9, num_key_value_heads=3, tie_word_embeddings=True,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)


def traces(count: int) -> list[Tokens]:
    """Return prompts and responses of varying length, as token ids, the longest first."""
    chance = random.Random(0)

    def some(most: int) -> list[int]:
        return [chance.randrange(VOCABULARY) for _ in range(chance.randint(most // 2, most))]

    return sorted(((some(PROMPT), some(RESPONSE)) for _ in range(count)), key=_length)[::-1]


def _length(trace: Tokens) -> int:
    return len(trace[0]) + len(trace[1])


def plain(model: torch.nn.Module, rows: list[Tokens]) -> None:
    """Run the model on the rows, in the batches that closeness makes."""
    with torch.inference_mode():
        for start in range(0, len(rows), BATCH):
            group = rows[start : start + BATCH]
            ids = torch.zeros(len(group), max(map(_length, group)), dtype=torch.long)
            mask = torch.zeros_like(ids)
            for number, (prompt, response) in enumerate(group):
                both = torch.tensor(prompt + response)
                ids[number, : len(both)] = both
                mask[number, : len(both)] = 1
            model(input_ids=ids, attention_mask=mask)


def seconds(work: Callable[[], object]) -> float:
    """Return the CPU seconds that some work takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    """Print CPU seconds, tokens a second, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--traces", type=int, default=24)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        student(folder)
        engine = transformers_engine(str(folder), None, "float32", BATCH)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    rows = traces(options.traces)
    tokens = sum(map(_length, rows))
    pairs = []
    for number in range(options.rounds + 1):
        both = seconds(lambda: list(engine(rows))), seconds(lambda: plain(model, rows))
        if number:  # the first round warms both up
            pairs.append(both)
            print(f"closeness {tokens / both[0]:7.0f} tokens/s   plain {tokens / both[1]:7.0f}")
    ratio = statistics.median(forward / close for close, forward in pairs)
    print(f"{len(rows)} traces, {tokens:,} tokens: closeness at {ratio:.2f} x of a plain pass")


if __name__ == "__main__":
    main()
