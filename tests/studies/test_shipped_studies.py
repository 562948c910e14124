"""The papers' studies: what they say, how many runs they are, and that every file is sound."""

import json
from collections import Counter
from pathlib import Path

import pytest

from cotdistill.catalogue.packaged import CELLS, datasets, read_registrations
from cotdistill.errors import StudyError
from cotdistill.files.bundle import bundle_folder
from cotdistill.files.yamls import read_yaml
from cotdistill.hosts.llamafactory.arguments import training_argument_faults
from cotdistill.runfolder.generate import generate
from cotdistill.studies.load import load_study
from cotdistill.studies.resolve import resolve
from cotdistill.studies.study import batch_steps
from svamp_files import write_svamp_files

RUNS = {
    "cot-factors": 7 * 156,
    "cot-factors-own-teacher": 2 * 18 * 3,
    "learnability-gap": 10 * 6,
    "learnability-gap-own-teachers": 2 * 6,
    "micota": 2 * 5,
    "mentor-kd": 8 * (1 + 7),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_paper_s_study_has_all_its_runs(name: str) -> None:
    study, place = load_study(name)
    assert len(resolve(study, place).runs) == RUNS[name]


def test_the_cot_factors_study_uses_every_registered_cell_once() -> None:
    study, _ = load_study("cot-factors")
    named = [arm.dataset for arm in study.arms.values()]  # type: ignore[union-attr]
    used = [datasets()[name].name for name in named]  # a regular name stands for a legacy one
    assert sorted(used) == sorted(read_registrations(bundle_folder("dataset_info") / CELLS))
    cells = [datasets()[name].about.cell for name in used]
    assert Counter(cell.questions for cell in cells if cell) == {
        "SVAMP": 24, "GSM8K": 25, "AQuA": 25, "MATH": 20, "CSQA": 20, "OBQA": 22, "StrategyQA": 20
    }  # fmt: skip


def test_the_cot_factors_recipe_is_the_published_one() -> None:
    study, place = load_study("cot-factors")
    recipe = study.recipes["full"]
    assert (recipe.learning_rate, recipe.epochs, recipe.cutoff_len) == (5.0e-5, 3, 4096)
    assert (recipe.global_batch, batch_steps(recipe, study.hardware, place)) == (64, 4)
    assert (study.seeds, recipe.deepspeed, recipe.scheduler) == ([100], "z3", "cosine")


def test_the_learnability_gap_trains_small_students_whole_and_large_ones_by_lora() -> None:
    study, place = load_study("learnability-gap")
    recipes = {run.student.name: run.recipe for run in resolve(study, place).runs}
    assert sum(recipe == "full" for recipe in recipes.values()) == 7
    assert {name for name, recipe in recipes.items() if recipe == "lora"} == {
        "Qwen2.5-14B-Instruct", "Qwen2.5-32B-Instruct", "Llama-3.3-70B-Instruct"
    }  # fmt: skip
    assert study.recipes["full"].learning_rate == 1.0e-5
    assert study.recipes["lora"].learning_rate == 1.0e-4


@pytest.mark.parametrize("name", ["learnability-gap", "micota"])
def test_every_generated_training_file_of_a_paper_s_study_is_sound(
    name: str, tmp_path: Path
) -> None:
    generate(name, tmp_path / "runs")
    files = sorted((tmp_path / "runs" / "train").glob("*.yaml"))
    assert len(files) == RUNS[name]
    for file in files:
        assert training_argument_faults(read_yaml(file), file.name) == []
    lines = (tmp_path / "runs" / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    assert len({json.loads(line)["run"] for line in lines}) == RUNS[name]


def test_the_laptop_study_holds_its_questions_out_of_every_arm(tmp_path: Path) -> None:
    write_svamp_files(tmp_path)
    generate("laptop", tmp_path / "run", [f"data_folder={tmp_path}"])
    runs = [
        json.loads(line)
        for line in (tmp_path / "run/manifest.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert Counter(run["arm"] for run in runs) == {
        "untouched": 1, "answer-only": 2, "level-1": 2, "level-3": 2, "level-6": 2, "mix-1-6": 2
    }  # fmt: skip
    lines = (tmp_path / "run/data/dev/svamp.jsonl").read_text(encoding="utf-8").splitlines()
    asked = {json.loads(line)["question"] for line in lines}
    numbers = [int(question.split()[2]) for question in asked]
    assert 5 < len(numbers) < 28
    assert max(numbers) <= 28  # two more is at most 30
    for arm in ("answer-only", "level-1", "level-3", "level-6", "mix-1-6"):
        lines = (tmp_path / f"run/data/{arm}.jsonl").read_text(encoding="utf-8").splitlines()
        trained = {json.loads(line)["instruction"] for line in lines}
        assert len(trained) == 60  # of 260: 200 are held out, whether asked or not
        assert not trained & asked


def test_one_student_of_a_study_can_be_chosen_by_its_hub_id(tmp_path: Path) -> None:
    generate("learnability-gap", tmp_path / "r", ["students=[Qwen/Qwen2.5-0.5B-Instruct]"])
    assert len(list((tmp_path / "r" / "train").glob("*--full--s42.yaml"))) == 6
    generate("learnability-gap", tmp_path / "s", ["students=[Qwen3-1.7B]"])  # below 14 B
    assert len(list((tmp_path / "s" / "train").glob("Qwen3-1.7B--*--full--s42.yaml"))) == 6
    narrow = ["students=[Qwen3-1.7B]", "recipes.full.students=[Llama*]"]
    with pytest.raises(StudyError, match=r"no recipe trains 'Qwen3-1\.7B'; add it to"):
        generate("learnability-gap", tmp_path / "t", narrow)


def test_a_hybrid_thinker_is_told_to_keep_the_thoughts_that_the_data_has(tmp_path: Path) -> None:
    generate("micota", tmp_path / "r", ["students=[Qwen3-0.6B]"])
    for file in (tmp_path / "r" / "train").glob("*.yaml"):
        assert "\nenable_thinking: null\n" in file.read_text(encoding="utf-8")
