"""`prompts`: give a checkpoint the prompt that it was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cotdistill.cli.tables import say


def prompts(
    checkpoint: Annotated[Path, typer.Argument(help="checkpoint or exported model")],
    train: Annotated[
        Path, typer.Argument(metavar="TRAIN.yaml", help="training file of that checkpoint")
    ],
) -> None:
    """Write the training prompt into a checkpoint as its chat template.

    Every evaluation and server then uses the prompt that the model was trained on.
    `cotdistill check RUN_FOLDER` says which checkpoints need it.

    Example:
        cotdistill prompts runs/gap/exported/RUN runs/gap/train/RUN.yaml
    """
    from cotdistill.errors import Fault, FaultsError
    from cotdistill.files.yamls import read_yaml
    from cotdistill.hosts.prompt_parity import install_training_template, trained_of

    settings = read_yaml(train)
    if not isinstance(settings, dict) or "template" not in settings:
        raise FaultsError(Fault(str(train), "names no template", "a LLaMA-Factory training file"))
    if not (checkpoint / "tokenizer_config.json").is_file():
        wrong = "holds no tokenizer_config.json"
        raise FaultsError(Fault(str(checkpoint), wrong, "a checkpoint or an exported model"))
    try:
        install_training_template(checkpoint, trained_of(settings))
    except ValueError as error:
        raise FaultsError(Fault(str(train), f"its template cannot be used ({error})")) from error
    say(f"{checkpoint}: its chat template is now the one of {train}")
