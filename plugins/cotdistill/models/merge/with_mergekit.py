"""The same merge by mergekit: its weights, and the donor's files as always."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from cotdistill.errors import DataError, Fault, MisuseError
from cotdistill.files.atomic import folder_written_whole
from cotdistill.hosts.mergekit import mergekit_program, mergekit_weights
from cotdistill.models.merge.merge import (
    MergeOptions,
    Sources,
    copy_from_donor,
    refuse_folder,
)
from cotdistill.models.merge.settings import WITHOUT_BASE
from cotdistill.models.merge.weights import INDEX, weights_of


def write_by_mergekit(
    sources: Sources, folder: Path, options: MergeOptions, environment: str
) -> None:
    """Write the merged model with weights that mergekit computed.

    DARE is another one there: what is kept is scaled to the L1 norm of all differences, and depends
    on the order of the tensors and the device.

    Raises:
        FaultsError: mergekit is not there or fails, or wrote other tensors.
        MisuseError: the merge keeps rows of the donor, which mergekit does not.
    """
    program = mergekit_program(environment, "--engine")
    if sources.donor_rows:
        raise MisuseError("cotdistill merge: 'tokens: donor' needs --engine native")
    refuse_folder(sources, folder)
    with folder_written_whole(folder) as filling:
        made = filling / "mergekit"
        settings = sources.settings
        mergekit_weights(
            program, mergekit_configuration(sources), made,
            seed=settings.seed, shard_bytes=options.shard_bytes,
        )  # fmt: skip
        _refuse_others(sources, made)
        for file in sorted(made.glob("*.safetensors")):
            file.replace(filling / file.name)
        if (made / INDEX).is_file():
            (made / INDEX).replace(filling / INDEX)
        made.with_suffix(".yaml").unlink()
        shutil.rmtree(made)
        copy_from_donor(sources, filling, "mergekit")


def mergekit_configuration(sources: Sources) -> dict[str, Any]:
    """Return a merge as mergekit is told of it, computed in float32 as it is here."""
    settings = sources.settings
    kept = settings.merge not in (*WITHOUT_BASE, "task_arithmetic")
    models = [
        {
            "model": str(candidate.weights.folder.absolute()),
            "parameters": {"weight": part.weight} | ({"density": part.density} if kept else {}),
        }
        for candidate, part in sources.models
    ]
    dtypes = {tensor.dtype for tensor in sources.tensors.values()}
    names = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}
    written: dict[str, Any] = {
        "merge_method": settings.merge,
        "dtype": "float32",
        "out_dtype": names[dtypes.pop()] if len(dtypes) == 1 else "bfloat16",
        "models": models,
    }
    if settings.merge == "slerp":
        first, second = (part.weight for _, part in sources.models)
        written["base_model"] = models[0]["model"]
        written["models"] = [{"model": entry["model"]} for entry in models]
        written["parameters"] = {"t": second / (first + second)}
        return written
    written["parameters"] = {"normalize": settings.is_normalized}
    if sources.base is not None:
        written["base_model"] = str(sources.base.weights.folder.absolute())
        written["parameters"]["lambda"] = settings.scale
    return written


def _refuse_others(sources: Sources, made: Path) -> None:
    """Refuse weights that are not those which the donor's configuration describes."""
    found = weights_of(made, "mergekit").tensors
    wanted = sources.tensors
    wrong = sorted(set(found) ^ set(wanted))
    wrong += [n for n in found if n in wanted and found[n].shape != wanted[n].shape]
    if wrong:
        shown = ", ".join(wrong[:3])
        raise DataError(Fault("mergekit", f"it wrote other tensors ({shown})", "the donor's"))
