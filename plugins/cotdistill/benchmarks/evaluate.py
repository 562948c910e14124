"""`cotdistill eval`: lm-eval with our tasks' index and with guards against invalid scores.

Stops: a prompt and its answer that do not fit the context, empty prompts, a response cache that
belongs to another model, another evaluation into the same folder, sample files that are missing
although lm-eval ended well. Warns: repeats that are all alike, many responses without an answer,
settings that lm-eval quietly ignores. Resumes an interrupted evaluation after its last response.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import sys
import sysconfig
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from cotdistill.benchmarks.cache_owner import cache_owner_fault, identity_of, note_cache_owner
from cotdistill.errors import DataError, Fault, FaultsError, MisuseError, UserError, did_you_mean
from cotdistill.files.bundle import bundle_folders
from cotdistill.files.locks import free_lock, lock_holder, take_lock
from cotdistill.files.yamls import read_yaml
from cotdistill.hosts.lm_eval.decoding import BEAM_SEARCHERS, STOPS_ARE_UNTIL
from cotdistill.hosts.lm_eval.decoding import beams as beams_of
from cotdistill.hosts.lm_eval.kept_responses import LOCK, responses_file
from cotdistill.hosts.lm_eval.run import EvalRequest, run_lm_eval
from cotdistill.hosts.lm_eval.task_files import (
    packaged_tasks,
    tasks_that_run_programs,
    upstream_names,
)

TOKENIZER = "COTDISTILL_TOKENIZER"
JOB = "COTDISTILL_JOB"
_MANY_UNANSWERED = 0.3
_MANY_ALIKE = 0.5
_MANY_UNDECIDED = 0.02
_STANDARD_LIBRARY = sysconfig.get_path("stdlib") + os.sep
_HOST_ERRORS = (ValueError, AssertionError, OSError, RuntimeError)


def evaluate(arguments: Sequence[str]) -> None:
    """Run lm-eval with these arguments, our tasks and the guards.

    Raises:
        MisuseError: an unknown task, or settings that cannot give scores.
        FaultsError: a guard stops the run, or the server fails; what is done is kept.
    """
    if not arguments:
        raise MisuseError("nothing to evaluate; for an example: cotdistill eval --help")
    ours = packaged_tasks()
    names = named_tasks(arguments)
    known = {
        name
        for name in names
        if name in ours
        or fnmatch.filter(ours, name)
        or name.endswith(".yaml")
        or Path(name).is_dir()
    }
    others = [name for name in names if name not in known]
    if others and "--include_path" not in arguments and not _config_of(arguments):
        _refuse_unknown(others, list(ours))
    if running := tasks_that_run_programs(names):
        flag = "--confirm_run_unsafe_code"
        config = _config_of(arguments)  # the file may consent; if not, lm-eval itself refuses
        if flag not in arguments and not config:
            raise MisuseError(
                f"{', '.join(running)}: the responses are programs, which the task executes in a "
                f"sandbox; add {flag} to allow it (docs/how-to/programs.md)"
            )
    guards = Guards()
    started = time.time()
    try:
        # the tokenizer of one evaluation is not the next one's
        with _restored_variable(TOKENIZER), guards:
            run_lm_eval(
                arguments,
                bundle_folders("task_configs"),
                with_upstream=any(name in upstream_names() for name in others),
                watcher=guards,
            )
    except UserError:
        raise
    except Exception as error:
        if not isinstance(error, _HOST_ERRORS) and _raised_in(error)[0].startswith("cotdistill."):
            raise
        if JOB in os.environ:  # a job's log is read by those who look for the cause
            traceback.print_exc()
        raise FaultsError(_failure(error, guards, _config_of(arguments))) from error
    guards.check_files(started)


@contextlib.contextmanager
def _restored_variable(name: str) -> Iterator[None]:
    before = os.environ.get(name)
    try:
        yield
    finally:
        os.environ.pop(name, None)
        if before is not None:
            os.environ[name] = before


def named_tasks(arguments: Sequence[str]) -> list[str]:
    """Return the task names in arguments as lm-eval reads them, or in its `--config` file.

    Raises:
        FaultsError: that file cannot be read, or is no mapping.

    >>> named_tasks(["--model", "hf", "--tasks", "AIME,AMC", "cot_gsm8k", "--limit", "1"])
    ['AIME', 'AMC', 'cot_gsm8k']
    """
    entries: list[str] = []
    after_flag = False
    for argument in arguments:
        if argument.startswith("-"):
            flag, _, value = argument.partition("=")
            after_flag = flag in ("--tasks", "-t")
            entries += [value] if after_flag and value else []
        elif after_flag:
            entries.append(argument)
    if not entries and (config := _config_of(arguments)):
        settings = read_yaml(Path(config))
        if not isinstance(settings, dict):
            raise FaultsError(Fault(config, "not a mapping", "arguments of lm_eval"))
        tasks = settings.get("tasks") or []
        entries = tasks if isinstance(tasks, list) else [tasks]
    return [name.strip() for entry in entries for name in str(entry).split(",") if name.strip()]


def _config_of(arguments: Sequence[str]) -> str | None:
    for flag, value in zip(arguments, [*arguments[1:], ""], strict=True):
        if flag in ("--config", "-C"):
            return value
        if flag.startswith("--config="):
            return flag.partition("=")[2]
    return None


def _refuse_unknown(names: Sequence[str], ours: list[str]) -> None:
    upstream = upstream_names()
    for name in names:
        if name not in upstream and not fnmatch.filter(upstream, name):
            raise MisuseError(f"no task '{name}'; {did_you_mean(name, ours)}")


def _raised_in(error: BaseException) -> tuple[str, str]:
    """Return the module, and its file and line, that raised something itself or by a standard one.

    What is raised outside of this package comes from a host, a task's hook, or a damaged model.
    """
    frame, line = [
        (frame, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if not _is_standard(frame.f_code.co_filename)
    ][-1]
    return str(frame.f_globals.get("__name__")), f"{frame.f_code.co_filename}:{line}"


def _is_standard(file: str) -> bool:
    installed = "site-packages" in file or "dist-packages" in file
    return file.startswith((_STANDARD_LIBRARY, "<frozen ")) and not installed


def _failure(error: BaseException, guards: Guards, config: str | None) -> Fault:
    text = " ".join(str(error).split()) or type(error).__name__
    wrong = f"stopped ({type(error).__name__}: {text[:300]}, in {_raised_in(error)[1]})"
    place = f"lm_eval with {config}" if config else "lm_eval"
    if not guards.kept:
        return Fault(place, wrong)
    kept = f"the responses so far are kept in {guards.kept}"
    return Fault(place, wrong, "", f"{kept}; run the same command again to resume from there")


class Guards:
    """What is checked before, during and after one evaluation; a context that holds its lock."""

    def __init__(self) -> None:
        self.kept: Path | None = None
        self._output: Path | None = None
        self._samples = False
        self._tasks: list[str] = []
        self._model = ""
        self._lock: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            free_lock(self._lock)

    def before(self, arguments: dict[str, Any]) -> Path | None:
        """Refuse settings that cannot give scores; return where responses are kept meanwhile."""
        model, model_args = str(arguments["model"]), dict(arguments["model_args"] or {})
        generation = dict(arguments["gen_kwargs"] or {})
        self._model = model
        chat = bool(arguments["apply_chat_template"])
        if model == "local-chat-completions" and not chat:
            raise MisuseError("local-chat-completions needs --apply_chat_template")
        if model == "local-completions" and chat and not model_args.get("tokenized_requests", True):
            raise MisuseError(
                "local-completions would send messages as a prompt: leave tokenized_requests=False "
                "out, or use --model local-chat-completions"
            )
        if generation.get("temperature") and not generation.get("do_sample"):
            _warn("temperature without do_sample=True: hf and vllm stay greedy, servers sample")
        if model_args.get("think_end_token"):
            _warn("think_end_token deletes the reasoning from the samples; our grader needs none")
        if arguments["cache_requests"]:
            _warn("--cache_requests sends old prompts after a prompt or a setting has changed")
        identity = identity_of(model, model_args)
        if arguments["use_cache"]:
            cache = Path(f"{arguments['use_cache']}_rank0.db")
            if fault := cache_owner_fault(cache, identity):
                raise DataError(fault)
            note_cache_owner(cache, identity)
        tokenizer = model_args.get("tokenizer") or model_args.get("pretrained")
        if tokenizer:
            os.environ.setdefault(TOKENIZER, str(tokenizer))
        self._samples = bool(arguments["log_samples"])
        tracker = arguments["evaluation_tracker"]
        if tracker is not None and getattr(tracker, "output_path", None):
            output = Path(tracker.output_path)
            self._output = output.parent if output.suffix == ".json" else output
            rank = os.environ.get("RANK", "0")
            if rank == "0":  # the processes of one evaluation share its folder
                self._lock = _only_evaluation(self._output)
            self.kept = responses_file(self._output, identity, rank)
        return self.kept

    def requests(self, requests: Sequence[EvalRequest]) -> None:
        """Stop before anything is generated if a prompt is empty or does not fit."""
        empty = [request for request in requests if not request.prompt.strip()]
        if empty:
            tasks = ", ".join(dict.fromkeys(request.task for request in empty))
            raise DataError(Fault(tasks, f"{len(empty)} prompts are empty"))
        beams = {r.task: r.settings["num_beams"] for r in requests if beams_of(r.settings) > 1}
        if beams and self._model not in BEAM_SEARCHERS:
            tasks, most = ", ".join(beams), max(map(int, beams.values()))
            wrong = f"num_beams={most}, which --model {self._model} does not do"
            remedy = "use --model hf, or the task without beams"
            raise FaultsError(Fault(tasks, wrong, "greedy decoding, or sampling", remedy))
        stopping = dict.fromkeys(r.task for r in requests if "stop" in r.settings)
        if stopping and self._model in STOPS_ARE_UNTIL:
            wrong = f"generation_kwargs has 'stop', which --model {self._model} does not take"
            expected = "'until', lm-eval's name for the texts that end a response"
            raise FaultsError(Fault(", ".join(stopping), wrong, expected, "rename the key"))
        faults = []
        for task in dict.fromkeys(request.task for request in requests):
            counted = [r for r in requests if r.task == task and r.tokens and r.context]
            longest = max(counted, key=lambda request: request.tokens or 0, default=None)
            if longest is not None and (fault := _fit_fault(longest)):
                faults.append(fault)
        if faults:
            raise FaultsError(faults)

    def after(self, results: dict[str, Any]) -> None:
        """Warn of results that look spoilt."""
        self._tasks = list(results.get("configs", {}))
        for task in self._tasks:
            config, scores = results["configs"][task], results["results"][task]
            for line in doubts(task, config, scores):
                _warn(line)

    def check_files(self, started: float) -> None:
        """Stop with the files that lm-eval should have written and did not, though it ended well.

        Raises:
            DataError: the results or the samples of a task are missing.
        """
        if self._output is None or not self._tasks:
            return
        fresh = [
            path for path in self._output.rglob("*.json*") if path.stat().st_mtime >= started - 2
        ]
        wanted = [f"samples_{task}_*.jsonl" for task in self._tasks] if self._samples else []
        missing = [
            pattern
            for pattern in ["*_20*.json", *wanted]
            if not any(fnmatch.fnmatch(path.name, pattern) for path in fresh)
        ]
        if missing:
            wrong = f"lm-eval ended well but did not write {', '.join(missing)}"
            remedy = "look for WARNING in its output: a full disk or a folder it may not write"
            raise DataError(Fault(str(self._output), wrong, "", remedy))


def _only_evaluation(output: Path) -> int:
    """Keep every other evaluation out of an output folder, until this process ends in any way."""
    path = output / LOCK
    lock = take_lock(path, f"process {os.getpid()} on {os.uname().nodename}")
    if lock is None:
        wrong = f"another evaluation writes into it ({lock_holder(path)})"
        remedy = "wait for it or stop it, or give another --output_path"
        raise FaultsError(Fault(str(output), wrong, "", remedy))
    return lock


def doubts(task: str, config: Mapping[str, Any], scores: Mapping[str, Any]) -> list[str]:
    """Return a line for everything in a task's results that makes them doubtful.

    >>> doubts("t", {"repeats": 1}, {"no_answer,none": 0.5, "cut_off,none": 0.1})[0][:59]
    't: 60% of the responses have no answer (10% cut off): read '
    """
    found = []
    unanswered, cut = scores.get("no_answer,none", 0.0), scores.get("cut_off,none", 0.0)
    if unanswered + cut >= _MANY_UNANSWERED:
        found.append(
            f"{task}: {unanswered + cut:.0%} of the responses have no answer ({cut:.0%} cut off): "
            "read some samples, or raise max_gen_toks"
        )
    sampled = (config.get("generation_kwargs") or {}).get("do_sample")
    if config.get("repeats", 1) > 1 and sampled:
        alike = scores.get("identical,none", 0.0)
        if alike >= _MANY_ALIKE:
            found.append(
                f"{task}: all {config['repeats']} repeats are the same for {alike:.0%} of the "
                "questions: avg@k, pass@k and maj@k say nothing; does the server get a seed?"
            )
    if scores.get("undecided,none", 0.0) >= _MANY_UNDECIDED:
        share = scores["undecided,none"]
        found.append(f"{task}: {share:.0%} of the answers could not be compared with the gold")
    return found


def _fit_fault(longest: EvalRequest) -> Fault | None:
    wanted = int(longest.settings.get("max_gen_toks", 256))
    tokens, context = longest.tokens or 0, longest.context or 0
    if tokens + wanted <= context:
        return None
    wrong = f"the longest prompt ({tokens} tokens) and max_gen_toks={wanted} ask {tokens + wanted}"
    room = context - tokens
    remedy = f"--gen_kwargs max_gen_toks={room}" if room > 0 else "a model with more context"
    if room > 0:
        remedy = f"add {remedy}, or --model_args max_length=... if the model can hold more"
    return Fault(longest.task, wrong, f"at most the context of {context}", remedy)


def _warn(line: str) -> None:
    sys.stderr.write(f"warning: {line}\n")
