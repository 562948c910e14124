"""Where a run's files lie in its run folder.

Generated files name them in full, because the hosts resolve paths against the folder that they are
started in.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cotdistill.runfolder.epochs import FOLDER as EPOCHS
from cotdistill.studies.runs import Run, student_folder


@dataclass(frozen=True)
class Layout:
    """The names of one run's files and folders, relative to the run folder `root`."""

    root: Path
    run: str
    model: str  # what is trained: a hub id, a local path, or models/<student>--<arm>
    trained: str = ""  # the run whose training it evaluates; checkpoints have it in common
    step: int | None = None
    scores_in: str = "scores"
    epoch: int | None = None  # one of the epochs among which one is chosen
    chooses: bool = False  # whether its weights are those of the chosen epoch

    @property
    def train_file(self) -> str:
        """LLaMA-Factory's training file."""
        return f"train/{self.trained or self.run}.yaml"

    @property
    def export_file(self) -> str:
        """LLaMA-Factory's export file, where an adapter is merged."""
        return f"export/{self.run}.yaml"

    @property
    def eval_file(self) -> str:
        """lm-eval's configuration file."""
        return f"eval/{self.run}.yaml"

    @property
    def checkpoint(self) -> str:
        """What training writes."""
        return f"checkpoints/{self.trained or self.run}"

    @property
    def weights(self) -> str:
        """The weights that are evaluated, or merged first: of the end, of a step or an epoch."""
        if self.epoch is not None or self.chooses:
            return f"{EPOCHS}/{self.trained}/{'best' if self.chooses else self.epoch}"
        return self.checkpoint if self.step is None else f"{self.checkpoint}/checkpoint-{self.step}"

    @property
    def exported(self) -> str:
        """What exporting writes."""
        return f"exported/{self.run}"

    @property
    def scores(self) -> str:
        """What evaluating writes."""
        return f"{self.scores_in}/{self.run}"

    def absolute(self, name: str) -> str:
        """Return the full path of a file or folder in the run folder."""
        return f"{self.root}/{name}"


def layout_of(root: Path, run: Run) -> Layout:
    """Return where the files of a run lie."""
    made = f"{root}/{run.student.merged or student_folder(run.student.name, run.made_for)}"
    return Layout(
        root, run.name, run.student.model or made, run.trained, run.step,
        chooses=run.epochs is not None,
    )  # fmt: skip
