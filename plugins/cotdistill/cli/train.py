"""`train`: the stock training command, with distillation."""

from __future__ import annotations

import typer


def train(context: typer.Context) -> None:
    """Train as llamafactory-cli train does, with a kd: block; the same arguments and files.

    The block stands in the training file, or in <run>.kd.yaml next to a generated one. Without it
    the stock command is executed unchanged.

    Example:
        cotdistill train runs/gap/train/qwen--mentor--kd--s1.yaml
        cotdistill train train.yaml kd.temperature=2 learning_rate=1e-5
    """
    from cotdistill.distill.launch import train as launch

    status = launch(context.args)
    if status:
        raise typer.Exit(status)


train.context_settings = {  # type: ignore[attr-defined]
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "allow_interspersed_args": False,
}
