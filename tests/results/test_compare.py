"""Runs are compared question by question; what must be equal is checked, what is shown is true."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cotdistill.errors import DataError, MisuseError
from cotdistill.results.compare import compare, comparison_table
from cotdistill.stats.significance import mcnemar
from run_folder import STAMP, add_run, add_scores, add_untrained


def scores(folder: Path, run: str, right: Sequence[bool], task: str = "digits") -> Path:
    add_scores(folder, run, right, task)
    return folder / "scores" / run


def changed(place: Path, **values: Any) -> Path:
    path = place / "model" / f"results_{STAMP}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values), encoding="utf-8")
    return place


def test_the_difference_is_paired_and_tested_exactly(tmp_path: Path) -> None:
    one = scores(tmp_path, "weak", [True] * 10 + [False] * 30)
    two = scores(tmp_path, "strong", [False] * 1 + [True] * 29 + [False] * 10)
    ((found,), warnings) = compare([one, two])
    assert (found.wins, found.ties, found.losses, found.questions) == (20, 19, 1, 40)
    assert found.difference.value == pytest.approx(19 / 40)
    assert found.p == mcnemar(1, 20)
    assert found.difference.low > 0.2
    assert "these trained models differ" in found.conclusion
    assert found.mark == ""
    assert len(found.flips) == 21
    assert warnings == []
    swapped, _ = compare([two, one])
    assert swapped[0].difference.value == -found.difference.value


def test_too_few_questions_are_said_to_show_nothing(tmp_path: Path) -> None:
    one = scores(tmp_path, "a", [True] * 15 + [False] * 25)
    two = scores(tmp_path, "b", [True] * 18 + [False] * 22)
    ((found,), _) = compare([one, two])
    assert found.conclusion == (
        "digits: b - a = +7.5 points [-1.0, +16.0]: no difference shown; no difference of less "
        "than 15 points could have been seen with 40 questions"
    )


def test_many_comparisons_are_adjusted_over_all_of_them(tmp_path: Path) -> None:
    places = [scores(tmp_path, f"r{n}", [True] * (20 + n) + [False] * (20 - n)) for n in (0, 6, 8)]
    found, _ = compare(places)
    assert [(one.first, one.second) for one in found] == [("r0", "r6"), ("r0", "r8")]
    assert found[1].p_holm == 2 * found[1].p < found[0].p_holm
    assert found[1].p_holm >= found[1].p_bh
    assert len(compare(places, all_pairs=True)[0]) == 3


def test_repeated_answers_take_the_permutation_test(tmp_path: Path) -> None:
    one, two = (scores(tmp_path, run, [True] * 20 + [False] * 20) for run in ("a", "b"))
    path = next((two / "model").glob("samples_*"))
    text = path.read_text().replace('"exact_match": 0.0', '"exact_match": 0.25')
    path.write_text(text.replace('"resps": [["', '"resps": [["w", "x", "y", "'), encoding="utf-8")
    ((found,), _) = compare([one, two])
    assert (found.test, found.answers, found.wins) == ("permutation", 4, 20)
    assert found.p == pytest.approx(2 * 0.5**20)


def test_a_pattern_names_the_seeds_of_one_arm(tmp_path: Path) -> None:
    for seed, (weak, strong) in enumerate([(12, 26), (14, 25), (13, 27)], start=1):
        scores(tmp_path, f"weak--s{seed}", [True] * weak + [False] * (40 - weak))
        scores(tmp_path, f"strong--s{seed}", [True] * strong + [False] * (40 - strong))
    arms = [tmp_path / "scores" / "weak--*", tmp_path / "scores" / "strong--*"]
    ((found,), warnings) = compare(arms)
    assert warnings == []
    assert (found.first, found.second) == ("weak--*", "strong--*")
    assert (found.compared.claim, found.compared.runs) == ("arms", (3, 3))
    assert (found.mark, found.test) == ("▲", "crossed t")
    assert found.difference.value == pytest.approx(13 / 40)
    assert "strong--* is better" in found.conclusion
    assert found.flips[0].first == pytest.approx(2 / 3)
    with pytest.raises(DataError, match="no run has such a name"):
        compare([tmp_path / "scores" / "none--*", arms[0]])
    with pytest.raises(DataError, match="the seeds of one arm by a pattern in quotes"):
        compare([tmp_path / "scores", arms[0]])


def test_the_run_variance_is_that_of_all_arms_named(tmp_path: Path) -> None:
    for arm, right in (("a", (12, 14)), ("b", (20, 22)), ("c", (16, 17))):
        for seed, count in enumerate(right, start=1):
            scores(tmp_path, f"{arm}--s{seed}", [True] * count + [False] * (40 - count))
    arms = [tmp_path / "scores" / f"{arm}--*" for arm in "abc"]
    few, _ = compare(arms[:2])
    more, _ = compare(arms)
    assert [one.compared.run_variance.freedom for one in (few[0], more[0])] == [2, 3]  # type: ignore[union-attr]
    single, _ = compare([arms[0], tmp_path / "scores" / "b--s1"])
    assert (single[0].compared.claim, single[0].compared.runs) == ("arms", (2, 1))


def test_a_run_that_two_patterns_match_is_named(tmp_path: Path) -> None:
    for number, run in enumerate(("a--s1", "a--s2", "b--s1", "b--s2"), start=1):
        scores(tmp_path, run, [True] * number + [False] * (5 - number))
    _, warnings = compare([tmp_path / "scores" / "a--*", tmp_path / "scores" / "*--s1"])
    assert "digits: a--s1 is a run of both a--* and *--s1" in warnings
    _, warnings = compare([tmp_path / "scores" / "a--*", tmp_path / "scores" / "b--*"])
    assert not [one for one in warnings if "both" in one]


def test_a_known_run_deviation_may_be_declared(tmp_path: Path) -> None:
    one = scores(tmp_path, "weak", [True] * 10 + [False] * 30)
    two = scores(tmp_path, "strong", [True] * 30 + [False] * 10)
    ((found,), _) = compare([one, two], run_sd=2.0)
    assert found.compared.declared_sd == 0.02
    assert found.mark == "▲"
    assert found.conclusion.endswith("assumes a run sd of 2 points")


def test_a_task_that_one_seed_lacks_is_named(tmp_path: Path) -> None:
    for run in ("a--s1", "a--s2", "b--s1", "b--s2"):
        scores(tmp_path, run, [True, False, True])
    scores(tmp_path, "a--s1", [True, False], task="other")
    found, warnings = compare([tmp_path / "scores" / f"{arm}--*" for arm in "ab"])
    assert [one.task for one in found] == ["digits"]
    assert warnings[0] == "a--*: not every run has other, so not compared"


def test_another_task_version_or_decoding_is_refused(tmp_path: Path) -> None:
    one = scores(tmp_path, "a", [True, False])
    two = changed(scores(tmp_path, "b", [True, True]), versions={"digits": 2.0})
    with pytest.raises(DataError, match=r"task version differs: a 1.0, b 2.0.*--anyway"):
        compare([one, two])
    _, warnings = compare([one, two], anyway=True)
    assert "task version differs" in warnings[0]
    configs = {"digits": {"generation_kwargs": {"max_gen_toks": 64}}}
    three = changed(scores(tmp_path, "c", [True, True]), configs=configs)
    with pytest.raises(DataError, match="decoding differs: a not logged, c max_gen_toks=64"):
        compare([one, three])


def test_another_engine_or_dtype_is_warned_of(tmp_path: Path) -> None:
    logged = [{"model": "hf", "model_dtype": "bf16"}, {"model": "vllm", "model_dtype": "fp16"}]
    one, two = (
        changed(scores(tmp_path, run, [True, False]), config=config)
        for run, config in zip("ab", logged, strict=True)
    )
    _, warnings = compare([one, two])
    assert warnings == [
        "digits: engine differs: a hf, b vllm",
        "digits: dtype differs: a bf16, b fp16",
    ]


def test_another_prompt_is_refused_unless_the_chat_template_explains_it(tmp_path: Path) -> None:
    one, two = (scores(tmp_path, run, [True, False]) for run in "ab")
    path = next((two / "model").glob("samples_*"))
    path.write_text(path.read_text().replace("prompt1", "other"), encoding="utf-8")
    with pytest.raises(DataError, match="1 of 2 questions were asked with another prompt"):
        compare([one, two])
    changed(one, chat_template_sha="x")
    changed(two, chat_template_sha="y")
    _, warnings = compare([one, two])
    assert "the chat templates differ" in warnings[1]


def test_questions_of_only_one_run_are_counted(tmp_path: Path) -> None:
    one, two = scores(tmp_path, "a", [True] * 5), scores(tmp_path, "b", [True] * 3)
    ((found,), warnings) = compare([one, two])
    assert found.questions == 3
    assert "2 questions are in only one" in warnings[0]
    assert "could not be checked" not in "".join(warnings)
    with pytest.raises(DataError, match="no task in common"):
        compare([one, scores(tmp_path, "c", [True], task="other")])
    with pytest.raises(MisuseError, match="two or more runs"):
        compare([one])


def test_verdicts_that_were_never_made_are_asked_for(tmp_path: Path) -> None:
    one, two = (scores(tmp_path, run, [True, False]) for run in "ab")
    with pytest.raises(DataError, match="no rescored verdicts next to it; make them: cotdistill"):
        compare([one, two], source="rescored")


def test_the_verb_prints_conclusions_and_flips(tmp_path: Path) -> None:
    one, two = scores(tmp_path, "a", [True, False]), scores(tmp_path, "b", [True, True])
    table = comparison_table(compare([one, two])[0], flips=3)
    assert table.notes[1] == "digits: a 0, b 1: What is 1 + 1?"
    command = [sys.executable, "-m", "cotdistill", "compare", str(one), str(two), "--flips", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == "digits, against a:"
    assert done.stdout.splitlines()[1].split() == ["second", "b"]
    assert any(line.split() == ["win/tie/loss", "1/1/0"] for line in done.stdout.splitlines())
    assert "What is 1 + 1?" in done.stdout


def test_a_run_folder_is_compared_student_by_student(tmp_path: Path) -> None:
    for student in ("large", "small"):
        for arm, count in [("fine", 30), ("answer-only", 10)]:
            for seed in (1, 2):
                run = f"{student}--{arm}--s{seed}"
                add_run(tmp_path, run, arm, student, seed)
                add_scores(tmp_path, run, [(n + seed) % 40 < count for n in range(40)])
    add_run(tmp_path, "later", "coarse", "small", 1)
    found, warnings = compare([tmp_path])
    assert [(one.first, one.second) for one in found] == [
        ("large · answer-only", "large · fine"),
        ("small · answer-only", "small · fine"),
    ]
    assert {one.compared.claim for one in found} == {"arms"}
    assert found[0].p_holm == pytest.approx(2 * found[0].p)
    assert warnings[0] == "later: not scored, so not compared"
    other, _ = compare([tmp_path], baseline="fine")
    assert other[0].second == "large · answer-only"
    with pytest.raises(DataError, match=r"no scored run of the arm 'fin'.*did you mean 'fine'"):
        compare([tmp_path], baseline="fin")


def test_a_model_that_was_not_trained_has_no_runs_that_vary(tmp_path: Path) -> None:
    add_untrained(tmp_path, "untouched")
    add_scores(tmp_path, "untouched", [n < 10 for n in range(40)])
    for seed in (1, 2):
        add_run(tmp_path, f"fine--s{seed}", "fine", seed=seed)
        add_scores(tmp_path, f"fine--s{seed}", [(n + 3 * seed) % 40 < 20 for n in range(40)])
    ((found,), _) = compare([tmp_path], baseline="untouched")
    assert (found.first, found.second) == ("untouched", "fine")
    runs = found.compared.run_variance
    assert runs is not None
    assert found.compared.estimate.run_part * found.compared.estimate.variance == pytest.approx(
        runs.variance / 2
    )


def test_the_verb_prints_json_and_exits_2_for_a_single_run(tmp_path: Path) -> None:
    one = scores(tmp_path, "weak", [True] * 10 + [False] * 30)
    two = scores(tmp_path, "strong", [True] * 30 + [False] * 10)
    verb = [sys.executable, "-m", "cotdistill", "compare"]
    done = subprocess.run(
        [*verb, str(one), str(two), "--json"], capture_output=True, text=True, check=True
    )
    (row,) = json.loads(done.stdout)["comparisons"]
    assert (row["difference"], row["claim"], len(row["flips"])) == (0.5, "models", 20)
    alone = subprocess.run([*verb, str(one)], capture_output=True, text=True, check=False)
    assert alone.returncode == 2
    assert alone.stderr == "cotdistill compare: name two or more runs, or one run folder\n"


def test_of_many_comparisons_only_what_was_found_is_put_into_words(tmp_path: Path) -> None:
    """Nine arms are like the first one, and one is better."""
    like = [number % 2 == 0 for number in range(40)]
    arms = [scores(tmp_path, f"arm{n}", like) for n in range(10)]
    found, _ = compare([*arms, scores(tmp_path, "good", [True] * 40)])
    table = comparison_table(found)
    assert len(table.rows) == 10
    worded = [note for note in table.notes if " points [" in note]
    assert [note.split(" = ")[0] for note in worded if "differ" in note] == ["digits: good - arm0"]
    assert len([note for note in table.notes if "other comparison" in note]) == 1
