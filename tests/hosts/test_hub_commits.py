"""What was fetched from a hub is known from its cache, without asking it again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cotdistill.hosts.hub_commits import cached_commit, commits_used

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache as the library lays it out, with a model and a dataset."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    for name, reference in (("models--org--m", "main"), ("datasets--org--d", "main")):
        path = tmp_path / "hub" / name / "refs" / reference
        path.parent.mkdir(parents=True)
        path.write_text(COMMIT)
    return tmp_path / "hub"


def test_a_branch_is_the_commit_that_was_fetched(cache: Path) -> None:
    assert cached_commit("models", "org/m") == COMMIT
    assert cached_commit("models", "org/m", "v2") is None
    assert cached_commit("models", "org/m", "f" * 40) == "f" * 40
    (cache / "models--org--m/refs/main").write_text("not a commit")
    assert cached_commit("models", "org/m") is None


def test_a_training_file_names_what_was_used(cache: Path, tmp_path: Path) -> None:
    assert cache.is_dir()
    train, registry = tmp_path / "a.yaml", tmp_path / "dataset_info.json"
    train.write_text("model_name_or_path: org/m\ndataset: gold, local\n")
    registry.write_text(
        json.dumps({"gold": {"hf_hub_url": "org/d"}, "local": {"file_name": "x.jsonl"}})
    )
    assert commits_used(train, registry) == {"org/m": COMMIT, "org/d": COMMIT}
    train.write_text(f"model_name_or_path: {tmp_path}\ndataset: local\n")
    assert commits_used(train, registry) == {}
    registry.write_text("{")
    assert commits_used(train, registry) == {}
