"""Arms on a hub: left to LLaMA-Factory where plain, fetched by the prepare stage where mixed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cotdistill.arms.build import build_arm
from cotdistill.catalogue.registration import Registration
from cotdistill.errors import DataError
from cotdistill.files.jsonl import read_rows
from cotdistill.hosts.hub import hub_rows
from cotdistill.runfolder.generate import generate
from cotdistill.studies import resolve_arms


def registration(name: str, url: str) -> Registration:
    return Registration.model_validate(
        {
            "name": name,
            "hf_hub_url": url,
            "columns": {"prompt": "problem", "response": "solution"},
            "_about": {"licence": "MIT", "source": "made up"},
        }
    )


@pytest.mark.host
def test_a_mix_of_hub_datasets_is_built_by_the_prepare_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A local folder stands for the hub: the library reads both through the same call."""
    registered = {}
    for name in ("long", "short"):
        (tmp_path / name).mkdir()
        rows = [{"problem": f"p{n}", "solution": f"{name} {n}"} for n in range(30)]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / name / "train.jsonl").write_text(text)
        registered[name] = registration(name, str(tmp_path / name))
    monkeypatch.setattr(resolve_arms, "datasets", lambda: registered)
    study = tmp_path / "s.yaml"
    study.write_text(
        "name: s\nstudents: [Qwen2.5-0.5B]\n"
        "arms: {mixed: {mix: {long: 0.2, short: 0.8}, rows: 25}}\n"
        "recipes: {full: {epochs: 1}}\nevaluation: {tasks: [cot_gsm8k]}\n"
    )
    done = generate(str(study), tmp_path / "run")
    assert done.to_prepare == ("mixed",)
    rows = list(read_rows(build_arm(tmp_path / "run", "mixed")))
    assert len(rows) == 25
    assert sum(row["output"].startswith("long") for row in rows) == 5
    assert generate(str(study), tmp_path / "run").changed == ()


@pytest.mark.host
def test_a_hub_that_cannot_be_reached_gets_a_clear_line() -> None:
    with pytest.raises(DataError) as caught:
        next(hub_rows("nobody/nothing-at-all"))
    message = str(caught.value)
    assert message.startswith("nobody/nothing-at-all: cannot be read from the hub (")
    assert message.endswith("fetch it first, or use an arm with 'file'")
