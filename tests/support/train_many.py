"""Train several files one after the other in one process, since starting the host takes seconds.

    python train_many.py FILE.yaml ... ["capture WORDS"] ...

Words that begin with "capture" are run as `cotdistill capture`. A file with a `kd:` block is
trained by `cotdistill train`'s own code, any other by the host's `run_exp`. The last line printed
says for each "ok", or the error that it ended with.
"""

from __future__ import annotations

import json
import shlex
import sys

from cotdistill.cli.main import main as call
from cotdistill.errors import UserError


def main(paths: list[str]) -> None:
    """Train and report."""
    from llamafactory.hparams import read_args
    from llamafactory.train.tuner import run_exp

    from cotdistill.distill.train_file import read_train_file
    from cotdistill.distill.trainer.worker import checked, train_here

    results = []
    for path in paths:
        if path.startswith("capture "):
            results.append("ok" if call(shlex.split(path)) == 0 else "failed")
            continue
        try:
            file = read_train_file([path])
            if file is None:
                sys.argv = ["train", path]
                run_exp(read_args())
            else:
                checked(file)
                train_here(file)
            results.append("ok")
        except UserError as error:
            results.append(str(error))
    sys.stdout.write(f"\n{json.dumps(results)}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
