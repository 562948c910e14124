"""Two rationales of one question: how pairs are found, kept together and compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from cotdistill.distill.signals.row_key import encoded_key, row_key
from cotdistill.distill.trainer.chunk_loss import Objective
from cotdistill.distill.trainer.forward import Distiller, install_student, targets_of
from cotdistill.distill.trainer.pairs import (
    Consistency,
    PairCollator,
    Pairs,
    PairSampler,
    consistency,
    counts_of,
    find_pairs,
)
from cotdistill.distill.trainer.row_choice import RowChoiceCollator

WORDS = ["<end>", "Half", " of", " 8", " is", " 4", ".", " The", " answer", " is", " 1", "2", " We"]


def decode(ids: Sequence[int]) -> str:
    return "".join(WORDS[number] for number in ids if number)


def row(prompt: list[int], answer: list[int]) -> dict[str, Any]:
    ids = [*prompt, *answer]
    labels = [-100] * len(prompt) + answer
    return {"input_ids": ids, "labels": labels, "attention_mask": [1] * len(ids)}


FOUR = [1, 2, 3, 4, 5, 6, 7, 8, 9, 5, 6, 0]  # Half of 8 is 4. The answer is 4.
TWELVE = [12, 4, 10, 11, 6, 7, 8, 9, 10, 11, 6, 0]  # We is 12. The answer is 12.
SILENT = [1, 2, 12, 0]
ROWS = [
    row([3, 3], FOUR),
    row([5, 5, 5], FOUR),
    row([3, 3], TWELVE),
    row([3, 3], SILENT),
    row([3, 3], [12, *FOUR]),
    row([7], FOUR),
    row([5, 5, 5], TWELVE),
]


def test_rows_of_a_question_are_grouped_and_their_answers_are_found() -> None:
    found = find_pairs(ROWS, decode, encoded=False)
    assert found.groups == ((0, 2, 4), (1, 6))
    assert (found.rows, found.left_out) == (7, 2)  # one says no answer, one is alone
    for number, answer in ((0, " 4"), (2, " 12"), (4, " 4")):
        one = ROWS[number]
        begin, end = found.spans[row_key(one["input_ids"], one["labels"])]
        assert decode(one["input_ids"][begin:end]) == answer


def test_each_epoch_draws_two_rationales_of_every_question_side_by_side() -> None:
    pairs = find_pairs(ROWS, decode, encoded=False)
    sampler = PairSampler(pairs, seed=1)
    seen = set()
    for epoch in range(20):
        sampler.set_epoch(epoch)
        drawn = list(sampler)
        assert len(drawn) == len(sampler) == 4
        assert drawn == list(sampler)  # a resumed training draws the same
        for one, other in zip(drawn[::2], drawn[1::2], strict=True):
            assert one != other
            assert any({one, other} <= set(group) for group in pairs.groups)
        seen.add(tuple(drawn))
    assert len(seen) > 5


@pytest.mark.parametrize("pads_left", [False, True])
def test_of_unequal_answers_the_first_tokens_are_compared(pads_left: bool) -> None:
    pairs = find_pairs(ROWS, decode, encoded=False)

    def collate(features: list[dict[str, Any]]) -> dict[str, Any]:
        width = 20
        labels = torch.full((len(features), width), -100)
        for number, one in enumerate(features):
            size = len(one["labels"])
            start = width - size if pads_left else 0
            labels[number, start : start + size] = torch.tensor(one["labels"])
        return {"labels": labels}

    batch = PairCollator(collate, pairs, pads_left, encoded=False)([ROWS[0], ROWS[2]])
    assert batch["kd_spans"].sum(-1).tolist() == [1, 1]  # " 4", and " 1" of " 12"
    following = targets_of(batch["labels"], None)
    assert following[batch["kd_spans"]].tolist() == [5, 10]
    pairs = find_pairs(ROWS, decode, encoded=True)
    encoded = PairCollator(collate, pairs, pads_left, encoded=True)([ROWS[0], ROWS[2]])
    assert encoded["labels"][encoded["kd_spans"]].tolist() == [5, 10]


ENCODED = [{"input_ids": [3, 3], "labels": FOUR}, {"input_ids": [3, 3], "labels": TWELVE}]
"""Two rationales of one question that an encoder reads, with as many tokens each."""


def labels_of(features: list[dict[str, Any]]) -> dict[str, Any]:
    return {"labels": torch.tensor([one["labels"] for one in features])}


def test_rationales_of_equal_length_keep_their_own_answers_next_to_an_encoder() -> None:
    pairs = find_pairs(ENCODED, decode, encoded=True)
    batch = PairCollator(labels_of, pairs, pads_left=False, encoded=True)(ENCODED)
    assert batch["labels"][batch["kd_spans"]].tolist() == [5, 10]


def test_of_two_rationales_next_to_an_encoder_only_the_chosen_one_has_a_teacher() -> None:
    """They share a question, which is shorter, and their length."""
    chosen = frozenset([encoded_key([3, 3], TWELVE)])
    collate = RowChoiceCollator(labels_of, chosen, pads_left=False, encoded=True)
    assert collate(ENCODED)["kd_known"].tolist() == [[False] * 12, [True] * 12]


def published(
    logits: Tensor, labels: Tensor, spans: Tensor, weight: float, temperature: float
) -> Tensor:
    """(CE1 + CE2) / 2 + weight * (KL(P, Q) + KL(Q, P)) / 2 over full logits."""
    ce = [
        torch.nn.functional.cross_entropy(
            logits[side::2, :-1].reshape(-1, logits.shape[-1]), labels[side::2, 1:].reshape(-1)
        )
        for side in (0, 1)
    ]
    p, q = (
        torch.softmax(logits[side::2][spans[side::2]] / temperature, -1).log() for side in (0, 1)
    )
    kl = torch.nn.functional.kl_div
    both = kl(q, p, reduction="batchmean", log_target=True)
    both = both + kl(p, q, reduction="batchmean", log_target=True)
    return sum(ce) / 2 + weight * both / 2


@pytest.mark.parametrize("step", [1, 2])
def test_the_loss_and_its_gradient_are_the_published_formula(step: int) -> None:
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=64,
    )  # fmt: skip
    model = transformers.AutoModelForCausalLM.from_config(config).double().train()
    model.lm_head.weight.data.mul_(8.0)
    ids = torch.randint(3, 40, (4, 12))
    labels = ids.clone()
    labels[:, :3] = -100
    labels[1, 9:] = labels[2, 10:] = -100  # rationales of unequal length
    spans = torch.zeros(4, 12, dtype=torch.bool)
    spans[0, 6:8] = spans[1, 4:6] = True
    spans[2, 5] = spans[3, 8] = True
    wanted = published(model(input_ids=ids).logits, labels, spans, 0.1, 1.3)
    wanted.backward()
    exact = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    distiller = Distiller(Objective(1.0, 0.0), 40, pairs=Consistency(0.1, 1.3), measure=True)
    install_student(model, distiller)
    targets = targets_of(labels, None)
    distiller.counts = counts_of(targets, spans)
    total = torch.zeros((), dtype=torch.float64)
    for start in range(0, 4, 4 // step):  # at once, or accumulated pair by pair
        rows = slice(start, start + 4 // step)
        loss = model(input_ids=ids[rows], labels=labels[rows], kd_spans=spans[rows]).loss
        loss.backward()
        total += loss.detach()
    assert float(total) == pytest.approx(float(wanted.detach()), rel=1e-6)
    for name, gradient in exact.items():
        found = dict(model.named_parameters())[name].grad
        assert torch.allclose(found, gradient, rtol=1e-4, atol=1e-7), name
    assert distiller.sums.kd_tokens == 3
    assert 0 < distiller.sums.kd_share < 1


def test_the_gradients_norm_that_is_logged_is_the_one_that_is_trained_with() -> None:
    torch.manual_seed(0)
    first, second = (torch.randn(5, 30, dtype=torch.float64, requires_grad=True) for _ in "ab")
    value, square = consistency(first, second, 1.3, measure=True)
    value.backward()
    assert first.grad is not None
    assert second.grad is not None
    exact = first.grad.square().sum() + second.grad.square().sum()
    assert square == pytest.approx(float(exact), rel=1e-9)


def test_a_pair_that_agrees_costs_nothing() -> None:
    logits = torch.randn(4, 30)
    value, square = consistency(logits, logits.clone(), 1.3, measure=True)
    assert float(value) == pytest.approx(0, abs=1e-6)
    assert square == pytest.approx(0, abs=1e-9)


def test_a_training_set_without_pairs_is_said() -> None:
    assert find_pairs(ROWS[:2], decode, encoded=False) == Pairs((), find_spans(ROWS[:2]), 2)


def find_spans(rows: list[dict[str, Any]]) -> Any:
    return find_pairs(rows, decode, encoded=False).spans
