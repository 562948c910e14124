"""Scores and curves reach the trackers that are installed; a missing one is named."""

import importlib.util
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest

from cotdistill.errors import MisuseError
from cotdistill.hosts.trackers import tracker
from cotdistill.results.collect import collect
from cotdistill.results.report.serve import serve_page
from cotdistill.results.report.track import track_results
from run_folder import add_run, add_scores, add_training


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    here = tmp_path / "study"
    for arm, right in [("level1", 9), ("level2", 4)]:
        run = f"tiny--{arm}--full--s1"
        add_run(here, run, arm, seed=1)
        add_training(here, run)
        add_scores(here, run, [number < right for number in range(10)])
    add_run(here, "unfinished", "level3")
    (here / "data").mkdir()
    ledger = '{"made_by": "mix", "counts": {"kept": 7}, "outputs": [{"sha256": "ab"}]}'
    (here / "data" / "level1.ledger.json").write_text(ledger, encoding="utf-8")
    return here


def needs(module: str) -> pytest.MarkDecorator:
    absent = importlib.util.find_spec(module) is None
    return pytest.mark.skipif(absent, reason=f"{module} is not installed")


def test_a_tracker_that_is_not_there_is_named_with_its_package(folder: Path) -> None:
    with pytest.raises(MisuseError, match="no tracker 'paper'; known: tensorboard"):
        tracker("paper")
    absent = [n for n in ("wandb", "mlflow", "trackio") if importlib.util.find_spec(n) is None]
    for name in absent:
        with pytest.raises(MisuseError, match=f"{name} is not installed; pip install {name}"):
            track_results(collect(folder), [name])


@needs("tensorboard")
def test_tensorboard_reads_scores_and_curve_back(folder: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for _ in range(2):
        places = track_results(collect(folder), ["tensorboard"])
    assert [Path(place).name for place in places] == [
        "tiny--level1--full--s1",
        "tiny--level2--full--s1",
    ]
    read = EventAccumulator(places[0])
    read.Reload()
    assert [event.value for event in read.Scalars("digits/exact_match")] == pytest.approx([0.9])
    assert [event.step for event in read.Scalars("train/loss")] == [10, 20]


@needs("wandb")
@pytest.mark.filterwarnings("ignore")
def test_wandb_writes_offline_without_a_key(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    places = track_results(collect(folder), ["wandb"])
    assert all("offline-run" in place for place in places)
    assert list((folder / "report" / "wandb").rglob("run-*.wandb"))


@needs("mlflow")
@pytest.mark.filterwarnings("ignore")
def test_mlflow_keeps_scores_in_a_local_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    track_results(collect(folder), ["mlflow"])
    runs = mlflow.search_runs(experiment_names=["study"], output_format="list")
    found = {run.data.params["arm"]: run.data for run in runs}
    assert found["level1"].metrics["digits/exact_match"] == 0.9
    assert found["level1"].params["data.kept"] == "7"


@needs("trackio")
@pytest.mark.filterwarnings("ignore")
def test_trackio_keeps_scores_in_a_local_folder(folder: Path) -> None:
    command = [sys.executable, "-m", "cotdistill", "report", str(folder), "--track", "trackio"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert list((folder / "report" / "trackio").rglob("*.db"))


def test_the_page_is_served_on_loopback_and_the_server_stops_by_itself(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("<p>here</p>", encoding="utf-8")
    addresses: list[str] = []
    ready = threading.Event()

    def tell(address: str) -> None:
        addresses.append(address)
        ready.set()

    server = threading.Thread(target=serve_page, args=(tmp_path, 0, 0.5, tell))
    server.start()
    assert ready.wait(5)
    assert addresses[0].startswith("http://127.0.0.1:")
    with urllib.request.urlopen(addresses[0]) as response:
        assert response.read() == b"<p>here</p>"
    server.join(timeout=5)
    assert not server.is_alive()
