"""The runs of a study: one student × one arm × one recipe × one seed each, or a model as it is."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from cotdistill.errors import Fault
from cotdistill.studies.arm import Factor
from cotdistill.studies.faults.references import own_column
from cotdistill.studies.learner import Learner
from cotdistill.studies.requests import Loop
from cotdistill.studies.selection import chooses_student, meets
from cotdistill.studies.study import Recipe, Study, TaskUse

UNTRAINED = "none"
"""The recipe of a model that is evaluated as it is; no recipe of a study can be called so."""
UNTOUCHED = "untouched"
"""The arm of such a model where the study names none."""


@dataclass(frozen=True)
class Run:
    """One student × one arm × one recipe × one seed, or a model that is evaluated as it is.

    `step` is the optimizer step of an evaluated checkpoint, None for the end of the training.
    `loop` says that a loop makes its model, `start` the arm that the loop's first model was trained
    on; `round` is the round of a loop whose model it is, None for the one that is chosen in the
    end. `epochs` are those among which one is chosen, None where the last is taken; `epoch` is the
    one that is scored for that. Rounds and epochs are no runs of the study: they follow from its
    loops and recipes (`cotdistill.runfolder.rounds`, `cotdistill.runfolder.epochs`).
    """

    student: Learner
    arm: str
    recipe: str
    seed: int | None
    factors: Mapping[str, Factor] = field(default_factory=dict)
    tasks: tuple[TaskUse, ...] = ()
    step: int | None = None
    loop: Loop | None = None
    round: int | None = None
    epochs: int | None = None
    epoch: int | None = None

    @property
    def is_trained(self) -> bool:
        """Whether it has a training; else a model is evaluated as it is."""
        return self.recipe != UNTRAINED

    @property
    def name(self) -> str:
        """The run's name, which is also the name of its files."""
        if not self.is_trained:
            round_ = "" if self.round is None else f"--round{self.round}"
            return f"{self.student.name}--{self.arm}{round_}"
        step = "" if self.step is None else f"--step{self.step}"
        epoch = "" if self.epoch is None else f"--epoch{self.epoch}"
        return f"{self.trained}{step}{epoch}"

    @property
    def trained(self) -> str:
        """The name of the training that it evaluates, which checkpoints have in common."""
        round_ = "" if self.round is None else f"--round{self.round}"
        return f"{self.student.name}--{self.arm}--{self.recipe}--s{self.seed}{round_}"

    @property
    def dataset(self) -> str:
        """The name under which its rows are registered: its arm's, or its round's own."""
        return self.arm if self.round is None else self.trained

    @property
    def made_for(self) -> str:
        """The arm whose text the tokenizer of a randomly initialised student is trained on."""
        return self.arm if self.loop is None else str(self.loop.start)


def student_folder(student: str, arm: str) -> str:
    """Return where a scratch student lies that was made for an arm, relative to the run folder."""
    return f"models/{student}--{arm}"


def all_runs(study: Study, learners: list[Learner], others: list[Learner]) -> Iterator[Run]:
    """Yield the untouched models first, then every training with its checkpoints."""
    untouched = study.untouched_arms()
    for learner in learners:
        for arm in untouched:
            yield _untrained(study, learner, arm)
    for other in others:
        yield _untrained(study, other, untouched[0] if untouched else UNTOUCHED)
    factors = {name: factors_of(study, name) for name in study.trained_arms()}
    tasks = {name: _tasks(study, of_arm) for name, of_arm in factors.items()}
    of_arms = {name for found in factors.values() for name in found}
    with_seeds = [(n, r, seed) for n, r in study.recipes.items() for seed in study.seeds_of(n)]
    grid = itertools.product(learners, factors, with_seeds)
    for learner, arm, (recipe_name, recipe, seed) in grid:
        if not is_chosen(recipe, learner, arm, factors[arm]):
            continue
        of_run = _with_recipe(factors[arm], recipe, of_arms)
        chosen = recipe.keep == "best" and recipe.epochs and not learner.is_encoder_decoder
        epochs = int(recipe.epochs or 0) if chosen else None
        run = Run(learner, arm, recipe_name, seed, of_run, tasks[arm], epochs=epochs)
        yield run
        if study.evaluation.checkpoints and recipe.save_steps and recipe.max_steps:
            for step in range(recipe.save_steps, recipe.max_steps, recipe.save_steps):
                yield replace(run, step=step, factors={**of_run, "step": step})
    for arm, loop in study.loops().items():
        of_arm = factors_of(study, arm)
        for learner, seed in itertools.product(learners, study.seeds_of(loop.recipe)):
            by = study.recipes.get(loop.recipe)
            if by is not None and is_trained_by(by, learner):
                of_run = _with_recipe(of_arm, by, of_arms | of_arm.keys())
                asked = _tasks(study, of_arm)
                yield Run(learner, arm, loop.recipe, seed, of_run, asked, loop=loop)


def _with_recipe(
    factors: Mapping[str, Factor], recipe: Recipe, of_arms: Set[str]
) -> dict[str, Factor]:
    """Return an arm's factors with a recipe's, in columns of their own where arms have them too."""
    found = dict(factors)
    for name, value in recipe.factors.items():
        if name not in of_arms:
            found[name] = value
        elif name not in factors or factors[name] != value:
            found[own_column(name)] = value
    return found


def _untrained(study: Study, learner: Learner, arm: str) -> Run:
    factors = factors_of(study, arm) if arm in study.arms else {}
    asked = {name: value for name, value in factors.items() if value is not None}
    return Run(learner, arm, UNTRAINED, None, factors, _tasks(study, asked, is_untrained=True))


def factors_of(study: Study, arm: str) -> dict[str, Factor]:
    """Return the factors of an arm."""
    return dict(study.arms[arm].factors)


def _tasks(
    study: Study, factors: Mapping[str, Factor], *, is_untrained: bool = False
) -> tuple[TaskUse, ...]:
    """Return the tasks that an arm is asked; a model without training is asked all of them."""
    uses = study.evaluation.tasks
    chosen = [use for use in uses if is_untrained or meets(use.when, factors)]
    return tuple({use.task: use for use in chosen}.values())


def is_chosen(recipe: Recipe, learner: Learner, arm: str, factors: Mapping[str, Factor]) -> bool:
    """Whether a recipe trains a student on an arm: by their names, the size, the factors."""
    if recipe.arms is not None and not any(chooses_student(p, arm, None) for p in recipe.arms):
        return False
    return is_trained_by(recipe, learner) and meets(recipe.when, factors)


def is_trained_by(recipe: Recipe, learner: Learner) -> bool:
    """Whether a recipe trains a student: by its name, its model or its size."""
    return recipe.students is None or any(
        chooses_student(pattern, learner.name, learner.parameters)
        or chooses_student(pattern, learner.model or "", None)
        for pattern in recipe.students
    )


def unasked_faults(runs: Sequence[Run], place: str) -> Iterator[Fault]:
    """Yield arms that are asked no task."""
    for arm in dict.fromkeys(run.arm for run in runs if not run.tasks):
        where = f"{place}:evaluation.tasks"
        yield Fault(where, f"no task is asked for the arm '{arm}'", "", "see its factors and when:")


def twice_faults(runs: tuple[Run, ...], place: str) -> list[Fault]:
    """Return names that several runs have."""
    seen: dict[str, int] = {}
    for run in runs:
        folded = run.name.lower()  # file systems may not tell upper from lower case
        seen[folded] = seen.get(folded, 0) + 1
    return [
        Fault(
            place,
            f"the run '{name}' is there {count} times",
            "",
            "give its parts names that differ in more than upper and lower case",
        )
        for name, count in seen.items()
        if count > 1
    ]
