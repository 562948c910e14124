"""A wheel, an sdist and a checkout contain the same packaged files, and all find them."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import cotdistill
from cotdistill.files.bundle import FOLDERS, bundle_folder

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
