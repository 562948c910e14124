"""The commands that are attacked: each makes a small folder, reads files of it, writes others.

A new verb joins the suite with one `Verb(...)` in `VERBS`: from then on its files are damaged, its
outputs are pointed at its inputs, and it is killed at any moment. See tests/attack/README.md.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from cotdistill.cli.main import main
from run_folder import STAMP, add_run, add_scores, add_training, write_json, write_study
from small_study import EVALUATION, RECIPES
from tiny_models import build
from trace_rows import read_jsonl, trace_dict, write_jsonl

Make = Callable[[Path, int], None]
"""Makes a folder; the number says how big: 1 for one command in a blink, more for one to kill."""

SAMPLES = f"scores/one/model/samples_digits_{STAMP}.jsonl"
RESULTS = f"scores/one/model/results_{STAMP}.json"


@dataclass(frozen=True)
class Verb:
    """One command and the folder that it is started in.

    `words` are its arguments, relative to the folder. `reads` are files that are damaged one at a
    time. `outputs` are options that name an output, to be pointed at every one of `reads`, which
    must be refused. `finds` says that status 1 also means findings. `kills` is how often it is
    killed, `size` how big the folder is for that, and `keeps` are patterns of files that a kill
    may change (logs, caches). `answers` starts a judge that answers, at the address `{server}`.
    `hosted` says that it loads a host, or is replaced by one: each case is then a process of its
    own, and there are fewer.
    """

    name: str
    words: str
    make: Make
    reads: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    kills: int = 0
    size: int = 1
    keeps: tuple[str, ...] = ()
    answers: bool = False
    finds: bool = False
    hosted: bool = False


def traces(folder: Path, size: int = 1) -> None:
    """Two files of traces that share questions, golds, a test file, and the same as Parquet."""
    import pyarrow
    from pyarrow import parquet

    rows = [trace_dict(number) for number in range(1, 8 * size + 1)]
    write_jsonl(folder / "a.jsonl", rows)
    longer = [row | {"rationale": "Think. " * 3 + row["rationale"]} for row in rows]
    write_jsonl(folder / "b.jsonl", longer)
    golds = [{"id": row["id"], "question": row["question"], "gold": row["gold"]} for row in rows]
    write_jsonl(folder / "golds.jsonl", golds)
    write_jsonl(folder / "test.jsonl", [golds[0]])
    alpaca = [{"instruction": row["question"], "output": row["rationale"]} for row in rows]
    (folder / "alpaca.json").write_text(json.dumps(alpaca), encoding="utf-8")
    if size == 1:
        flat = [{key: row[key] for key in ("question", "gold", "rationale")} for row in rows]
        parquet.write_table(pyarrow.Table.from_pylist(flat), folder / "p.parquet")


def models(folder: Path, size: int = 1) -> None:
    """Three models of one shape, and the file that says how they are merged."""
    for seed, name in enumerate(("base", "one", "two")):
        build(folder / name, width=32 * size, layers=size, seed=seed)
    shares = {name: {"weight": 0.5, "density": 0.5} for name in ("one", "two")}
    (folder / "m.yaml").write_text(
        yaml.safe_dump({"merge": "dare_ties", "base": "base", "models": shares}), encoding="utf-8"
    )


def arms(folder: Path, size: int = 1) -> None:
    """The traces of two arms, and a student."""
    traces(folder, size)
    models(folder, size)


def scores(folder: Path, size: int = 1) -> None:
    """Two runs of lm-eval with samples, and a judge's kept replies."""
    for place, run in enumerate(("one", "two")):
        add_scores(folder, run, [number % (2 + place) == 0 for number in range(8 * size)])
    write_jsonl(folder / "golds.jsonl", [{"question": "What is 0 + 1?", "gold": "1"}])
    reply = {"text": '{"verdict": "correct", "reason": "same"}'}
    write_jsonl(folder / "cache.jsonl", [{"key": "none", "value": reply}])


def run_folder(folder: Path, size: int = 1) -> None:
    """A run folder after its runs, with verdicts of `rescore` and an older judge's."""
    write_study(folder / "r", {"fine": {"dataset": "gsm8k_train"}, "base": {"dataset": "gsm8k"}})
    for arm in ("base", "fine"):
        run = f"tiny--{arm}"
        add_run(folder / "r", run, arm)
        add_training(folder / "r", run)
        log = [{"current_steps": step, "loss": 1 / step} for step in (1, 2)]
        write_jsonl(folder / "r" / "checkpoints" / run / "trainer_log.jsonl", log)
        out = add_scores(folder / "r", run, [number % 3 > 0 for number in range(8 * size)])
        rows = [
            {"key": f"q{number}", "doc_hash": f"hash{number}", "score": 1.0,
             "verdicts": [{"outcome": "correct", "answer": "1", "rule": "boxed"}]}
            for number in range(8 * size)
        ]  # fmt: skip
        write_jsonl(out / f"verdicts_digits_{STAMP}.rescored.jsonl", rows)
    write_json(folder / "r" / "data" / "fine.ledger.json", ledger())


def run_folders(folder: Path, size: int = 1) -> None:
    """Two run folders of one study."""
    run_folder(folder, size)
    shutil.copytree(folder / "r", folder / "r2")


def batch_replies(folder: Path, size: int = 1) -> None:
    """Questions, the request files that `teach --batch-out` wrote, and a provider's replies."""
    traces(folder, size)
    with contextlib.chdir(folder):
        words = ["teach", "golds.jsonl", "--model", "m", "-o", "out", "--batch-out", "openai"]
        assert main(words) == 0
    replies = []
    for row in read_jsonl(folder / "out" / "batch" / "requests-0001.jsonl"):
        message = {"message": {"content": RIGHT}, "finish_reason": "stop"}
        body = {"model": "m", "choices": [message]}
        replies.append(
            {"custom_id": row["custom_id"], "response": {"status_code": 200, "body": body}}
        )
    write_jsonl(folder / "replies.jsonl", replies)


def ledger() -> dict[str, Any]:
    return {
        "made_by": "generate",
        "inputs": [{"file": "x.jsonl", "rows": 9, "sha256": "0" * 64}],
        "outputs": [{"file": "fine.jsonl", "rows": 8, "sha256": "1" * 64}],
        "counts": {"kept": 8, "dropped": 1},
        "settings": {},
        "seed": None,
        "notes": {"digest": "2" * 64},
        "versions": {"cotdistill": "0"},
    }


STUDY = {
    "name": "small",
    "students": [{"name": "tiny", "scratch": {"hidden_size": 32, "heads": 2, "layers": 1}}],
    "arms": {
        "answer-only": {"puzzles": "digit-sum", "level": "answer-only", "rows": 8, "seed": 1},
        "own": {"file": "rows.jsonl", "columns": {"prompt": "instruction", "response": "output"}},
    },
    "recipes": RECIPES,
    "evaluation": EVALUATION,
    "hardware": {"gpus": 0},
}


def study(folder: Path, size: int = 1) -> None:
    """A study file with an arm of puzzles and one of a file of rows, and a bundle next to it."""
    folder.mkdir(parents=True, exist_ok=True)
    made = STUDY | {"seeds": list(range(1, 1 + 4 * size))}
    (folder / "study.yaml").write_text(yaml.safe_dump(made, sort_keys=False), encoding="utf-8")
    rows = [
        {"instruction": f"What is {number} + 1?", "output": f"The answer is {number + 1}"}
        for number in range(8 * size)
    ]
    write_jsonl(folder / "rows.jsonl", rows)


def generated(folder: Path, size: int = 1) -> None:
    """The run folder `g` of the study, as `generate` leaves it."""
    from cotdistill.runfolder.generate import generate

    study(folder, size)
    with contextlib.chdir(folder):
        generate("study.yaml", Path("g"))


def benchmark(folder: Path, size: int = 1) -> None:
    """Rows of a benchmark as its hub has them."""
    rows = [
        {
            "question": f"Eve has {number} figs and gets one. How many?",
            "answer": f"#### {number + 1}",
        }
        for number in range(8 * size)
    ]
    write_jsonl(folder / "test.jsonl", rows)


def bundle(folder: Path, size: int = 1) -> None:
    """A bundle with a benchmark, a task, a study and a data set of one's own."""
    from cotdistill.studies.drafts import new_draft

    benchmark(folder, size)
    for kind in ("task", "study", "prompt"):
        new_draft(kind, f"my_{kind}", folder / "test.jsonl", folder / "mine")
    entry = {
        "my_rows": {
            "file_name": "test.jsonl",
            "columns": {"prompt": "question", "response": "answer"},
        }
    }
    write_json(folder / "mine" / "dataset_info" / "dataset_info.json", entry)


def training(folder: Path, size: int = 1) -> None:
    """A student, a teacher, rows, a training file that distils, and what an evaluation needs."""
    from cotdistill.benchmarks.prepare import prepare
    from tiny_models import build, training_file, write_rows

    build(folder / "student")
    build(folder / "teacher", width=24, seed=1)
    write_rows(folder)
    kd = {"teacher": "teacher", "temperature": 2.0, "weight": 0.5}
    here = {"model_name_or_path": "student", "dataset_dir": ".", "output_dir": "out"}
    training_file(folder, "train", here | {"max_steps": size, "kd": kd})
    benchmark(folder, 1)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("COTDISTILL_DATA", str(folder / "prepared"))
        prepare("gsm8k", folder / "test.jsonl", "test", any_size=True)
    evaluation = {
        "model": "hf", "model_args": {"pretrained": "student", "dtype": "float32"},
        "tasks": ["cot_gsm8k"], "limit": 2, "device": "cpu", "output_path": "scores",
        "log_samples": True, "gen_kwargs": {"max_gen_toks": 8}, "batch_size": 2,
    }  # fmt: skip
    (folder / "eval.yaml").write_text(yaml.safe_dump(evaluation), encoding="utf-8")


RIGHT = '{"verdict": "correct", "reason": "same"}'
"""What the judge of the suite answers."""

RUN = "r/checkpoints/tiny--fine"
OF_RUN = (
    "r/manifest.jsonl",
    "r/study.yaml",
    f"{RUN}/all_results.json",
    f"{RUN}/trainer_state.json",
    f"{RUN}/trainer_log.jsonl",
    f"r/scores/tiny--fine/model/results_{STAMP}.json",
    f"r/scores/tiny--fine/model/samples_digits_{STAMP}.jsonl",
)
RESCORED = f"r/scores/tiny--fine/model/verdicts_digits_{STAMP}.rescored.jsonl"
GENERATED = ("g/manifest.jsonl", "g/study.yaml", "g/dataset_info.json", "g/data/own.jsonl",
             "g/data/own.ledger.json", "g/train/tiny--own--full--s1.yaml",
             "g/eval/tiny--own--full--s1.yaml")  # fmt: skip

STUDENT = ("student/config.json", "student/tokenizer.json", "student/tokenizer_config.json",
           "student/model.safetensors")  # fmt: skip

FILTER = "filter a.jsonl -o k.jsonl --against test.jsonl --golds golds.jsonl --workers 1"
FILTER_ANY = "filter a.jsonl alpaca.json p.parquet -o k.jsonl --skip-bad --workers 1"
FILTER_PAIRED = "filter a.jsonl b.jsonl -o k.jsonl --split --paired --parquet --workers 1"

ASKED = ("out/journal/*", "out/ledger.json")
"""What says how often a teacher was asked, and so differs after a kill."""

VERBS = [
    # rows
    Verb("lint", "lint a.jsonl b.jsonl --against test.jsonl --findings f.jsonl --workers 1",
         traces, ("a.jsonl", "test.jsonl"), ("--findings",), kills=6, size=40, finds=True),
    Verb("lint --golds", "lint alpaca.json p.parquet --golds golds.jsonl --workers 1",
         traces, ("alpaca.json", "p.parquet", "golds.jsonl"), finds=True),
    Verb("filter", FILTER,
         traces, ("a.jsonl", "test.jsonl", "golds.jsonl"), ("-o",), kills=14, size=60),
    Verb("filter --skip-bad", FILTER_ANY,
         traces, ("a.jsonl", "alpaca.json", "p.parquet"), ("-o",)),
    Verb("filter --split", FILTER_PAIRED,
         traces, (), ("-o",), kills=8, size=60),
    Verb("mix", "mix one=a.jsonl=0.5 two=b.jsonl=0.5 -o m.jsonl --matched",
         traces, ("a.jsonl", "b.jsonl"), ("-o",), kills=10, size=300),
    Verb("grade", "grade a.jsonl --gold-file golds.jsonl --on id -o g.jsonl",
         traces, ("a.jsonl", "golds.jsonl"), ("-o",), kills=8, size=150),
    Verb("granularity", "granularity a.jsonl b.jsonl --rows rows.jsonl --picture p.svg",
         traces, ("a.jsonl", "b.jsonl"), ("--rows", "--picture"), kills=6, size=150),
    Verb("import-traces", "import-traces a.jsonl alpaca.json -o out",
         traces, ("a.jsonl", "alpaca.json"), kills=8, size=150),
    Verb("import-traces parquet", "import-traces p.parquet -o out --skip-bad",
         traces, ("p.parquet",)),
    # models
    Verb("merge", "merge m.yaml -o out --shard-gb 0.00001", models,
         ("m.yaml", "two/model.safetensors", "two/config.json", "two/tokenizer.json"),
         ("-o",), kills=8, size=12),
    Verb("closeness", "closeness one=a.jsonl two=b.jsonl --student one -o c.jsonl", arms,
         ("a.jsonl", "one/config.json", "one/tokenizer.json", "one/model.safetensors"), ("-o",),
         kills=4, size=4, hosted=True),
    # benchmarks and bundles
    Verb("prepare", "prepare gsm8k --from test.jsonl --split test --any-size",
         benchmark, ("test.jsonl",), kills=6, size=150),
    Verb("new task", "new task mine --from test.jsonl -o bundle",
         benchmark, ("test.jsonl",)),
    Verb("list benchmarks", "list benchmarks --bundle mine", bundle,
         ("mine/dataset_info/benchmarks/my_task.yaml",)),
    Verb("list datasets", "list datasets --bundle mine", bundle,
         ("mine/dataset_info/dataset_info.json",)),
    Verb("list tasks", "list tasks --bundle mine", bundle, ("mine/task_configs/my_task.yaml",)),
    Verb("list studies", "list studies --bundle mine", bundle, ("mine/studies/my_study.yaml",)),
    # asking models
    Verb("teach", "teach golds.jsonl --model m --endpoint {server} -o out",
         traces, ("golds.jsonl",), kills=8, size=12, keeps=ASKED, answers=True),
    Verb("teach --rewrite", "teach a.jsonl --rewrite --model m --endpoint {server} -o out",
         traces, ("a.jsonl",), answers=True),
    Verb("sample", "sample golds.jsonl --model m --endpoint {server} -k 2 --rounds 0 -o out",
         traces, ("golds.jsonl",), kills=8, size=12, keeps=ASKED, answers=True),
    Verb("teach --batch-in", "teach golds.jsonl --model m -o out --batch-in replies.jsonl",
         batch_replies, ("golds.jsonl", "replies.jsonl"), kills=6, size=40, keeps=ASKED),
    # studies and run folders
    Verb("migrate", "migrate study.yaml -o s2.yaml", study, ("study.yaml",), kills=4),
    Verb("check STUDY", "check study.yaml", study, ("study.yaml", "rows.jsonl")),
    Verb("plan STUDY", "plan study.yaml", study, ("study.yaml", "rows.jsonl")),
    Verb("generate", "generate study.yaml -o g", study, ("study.yaml", "rows.jsonl"),
         kills=14, size=12),
    Verb("generate again", "generate study.yaml -o g", generated, GENERATED),
    Verb("check FOLDER", "check g", generated, GENERATED),
    Verb("plan FOLDER", "plan g", generated, GENERATED),
    Verb("run --dry-run", "run g --dry-run", generated, GENERATED),
    # results
    Verb("rescore", "rescore scores --golds golds.jsonl --workers 1",
         scores, (SAMPLES, RESULTS, "golds.jsonl"), kills=10, size=200),
    Verb("compare", "compare scores/one scores/two --flips 2", scores, (SAMPLES, RESULTS)),
    Verb("compare --verdicts",
         "compare r/scores/tiny--base r/scores/tiny--fine --verdicts rescored",
         run_folder, (RESCORED,)),
    Verb("judge",
         "judge scores --model m --endpoint {server} --cache cache.jsonl --golds golds.jsonl",
         scores, (SAMPLES, "cache.jsonl", "golds.jsonl"), ("--cache",), kills=12, size=12,
         keeps=("cache.jsonl",), answers=True),
    Verb("report", "report r", run_folder, OF_RUN, kills=8, size=60),
    Verb("report of two", "report r r2 -o both", run_folders,
         (*OF_RUN[:2], *(name.replace("r/", "r2/", 1) for name in OF_RUN[4:])), kills=4, size=40),
    Verb("report --verdicts", "report r --verdicts rescored", run_folder, (RESCORED,)),
    Verb("export", "export r -o out", run_folder, OF_RUN, ("-o",), kills=6, size=60),
    Verb("plan --calibrate", "plan r --calibrate r", run_folder, OF_RUN),
    # models
    Verb("train", "train train.yaml", training,
         ("train.yaml", "rows.json", "dataset_info.json", *STUDENT, "teacher/config.json"),
         hosted=True),
    Verb("capture", "capture train.yaml --teacher teacher -o signals", training,
         ("train.yaml", "rows.json", "student/tokenizer.json", "teacher/config.json",
          "teacher/model.safetensors"), ("-o",), kills=4, hosted=True),
    Verb("prompts", "prompts student train.yaml", training, ("train.yaml", *STUDENT[1:3]),
         kills=3, keeps=("student/tokenizer_config.json", "student/chat_template.jinja"),
         hosted=True),
    Verb("eval", "eval run --config eval.yaml", training,
         ("eval.yaml", "prepared/gsm8k/test.jsonl", "prepared/gsm8k/ledger.json", *STUDENT),
         hosted=True),
]  # fmt: skip
"""Every command of the suite. tests/runs/test_kills.py kills `run`, with its `train` and `eval`."""


def marked(verbs: Sequence[Verb]) -> list[Any]:
    """Return verbs as parameters of a test; those that load a host have the mark `host`."""
    return [
        pytest.param(verb, id=verb.name, marks=[pytest.mark.host] if verb.hosted else [])
        for verb in verbs
    ]
