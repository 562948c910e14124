"""Reference pages that are read from the code itself: schema, messages, variables, run folder.

`tools/reference_pages.py` writes them next to the pages of what is packaged.
"""

from __future__ import annotations

import ast
import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cotdistill.runfolder.generate import generate
from cotdistill.runfolder.stages import STAGES
from cotdistill.studies.json_schema import study_json_schema
from cotdistill.tables import Table, markdown_of

PACKAGE = Path(__file__).resolve().parents[1] / "plugins" / "cotdistill"
FAULTS = ("Fault",)
PLACEHOLDER = "…"

VARIABLES = {
    "COTDISTILL_DATA": "where prepared benchmarks are kept [default: in the user's cache]",
    "COTDISTILL_PATH": "folders with bundles, separated by colons",
    "COTDISTILL_SANDBOX": "the sandbox's tier: auto, bubblewrap, landlock, plain",
    "COTDISTILL_TOKENIZER": "tokenizer that counts the tokens of responses in an evaluation",
    "CUDA_VISIBLE_DEVICES": "the GPUs that `run` deals out, in this order",
    "HF_HOME": "the hub's cache, where used commits are looked up",
    "HF_HUB_CACHE": "the same, only of repositories",
    "HUGGINGFACE_HUB_CACHE": "the same under its older name",
    "OPTIM_TORCH": "0: torchrun starts without settings of PyTorch's allocator (LLaMA-Factory's)",
    "RAY_ADDRESS": "the Ray cluster that `filter --engine ray` joins",
    "SLURM_JOB_ID": "set by SLURM: a training over several nodes is started with srun",
    "TRACKIO_DIR": "where Trackio keeps what `report --track trackio` sends",
    "XDG_CACHE_HOME": "the user's cache, under which benchmarks are kept",
    "XDG_RUNTIME_DIR": "where the locks of GPUs are kept",
}
"""Variables for users, with what they do. Others are between our own processes."""
INTERNAL = re.compile(
    r"COTDISTILL_(BUNDLES|FOLDER|GPUS|JOB|PROBE|RUN_ID|RUN_PROCESS|THREADS)|_TYPER_.*|COMP_WORDS"
    r"|OMP_NUM_THREADS|(LOCAL_)?RANK|WORLD_SIZE|PATH|HOME|SLURM_.*NODELIST|FORCE_TORCHRUN|RDZV_ID"
    r"|(MIN_|MAX_)?NNODES|MAX_RESTARTS|NODE_RANK|NPROC_PER_NODE|MASTER_(ADDR|PORT)"
)
OF_HOSTS = {
    "HF_ENDPOINT": "the hub's address (huggingface_hub)",
    "HF_TOKEN": "the hub's account (huggingface_hub)",
    "HF_HUB_OFFLINE": "1: ask no hub (huggingface_hub)",
    "NNODES, NODE_RANK, NPROC_PER_NODE": "how many processes torchrun starts where (LLaMA-Factory)",
    "MASTER_ADDR, MASTER_PORT": "where they meet (LLaMA-Factory); `run` sets them all",
}

CONTENTS = {
    r"study\.yaml": "the resolved study: every default written out",
    r"manifest\.jsonl": "a line for each run: names, factors, tasks, files, hashes",
    r"jobs\.jsonl": "a line for each job: its command, what it is made from, what it waits for",
    r"dataset_info\.json": "LLaMA-Factory's registry of this folder, with absolute paths",
    r"Snakefile": "the workflow of all jobs",
    r"train/.*\.yaml": "a training for `llamafactory-cli train`; with `.kd.yaml`, its distillation",
    r"eval/.*\.yaml": "an evaluation for `lm-eval run --config`",
    r"data/.*\.jsonl": "the rows of an arm",
    r"data/.*\.ledger\.json": "what the rows were made from, counted by reason, with hashes",
    r"packaged/.*": "the packaged tasks, templates and instructions that the study uses",
}
LATER = (
    ("export/", "configuration of merging an adapter, where a recipe trains one"),
    ("models/", "randomly initialised students"),
    ("checkpoints/RUN/", "what a training wrote: weights, logs, results"),
    ("exported/RUN/", "a student with its adapter merged"),
    ("merged/NAME/", "a model merged from others"),
    ("probe/", "responses to the probes of merges, and what came of them"),
    ("closeness/", "what `cotdistill closeness` measured"),
    ("rounds/", "rows, records and scores of the rounds of loops"),
    ("race/", "scores and records of races"),
    (
        "epochs/RUN/",
        "with `keep: best`: links to the checkpoints of each epoch, and which was chosen",
    ),
    ("scores/RUN/", "lm-eval's results and samples, verdicts of `rescore` and `judge`"),
    ("data/ARM.lengths.json", "rows that do not fit `cutoff_len`, by student and recipe"),
    ("report/", "the report: page, tables, figures"),
    ("published/", "what `export` wrote"),
    ("done/STAGE/NAME.json", "the record of a finished job"),
    ("logs/STAGE/NAME.log", "all attempts at a job"),
    ("stale/NNN/", "outdated results that were moved aside"),
    (".cotdistill/", "locks, and the state of the last attempts"),
)

METRICS = {
    "exact_match": "share of responses graded correct; with repeats avg@k",
    "exact_match_strict": "the same, only for answers that the response states, not mere mentions",
    "strict_match": "right inside the literal form that was asked for (`cot_gsm8k_gap` only)",
    "answered": "share of responses with an answer; the samples file has each with its rule",
    "no_answer": "share of responses without an answer",
    "cut_off": "share of responses that were truncated before an answer",
    "undecided": "share of answers that could not be compared; they count as wrong",
    "timeout": "share of answers whose comparison took longer than allowed; they count as wrong",
    "avg@k": "mean over the first k responses to a question",
    "pass@k": "probability that one of k responses is correct, unbiased (arXiv:2107.03374)",
    "maj@k": "the most frequent of k answers is correct (arXiv:2203.11171)",
    "identical": "share of questions whose responses are all the same text",
    "repetition_loop": "share of responses that end in a loop",
    "characters": "mean characters of a response",
    "words": "mean words of a response",
    "tokens": "mean tokens of a response, where COTDISTILL_TOKENIZER names a tokenizer",
    "sandbox_failed": "share of programs about which nothing is known: the sandbox broke",
}
"""What the packaged tasks measure, each named in the code of `benchmarks/`."""


@dataclass(frozen=True)
class Message:
    """One message of the code: its package, what is wrong, what was expected, what to do."""

    package: str
    wrong: str
    expected: str
    remedy: str


def schema_page() -> str:
    """Return every key of a study file, by the part that it is in."""
    schema = study_json_schema()
    parts = [("A study", schema), *sorted(schema["$defs"].items())]
    return "\n\n".join(_part(name, part) for name, part in parts if part.get("properties"))


def _part(name: str, part: Mapping[str, Any]) -> str:
    rows = tuple(
        (
            f"`{key}`",
            _kind(value),
            "required"
            if key in part.get("required", ())
            else f"`{json.dumps(value['default'])}`"
            if "default" in value
            else "",
            str(value.get("description", "")),
            f"`{_flow(value['examples'][0])}`" if value.get("examples") else "",
        )
        for key, value in part["properties"].items()
    )
    about = str(part.get("description", "")).split("\n\n")[0].replace("\n", " ")
    table = markdown_of(Table(("key", "kind", "default", "meaning", "example"), rows))
    return f"## {name}\n\n{about}\n\n{table}"


def _flow(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=1000, sort_keys=False)
    return text.strip().removesuffix("...").strip()


def _kind(value: Mapping[str, Any]) -> str:
    """Return the kind of a value in words, as far as a line can say it."""
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "enum" in value:
        return ", ".join(f"`{one}`" for one in value["enum"])
    if "const" in value:
        return f"`{value['const']}`"
    choices = value.get("anyOf") or value.get("oneOf") or value.get("allOf")
    if choices:
        return ", ".join(dict.fromkeys(filter(None, map(_kind, choices))))
    kind = value.get("type")
    if kind == "array":
        return f"list of {_kind(value.get('items', {}))}".removesuffix(" of ")
    if kind == "object" and isinstance(value.get("additionalProperties"), dict):
        return f"by name: {_kind(value['additionalProperties'])}"
    names = {"string": "text", "integer": "whole number", "boolean": "true or false"}
    if kind == "string" and "pattern" in value and "{" in value["pattern"]:
        return ""  # an axis of a grid in place of the value
    return "" if kind == "null" else names.get(str(kind), str(kind or "any"))


def messages() -> list[Message]:
    """Return every message of the code whose words stand in it, in the order of the packages."""
    found: dict[Message, None] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        package = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef):
                for words in _faults(function):
                    found[Message(package, *words)] = None
    return [one for one in found if re.search(r"[a-z]{3}", one.wrong)]


def _faults(function: ast.FunctionDef) -> Iterator[tuple[str, str, str]]:
    """Yield the three texts of each fault that a function makes itself."""
    named: dict[str, ast.expr] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            named[node.targets[0].id] = node.value
    for node in ast.walk(function):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        if node.func.id in FAULTS and len(node.args) >= 2:
            texts = [_text(word, named) for word in node.args[1:4]]
            texts += [""] * (3 - len(texts))
            yield texts[0], texts[1], texts[2]


def _text(node: ast.expr, named: Mapping[str, ast.expr], depth: int = 0) -> str:
    """Return the words of an expression, with a mark where a value is put in."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else PLACEHOLDER
            for part in node.values
        )
    if isinstance(node, ast.BinOp):
        return _text(node.left, named, depth) + _text(node.right, named, depth)
    if isinstance(node, ast.Name) and node.id in named and depth < 3:
        return _text(named[node.id], named, depth + 1)
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "did_you_mean":
        return f"did you mean {PLACEHOLDER}?"
    return PLACEHOLDER


def messages_page() -> str:
    """Return the tables of messages."""
    by_package: dict[str, list[Message]] = {}
    for one in messages():
        by_package.setdefault(one.package, []).append(one)
    tables = []
    for package, those in by_package.items():
        rows = tuple((one.wrong, one.expected, one.remedy) for one in those)
        table = markdown_of(Table(("what is wrong", "expected", "what to do"), rows))
        tables.append(f"## {package}\n\n{_no_markup(table)}")
    return "\n\n".join(tables)


def _no_markup(text: str) -> str:
    """Keep what looks like Markdown or HTML in a message from being read as such."""
    return re.sub(r"([<>*_\[\]])", r"\\\1", text).replace("\\_\\_", "\\_\\_")


def variables_in_code() -> set[str]:
    """Return the names of all environment variables that the code reads or sets."""
    found: set[str] = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        found |= set(re.findall(r"environ(?:\.get)?[\[(]\s*\"([A-Z_]+)\"", text))
        found |= set(re.findall(r"environment\.get\(\"([A-Z_]+)\"", text))
        found |= set(re.findall(r"^[A-Z_]+ = \"(COTDISTILL_[A-Z_]+)\"$", text, re.MULTILINE))
    return found


def environment_page() -> str:
    """Return the tables of environment variables."""
    others = {name: "" for name in sorted(variables_in_code()) if not INTERNAL.fullmatch(name)}
    ours = tuple((f"`{name}`", about) for name, about in (others | VARIABLES).items())
    hosts = tuple((f"`{name}`", about) for name, about in OF_HOSTS.items())
    tables = [markdown_of(Table(("variable", "what it does"), rows)) for rows in (ours, hosts)]
    return f"## Read by cotdistill\n\n{tables[0]}\n\n## Read by the hosts\n\n{tables[1]}"


def run_folder_page() -> str:
    """Return what a run folder contains, from a folder that is generated here, and its stages."""
    with tempfile.TemporaryDirectory() as work:
        folder = generate("quickstart", Path(work) / "run").folder
        files = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
        paths = [one.as_posix() for one in files if not one.name.startswith(".")]
    seen: dict[str, None] = {}
    for path in paths:
        matching = [pattern for pattern in CONTENTS if re.fullmatch(pattern, path)]
        seen[matching[-1] if matching else re.escape(path)] = None
    rows = [(f"`{_shown(one)}`", "generate", CONTENTS.get(one, "")) for one in seen]
    rows += [(f"`{place}`", "run, report, export", about) for place, about in LATER]
    table = markdown_of(Table(("file", "written by", "content"), tuple(rows)))
    stages = tuple((f"`{stage.name}`", stage.about) for stage in STAGES)
    return f"{table}\n\n## Stages\n\n{markdown_of(Table(('stage', 'what it does'), stages))}"


def _shown(pattern: str) -> str:
    return pattern.replace(r"\.", ".").replace(".*", "NAME")


def metrics_page() -> str:
    """Return the metrics of the packaged tasks."""
    rows = tuple((f"`{name}`", about) for name, about in METRICS.items())
    return markdown_of(Table(("metric", "meaning"), rows))
