"""Randomly initialised students: reproducible bytes, every text encodable, equal prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cotdistill.errors import DataError, FaultsError
from cotdistill.models.scratch import SCRATCH_TEMPLATE, SMALLEST_VOCABULARY, Scratch
from cotdistill.schema import read_shape

TEXTS = ["Start at 0. Add 3, 4.\n3 =3\n4 =7\nThe answer is 7.", "Add 5, 9. The answer is 4."] * 20
TINY = Scratch(hidden_size=16, layers=1, heads=2, intermediate_size=32, context=64)


@pytest.fixture
def student(tmp_path: Path) -> Path:
    pytest.importorskip("transformers")
    return built(tmp_path / "student")


def built(folder: Path, scratch: Scratch = TINY, texts: list[str] = TEXTS) -> Path:
    from cotdistill.models.scratch_model import build_student

    build_student(scratch, texts, folder)
    return folder


def tokenizer_of(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)  # type: ignore[no-untyped-call]


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_same_text_and_seed_give_the_same_bytes(student: Path, tmp_path: Path) -> None:
    import torch

    torch.manual_seed(99)
    assert bytes_of(built(tmp_path / "again")) == bytes_of(student)


def test_another_seed_gives_other_weights_only(student: Path, tmp_path: Path) -> None:
    other = bytes_of(built(tmp_path / "other", TINY.model_copy(update={"seed": 1})))
    differing = [name for name, content in bytes_of(student).items() if other[name] != content]
    assert differing == ["model.safetensors"]


def test_building_leaves_the_random_numbers_of_others_alone(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    built(tmp_path / "student")
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("text", ["ß → 𝄞\t\x00", "unseen wörds 12345\n\n", "  two  blanks ", "7"])
def test_every_text_survives_the_tokenizer(student: Path, text: str) -> None:
    tokenizer = tokenizer_of(student)
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_a_digit_and_the_blank_or_sign_before_it_are_one_token(student: Path) -> None:
    tokenizer = tokenizer_of(student)
    assert tokenizer.tokenize("4 =7\n3") == ["4", "Ġ=7", "Ċ3"]
    assert tokenizer.tokenize("39") == ["3", "9"]


def test_plain_bytes_are_the_smallest_vocabulary(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    small = TINY.model_copy(update={"vocab_size": SMALLEST_VOCABULARY})
    tokenizer = tokenizer_of(built(tmp_path / "bytes", small))
    assert len(tokenizer) == SMALLEST_VOCABULARY
    assert len(tokenizer("The answer")["input_ids"]) == len("The answer")


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_both_architectures_load_and_stop_at_the_end_of_a_turn(
    tmp_path: Path, architecture: str
) -> None:
    transformers = pytest.importorskip("transformers")
    folder = built(tmp_path / "student", read_shape(Scratch, {"architecture": architecture}, "s"))
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = tokenizer_of(folder)
    assert model.config.model_type == architecture
    assert model.config.vocab_size == len(tokenizer)
    assert tokenizer.eos_token == "<|im_end|>"
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert model.get_input_embeddings().weight.std().item() == pytest.approx(128**-0.5, rel=0.05)


def test_a_folder_is_replaced_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    (tmp_path / "student").mkdir()
    (tmp_path / "student" / "old").write_text("old")
    built(tmp_path / "student")
    assert [path.name for path in tmp_path.iterdir()] == ["student"]
    assert not (tmp_path / "student" / "old").exists()


def test_without_text_nothing_is_written(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    with pytest.raises(DataError, match="no text to train the tokenizer on"):
        built(tmp_path / "student", texts=[])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"hidden_sise": 64}, "unknown key 'hidden_sise'; did you mean 'hidden_size'?"),
        ({"hidden_size": 100, "heads": 8}, "hidden_size 100 .* 8 heads .* a multiple of 16"),
        ({"vocab_size": 100}, "vocab_size: 100"),
        ({"architecture": "gpt2"}, "architecture: 'gpt2'; expected 'llama' or 'qwen2'"),
        ({"layers": 0}, "layers: 0"),
    ],
)
def test_a_shape_that_cannot_be_built_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(FaultsError, match=says):
        read_shape(Scratch, given, "study.yaml")


@pytest.mark.host
def test_llama_factory_trains_on_the_bytes_that_the_chat_template_writes(student: Path) -> None:
    data = pytest.importorskip("llamafactory.data.template")
    arguments = pytest.importorskip("llamafactory.hparams").DataArguments(template=SCRATCH_TEMPLATE)
    tokenizer = tokenizer_of(student)
    turns = [{"role": "user", "content": "Add 3, 4."}, {"role": "assistant", "content": "7"}]
    ours = tokenizer.apply_chat_template(turns[:1], add_generation_prompt=True)
    whole = tokenizer.apply_chat_template(turns, tokenize=False)
    template = data.get_template_and_fix_tokenizer(tokenizer, arguments)
    prompt, answer = template.encode_oneturn(tokenizer, turns)
    assert prompt == ours
    assert tokenizer.decode(prompt + answer) == whole
    assert tokenizer.eos_token_id in answer
    assert tokenizer.apply_chat_template(turns, tokenize=False) == whole
    assert len(tokenizer) == len(tokenizer_of(student))


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_the_weights_are_those_that_transformers_expects(tmp_path: Path, architecture: str) -> None:
    transformers = pytest.importorskip("transformers")
    scratch = TINY.model_copy(update={"architecture": architecture})
    folder = built(tmp_path / "student", scratch)
    model, loading = transformers.AutoModelForCausalLM.from_pretrained(
        folder, output_loading_info=True
    )
    assert not any(loading.values()), loading
    transformers.set_seed(0)
    fresh = transformers.AutoModelForCausalLM.from_config(model.config)
    for (name, ours), (_, theirs) in zip(
        model.named_parameters(), fresh.named_parameters(), strict=True
    ):
        assert ours.std(unbiased=False).item() == pytest.approx(
            theirs.std(unbiased=False).item(), rel=0.25
        ), name
        assert ours.mean().item() == pytest.approx(theirs.mean().item(), abs=0.05), name
