"""`eval`: run lm-eval on our tasks."""

from __future__ import annotations

import typer


def evaluate(context: typer.Context) -> None:
    r"""Run lm_eval on our tasks: the same arguments, output and files, with extra checks.

    Only our tasks are indexed (lm-eval's own too, if one is named). The run stops before
    generating if a prompt does not fit the context; after an interruption, the same command
    resumes from the last response. For the arguments: cotdistill eval run --help

    Example:
        cotdistill eval --model hf --model_args pretrained=MODEL \
            --tasks cot_gsm8k --apply_chat_template \
            --output_path scores --log_samples
    """
    from cotdistill.benchmarks.evaluate import evaluate as evaluate_tasks

    evaluate_tasks(context.args)


evaluate.context_settings = {  # type: ignore[attr-defined]
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "allow_interspersed_args": False,
}
