"""The configuration files of one run: train, export, evaluate; plain files for the stock hosts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cotdistill.arms.thoughts import has_thoughts
from cotdistill.benchmarks.packaged import questions_asked
from cotdistill.distill.paths import header_line
from cotdistill.distill.seq2seq_file import STAGE as SEQ2SEQ
from cotdistill.distill.seq2seq_file import seq2seq_key_faults
from cotdistill.errors import Fault
from cotdistill.files.atomic import sha256_of_text
from cotdistill.hosts.llamafactory.arguments import (
    export_argument_faults,
    training_argument_faults,
)
from cotdistill.hosts.llamafactory.thinking import REASONING, Thinking, same_thinking
from cotdistill.hosts.lm_eval.task_files import tasks_behind
from cotdistill.runfolder.commands import (
    evaluate_command,
    export_command,
    stock_evaluate_command,
    train_command,
)
from cotdistill.runfolder.config_text import ConfigFile, ConfigRenderer
from cotdistill.runfolder.dev_rows import dev_rows_name
from cotdistill.runfolder.distillation import Block, Weights, block_of
from cotdistill.runfolder.job import Command, JobId
from cotdistill.runfolder.kept import TASKS, task_folders
from cotdistill.runfolder.layout import Layout, layout_of
from cotdistill.runfolder.tensor_parallel import tensor_parallel_size
from cotdistill.studies.declared_model import EndpointModel
from cotdistill.studies.instructions import OWN
from cotdistill.studies.learner import asked_as
from cotdistill.studies.resolve import Resolved
from cotdistill.studies.runs import Run
from cotdistill.studies.study import Study, batch_steps

ADAPTERS = ("lora", "oft")
_WORKERS = 8
"""Processes that tokenise on a machine with GPUs; a laptop loses more by starting them."""


LENGTH_KEYS = (
    "model_name_or_path", "model_revision", "use_fast_tokenizer", "resize_vocab", "add_tokens",
    "add_special_tokens", "new_special_tokens_config", "template", "tool_format", "default_system",
    "enable_thinking", "dataset", "cutoff_len", "max_samples", "train_on_prompt", "mask_history",
    "ignore_pad_token_for_loss", "packing", "neat_packing", "target_len",
)  # fmt: skip
"""Keys of training files that decide how many tokens a row has and where it is truncated."""


@dataclass(frozen=True)
class RunFiles:
    """The three files of a run with their commands.

    No training where a model is evaluated as it is, no export where nothing is merged. `lengths` is
    a hash of what decides how its rows are tokenised and how many may be truncated.
    """

    train: ConfigFile | None
    train_command: Command | None
    export: ConfigFile | None
    export_command: Command | None
    evaluate: ConfigFile
    evaluate_command: Command
    distillation: Block | None = None
    lengths: str | None = None


class RunConfigs:
    """Makes the files of a study's runs from the templates, each template once for many runs.

    What a file says depends on the student and the recipe, but for a few names and numbers.
    """

    def __init__(self, resolved: Resolved) -> None:
        self.resolved = resolved
        self.study = resolved.study
        self.arms = resolved.arms
        self._has_thoughts: dict[str, bool] = {}
        self._renderers: dict[tuple[object, ...], ConfigRenderer] = {}
        self._checked: set[tuple[object, ...]] = set()
        self._lengths: dict[tuple[object, ...], str] = {}

    def files(self, run: Run, layout: Layout) -> RunFiles:
        """Return a run's files.

        Raises:
            StudyError: the batch cannot be met, or torchrun would break at a blank in a path.
            BundleError: a template is broken.
        """
        study = self.study
        if not run.is_trained:
            return self.evaluation(run, layout, layout.model)
        if run.loop is not None and run.round is None:
            return self._chosen(run, layout)
        accelerate = layout.absolute("accelerate/fsdp.yaml")
        recipe = study.recipes[run.recipe]
        command = train_command(
            study, recipe, layout.absolute(layout.train_file), accelerate,
            seq2seq=run.student.is_encoder_decoder,
        )  # fmt: skip
        train = self._train_file(run, layout, command)
        block = None
        if recipe.kd is not None:
            block = block_of(self.resolved, recipe.kd, layout.root, self._weights(layout.root))
            name = f"{run.trained}.kd.yaml"
            train = replace(train, text=f"{header_line(name)}\n{train.text}")
        adapts = train.values.get("finetuning_type") in ADAPTERS
        merges = adapts and not run.student.is_encoder_decoder  # whose training merges by itself
        merging = export_command(study, layout.absolute(layout.export_file)) if merges else None
        scored = layout.absolute(layout.exported if merges else layout.weights)
        return RunFiles(
            train,
            command,
            self._export_file(run, layout, merging) if merging else None,
            None if layout.chooses else merging,  # then it is a link to the chosen epoch's
            self._eval_file(run, layout, scored),
            self._evaluate(run, layout),
            block,
            self._lengths_hash(run, train, layout.root),
        )

    def _lengths_hash(self, run: Run, train: ConfigFile, root: Path) -> str:
        """Return the hash of what decides the lengths, which the seeds have in common."""
        key = (run.student.name, run.arm, run.recipe)
        if key not in self._lengths:
            allowed = self.study.recipes[run.recipe].max_truncated
            self._lengths[key] = lengths_hash(train.values, root, allowed)
        return self._lengths[key]

    def argument_faults(self, run: Run, made: RunFiles, layout: Layout, place: str) -> list[Fault]:
        """Return what LLaMA-Factory would refuse in a run's files, once for a student and recipe.

        Their other runs differ in names and in the seed, which it takes as they are.
        """
        key = (run.student.name, run.recipe)
        if key in self._checked:
            return []
        self._checked.add(key)
        return argument_faults(made, layout, place)

    def _chosen(self, run: Run, layout: Layout) -> RunFiles:
        """Return the files of a loop: it is trained as its first round, and scored as its best."""
        first = replace(run, round=1)
        of_first = replace(layout, run=first.name, trained=first.name)
        made = self.files(first, of_first)
        scored = layout.absolute(layout.exported if made.export else layout.weights)
        evaluate = self._eval_file(run, layout, scored)
        return replace(
            made, evaluate=evaluate, evaluate_command=self._evaluate(run, layout),
            train_command=None, export_command=None, lengths=None,
        )  # fmt: skip

    def evaluation(self, run: Run, layout: Layout, scored: str) -> RunFiles:
        """Return the evaluation of weights that are there or that other jobs make."""
        evaluate = self._eval_file(run, layout, scored)
        return RunFiles(None, None, None, None, evaluate, self._evaluate(run, layout))

    def _weights(self, root: Path) -> Callable[[Run], Weights]:
        """Return where a run's weights lie: merged ones where its recipe trains an adapter."""

        def weights_of(run: Run) -> Weights:
            layout = layout_of(root, run)
            merged = self.files(run, layout).export is not None
            where = layout.absolute(layout.exported if merged else layout.weights)
            return Weights(where, made_by(run, merged=merged))

        return weights_of

    def _evaluate(self, run: Run, layout: Layout) -> Command:
        backend = backend_of(self.study, run)
        spread = _spread(self.study, run)
        return evaluate_command(self.study, backend, layout.absolute(layout.eval_file), spread)

    def _thinking(self, run: Run) -> Thinking:
        """Return how thoughts are handled in a run's training and evaluation alike."""
        _, asked = asked_as(run.student, self.study.prompt)
        template = run.student.template
        if template not in REASONING:
            return Thinking(asked, None)
        arms = [self.arms[run.arm]] if run.arm in self.arms else list(self.arms.values())
        for arm in arms:
            if arm.name not in self._has_thoughts:
                self._has_thoughts[arm.name] = has_thoughts(arm)
        thoughts = any(self._has_thoughts[arm.name] for arm in arms)
        return same_thinking(template, asked, has_thoughts=thoughts)

    def _train_file(self, run: Run, layout: Layout, command: Command) -> ConfigFile:
        thinking = self._thinking(run)
        dev = self._dev_rows(run)
        begins = _begins_at_random(run, layout)
        key = ("train", run.student.name, run.recipe, thinking.training, dev, begins)
        if key not in self._renderers:
            recipe = self.study.recipes[run.recipe]
            seq2seq = run.student.is_encoder_decoder
            self._renderers[key] = ConfigRenderer(
                f"train/{'_seq2seq' if seq2seq else recipe.template}.yaml.j2",
                {
                    **_training_context(self.study, run, layout),
                    "enable_thinking": thinking.training,
                    "finetuning_type": recipe.template,
                    "from_scratch": begins,
                    "dev": dev,
                },
                recipe.settings,
            )
        return self._renderers[key].render(
            {
                "run": run.trained,
                "arm": run.arm,
                "seed": run.seed,
                "command": command.as_typed(),
                "model": layout.model,
                "dataset": run.dataset,
                "output_dir": layout.absolute(layout.checkpoint),
            }
        )

    def _dev_rows(self, run: Run) -> str | None:
        """Return the registered development questions that an encoder-decoder's epochs answer."""
        if not run.student.is_encoder_decoder:
            return None
        return dev_rows_name(self.study, run.factors.get("questions"))

    def _export_file(self, run: Run, layout: Layout, command: Command) -> ConfigFile:
        key = ("export", run.student.name, run.recipe)
        if key not in self._renderers:
            context = {"template": run.student.template, "revision": run.student.revision}
            self._renderers[key] = ConfigRenderer("export/lora.yaml.j2", context, {})
        return self._renderers[key].render(
            {
                "run": run.name,
                "command": command.as_typed(),
                "model": layout.model,
                "adapter": layout.absolute(layout.weights),
                "export_dir": layout.absolute(layout.exported),
            }
        )

    def _eval_file(self, run: Run, layout: Layout, scored: str) -> ConfigFile:
        backend = backend_of(self.study, run)
        tasks = tuple((use.task, use.limit) for use in run.tasks)
        key = ("eval", run.student.name, run.recipe, tasks)
        if key not in self._renderers:
            self._renderers[key] = ConfigRenderer(
                f"eval/{backend}.yaml.j2", _evaluation_context(self.study, run, layout), {}
            )
        by_hand = stock_evaluate_command
        if run.student.is_encoder_decoder:  # lm-eval alone hands it a setting that it refuses
            by_hand = evaluate_command
        command = by_hand(self.study, backend, layout.absolute(layout.eval_file))
        return self._renderers[key].render(
            {
                "run": run.name,
                "command": command.as_typed(),
                "served": scored,
                "model_args": self._model_args(run, scored),
                "output_path": layout.absolute(layout.scores),
            }
        )

    def _model_args(self, run: Run, scored: str) -> dict[str, Any]:
        given = _model_args(self.study, run, scored)
        thinking = self._thinking(run).evaluation
        other = self.study.prompt.evaluation
        if other and other.thinking is not None:
            thinking = False if other.thinking == "off" else None
        if thinking is None or backend_of(self.study, run) not in ("hf", "vllm"):
            return given
        return {"enable_thinking": thinking, **given}


def made_by(run: Run, *, merged: bool) -> JobId:
    """Return the job that a trained run's weights come from, merged ones or the training's own.

    Those of a chosen epoch, or of a loop's chosen round, are there once it is decided.
    """
    if run.epochs is not None or run.loop is not None:
        return ("decide", run.name)
    return ("export", run.name) if merged else ("train", run.trained)


def backend_of(study: Study, run: Run) -> str:
    """Return the backend that a run is evaluated with: an endpoint is asked where it is."""
    endpoint = run.student.endpoint
    if endpoint is None:
        return study.evaluation.backend
    return "local-chat-completions" if endpoint.api == "chat" else "local-completions"


def argument_faults(files: RunFiles, layout: Layout, place: str) -> list[Fault]:
    """Return what LLaMA-Factory's own parser would refuse in a run's training and export files."""
    faults = []
    if files.train and files.train.values.get("stage") == SEQ2SEQ:
        faults = seq2seq_key_faults(files.train.values, f"{place}: {layout.run}.yaml")
    elif files.train:
        faults = training_argument_faults(files.train.values, f"{place}: {layout.run}.yaml")
    if files.export:
        faults += export_argument_faults(files.export.values, f"{place}: {layout.export_file}")
    return faults


def lengths_hash(train: Mapping[str, Any], root: Path, max_truncated: float) -> str:
    """Return a hash of what decides how rows are tokenised and how many may be truncated."""
    decisive = {key: train[key] for key in LENGTH_KEYS if train.get(key) is not None}
    text = json.dumps([decisive, max_truncated], sort_keys=True, default=str)
    return sha256_of_text(text.replace(str(root), "."))


def _begins_at_random(run: Run, layout: Layout) -> bool:
    """Whether a training begins from new random weights: not where a loop goes on with its last."""
    return run.student.scratch is not None and layout.model == layout_of(layout.root, run).model


def _training_context(study: Study, run: Run, layout: Layout) -> dict[str, Any]:
    """Return what all runs of a student and recipe have in common."""
    recipe = study.recipes[run.recipe]
    deepspeed = layout.absolute(f"deepspeed/{recipe.deepspeed}.json")
    on_cpu = study.hardware.gpus == 0
    system, _ = asked_as(run.student, study.prompt)
    return {
        "student": run.student.name,
        "template": run.student.template,
        "revision": run.student.revision,
        "default_system": system,
        "save_steps": recipe.save_steps,
        "keep_epochs": run.epochs is not None,
        "dataset_dir": str(layout.root),
        "deepspeed": deepspeed if recipe.deepspeed else None,
        "preprocessing_workers": recipe.workers or (1 if on_cpu else _WORKERS),
        "dataloader_workers": 0 if on_cpu else min(recipe.workers or _WORKERS, 4),
        "val_size": int(recipe.val_size) if recipe.val_size >= 1 else recipe.val_size,
        "packing": recipe.packing,
        "report_to": study.report_to or "none",
        "use_cpu": on_cpu,
        "precision": recipe.precision,
        "per_device_batch": recipe.per_device_batch,
        "accumulation": batch_steps(recipe, study.hardware, run.name),
        "devices": study.hardware.devices,
        "global_batch": recipe.global_batch,
        "cutoff_len": recipe.cutoff_len,
        "learning_rate": recipe.learning_rate,
        "epochs": recipe.epochs,
        "max_steps": recipe.max_steps,
        "scheduler": recipe.scheduler,
        "warmup_ratio": recipe.warmup_ratio,
    }


def _evaluation_context(study: Study, run: Run, layout: Layout) -> dict[str, Any]:
    """Return what all evaluations of a student and recipe have in common."""
    evaluation = study.evaluation
    # our own tasks are asked from the copies in the run folder; user's folders come last and win
    include = [layout.absolute(TASKS), *map(str, task_folders()), *evaluation.include_path]
    other = study.prompt.evaluation
    system, _ = asked_as(run.student, study.prompt)  # what the student was trained with
    if other and other.system is not None:
        system = other.system
    limit, samples = _limits(study, run)
    is_seq2seq = run.student.is_encoder_decoder
    asked = study.prompt.of_tasks
    words = "" if asked == "none" else asked
    return {
        "metadata": {} if asked == OWN else {"instruction": words},
        "tasks": [use.task for use in run.tasks],
        "include_path": include[0] if len(include) == 1 else include,
        "device": "cpu" if study.hardware.gpus == 0 else "cuda:0",
        "batch_size": evaluation.batch_size,
        "apply_chat_template": evaluation.apply_chat_template and not is_seq2seq,
        "system_instruction": system or None,
        "num_fewshot": evaluation.num_fewshot,
        "generation": dict(evaluation.generation),
        "run_programs": evaluation.run_programs,
        "limit": limit,
        "samples": samples,
    }


def _limits(study: Study, run: Run) -> tuple[int | None, dict[str, list[int]]]:
    """Return lm-eval's `limit`, or its `samples` where tasks have limits of their own.

    Tasks that are not in `samples` are asked in full.
    """
    limits = {use.task: use.limit or study.evaluation.limit for use in run.tasks}
    if len(set(limits.values())) == 1:
        return next(iter(limits.values())), {}
    folders = [Path(folder) for folder in study.evaluation.include_path]
    samples: dict[str, list[int]] = {}
    for task, limit in limits.items():
        for member, path in tasks_behind([task], folders).items() if limit else ():
            known = questions_asked(path)
            samples[member] = list(range(min(limit or 0, known or limit or 0)))
    return None, samples


def _dtype(study: Study, run: Run) -> str:
    """Return the precision that a run is evaluated in: that of its training, or of the others."""
    recipes = study.recipes
    recipe = recipes[run.recipe] if run.is_trained else next(iter(recipes.values()))
    return {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}[recipe.precision]


def _model_args(study: Study, run: Run, scored: str) -> dict[str, Any]:
    dtype = _dtype(study, run)
    given = dict(study.evaluation.model_args)
    if run.student.endpoint is not None:
        return _asked_at(run.student.endpoint)
    pinned = (
        {} if run.is_trained or not run.student.revision else {"revision": run.student.revision}
    )
    match study.evaluation.backend:
        case "hf":
            backend = {"backend": "seq2seq"} if run.student.is_encoder_decoder else {}
            return {"pretrained": scored, "dtype": dtype, **backend, **pinned, **given}
        case "vllm":
            return {
                "pretrained": scored,
                "dtype": dtype,
                **pinned,
                "tensor_parallel_size": _spread(study, run),
                "gpu_memory_utilization": 0.85,
                **({"max_model_len": length} if (length := run.student.model_len) else {}),
                **given,
            }
        case "local-completions":
            return {
                "model": run.name,
                "tokenizer": scored,
                "base_url": "http://127.0.0.1:8000/v1/completions",
                **given,
            }
        case "local-chat-completions":
            return {
                "model": run.name,
                "base_url": "http://127.0.0.1:8000/v1/chat/completions",
                **given,
            }
    return {"pretrained": scored, **given}


def _spread(study: Study, run: Run) -> int:
    """Return over how many of a training's GPUs the weights of an evaluated model are spread."""
    dtype = str(study.evaluation.model_args.get("dtype", _dtype(study, run)))
    return tensor_parallel_size(run.student, dtype, study.hardware.gpus)


def _asked_at(endpoint: EndpointModel) -> dict[str, Any]:
    """Return how lm-eval reaches a server; it has no key of its own but the environment's."""
    path = "chat/completions" if endpoint.api == "chat" else "completions"
    tokenizer = {"tokenizer": endpoint.tokenizer} if endpoint.tokenizer else {}
    return {
        "model": endpoint.model,
        "base_url": f"{endpoint.urls[0].rstrip('/')}/{path}",
        **tokenizer,
    }
