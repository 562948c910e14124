"""Whether a study's loops and its race have what they decide by, and something to start from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from cotdistill.benchmarks.choices import record_key
from cotdistill.errors import Fault, FaultsError, did_you_mean
from cotdistill.studies.learner import Learner
from cotdistill.studies.question_sets import QuestionSet
from cotdistill.studies.runs import factors_of, is_chosen
from cotdistill.studies.study import Study


def loop_faults(study: Study, place: str, learners: Sequence[Learner]) -> Iterator[Fault]:
    """Yield what keeps a loop from running: no development questions, no first model."""
    for arm, loop in study.loops().items():
        where = f"{place}:arms.{arm}.improve"
        asked = loop.sample.questions
        sets = [asked] if isinstance(asked, str) else asked
        known = [study.questions[name] for name in sets if name in study.questions]
        if known and not any(one.dev for one in known):
            remedy = f"say questions.{sets[0]}.dev, as in dev: 0.1"
            wrong = "no development questions to choose its round by"
            yield Fault(f"{where}.sample.questions", wrong, "", remedy)
        recipe = study.recipes.get(loop.recipe)
        if loop.capture and recipe is not None:
            if recipe.kd is None:
                wrong = f"the recipe '{loop.recipe}' has no teacher"
                yield Fault(f"{where}.capture", wrong, "a recipe with kd: {teacher: MODEL}")
            elif not isinstance(recipe.kd.teacher, str):
                yield Fault(f"{where}.capture", "its teacher is a folder of signals", "a model")
        if loop.start is None or recipe is None:
            scratch = [one.name for one in learners if one.scratch]
            if loop.start is None and scratch:
                wrong = f"the randomly initialised '{scratch[0]}' has nothing to sample from"
                yield Fault(where, wrong, "a 'start' that it is trained on first")
            continue
        declared = study.arms.get(loop.start)
        if declared is None:
            hint = did_you_mean(loop.start, study.trained_arms())
            yield Fault(f"{where}.start", f"no arm '{loop.start}'", "", hint)
        elif loop.start not in study.trained_arms():
            yield Fault(f"{where}.start", f"'{loop.start}' is not trained on", "a trained arm")
        elif learners and not any(
            is_chosen(recipe, one, loop.start, factors_of(study, loop.start)) for one in learners
        ):
            wrong = f"the recipe '{loop.recipe}' trains no student on '{loop.start}'"
            yield Fault(f"{where}.start", wrong, "", "see its students, arms and when")


def race_faults(study: Study, place: str) -> Iterator[Fault]:
    """Yield what keeps a race from being one."""
    if study.race is None:
        return
    where = f"{place}:race"
    if not study.race_tasks():
        remedy = "keep some of a question set: questions: {svamp: {benchmark: svamp, dev: 0.1}}"
        yield Fault(where, "no development questions to decide by", "", remedy)
    arms = {*study.trained_arms(), *study.loops()}
    free = arms - study.never_dropped()
    if len(free) < 2:
        wrong = f"{len(free)} of {len(arms)} arms may be dropped"
        remedy = "leave the race out; arms that others need are always trained"
        yield Fault(where, wrong, "at least two arms that are no baseline", remedy)
    elif study.race.top >= len(free) and study.race.procedure == "leaders":
        wrong = f"top {study.race.top} of {len(free)} arms that may be dropped"
        yield Fault(f"{where}.top", wrong, f"1 to {len(free) - 1}")


def difficulty_faults(study: Study, place: str, sets: Mapping[str, QuestionSet]) -> Iterator[Fault]:
    """Yield question sets whose questions lack the key that says how hard they are."""
    for arm, loop in study.loops().items():
        asked = loop.sample.questions
        for name in [asked] if isinstance(asked, str) else asked:
            if loop.difficulty is None or name not in sets or not sets[name].is_here:
                continue
            try:
                held_out, rows = sets[name].dev_keys, sets[name].rows
            except FaultsError:
                continue  # said of the set itself
            sampled = [r for r in rows if record_key(r) not in held_out]
            lacking = [r for r in sampled if (r.get("meta") or {}).get(loop.difficulty) is None]
            if lacking:
                known = sorted({key for row in sampled for key in row.get("meta") or {}})
                wrong = (
                    f"{len(lacking)} of {len(sampled)} sampled questions of {name} have no "
                    f"'{loop.difficulty}' in their meta"
                )
                remedy = did_you_mean(loop.difficulty, known) if known else "leave the key out"
                yield Fault(f"{place}:arms.{arm}.improve.difficulty", wrong, "", remedy)
