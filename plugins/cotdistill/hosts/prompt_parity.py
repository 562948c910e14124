"""Is the prompt that a checkpoint is evaluated with the one that it was trained with?

Both prompts come from the hosts' own code: LLaMA-Factory's template encodes the training turn,
lm-eval's hf backend renders and encodes the evaluation turn. Only LLaMA-Factory's `default`,
`alpaca` and a few more templates replace the chat template that is saved with a checkpoint; for the
others lm-eval uses the tokenizer's own, which may add a system prompt, a date, or a thought.

`cotdistill prompts` writes the training prompt into a checkpoint as its chat template.
"""

from __future__ import annotations

import copy
import itertools
import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cotdistill.errors import Fault
from cotdistill.files.atomic import write_texts_if_changed
from cotdistill.hosts.replaced import replaced
from cotdistill.hosts.tokenizer import load_tokenizer

_PROMPT_FILES = ("tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")
_USER = "What is 1 + 1?\n\nWork it out step by step, then give the final answer inside \\boxed{}."


@dataclass(frozen=True)
class Trained:
    """The settings of a LLaMA-Factory file that shape its prompts; `response` is a typical one.

    A response with think tags and one without get different prompts from a reasoning template.
    """

    template: str | None
    default_system: str | None = None
    enable_thinking: bool | None = True
    system: str | None = None
    response: str = "It is 2."


@dataclass(frozen=True)
class Evaluated:
    """The settings of an lm-eval run that shape its prompts."""

    chat: bool = True
    system_instruction: str | None = None
    enable_thinking: bool | None = None
    add_bos_token: bool | None = None


@dataclass(frozen=True)
class Prompt:
    """One prompt as a host sends it: its text with special tokens, and its token ids."""

    text: str
    ids: tuple[int, ...]


def trained_of(train: Mapping[str, Any], response: str = "It is 2.") -> Trained:
    """Return what a LLaMA-Factory file says of prompts; its own defaults where it is silent.

    >>> trained_of({"template": "qwen", "default_system": ""})
    Trained(template='qwen', default_system='', enable_thinking=True, system=None, \
response='It is 2.')
    """
    return Trained(
        template=train.get("template"),
        default_system=train.get("default_system"),
        enable_thinking=train.get("enable_thinking", True),
        response=response,
    )


def evaluated_of(evaluation: Mapping[str, Any]) -> Evaluated:
    """Return what an `lm-eval run --config` file says of prompts.

    >>> evaluated_of({"apply_chat_template": True, "model_args": {"enable_thinking": False}})
    Evaluated(chat=True, system_instruction=None, enable_thinking=False, add_bos_token=None)
    """
    model_args = evaluation.get("model_args") or {}
    return Evaluated(
        chat=bool(evaluation.get("apply_chat_template")),
        system_instruction=evaluation.get("system_instruction"),
        enable_thinking=model_args.get("enable_thinking"),
        add_bos_token=model_args.get("add_bos_token"),
    )


def training_prompt(tokenizer: Any, trained: Trained, user: str = _USER) -> Prompt:
    """Return the prompt of a training turn; training changes the tokenizer, and so does this."""
    template = _template(tokenizer, trained)
    messages = [
        {"role": "user", "content": user},
        {"role": "assistant", "content": trained.response},
    ]
    ((ids, _),) = template.encode_multiturn(tokenizer, messages, trained.system, None)
    return _prompt(tokenizer, ids)


def evaluation_prompt(tokenizer: Any, evaluated: Evaluated, user: str = _USER) -> Prompt:
    """Return the prompt that lm-eval's hf backend sends for a zero-shot task."""
    from lm_eval.models.huggingface import HFLM  # type: ignore[import-untyped]

    thinking = {"enable_thinking": evaluated.enable_thinking}
    model = SimpleNamespace(
        tokenizer=tokenizer,
        chat_template_args={} if evaluated.enable_thinking is None else thinking,
        backend="causal",
        add_bos_token=evaluated.add_bos_token,
    )
    text = user
    if evaluated.chat:
        messages = [{"role": "user", "content": user}]
        if evaluated.system_instruction:
            messages.insert(0, {"role": "system", "content": evaluated.system_instruction})
        text = HFLM.apply_chat_template(model, messages)
    elif evaluated.system_instruction:
        text = f"{evaluated.system_instruction}\n\n{user}"
    ids, _ = HFLM.tok_batch_encode(model, [text])
    return _prompt(tokenizer, ids[0].tolist())


@dataclass(frozen=True)
class Asked:
    """One question as a training row asks it, and as a task does."""

    in_training: str = _USER
    in_evaluation: str = _USER


def parity_fault(
    place: str, tokenizer: Any, trained: Trained, evaluated: Evaluated, asked: Asked | None = None
) -> Fault | None:
    """Return where the two prompts differ and which setting fixes it, or None if they are equal.

    The tokenizer must be one that training would load (or has saved); it is not changed.
    """
    tokenizer = copy.deepcopy(tokenizer)
    asked = asked or Asked()
    wanted = training_prompt(tokenizer, trained, asked.in_training)
    got = evaluation_prompt(tokenizer, evaluated, asked.in_evaluation)
    if got.text == wanted.text:
        return None
    at = next(
        (i for i, (a, b) in enumerate(zip(wanted.text, got.text, strict=False)) if a != b),
        min(len(wanted.text), len(got.text)),
    )
    return Fault(
        place,
        f"the evaluation prompt differs from the training prompt at character {at}: "
        f"{_around(got.text, at)}",
        f"{_around(wanted.text, at)} as template '{trained.template}' trained it",
        _remedy(tokenizer, trained, evaluated)
        if asked.in_training == asked.in_evaluation
        else "the question is asked in other words: generate the folder again",
    )


def install_training_template(checkpoint: Path, trained: Trained) -> None:
    """Write the training prompt into a checkpoint's tokenizer as its chat template.

    What the template changes of the special tokens is written with it. The vocabulary is left as
    it is: training has written whatever tokens it added.

    Raises:
        FaultsError: the checkpoint has no tokenizer that can be read.
        ValueError: LLaMA-Factory cannot say this template in Jinja.
    """
    tokenizer = load_tokenizer(checkpoint)
    tokenizer.chat_template = training_chat_template(tokenizer, trained)
    with tempfile.TemporaryDirectory() as written:
        tokenizer.save_pretrained(written)
        texts = {
            name: (Path(written) / name).read_text(encoding="utf-8")
            for name in _PROMPT_FILES
            if (Path(written) / name).is_file()
        }
    write_texts_if_changed(checkpoint, texts)


def training_chat_template(tokenizer: Any, trained: Trained) -> str:
    """Return the training prompt as a Jinja chat template, an empty thought included.

    Raises:
        ValueError: LLaMA-Factory cannot say this template in Jinja.
    """
    from llamafactory.data.template import ReasoningTemplate, Template

    template = _template(tokenizer, trained)
    # LLaMA-Factory leaves backslashes as they are, and Jinja reads \b of \boxed as a backspace
    with replaced(Template, "_jinja_escape", staticmethod(_escaped)):
        jinja = str(template._get_jinja_template(tokenizer))
    if trained.system:
        system = _escaped(trained.system)
        jinja = f"{{% set system_message = '{system}' %}}" + jinja
    thought = "".join(template.thought_words)
    tagged = any(word.strip() in trained.response for word in template.thought_words)
    kept = tagged and trained.enable_thinking is not False  # false removes the thoughts
    if isinstance(template, ReasoningTemplate) and not trained.enable_thinking and not kept:
        jinja += "{% if add_generation_prompt %}{{ " + repr(thought) + " }}{% endif %}"
    return jinja


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")


def _template(tokenizer: Any, trained: Trained) -> Any:
    """Return a LLaMA-Factory template set up for one file; the registry's own is not changed."""
    from llamafactory.data import template as registry

    arguments = SimpleNamespace(
        template=trained.template,
        default_system=trained.default_system,
        enable_thinking=trained.enable_thinking,
        preserve_thinking=False,
        train_on_prompt=False,
        tool_format=None,
    )
    templates = dict(registry.TEMPLATES)
    if trained.template in templates:
        templates[trained.template] = copy.deepcopy(templates[trained.template])
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with replaced(registry, "TEMPLATES", templates):
            return registry.get_template_and_fix_tokenizer(tokenizer, arguments)
    finally:
        logging.disable(before)


def _remedy(tokenizer: Any, trained: Trained, evaluated: Evaluated) -> str:
    """Return the fewest settings that make the prompts equal, else how to change the checkpoint."""
    wanted = training_prompt(tokenizer, trained)
    systems = dict.fromkeys(
        [evaluated.system_instruction, None, trained.system, trained.default_system]
    )
    template_system = _template(copy.deepcopy(tokenizer), trained).default_system
    candidates = [
        replace(evaluated, chat=chat, system_instruction=system or None, enable_thinking=thinking,
                add_bos_token=bos)
        for chat, system, thinking, bos in itertools.product(
            (True, False), [*systems, template_system],
            (evaluated.enable_thinking, None, False), (evaluated.add_bos_token, None, False, True),
        )
    ]  # fmt: skip
    changes = []
    for candidate in sorted(candidates, key=lambda one: len(_changes(evaluated, one))):
        if evaluation_prompt(tokenizer, candidate).text == wanted.text:
            changes = _changes(evaluated, candidate)
            break
    if changes:
        return "set " + " and ".join(changes)
    return "write the training prompt into it: cotdistill prompts CHECKPOINT TRAIN.yaml"


def _changes(before: Evaluated, after: Evaluated) -> list[str]:
    changes = []
    if after.chat != before.chat:
        changes.append("--apply_chat_template" if after.chat else "no --apply_chat_template")
    if after.system_instruction != before.system_instruction:
        changes.append(
            f"--system_instruction {after.system_instruction!r}"
            if after.system_instruction
            else "no --system_instruction"
        )
    for name in ("enable_thinking", "add_bos_token"):
        if getattr(after, name) != getattr(before, name):
            changes.append(f"--model_args {name}={getattr(after, name)}")
    return changes


def _prompt(tokenizer: Any, ids: list[int]) -> Prompt:
    text = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return Prompt(text, tuple(ids))


def _around(text: str, at: int) -> str:
    return repr(text[max(0, at - 10) : at + 40])
