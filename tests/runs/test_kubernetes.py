"""Jobs as pods: the executor for Kubernetes, and an API on loopback whose pods are processes.

No cluster has run this. What is tested is what the executor asks an API server for.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from cotdistill.files.bundle import bundle_folder
from kubernetes_api import kubernetes_api

PLUGIN = Path(__file__).resolve().parents[2] / ".venv-bench" / "kubernetes"
PROFILE = bundle_folder("templates") / "profiles" / "kubernetes"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (PLUGIN / "ready").is_file(),
        reason="snakemake-executor-plugin-kubernetes is not installed: make kubernetes",
    ),
]


def own_profile(folder: Path, shared: Path) -> Path:
    """Copy the shipped profile and fill in image and claim, as its head says."""
    text = (PROFILE / "config.yaml").read_text()
    text = text.replace("REGISTRY/cotdistill", "registry.example/cotdistill")
    text = text.replace("CLAIM:/shared", f"my-claim:{shared}")
    folder.mkdir()
    (folder / "config.yaml").write_text(text)
    return folder


def test_only_jobs_with_gpus_ask_for_them_and_every_pod_has_the_shared_volume(
    study: Any, tmp_path: Path
) -> None:
    study.add("one", gpus=2)
    study.add("bad", gpus=0, fail="cutoff_len is no number")
    study.write()
    profile = own_profile(tmp_path / "profile", tmp_path)
    words = ("--keep-going", "--jobs", "2", "--", "--profile", str(profile))
    waits = ("--seconds-between-status-checks", "1")
    paths = os.pathsep.join(filter(None, [str(PLUGIN), os.environ.get("PYTHONPATH", "")]))
    with kubernetes_api(tmp_path, paths) as cluster:
        env = {"KUBECONFIG": str(cluster.config), "PYTHONPATH": paths}
        status, output = study.run(*words, *waits, **env)

    assert cluster.refused == []
    assert status == 1
    assert "finished train one" in output
    assert "finished evaluate one" in output
    assert "    ValueError: cutoff_len is no number" in output
    assert len(cluster.jobs) == 3
    with_gpus = []
    for job in cluster.jobs.values():
        pod = job["spec"]["template"]["spec"]
        container = pod["containers"][0]
        assert container["image"] == "registry.example/cotdistill:0.2.0"
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounts["my-claim"] == str(tmp_path)
        claims = [volume.get("persistentVolumeClaim") for volume in pod["volumes"]]
        assert {"claimName": "my-claim"} in claims
        resources = container["resources"]
        assert resources["requests"]["memory"] == resources["limits"]["memory"] == "32000M"
        gpu = resources["limits"].get("nvidia.com/gpu")
        assert resources["requests"].get("nvidia.com/gpu") == gpu
        tolerated = [toleration["key"] for toleration in pod.get("tolerations") or []]
        assert tolerated == (["nvidia.com/gpu"] if gpu else [])
        with_gpus.append(gpu)
    assert sorted(with_gpus, key=str) == ["2", None, None]


def test_the_profile_is_valid_yaml_that_names_what_must_be_filled_in() -> None:
    profile = yaml.safe_load((PROFILE / "config.yaml").read_text())
    assert "REGISTRY" in profile["container-image"]
    assert profile["kubernetes-shared-persistent-volumes"] == ["CLAIM:/shared"]
