"""Whether an evaluation fits the students and the backend: tokens, attention heads, beams, stops.

lm-eval refuses a budget that leaves no room for the prompt, vLLM a tensor parallel size that does
not divide the heads, and both a setting that they do not know, but only after the training.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cotdistill.errors import Fault
from cotdistill.hosts.lm_eval.decoding import NO_BEAMS, STOPS_ARE_UNTIL, beams, decoding_faults
from cotdistill.hosts.lm_eval.task_files import file_key, tasks_behind, tasks_that_run_programs
from cotdistill.studies.learner import Learner
from cotdistill.studies.study import Study

_HOST_DEFAULT = 256
_PROMPT = 4096
"""Tokens left for a prompt where vLLM's context is sized; the packaged tasks' prompts with four
worked examples have at most about half as many."""


def generation_budget(study: Study) -> int:
    """Return the most tokens that any task of a study may generate for one response.

    A study's own `generation` wins over the tasks' files; 256 is lm-eval's default.
    """
    own = _budget_of(study.evaluation.generation)
    if own is not None:
        return own
    folders = [Path(folder) for folder in study.evaluation.include_path]
    files = tasks_behind(study.evaluation.task_names, folders).values()
    budgets = [_budget_of(file_key(path, "generation_kwargs")) for path in files]
    return max((budget or _HOST_DEFAULT for budget in budgets), default=_HOST_DEFAULT)


def context_needed(budget: int, context: int | None) -> int | None:
    """Return the `max_model_len` that vLLM needs: prompt and response, within the context.

    Left at its default vLLM reserves memory for the student's whole context, 131,072 tokens for
    some, which a small card does not have. None where the student's context is not known.

    >>> context_needed(2048, 131072), context_needed(16384, 16384), context_needed(64, None)
    (6144, 16384, None)
    """
    return None if context is None else min(context, _PROMPT + budget)


def evaluation_faults(
    study: Study, students: Sequence[Learner], budget: int, place: str
) -> Iterator[Fault]:
    """Yield what an evaluation asks of a student that its shape cannot give."""
    arguments = study.evaluation.model_args
    where = f"{place}:evaluation"
    folders = [Path(folder) for folder in study.evaluation.include_path]
    running = tasks_that_run_programs(study.evaluation.task_names, folders)
    if running and not study.evaluation.run_programs:
        yield Fault(
            f"{where}.tasks",
            f"{', '.join(running)}: the responses are programs, which the task executes",
            "your consent",
            "set evaluation.run_programs: true to let them run in the sandbox "
            "(docs/how-to/programs.md)",
        )
    yield from _decoding_faults(study, folders, where)
    given = _whole(arguments.get("max_model_len") or arguments.get("max_length"))
    for student in students:
        context = min(filter(None, (student.context, given)), default=None)
        shared = not student.is_encoder_decoder  # which reads and writes with positions of its own
        if context is not None and budget >= context and shared:
            yield Fault(
                where,
                f"a response may have {budget:,} tokens, and '{student.name}' has a context of "
                f"{context:,} for the prompt and the response",
                "room for both",
                f"for example --set evaluation.generation.max_gen_toks={context // 2}",
            )
        size = _whole(arguments.get("tensor_parallel_size")) or 1
        if study.evaluation.backend == "vllm" and student.heads and student.heads % size:
            sizes = [n for n in range(1, student.heads + 1) if student.heads % n == 0]
            yield Fault(
                f"{where}.model_args",
                f"tensor_parallel_size {size} does not divide the {student.heads} attention heads "
                f"of '{student.name}'",
                "one of " + ", ".join(map(str, sizes)),
                "data_parallel_size uses more GPUs with any model",
            )


def _decoding_faults(study: Study, folders: list[Path], where: str) -> Iterator[Fault]:
    """Yield settings that fail in this backend; a study's own win over a task's."""
    backend, own = study.evaluation.backend, study.evaluation.generation
    yield from decoding_faults(own, f"{where}.generation")
    files = tasks_behind(study.evaluation.task_names, folders)
    written = {task: file_key(path, "generation_kwargs") for task, path in files.items()}
    asked = {task: {**_dict_of(settings), **own} for task, settings in written.items()}
    stopping = [task for task, settings in written.items() if "stop" in _dict_of(settings)]
    if backend in STOPS_ARE_UNTIL and ("stop" in own or stopping):
        remedy = "write generation: {until: [...]}"
        yield Fault(
            f"{where}.generation.stop" if "stop" in own else f"{where}.tasks",
            f"{'' if 'stop' in own else ', '.join(stopping) + ': '}"
            f"lm-eval's backend {backend} does not take 'stop'",
            "'until', lm-eval's name for the texts that end a response",
            remedy if "stop" in own else "rename the key in the task's generation_kwargs",
        )
    searched = {task: beams(settings) for task, settings in asked.items() if beams(settings) > 1}
    if backend in NO_BEAMS and (beams(own) > 1 or searched):
        most = max([beams(own), *searched.values()])
        yield Fault(
            f"{where}.generation.num_beams" if "num_beams" in own else f"{where}.tasks",
            f"{', '.join(searched) or 'num_beams'}: beam search ({most} beams), which backend "
            f"{backend} does not do",
            "greedy decoding, or sampling",
            "set evaluation.backend: hf, or take the task without beams",
        )


def _dict_of(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _budget_of(generation: Any) -> int | None:
    if not isinstance(generation, dict):
        return None
    for key in ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens"):
        if (budget := _whole(generation.get(key))) is not None:
            return budget
    return None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
