"""lm-eval's own index, loading and prompt building of tasks, for checking them."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cotdistill.errors import UserError


@dataclasses.dataclass(frozen=True)
class LoadedTask:
    """One task as lm-eval built it: its documents, both prompts of the first, its verdicts."""

    name: str
    documents: Sequence[dict[str, Any]]
    plain: str
    chat: list[dict[str, str]]
    host: Any

    def verdict(self, document: dict[str, Any], response: str) -> dict[str, Any]:
        """Return the metrics that the task's own hook gives one response."""
        repeats = self.host.config.repeats
        return dict(self.host.process_results(document, [[response] * repeats]))

    @property
    def runs_programs(self) -> bool:
        """Whether the responses are programs that the task executes."""
        return bool(self.host.config.unsafe_code)


class TaskBroken(Exception):  # noqa: N818  # it is the finding, not a failure of ours
    """lm-eval cannot build the task; the text is one line."""


def task_keys() -> tuple[list[str], list[str]]:
    """Return the keys that lm-eval knows in a task file and in a group file."""
    from lm_eval.config.group import GroupConfig  # type: ignore[import-untyped]
    from lm_eval.config.task import TaskConfig  # type: ignore[import-untyped]

    return tuple([f.name for f in dataclasses.fields(c)] for c in (TaskConfig, GroupConfig))  # type: ignore[return-value]


class TaskFolder:
    """lm-eval's index of some folders, without its own 14,000 tasks."""

    def __init__(self, *folders: Path) -> None:
        from lm_eval.tasks import TaskManager  # type: ignore[import-untyped]

        with quiet():
            self._manager = TaskManager(
                include_path=[str(folder) for folder in folders], include_defaults=False
            )

    def names(self) -> list[str]:
        """Return every task, group and tag that lm-eval found, sorted."""
        return list(self._manager.all_tasks)

    def task_names(self) -> list[str]:
        """Return the names of single tasks, sorted."""
        return list(self._manager.all_subtasks)

    def file_of(self, name: str) -> Path:
        """Return the file that declares a single task."""
        return Path(self._manager.task_index[name].yaml_path)

    def members(self, name: str) -> list[str]:
        """Return the single tasks behind a name: its own, or a group's; [] where it is not ours."""
        entry = self._manager.task_index.get(name)
        if entry is None or entry.cfg is None:
            return []
        inside = entry.cfg.get("task")
        if isinstance(inside, str):
            return [name]
        return [
            found
            for member in inside or []
            for found in self.members(member if isinstance(member, str) else member["task"])
        ]

    def load(self, name: str) -> LoadedTask:
        """Return one task, loaded, with both prompts of its first document.

        Raises:
            TaskBroken: lm-eval cannot load the task or build a prompt.
        """
        try:
            with quiet():
                task = self._manager.load([name])["tasks"][name]
                task.set_fewshot_seed(1234)
                first, shots = task.eval_docs[0], task.config.num_fewshot or 0
                plain = task.fewshot_context(first, shots)
                chat = task.fewshot_context(
                    first,
                    shots,
                    apply_chat_template=True,
                    fewshot_as_multiturn=True,
                    chat_template=lambda messages, **_: messages,
                )
        except UserError as error:
            raise TaskBroken(str(error)) from error
        except Exception as error:  # whatever a task file makes the host raise is the finding
            text = " ".join(str(error).split())
            raise TaskBroken(f"{type(error).__name__}: {text}"[:300]) from error
        return LoadedTask(name, task.eval_docs, plain, chat, task)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep lm-eval's warnings, one for every load, out of the way for a while."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)
