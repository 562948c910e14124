"""A Kubernetes API on loopback, as far as Snakemake speaks to it, whose pods are processes.

It keeps what it was sent, refuses what an API server refuses (resources that may not be promised
twice need a limit equal to the request; mounts need volumes; names are DNS labels), and runs each
container's command here with the variables of its secret and nothing of the submitting shell. It
is no cluster: no image, no volume, no scheduling, no GPU.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
FACTORS = {"m": 0.001, "M": 1e6, "G": 1e9, "Mi": 2**20, "Gi": 2**30, "": 1.0}


@dataclass
class Cluster:
    """What was sent to the API, and the processes of its pods."""

    folder: Path
    python_path: str = ""
    address: str = ""
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    pods: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        """A kubeconfig that leads here."""
        path = self.folder / "kubeconfig"
        cluster = {"name": "loop", "cluster": {"server": self.address}}
        context = {"name": "loop", "context": {"cluster": "loop", "user": "me"}}
        user = {"name": "me", "user": {"token": "secret"}}
        config = {"apiVersion": "v1", "kind": "Config", "current-context": "loop"}
        lists = {"clusters": [cluster], "contexts": [context], "users": [user]}
        path.write_text(json.dumps(config | lists))
        return path

    def start(self, job: dict[str, Any]) -> None:
        """Start the one container of a job."""
        name = job["metadata"]["name"]
        container = job["spec"]["template"]["spec"]["containers"][0]
        env = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(self.folder)}
        env |= {"PYTHONPATH": self.python_path}  # what the image has installed
        for variable in container.get("env") or []:
            where = variable["valueFrom"]["secretKeyRef"]
            value = self.secrets[where["name"]][where["key"]]
            env[variable["name"]] = base64.b64decode(value).decode()
        place = self.folder / "pods" / name
        place.mkdir(parents=True)
        with (place / "log").open("wb") as log:
            self.pods[name] = subprocess.Popen(
                [*container["command"], *container["args"]],
                cwd=place, env=env, stdout=log, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    def stop(self, name: str) -> None:
        """End a pod and everything in it."""
        pod = self.pods[name]
        if pod.poll() is None:
            os.killpg(pod.pid, 9)
            pod.wait()

    def status(self, name: str) -> dict[str, Any]:
        """Return the state of a job as the API tells it."""
        code = self.pods[name].poll()
        state = {"active": 1} if code is None else {"failed": 1} if code else {"succeeded": 1}
        return self.jobs[name] | {"status": state}

    def pod(self, name: str) -> dict[str, Any]:
        """Return the pod of a job as the API tells it."""
        code = self.pods[name].poll()
        state = {"running": {}} if code is None else {"terminated": {"exitCode": code}}
        container = {"name": "snakemake", "image": "x", "imageID": "x", "ready": True}
        statuses = [container | {"restartCount": 0, "state": state}]
        metadata = {"name": f"{name}-0", "labels": {"job-name": name}}
        return {"metadata": metadata, "status": {"containerStatuses": statuses}}


def objections(job: Mapping[str, Any]) -> list[str]:
    """Return what an API server has against a job; empty where it takes it."""
    pod = job["spec"]["template"]["spec"]
    container = pod["containers"][0]
    volumes = [volume["name"] for volume in pod.get("volumes") or []]
    found = [f"name: {name}" for name in volumes if not LABEL.fullmatch(name)]
    if not LABEL.fullmatch(job["metadata"]["name"]):
        found.append(f"metadata.name: {job['metadata']['name']}")
    if not container.get("image"):
        found.append("spec.containers[0].image: Required value")
    for mount in container.get("volumeMounts") or []:
        if mount["name"] not in volumes:
            found.append(f"volumeMounts: Not found: {mount['name']}")
    resources = container.get("resources") or {}
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    for name, amount in requests.items():
        if "/" in name and name not in limits:
            found.append(f"{name}: Limit must be set for non overcommitable resources")
        elif "/" in name and limits[name] != amount:
            found.append(f"{name}: must be equal to {name} limit")
        elif name in limits and _number(amount) > _number(limits[name]):
            found.append(f"{name}: must be less than or equal to {name} limit")
    return found


def _number(amount: str) -> float:
    found = re.fullmatch(r"(\d+)(\w*)", amount)
    assert found is not None, amount
    return int(found[1]) * FACTORS[found[2]]


@contextmanager
def kubernetes_api(folder: Path, python_path: str) -> Iterator[Cluster]:
    """Serve the API until the block ends; then end what runs."""
    cluster = Cluster(folder, python_path)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *words: object) -> None:
            """Say nothing."""

        def answer(self, body: dict[str, Any] | str, status: int = 200) -> None:
            text = (body if isinstance(body, str) else json.dumps(body)).encode()
            kind = "text/plain" if isinstance(body, str) else "application/json"
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def body(self) -> dict[str, Any]:
            text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            return json.loads(text) if text else {}

        def do_POST(self) -> None:
            sent = self.body()
            if self.path.endswith("/secrets"):
                cluster.secrets[sent["metadata"]["name"]] = sent.get("data") or {}
                self.answer(sent, 201)
            elif self.path.endswith("/jobs"):
                if faults := objections(sent):
                    cluster.refused += faults
                    self.answer({"kind": "Status", "message": "; ".join(faults)}, 422)
                    return
                cluster.jobs[sent["metadata"]["name"]] = sent
                cluster.start(sent)
                self.answer(sent, 201)
            else:
                self.answer({"kind": "Status", "message": self.path}, 404)

        def do_GET(self) -> None:
            place = urlsplit(self.path)
            parts = place.path.split("/")
            if parts[-1] == "status" and parts[-2] in cluster.jobs:
                self.answer(cluster.status(parts[-2]))
            elif parts[-1] == "pods":
                name = parse_qs(place.query)["labelSelector"][0].partition("=")[2]
                pods = [cluster.pod(name)] if name in cluster.pods else []
                self.answer({"kind": "PodList", "items": pods})
            elif parts[-1] == "log":
                name = parts[-2].removesuffix("-0")
                self.answer((folder / "pods" / name / "log").read_text())
            else:
                self.answer({"kind": "Status", "message": self.path}, 404)

        def do_DELETE(self) -> None:
            self.body()
            kind, name = urlsplit(self.path).path.split("/")[-2:]
            if kind == "jobs" and name in cluster.pods:
                cluster.stop(name)
            self.answer({"kind": "Status", "status": "Success"})

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    cluster.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield cluster
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        for name in cluster.pods:
            cluster.stop(name)
