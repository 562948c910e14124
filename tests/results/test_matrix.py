"""The table of a study: what its marks, means and comparisons claim, by seeds and declarations."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from cotdistill.results.collect import collect
from cotdistill.results.matrix import Matrix, matrix
from cotdistill.results.report.report import report
from cotdistill.results.report.tables import comparison_table
from run_folder import STAMP, add_run, add_scores, add_training, write_study

ANSWERS, LEVEL = ("tiny", "answer-only", "full"), ("tiny", "level6", "full")


def add_arm(folder: Path, arm: str, right: Mapping[str, Sequence[int]], student: str = "") -> None:
    """Add a run a seed; `right` counts the right answers of 40, by task and seed."""
    for seed in range(1, len(next(iter(right.values()))) + 1):
        run = f"{student}{arm}--s{seed}"
        add_run(folder, run, arm, student or "tiny", seed)
        add_training(folder, run)
        results = []
        for task, counts in right.items():
            out = add_scores(folder, run, [number < counts[seed - 1] for number in range(40)], task)
            results.append(json.loads((out / f"results_{STAMP}.json").read_text()))
        whole = results[0] | {
            key: {name: value for one in results for name, value in one[key].items()}
            for key in ("results", "n-samples", "versions")
        }
        (out / f"results_{STAMP}.json").write_text(json.dumps(whole), encoding="utf-8")


def declare(folder: Path, **evaluation: object) -> None:
    write_study(folder, {arm: {"file": "rows.jsonl"} for arm in ("answer-only", "level6")})
    path = folder / "study.yaml"
    study = json.loads(path.read_text())
    study["evaluation"] |= evaluation
    path.write_text(json.dumps(study), encoding="utf-8")


def table_of(folder: Path) -> Matrix:
    return matrix(collect(folder))


def test_seeds_of_one_arm_vary_and_the_difference_counts_it(tmp_path: Path) -> None:
    add_arm(tmp_path, "answer-only", {"digits": [8, 12, 10]})
    add_arm(tmp_path, "level6", {"digits": [26, 20, 24]})
    cell = table_of(tmp_path).cells[LEVEL, "digits"]
    assert cell.difference is not None
    assert (cell.mark, cell.difference.compared.claim) == ("▲", "arms")
    pooled = cell.difference.compared.run_variance
    assert pooled is not None
    assert pooled.freedom == 4
    assert cell.difference.compared.estimate.run_part > 0
    assert cell.score.high - cell.score.low > 0.3


def test_one_seed_an_arm_is_never_marked(tmp_path: Path) -> None:
    add_arm(tmp_path, "answer-only", {"digits": [5]})
    add_arm(tmp_path, "level6", {"digits": [38]})
    made = report(tmp_path)
    row = dict(zip(made.comparisons.columns, made.comparisons.rows[0], strict=True))
    assert (row["claim about"], row["test"]) == ("models", "McNemar")
    assert float(row["p Holm"]) < 0.001
    reason = "near p = 0.05 the two can disagree"
    assert any(reason in note for note in made.table.notes), "the terminal shows this table alone"
    assert reason in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "no arm is marked" in page
    assert "▲</span>" not in page
    assert r"\uparrow$" not in (tmp_path / "report" / "report.tex").read_text().split("midrule")[1]


def test_a_run_deviation_that_the_study_declares_is_used(tmp_path: Path) -> None:
    add_arm(tmp_path, "answer-only", {"digits": [5]})
    add_arm(tmp_path, "level6", {"digits": [38]})
    declare(tmp_path, run_sd=2.5)
    cell = table_of(tmp_path).cells[LEVEL, "digits"]
    assert cell.difference is not None
    assert (cell.mark, cell.difference.compared.declared_sd) == ("▲", 0.025)
    row = comparison_table(table_of(tmp_path)).rows[0]
    assert row[-3:-1] == ("2.5", "declared")


def test_the_mean_over_tasks_is_compared_too(tmp_path: Path) -> None:
    add_arm(tmp_path, "answer-only", {"digits": [10, 12], "letters": [11, 13]})
    add_arm(tmp_path, "level6", {"digits": [18, 21], "letters": [19, 22]})
    table = table_of(tmp_path)
    mean = table.mean_differences[LEVEL]
    assert mean.task == "mean of 2 tasks"
    assert (mean.questions, mean.compared.claim) == (80, "arms")
    assert len(table.differences) == 3
    assert mean.p is not None
    assert mean.p_holm is not None
    assert mean.p_holm > 2 * mean.p
    declare(tmp_path, primary="mean")
    apart = table_of(tmp_path)
    assert apart.mean_differences[LEVEL].p_holm == mean.p
    notes = comparison_table(apart).notes
    assert any("the means together, the tasks together" in note for note in notes)


def test_a_run_without_one_of_the_tasks_leaves_the_mean_untested(tmp_path: Path) -> None:
    add_arm(tmp_path, "answer-only", {"digits": [10, 12], "letters": [11, 13]})
    add_arm(tmp_path, "level6", {"digits": [18, 21]})
    table = table_of(tmp_path)
    assert table.mean_differences == {}
    assert len(table.differences) == 1


def test_students_do_not_share_their_run_variance(tmp_path: Path) -> None:
    for student, shift in (("tiny", 0), ("small", 6)):
        add_arm(tmp_path, "answer-only", {"digits": [10, 12 + shift]}, student)
        add_arm(tmp_path, "level6", {"digits": [20, 22 + shift]}, student)
    found = table_of(tmp_path).differences
    spreads = [one.compared.run_variance for one in found]
    assert [one.freedom for one in spreads if one] == [2, 2]
    assert spreads[0] != spreads[1]
    assert [one.second for one in found] == ["tiny · level6", "small · level6"]


def test_a_diverged_run_and_arms_outside_the_pool_are_noted(tmp_path: Path) -> None:
    add_arm(tmp_path, "answer-only", {"digits": [0, 1]})
    add_arm(tmp_path, "level6", {"digits": [24, 5, 26]})
    notes = comparison_table(table_of(tmp_path)).notes
    assert any("level6--s2 scores under half of its siblings" in note for note in notes)
    assert any("not in the run sd: answer-only" in note for note in notes)
