"""A wheel, an sdist and a checkout contain the same packaged files, and all find them."""

from __future__ import annotations

import os
import site
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import cotdistill
from cotdistill.files.bundle import FOLDERS, bundle_folder
from third_party import write_bundle

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(
    not (ROOT / "pyproject.toml").is_file(), reason="needs the checkout"
)


def tracked(folder: str) -> list[str]:
    """List a folder's files that belong to the project, without caches."""
    return sorted(
        str(path.relative_to(ROOT))
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    )


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build sdist → wheel without reaching an index: hatchling is already here."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        check=True,
        capture_output=True,
    )
    (path,) = folder.glob("*.whl")
    return path


@pytest.mark.host
def test_the_wheel_contains_exactly_what_the_checkout_has(wheel: Path) -> None:
    expected = [name.removeprefix("plugins/") for name in tracked("plugins/cotdistill")]
    expected += [f"cotdistill/bundle/{name}" for folder in FOLDERS for name in tracked(folder)]
    with zipfile.ZipFile(wheel) as opened:
        packaged = [name for name in opened.namelist() if ".dist-info/" not in name]
    assert sorted(packaged) == sorted(expected)


@pytest.mark.host
def test_an_installed_wheel_finds_its_folders_from_anywhere(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(tmp_path / "site")
    code = (
        "from cotdistill.files.bundle import FOLDERS, bundle_folder\n"
        "for folder in FOLDERS: print(bundle_folder(folder))\n"
        "from cotdistill.runfolder.generate import generate\n"
        "print(len(generate('learnability-gap', None).new))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "site"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    *folders, runs = done.stdout.split()
    assert folders == [
        str(tmp_path / "site" / "cotdistill" / "bundle" / folder) for folder in FOLDERS
    ]
    assert int(runs) > 0


@pytest.mark.host
def test_the_sdist_makes_the_same_wheel(wheel: Path) -> None:
    (sdist,) = wheel.parent.glob("*.tar.gz")
    with tarfile.open(sdist) as opened:
        names = [name.split("/", 1)[1] for name in opened.getnames() if "/" in name]
    for folder in FOLDERS:
        for name in tracked(folder):
            assert name in names


def test_a_checkout_finds_its_folders() -> None:
    for folder in FOLDERS:
        assert bundle_folder(folder).is_dir()
        assert any(bundle_folder(folder).iterdir())


@pytest.mark.host
def test_the_wheel_has_the_version_of_the_package(wheel: Path) -> None:
    assert wheel.name.startswith(f"cotdistill-{cotdistill.__version__}-")


THIRD_PARTY = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "their-tasks"
version = "1.0"

[project.entry-points."cotdistill.bundles"]
their-tasks = "their_tasks"

[tool.hatch.build.targets.wheel]
only-include = ["their_tasks"]
"""


@pytest.fixture
def installed(wheel: Path, tmp_path: Path) -> Callable[..., str]:
    """A clean environment with our wheel and that of a tiny third-party bundle, but no sources.

    What both need comes from the tests' own environment by PYTHONPATH, which reads no `.pth` file:
    the editable install of the checkout is not in it.
    """
    theirs = tmp_path / "their-project"
    write_bundle(theirs / "their_tasks")
    (theirs / "their_tasks" / "__init__.py").write_text("raise RuntimeError('was imported')\n")
    (theirs / "pyproject.toml").write_text(THIRD_PARTY)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation"]
    subprocess.run(
        [*build, "--outdir", str(tmp_path), str(theirs)], check=True, capture_output=True
    )
    (their_wheel,) = tmp_path.glob("their_tasks-*.whl")
    venv.create(tmp_path / "clean", with_pip=False, symlinks=True)
    python = str(tmp_path / "clean" / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel), str(their_wheel)], check=True, capture_output=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("COTDISTILL_")
    }
    environment |= {
        "PYTHONPATH": os.pathsep.join(site.getsitepackages()),
        "COTDISTILL_DATA": str(tmp_path / "data"),
    }

    def run(*words: str) -> str:
        done = subprocess.run(
            [python, *words], cwd=elsewhere, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.mark.host
def test_a_bundle_from_a_wheel_is_found_in_an_environment_without_our_sources(
    installed: Callable[..., str], tmp_path: Path
) -> None:
    clean = tmp_path / "clean"
    code = "import cotdistill; print(cotdistill.__file__)"
    assert installed("-c", code).startswith(str(clean))
    verb = ("-m", "cotdistill")
    (row,) = [r for r in installed(*verb, "list", "tasks").splitlines() if r.startswith("their_")]
    about = "Sums of two small numbers."
    assert " ".join(row.split()) == f"their_sums {about} package their-tasks"
    assert "Their-1B" in installed(*verb, "list", "students")
    folder = installed(*verb, "generate", "theirs", "-o", "run").strip()
    (bundle,) = clean.rglob("site-packages/their_tasks")
    study = (tmp_path / "elsewhere" / folder / "study.yaml").read_text()
    assert study.count(str(bundle)) == 1
    assert "no faults" not in installed(*verb, "check", "theirs")  # results only on stdout
    grid = installed("-c", "import cotdistill; print(len(cotdistill.load_study('theirs').arms))")
    assert grid == "1\n"


@pytest.mark.slow
def test_the_stock_harness_loads_the_task_of_an_installed_bundle(
    installed: Callable[..., str], tmp_path: Path
) -> None:
    pytest.importorskip("lm_eval")
    questions = tmp_path / "questions.jsonl"
    questions.write_text('{"a": 1, "b": 2, "sum": 3}\n')
    verb = ("-m", "cotdistill")
    prepared = installed(
        *verb, "prepare", "sums", "--from", str(questions), "--split", "test", "--any-size"
    )
    assert prepared.startswith("sums test: 1 question")
    assert installed(*verb, "check") == ""
