"""The chunked loss head against the papers' formulas over full logits, in double precision."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from cotdistill.distill.trainer.chunk_loss import Objective, SparseTeacher, Sums, chunk_loss
from cotdistill.distill.trainer.divergences import DIVERGENCES
from cotdistill.distill.trainer.head import DenseTeacher, HeadInput, head_loss, module_head_loss
from naive_distillation import divergence_rows, loss

NAMES = [*DIVERGENCES, "logit_mse"]
BACKENDS = ["function", "module"]
TOKENS, VOCABULARY, WIDTH = 7, 19, 6


@dataclasses.dataclass
class Case:
    """Random states and heads; the teacher is wider and has three more rows in its head."""

    dtype: torch.dtype = torch.float64
    tokens: int = TOKENS
    seed: int = 0
    kd: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        numbers = torch.Generator().manual_seed(self.seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=numbers, dtype=torch.float64).to(self.dtype)

        self.hidden = normal(self.tokens, WIDTH).requires_grad_()
        self.weight = normal(VOCABULARY, WIDTH).requires_grad_()
        self.teacher_hidden = normal(self.tokens, WIDTH + 2)
        self.teacher_weight = normal(VOCABULARY + 3, WIDTH + 2)
        self.labels = torch.randint(0, VOCABULARY, (self.tokens,), generator=numbers)

    def given(self, **changes: Any) -> HeadInput:
        teacher = DenseTeacher(self.teacher_hidden, lambda h: h @ self.teacher_weight.t())
        fields = {"teacher": teacher, "vocabulary": VOCABULARY} | changes
        return HeadInput(self.hidden, self.labels, **fields)

    def logits(self) -> tuple[Tensor, Tensor]:
        student = self.hidden @ self.weight.t()
        return student, (self.teacher_hidden @ self.teacher_weight.t())[:, :VOCABULARY]

    def computed(self, backend: str, objective: Objective, **changes: Any) -> tuple[Tensor, Sums]:
        if backend == "function":
            return head_loss(self.given(**changes), self.weight, objective)
        return module_head_loss(self.given(**changes), lambda h: h @ self.weight.t(), objective)

    def gradients(self, value: Tensor) -> list[Tensor]:
        return list(torch.autograd.grad(value, [self.hidden, self.weight]))


def close(left: Tensor, right: Tensor, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(left, right, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("chunk", [3, 100, 1])
@pytest.mark.parametrize(("temperature", "weight"), [(1.0, 0.5), (2.0, 0.3), (3.0, 1.0)])
@pytest.mark.parametrize("name", NAMES)
def test_value_and_gradients_are_those_of_the_formula_over_full_logits(
    name: str, temperature: float, weight: float, chunk: int, backend: str
) -> None:
    case = Case()
    objective = Objective(1 - weight, weight, name, temperature, 0.3)
    expected = loss(objective, *case.logits(), case.labels)
    value, _ = case.computed(backend, objective, chunk=chunk)
    close(value, expected)
    for found, wanted in zip(case.gradients(value), case.gradients(expected), strict=True):
        close(found, wanted)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", NAMES)
def test_gradcheck_finds_the_gradient_by_finite_differences(name: str, backend: str) -> None:
    case = Case(tokens=4)
    objective = Objective(0.4, 0.6, name, 1.7, 0.2)

    class Repeatable(torch.autograd.Function):
        """`gradcheck` goes backward twice through one graph; ours frees its gradients at once."""

        @staticmethod
        def forward(ctx: Any, hidden: Tensor, weight: Tensor) -> Tensor:
            case.hidden = hidden.detach().requires_grad_()
            case.weight = weight.detach().requires_grad_()
            with torch.enable_grad():
                value, _ = case.computed(backend, objective, chunk=3)
                ctx.gradients = case.gradients(value)
            return value.detach()

        @staticmethod
        def backward(ctx: Any, scale: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
            return tuple(gradient * scale for gradient in ctx.gradients)

    assert torch.autograd.gradcheck(Repeatable.apply, (case.hidden, case.weight), fast_mode=False)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_logged_is_what_is_differentiated(name: str) -> None:
    """T squared and its like stand in the reported value and in the gradient, or in neither."""
    case = Case()
    objective = Objective(0.3, 0.7 * 2.0**2, name, 2.0, 0.4)
    direction = torch.randn_like(case.hidden)
    step = 1e-6

    def reported(shift: float) -> float:
        moved = Case()
        moved.hidden = (case.hidden + shift * direction).detach()
        sums = moved.computed("function", objective)[1]
        return objective.ce_weight * sums.ce + objective.kd_weight * sums.kd

    slope = (reported(step) - reported(-step)) / (2 * step)
    (gradient,) = torch.autograd.grad(case.computed("function", objective)[0], [case.hidden])
    assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_every_option_changes_loss_and_gradient(name: str) -> None:
    """An option that is accepted and ignored is worse than one that is refused."""
    case = Case()
    base = Objective(0.5, 0.5, name, 1.0, 0.3)
    changes: list[dict[str, float]] = [{"ce_weight": 0.4}, {"kd_weight": 0.4}]
    if name != "logit_mse":
        changes.append({"temperature": 2.0})
    if name in ("jsd", "skew_forward", "skew_reverse"):
        changes.append({"mixture": 0.6})
    value, _ = case.computed("function", base)
    gradient = case.gradients(value)
    for change in changes:
        other, _ = case.computed("function", dataclasses.replace(base, **change))
        assert abs(float((other - value).detach())) > 1e-3, change
        assert float((case.gradients(other)[0] - gradient[0]).abs().max()) > 1e-4, change


@pytest.mark.parametrize("name", [name for name in NAMES if name != "soft_ce"])
def test_a_teacher_that_is_the_student_adds_nothing(name: str) -> None:
    case = Case()
    teacher = DenseTeacher(case.hidden.detach(), lambda h: h @ case.weight.detach().t())
    value, sums = case.computed("function", Objective(0.0, 1.0, name, 2.0), teacher=teacher)
    assert abs(sums.kd) < 1e-9
    assert all(float(gradient.abs().max()) < 1e-9 for gradient in case.gradients(value))
    both, _ = case.computed("function", Objective(0.7, 0.3, name, 2.0), teacher=teacher)
    alone, _ = case.computed("function", Objective(0.7, 0.0))
    for found, wanted in zip(case.gradients(both), case.gradients(alone), strict=True):
        close(found, wanted)


def test_soft_cross_entropy_of_the_student_itself_is_its_entropy_and_pulls_nowhere() -> None:
    case = Case()
    teacher = DenseTeacher(case.hidden.detach(), lambda h: h @ case.weight.detach().t())
    value, sums = case.computed("function", Objective(0.0, 1.0, "soft_ce"), teacher=teacher)
    q = torch.softmax(case.logits()[0], -1)
    assert sums.kd == pytest.approx(float(-(q * q.log()).sum().detach()))
    assert all(float(gradient.abs().max()) < 1e-9 for gradient in case.gradients(value))


@pytest.mark.parametrize("name", list(DIVERGENCES))
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_top_k_of_the_whole_vocabulary_is_the_full_divergence(
    name: str, temperature: float
) -> None:
    case = Case()
    full = Objective(0.5, 0.5, name, temperature, 0.3)
    value, _ = case.computed("function", full)
    top, _ = case.computed("function", dataclasses.replace(full, top_k=VOCABULARY))
    close(top, value, 1e-7)
    for found, wanted in zip(case.gradients(top), case.gradients(value), strict=True):
        close(found, wanted, 1e-7)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", list(DIVERGENCES))
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_top_k_with_a_tail_bucket_is_the_divergence_of_the_coarser_distributions(
    name: str, temperature: float, backend: str
) -> None:
    case = Case()
    objective = Objective(0.5, 0.5, name, temperature, 0.3, top_k=4)
    expected = loss(objective, *case.logits(), case.labels)
    value, _ = case.computed(backend, objective, chunk=3)
    close(value, expected, 1e-7)
    for found, wanted in zip(case.gradients(value), case.gradients(expected), strict=True):
        close(found, wanted, 1e-7)


@pytest.mark.parametrize("name", ["forward_kl", "reverse_kl", "jsd", "tvd"])
def test_a_coarser_distribution_never_lies_further_away(name: str) -> None:
    case = Case(tokens=40)
    full = case.computed("function", Objective(0.0, 1.0, name))[1].kd
    coarse = [
        case.computed("function", Objective(0.0, 1.0, name, top_k=k))[1].kd for k in (2, 5, 10)
    ]
    assert coarse == sorted(coarse)
    assert coarse[-1] <= full + 1e-9


def test_the_tail_bucket_pushes_the_tail_up_where_the_student_has_too_little_there() -> None:
    """Renormalising over the k tokens gives tokens outside no gradient at all."""
    teacher = SparseTeacher(torch.tensor([[0]]), torch.tensor([[0.5]]).log(), torch.zeros(1))
    logits = torch.tensor([[5.0, 0.0, 0.0]])
    found = chunk_loss(logits, teacher, torch.tensor([0]), Objective(0.0, 1.0))
    assert found.gradient is not None
    assert (found.gradient[0, 1:] < 0).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_heads_of_different_sizes_are_cut_to_the_shared_vocabulary(backend: str) -> None:
    """151,936 and 152,064 rows: the rows behind the shared vocabulary get mass from nowhere."""
    case = Case()
    objective = Objective(0.5, 0.5)
    shared = VOCABULARY - 2
    labels = case.labels.clamp(max=shared - 1)
    case.labels = labels
    student, teacher = case.logits()
    expected = loss(objective, student[:, :shared], teacher[:, :shared], labels)
    value, _ = case.computed(backend, objective, vocabulary=shared)
    close(value, expected)
    weight_gradient = case.gradients(value)[1]
    close(weight_gradient, case.gradients(expected)[1])
    assert not weight_gradient[shared:].any()


def test_a_frozen_head_gets_no_gradient_and_costs_none() -> None:
    case = Case()
    expected = torch.autograd.grad(
        loss(Objective(0.5, 0.5), *case.logits(), case.labels), [case.hidden]
    )[0]
    case.weight = case.weight.detach()
    value, _ = head_loss(case.given(), case.weight, Objective(0.5, 0.5))
    value.backward()
    assert case.weight.grad is None
    close(case.hidden.grad, expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_tied_head_adds_its_gradient_to_the_embeddings(backend: str) -> None:
    case = Case()
    ids = torch.randint(0, VOCABULARY, (TOKENS,), generator=torch.Generator().manual_seed(5))
    objective = Objective(0.5, 0.5)
    gradients = []
    for naive in (True, False):
        table = case.weight.detach().clone().requires_grad_()
        hidden = table[ids] * 0.5
        if naive:
            student = hidden @ table.t()
            value = loss(objective, student, case.logits()[1], case.labels)
        else:
            given = HeadInput(hidden, case.labels, case.given().teacher, VOCABULARY, chunk=2)
            value = (
                head_loss(given, table, objective)[0]
                if backend == "function"
                else module_head_loss(given, lambda h, table=table: h @ table.t(), objective)[0]
            )
        gradients.append(torch.autograd.grad(value, table)[0])
    close(gradients[1], gradients[0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_supervised_token_gives_zero_and_a_graph(backend: str) -> None:
    """Else backward fails, and with several processes one of them waits for ever."""
    case = Case(tokens=0)
    value, sums = case.computed(backend, Objective(0.5, 0.5))
    assert float(value.detach()) == 0.0
    assert sums.tokens == 0
    assert [gradient.abs().sum().item() for gradient in case.gradients(value)] == [0.0, 0.0]


def test_chunks_are_of_nearly_equal_size() -> None:
    sizes = [
        [end - start for start, end in Case(tokens=tokens).given(chunk=8).bounds()]
        for tokens in (7, 8, 9, 33)
    ]
    assert sizes == [[7], [8], [4, 5], [6, 7, 6, 7, 7]]


@pytest.mark.parametrize("tokens", [0, 3, TOKENS])
def test_a_head_in_parts_is_called_as_often_as_by_the_process_with_most_tokens(tokens: int) -> None:
    """Every call puts it together on all processes (ZeRO-3); one call less, and they wait."""
    case = Case(tokens=tokens)
    called = []

    def head(hidden: Tensor) -> Tensor:
        called.append(len(hidden))
        return hidden @ case.weight.t()

    value, _ = module_head_loss(case.given(fewest=9), head, Objective(0.5, 0.5))
    assert (len(called), sum(called)) == (9, tokens)
    found = case.gradients(value)
    assert len(called) == 18  # once more each in the backward pass
    expected = loss(Objective(0.5, 0.5), *case.logits(), case.labels) if tokens else value * 0
    close(value, expected)
    for one, wanted in zip(found, case.gradients(expected) if tokens else found, strict=True):
        close(one, wanted)


def test_a_logit_scale_is_part_of_value_and_gradient() -> None:
    case = Case()
    objective = Objective(0.5, 0.5, "jsd", 2.0)
    student, teacher = case.logits()
    expected = loss(objective, student * 0.25, teacher, case.labels)
    value, _ = head_loss(case.given(), case.weight, objective, scale=0.25)
    close(value, expected)
    for found, wanted in zip(case.gradients(value), case.gradients(expected), strict=True):
        close(found, wanted)


def test_a_soft_cap_and_a_bias_go_through_the_head_that_is_called() -> None:
    case = Case()
    bias = torch.linspace(-1, 1, VOCABULARY, dtype=torch.float64).requires_grad_()

    def capped(hidden: Tensor) -> Tensor:
        return 3.0 * torch.tanh((hidden @ case.weight.t() + bias) / 3.0)

    objective = Objective(0.5, 0.5, "reverse_kl")
    leaves = [case.hidden, case.weight, bias]
    expected = loss(objective, capped(case.hidden), case.logits()[1], case.labels)
    wanted = torch.autograd.grad(expected, leaves)
    value, _ = module_head_loss(case.given(chunk=2), capped, objective)
    close(value, expected)
    for found, right in zip(torch.autograd.grad(value, leaves), wanted, strict=True):
        close(found, right)


def test_tokens_without_a_teacher_are_plain_cross_entropy() -> None:
    case = Case()
    with_kd = torch.tensor([True, False, True, False, False, True, True])
    objective = Objective(0.3, 0.7, "forward_kl", 2.0)
    student, teacher = case.logits()
    expected = loss(objective, student[with_kd], teacher[with_kd], case.labels[with_kd])
    plain = Objective(1.0, 0.0)
    expected = expected + loss(plain, student[~with_kd], None, case.labels[~with_kd])
    value, sums = case.computed("function", objective, with_kd=with_kd, chunk=3)
    close(value, expected)
    assert (sums.tokens, sums.kd_tokens) == (7, 4)
    for found, wanted in zip(case.gradients(value), case.gradients(expected), strict=True):
        close(found, wanted)


def test_tokens_without_a_label_take_part_in_the_divergence_only() -> None:
    """What `count_padding` needs to repeat a published bug."""
    case = Case()
    objective = Objective(0.5, 0.5)
    student, teacher = case.logits()
    labelled = torch.arange(TOKENS) < 4
    expected = (
        0.5
        * torch.nn.functional.cross_entropy(
            student[labelled], case.labels[labelled], reduction="sum"
        )
        + 0.5 * divergence_rows("forward_kl", student, teacher).sum()
    )
    case.labels = torch.where(labelled, case.labels, -100)
    value, sums = case.computed("function", objective, chunk=2)
    close(value, expected)
    assert (sums.tokens, sums.kd_tokens) == (4, 7)
    for found, wanted in zip(case.gradients(value), case.gradients(expected), strict=True):
        close(found, wanted)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradient_shares_and_agreement_are_counted_the_same_in_any_chunks(backend: str) -> None:
    case = Case()
    objective = Objective(0.5, 0.5)
    whole = case.computed(backend, objective, measure=True)[1]
    parts = case.computed(backend, objective, measure=True, chunk=2)[1]
    assert dataclasses.astuple(whole) == pytest.approx(dataclasses.astuple(parts))
    student, teacher = (logits.detach() for logits in case.logits())
    assert whole.agreeing == int((student.argmax(-1) == teacher.argmax(-1)).sum())
    q, p = torch.softmax(student, -1), torch.softmax(teacher, -1)
    pull = 0.5 * (q - torch.nn.functional.one_hot(case.labels, VOCABULARY))
    assert whole.ce_gradient == pytest.approx(float(pull.square().sum()))
    assert whole.kd_gradient == pytest.approx(float((0.5 * (q - p)).square().sum()))
    assert 0 < whole.kd_share < 1


@pytest.mark.parametrize("name", list(DIVERGENCES))
def test_probabilities_of_zero_give_no_nan(name: str) -> None:
    case = Case()
    teacher = case.logits()[1].detach().clone()
    teacher[:, ::3] = -torch.inf
    student = case.logits()[0].detach().clone()
    student[:, 1::5] = -torch.inf
    case.labels.fill_(0)
    found = chunk_loss(student, teacher, case.labels, Objective(0.5, 0.5, name, 1.0, 0.3))
    assert torch.isfinite(found.ce + found.kd)
    assert found.gradient is not None
    assert torch.isfinite(found.gradient).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("student_type", "teacher_type"),
    [(torch.bfloat16, torch.float32), (torch.float32, torch.bfloat16)],
)
def test_mixed_precision_is_near_float32_and_never_negative(
    name: str, student_type: torch.dtype, teacher_type: torch.dtype
) -> None:
    """A peer logged a negative divergence for a float32 student and a bfloat16 teacher."""
    case = Case(torch.float32, tokens=60)
    objective = Objective(0.0, 1.0, name, 2.0)
    exact = case.computed("function", objective)[1].kd
    student = case.hidden.detach().to(student_type).requires_grad_()
    weight = case.weight.detach().to(student_type).requires_grad_()
    states = case.teacher_hidden.to(teacher_type)
    matrix = case.teacher_weight.to(teacher_type)
    teacher = DenseTeacher(states, lambda h: h @ matrix.t())
    given = HeadInput(student, case.labels, teacher, VOCABULARY, chunk=16)
    value, sums = head_loss(given, weight, objective)
    value.backward()
    assert sums.kd > 0
    assert sums.kd == pytest.approx(exact, rel=0.02)
    assert student.grad is not None
    assert student.grad.dtype == student_type
    same = DenseTeacher(student.detach(), lambda h: h @ weight.detach().t())
    zero = head_loss(dataclasses.replace(given, teacher=same), weight, objective)[1].kd
    if name != "soft_ce":
        assert -1e-6 < zero < 1e-4


def test_autocast_multiplies_in_its_type_and_sums_in_float32() -> None:
    case = Case(torch.float32)
    objective = Objective(0.5, 0.5)
    exact = case.gradients(case.computed("function", objective)[0])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value, _ = case.computed("function", objective, chunk=2)
    assert value.dtype == torch.float32
    for found, wanted in zip(case.gradients(value), exact, strict=True):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, wanted, rtol=0.05, atol=0.05)


def test_the_gradient_is_scaled_by_what_the_trainer_divides_by() -> None:
    case = Case()
    value, _ = case.computed("function", Objective(0.5, 0.5))
    once = case.gradients(value)
    value, _ = case.computed("function", Objective(0.5, 0.5))
    scaled = case.gradients(value * 3.0 / 7.0)
    for found, wanted in zip(scaled, once, strict=True):
        close(found, wanted * 3.0 / 7.0)


def test_sums_of_micro_batches_add_up_whatever_their_sizes() -> None:
    """One and three tokens: (1 + 9) / 4 is 2.5; a mean of means would be 2."""
    case = Case(tokens=4)
    objective = Objective(0.5, 0.5)
    whole = case.gradients(case.computed("function", objective)[0] / 4)
    total = [torch.zeros_like(gradient) for gradient in whole]
    for rows in (slice(0, 1), slice(1, 4)):
        teacher = DenseTeacher(case.teacher_hidden[rows], lambda h: h @ case.teacher_weight.t())
        given = HeadInput(case.hidden[rows], case.labels[rows], teacher, VOCABULARY)
        value = head_loss(given, case.weight, objective)[0] / 4
        for sum_, gradient in zip(total, case.gradients(value), strict=True):
            sum_ += gradient
    for found, wanted in zip(total, whole, strict=True):
        close(found, wanted)


class Largest(TorchDispatchMode):
    """Notes the largest tensor that an operation returns."""

    numbers = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:  # fmt: skip
        found = func(*args, **(kwargs or {}))
        for one in found if isinstance(found, (tuple, list)) else [found]:
            if isinstance(one, Tensor):
                self.numbers = max(self.numbers, one.numel())
        return found


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("top_k", [None, 4])
@pytest.mark.parametrize("name", NAMES)
def test_no_tensor_grows_with_the_number_of_tokens_times_the_vocabulary(
    name: str, top_k: int | None, backend: str
) -> None:
    if name == "logit_mse" and top_k:
        pytest.skip("settings refuse it")
    found = []
    for tokens in (200, 800):
        case = Case(tokens=tokens)
        with Largest() as largest:
            value, _ = case.computed(backend, Objective(0.5, 0.5, name, 2.0, 0.3, top_k), chunk=8)
            value.backward()
        assert largest.numbers < tokens * VOCABULARY
        found.append(largest.numbers)
    states = WIDTH + 2  # what grows with tokens are hidden states, the teacher's the wider ones
    assert found[1] <= max(800 * states, VOCABULARY * WIDTH, 8 * (VOCABULARY + 3))
