"""The same merges by mergekit, in its own environment: equal to rounding, DARE in distribution."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cotdistill.cli.main import main
from cotdistill.files.yamls import dump_yaml
from cotdistill.models.merge.weights import weights_of
from tiny_models import build

pytestmark = pytest.mark.slow
ENVIRONMENT = Path(__file__).resolve().parents[2] / ".venv-bench" / "merge"
SHARES = {"one": {"weight": 0.3}, "two": {"weight": 0.7}}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (ENVIRONMENT / "bin" / "mergekit-yaml").is_file():
        if os.environ.get("CI"):
            pytest.fail(f"no mergekit in {ENVIRONMENT}; make mergekit")
        pytest.skip("make mergekit")
    folder = tmp_path_factory.mktemp("models")
    for seed, name in enumerate(("base", "one", "two")):
        build(folder / name, seed=seed, width=64, architecture="qwen2")
    return folder


def merged_by(engine: str, models: Path, described: Mapping[str, Any]) -> dict[str, Any]:
    """Merge by the verb, and return the differences from the base by name of the tensor."""
    file = models / "merge.yaml"
    file.write_text(dump_yaml(dict(described)), encoding="utf-8")
    output = models / f"{described['merge']}-{Path(engine).name}"
    assert main(["merge", str(file), "-o", str(output), "--engine", engine]) == 0
    weights, base = weights_of(output, "it"), weights_of(models / "base", "base")
    return {
        name: weights.block(name, 0, t.numbers) - base.block(name, 0, t.numbers)
        for name, t in weights.tensors.items()
    }


@pytest.mark.parametrize(
    "described",
    [
        {"merge": "linear"},
        {"merge": "slerp"},
        {"merge": "task_arithmetic", "base": "base", "lambda": 0.8},
        {"merge": "ties", "base": "base", "normalize": True},
    ],
    ids=lambda described: "-".join(map(str, described.values())),
)
def test_methods_without_chance_are_equal_to_rounding(models: Path, described: Any) -> None:
    density = {"density": 0.4} if described["merge"] == "ties" else {}
    shares = {name: share | density for name, share in SHARES.items()}
    ours, theirs = (
        merged_by(engine, models, described | {"models": shares})
        for engine in ("native", str(ENVIRONMENT))
    )
    assert ours.keys() == theirs.keys()
    for name, found in ours.items():
        np.testing.assert_allclose(found, theirs[name], atol=1e-5, err_msg=name)


def test_dare_is_equal_in_distribution(models: Path) -> None:
    shares = {name: {"weight": 1.0, "density": 0.5} for name in SHARES}
    described = {"merge": "dare_ties", "base": "base", "models": shares, "normalize": True}
    ours, theirs = (
        np.concatenate(list(merged_by(engine, models, described).values()))
        for engine in ("native", str(ENVIRONMENT))
    )
    assert len(ours) > 30_000
    assert (ours == 0).mean() == pytest.approx((theirs == 0).mean(), abs=0.02)
    for moment in (np.mean, np.std, lambda found: np.abs(found).mean()):
        assert moment(ours) == pytest.approx(moment(theirs), rel=0.05, abs=0.003)
    for share in (0.05, 0.25, 0.75, 0.95):
        spread = float(np.std(theirs))
        assert np.quantile(ours, share) == pytest.approx(
            np.quantile(theirs, share), abs=0.05 * spread
        )
