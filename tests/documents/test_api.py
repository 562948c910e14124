"""The public Python API: its names and parameters stay, its page runs, and it loads when used."""

from __future__ import annotations

import doctest
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import cotdistill
from cotdistill.errors import UserError
from run_folder import add_run, add_scores, add_training, write_study

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "api.md"

# What users' programs call. A parameter may be added at the end with a default; nothing else.
PARAMETERS = {
    "check": "what=None settings=() * deep=False bundles=()",
    "compare": "*runs task=None verdicts='run' all_pairs=False anyway=False",
    "equivalent": "a b * kind='auto' options=None tolerance=None",
    "extract": "text * kind='auto' options=None strict=False",
    "generate": "study folder=None settings=() * bundles=()",
    "grade": "text gold * kind='auto' options=None strict=False tolerance=None",
    "grade_many": "items * strict=False tolerance=None workers=1",
    "load_study": "study settings=() * bundles=()",
    "read_results": "folder * verdicts='run'",
    "report": "folder baseline=None * verdicts='run'",
    "results_frame": "folder * verdicts='run'",
    "run": "folder * only=() gpus=None jobs=None keep_going=False",
}
TYPES = {"Equivalence", "Extraction", "Grade", "Judged"}


def written(function: object) -> str:
    parameters = inspect.signature(function).parameters.values()  # type: ignore[arg-type]
    words: list[str] = []
    for one in parameters:
        starred = any(word.startswith("*") for word in words)
        if one.kind is one.KEYWORD_ONLY and not starred:
            words.append("*")
        name = f"*{one.name}" if one.kind is one.VAR_POSITIONAL else one.name
        words.append(name if one.default is one.empty else f"{name}={one.default!r}")
    return " ".join(words)


def test_names_and_parameters_stay() -> None:
    assert set(cotdistill.__all__) == {*PARAMETERS, *TYPES}
    assert {name: written(getattr(cotdistill, name)) for name in PARAMETERS} == PARAMETERS


def test_the_page_names_every_function() -> None:
    named = re.findall(r"^\| `(\w+)\(", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(named) == sorted(PARAMETERS)


def test_the_examples_of_the_page_give_what_it_shows() -> None:
    ran = doctest.testfile(str(PAGE), module_relative=False)
    assert ran.attempted >= 5
    assert ran.failed == 0


def test_importing_the_package_loads_nothing_of_it() -> None:
    code = (
        "import sys, cotdistill; dir(cotdistill); "
        "print([name for name in sys.modules if name.startswith('cotdistill.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_name_that_is_not_public_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'curate'"):
        cotdistill.curate  # noqa: B018
    assert set(dir(cotdistill)) == {*cotdistill.__all__, "__version__"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two finished runs and one that has not begun."""
    root = tmp_path / "study"
    write_study(root, {"answer-only": {"dataset": "gsm8k"}, "fine": {"dataset": "gsm8k"}})
    for arm, right in (("answer-only", 4), ("fine", 16)):
        run = f"tiny--{arm}--full--s42"
        add_run(root, run, arm)
        add_training(root, run)
        add_scores(root, run, [number < right for number in range(20)])
    add_run(root, "tiny--fine--full--s43", "fine", seed=43)
    return root


def test_results_are_rows_with_numbers(folder: Path) -> None:
    first, second, unfinished = cotdistill.read_results(folder)
    assert (first["arm"], first["task"], first["score"]) == ("answer-only", "digits", 0.2)
    assert second["low"] < second["score"] == 0.8 < second["high"]
    assert "score" not in unfinished
    assert unfinished["run"] == "tiny--fine--full--s43"


def test_results_are_a_data_frame_where_pandas_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pandas = pytest.importorskip("pandas")
    frame = cotdistill.results_frame(folder)
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.dropna(subset=["score"])["score"]) == [0.2, 0.8]
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match="pip install pandas"):
        cotdistill.results_frame(folder)


def test_runs_are_compared_and_reported(folder: Path) -> None:
    scores = folder / "scores"
    (found,) = cotdistill.compare(
        scores / "tiny--answer-only--full--s42", scores / "tiny--fine--full--s42"
    )
    assert found.task == "digits"
    assert len(found.flips) == 12
    assert folder / "report" / "report.html" in cotdistill.report(folder)


def test_what_a_user_gets_wrong_is_one_kind_of_error(tmp_path: Path) -> None:
    for call in (
        lambda: cotdistill.load_study("quickstar"),
        lambda: cotdistill.generate("quickstart", tmp_path, ["seeds=none"]),
        lambda: cotdistill.run(tmp_path),
        lambda: cotdistill.read_results(tmp_path),
        lambda: cotdistill.compare(tmp_path),
        lambda: cotdistill.load_study("quickstart", bundles=[tmp_path]),
    ):
        with pytest.raises(UserError):
            call()


@pytest.mark.slow
def test_the_program_of_the_page_runs(tmp_path: Path) -> None:
    pytest.importorskip("llamafactory")
    pytest.importorskip("lm_eval")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (study,) = re.findall(r"```yaml\n(# my-study\.yaml\n.*?)```", readme, re.DOTALL)
    (tmp_path / "my-study.yaml").write_text(study)
    program = re.findall(r"```python\n(import .*?)```", PAGE.read_text(), re.DOTALL)[0]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "cot_puzzles_ball" in done.stdout
