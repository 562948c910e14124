"""How a study asks its questions: said once, followed by training rows and evaluation tasks alike.

`instruction` is "none" (the bare question), "task" (each task asks as its own file says), the name
of a file in `templates/prompts/ask/`, or the words themselves, which follow the question after a
blank line unless they say `{question}` where it is to be.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from pydantic import field_validator, model_validator

from cotdistill.benchmarks.instruction import Choices, Frame, frame_of
from cotdistill.schema import Shape, key

Answer = Literal["boxed", "sentence", "plain"]
Thinking = Literal["data", "on", "off"]
_ABOUT_INSTRUCTION = (
    "none, task (as each task's own file says), a file of templates/prompts/ask/, or the words"
)


def word_of_switch(value: Any) -> Any:
    """YAML reads on and off as booleans; here they are words."""
    return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value


class OtherPrompt(Shape):
    """What an evaluation asks otherwise than the training rows do: a declared difference."""

    instruction: str | None = key(None, f"{_ABOUT_INSTRUCTION}; null: the same", "task")
    system: str | None = key(None, "system prompt; null: the same", "You are a tutor.")
    thinking: Thinking | None = key(None, "data, on or off; null: the same", "on")

    _switch = field_validator("thinking", mode="before")(word_of_switch)


class Prompt(Shape):
    """The prompt of a study; `evaluation` declares what is asked otherwise there on purpose."""

    instruction: str = key("none", _ABOUT_INSTRUCTION, "boxed")
    system: str | None = key(
        None, 'system prompt of every model; null: each model\'s own, "": none', "You are a tutor."
    )
    thinking: Thinking = key(
        "data",
        "off: no thoughts; on: thoughts are asked for; data: as the training rows have them",
        "off",
    )
    answer: Answer = key(
        "sentence",
        "how `answers:` arms state an answer: \\boxed{5}, The answer is 5., or 5",
        "boxed",
    )
    choices: Choices = key(
        "data",
        "how rows write a question's answer choices: data (as their source does) or tasks (as the "
        "packaged tasks do: a line each, and in a row where programs are asked for)",
        "tasks",
    )
    evaluation: OtherPrompt | None = key(
        None, "what the evaluation asks otherwise, on purpose", {"instruction": "task"}
    )

    _switch = field_validator("thinking", mode="before")(word_of_switch)

    @model_validator(mode="after")
    def _rows_have_words(self) -> Prompt:
        if self.instruction == "task":
            raise ValueError(
                "training rows belong to no task; say none, a prompt's name or the words, and "
                "evaluation: {instruction: task} if the tasks are to ask in their own words"
            )
        return self

    @property
    def frame(self) -> Frame:
        """The words around the questions of training rows; those of a resolved study are known."""
        words = frame_of("" if self.instruction == "none" else self.instruction)
        return replace(words, choices=self.choices)

    @property
    def of_tasks(self) -> str:
        """The instruction that the evaluation adds."""
        other = self.evaluation.instruction if self.evaluation else None
        return self.instruction if other is None else other
