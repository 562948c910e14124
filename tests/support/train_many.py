"""Train several files one after the other in one process, since starting the host takes seconds.

    python train_many.py FILE.yaml ...

Each file is trained by `cotdistill train`'s own code if it has a `kd:` block, and by the host's
`run_exp` else. The last line printed says for each file "ok", or the error that it ended with.
"""

from __future__ import annotations

import json
import sys

from cotdistill.errors import UserError


def main(paths: list[str]) -> None:
    """Train and report."""
    from llamafactory.hparams import read_args
    from llamafactory.train.tuner import run_exp

    from cotdistill.distill.train_file import read_train_file
    from cotdistill.distill.trainer.worker import checked, train_here

    results = []
    for path in paths:
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
