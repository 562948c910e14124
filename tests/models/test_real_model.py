"""A real model from a package: its token ids, its template, and the same answers in both hosts."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cotdistill.cli.main import main
from cotdistill.hosts.endpoint import Endpoint, endpoint_asker
from cotdistill.hosts.request import Asker, Request
from cotdistill.hosts.transformers import transformers_asker
from real_model import NAME, real_model, served_model

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

TEXTS = (
    "12 apples + 3", "x = 3.14159\n\tif x:", r"\frac{1}{2} \le \sqrt{2}", "naïve, 日本語, 🙂🙂",
    "  two  spaces\r\n", "1,234.50 $ and 007", "<|im_start|>user\nHi<|im_end|>\n", "don't",
)  # fmt: skip
QUESTION = ({"role": "user", "content": "What is 3+4?"},)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served_model() as found:
        yield found


def first(asker: Asker, **given: Any) -> str:
    texts: list[str] = []
    asker(iter([Request(messages=QUESTION, temperature=0, max_tokens=9, **given)]),
          lambda _, reply: texts.append(reply.content or reply.failure))  # fmt: skip
    return texts[0]


def test_token_ids_are_those_of_llama_cpp(url: str) -> None:
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(real_model())
    for text in TEXTS:
        body = json.dumps({"content": text, "add_special": False, "parse_special": True}).encode()
        request = urllib.request.Request(
            f"{url.removesuffix('/v1')}/tokenize", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            ids = json.load(response)["tokens"]
        assert tokenizer.encode(text) == ids, text
        assert tokenizer.decode(ids) == text


def test_its_template_and_special_tokens_are_those_of_a_chat_model() -> None:
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(real_model())
    prompt = tokenizer.apply_chat_template(
        list(QUESTION), tokenize=False, add_generation_prompt=True
    )
    assert prompt.endswith("<|im_start|>user\nWhat is 3+4?<|im_end|>\n<|im_start|>assistant\n")
    assert (tokenizer.eos_token, tokenizer.eos_token_id) == ("<|im_end|>", 2)
    assert tokenizer.pad_token_id is not None
    assert not (real_model() / "tokenizer.model").exists()
    assert "dequantised" in (real_model() / "README.md").read_text()


def test_transformers_and_the_server_answer_alike(url: str) -> None:
    folder = str(real_model())
    here = first(transformers_asker(folder), model=folder)
    there = first(endpoint_asker(Endpoint((url,))), model=NAME)
    assert here == there
    assert "7" in here


def test_it_teaches_a_few_questions_and_the_report_says_how_it_obeyed(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = tmp_path / "q.jsonl"
    with questions.open("w") as stream:
        for n in range(3):
            row = {"id": f"q-{n}", "dataset": "toy", "split": "train", "kind": "number"}
            row |= {"question": f"Ada has {n + 2} pens and buys 3. How many?", "gold": str(n + 5)}
            stream.write(json.dumps(row) + "\n")
    out = tmp_path / "out"
    main(["teach", str(questions), "--endpoint", url, "--model", NAME, "--levels", "1,3",
          "--again", "0", "--max-tokens", "96", "-o", str(out)])  # fmt: skip
    traces = [json.loads(line) for line in (out / "traces.jsonl").read_text().splitlines()]
    failures = (out / "failures.jsonl").read_text().splitlines()
    assert len(traces) + len(failures) == 6
    assert all(trace["rationale"].strip() for trace in traces)
    assert "samples of 3 questions" in capsys.readouterr().out
