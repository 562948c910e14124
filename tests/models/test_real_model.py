"""A real model from a package: its token ids, its template, and the same answers in both hosts."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

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


@pytest.fixture(scope="module")
def taught(url: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the model teaches about three questions at two levels."""
    folder = tmp_path_factory.mktemp("taught")
    questions = folder / "q.jsonl"
    with questions.open("w") as stream:
        for n in range(3):
            row = {"id": f"q-{n}", "dataset": "toy", "split": "train", "kind": "number"}
            row |= {"question": f"Ada has {n + 2} pens and buys 3. How many?", "gold": str(n + 5)}
            stream.write(json.dumps(row) + "\n")
    main(["teach", str(questions), "--endpoint", url, "--model", NAME, "--levels", "1,3",
          "--again", "0", "--max-tokens", "96", "--stop", "\n\nQuestion:", "-o",
          str(folder)])  # fmt: skip
    return folder


def test_it_teaches_and_what_it_did_not_do_is_counted(taught: Path) -> None:
    traces = [json.loads(line) for line in (taught / "traces.jsonl").read_text().splitlines()]
    failures = (taught / "failures.jsonl").read_text().splitlines()
    assert len(traces) + len(failures) == 6
    assert traces
    assert all(trace["rationale"].strip() for trace in traces)
    assert all(trace["provenance"]["served_model"] == NAME for trace in traces)


def test_it_learns_from_its_own_rationales_and_is_scored_like_any_student(
    taught: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COTDISTILL_DATA", str(tmp_path / "data"))
    test = tmp_path / "test.jsonl"
    test.write_text(
        json.dumps({"question": "Ada has 3 pens and buys 4. How many?", "answer": "#### 7"})
    )
    assert main(["prepare", "gsm8k", "--from", str(test), "--any-size"]) == 0
    study = {
        "name": "real",
        "students": [{"name": "smol", "model": str(real_model()), "template": "smollm2"}],
        "arms": {"own": {"file": str(taught / "traces.jsonl")}},
        "recipes": {
            "full": {
                "template": "full", "max_steps": 1, "learning_rate": 1.0e-5, "precision": "fp32",
                "global_batch": 1, "per_device_batch": 1, "cutoff_len": 256,
            }
        },
        "evaluation": {"tasks": ["cot_gsm8k"], "generation": {"max_gen_toks": 24}},
        "hardware": {"gpus": 0},
    }  # fmt: skip
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    assert main(["generate", str(tmp_path / "study.yaml"), "-o", str(tmp_path / "run")]) == 0
    assert main(["run", str(tmp_path / "run"), "--jobs", "1"]) == 0
    (samples,) = (tmp_path / "run").rglob("samples_cot_gsm8k_*.jsonl")
    (sample,) = [json.loads(line) for line in samples.read_text().splitlines()]
    assert "<|im_start|>assistant" in json.dumps(sample["arguments"])
    assert sample["resps"][0][0].strip()
