"""Where an answer stands in a rationale, by characters and by a real tokenizer's tokens."""

from __future__ import annotations

import pytest

from cotdistill.corpus.text.answer_span import answer_span, conclusion_start, token_span
from cotdistill.corpus.text.padding import padded


@pytest.mark.parametrize(
    ("text", "answer", "conclusion"),
    [
        ("3 and 4 make 7. The answer is 7.", "7", "The answer is 7."),
        ("3 and 4 make 7.\nTherefore, the answer is 7.0.", "7.0", "Therefore, the answer is 7.0."),
        (
            "It is half. So we get $\\boxed{\\frac12}$.",
            "\\frac12",
            "So we get $\\boxed{\\frac12}$.",
        ),
        ("Ed has the red one. --> (C)", "(C)", "--> (C)"),
        ("7", "7", "7"),
    ],
)
def test_the_span_holds_the_answer_and_the_conclusion_begins_its_sentence(
    text: str, answer: str, conclusion: str
) -> None:
    span = answer_span(text)
    assert span is not None
    assert text[slice(*span)] == answer
    assert text[conclusion_start(text) :] == conclusion


def test_a_rationale_without_an_answer_has_no_span() -> None:
    assert answer_span("First we add and then we") is None
    assert conclusion_start("First we add and then we") == len("First we add and then we")


def test_the_tokens_of_a_span_are_those_that_touch_it() -> None:
    tokenizers = pytest.importorskip("tokenizers")
    words = {word: place for place, word in enumerate(["the", "answer", "is", "31", ".", "[UNK]"])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    text = "the answer is 31."
    encoded = tokenizer.encode(text)
    span = answer_span(text)
    assert span is not None
    tokens = token_span(encoded.offsets, span)
    assert tokens is not None
    assert encoded.tokens[slice(*tokens)] == ["31"]
    assert token_span(encoded.offsets, (50, 52)) is None


def test_filler_stands_before_the_conclusion_and_nowhere_else() -> None:
    text = "3 and 4 make 7. The answer is 7."
    long = padded(text, conclusion_start(text), "...", 2)
    assert long == "3 and 4 make 7.\n... ...\nThe answer is 7."
    assert padded("The answer is 7.", 0, ".", 1) == ".\nThe answer is 7."
