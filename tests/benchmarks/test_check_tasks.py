"""The packaged tasks are all there and load; broken ones are all named."""

import subprocess
import sys
from pathlib import Path

import pytest

from cotdistill.benchmarks.store import write_split
from cotdistill.files.bundle import bundle_folder
from cotdistill.hosts.lm_eval.task_rules import setting_faults
from cotdistill.preflight.tasks import check_tasks, gold_faults

pytestmark = pytest.mark.host

ASKED_FOR = [
    "cot_gsm8k",
    "cot_math500",
    "cot_math",
    "cot_aime24",
    "cot_aime25",
    "cot_amc23",
    "cot_olympiadbench",
    "cot_svamp",
    "cot_asdiv",
    "cot_aqua",
    "cot_mathqa",
    "cot_theoremqa",
    "cot_csqa",
    "cot_openbookqa",
    "cot_strategyqa",
    "cot_date",
    "cot_last_letter",
    "cot_shuffled_objects",
    "cot_micota",
    "cot_factors",
    "cot_mentor_kd",
    "cot_gsi_held_in",
    "cot_gsi_held_out",
    "cot_maths",
    "cot_commonsense",
    "AIME",
    "AMC",
    "Olympiad",
    "gsm8k_zero",
    "hendrycks_math_500",
    "cot_gsm8k_fewshot",
    "cot_aqua_fewshot",
    "cot_svamp_fewshot",
    "cot_math_fewshot",
    "cot_aime24_k4",
    "cot_aime24_k16",
    "cot_aime24_k64",
    "cot_learnability_gap",
    "cot_gsm8k_gap",
    "cot_math_gap",
    "cot_aime24_gap",
    "cot_csqa_beam",
    "cot_openbookqa_beam",
    "cot_strategyqa_beam",
    "cot_gsm8k_program",
    "cot_svamp_program",
    "cot_gsi_programs",
]


@pytest.fixture(autouse=True)
def _own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COTDISTILL_DATA", str(tmp_path / "data"))


def test_every_packaged_task_loads_without_any_data_at_hand() -> None:
    assert [str(fault) for fault in check_tasks()] == []


def test_lm_eval_finds_every_task_that_was_asked_for() -> None:
    from cotdistill.hosts.lm_eval.tasks import TaskFolder

    found = TaskFolder(bundle_folder("task_configs")).names()
    assert set(ASKED_FOR) <= set(found)
    files = [path for path in bundle_folder("task_configs").glob("*.yaml") if path.name[0] != "_"]
    assert {path.stem for path in files} <= set(found)


def test_a_gold_that_is_not_graded_right_is_named() -> None:
    row = {"id": "gsm8k-1", "dataset": "gsm8k", "split": "test", "question": "x?"}
    row |= {"gold": "12 cats", "kind": "letter", "options": None, "rationale": None, "meta": {}}
    write_split("gsm8k", "test", [row], {})
    assert [str(fault) for fault in gold_faults()] == [
        "gsm8k test: gsm8k-1: the reference answer '12 cats' is not graded correct"
    ]


BROKEN = {
    "twice.yaml": ("task: a\ntask: b\n", "the key 'task' stands twice"),
    "typo.yaml": (
        "include: base.yaml\ntask: typo\nnum_fewshots: 0\n",
        "unknown key 'num_fewshots'; did you mean 'num_fewshot'?",
    ),
    "hook.yaml": (
        "include: base.yaml\ntask: hook\nprocess_results: !function hooks.no_such\n",
        "hook: cannot be loaded (AttributeError",
    ),
    "lazy.yaml": (
        "include: base.yaml\ntask: lazy\ngeneration_kwargs: {do_sample: true}\n",
        "generation_kwargs does not set 'max_gen_toks'",
    ),
    "shadow.yaml": ("include: base.yaml\ntask: gsm8k\n", "'gsm8k' hides lm-eval's own"),
    "empty.yaml": ("include: base.yaml\ntask: empty\ndoc_to_text: ' '\n", "plain prompt is empty"),
    "lost.yaml": (
        "include: base.yaml\ntask: lost\ndoc_to_text: 'Hello'\n",
        "plain prompt does not contain the question",
    ),
    "unfilled.yaml": (
        "include: base.yaml\ntask: unfilled\ndoc_to_text: '{{questio}}'\n",
        "UndefinedError",
    ),
    "wrong.yaml": (
        "include: base.yaml\ntask: wrong\nprocess_results: !function hooks.nothing_is_right\n",
        "its own reference answer '7' scores",
    ),
    "greedy.yaml": (
        "include: base.yaml\ntask: greedy\nrepeats: 4\n",
        "4 repeats, decoded greedily, are all the same",
    ),
}


def test_every_way_of_breaking_a_task_is_found_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "tasks"
    folder.mkdir()
    ours = bundle_folder("task_configs")
    hooks = (ours / "hooks.py").read_text(encoding="utf-8")
    hooks += "\n\ndef nothing_is_right(doc, results):\n    return {'exact_match': 0.0}\n"
    (folder / "hooks.py").write_text(hooks, encoding="utf-8")
    base = (ours / "_zero_shot.yaml").read_text(encoding="utf-8")
    base += "doc_to_text: '{{question}}'\ndataset_kwargs: {benchmark: gsm8k}\n"
    (folder / "base.yaml").write_text(base, encoding="utf-8")
    for name, (text, _) in BROKEN.items():
        (folder / name).write_text(text, encoding="utf-8")
    found = "\n".join(map(str, check_tasks(folder, golds=False)))
    for name, (_, message) in BROKEN.items():
        assert message in found, f"{name}: {message}\n{found}"


def test_settings_that_are_left_to_the_host_are_faults() -> None:
    found = {fault.wrong for fault in setting_faults("x", {"generation_kwargs": {"seed": 1234}})}
    assert "seed is 1234: an API server then gives equal samples" in found
    assert "metadata has no version" in found
    assert "num_fewshot is not set" in found


def test_the_index_of_our_folder_reads_no_task_of_lm_eval() -> None:
    code = (
        "from cotdistill.hosts.lm_eval.tasks import TaskFolder\n"
        "from cotdistill.files.bundle import bundle_folder\n"
        "print('gsm8k' in TaskFolder(bundle_folder('task_configs')).names())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
