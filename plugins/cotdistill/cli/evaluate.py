"""`eval`: lm-eval with our tasks."""

from __future__ import annotations

import typer


def evaluate(context: typer.Context) -> None:
    """Evaluate as lm_eval does: the same arguments, output and files, with our tasks and guards.

    Only our tasks are read (lm-eval's own too, if one is asked for). The run stops before it
    generates if a prompt does not fit; an interrupted run goes on where it stopped when the same
    command is typed again. For the arguments: cotdistill eval run --help

    Example: cotdistill eval --model hf --model_args pretrained=MODEL --tasks cot_gsm8k
    --apply_chat_template --output_path scores --log_samples
    """
    from cotdistill.benchmarks.evaluate import evaluate as evaluate_tasks

    evaluate_tasks(context.args)


evaluate.context_settings = {  # type: ignore[attr-defined]
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "allow_interspersed_args": False,
}
