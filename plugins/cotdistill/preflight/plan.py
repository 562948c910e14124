"""Estimate what a study will cost and which differences it can detect."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from cotdistill.benchmarks.packaged import questions_asked
from cotdistill.errors import Fault, StudyError
from cotdistill.files.bundle import only_bundles
from cotdistill.hosts.lm_eval.task_files import task_key, tasks_behind
from cotdistill.preflight.arm_sizes import CHARACTERS_A_TOKEN, arm_size
from cotdistill.preflight.asking import asked_models
from cotdistill.preflight.cost import (
    GPU_DECODE,
    GPU_TERAFLOPS,
    model_memory,
    signals_disk,
    training_disk,
    training_seconds,
)
from cotdistill.preflight.cost import training_steps as steps_of
from cotdistill.preflight.design import design_table
from cotdistill.preflight.planned import Assumed, Plan, RaceCost, RunCost, trained_at_most
from cotdistill.preflight.run_memory import (
    method_of,
    run_memory,
    scratch_size,
    teacher_parameters,
    what_fits,
)
from cotdistill.results.collect import collect
from cotdistill.results.run_results import RunResult
from cotdistill.runfolder.kept import dev_set
from cotdistill.runfolder.race import batches_of, heats_of, most_of_batches
from cotdistill.runfolder.stages import asked_count
from cotdistill.studies.baselines import baseline_arms
from cotdistill.studies.evaluation_limits import generation_budget
from cotdistill.studies.load import load_study
from cotdistill.studies.notes import study_notes
from cotdistill.studies.requests import CAPTURED_TOKENS, Loop
from cotdistill.studies.resolve import Resolved, resolve
from cotdistill.studies.runs import Run
from cotdistill.studies.study import Study

_TEMPLATE_TOKENS = 15.0  # the marks of three turns in ChatML: SmolLM2's and Qwen's


def plan(name_or_path: str, settings: list[str], assumed: Assumed) -> Plan:
    """Return what a study costs, by its name, its file or a run folder of it.

    Raises:
        StudyError: the study has faults.
    """
    resolved = Path(name_or_path) / "study.yaml"
    if resolved.is_file():
        name_or_path = str(resolved)
    study, place = load_study(name_or_path, settings)
    with only_bundles(study.bundles):
        root = resolved.parent if resolved.is_file() else None
        return _plan(study, resolve(study, place), assumed, root)


def _plan(study: Study, resolved: Resolved, assumed: Assumed, root: Path | None) -> Plan:
    assumed = _with_speeds(assumed, study)
    arms = {name: arm_size(resolved, name, assumed, root) for name in study.trained_arms()}
    free = min(assumed.generated, generation_budget(study))
    questions = {task: _questions(task, resolved) for task in study.evaluation.task_names}
    answers = {task: _repeats(task) for task in questions}
    runs = tuple(_run_costs(resolved, arms, assumed))
    races = tuple(_race_costs(resolved, runs))
    racing = {(one.student, one.recipe) for one in races}
    scored = [run for run in resolved.runs if (run.student.name, run.recipe) not in racing]
    scored += [cost.run for one in races for cost in one.final]
    asked = (use.task for run in scored for use in run.tasks)
    responses = sum((questions[task] or 0) * answers[task] for task in asked)
    responses += sum(len(one.race) for one in races) * _dev_questions(resolved, study.questions)
    responses += sum(
        run.loop.rounds * _dev_questions(resolved, _sets_of(run.loop))
        for run in (cost.run for cost in trained_at_most(runs, races))
        if run.loop is not None
    )
    for run in resolved.runs:  # development questions that choose an epoch
        tasks = study.epoch_tasks(run.factors.get("questions")) if run.epochs else ()
        responses += sum((_questions(u.task, resolved) or 0) * (run.epochs or 0) for u in tasks)
    return Plan(
        study=study.name,
        runs=runs,
        races=races,
        questions=questions,
        answers=answers,
        run_sd=study.evaluation.run_sd,
        responses=responses,
        design=design_table(resolved),
        devices=study.hardware.devices,
        assumed=replace(assumed, generated=free),
        asked=asked_models(resolved, assumed.generated),
        has_judge=study.judge is not None,
        notes=tuple(study_notes(study)),
        baselines=baseline_arms(study) if isinstance(study.compare.baseline, dict) else {},
    )


def _with_speeds(assumed: Assumed, study: Study) -> Assumed:
    """Return the assumptions with a GPU's speeds where none are given and the study has GPUs."""
    if study.hardware.gpus == 0:
        return assumed
    machine = assumed.machine
    if machine.teraflops is None:
        machine = replace(machine, teraflops=GPU_TERAFLOPS)
    decode = GPU_DECODE if assumed.decode is None else assumed.decode
    return replace(assumed, machine=machine, decode=decode)


def calibrated(folder: Path, assumed: Assumed) -> Assumed:
    """Return the assumptions with the machine's speeds taken from the finished runs of `folder`.

    The trainer counts 6 operations per weight and token where `training_seconds` counts 8, and
    none of a teacher's: trainings without one are taken where there are any. An answer is taken to
    last as long as those of its finished evaluations did, loading included; where none has
    finished, the given or assumed speed stays.

    Raises:
        StudyError: no run in the folder has finished, or none logged its operations.
    """
    runs = collect(folder).runs
    trained = [(run.training, bool(run.distilled)) for run in runs if run.training is not None]
    counted = [(one, kd) for one, kd in trained if one.operations and not one.trained_nothing]
    known = [one for one, kd in counted if not kd] or [one for one, _ in counted]
    if not known:
        wrong = "no finished run that logged its operations"
        raise StudyError(Fault(str(folder), wrong, "a run folder with a finished training run"))
    seconds = math.fsum(one.seconds for one in known)
    rate = math.fsum(one.operations or 0.0 for one in known) / seconds * 8 / 6
    machine = replace(assumed.machine, teraflops=rate / 1e12, utilisation=1.0)
    return replace(assumed, machine=machine, answer_seconds=_answer_seconds(runs))


def _answer_seconds(runs: Sequence[RunResult]) -> float | None:
    """Return the mean seconds of an answer in evaluations whose time was logged."""
    seconds = answers = 0.0
    for run in runs:
        times = [score.evaluate_seconds for score in run.evaluated.scores]
        if known := [time for time in times if time is not None]:
            seconds += max(known)  # of the whole evaluation, whatever the number of its tasks
            answers += sum(score.questions * score.repeats for score in run.evaluated.scores)
    return seconds / answers if answers else None


def check_budget(made: Plan, hours: float | None, money: float | None) -> None:
    """Check a plan against a budget.

    Raises:
        StudyError: device hours or money exceed it, or money is limited without a price.
    """
    faults = []
    needed = made.hours + (made.evaluation_hours or 0.0)
    if hours is not None and not made.has_speed:
        wrong = "how long it takes on this machine's CPU is not known"
        remedy = "--calibrate RUNFOLDER measures it on finished runs; or --teraflops and --decode"
        faults.append(Fault(made.study, wrong, "a speed to compare the budget with", remedy))
    elif hours is not None and needed > hours:
        wrong = f"needs {needed:,.1f} device hours"
        faults.append(Fault(made.study, wrong, f"at most {hours:g}", "drop runs with --set"))
    if money is not None and made.money is None and made.assumed.hour_price is None:
        wrong = "no price was given"
        remedy = "--price-hour and --price-judge set them"
        faults.append(Fault(made.study, wrong, "a price to compare the budget with", remedy))
    elif money is not None and made.money is None:
        wrong = "what it costs is not known: the speed of this machine's CPU is not"
        remedy = "--calibrate RUNFOLDER measures it on finished runs; or --teraflops and --decode"
        faults.append(Fault(made.study, wrong, "a price to compare the budget with", remedy))
    elif money is not None and (made.money or 0.0) > money:
        faults.append(Fault(made.study, f"costs {made.money:,.2f}", f"at most {money:g}"))
    if faults:
        raise StudyError(faults)


def _run_costs(
    resolved: Resolved, arms: dict[str, tuple[int | None, float]], assumed: Assumed
) -> Iterator[RunCost]:
    study = resolved.study
    for run in resolved.runs:
        if not run.is_trained or run.step is not None:
            continue
        recipe = study.recipes[run.recipe]
        rows, a_row = arms.get(run.arm) or _loop_rows(run, resolved, assumed)
        size = scratch_size(run) if run.student.scratch else run.student.parameters
        method = method_of(recipe.template)
        cost = RunCost(run, rows, None, None, None, None)
        if size is not None:
            kept = run.epochs or recipe.settings.get("save_total_limit", 1)
            checkpoints = kept if isinstance(kept, int) else 1
            disk, most = training_disk(size, method, recipe.deepspeed, checkpoints)
            if run.epochs and method != "full":  # the adapter of each epoch is merged and scored
                merges = (run.epochs - 1) * model_memory(size)
                disk, most = disk + merges, max(most, disk + merges)
            memory = run_memory(run, study, size, method, recipe.per_device_batch)
            fitting = (
                "" if memory <= assumed.machine.memory else what_fits(run, study, size, assumed)
            )
            cost = RunCost(run, rows, None, None, None, memory, disk, most, fitting=fitting)
        if rows is not None or recipe.max_steps is not None:
            steps = steps_of(rows or 0, recipe.global_batch, recipe.epochs, recipe.max_steps)
            whole = a_row + _around(study)
            tokens = steps * recipe.global_batch * min(whole, recipe.cutoff_len)
            cost = replace(cost, steps=steps, tokens=tokens)
            if size is not None:
                teacher = teacher_parameters(run, study)
                if run.loop and run.loop.capture:  # asked once for each row, not in each epoch
                    teacher /= max(1.0, recipe.epochs or 1.0)
                seconds = training_seconds(size, tokens, method, assumed.machine, teacher)
                cost = replace(cost, hours=None if seconds is None else seconds / 3600)
        yield _times(_with_signals(cost, study, a_row))


def _with_signals(cost: RunCost, study: Study, a_row: float) -> RunCost:
    """Return the cost of a loop with the signals that it stores of its teacher, for a round."""
    recipe = study.recipes[cost.run.recipe]
    if cost.run.loop is None or not cost.run.loop.capture or recipe.kd is None or cost.rows is None:
        return cost
    tokens = cost.rows * min(a_row, recipe.cutoff_len)
    signals = signals_disk(tokens, recipe.kd.top_k or CAPTURED_TOKENS, recipe.kd.temperature or 1.0)
    most = cost.disk_in_training
    return replace(
        cost,
        signals=signals,
        disk=None if cost.disk is None else cost.disk + signals,
        disk_in_training=None if most is None else most + signals,
    )


def _around(study: Study) -> float:
    """Return the tokens of a row that are not in the arm: the template's marks, a system prompt."""
    return _TEMPLATE_TOKENS + len(study.prompt.system or "") / CHARACTERS_A_TOKEN


def _race_costs(resolved: Resolved, runs: Sequence[RunCost]) -> Iterator[RaceCost]:
    """Yield each race with the runs that it takes at most."""
    study = resolved.study
    for heat in heats_of(resolved):
        assert study.race is not None
        costs: dict[str, RunCost] = {}
        for one in runs:
            if (one.run.student.name, one.run.recipe) == (heat.student, heat.recipe):
                costs.setdefault(one.run.arm, one)
        never = study.never_dropped()
        kept = [one for arm, one in costs.items() if arm in never]
        free = [one for arm, one in costs.items() if arm not in never]
        free.sort(key=lambda one: (one.hours or 0.0, one.tokens or 0.0), reverse=True)
        batches = batches_of(study)
        most = most_of_batches(study.race, len(free), len(kept), batches)
        race = [
            replace(one, run=replace(one.run, seed=seed))
            for batch, arms in zip(batches, most, strict=True)
            for one in [*kept, *free][:arms]
            for seed in batch.seeds
        ]
        final = [
            replace(one, run=replace(one.run, seed=seed))
            for one in [*kept, *free[: study.race.final]]
            for seed in study.seeds_of(heat.recipe)
        ]
        yield RaceCost(heat.student, heat.recipe, len(costs), tuple(race), tuple(final))


def _sets_of(loop: Loop) -> Sequence[str]:
    asked = loop.sample.questions
    return [asked] if isinstance(asked, str) else asked


def _dev_questions(resolved: Resolved, names: Iterable[str]) -> int:
    """Return how many development questions some sets have; of sets that are not here, about."""
    count = 0
    for name in names:
        declared, found = resolved.study.questions[name], resolved.sets.get(name)
        if not declared.dev:
            continue
        if found is not None and found.is_here:
            count += len(found.dev)
        else:
            others = asked_count(resolved, name) or 0
            share = declared.dev / (1 - declared.dev) if declared.dev < 1 else 0.0
            count += round(others * share if declared.dev < 1 else declared.dev)
    return count


def _loop_rows(run: Run, resolved: Resolved, assumed: Assumed) -> tuple[int | None, float]:
    """Return the most rows that a round of a loop is trained on, and their mean tokens."""
    loop = run.loop
    assert loop is not None
    counts = [asked_count(resolved, name) for name in _sets_of(loop)]
    each = loop.sample.samples
    each += 0 if loop.sample.strategy == "vanilla" else loop.sample.attempts
    if loop.keep.per_question is not None:
        each = min(each, loop.keep.per_question)
    known = None if None in counts else sum(count or 0 for count in counts)
    return None if known is None else known * each, float(assumed.response_tokens)


def _times(cost: RunCost) -> RunCost:
    """Return what all rounds of a loop cost at most; other runs are trained once."""
    rounds = cost.run.loop.rounds if cost.run.loop else 1
    return replace(
        cost,
        steps=None if cost.steps is None else cost.steps * rounds,
        tokens=None if cost.tokens is None else cost.tokens * rounds,
        hours=None if cost.hours is None else cost.hours * rounds,
        disk=None if cost.disk is None else cost.disk * rounds,
        signals=None if cost.signals is None else cost.signals * rounds,
    )


def _questions(task: str, resolved: Resolved) -> int | None:
    """Return how many questions a task asks, or None if that is not declared.

    Those of a question set kept for development are counted where it is here.
    """
    study, dev = resolved.study, dev_set(task, resolved.sets)
    limits = [use.limit for use in study.evaluation.tasks if use.task == task and use.limit]
    limit = limits[0] if limits else study.evaluation.limit
    if dev is not None and dev.is_here:
        return min(limit or len(dev.dev), len(dev.dev))
    counts = [questions_asked(path) for path in tasks_behind([task]).values()]
    if not counts or None in counts:
        return limit if len(counts) < 2 else None
    return sum(min(limit or count, count) for count in counts if count is not None)


def _repeats(task: str) -> int:
    repeats = task_key(task, "repeats")
    return repeats if isinstance(repeats, int) else 1
