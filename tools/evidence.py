"""The evidence of a study: a table of its answers without any text, and every number made from it.

    python tools/evidence.py take runs/laptop --log LOG --plan PLAN -o docs/evidence/laptop
    python tools/evidence.py numbers docs/evidence/laptop --into docs/evidence/laptop*.md

`take` reads a run folder: `answers.csv` has a row a question and run (a hash of the question, task,
arm, seed, whether the answer is correct, its tokens), `facts.json` what was run: versions, seconds
of each job, closeness, hashes of the data, and what was said beforehand and on the way. PLAN is
what `cotdistill plan --json` wrote before the run, LOG what `cotdistill run` wrote, started again
as often as it was, each line with the time before it (`ts %FT%T` puts it there). `numbers` needs
only these two files and computes every table and figure of the page again, with the statistics
that `cotdistill report` uses; `--check` compares only.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from evidence_tables import (
    UNTRAINED,
    Answer,
    figures_of,
    tables_of,
    with_tables,
    write_answers,
)

from cotdistill.files.yamls import read_yaml
from cotdistill.hosts.lm_eval.samples import read_samples
from cotdistill.results.closeness_of_runs import read_closeness
from cotdistill.results.collect import collect
from cotdistill.results.questions import identified
from cotdistill.results.run_results import RunResult
from cotdistill.runfolder.job import JOBS
from cotdistill.runs.jobs import read_jobs
from cotdistill.runs.records import PART, read_record
from cotdistill.tables import markdown_of

HASH_DIGITS = 12


@dataclass(frozen=True)
class Sources:
    """Where the evidence is taken from: a finished run folder, and what was written down besides.

    `model` has the tokenizer that counts the lengths of answers.
    """

    folder: Path
    model: Path
    log: Path | None
    plan: Path | None


def take(sources: Sources, out: Path) -> None:
    """Write the answers and the facts of a finished run folder."""
    folder, count = sources.folder, token_counter(sources.model)
    runs = [run for run in collect(folder).runs if run.scores]
    rows = [row for run in runs for row in _answers(run, count)]
    facts = _facts(folder, runs)
    if sources.log:
        text = sources.log.read_text(encoding="utf-8")
        facts |= {"estimates": estimates_in(text), "starts": starts_in(text)}
    if sources.plan:
        planned = json.loads(sources.plan.read_text(encoding="utf-8"))
        facts["planned"] = {one["run"]: one["tokens"] for one in planned["runs"]}
        facts["detectable"] = {one["task"]: one["detectable"] for one in planned["tasks"]}
    sys.stderr.write(f"{folder}: {len(rows):,} answers\n")
    out.mkdir(parents=True, exist_ok=True)
    write_answers(out / "answers.csv", rows)
    text = json.dumps(facts, indent=1, sort_keys=True)
    (out / "facts.json").write_text(text + "\n", encoding="utf-8")


_TIMED = re.compile(r"\d{4}-\d\d-\d\dT[\d:]+ ")
_LEFT = re.compile(r"(\S+) \d+/\d+ jobs · about ([\d.]+) (s|min|h) left")
_SCORED = re.compile(r"\S+ finished evaluate ")
_ENDED = re.compile(r"(\S+) [\d,]+ jobs? finished in ")
_BEGAN = re.compile(r"\S+ \$ cotdistill run ")
_CPU = re.compile(r"\S+ (?:user|sys)\s+(\d+)m([\d.]+)s$")
_SECONDS = {"s": 1, "min": 60, "h": 3600}


def estimates_in(log: str) -> list[dict[str, Any]]:
    r"""Return how long `run` said each time that it would take, and how long it did.

    Units: seconds; `scored` is the number of runs that had their scores by then.

    >>> estimates_in("2026-01-31T12:00:00 9/22 jobs · about 2 min left · train a\n"
    ...      "2026-01-31T12:02:30 22 jobs finished in 481.2 s\n")
    [{'scored': 0, 'estimate': 120.0, 'took': 150.0}]
    """
    scored, estimates, end = 0, [], None
    for line in log.splitlines():
        scored += bool(_SCORED.match(line))
        if found := _LEFT.match(line):
            at = datetime.fromisoformat(found[1])
            estimates.append((at, scored, float(found[2]) * _SECONDS[found[3]]))
        elif found := _ENDED.match(line):
            end = datetime.fromisoformat(found[1])
    if end is None:
        raise SystemExit("evidence: the log has no line with a time and `jobs finished in`")
    return [
        {"scored": runs, "estimate": left, "took": (end - at).total_seconds()}
        for at, runs, left in estimates
    ]


def starts_in(log: str) -> list[dict[str, Any]]:
    """Return each start of `run`: its seconds, those of the processors, and whether it was killed.

    The processors' are there where the shell's `time` wrote them at the end.
    """
    starts: list[list[str]] = []
    for line in filter(_TIMED.match, log.splitlines()):
        if _BEGAN.match(line):
            starts.append([])
        if starts:
            starts[-1].append(line)
    found = []
    for lines in starts:
        times = [datetime.fromisoformat(one.split(" ")[0]) for one in lines]
        cpu = [int(one[1]) * 60 + float(one[2]) for one in map(_CPU.match, lines) if one]
        ended = next((one for one in map(_ENDED.match, lines) if one), None)
        end = datetime.fromisoformat(ended[1]) if ended else times[-1]
        found.append(
            {
                "killed": ended is None,
                "seconds": (end - times[0]).total_seconds(),
                "cpu": sum(cpu) if cpu and ended else None,
            }
        )
    return found


def token_counter(model: Path) -> Callable[[str], int]:
    """Return a function that counts the tokens of a text as a model does."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def _answers(run: RunResult, count: Callable[[str], int]) -> Iterator[Answer]:
    for score in run.scores:
        assert score.table is not None, f"{run.run}: no samples"
        values = score.table.values
        for found in identified(read_samples(score.table.file)):
            if found.repeated:
                sys.stderr.write(f"{run.run}: asked twice, counted once: {found.question}\n")
            elif found.question in values:
                (text,) = found.sample.responses
                yield Answer(
                    question=hashlib.sha256(found.question.encode()).hexdigest()[:HASH_DIGITS],
                    task=score.task,
                    arm=run.arm,
                    seed="" if run.seed is None else str(run.seed),
                    correct=int(values[found.question]),
                    tokens=count(text),
                    truncated=int(found.sample.metric("cut_off") or 0),
                )


def _jobs(folder: Path) -> dict[str, float | None]:
    """Return the seconds of each job; None where it was resumed and only its end was timed."""
    jobs = read_jobs(folder) if _is_generated(folder) else {}
    done = {str(job): read_record(folder, job.id) for job in jobs.values()}
    return {
        job: None if PART in one.notes else round(one.seconds, 1)
        for job, one in done.items()
        if one
    }


def _is_generated(folder: Path) -> bool:
    """Whether the run folder is here, and not only its results."""
    return (folder / JOBS).is_file()


_NOT_VERSIONS = ("dtype", "engine", "CUDA", "transformers version")


def _versions(runs: Sequence[RunResult]) -> dict[str, str]:
    versions: dict[str, str] = {}
    for run in runs:
        versions |= {**run.evaluated.environment, **run.trained_with}
    versions |= {name: version(name) for name in ("cotdistill", "numpy", "snakemake")}
    versions |= {"Python": platform.python_version(), "processor": _processor()}
    return {name: found for name, found in versions.items() if name not in _NOT_VERSIONS}


def _processor() -> str:
    names = re.findall(
        r"^model name\s*: (.*)$", _text_of(Path("/proc/cpuinfo")) or "", re.MULTILINE
    )
    return f"{len(names)} x {names[0]}" if names else platform.processor()


def _facts(folder: Path, runs: Sequence[RunResult]) -> dict[str, Any]:
    closeness = {
        measured.student: {
            "questions": measured.questions,
            "arms": {
                arm: {name: [one.value, one.low, one.high] for name, one in measures.items()}
                for arm, measures in measured.arms.items()
            },
        }
        for measured in read_closeness(folder)
    }
    declared = read_yaml(folder / "study.yaml").get("compare") or {}
    trained = {
        run.run: {
            "last_loss": run.training.last_loss,
            "tokens": run.training.tokens,
            "seconds": run.training.seconds,
        }
        for run in runs
        if run.training
    }
    return {
        "versions": _versions(runs),
        "jobs": _jobs(folder),
        "baselines": [declared.get("baseline") or UNTRAINED, *(declared.get("also") or ())],
        "closeness": closeness,
        "trained": trained,
        "sha256": _hashes(folder),
    }


def _hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of the files of data, and of those that they were made from."""
    made = sorted([*folder.glob("data/*.jsonl"), *folder.glob("data/dev/*.jsonl")])
    found = {}
    for path in sorted(folder.glob("data/*.ledger.json")):
        for one in json.loads(path.read_text(encoding="utf-8")).get("inputs", ()):
            found[f"{one['file']} (given)"] = one["sha256"]
    return found | {str(path.relative_to(folder)): _sha256(path) for path in made}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    """Take the evidence of a run folder, or compute the numbers of a page from it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    taking = verbs.add_parser("take", help="read a run folder")
    taking.add_argument("folder", type=Path)
    taking.add_argument("-o", "--output", type=Path, required=True)
    taking.add_argument("--log", type=Path, help="what run wrote, with times before the lines")
    taking.add_argument("--plan", type=Path, help="what plan --json wrote before the run")
    taking.add_argument("--model", type=Path, default=Path(".venv/models/SmolLM2-135M-Instruct"))
    numbers = verbs.add_parser("numbers", help="compute every table and figure again")
    numbers.add_argument("folder", type=Path)
    numbers.add_argument("--into", type=Path, nargs="+", help="pages whose tables are replaced")
    numbers.add_argument("--check", action="store_true", help="change nothing, exit 1 if it would")
    given = parser.parse_args()
    if given.verb == "take":
        take(Sources(given.folder, given.model, given.log, given.plan), given.output)
        return
    tables = tables_of(given.folder)
    if given.into is None:
        sys.stdout.write("\n".join(f"## {name}\n\n{markdown_of(t)}" for name, t in tables.items()))
        return
    texts = {given.folder / name: text for name, text in figures_of(given.folder).items()}
    for page in given.into:
        texts[page] = with_tables(page.read_text(encoding="utf-8"), tables)
    changed = [path for path, text in texts.items() if _text_of(path) != text]
    for path in changed:
        if given.check:
            sys.stderr.write(f"evidence: {path} is not what the table of answers gives\n")
        else:
            path.write_text(texts[path], encoding="utf-8")
    if given.check and changed:
        raise SystemExit(1)


def _text_of(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


if __name__ == "__main__":
    main()
