"""The paragraph of a paper that says how the numbers were made, from what the runs logged.

Only what a file says is written: hyperparameters from the generated training files, versions and
decoding from what lm-eval logged. What is not known is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from cotdistill import __version__
from cotdistill.errors import DataError
from cotdistill.files.yamls import read_yaml
from cotdistill.results.groups import UNTRAINED
from cotdistill.results.matrix import Matrix
from cotdistill.results.run_results import Results, RunResult
from cotdistill.tables import counted

_MOST_NAMED = 8


def methods(results: Results, scores: Matrix) -> str:
    """Return the text to paste, in sentences."""
    sentences = [*_training(results), *_evaluation(results, scores), *_statistics(results, scores)]
    if results.missing:
        sentences.append(f"Incomplete: {results.missing}.")
    return " ".join(sentences)


def _training(results: Results) -> list[str]:
    trained = [run for run in results.runs if run.trained]
    if not trained:
        return []
    students = list(dict.fromkeys(run.student for run in trained))
    arms = list(dict.fromkeys(run.arm for run in trained))
    seeds = sorted({run.seed for run in trained if run.seed is not None})
    sentences = [
        f"We fine-tuned {_listed(students)} on {counted(len(arms), 'training set')} "
        f"({_listed(arms)}) with LLaMA-Factory{_versions(trained)}"
        + (f", with the random seeds {_listed(list(map(str, seeds)))}" if len(seeds) > 1 else "")
        + (f", with the random seed {seeds[0]}" if len(seeds) == 1 else "")
        + "."
    ]
    by_recipe: dict[str, list[RunResult]] = {}
    for run in trained:
        by_recipe.setdefault(run.recipe, []).append(run)
    for recipe, runs in by_recipe.items():
        settings = [found for run in runs[:1] if (found := _settings(run))]
        for one in settings:
            sentences.append(f"Recipe {recipe}: {'; '.join(_hyperparameters(one))}.")
    return sentences


def _versions(trained: Sequence[RunResult]) -> str:
    """Return the versions that the trainings' records name: the host's own, then the others."""
    found: dict[str, dict[str, None]] = {}
    for run in trained:
        for name, version in run.trained_with.items():
            found.setdefault(name, {})[version] = None
    own = " and ".join(found.pop("llamafactory", {}))
    others = "; ".join(f"{name} {', '.join(versions)}" for name, versions in found.items())
    return (f" {own}" if own else "") + (f" ({others})" if others else "")


def _settings(run: RunResult) -> Mapping[str, Any]:
    """Return a run's training file, or nothing where it is not there to be read."""
    if run.config is None or not run.config.is_file():
        return {}
    try:
        found = read_yaml(run.config)
    except DataError:
        return {}  # the run is done; a file edited since does not stop its report
    return found if isinstance(found, dict) else {}


def _hyperparameters(settings: Mapping[str, Any]) -> list[str]:
    kind = str(settings.get("finetuning_type", "full"))
    sentences = [f"{kind} fine-tuning"]
    if kind == "lora" and settings.get("lora_rank") is not None:
        sentences[0] += f" of rank {settings['lora_rank']}"
    named = (
        ("num_train_epochs", "{} epochs"),
        ("max_steps", "{} steps"),
        ("learning_rate", "learning rate {}"),
        ("lr_scheduler_type", "{} schedule"),
        ("warmup_ratio", "warm-up over {} of the steps"),
        ("cutoff_len", "sequences of at most {} tokens"),
        ("template", "chat template {}"),
    )
    for key, words in named:
        value = settings.get(key)
        if value is not None and not (key == "max_steps" and value == -1):
            sentences.append(words.format(f"{value:g}" if isinstance(value, float) else value))
    batch = settings.get("per_device_train_batch_size")
    if batch is not None:
        steps = settings.get("gradient_accumulation_steps") or 1
        accumulated = f" with {steps} accumulation steps" if steps != 1 else ""
        sentences.append(f"per-device batch {batch}{accumulated}")
    sentences += [name for name in ("bf16", "fp16") if settings.get(name) is True]
    return sentences


def _evaluation(results: Results, scores: Matrix) -> list[str]:
    rows = list(results.rows())
    environment: dict[str, dict[str, None]] = {}
    for run in results.runs:
        for name, value in run.evaluated.environment.items():
            environment.setdefault(name, {})[value] = None
    versions = [
        f"{name} {', '.join(one.removeprefix('torch.') for one in environment[key])}"
        for key, name in [("lm eval version", "version"), ("engine", "engine"), ("dtype", "dtype"),
                          ("transformers version", "transformers"), ("torch", "torch"),
                          ("GPU", "on")]
        if key in environment
    ]  # fmt: skip
    tasks = [
        f"{task} ({max(score.questions for _, score in rows if score.task == task):,} questions"
        + _repeats([score.repeats for _, score in rows if score.task == task])
        + ")"
        for task in scores.tasks
    ]
    with_versions = f" ({'; '.join(versions)})" if versions else ""
    sentences = [f"Models were evaluated with lm-eval{with_versions} on {_listed(tasks)}."]
    decodings = dict.fromkeys(
        score.settings.must["decoding"] for _, score in rows if "decoding" in score.settings.must
    )
    if decodings:
        sentences.append(f"Decoding: {' / '.join(map(_decoding, decodings))}.")
    shots = dict.fromkeys(
        score.settings.must["few-shot examples"]
        for _, score in rows
        if "few-shot examples" in score.settings.must
    )
    if shots:
        sentences.append(f"Few-shot examples: {', '.join(shots)}.")
    untrained = dict.fromkeys(arm for _, arm, recipe in scores.groups if recipe == UNTRAINED)
    if untrained:
        sentences.append(f"{_listed(list(untrained))}: scored as published, without training.")
    return sentences


def _decoding(logged: str) -> str:
    """Return logged decoding settings in words; settings of no effect are left out.

    >>> _decoding("do_sample=False, max_gen_toks=48, temperature=0.0, until=['</s>']")
    "greedy, at most 48 tokens, until ['</s>']"
    >>> _decoding("do_sample=True, max_gen_toks=512, temperature=0.7, top_p=0.95, until=[]")
    'sampled, at most 512 tokens, temperature 0.7, top_p 0.95'
    """
    pairs = [part.partition("=") for part in re.split(r", (?=\w+=)", logged)]
    values = {name: value for name, _, value in pairs if value not in ("None", "[]", "")}
    sampled = values.pop("do_sample", None)
    words = []
    if sampled == "False" or (sampled is None and values.get("temperature") in ("0", "0.0")):
        words.append("greedy")
        values.pop("temperature", None)
    elif sampled == "True":
        words.append("sampled")
    if "max_gen_toks" in values:
        words.append(f"at most {values.pop('max_gen_toks')} tokens")
    return ", ".join([*words, *(f"{name} {value}" for name, value in values.items())])


def _repeats(repeats: Sequence[int]) -> str:
    return f", {max(repeats)} answers each" if repeats and max(repeats) > 1 else ""


def _statistics(results: Results, scores: Matrix) -> list[str]:
    graded = {
        "run": "graded when they were generated",
        "rescored": "graded again with cotdistill rescore",
        "judged": "graded by rule and, where that failed, by a language model (cotdistill judge)",
    }
    sentences = [
        f"Responses were {graded[results.source]}; scores are percentages of correct answers with "
        f"95 % confidence intervals (cotdistill {__version__})."
    ]
    found = scores.differences
    claims = {one.compared.claim for one in found if one.p is not None}
    if "arms" in claims:
        declared = scores.run_sd is not None
        pooled = "student and task" if scores.across_recipes else "student, recipe and task"
        sentences.append(
            f"Differences from {scores.baseline} were tested on shared questions with a paired t "
            "test whose variance has a part from questions and a part from training runs, the "
            f"latter pooled over the arms of a {pooled}"
            + (f" (declared: {100 * (scores.run_sd or 0):g} points)" if declared else "")
            + f"; p-values are Holm-adjusted over {counted(len(found), 'comparison')}."
        )
    if "models" in claims:
        sentences.append(
            "With one random seed an arm, differences were tested by McNemar's exact test or sign "
            "flips, Holm-adjusted; they are about the trained models, not about the arms."
        )
    return sentences


def _listed(names: Sequence[str]) -> str:
    """Return names in a sentence, the first few of many.

    >>> _listed(["a", "b", "c"])
    'a, b and c'
    """
    if len(names) > _MOST_NAMED:
        names = [*names[: _MOST_NAMED - 1], f"{len(names) - _MOST_NAMED + 1} more"]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
