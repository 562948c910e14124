"""The page of a study: safe whatever a model wrote, complete, and working in a real browser."""

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from chromium import chromium, visit
from cotdistill.errors import DataError
from cotdistill.results.collect import collect
from cotdistill.results.matrix import matrix
from cotdistill.results.report.charts import dots
from cotdistill.results.report.gap_charts import gap_figures
from cotdistill.results.report.latex import as_latex
from cotdistill.results.report.report import report
from cotdistill.results.report.sample_browser import (
    FEWEST,
    MOST,
    Browsed,
    SampleKeeper,
    browse,
    fitting_questions,
)
from cotdistill.stats.confidence import Interval
from run_folder import STAMP, add_run, add_scores, add_training, write_study

HOSTILE = "</script><script>document.title='owned'</script><img src=http://127.0.0.1:9/x> \ud800"
MATHS = (
    r"Half: $\frac{1}{2}$. Costs $5 and $6. \[ \sum_{k=1}^{n} k \le \sqrt{x} \] \boxed{\frac{a}{b}}"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    here = tmp_path / "study"
    for arm, right in [("answer-only", 5), ("level2", 20), ("level3", 30), ("level6", 40)]:
        for seed in (1, 2):
            run = f"tiny--{arm}--full--s{seed}"
            level = {} if arm == "answer-only" else {"level": int(arm[-1])}
            add_run(here, run, arm, seed=seed, factors=level)
            add_training(here, run)
            add_scores(here, run, [number < right for number in range(80)])
    write_study(here, {"level6": {"file": "l6.jsonl"}}, about="<b>levels</b>")
    path = here / "scores" / "tiny--level6--full--s1" / "model" / f"samples_digits_{STAMP}.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[0]["resps"] = [[HOSTILE]]
    rows[1]["resps"] = [[MATHS]]
    rows[2]["resps"] = [["\\boxed{" * 5000 + "$" + "{" * 5000]]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return here


def test_seeds_are_pooled_and_arms_marked_against_the_baseline(folder: Path) -> None:
    table = matrix(collect(folder))
    assert table.baseline == "answer-only"
    marks = {group[1]: table.cells[group, "digits"].mark for group in table.groups}
    assert marks == {"answer-only": "", "level2": "▲", "level3": "▲", "level6": "▲"}
    cell = table.cells[("tiny", "level2", "full"), "digits"]
    assert (cell.seeds, cell.questions, cell.score.value) == (2, 80, 0.25)


def test_the_latex_table_has_a_row_an_arm_and_escapes_names(folder: Path) -> None:
    text = as_latex(matrix(collect(folder), baseline="level3"), "50% of_it")
    assert text.count(r"\\") == 5
    assert r"50\% of\_it" in text
    assert r"\downarrow" in text
    assert r"$\mathbf{50.0}^{61.2}_{38.8}" in text  # the highest of its student
    assert text.count(r"\mathbf") == 1
    assert r"\label{tab:results}" in text


def browsed_in(folder: Path, characters: int) -> Browsed:
    kept = SampleKeeper(characters)
    return browse(collect(folder, keep=kept.keep), kept)


def test_the_browser_shows_all_that_fit_and_else_differing_questions_first(folder: Path) -> None:
    browsed = browsed_in(folder, 4_000_000)
    assert (browsed.shown, browsed.asked) == ({"digits": 80}, {"digits": 80})
    browsed = browsed_in(folder, 1000)
    assert (browsed.shown, browsed.asked) == ({"digits": FEWEST}, {"digits": 80})
    texts = [question[1] for question in browsed.questions]
    assert all(f"What is {number} + 1?" in texts for number in range(5, 40))


def test_more_questions_are_shown_where_responses_are_short(folder: Path) -> None:
    scores = [score for _, score in collect(folder).rows()]
    assert len(scores) == 8
    assert fitting_questions(scores, 8 * 80 * 100) == 100
    longer = [replace(score, characters=2940.0) for score in scores]
    assert fitting_questions(longer, 8 * 3000 * 70) == 70
    assert fitting_questions(longer, 1) == FEWEST
    assert fitting_questions(scores, 10**9) == MOST


def test_every_picture_is_xml_with_a_title_and_a_file(folder: Path) -> None:
    report(folder)
    files = sorted((folder / "report" / "figures").glob("*.svg"))
    names = [path.stem for path in files]
    assert names == ["curve-student-level-digits", "scores-digits", "training-loss"]
    assert names == sorted(path.stem for path in (folder / "report" / "figures").glob("*.csv"))
    for path in files:
        root = ET.fromstring(path.read_text(encoding="utf-8"))
        assert root.find("{http://www.w3.org/2000/svg}title") is not None
    hostile = dots("x", "<&\"'", "", [("</svg><script>", "a", Interval(0.5, 0.4, 0.6))])
    assert "<script>" not in hostile.svg
    ET.fromstring(hostile.svg)


def test_a_picture_that_is_no_longer_drawn_is_taken_away(folder: Path) -> None:
    report(folder)
    old = folder / "report" / "figures" / "scores-gone.svg"
    old.write_text("<svg/>", encoding="utf-8")
    report(folder)
    assert not old.exists()


def test_a_page_carries_no_address_and_no_live_text_of_a_model(folder: Path) -> None:
    report(folder)
    text = (folder / "report" / "report.html").read_text(encoding="utf-8")
    assert text.count("</script>") == 3
    assert "<b>levels" not in text
    assert "&lt;b&gt;levels" in text
    outside = re.sub(r'<script type="application/json".*?</script>', "", text, flags=re.DOTALL)
    addresses = set(re.findall(r"https?://[^\s\"'<)]+", outside))
    assert addresses == {"http://www.w3.org/2000/svg", "http://www.w3.org/1998/Math/MathML"}


def test_two_reports_of_one_folder_are_the_same_bytes(folder: Path) -> None:
    pages = []
    for _ in range(2):
        report(folder)
        pages.append((folder / "report" / "report.html").read_bytes())
    assert pages[0] == pages[1]


def test_ledgers_and_lint_reports_next_to_the_arms_are_summed_up(folder: Path) -> None:
    (folder / "data").mkdir()
    ledger = '{"made_by": "mix", "counts": {"kept": 7, "duplicate": 2}, "outputs": []}'
    (folder / "data" / "level2.ledger.json").write_text(ledger, encoding="utf-8")
    rules = '[{"rule": "answer-missing", "rows": 1200}, {"rule": "loop", "rows": 0}]'
    lint = f'{{"rows": 8000, "faulty_rows": 1200, "rules": {rules}}}'
    (folder / "data" / "level2.lint.json").write_text(lint, encoding="utf-8")
    report(folder)
    text = (folder / "report" / "report.html").read_text(encoding="utf-8")
    assert "kept 7, duplicate 2" in text
    assert "answer-missing 1,200</td>" in text


def test_runs_of_another_engine_are_warned_of_in_the_table_and_on_the_page(folder: Path) -> None:
    path = next((folder / "scores" / "tiny--level2--full--s1").rglob("results_*.json"))
    logged = json.loads(path.read_text())
    path.write_text(json.dumps(logged | {"config": {"model": "vllm"}}))
    other = next((folder / "scores" / "tiny--level3--full--s1").rglob("results_*.json"))
    other.write_text(json.dumps(logged | {"config": {"model": "hf"}}))
    table = report(folder).runs
    assert "digits: engine differs between runs" in table.notes[-1]
    page = (folder / "report" / "report.html").read_text(encoding="utf-8")
    assert page.count("engine differs between runs") == 1


def test_the_learnability_gap_is_drawn_with_the_interval_of_the_paired_difference(
    tmp_path: Path,
) -> None:
    for student, gained in [("Qwen2.5-0.5B-Instruct", -8), ("Qwen2.5-7B-Instruct", 8)]:
        for arm, right in [("mix-long", 20 + gained), ("mix-short", 20)]:
            run = f"{student}--{arm}"
            add_run(tmp_path, run, arm, student)
            add_training(tmp_path, run)
            add_scores(tmp_path, run, [number < right for number in range(40)])
    table = matrix(collect(tmp_path))
    (figure,) = gap_figures(table)
    assert figure.name == "gap-mix-long-mix-short"
    assert figure.svg.count('stroke-width="2" opacity=".5"') == 2  # a bar a student
    assert figure.svg.count('stroke-width="2.5"') == 1  # zero stands out
    long, short = (("Qwen2.5-7B-Instruct", f"mix-{arm}", "full") for arm in ("long", "short"))
    gap = table.between(short, long, "digits")
    assert gap is not None
    assert gap.difference.value == pytest.approx(0.2)
    assert 0.0 < gap.difference.low < 0.2 < gap.difference.high < 0.4
    unknown = replace(table, runs={})
    assert unknown.between(short, long, "digits") is None
    (figure,) = gap_figures(unknown)
    assert 'stroke-width="2" opacity=".5"' not in figure.svg  # no bar without samples


def test_a_teachers_scores_stand_above_those_of_the_students(folder: Path) -> None:
    out = add_scores(folder, "big-teacher", [number < 76 for number in range(80)])
    report(folder, teachers=[out.parent])
    text = (folder / "report/figures/teacher-student-digits.svg").read_text(encoding="utf-8")
    assert text.index(">big-teacher<") < text.index(">95.0<") < text.index(">answer-only<")
    other = add_scores(folder, "stranger", [True], task="letters")
    with pytest.raises(DataError, match="no score on digits"):
        report(folder, teachers=[other])


@pytest.mark.host
@pytest.mark.skipif(chromium() is None, reason="no Chromium on this machine")
def test_the_page_works_in_a_real_browser(folder: Path) -> None:
    report(folder)
    page = folder / "report" / "report.html"
    setting = "(() => { const e = document.getElementById('by-%s'); e.value = '%s'; "
    setting += "e.dispatchEvent(new Event('input', {bubbles: true})); "
    setting += "return document.querySelectorAll('#list button').length; })()"
    press = "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', "
    press += "{key: '%s', bubbles: true}))"
    show = "[...document.querySelectorAll('#list button')].find(b => b.value == '%d').click()"
    questions = [
        "window.sides = () => [...document.querySelectorAll('.side h3')].map(e => e.textContent)"
        ".join(' | '); document.title",
        "document.getElementById('by-second').value",
        "document.querySelectorAll('#list button').length",
        setting % ("outcome", "correct"),
        setting % ("outcome", ""),
        setting % ("arm", "level6"),
        "document.getElementById('by-left').selectedOptions[0].text",
        setting % ("outcome", "wrong"),
        setting % ("arm", "level2"),
        setting % ("arm", "level6"),
        setting % ("outcome", ""),
        "document.querySelectorAll('#list button').length",
        "(() => { const b = document.querySelectorAll('#list button'); b[0].focus(); b[0]"
        ".dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowDown', bubbles: true})); "
        "return document.activeElement === b[1] && b[1].getAttribute('aria-current'); })()",
        press % "ArrowRight"
        + "; [sides(), document.activeElement.parentNode.parentNode.id].join()",
        press % "ArrowRight" + "; sides()",
        press % "Enter" + "; document.activeElement.closest('.side').getAttribute('aria-label')",
        press % "Escape" + "; document.activeElement.parentNode.parentNode.id",
        show % 0 + "; document.querySelector('.answer .text').textContent",
        show % 1 + "; document.querySelector('.answer .text').querySelectorAll('math').length",
        "document.querySelector('.answer mfrac').children.length",
        "document.querySelector('.answer munderover').children.length",
        "document.querySelector('.answer .text').textContent.includes('Costs $5 and $6.')",
        show % 2 + "; document.querySelector('.answer .text').textContent.length > 1000",
        setting % ("words", "What is 7 +"),
        "document.querySelectorAll('img, iframe, link[rel=stylesheet]').length",
        "document.querySelectorAll('button:not([id]):empty, select:not([id])').length",
        "(() => { document.getElementById('theme').click(); "
        "return getComputedStyle(document.body).backgroundColor; })()",
    ]
    answers, errors, asked = visit(page, questions)
    assert errors == []
    assert [address for address in asked if not address.startswith(("file:", "data:"))] == []
    assert answers[:3] == ["levels", "level6", 80]
    correct, everything, arm, run, wrong, more_wrong, _, again, once_more, moved = answers[3:13]
    assert (correct, everything, arm, run) == (5, 80, 80, "tiny--level6--full--s1")
    assert (wrong, more_wrong, again, once_more, moved) == (40, 60, 80, 80, "true")
    assert answers[13:17] == [
        "level6 | answer-only,list",
        "level6 | level2",
        "arm level6",
        "list",
    ]
    assert "</script><script>document.title" in answers[17]
    assert answers[18:22] == [3, 2, 3, True]
    assert answers[22:] == [True, 1, 0, 0, "rgb(20, 23, 28)"]


@pytest.fixture
def thinking(tmp_path: Path) -> Path:
    """Two students and arms, whose responses have thoughts and a place of the answer."""
    here = tmp_path / "thinking"
    question = {"instruction": "Add: What is 3 + 1? Answer:", "input": "", "output": "It is 4."}
    for student in ("large", "small"):
        for arm in ("answer-only", "fine"):
            run = f"{student}--{arm}--full--s1"
            add_run(here, run, arm, student, 1, data=f"data/{arm}.jsonl")
            add_training(here, run)
            add_scores(here, run, [number % 2 == 0 for number in range(12)])
            path = next((here / "scores" / run).rglob("samples_*"))
            rows = [json.loads(line) for line in path.read_text().splitlines()]
            for row in rows:
                written = f"<think>Add $1$. Is it 9?</think>So {row['resps'][0][0]}"
                start = written.index("boxed{") + len("boxed{")
                span = [start, written.index("}", start)]
                row["resps"] = [[written]]
                row["answered"] = [{"outcome": "correct", "answer": "4", "rule": "r", "span": span}]
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (here / "data").mkdir()
    lines = [json.dumps({**question, "instruction": f"Row {n}"}) for n in range(4)]
    (here / "data" / "fine.jsonl").write_text("\n".join([*lines, json.dumps(question)]) + "\n")
    return here


def test_a_page_carries_prompts_and_the_training_rows_of_a_question(thinking: Path) -> None:
    kept = SampleKeeper()
    browsed = browse(collect(thinking, keep=kept.keep), kept)
    assert browsed.students == ["large", "large", "small", "small"]
    assert [row[0] for row in browsed.rows["fine"]] == [
        "Row 0", "Row 1", "Row 2", "Add: What is 3 + 1? Answer:",
    ]  # fmt: skip
    asked = next(n for n, one in enumerate(browsed.questions) if one[1] == "What is 3 + 1?")
    assert browsed.matches["fine"] == {asked: [3]}
    assert "answer-only" not in browsed.rows  # its file is not there
    answer = browsed.answers[0]
    assert answer[6][answer[7] : answer[8]] == "1"
    assert browsed.prompts[answer[9]] == "What is 0 + 1?"


@pytest.mark.host
@pytest.mark.skipif(chromium() is None, reason="no Chromium on this machine")
def test_thoughts_are_folded_answers_marked_and_questions_linked(thinking: Path) -> None:
    report(thinking)
    page = thinking / "report" / "report.html"
    setting = "(() => { const e = document.getElementById('by-%s'); e.value = '%s'; "
    setting += "e.dispatchEvent(new Event('input', {bubbles: true})); })()"
    show = (
        "[...document.querySelectorAll('#list button')].find(b => b.textContent.startsWith('%s'))"
    )
    link = "document.querySelector('.permalink').getAttribute('href')"
    left = "document.getElementById('by-left').selectedOptions[0].text"
    questions = [
        "document.querySelector('.answer .think').open",
        "document.querySelector('.answer .think summary').textContent",
        "document.querySelector('.answer mark math').textContent",
        "document.querySelectorAll('.answer .think math').length > 0",
        setting % ("student", "small") + "; " + left,
        show % "What is 3" + ".click(); " + link,
        "location.hash === " + link,
        "[...document.querySelectorAll('.side .more summary')].map(e => e.textContent).join(' | ')",
        setting % ("student", "large") + "; " + setting % ("words", "What is 7") + "; " + left,
        "window.before = " + link + ".replace('large', 'small').replace('large', 'small'); "
        "location.hash = before; new Promise(done => setTimeout(() => done(" + left + "), 100))",
        "document.querySelector('#view .text').textContent",
        "document.getElementById('by-words').value",
        "document.querySelector('.side:last-child .more summary').textContent",
        "document.querySelectorAll('.save button').length > 5",
        "(() => { const head = [...document.querySelectorAll('#scores th button')]"
        ".find(b => b.textContent === 'arm'); head.click(); head.click(); "
        "return document.querySelector('#scores tbody th').textContent; })()",
    ]
    answers, errors, _ = visit(page, questions)
    assert errors == []
    assert answers[:4] == [False, "reasoning, 17 characters", "1", True]
    assert answers[4] == "small--answer-only--full--s1"
    hash_of = answers[5]
    assert hash_of.startswith("#task=digits&question=")
    assert hash_of.endswith("&left=small--answer-only--full--s1&right=small--fine--full--s1")
    assert answers[6] is True
    assert answers[7] == (
        "the prompt, as the model was shown it | the prompt, as the model was shown it | "
        "training rows that ask this question (1)"
    )
    assert answers[8:12] == [
        "large--answer-only--full--s1",
        "small--answer-only--full--s1",
        "What is 7 + 1?",
        "",
    ]
    assert answers[12:] == ["the prompt, as the model was shown it", True, "fine"]


@pytest.mark.host
@pytest.mark.skipif(chromium() is None, reason="no Chromium on this machine")
def test_no_part_of_the_page_is_wider_than_a_phone(thinking: Path) -> None:
    report(thinking)
    questions = ["[innerWidth, document.documentElement.scrollWidth].join()"]
    answers, _, _ = visit(thinking / "report" / "report.html", questions, width=390)
    assert answers == ["390,390"]
