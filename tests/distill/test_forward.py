"""The loss inside a model's forward, for tiny models of several families, without a host."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from cotdistill.distill.trainer.chunk_loss import Objective
from cotdistill.distill.trainer.forward import (
    Distiller,
    install_student,
    install_teacher,
    targets_of,
)
from cotdistill.distill.trainer.language_model import LanguageModel
from cotdistill.errors import FaultsError
from naive_distillation import loss as naive_loss

VOCABULARY = 40
SMALL: dict[str, Any] = {
    "vocab_size": VOCABULARY, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1,
    "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 64,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
FAMILIES: dict[str, Any] = {
    "llama": lambda: transformers.LlamaConfig(**SMALL),
    "tied qwen2": lambda: transformers.Qwen2Config(**SMALL, tie_word_embeddings=True),
    "gemma2 with a soft cap": lambda: transformers.Gemma2Config(
        **SMALL, head_dim=8, final_logit_softcapping=2.0
    ),
    "granite with scaled logits": lambda: transformers.GraniteConfig(**SMALL, logits_scaling=4.0),
    "cohere with scaled logits": lambda: transformers.CohereConfig(**SMALL, logit_scale=0.25),
    "gpt2": lambda: transformers.GPT2Config(
        vocab_size=VOCABULARY, n_embd=16, n_layer=1, n_head=2, n_positions=64,
        bos_token_id=1, eos_token_id=2,
    ),
    "phi with a bias": lambda: transformers.PhiConfig(**SMALL),
}  # fmt: skip
OBJECTIVE = Objective(0.4, 0.6 * 4, "forward_kl", 2.0)


def model_of(family: str, seed: int = 0, **changes: Any) -> Any:
    torch.manual_seed(seed)
    config = FAMILIES[family]()
    for name, value in changes.items():
        setattr(config, name, value)
    model = transformers.AutoModelForCausalLM.from_config(config).train()
    head = model.get_output_embeddings().weight
    head.data.mul_(8.0)  # logits must be large enough for a soft cap and for clear differences
    return model


def batch(rows: int = 3, places: int = 12, seed: int = 3) -> dict[str, Tensor]:
    ids = torch.randint(
        3, VOCABULARY, (rows, places), generator=torch.Generator().manual_seed(seed)
    )
    labels = ids.clone()
    labels[:, :4] = -100
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}


def distilling(student: Any, teacher: Any, **changes: Any) -> Distiller:
    install_teacher(teacher)
    distiller = Distiller(OBJECTIVE, VOCABULARY, teacher, **changes)
    install_student(student, distiller)
    return distiller


def gradients(model: Any) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def expected_loss(student: Any, teacher: Any, given: dict[str, Tensor]) -> Tensor:
    """The formula over full logits; the student predicts place i + 1 from place i."""
    inputs = {name: given[name] for name in given if name != "labels"}
    with torch.no_grad():
        theirs = teacher(**inputs).logits[:, :-1].float()
    ours = student(**inputs).logits[:, :-1].float()
    targets = given["labels"][:, 1:]
    keep = targets != -100
    return naive_loss(OBJECTIVE, ours[keep], theirs[keep], targets[keep])


@pytest.mark.parametrize("family", FAMILIES)
def test_value_and_gradients_are_those_of_the_models_own_logits(family: str) -> None:
    student, teacher = model_of(family), model_of(family, seed=1).eval()
    plain, plain_teacher = copy.deepcopy(student), copy.deepcopy(teacher)
    student.eval(), plain.eval()  # no dropout, but
    distiller = distilling(student, teacher, chunk=5)
    student.training = True  # the loss is for training only
    given = batch()
    items = int((given["labels"] != -100).sum())
    expected = expected_loss(plain, plain_teacher, given) / items
    expected.backward()
    output = student(**given, num_items_in_batch=items)
    output.loss.backward()
    torch.testing.assert_close(output.loss, expected, rtol=1e-4, atol=1e-5)
    wanted = gradients(plain)
    found = gradients(student)
    assert set(found) == set(wanted)
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-5, msg=name)
    assert distiller.calls == 1
    assert distiller.sums.tokens == items


def test_evaluation_is_the_models_own_forward_to_the_bit() -> None:
    student, teacher = model_of("llama"), model_of("llama", seed=1).eval()
    plain = copy.deepcopy(student).eval()
    distiller = distilling(student, teacher)
    student.eval()
    given = batch()
    with torch.no_grad():
        assert torch.equal(student(**given).loss, plain(**given).loss)
        assert torch.equal(student(**given).logits, plain(**given).logits)
    assert distiller.calls == 0


def test_padding_its_side_and_other_rows_of_a_batch_change_nothing() -> None:
    student, teacher = model_of("llama"), model_of("llama", seed=1).eval()
    distilling(student, teacher)
    given = batch(rows=2)
    alone = [
        student(**{name: part[row : row + 1] for name, part in given.items()}, num_items_in_batch=1)
        for row in range(2)
    ]
    total = sum(float(one.loss.detach()) for one in alone)
    together = float(student(**given, num_items_in_batch=1).loss.detach())
    assert together == pytest.approx(total, rel=1e-5)
    for side in ((0, 5), (5, 0)):
        padded = {
            name: torch.nn.functional.pad(part, side, value=-100 if name == "labels" else 0)
            for name, part in given.items()
        }
        positions = (padded["attention_mask"].cumsum(-1) - 1).clamp(min=0)
        found = student(**padded, position_ids=positions, num_items_in_batch=1).loss
        assert float(found.detach()) == pytest.approx(together, rel=1e-4), side


def test_a_padding_token_that_is_the_end_token_is_still_trained_where_it_ends_a_row() -> None:
    student, teacher = model_of("llama"), model_of("llama", seed=1).eval()
    distiller = distilling(student, teacher)
    ids = torch.tensor([[5, 6, 7, 2, 2, 2]])
    labels = torch.tensor([[-100, 6, 7, 2, -100, -100]])
    mask = torch.tensor([[1, 1, 1, 1, 0, 0]])
    student(input_ids=ids, attention_mask=mask, labels=labels)
    assert distiller.sums.tokens == distiller.sums.kd_tokens == 3


def test_a_packed_row_has_the_loss_of_its_parts() -> None:
    student, teacher = model_of("llama"), model_of("llama", seed=1).eval()
    distilling(student, teacher)
    one, two = batch(rows=1, places=9, seed=5), batch(rows=1, places=7, seed=6)
    parts = [float(student(**part, num_items_in_batch=1).loss.detach()) for part in (one, two)]
    joined = {name: torch.cat([one[name], two[name]], 1) for name in one}
    positions = torch.cat([torch.arange(9), torch.arange(7)])[None]
    rows = torch.cat([torch.zeros(9), torch.ones(7)])
    same = rows[:, None] == rows[None]
    mask = torch.where(same & torch.ones(16, 16).tril().bool(), 0.0, torch.finfo().min)
    joined["attention_mask"] = mask[None, None]
    found = student(**joined, position_ids=positions, num_items_in_batch=1).loss
    assert float(found.detach()) == pytest.approx(sum(parts), rel=1e-4)


def test_the_next_row_of_a_pack_is_not_predicted() -> None:
    labels = torch.tensor([[1, 2, 3, 4, 5]])
    positions = torch.tensor([[0, 1, 2, 0, 1]])
    assert targets_of(labels, positions).tolist() == [[2, 3, -100, 5, -100]]
    assert targets_of(labels, None).tolist() == [[2, 3, 4, 5, -100]]


@pytest.mark.parametrize(("rows", "items"), [(1, 100), (4, None)])
def test_without_a_number_of_items_the_loss_is_the_mean_of_the_batch(
    rows: int, items: int | None
) -> None:
    student, teacher = model_of("llama"), model_of("llama", seed=1).eval()
    distiller = distilling(student, teacher)
    given = batch(rows=rows)
    value = student(**given, num_items_in_batch=items).loss
    total = OBJECTIVE.ce_weight * distiller.sums.ce + OBJECTIVE.kd_weight * distiller.sums.kd
    assert float(value.detach()) == pytest.approx(total / (items or rows * 8), rel=1e-5)
    assert float(value.detach()) > 0


def test_a_teacher_with_dropout_answers_the_same_twice_and_is_not_trained() -> None:
    student, teacher = model_of("llama"), model_of("gpt2", seed=1)
    teacher.requires_grad_(False)
    before = {name: part.clone() for name, part in teacher.state_dict().items()}
    teacher.eval()
    distilling(student, teacher)
    given = batch()
    first = student(**given).loss
    assert torch.equal(first, student(**given).loss)
    first.backward()
    assert all(torch.equal(part, before[name]) for name, part in teacher.state_dict().items())
    assert not teacher.training
    assert student.training


def test_a_row_without_supervised_tokens_gives_a_loss_of_zero_with_a_graph() -> None:
    student, teacher = model_of("llama"), model_of("llama", seed=1).eval()
    distilling(student, teacher)
    given = batch()
    given["labels"].fill_(-100)
    value = student(**given, num_items_in_batch=7).loss
    value.backward()
    assert float(value.detach()) == 0.0
    assert set(gradients(student)) == {name for name, _ in student.named_parameters()}


def test_a_lora_student_trains_its_adapters_only() -> None:
    peft = pytest.importorskip("peft")
    student, teacher = model_of("llama"), model_of("llama", seed=1).eval()
    config = peft.LoraConfig(target_modules=["q_proj", "v_proj"], r=2, task_type="CAUSAL_LM")
    adapted = peft.get_peft_model(student, config).train()
    distiller = distilling(adapted, teacher)
    value = adapted(**batch()).loss
    value.backward()
    assert distiller.calls == 1
    found = gradients(adapted)
    assert found
    assert all("lora_" in name for name in found)


def test_an_adapter_on_the_head_is_part_of_the_loss() -> None:
    peft = pytest.importorskip("peft")
    student, teacher = model_of("llama"), model_of("llama", seed=1).eval()
    config = peft.LoraConfig(
        target_modules=["q_proj", "lm_head"], r=2, init_lora_weights=False, task_type="CAUSAL_LM"
    )
    adapted = peft.get_peft_model(student, config).train()
    plain, plain_teacher = copy.deepcopy(adapted), copy.deepcopy(teacher)
    distilling(adapted, teacher)
    given = batch()
    expected = expected_loss(plain, plain_teacher, given)
    expected.backward()
    value = adapted(**given, num_items_in_batch=1).loss
    value.backward()
    torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-4)
    for name, gradient in gradients(plain).items():
        torch.testing.assert_close(gradients(adapted)[name], gradient, rtol=1e-3, atol=1e-4)


def test_counting_padding_repeats_the_published_mean_over_all_places() -> None:
    student, teacher = model_of("llama"), model_of("llama", seed=1).eval()
    given = batch()
    inputs = {name: given[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        ours, theirs = student(**inputs).logits, teacher(**inputs).logits
    distiller = distilling(student, teacher, count_padding=True)
    value = float(student(**given).loss.detach())
    p = torch.softmax(theirs / 2, -1)
    rows = (p * (p.log() - torch.log_softmax(ours / 2, -1))).sum(-1)
    ce = distiller.sums.ce / distiller.sums.tokens
    expected = OBJECTIVE.ce_weight * ce + OBJECTIVE.kd_weight * float(rows.mean())
    assert value == pytest.approx(expected, rel=1e-4)
    assert distiller.sums.kd_tokens == given["labels"].numel()


def test_an_unknown_step_between_body_and_head_is_refused() -> None:
    student = model_of("granite with scaled logits")
    del student.config.logits_scaling
    forward = student.forward

    def scaled(**inputs: Any) -> Any:
        student.config.logits_scaling = 4.0
        try:
            return forward(**inputs)
        finally:
            del student.config.logits_scaling

    student.forward = scaled
    with pytest.raises(FaultsError, match="student: GraniteForCausalLM does more between body"):
        LanguageModel.of(student, "student")


def test_gradient_checkpointing_changes_nothing() -> None:
    student, teacher = model_of("llama"), model_of("llama", seed=1).eval()
    again = copy.deepcopy(student)
    again.gradient_checkpointing_enable({"use_reentrant": False})
    found = []
    for model in (student, again):
        distilling(model, copy.deepcopy(teacher))
        model(**batch(), num_items_in_batch=1).loss.backward()
        found.append(gradients(model))
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient)


def test_a_teacher_of_the_students_own_weights_leaves_the_student_in_training() -> None:
    """A peer shared one module between both, and put the student into evaluation mode with it."""
    student = model_of("gpt2")
    teacher = copy.deepcopy(student).eval()
    distiller = distilling(student, teacher)
    assert all(module.training for module in student.modules())
    student(**batch()).loss.backward()
    assert all(module.training for module in student.modules())
    assert not any(module.training for module in teacher.modules())
    assert distiller.sums.kd > 1e-4  # only the student drops out
