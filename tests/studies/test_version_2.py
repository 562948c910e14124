"""Study files of version 2: models once, grids by factor, recipes that extend, tasks by factor."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from cotdistill.arms.build import build_arm
from cotdistill.benchmarks.question import question_key
from cotdistill.cli.main import main
from cotdistill.errors import FaultsError, StudyError
from cotdistill.files.bundle import bundle_files
from cotdistill.runfolder.generate import check_study_files, generate
from cotdistill.runfolder.job import read_declared_jobs
from cotdistill.runfolder.manifest import read_manifest
from cotdistill.runs.own_jobs import run_own_job
from cotdistill.studies.json_schema import study_json_schema
from cotdistill.studies.load import load_study
from cotdistill.studies.question_sets import largest_number
from cotdistill.studies.resolve import Resolved, resolve
from cotdistill.studies.study import read_study
from trace_rows import write_jsonl

Study = dict[str, Any]
WriteStudy = Callable[[Study], Path]
DESIGNS = Path(__file__).with_name("designs")
BUDGETS = {
    "cot-factors": 45, "cot-factors-own-teacher": 25, "learnability-gap": 30, "micota": 30,
    "mentor-kd": 45, "gsi": 30, "newcomer": 12,
}  # fmt: skip
SHIPPED = {"cot-factors": 45, "learnability-gap": 30, "micota": 30}


@pytest.fixture
def study() -> Study:
    """A study of version 2 with one named model and two arms of puzzles."""
    puzzles = {"puzzles": "digit-sum", "rows": 20, "seed": 1}
    return {
        "schema_version": 2,
        "name": "second",
        "models": {"tiny": {"scratch": {"hidden_size": 32, "heads": 2, "layers": 1}}},
        "students": ["tiny"],
        "arms": {"level-{level}": {"for": {"level": [1, 3]}, "level": "{level}", **puzzles}},
        "recipes": {"full": {"max_steps": 2, "precision": "fp32", "cutoff_len": 256}},
        "evaluation": {"tasks": ["cot_gsm8k"], "generation": {"max_gen_toks": 64}},
        "hardware": {"gpus": 0},
    }


def resolved(study: Study) -> Resolved:
    return resolve(read_study(study, "s.yaml"), "s.yaml")


def faults_of(study: Study) -> str:
    with pytest.raises(FaultsError) as caught:
        resolved(study)
    return str(caught.value)


def test_a_grid_is_its_arms_with_their_factors(study: Study) -> None:
    arms = read_study(study, "s.yaml").arms
    assert list(arms) == ["level-1", "level-3"]
    assert arms["level-3"].level == 3  # type: ignore[union-attr]
    assert arms["level-3"].factors == {"questions": "digit-sum", "level": 3}


def test_a_list_of_grids_is_their_union_and_names_tell_cells_apart(study: Study) -> None:
    body = {"file": "{teacher}.jsonl"}
    grid = [{"teacher": ["a", "b"], "long": True}, {"teacher": "c", "long": False}]
    study["arms"] = {"{teacher}-{long}": {"for": grid, **body}}
    arms = read_study(study, "s.yaml").arms
    assert [(name, arm.factors) for name, arm in arms.items()] == [
        ("a-True", {"teacher": "a", "long": True}),
        ("b-True", {"teacher": "b", "long": True}),
        ("c-False", {"teacher": "c", "long": False}),
    ]
    study["arms"] = {"{teacher}": {"for": {"teacher": ["a"], "level": [1, 2]}, **body}}
    with pytest.raises(StudyError, match=r"several cells are called 'a'; name all axes in it"):
        read_study(study, "s.yaml")


@pytest.mark.parametrize(
    ("grid", "line"),
    [
        ({"levels": [1]}, "'{level}' is no axis of its for:; did you mean 'levels'?"),
        ({"level": []}, "for.level: not values; expected a list, as in [1, 3, 6]"),
        ({"student": ["a"]}, "'student' cannot name an axis"),
        ([], "" ),
        ({"datasets": {"techer": "gemini"}}, "no dataset has the factor 'techer'; did you mean"),
        ({"datasets": {"teacher": "gpt-9"}}, "no registered dataset has these factors"),
    ],
)  # fmt: skip
def test_a_grid_that_cannot_be_meant_is_named(study: Study, grid: Any, line: str) -> None:
    study["arms"]["level-{level}"]["for"] = grid
    with pytest.raises(FaultsError) as caught:
        read_study(study, "s.yaml")
    assert line in str(caught.value)


def test_registered_datasets_are_chosen_by_their_own_factors(study: Study) -> None:
    when = {"questions": "SVAMP", "teacher": ["chatgpt", "gemini"], "level": [1, 6]}
    grid = {"datasets": {**when, "format": "natural"}}
    study["arms"] = {"{dataset}": {"for": grid, "dataset": "{dataset}"}}
    arms = read_study(study, "s.yaml").arms
    assert list(arms) == ["svamp_chatgpt_level1", "svamp_chatgpt_level6", "svamp_gemini_level1",
                          "svamp_gemini_level6"]  # fmt: skip
    assert arms["svamp_gemini_level6"].factors == {
        "questions": "SVAMP", "teacher": "gemini", "level": 6, "format": "natural"
    }  # fmt: skip


def test_a_recipe_extends_another_and_says_only_what_differs(study: Study) -> None:
    study["recipes"]["slow"] = {"extends": "full", "epochs": 1, "settings": {"weight_decay": 0.1}}
    study["recipes"]["full"]["settings"] = {"max_grad_norm": 1.0}
    slow = read_study(study, "s.yaml").recipes["slow"]
    assert (slow.epochs, slow.max_steps, slow.cutoff_len) == (1, None, 256)
    assert slow.settings == {"max_grad_norm": 1.0, "weight_decay": 0.1}


@pytest.mark.parametrize(
    ("recipes", "line"),
    [
        ({"a": {"extends": "b"}, "b": {"extends": "a"}}, "goes in a circle"),
        (
            {"a": {"extends": "ful", "max_steps": 1}, "full": {"max_steps": 1}},
            "did you mean 'full'",
        ),
    ],
)
def test_a_recipe_that_extends_nothing_is_named(study: Study, recipes: Study, line: str) -> None:
    study["recipes"] = recipes
    with pytest.raises(StudyError, match=line):
        read_study(study, "s.yaml")


def test_a_grid_of_recipes_becomes_factors_too(study: Study) -> None:
    study["recipes"] = {
        "rate-{rate}": {"for": {"rate": [0.1, 0.2]}, "max_steps": 2, "learning_rate": "{rate}"}
    }
    runs = resolved(study).runs
    assert [run.factors["rate"] for run in runs] == [0.1, 0.2, 0.1, 0.2]
    assert runs[0].factors["level"] == 1


def test_recipes_choose_students_by_size_pattern_and_factor(study: Study) -> None:
    study["students"] = ["Qwen2.5-0.5B-Instruct", "Qwen2.5-14B-Instruct"]
    study["recipes"] = {
        "full": {"max_steps": 1, "students": ["< 14 B"], "arms": ["*-1"]},
        "lora": {"max_steps": 1, "template": "lora", "students": [">=14b"], "when": {"level": 3}},
    }
    assert [run.name for run in resolved(study).runs] == [
        "Qwen2.5-0.5B-Instruct--level-1--full--s42",
        "Qwen2.5-14B-Instruct--level-3--lora--s42",
    ]


def test_a_model_of_unknown_size_is_named_where_sizes_choose(study: Study, tmp_path: Path) -> None:
    study["models"]["mine"] = {"model": str(tmp_path), "template": "qwen"}
    study["students"] = ["mine"]
    study["recipes"]["full"]["students"] = ["< 14 B"]
    assert "models.mine: recipes choose by size, and its size is not known" in faults_of(study)


def test_tasks_are_asked_by_factor_and_untouched_models_are_asked_all(study: Study) -> None:
    study["students"] = ["Qwen2.5-0.5B-Instruct"]
    study["arms"]["untouched"] = {"train": "none"}
    study["evaluation"]["tasks"] = [
        {"when": {"level": 1}, "tasks": ["cot_svamp", {"cot_gsm8k": {"limit": 5}}]},
        {"when": {"level": [3, 6]}, "tasks": ["AIME"]},
    ]
    asked = {run.name: [use.task for use in run.tasks] for run in resolved(study).runs}
    assert asked == {
        "Qwen2.5-0.5B-Instruct--untouched": ["cot_svamp", "cot_gsm8k", "AIME"],
        "Qwen2.5-0.5B-Instruct--level-1--full--s42": ["cot_svamp", "cot_gsm8k"],
        "Qwen2.5-0.5B-Instruct--level-3--full--s42": ["AIME"],
    }
    study["evaluation"]["tasks"] = [{"when": {"levels": 1}, "tasks": ["AIME"]}]
    assert "no arm has the factor 'levels'; did you mean 'level'?" in faults_of(study)


def test_an_untouched_student_and_foreign_models_are_evaluated_as_they_are(
    study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    for step in (20, 100):
        folder = tmp_path / "theirs" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
    study["students"] = ["Qwen2.5-0.5B-Instruct"]
    study["arms"]["as-is"] = {"train": "none"}
    study["models"] |= {
        "theirs": {"folder": "theirs", "pattern": "checkpoint-*"},
        "big": {"endpoint": "http://127.0.0.1:9/v1", "model": "Big"},
    }
    study["evaluation"] |= {"models": ["theirs", "big", "gemma-2b"]}
    generate(str(study_file(study)), tmp_path / "run")
    runs = {run.run: run for run in read_manifest(tmp_path / "run")}
    untrained = [name for name, run in runs.items() if not run.is_trained]
    assert untrained == [
        "Qwen2.5-0.5B-Instruct--as-is", "theirs-checkpoint-20--as-is",
        "theirs-checkpoint-100--as-is", "big--as-is", "gemma-2b--as-is",
    ]  # fmt: skip
    assert runs["gemma-2b--as-is"].recipe == "none"
    assert runs["gemma-2b--as-is"].seed is None
    evaluation = yaml.safe_load((tmp_path / "run" / "eval" / "big--as-is.yaml").read_text())
    assert evaluation["model"] == "local-chat-completions"
    assert evaluation["model_args"]["base_url"] == "http://127.0.0.1:9/v1/chat/completions"
    jobs = read_declared_jobs(tmp_path / "run") or {}
    assert jobs["evaluate", "gemma-2b--as-is"].needs == ()


def test_a_randomly_initialised_student_is_not_evaluated_before_it_is_trained(study: Study) -> None:
    study["arms"]["untouched"] = {"train": "none"}
    assert "arms.untouched: a randomly initialised model has no tokenizer" in faults_of(study)


def test_every_checkpoint_of_a_run_is_scored(
    study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    study["recipes"]["full"] |= {"max_steps": 6, "save_steps": 2}
    study["evaluation"]["checkpoints"] = True
    generate(str(study_file(study)), tmp_path / "run")
    runs = [run for run in read_manifest(tmp_path / "run") if run.arm == "level-1"]
    assert [(run.recipe, run.step, run.factors.get("step")) for run in runs] == [
        ("full", None, None), ("full@2", 2, 2), ("full@4", 4, 4)
    ]  # fmt: skip
    jobs = read_declared_jobs(tmp_path / "run") or {}
    assert sum(stage == "train" for stage, _ in jobs) == 2
    step = jobs["evaluate", "tiny--level-1--full--s42--step4"]
    assert step.needs == (("train", "tiny--level-1--full--s42"),)
    text = (tmp_path / "run" / str(step.file)).read_text()
    assert "checkpoints/tiny--level-1--full--s42/checkpoint-4" in text
    del study["recipes"]["full"]["save_steps"]
    assert "expected max_steps and save_steps" in faults_of(study)


def test_steps_of_saving_that_the_host_would_ignore_are_refused(study: Study) -> None:
    study["recipes"]["full"]["settings"] = {"save_steps": 2}
    wrong = "settings.save_steps: has no effect next to a checkpoint of each epoch"
    assert wrong in faults_of(study)


def test_the_instruction_is_in_rows_and_evaluation_files_alike(
    study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    study["prompt"] = {"instruction": "boxed"}
    generate(str(study_file(study)), tmp_path / "run")
    row = json.loads((tmp_path / "run/data/level-1.jsonl").read_text().splitlines()[0])
    words = "Work it out step by step, then give the final answer inside \\boxed{}."
    assert row["instruction"] == f"{row['question']}\n\n{words}"
    evaluation = next((tmp_path / "run" / "eval").glob("*level-1*")).read_text()
    assert yaml.safe_load(evaluation)["metadata"] == {"instruction": words}
    assert words in (tmp_path / "run" / "study.yaml").read_text()  # an upgrade does not change it
    study["prompt"] = {"instruction": "boxd"}
    assert "no instruction 'boxd' in templates/prompts/ask/" in faults_of(study)
    assert "did you mean 'boxed'?" in faults_of(study)


def test_an_instruction_of_tasks_alone_has_to_be_declared(
    study: Study, study_file: WriteStudy, capsys: pytest.CaptureFixture[str]
) -> None:
    study["evaluation"]["tasks"] = ["cot_gsm8k_fewshot"]
    assert main(["check", str(study_file(study))]) == 1
    assert "asks in its own words, which no training row has" in capsys.readouterr().out
    study["evaluation"]["tasks"] = [{"cot_gsm8k_fewshot": {"own_words": True}}]
    assert main(["check", str(study_file(study))]) == 0
    assert "declared: asked in their own words: cot_gsm8k_fewshot" in capsys.readouterr().err


def test_development_questions_are_trained_on_by_no_arm_and_asked_by_a_task(
    study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    rows = [{"question": f"What is {n} + 1?", "gold": str(n + 1)} for n in range(40)]
    write_jsonl(tmp_path / "sums.jsonl", rows)
    texts = [{"instruction": f"what is {n} + 1", "output": f"It is {n + 1}."} for n in range(40)]
    write_jsonl(tmp_path / "texts.jsonl", texts)
    study["questions"] = {"sums": {"file": "sums.jsonl", "dev": 0.25, "task": "cot_svamp"}}
    study["arms"] = {"answers": {"answers": "sums"}, "texts": {"file": "texts.jsonl"},
                     "both": {"mix": {"answers": 1, "texts": 1}}}  # fmt: skip
    study["evaluation"]["tasks"] = ["dev_sums"]
    generate(str(study_file(study)), tmp_path / "run")
    read = lambda name: [  # noqa: E731
        json.loads(line) for line in (tmp_path / "run" / name).read_text().splitlines()
    ]
    dev = {question_key(row["question"], "words") for row in read("data/dev/sums.jsonl")}
    assert 4 <= len(dev) <= 16
    for arm in study["arms"]:
        trained = {question_key(row["instruction"], "words") for row in read(f"data/{arm}.jsonl")}
        assert trained
        assert not trained & dev
    assert len(read("data/answers.jsonl")) == 40 - len(dev)
    assert read("data/answers.jsonl")[0]["output"].startswith("The answer is ")
    task = yaml.safe_load((tmp_path / "run/packaged/task_configs/dev_sums.yaml").read_text())
    assert (task["include"], task["task"]) == ("cot_svamp.yaml", "dev_sums")


def test_questions_of_a_registered_dataset_are_kept_out_of_every_arm_by_its_columns(
    study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    asked = [{"instruction": f"What is {n} + 1?", "output": str(n + 1)} for n in range(40)]
    rationales = [{**row, "output": f"It is {row['output']}."} for row in asked]
    (tmp_path / "data").mkdir()
    (tmp_path / "data/SVAMP_only_ans.json").write_text(json.dumps(asked))
    (tmp_path / "data/SVAMP_ChatGPT_level1_ranked.json").write_text(json.dumps(rationales))
    questions = {"dataset": "svamp_answer_only", "dev": 10, "task": "cot_svamp"}
    study |= {"questions": {"svamp": questions}, "data_folder": "data"}
    study["arms"] = {"answers": {"answers": "svamp"},
                     "fine": {"dataset": "svamp_chatgpt_level1"}}  # fmt: skip
    study["evaluation"]["tasks"] = ["dev_svamp"]
    generate(str(study_file(study)), tmp_path / "run")
    read = lambda name: [  # noqa: E731
        json.loads(line) for line in (tmp_path / "run" / name).read_text().splitlines()
    ]
    dev = {row["question"]: row["gold"] for row in read("data/dev/svamp.jsonl")}
    assert len(dev) == 10
    assert all(gold == str(int(asked.split()[2]) + 1) for asked, gold in dev.items())
    for arm in study["arms"]:
        trained = {row["instruction"] for row in read(f"data/{arm}.jsonl")}
        assert len(trained) == 30
        assert not trained & set(dev)


@pytest.mark.parametrize(
    ("dataset", "fault"),
    [
        ("svamp_answers", "unknown dataset 'svamp_answers'"),
        ("gsm8k", "'gsm8k' is not a file with a column of questions"),
        ("svamp_answer_only", "no such file"),
    ],
)
def test_a_dataset_that_cannot_be_asked_is_a_fault(
    dataset: str, fault: str, study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    study["questions"] = {"svamp": {"dataset": dataset, "dev": 10, "task": "cot_svamp"}}
    study["arms"] = {"answers": {"answers": "svamp"}}
    study["evaluation"]["tasks"] = ["dev_svamp"]
    with pytest.raises(FaultsError, match=fault):
        generate(str(study_file(study)), tmp_path / "run")


def test_a_run_folder_keeps_its_tasks_and_says_what_an_upgrade_changed(
    study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    folder, path = tmp_path / "run", str(study_file(study))
    generate(path, folder)
    copy = folder / "packaged" / "task_configs" / "_boxed.yaml"
    (packaged,) = [p for p in bundle_files("task_configs", "*.yaml") if p.name == "_boxed.yaml"]
    assert copy.read_bytes() == packaged.read_bytes()
    before = read_declared_jobs(folder) or {}
    kept = json.loads((folder / "packaged" / "kept.json").read_text())
    kept["files"]["task_configs/_boxed.yaml"] = "0" * 64  # as if an older version had other words
    (folder / "packaged" / "kept.json").write_text(json.dumps(kept | {"cotdistill": "0.1"}))
    notes = generate(path, folder).notes
    assert any(
        note.startswith("task_configs/_boxed.yaml is not what the folder was generated with")
        for note in notes
    )
    assert (read_declared_jobs(folder) or {}) == before
    copy.write_text(copy.read_text() + "# edited\n")
    assert main(["check", str(folder)]) == 1


def test_a_study_of_version_1_is_read_and_migrated_without_another_meaning(
    small_study: Study, study_file: WriteStudy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = study_file(small_study)
    note = "of version 1, read as version 2; `cotdistill migrate` writes it"
    assert note in "".join(generate(str(path), tmp_path / "one").notes)
    assert main(["migrate", str(path), "-o", str(tmp_path / "new.yaml")]) == 0
    assert "students described under models: (tiny)" in capsys.readouterr().err
    done = generate(str(tmp_path / "new.yaml"), tmp_path / "one")
    assert (len(done.unchanged), done.changed, done.notes) == (2, (), ())
    written = (tmp_path / "new.yaml").read_text()
    assert main(["migrate", str(path), "-o", str(tmp_path / "new.yaml")]) == 0  # nothing to do
    (tmp_path / "other.yaml").write_text(written + "# mine")
    assert main(["migrate", str(path), "-o", str(tmp_path / "other.yaml")]) == 1
    assert (tmp_path / "other.yaml").read_text() == written + "# mine"
    assert main(["migrate", str(path), "--in-place"]) == 0
    assert path.with_name(f"{path.name}.v1").is_file()


@pytest.mark.parametrize("name", BUDGETS)
def test_a_paper_s_design_is_written_within_its_lines(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only verbs that are still to come keep one from being generated."""
    monkeypatch.chdir(tmp_path)
    text = (DESIGNS / f"{name}.yaml").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= BUDGETS[name]
    for file in ("svamp", "gsm8k", "math"):
        asked = [
            {"question": f"{file}: {n} + {n}?", "gold": f"{2 * n}", "rationale": f"It is {2 * n}."}
            for n in range(30)
        ]
        write_jsonl(tmp_path / f"{file}.jsonl", asked)
    (tmp_path / "s.yaml").write_text(text, encoding="utf-8")
    study, place = load_study(str(tmp_path / "s.yaml"))
    faults: list[str] = []
    try:
        resolve(study, place)
    except StudyError as error:
        faults = [str(fault) for fault in error.faults]
    assert [fault for fault in faults if "which this version does not have" not in fault] == []


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_study_keeps_to_its_lines_and_fits_one_gpu_by_one_setting(
    name: str,
) -> None:
    (path,) = [p for p in bundle_files("studies", "*.yaml") if p.stem == name]
    assert len(path.read_text(encoding="utf-8").splitlines()) <= SHIPPED[name]
    study, place = load_study(name, ["hardware.gpus=1"])
    jobs = resolve(study, place)
    assert study.hardware.devices == 1
    assert jobs.runs


def test_the_json_schema_has_a_description_and_an_example_for_every_key() -> None:
    schema = study_json_schema()
    keys = [
        (f"{name}.{key}", entry)
        for name, shape in [("Study", schema), *schema["$defs"].items()]
        for key, entry in shape.get("properties", {}).items()
    ]
    assert len(keys) > 150
    assert [name for name, entry in keys if not entry.get("description")] == []
    assert [name for name, entry in keys if not entry.get("examples")] == []


@pytest.mark.parametrize("path", [*bundle_files("studies", "*.yaml"), *DESIGNS.glob("*.yaml")])
def test_an_editor_that_knows_the_json_schema_accepts_our_studies(path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    text = yaml.safe_load(path.read_text(encoding="utf-8"))
    value = {("on" if key is True else key): entry for key, entry in text.items()}
    if "race" in value:
        value["race"] = {("on" if k is True else k): v for k, v in value["race"].items()}
    jsonschema.Draft202012Validator(study_json_schema()).validate(value)


def test_a_fault_names_the_line_of_its_key(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s.yaml"
    study["recipes"]["full"]["lerning_rate"] = 1
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    lines = path.read_text().splitlines()
    assert main(["generate", str(path), "-o", str(tmp_path / "run")]) == 1
    number = next(n for n, line in enumerate(lines, start=1) if "lerning_rate" in line)
    assert capsys.readouterr().err == (
        f"{path}:{number}:recipes.full: unknown key 'lerning_rate'; did you mean 'learning_rate'?\n"
    )
    del study["recipes"]["full"]["lerning_rate"]
    study["arms"]["level-{level}"]["puzzles"] = "digit-sums"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    assert main(["generate", str(path), "-o", str(tmp_path / "run")]) == 1
    lines = path.read_text().splitlines()
    number = next(n for n, line in enumerate(lines, start=1) if "level-{level}" in line)
    assert capsys.readouterr().err == (
        f"{path}:{number}:arms.level-{{level}}: unknown puzzles 'digit-sums' (in 2 entries of the "
        "grid, first arms.level-1); did you mean 'digit-sum'?\n"
    )
    study["arms"]["level-{level}"] |= {"puzzles": "digit-sum", "for": {"level": [1, 9]}}
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    assert main(["generate", str(path), "-o", str(tmp_path / "run")]) == 1
    assert f":{number}:arms.level-9: unknown level 9" in capsys.readouterr().err


def test_a_plan_begins_with_the_design(
    study: Study, study_file: WriteStudy, capsys: pytest.CaptureFixture[str]
) -> None:
    study["seeds"] = [1, 2]
    assert main(["plan", str(study_file(study))]) == 0
    head, row, factors, asked, prompt, *_ = capsys.readouterr().out.splitlines()
    assert head.split() == ["arms", "trained", "on", "students", "recipe", "seeds", "runs"]
    assert row.split() == ["2:", "level-1", "...", "puzzles", "tiny", "full", "1,", "2", "4"]
    assert factors == "2: level-1 ...: questions: digit-sum; level: 1, 3"
    assert asked == "2: level-1 ...: asked cot_gsm8k"
    assert prompt == "rows ask the bare question, tasks the bare question"


def test_no_row_is_written_while_development_questions_are_not_known(
    study: Study, study_file: WriteStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COTDISTILL_DATA", str(tmp_path / "nothing-prepared"))
    study["questions"] = {"svamp": {"benchmark": "svamp", "dev": 0.1}}
    done = generate(str(study_file(study)), tmp_path / "run")
    assert done.to_prepare == ("level-1", "level-3")
    assert not (tmp_path / "run" / "data" / "level-1.jsonl").exists()
    with pytest.raises(FaultsError, match="type: cotdistill prepare svamp --split train"):
        build_arm(tmp_path / "run", "level-1")


@pytest.mark.parametrize(
    ("arms", "line"),
    [
        (
            {
                "a": {"teach": {"questions": "q", "teacher": "t"}, "with": ["b"]},
                "b": {"teach": {"questions": "q", "teacher": "t"}, "with": ["a"]},
            },
            "s.yaml:arms.a: goes in a circle (arms.a -> arms.b -> arms.a)",
        ),
        (
            {"a": {"teach": {"questions": "q", "teacher": "t", "rewrite_of": "a"}}},
            "s.yaml:arms.a: goes in a circle (arms.a -> arms.a)",
        ),
        (
            {"a": {"sample": {"questions": "q", "model": "m"}}},
            "s.yaml:arms.a: goes in a circle (arms.a -> models.m -> arms.a)",
        ),
        (
            {
                "a": {"sample": {"questions": "q", "model": "t"}, "with": ["b"]},
                "b": {"file": "b.jsonl", "pad": {"like": "a"}},
            },
            "s.yaml:arms.a: goes in a circle (arms.a -> arms.b -> arms.a)",
        ),
        (
            {"a": {"file": "a.jsonl", "filter": {"paired_with": ["a"]}}},
            "s.yaml:arms.a.filter.paired_with: 'a' is this arm; expected another arm",
        ),
        (
            {"a": {"sample": {"questions": "q", "model": "t", "strategy": "interactive"}}},
            "s.yaml:arms.a.sample: the strategy interactive needs a 'helper', which corrects; "
            "expected a name of models:",
        ),
        (
            {"a": {"sample": {"questions": "q"}}},
            "s.yaml:arms.a.sample: the key 'model' is missing; expected a name of models:",
        ),
        (
            {"a": {"answers": "svamp"}},
            "s.yaml:arms.a: the split 'train' of svamp is not prepared; "
            "type: cotdistill prepare svamp --split train",
        ),
    ],
)
def test_an_arm_that_cannot_be_made_is_named(
    study: Study, arms: Study, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COTDISTILL_DATA", str(tmp_path / "nothing-prepared"))
    questions = tmp_path / "q.jsonl"
    write_jsonl(questions, [{"question": "2 + 2?", "answer": "4"}])
    study["models"]["t"] = {"endpoint": "http://127.0.0.1:8000/v1", "model": "Org/Teacher"}
    if "goes in a circle (arms.a -> models.m" in line:
        study["models"]["m"] = {"run": {"model": "tiny", "arm": "a", "recipe": "full"}}
    study["questions"] = {"q": {"file": str(questions)}, "svamp": {"benchmark": "svamp"}}
    study["arms"] = arms
    assert line in faults_of(study).splitlines()


def test_a_teacher_that_its_own_recipe_trains_is_named(study: Study) -> None:
    study["models"]["m"] = {"run": {"model": "tiny", "arm": "level-1", "recipe": "kd"}}
    study["recipes"]["kd"] = {"extends": "full", "kd": {"teacher": "m"}}
    assert "goes in a circle (models.m -> recipes.kd -> models.m)" in faults_of(study)


@pytest.mark.parametrize(
    ("arm", "line"),
    [
        (
            {"file": "a.jsonl", "answers": "q"},
            "s.yaml:arms.a: unknown key 'answers' next to 'file'; known: train, factors, missing,",
        ),
        (
            {"answers": "q", "wiht": []},
            "s.yaml:arms.a: unknown key 'wiht' next to 'answers'; known: train, factors, answers",
        ),
        (
            {"teach": {"questions": "q", "teacher": "t"}, "wiht": []},
            "s.yaml:arms.a: unknown key 'wiht'; did you mean 'with'?",
        ),
        ({"teach": []}, "s.yaml:arms.a.teach: []; expected a mapping of keys to values"),
        (
            {"teach": {"questions": "q", "teacher": "t"}, "with": "b"},
            "s.yaml:arms.a.with: 'b'; expected a list",
        ),
    ],
)
def test_a_key_that_another_kind_of_arm_has_is_told_from_a_misspelt_one(
    study: Study, arm: Study, line: str
) -> None:
    study["arms"] = {"a": arm}
    assert line in faults_of(study)


def test_a_factor_that_no_arm_has_is_named_where_it_is_asked_for(study: Study) -> None:
    study["evaluation"]["tasks"] = [{"when": {"levl": 1}, "tasks": ["cot_gsm8k"]}]
    study["recipes"]["full"]["when"] = {"techer": "x"}
    faults = faults_of(study).splitlines()
    wrong = "s.yaml:evaluation.tasks: no arm has the factor 'levl'; did you mean 'level'?"
    assert wrong in faults
    assert any(f.startswith("s.yaml:recipes.full.when: no arm has the factor") for f in faults)


@pytest.mark.parametrize("name", ["google/flan-t5-small", "t5-base", "google/mt5-small", "folder"])
def test_an_encoder_decoder_student_is_never_trained_as_a_decoder(
    study: Study, study_file: WriteStudy, tmp_path: Path, name: str
) -> None:
    model = name if name != "folder" else str(tmp_path)
    (tmp_path / "config.json").write_text('{"is_encoder_decoder": true}')
    study["models"]["small"] = {"model": model, "template": "empty", "context": 512}
    study["students"] = ["small"]
    assert [one.is_encoder_decoder for one in resolved(study).learners] == [True]
    folder = generate(str(study_file(study)), tmp_path / "run").folder
    stages = {yaml.safe_load(path.read_text())["stage"] for path in folder.glob("train/*.yaml")}
    assert stages == {"seq2seq"}
    study["models"]["small"]["model"] = "Org/contest-t500"
    assert [one.is_encoder_decoder for one in resolved(study).learners] == [False]


def test_a_fault_inside_a_grid_names_the_line_of_its_own_key(
    study: Study, study_file: WriteStudy, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, grid in (("{kind}-{size}", {"kind": ["kd"]}), ("other-{size}", {})):
        kd = {"weight": 0.5, "teacher": "nobody-{size}"}
        study["recipes"][name] = {"for": {**grid, "size": [0.5]}, "extends": "full", "kd": kd}
    path = study_file(study)
    assert main(["check", str(path)]) == 1
    lines = path.read_text(encoding="utf-8").splitlines()
    places = [number for number, line in enumerate(lines, start=1) if "teacher: nobody" in line]
    shown = capsys.readouterr().out
    assert f":{places[0]}:recipes.kd-0.5.kd.teacher: no model 'nobody-0.5'" in shown
    assert f":{places[1]}:recipes.other-0.5.kd.teacher: no model 'nobody-0.5'" in shown


def test_stored_signals_lie_relative_to_the_study_file(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study["recipes"]["full"]["kd"] = {"teacher": {"signals": "signals/qwen"}, "weight": 0.5}
    (tmp_path / "studies").mkdir()
    path = tmp_path / "studies" / "s.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    kd = load_study("studies/s.yaml")[0].recipes["full"].kd
    assert kd is not None
    assert kd.teacher.signals == str(path.parent / "signals" / "qwen")  # type: ignore[union-attr]


def test_models_are_a_grid_too(study: Study) -> None:
    study["models"]["size-{hidden}"] = {
        "for": {"hidden": [32, 64]},
        "scratch": {"hidden_size": "{hidden}", "heads": 2, "layers": 1},
    }
    study["students"] = ["size-32", "size-64"]
    parsed = read_study(study, "s.yaml")
    assert list(parsed.models) == ["tiny", "size-32", "size-64"]
    assert parsed.models["size-64"].scratch.hidden_size == 64  # type: ignore[union-attr]
    study["models"]["tiny"]["factors"] = {}
    assert "models.tiny: unknown key 'factors'" in faults_of(study)


def test_a_recipe_s_axis_may_be_called_like_an_arm_s(study: Study) -> None:
    study["recipes"]["to-{level}"] = {
        "for": {"level": [1, 2]}, "extends": "full", "max_steps": "{level}", "arms": ["level-1"],
    }  # fmt: skip
    runs = {run.name: run.factors for run in resolved(study).runs}
    assert runs["tiny--level-1--to-2--s42"]["level"] == 1
    assert runs["tiny--level-1--to-2--s42"]["recipe_level"] == 2
    assert "recipe_level" not in runs["tiny--level-1--to-1--s42"]  # it says the same
    study["arms"]["level-{level}"]["factors"] = {"recipe_level": 3}
    assert "arms have the factors 'level' and 'recipe_level' too" in faults_of(study)


def test_a_server_cannot_give_the_distributions_of_a_distillation(
    study: Study, study_file: WriteStudy, capsys: pytest.CaptureFixture[str]
) -> None:
    study["models"]["t"] = {"endpoint": "http://127.0.0.1:8000/v1", "model": "Org/Teacher"}
    study["recipes"]["full"]["kd"] = {"teacher": "t"}
    wrong = "recipes.full.kd.teacher: 't' has no weights to load here (endpoint); expected a model"
    for verb in ("plan", "check", "generate"):
        assert main([verb, str(study_file(study))]) == 1
        assert wrong in "".join(capsys.readouterr())


def test_development_questions_that_are_not_here_hide_no_other_fault(study: Study) -> None:
    study["questions"] = {"svamp": {"benchmark": "svamp", "dev": 0.1}}
    study["evaluation"]["tasks"] = ["dev_svamp"]
    study["arms"] = {"a": {"file": "no.jsonl"}}
    study["models"]["m"] = {"run": {"model": "tiny", "arm": "a", "recipe": "full", "seed": 9}}
    study["recipes"]["kd"] = {"extends": "full", "kd": {"teacher": "m"}}
    assert "no such file no.jsonl" in faults_of(study)
    study["arms"] = {"a": {"puzzles": "digit-sum", "level": 1, "rows": 20}}
    with pytest.raises(StudyError) as caught:
        check_study_files(read_study(study, "s.yaml"), "s.yaml", Path("runs").absolute())
    assert "'m' is a run that the study does not have" in str(caught.value)
    assert "questions svamp: the split 'train' of svamp is not prepared" in str(caught.value)


def test_taught_rows_are_dropped_ended_and_padded_as_any_others(
    study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    questions = [{"question": f"What is {n} plus 1?", "gold": f"{n + 1}"} for n in range(3)]
    write_jsonl(tmp_path / "q.jsonl", questions)
    study["models"]["t"] = {"endpoint": "http://127.0.0.1:8000/v1", "model": "Org/Teacher"}
    study["questions"] = {"q": {"file": str(tmp_path / "q.jsonl")}}
    write_jsonl(
        tmp_path / "long.jsonl",
        [{"instruction": one["question"], "output": "word " * 20} for one in questions],
    )
    study["arms"] = {
        "long": {"file": str(tmp_path / "long.jsonl")},
        "taught": {
            "teach": {"questions": "q", "teacher": "t"},
            "missing": "drop",
            "target": {"answer": "gold", "separator": " --> "},
            "pad": {"like": "long", "filler": "."},
        },
    }
    folder = tmp_path / "run"
    generate(str(study_file(study)), folder)
    traces = [
        {
            "id": f"q-{number}", "dataset": "q", "split": "train", "question": one["question"],
            "gold": one["gold"], "rationale": "" if number == 1 else f"It is {one['gold']}.",
            "answer": None if number == 1 else one["gold"],
        }
        for number, one in enumerate(questions)
    ]  # fmt: skip
    write_jsonl(folder / "data" / "teach" / "taught" / "traces.jsonl", traces)
    lines = build_arm(folder, "taught").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["output"] for line in lines] == [
        f"It is {gold}.\n{'. ' * 14}.\n--> {gold}" for gold in (1, 3)
    ]
    study["arms"]["long"] = {"teach": {"questions": "q", "teacher": "t", "rewrite_of": "taught"}}
    assert "goes in a circle (arms.long -> arms.taught -> arms.long)" in faults_of(study)


def test_development_questions_are_neither_asked_nor_paid_for(
    study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    rows = [{"question": f"What is {number} plus 1?", "gold": f"{number}"} for number in range(9)]
    write_jsonl(tmp_path / "q.jsonl", rows)
    study["models"]["t"] = {"endpoint": "http://127.0.0.1:8000/v1", "model": "Org/Teacher"}
    study["questions"] = {"q": {"file": str(tmp_path / "q.jsonl"), "dev": 3}}
    study["arms"] = {
        "taught": {"teach": {"questions": "q", "teacher": "t", "samples": 2}},
        "sampled": {"sample": {"questions": "q", "model": "t"}},
    }
    folder = generate(str(study_file(study)), tmp_path / "run").folder
    jobs = read_declared_jobs(folder)
    assert jobs is not None
    for stage, arm, requests in (("teach", "taught", 12), ("sample", "sampled", 6)):
        job = jobs[stage, arm]
        assert job.command[2] == "data/questions/q.jsonl"
        assert job.needs == (("prepare", "q+questions"),)
        assert job.asks is not None
        assert job.asks.requests == requests
    run_own_job(folder, "prepare", "q+questions")
    lines = (folder / "data" / "questions" / "q.jsonl").read_text("utf-8").splitlines()
    asked = {question_key(json.loads(line)["question"], "words") for line in lines}
    (one,) = resolved(study).sets.values()
    assert len(asked) == len(one.dev_keys) * 2 == 6
    assert not asked & one.dev_keys


@pytest.mark.parametrize(
    ("question", "largest"),
    [
        ("A bag of .5 kg", 0.5),
        ("It costs $.75, not 0.25", 0.75),
        ("It lies on 1,2345 tables", 2345),
        ("Of 1234,567 of them", 1234),
        ("Of 12,345,678 or 1,234.5", 12345678),
        ("He has some.30 are left", 30),
        ("On 1.2.2020", 2020),
        ("1e6 and twelve", 6),
    ],
)
def test_the_largest_number_is_read_as_it_is_written(question: str, largest: float) -> None:
    assert largest_number({"question": question, "gold": "0"}) == largest


def test_another_largest_number_outdates_the_evaluations_and_no_arm(
    study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    rows = [{"question": f"What is {number} plus 0?", "gold": f"{number}"} for number in range(9)]
    write_jsonl(tmp_path / "q.jsonl", rows)
    study["evaluation"]["tasks"] = ["dev_q"]

    def declared(largest: int | None) -> dict[str, set[str | None]]:
        questions = {"file": str(tmp_path / "q.jsonl"), "dev": 8, "largest_number": largest}
        study["questions"] = {"q": questions}
        jobs = read_declared_jobs(generate(str(study_file(study)), tmp_path / "run").folder)
        assert jobs is not None
        return {
            stage: {job.declared for job in jobs.values() if job.stage == stage}
            for stage in ("prepare", "evaluate")
        }

    every, few, fewer = declared(None), declared(6), declared(3)
    assert every["prepare"] == few["prepare"] == fewer["prepare"]
    assert not every["evaluate"] & few["evaluate"]
    assert not few["evaluate"] & fewer["evaluate"]
    assert declared(8) == every


def test_an_arm_is_compared_with_the_development_questions_in_other_words_too(
    study: Study, study_file: WriteStudy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [
        f"A farmer has {n} hens and buys {n + 2} more at the market. How many hens are there?"
        for n in (11, 12, 13, 14)
    ]
    write_jsonl(tmp_path / "q.jsonl", [{"question": one, "gold": "1"} for one in asked])
    study["questions"] = {"q": {"file": str(tmp_path / "q.jsonl"), "dev": 1}}
    (dev,) = resolved(study).sets["q"].dev
    rows = [
        {"instruction": dev["question"], "output": "the same: dropped where the arm is made"},
        {"instruction": f"Think well. {dev['question']} Say it in words.", "output": "inside"},
        {"instruction": dev["question"].replace("hens and", "hens today and"), "output": "like it"},
    ]
    write_jsonl(tmp_path / "a.jsonl", rows)
    study["arms"] = {"a": {"file": str(tmp_path / "a.jsonl")}}
    assert main(["check", str(study_file(study))]) == 1
    shown = "".join(capsys.readouterr())
    assert "arm a: 1 of 2 rows ask 1 development question of dev_q" in shown
    assert "arm a: 1 of 2 rows are like a development question of q" in shown


def test_a_study_without_training_has_a_plan(
    study: Study, study_file: WriteStudy, capsys: pytest.CaptureFixture[str]
) -> None:
    study["students"] = ["Qwen2.5-0.5B-Instruct"]
    study["arms"] = {"untouched": {"train": "none"}}
    assert main(["plan", str(study_file(study))]) == 0
    assert "untouched: asked cot_gsm8k" in capsys.readouterr().out


def test_a_study_ends_with_the_judge_s_job(
    study: Study,
    study_file: WriteStudy,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("JUDGE_KEY", raising=False)  # a dry run asks nobody
    urls = ["http://127.0.0.1:8000/v1", "http://127.0.0.1:8001/v1"]
    study["models"]["j"] = {"endpoint": urls, "model": "Org/Judge", "key_env": "JUDGE_KEY"}
    study["models"]["j"]["any_model"] = True
    study["judge"] = {"model": "j", "audit": 0.2, "max_tokens": 300}
    folder = tmp_path / "run"
    generate(str(study_file(study)), folder)
    jobs = read_declared_jobs(folder)
    assert jobs is not None
    (job,) = (job for job in jobs.values() if job.stage == "judge")
    assert list(job.command) == [
        "cotdistill", "judge", str(folder / "scores"), "--model", "Org/Judge",
        "--endpoint", urls[0], "--endpoint", urls[1], "--audit", "0.2", "--prompt", "judge",
        "--max-tokens", "300", "--key-env", "JUDGE_KEY", "--any-model",
        "--cache", str(folder / "judge.jsonl"),
    ]  # fmt: skip
    assert set(job.needs) == {
        (each.stage, each.name) for each in jobs.values() if each.stage == "evaluate"
    }
    answer = {
        "doc_id": 0, "doc": {"question": "2 + 2?", "answer": "#### 4"}, "target": "4",
        "filter": "none", "arguments": {"gen_args_0": {"arg_0": "2 + 2?", "arg_1": {}}},
        "resps": [["The answer is 5"]], "filtered_resps": ["The answer is 5"],
    }  # fmt: skip
    samples = "samples_cot_gsm8k_2026-01-01T00-00-00.000000.jsonl"
    write_jsonl(folder / "scores" / "one" / samples, [answer])
    capsys.readouterr()
    assert main([*job.command[1:], "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith("1 request to send, 0 already answered")


def test_a_sampled_arm_counts_the_requests_of_all_its_question_sets(
    study: Study, study_file: WriteStudy, tmp_path: Path
) -> None:
    for name, count in (("one", 3), ("two", 4)):
        rows = [{"question": f"{number} + {number}?", "answer": "0"} for number in range(count)]
        write_jsonl(tmp_path / f"{name}.jsonl", rows)
    study["models"]["t"] = {"endpoint": "http://127.0.0.1:8000/v1", "model": "Org/Model"}
    study["questions"] = {
        name: {"file": str(tmp_path / f"{name}.jsonl")} for name in ("one", "two")
    }
    study["arms"] = {"a": {"sample": {"questions": ["one", "two"], "model": "t", "samples": 2}}}
    generate(str(study_file(study)), tmp_path / "run")
    jobs = read_declared_jobs(tmp_path / "run")
    assert jobs is not None
    (job,) = (job for job in jobs.values() if job.stage == "sample")
    assert job.asks is not None
    assert job.asks.requests == 14
