"""A training in this process, through the host's own entry or ours, without the host's talk."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path


def train_file(path: Path) -> None:
    """Train what a file says, with its `kd:` block where it has one."""
    from llamafactory.train.tuner import run_exp

    from cotdistill.distill.train_file import read_train_file
    from cotdistill.distill.trainer.worker import checked, train_here
    from cotdistill.files.yamls import read_yaml

    file = read_train_file([str(path)])
    with quiet():
        if file is None:
            run_exp(read_yaml(path))
        else:
            checked(file)
            train_here(file)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the host's talk back."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        yield
