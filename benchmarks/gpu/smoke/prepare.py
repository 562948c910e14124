"""What a machine with one GPU, torch and no network needs for run.py, as wheels of 60 MiB at most.

    .venv/bin/python benchmarks/gpu/smoke/prepare.py [-o FOLDER] [--have NAME ...]
    # then, on the target, which has this checkout, the folder and the same Python:
    bash benchmarks/gpu/smoke/install.sh FOLDER
    build/gpu-smoke-env/bin/python benchmarks/gpu/smoke/run.py

The distributions of parts.txt are packed as they are installed here, so their versions are those
that the tests ran with, without tests, headers and what the main path never loads. The files inside
the wheels are compressed by LZMA, which pip unpacks too. Distributions of --have are on the target.
"""

from __future__ import annotations

import argparse
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, PackagePath, distribution
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
MOST_MIB = 60
LEFT_OUT = re.compile(
    r"(^|/)(tests?|include|doc|docs|examples|__pycache__)/|\.(pyc|pyx|pxd|pxi|h|hpp|a|c|cpp)$"
)
LEFT_OUT_OF = {
    "pyarrow": re.compile(r"flight|_s3|_gcs|_azure|_orc|libarrow_python\.so($|\.\d+\.\d)"),
    "lm_eval": re.compile(r"lm_eval/tasks/[^/]+/"),
}
STAND_INS = {"av": ("16.0.0", ("av",)), "lxml": ("6.1.3", ("lxml", "lxml/etree"))}
"""Version and modules of what is imported and never called: videos, and translations to score."""


def main() -> None:
    """Pack everything and say how large it is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "build" / "gpu-smoke")
    parser.add_argument("--have", nargs="*", default=[], help="distributions of the target")
    given = parser.parse_args()
    out: Path = given.output
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("*.whl"):
        old.unlink()
    lines = (HERE / "parts.txt").read_text(encoding="utf-8").splitlines()
    names = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    for name in names:
        if name not in given.have:
            pack(name, out)
    for name in STAND_INS:
        stand_in(name, out)
    for wheel in sorted((ROOT / ".venv" / "stand-ins").glob("*.whl")):
        shutil.copy(wheel, out)
    own_wheel(out)
    about = f"{sys.version_info[0]}.{sys.version_info[1]} {platform.machine()}\n"
    (out / "python.txt").write_text(about, encoding="utf-8")  # install.sh compares
    sizes = {path.name: path.stat().st_size / 2**20 for path in out.glob("*.whl")}
    for name, size in sorted(sizes.items(), key=lambda item: -item[1])[:8]:
        print(f"{size:6.1f} MiB  {name}")
    total = sum(sizes.values())
    print(f"{total:6.1f} MiB  {len(sizes)} wheels in {out}")
    if total > MOST_MIB:
        raise SystemExit(f"prepare: more than {MOST_MIB} MiB; name what the target has: --have")


def pack(name: str, out: Path) -> None:
    """Write an installed distribution as a wheel."""
    found = distribution(name)
    metadata = next(file for file in found.files or () if file.name == "WHEEL")
    tags = re.findall(r"^Tag: ((?!py2-)\S+)$", found.read_text("WHEEL") or "", re.MULTILINE)
    stem = str(metadata.parent).removesuffix(".dist-info")
    with archive(out / f"{stem}-{tags[0]}.whl") as wheel:
        for file in kept(found, name):
            wheel.write(file.locate(), str(file))
        record(wheel, f"{stem}.dist-info")


def kept(found: Distribution, name: str) -> Iterator[PackagePath]:
    """Yield the files of a distribution that the main path may load."""
    special = LEFT_OUT_OF.get(name)
    for file in found.files or ():
        path = str(file)
        if path.startswith("..") or file.name in ("RECORD", "INSTALLER", "REQUESTED"):
            continue
        unwanted = LEFT_OUT.search(path) or (special is not None and special.search(path))
        if not unwanted and Path(str(file.locate())).is_file():
            yield file


def stand_in(name: str, out: Path) -> None:
    """Write a wheel with empty modules."""
    version, modules = STAND_INS[name]
    with archive(out / f"{name}-{version}-py3-none-any.whl") as wheel:
        for module in modules:
            wheel.writestr(f"{module}/__init__.py", "")
        about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        wheel.writestr(f"{name}-{version}.dist-info/METADATA", about)
        about = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        wheel.writestr(f"{name}-{version}.dist-info/WHEEL", about)
        record(wheel, f"{name}-{version}.dist-info")


def own_wheel(out: Path) -> None:
    """Build the wheel of this checkout."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(out)]
    subprocess.run([*command, str(ROOT)], check=True, stdout=subprocess.DEVNULL)


def archive(path: Path) -> zipfile.ZipFile:
    """Open a wheel to write."""
    return zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA)


def record(wheel: zipfile.ZipFile, folder: str) -> None:
    """Add the list of files that pip asks for, without hashes."""
    names = [*wheel.namelist(), f"{folder}/RECORD"]
    wheel.writestr(f"{folder}/RECORD", "".join(f"{name},,\n" for name in names))


if __name__ == "__main__":
    main()
