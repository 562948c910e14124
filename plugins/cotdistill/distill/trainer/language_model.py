"""The two halves of a causal language model: its body, and the head that makes logits of states."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from cotdistill.distill.trainer.chunk_loss import Objective, Sums
from cotdistill.distill.trainer.head import HeadInput, head_loss, module_head_loss
from cotdistill.errors import Fault, FaultsError

_PROBED = 6
_NEAR = 2e-2


@dataclass(frozen=True)
class LogitTransform:
    """What a model does with its head's output: scale * cap * tanh(x / cap)."""

    scale: float = 1.0
    cap: float | None = None

    def __call__(self, logits: Tensor) -> Tensor:
        """Apply it."""
        if self.scale != 1.0:
            logits = logits * self.scale
        if self.cap is not None:
            logits = self.cap * torch.tanh(logits / self.cap)
        return logits

    @classmethod
    def of(cls, config: Any) -> LogitTransform:
        """Read it from a model's configuration: Gemma 2, Cohere, Granite and T5 have one each."""
        scale = float(getattr(config, "logit_scale", None) or 1.0)
        scale /= float(getattr(config, "logits_scaling", None) or 1.0)
        if config.model_type == "t5" and config.tie_word_embeddings:
            scale *= config.d_model**-0.5
        cap = getattr(config, "final_logit_softcapping", None)
        return cls(scale, None if cap is None else float(cap))


@dataclass(frozen=True)
class LanguageModel:
    """An unwrapped model, causal or encoder-decoder: no PEFT, DDP or FSDP around it."""

    inner: Any
    transform: LogitTransform

    @property
    def is_encoder_decoder(self) -> bool:
        """Whether rows are read by an encoder, and only answers by the part with the head."""
        return bool(self.inner.config.is_encoder_decoder)

    @classmethod
    def of(cls, model: Any, role: str) -> LanguageModel:
        """Take a model apart, and make sure that the parts give what the whole gives.

        Raises:
            FaultsError: body and head alone give other logits than the model does.
        """
        inner = model.get_base_model() if hasattr(model, "get_base_model") else model
        parts = cls(inner, LogitTransform.of(inner.config))
        if inner.get_output_embeddings() is None or inner.base_model_prefix == "":
            raise FaultsError(
                Fault(
                    role,
                    f"{type(inner).__name__} has no head of its own",
                    "",
                    "distillation needs a causal language model",
                )
            )
        if not sharded(inner):
            parts._compare(model, role)
        return parts

    def states(self, *args: Any, **inputs: Any) -> Tensor:
        """Return the last hidden states, as the model's own forward computes them."""
        if self.is_encoder_decoder:
            return self._decoder_states(**inputs)
        body = getattr(self.inner, self.inner.base_model_prefix)
        hidden: Tensor = body(*args, **inputs | {"use_cache": False})[0]
        return hidden

    def _decoder_states(
        self, input_ids: Tensor, decoder_input_ids: Tensor, attention_mask: Any = None,
        **_others: Any,
    ) -> Tensor:  # fmt: skip
        read = self.inner.encoder(input_ids=input_ids, attention_mask=attention_mask)[0]
        hidden: Tensor = self.inner.decoder(
            input_ids=decoder_input_ids, encoder_hidden_states=read,
            encoder_attention_mask=attention_mask, use_cache=False,
        )[0]  # fmt: skip
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        """Return the logits of some states."""
        return self.transform(self.inner.get_output_embeddings()(hidden))

    def loss(self, given: HeadInput, objective: Objective) -> tuple[Tensor, Sums]:
        """Return the head's summed loss, by the closed form where the head is one matrix."""
        head = self.inner.get_output_embeddings()
        plain = type(head) is nn.Linear and head.bias is None and not head._forward_hooks
        if plain and self.transform.cap is None and not sharded(head):
            return head_loss(given, head.weight, objective, self.transform.scale)
        if sharded(head):
            given = replace(given, fewest=_most_chunks(given))
        return module_head_loss(given, self.logits, objective)

    def _compare(self, model: Any, role: str) -> None:
        """Compute a few tokens both ways: an unknown step between body and head would be lost."""
        training = model.training
        model.eval()
        try:
            first = next(self.inner.parameters())
            ids = torch.arange(_PROBED, device=first.device)[None] % self.inner.config.vocab_size
            with torch.no_grad():
                asked = {"input_ids": ids}
                asked |= {"decoder_input_ids": ids} if self.is_encoder_decoder else {}
                whole = model(**asked, use_cache=False).logits.float()
                parts = self.logits(self.states(**asked)).float()
        finally:
            model.train(training)
        if not torch.allclose(whole, parts, rtol=_NEAR, atol=_NEAR):
            name = type(self.inner).__name__
            wrong = f"{name} does more between body and head than is known of it"
            remedy = "train on the teacher's text instead"
            raise FaultsError(Fault(role, wrong, "logits of body and head", remedy))


def _most_chunks(given: HeadInput) -> int:
    """Return the most chunks of any process: a head in parts is put together by all of them."""
    chunks = torch.tensor(len(given.bounds()), device=given.hidden.device)
    if torch.distributed.is_initialized():
        torch.distributed.all_reduce(chunks, torch.distributed.ReduceOp.MAX)
    return int(chunks)


def sharded(module: nn.Module) -> bool:
    """Whether DeepSpeed's ZeRO-3 holds parts of this module's weights elsewhere."""
    return any(hasattr(parameter, "ds_id") for parameter in module.parameters())
