"""A merge among a study's models: one job that whoever uses the model waits for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from cotdistill.cli.main import main
from cotdistill.errors import StudyError
from cotdistill.files.json_file import read_object
from cotdistill.files.yamls import read_yaml
from cotdistill.runfolder.generate import generate
from cotdistill.runfolder.job import read_declared_jobs
from cotdistill.studies.study import read_study
from tiny_models import build

STUDY: dict[str, Any] = {
    "name": "merged",
    "models": {
        "tiny": {"scratch": {"hidden_size": 32, "heads": 2, "layers": 1}},
        "long": {"model": "./two", "template": "chatml"},
        "assistant": {
            "merge": "ties", "base": "./base", "donor": "./one", "template": "chatml",
            "models": {"./one": {"weight": 0.5}, "long": {"weight": 0.5}},
        },
    },
    "students": ["tiny"],
    "questions": {"own": {"file": "questions.jsonl"}},
    "arms": {
        "taught": {"teach": {"questions": "own", "teacher": "assistant"}},
        "sampled": {"sample": {"questions": "own", "model": "assistant"}},
    },
    "recipes": {"full": {"max_steps": 2, "precision": "fp32"}},
    "evaluation": {"tasks": ["cot_gsm8k"], "models": ["assistant"], "limit": 2,
        "generation": {"max_gen_toks": 64},
    },
    "hardware": {"gpus": 0},
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, name in enumerate(("base", "one", "two")):
        build(tmp_path / name, seed=seed)
    question = '{"id": "1", "question": "What is 1 + 1?", "gold": "2"}\n'
    (tmp_path / "questions.jsonl").write_text(question, encoding="utf-8")
    return tmp_path


def generated(folder: Path, study: dict[str, Any]) -> Path:
    (folder / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    return generate(str(folder / "study.yaml"), folder / "run").folder


def test_whoever_uses_a_merge_waits_for_it(folder: Path) -> None:
    root = generated(folder, STUDY)
    jobs = read_declared_jobs(root) or {}
    merge = jobs["merge", "assistant"]
    assert merge.command == (
        "cotdistill", "merge", "merge/assistant.yaml", "-o", "merged/assistant"
    )  # fmt: skip
    for job in (("teach", "taught"), ("sample", "sampled"), ("evaluate", "assistant--untouched")):
        assert ("merge", "assistant") in jobs[job].needs
        assert list(jobs).index(job) > list(jobs).index(merge.id)
    assert "merged/assistant" in jobs["teach", "taught"].command
    described = read_yaml(root / "merge" / "assistant.yaml")
    assert described["models"] == {
        str(folder / "one"): {"weight": 0.5, "density": 1.0},
        str(folder / "two"): {"weight": 0.5, "density": 1.0},
    }
    scored = read_yaml(root / "eval" / "assistant--untouched.yaml")
    assert scored["model_args"]["pretrained"] == str(root / "merged" / "assistant")


def test_an_environment_for_merging_is_one_with_mergekit(folder: Path) -> None:
    root = generated(folder, STUDY | {"environments": {"merge": ".venv-mergekit"}})
    jobs = read_declared_jobs(root) or {}
    assert jobs["merge", "assistant"].command[-2:] == ("--engine", ".venv-mergekit")


def test_a_merge_of_something_without_weights_is_a_fault(folder: Path) -> None:
    models = STUDY["models"] | {"long": {"endpoint": "http://127.0.0.1:9/v1", "model": "m"}}
    with pytest.raises(StudyError, match="'long' has no weights that could be merged"):
        generated(folder, STUDY | {"models": models})


def test_merges_of_each_other_are_a_circle(folder: Path) -> None:
    other = STUDY["models"]["assistant"] | {"models": {"assistant": {}}}
    first = STUDY["models"]["assistant"] | {"models": {"other": {}}}
    models = STUDY["models"] | {"assistant": first, "other": other}
    with pytest.raises(StudyError, match="goes in a circle"):
        generated(folder, STUDY | {"models": models})
    donors = dict.fromkeys(("assistant", "other"), STUDY["models"]["assistant"])
    donors["assistant"] = donors["assistant"] | {"donor": "other"}
    donors["other"] = donors["other"] | {"donor": "assistant"}
    with pytest.raises(StudyError, match="goes in a circle"):
        generated(folder, STUDY | {"models": STUDY["models"] | donors, "students": ["assistant"]})


def test_keys_of_a_merge_are_checked_in_a_study() -> None:
    wrong = STUDY["models"]["assistant"] | {"normalise": True}
    study = STUDY | {"models": STUDY["models"] | {"assistant": wrong}}
    with pytest.raises(StudyError, match="unknown key 'normalise'"):
        read_study(study, "s.yaml")


def test_a_merge_is_a_student_like_any_other(folder: Path) -> None:
    arms = {"own": {"file": "rows.jsonl"}}
    (folder / "rows.jsonl").write_text('{"instruction": "1 + 1?", "output": "It is 2."}\n')
    loop = {
        "recipe": "full", "rounds": 1,
        "sample": {"questions": "own", "samples": 2, "strategy": "vanilla"},
    }  # fmt: skip
    questions = {"own": {"file": "questions.jsonl", "dev": 1, "task": "cot_gsm8k"}}
    rows = [f'{{"id": "{n}", "question": "What is 1 + {n}?", "gold": "2"}}\n' for n in range(4)]
    (folder / "questions.jsonl").write_text("".join(rows), encoding="utf-8")
    evaluation = STUDY["evaluation"] | {"models": []}
    changed = {"students": ["assistant"], "arms": arms, "evaluation": evaluation}
    study = STUDY | changed | {"questions": questions, "improve": loop}
    root = generated(folder, study)
    jobs = read_declared_jobs(root) or {}
    train = jobs["train", "assistant--own--full--s42"]
    assert ("merge", "assistant") in train.needs
    assert "merged/assistant" in train.inputs
    assert ("merge", "assistant") in jobs["prepare", "own+lengths"].needs
    described = read_yaml(root / "train" / "assistant--own--full--s42.yaml")
    assert described["model_name_or_path"] == str(root / "merged" / "assistant")
    assert described["template"] == "chatml"
    first = jobs["evaluate", "assistant--untouched--round0"]
    assert first.needs == (("merge", "assistant"),)
    sample = jobs["sample", "assistant--improve--full--s42--round1"]
    assert ("merge", "assistant") in sample.needs
    assert sample.command[sample.command.index("--model") + 1] == "merged/assistant"
    again = jobs["train", "assistant--improve--full--s42--round1"]
    assert ("merge", "assistant") in again.needs


def test_a_merge_without_a_template_cannot_be_trained(folder: Path) -> None:
    merge = dict(STUDY["models"]["assistant"])
    del merge["template"]
    models = STUDY["models"] | {"assistant": merge}
    with pytest.raises(StudyError, match="the merge 'assistant' has no template"):
        generated(folder, STUDY | {"models": models, "students": ["assistant"]})
    named = models | {"one": {"model": "./one", "template": "qwen"}}
    named["assistant"] = merge | {"donor": "one", "models": {"one": {}, "long": {}}}
    root = generated(folder, STUDY | {"models": named, "students": ["assistant"]})
    described = read_yaml(root / "train" / "assistant--taught--full--s42.yaml")
    assert described["template"] == "qwen", "that of its donor"


def test_models_that_do_not_belong_together_are_found_before_anything_is_paid(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(STUDY), encoding="utf-8")
    assert main(["check", str(path)]) == 0
    assert "the models of 1 merge" in capsys.readouterr().err
    config = read_object(folder / "two" / "config.json")
    config |= {"rope_theta": 1e6, "num_attention_heads": 1, "tie_word_embeddings": False}
    (folder / "two" / "config.json").write_text(json.dumps(config))
    assert main(["check", str(path)]) == 1
    printed = capsys.readouterr().out
    assert f"{path}:models.assistant: long: rope_theta is 1000000.0" in printed
    assert "num_attention_heads is 1" in printed
    assert "tie_word_embeddings is false" in printed
    del config["rope_theta"]
    absent = STUDY["models"]["assistant"] | {"base": "nobody/base"}
    models = STUDY["models"] | {"assistant": absent}
    path.write_text(yaml.safe_dump(STUDY | {"models": models}), encoding="utf-8")
    assert main(["check", str(path)]) == 0
    assert "compared when it is made: nobody/base not here yet" in capsys.readouterr().err
