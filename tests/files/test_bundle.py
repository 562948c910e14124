"""Packaged files are looked up in users' bundles, in installed packages, then in our own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cotdistill.benchmarks.packaged import benchmark, benchmark_names
from cotdistill.catalogue.packaged import datasets, students
from cotdistill.cli.main import main
from cotdistill.errors import BundleError, FaultsError
from cotdistill.files.bundle import (
    bundle_around,
    bundle_file,
    bundle_folder,
    bundles,
    more_bundles,
    only_bundles,
)
from cotdistill.files.templates import render
from cotdistill.hosts.lm_eval.task_files import packaged_tasks
from cotdistill.studies.load import shipped_studies
from third_party import FILES, STUDENT, write_bundle


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "theirs")


def test_without_any_other_bundle_ours_is_the_only_one() -> None:
    (ours,) = bundles()
    assert ours.origin == ""
    assert ours.root / "studies" == bundle_folder("studies")


def test_one_of_everything_is_found_by_its_name(theirs: Path) -> None:
    with more_bundles([theirs]):
        assert [bundle.root for bundle in bundles()][:1] == [theirs]
        assert students()["Their-1B"].template == "qwen"
        assert datasets()["their_rows"].file_name == str(theirs / "dataset_info" / "rows.jsonl")
        assert benchmark("sums").rows == {"test": (3,)}
        assert packaged_tasks()["their_sums"] == theirs / "task_configs" / "sums.yaml"
        assert shipped_studies()["theirs"] == theirs / "studies" / "theirs.yaml"
        assert bundle_file("templates", "train/theirs.yaml.j2").is_file()
        assert "gsm8k" in benchmark_names()
    assert "sums" not in benchmark_names()
    assert "Their-1B" not in students()


def test_the_search_path_is_read_from_the_environment(
    theirs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    (other / "studies").mkdir(parents=True)
    (other / "studies" / "mine.yaml").write_text("name: mine\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COTDISTILL_PATH", f"other:{theirs}")
    assert [bundle.root for bundle in bundles()][:2] == [other, theirs]
    with more_bundles([theirs]):
        assert [bundle.root for bundle in bundles()][:2] == [theirs, other]
    with only_bundles([other]):
        assert [bundle.root for bundle in bundles()][:-1] == [other]
    with only_bundles([]):
        assert len(bundles()) == 1


def test_a_bundle_s_template_may_include_one_of_ours(theirs: Path) -> None:
    base = theirs / "templates" / "report"
    base.mkdir()
    (base / "mine.j2").write_text("{% include 'prompts/judge.j2' %} and {{ word }}")
    values = {"word": "more", "question": "q", "gold": "g", "response": "r", "mark": "-"}
    with more_bundles([theirs]):
        text = render("report/mine.j2", values | {"shortened": False})
        assert text.startswith("You check answers")
        assert text.endswith(" and more")
        (base / "mine.j2").write_text("changed {{ word }}, in a program that goes on running")
        assert render("report/mine.j2", values).startswith("changed more")
        with pytest.raises(BundleError, match="no such template"):
            render("../dataset_info/rows.jsonl", {})


def test_a_catalogue_that_is_edited_is_read_again(theirs: Path) -> None:
    with more_bundles([theirs]):
        assert students()["Their-1B"].context == 4096
        (theirs / "templates" / "students.yaml").write_text(STUDENT.replace("4096", "32768"))
        assert students()["Their-1B"].context == 32768


CLASHES = {
    "dataset_info/benchmarks/gsm8k.yaml": ("the benchmark 'gsm8k'", benchmark_names),
    "dataset_info/benchmarks/_shapes.yaml": ("the shape 'record'", lambda: benchmark("gsm8k")),
    "dataset_info/dataset_info.json": ("the dataset 'gsm8k'", datasets),
    "task_configs/other_name.yaml": ("the task 'cot_gsm8k'", packaged_tasks),
    "templates/students.yaml": ("the student 'qwen3-4b'", students),
    "templates/train/full.yaml.j2": (
        "the file 'train/full.yaml.j2'",
        lambda: bundle_file("templates", "train/full.yaml.j2"),
    ),
    "studies/quickstart.yaml": ("the study 'quickstart'", shipped_studies),
}
OURS = {"task_configs/other_name.yaml": "task_configs/cot_gsm8k.yaml"}


@pytest.mark.parametrize("name", CLASHES)
def test_a_name_that_is_taken_is_an_error_that_names_both_files(name: str, tmp_path: Path) -> None:
    ours = bundle_folder("studies").parent / OURS.get(name, name)
    copy = tmp_path / "theirs" / name
    copy.parent.mkdir(parents=True)
    copy.write_text(ours.read_text(encoding="utf-8"), encoding="utf-8")
    what, look_up = CLASHES[name]
    with more_bundles([tmp_path / "theirs"]), pytest.raises(FaultsError) as raised:
        look_up()
    (line,) = [str(fault) for fault in raised.value.faults if what in str(fault)]
    assert line == (
        f"{copy}: {what} is also in {ours}; expected a name that one bundle has; "
        "rename one of them, or leave its bundle out"
    )


def test_a_folder_that_is_no_bundle_is_named_with_what_was_expected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["list", "studies", "--bundle", str(tmp_path)]) == 1
    expected = "expected a folder with dataset_info/, task_configs/, templates/ or studies/"
    line = f"--bundle {tmp_path}: {tmp_path} is not a bundle; {expected}\n"
    assert capsys.readouterr().err == line
    monkeypatch.setenv("COTDISTILL_PATH", f"{tmp_path}/none")
    assert main(["list", "students"]) == 1
    line = f"$COTDISTILL_PATH: no such folder {tmp_path}/none; {expected}\n"
    assert capsys.readouterr().err == line


def test_lists_say_where_a_thing_comes_from_that_is_not_ours(
    theirs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {
        "studies": "theirs", "datasets": "their_rows", "benchmarks": "sums",
        "tasks": "their_sums", "templates": "train/theirs.yaml", "students": "Their-1B",
    }  # fmt: skip
    for what, name in names.items():
        assert main(["list", what]) == 0
        assert name not in capsys.readouterr().out.split()
        assert main(["list", what, "--bundle", str(theirs)]) == 0
        head, *rows = capsys.readouterr().out.splitlines()
        assert head.endswith("bundle")
        (row,) = [row for row in rows if row.split()[0] == name]
        assert row.endswith(str(theirs))
        assert sum(row.endswith(str(theirs)) for row in rows) == 1
    assert main(["list", "bundles", f"--bundle={theirs}"]) == 0
    first = capsys.readouterr().out.splitlines()[1].split(maxsplit=2)
    assert first == [str(theirs), str(theirs), "dataset_info, task_configs, templates, studies"]


def test_a_study_belongs_to_the_bundle_that_it_is_in(theirs: Path, tmp_path: Path) -> None:
    assert bundle_around(theirs / "studies" / "theirs.yaml") == theirs
    assert bundle_around(theirs / "mine.yaml") == theirs
    assert bundle_around(tmp_path / "mine.yaml") is None
    assert bundle_around(bundle_folder("studies") / "quickstart.yaml") is None
    only_studies = write_bundle(tmp_path / "few", "dataset_info", "task_configs", "templates")
    assert bundle_around(only_studies / "studies" / "theirs.yaml") is None


def test_a_checkout_of_ours_next_to_an_installed_one_is_nobody_s_bundle(tmp_path: Path) -> None:
    clone = write_bundle(tmp_path / "clone")
    (clone / "plugins" / "cotdistill").mkdir(parents=True)
    assert bundle_around(clone / "studies" / "theirs.yaml") is None


def test_one_folder_serves_hosts_that_take_only_one(
    theirs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert main(["path", "task_configs"]) == 0
    assert capsys.readouterr().out == f"{bundle_folder('task_configs')}\n"
    assert main(["path", "task_configs", "--bundle", str(theirs)]) == 0
    folder = Path(capsys.readouterr().out.removesuffix("\n"))
    linked = {path.resolve() for path in folder.rglob("*.yaml")}
    assert theirs / "task_configs" / "sums.yaml" in linked
    assert bundle_folder("task_configs") / "cot_gsm8k.yaml" in linked
    assert main(["path", "task_configs", "--bundle", str(theirs)]) == 0
    assert capsys.readouterr().out == f"{folder}\n"
    (theirs / "task_configs" / "more.yaml").write_text("group: more\ntask: [their_sums]\n")
    assert main(["path", "task_configs", "--bundle", str(theirs)]) == 0
    assert capsys.readouterr().out != f"{folder}\n"
    assert main(["path", "dataset_info", "--bundle", str(theirs)]) == 0
    text = (Path(capsys.readouterr().out.strip()) / "dataset_info.json").read_text()
    assert '"their_rows"' in text
    assert '"gsm8k"' in text
    assert main(["path", "studies", "--bundle", str(theirs)]) == 0
    assert capsys.readouterr().out == f"{theirs / 'studies'}\n{bundle_folder('studies')}\n"


def test_installed_packages_are_looked_at_only_where_packaged_files_are_wanted() -> None:
    code = (
        "import sys\n"
        "from cotdistill.cli.main import main\n"
        "main(['--help'])\n"
        "assert 'cotdistill.files.bundle' not in sys.modules\n"
        "from cotdistill.files.bundle import bundles, only_bundles\n"
        "with only_bundles([]): bundles()\n"
        "before = 'importlib.metadata' in sys.modules\n"
        "bundles()\n"
        "print(before, 'importlib.metadata' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False True"


def test_the_bundle_s_own_files_are_as_many_as_written(theirs: Path) -> None:
    assert len([path for path in theirs.rglob("*") if path.is_file()]) == len(FILES)
