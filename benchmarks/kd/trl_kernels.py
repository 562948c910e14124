"""TRL's two kernels of losses from hidden states, loaded without the rest of TRL.

Versions with these kernels (1.16) need newer libraries than LLaMA-Factory allows; the kernels alone
need torch and transformers.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple


class Kernels(NamedTuple):
    """The autograd functions of the divergence and of the log-probability of the labels."""

    divergence: Any
    logprob: Any

    def loss(
        self, x: dict[str, Any], weight: float, temperature: float, *, beta: float = 0.0
    ) -> Any:
        """Return (1 - weight) CE + weight D, mean over tokens; D is forward KL where beta is 0.

        TRL's divergence has no cross-entropy; its second kernel adds it.
        """
        rows, _ = self.divergence.apply(
            x["h"], x["w"], None, x["ht"], x["wt"], None, beta, temperature
        )
        chosen = self.logprob.apply(x["h"], x["w"], None, x["y"], 1.0, 32768, None, 1.0, ())[0]
        return (1 - weight) * -chosen.mean() + weight * rows.mean()


def load_kernels(folders: Iterable[str]) -> Kernels:
    """Load the kernels of the first package `trl` in these folders that has them.

    Raises:
        ImportError: there is none.
    """
    file = Path("trl", "kernels", "chunked_divergence.py")
    folder = next((Path(one) for one in folders if Path(one, file).is_file()), None)
    if folder is None:
        raise ImportError(f"there is no {file}, which TRL 1.16 has")
    for name in ("trl", "trl.trainer", "trl.kernels"):
        package = types.ModuleType(name)
        package.__path__ = [str(folder.joinpath(*name.split(".")))]
        sys.modules[name] = package
    stand_in = types.ModuleType("trl.trainer.utils")
    stand_in.maybe_gather_lm_head_ctx = lambda *_: nullcontext()  # type: ignore[attr-defined]
    sys.modules["trl.trainer.utils"] = stand_in
    return Kernels(
        importlib.import_module("trl.kernels.chunked_divergence").ChunkedDivergenceFunction,
        importlib.import_module("trl.kernels.chunked_logprob").ChunkedLogProbFunction,
    )
