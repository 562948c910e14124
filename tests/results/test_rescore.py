"""Old samples are graded again next to the old result, once a question, with what changed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cotdistill.errors import DataError

pytest.importorskip("cotdistill.grading.grade")

from cotdistill.results.regrade import Task, regrade
from cotdistill.results.rescore import rescore
from cotdistill.results.rescore_tables import rule_table, score_changes

STAMP = "2026-01-02T03-04-05.678901"


def sample(number: int, response: Any, gold: Any, old: float, **changed: Any) -> dict[str, Any]:
    return {
        "doc_id": number,
        "doc": {"id": number, "problem": f"Question {number}?", "answer": gold},
        "target": "",
        "arguments": {"gen_args_0": {"arg_0": f"Question {number}?", "arg_1": {}}},
        "resps": [response] if isinstance(response, list) else [[response]],
        "filter": "none",
        "metrics": ["exact_match"],
        "doc_hash": f"h{number}",
        "exact_match": old,
    } | changed


def written(folder: Path, rows: list[dict[str, Any]], task: str = "toy") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"samples_{task}_{STAMP}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_what_changed_is_counted_and_the_old_files_stay(tmp_path: Path) -> None:
    rows = [
        sample(0, r"so \boxed{42}", "42", 0.0),
        sample(1, r"so \boxed{7}", "7", 1.0),
        sample(2, r"so \boxed{8}", "9", 1.0),
        sample(3, "I do not know", "3", 0.0),
    ]
    path = written(tmp_path, rows)
    before = path.read_bytes()
    (done,) = rescore([tmp_path], workers=1)
    assert path.read_bytes() == before
    assert (done.before, done.score.value, done.up, done.down) == ({"none": 0.5}, 0.5, 1, 1)
    results = json.loads(done.written[0].read_text(encoding="utf-8"))
    assert results["results"]["toy"]["exact_match,rescored"] == 0.5
    assert results["rescored"]["from"] == path.name
    verdicts = [json.loads(line) for line in done.written[1].read_text().splitlines()]
    assert [row["score"] for row in verdicts] == [1.0, 1.0, 0.0, 0.0]
    assert score_changes([done]).rows[0][2:6] == ("none", "4", "50.0", "50.0")
    assert sum(int(row[4]) for row in rule_table([done]).rows) == 4


def test_programs_are_not_graded_as_texts(tmp_path: Path) -> None:
    written(tmp_path, [sample(0, "print(6 * 7)", "42", 1.0)], task="cot_svamp_program")
    with pytest.raises(DataError, match="its responses are programs"):
        rescore([tmp_path], workers=1)


def test_a_second_time_writes_next_to_the_first(tmp_path: Path) -> None:
    written(tmp_path, [sample(0, r"\boxed{1}", "1", 0.0)])
    first, second = (rescore([tmp_path], workers=1)[0].written for _ in range(2))
    assert first[1].name == f"verdicts_toy_{STAMP}.rescored.jsonl"
    assert second[1].name == f"verdicts_toy_{STAMP}.rescored-2.jsonl"
    assert first[1].read_bytes() == second[1].read_bytes()


def test_filters_are_graded_once_and_repeated_rows_left_out(tmp_path: Path) -> None:
    one = sample(0, r"\boxed{1}", "1", 0.0, filter="strict")
    other = sample(0, r"\boxed{1}", "1", 1.0, filter="flexible")
    written(tmp_path, [one, other, other])
    (done,) = rescore([tmp_path], workers=1)
    assert (done.questions, done.repeated_rows) == (1, 1)
    assert done.before == {"strict": 0.0, "flexible": 1.0}


def test_several_responses_make_a_share(tmp_path: Path) -> None:
    written(tmp_path, [sample(0, [r"\boxed{1}", r"\boxed{2}"], "1", 1.0)])
    (done,) = rescore([tmp_path], workers=1)
    assert (done.score.value, done.down) == (0.5, 1)


def test_missing_golds_are_joined_by_question_or_named(tmp_path: Path) -> None:
    rows = [sample(0, r"\boxed{1}", "", 0.0), sample(1, r"\boxed{1}", "", 0.0)]
    written(tmp_path / "run", rows)
    with pytest.raises(DataError, match="none of 2 questions has a gold answer; give the answers"):
        rescore([tmp_path / "run"], workers=1)
    assert not list((tmp_path / "run").glob("*rescored*"))
    golds = tmp_path / "golds.jsonl"
    golds.write_text('{"question": "Question  0? ", "gold": "1"}\n', encoding="utf-8")
    (done,) = rescore([tmp_path / "run"], golds=golds, workers=1)
    assert (done.score.value, done.without_gold) == (1.0, 1)
    assert "1 question without a gold answer" in score_changes([done]).notes[0]
    golds.write_text('{"question": "a", "gold": 1}\n{"question": "a", "gold": 2}\n', "utf-8")
    with pytest.raises(DataError, match="row 2: a second gold for one question"):
        rescore([tmp_path / "run"], golds=golds)


def test_many_processes_give_the_same_in_the_same_order() -> None:
    tasks = [
        Task((rf"\boxed{{{number % 7}}}",), str(number % 5), "number", None, None)
        for number in range(400)
    ]
    assert list(regrade(tasks, workers=2)) == list(regrade(tasks, workers=1))


def test_no_host_is_loaded(tmp_path: Path) -> None:
    written(tmp_path, [sample(0, r"\boxed{1}", "1", 0.0)])
    code = (
        "import sys; from cotdistill.cli.main import main; "
        f"status = main(['rescore', {str(tmp_path)!r}]); "
        "print(status, [n for n in ('torch', 'lm_eval', 'transformers') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"


def test_the_real_samples_of_two_students_when_they_are_there(tmp_path: Path) -> None:
    real = Path(__file__).parents[3] / "shared/data/lm_eval_samples_aime"
    if not real.is_dir():
        pytest.skip("the real samples are not on this machine")
    for folder in ("base", "sft_1k"):
        (path,) = (real / folder).glob("samples_*")
        (tmp_path / folder).mkdir()
        (tmp_path / folder / path.name).symlink_to(path)
    done = rescore([tmp_path])
    assert [one.questions for one in done] == [30, 30]
    assert [one.without_gold for one in done] == [0, 0]


def test_likelihoods_of_choices_are_left_out_by_name(tmp_path: Path) -> None:
    choice = {"gen_args_0": {"arg_0": "Q", "arg_1": " A"}, "gen_args_1": {"arg_0": "Q"}}
    likelihoods = sample(0, [["-1.5", "False"]], "A", 1.0, arguments=choice)
    written(tmp_path, [likelihoods], task="choices")
    with pytest.raises(DataError, match="holds likelihoods of choices, no text"):
        rescore([tmp_path], workers=1)
    written(tmp_path, [sample(0, r"\boxed{1}", "1", 0.0)])
    lines: list[str] = []
    (done,) = rescore([tmp_path], workers=1, tell=lines.append)
    assert done.file.task == "toy"
    assert "samples_choices" in lines[0]
    assert lines[0].endswith("likelihoods of choices, no text to grade; left out")


def test_upstreams_aime_is_read_with_its_capital_letters(tmp_path: Path) -> None:
    doc = {"ID": "2024-I-1", "Problem": "What is it?", "Answer": 33}
    written(tmp_path, [sample(0, r"\boxed{033}", "", 0.0, doc=doc)], task="aime24")
    (done,) = rescore([tmp_path], workers=1)
    assert (done.score.value, done.up) == (1.0, 1)


def test_several_responses_give_pass_and_majority_over_classes_of_equal_answers(
    tmp_path: Path,
) -> None:
    right_by_majority = [r"\boxed{1/2}", r"\boxed{0.5}", r"\boxed{3}", r"\boxed{4}"]
    right_once = [r"\boxed{7}", r"\boxed{7}", r"\boxed{1}", "nothing"]
    written(tmp_path, [sample(0, right_by_majority, "1/2", 0.0), sample(1, right_once, "1", 0.0)])
    (done,) = rescore([tmp_path], workers=1)
    assert done.score.value == pytest.approx((0.5 + 0.25) / 2)
    assert done.over_samples["pass@1"] == pytest.approx((0.5 + 0.25) / 2)
    assert done.over_samples["pass@4"] == 1.0
    assert done.over_samples["maj@4"] == 0.5
    results = json.loads(done.written[0].read_text(encoding="utf-8"))["results"]["toy"]
    assert results["maj@4,rescored"] == 0.5
    table = score_changes([done])
    row = dict(zip(table.columns, table.rows[0], strict=True))
    assert (row["pass@k"], row["maj@k"]) == ("100.0 (k = 4)", "50.0 (k = 4)")
    assert row["timeouts"] == "0"


def test_a_rows_own_tolerance_counts(tmp_path: Path) -> None:
    exact = sample(0, r"\boxed{4.25}", "4.2", 0.0)
    off = sample(1, r"\boxed{4.25}", "4.2", 0.0)
    off["doc"] |= {"error": "1e-1"}  # as OlympiadBench has it
    ours = sample(2, r"\boxed{4.25}", "4.2", 0.0)
    ours["doc"] |= {"meta": {"tolerance": 0.1}}
    none = sample(3, r"\boxed{4.25}", "4.2", 0.0)
    none["doc"] |= {"error": None, "tolerance": "a little"}
    path = written(tmp_path, [exact, off, ours, none])
    (done,) = rescore([path], workers=1)
    verdicts = [json.loads(line) for line in done.written[1].read_text().splitlines()]
    assert [row["score"] for row in verdicts] == [0.0, 1.0, 1.0, 0.0]


def test_results_can_go_elsewhere_a_folder_a_run(tmp_path: Path) -> None:
    for run in ("one", "two"):
        written(tmp_path / "in" / run, [sample(0, r"\boxed{1}", "1", 0.0)])
    before = sorted((tmp_path / "in").rglob("*"))
    out = tmp_path / "out"
    done = rescore([tmp_path / "in"], workers=1, out=out)
    assert sorted((tmp_path / "in").rglob("*")) == before
    assert [one.written[0].parent for one in done] == [out / "one", out / "two"]


def test_gsm8k_scores_are_summed_up_as_the_source_repository_does(tmp_path: Path) -> None:
    written(tmp_path, [sample(0, r"\boxed{1}", "1", 0.0)], task="gsm8k_cot_zeroshot")
    written(tmp_path, [sample(0, r"\boxed{1}", "2", 0.0)], task="other")
    done = rescore([tmp_path], workers=1)
    (path,) = tmp_path.glob("summary_results_gsm8k*.json")
    assert path in done[0].written + done[1].written
    summary = json.loads(path.read_text(encoding="utf-8"))
    (name,) = summary["results"]
    assert summary == {"results": {name: {"gsm8k_cot_zeroshot": 1.0}}}


def test_where_the_answer_stands_is_kept_with_the_verdict(tmp_path: Path) -> None:
    written(tmp_path, [sample(0, r"so \boxed{42}", "42", 0.0)])
    (done,) = rescore([tmp_path], workers=1)
    (row,) = (json.loads(line) for line in done.written[1].read_text().splitlines())
    start, end = row["verdicts"][0]["span"]
    assert r"so \boxed{42}"[start:end] == "42"
