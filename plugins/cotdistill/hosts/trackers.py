"""Experiment trackers, one adapter each: TensorBoard, Weights & Biases, MLflow, trackio.

None is required. An adapter takes one run's settings, its curve and its final scores, writes
them under the run's own name, and closes what it opened. Nothing is sent over a network unless
the tracker's own settings say so: Weights & Biases runs offline when it has no key.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cotdistill.errors import Fault, FaultsError, MisuseError

_MODULES = {
    "tensorboard": ("tensorboard", "tensorboard"),
    "wandb": ("wandb", "wandb"),
    "mlflow": ("mlflow", "mlflow-skinny"),
    "trackio": ("trackio", "trackio"),
}


@dataclass(frozen=True)
class Tracked:
    """What a tracker gets of one run."""

    study: str
    run: str
    settings: Mapping[str, str]
    curve: Sequence[tuple[int, float]]
    scores: Mapping[str, float]


def tracker(name: str) -> Callable[[Path, Tracked], str]:
    """Return the adapter of a tracker: it takes a folder and a run and says where that went.

    Raises:
        MisuseError: the tracker is not known or not installed.
    """
    if name not in _MODULES:
        raise MisuseError(f"no tracker '{name}'; known: {', '.join(_MODULES)}")
    module, package = _MODULES[name]
    if importlib.util.find_spec(module) is None:
        raise MisuseError(f"{name} is not installed; pip install {package}")
    return {
        "tensorboard": _tensorboard,
        "wandb": _wandb,
        "mlflow": _mlflow,
        "trackio": _trackio,
    }[name]


def _tensorboard(folder: Path, tracked: Tracked) -> str:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    place = folder / "tensorboard" / tracked.run
    for old in sorted(place.glob("events.out.tfevents.*")):
        old.unlink()  # a second report replaces the first; two files would draw every point twice
    writer = EventFileWriter(str(place))

    def add(name: str, step: int, value: float) -> None:
        summary = Summary(value=[Summary.Value(tag=name, simple_value=value)])
        # a fixed time: the hosts log no clock, and the same scores should give the same picture
        writer.add_event(Event(wall_time=float(step), step=step, summary=summary))

    for step, loss in tracked.curve:
        add("train/loss", step, loss)
    for name, value in tracked.scores.items():
        add(name, 0, value)
    writer.close()
    return str(place)


def _wandb(folder: Path, tracked: Tracked) -> str:
    import wandb

    offline = "WANDB_API_KEY" not in os.environ and "WANDB_MODE" not in os.environ
    (folder / "wandb").mkdir(parents=True, exist_ok=True)
    try:
        run = wandb.init(
            project=tracked.study,
            name=tracked.run,
            config=dict(tracked.settings),
            dir=str(folder),
            mode="offline" if offline else None,
            reinit="create_new",
        )
    except Exception as error:  # the library raises its own kinds for network and key alike
        raise FaultsError(Fault("wandb", f"cannot be started ({error})")) from error
    for step, loss in tracked.curve:
        run.log({"train/loss": loss}, step=step)
    run.summary.update(dict(tracked.scores))
    place = str(run.dir)
    run.finish()
    return place


def _mlflow(folder: Path, tracked: Tracked) -> str:
    import mlflow

    if "MLFLOW_TRACKING_URI" not in os.environ:
        folder.mkdir(parents=True, exist_ok=True)
        mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    mlflow.set_experiment(tracked.study)
    with mlflow.start_run(run_name=tracked.run):
        mlflow.log_params(dict(tracked.settings))
        for step, loss in tracked.curve:
            mlflow.log_metric("train/loss", loss, step=step)
        # MLflow takes no @ in a name
        mlflow.log_metrics({name.replace("@", "_at_"): v for name, v in tracked.scores.items()})
    return str(mlflow.get_tracking_uri())


def _trackio(folder: Path, tracked: Tracked) -> str:
    os.environ.setdefault("TRACKIO_DIR", str(folder / "trackio"))
    import trackio

    trackio.init(project=tracked.study, name=tracked.run, config=dict(tracked.settings))
    for step, loss in tracked.curve:
        trackio.log({"train/loss": loss}, step=step)
    trackio.log(dict(tracked.scores))
    trackio.finish()
    return os.environ["TRACKIO_DIR"]
