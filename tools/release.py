"""What a release needs: tag, version and changelog agree; its notes; its bill of materials.

python tools/release.py check v0.2.0        # exits 1 and says what disagrees
python tools/release.py notes v0.2.0        # prints the changelog's section
python tools/release.py materials dist      # writes dist/cotdistill-0.2.0.cdx.json (CycloneDX)
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CYCLONEDX = "cyclonedx-bom==7.5.0"
SECTION = re.compile(r"^## \[([^\]]+)\](?: - (\d{4}-\d\d-\d\d))?\n(.*?)(?=^## |\Z)", re.M | re.S)


def version() -> str:
    """Return the version that the package declares."""
    text = (ROOT / "plugins" / "cotdistill" / "__init__.py").read_text(encoding="utf-8")
    (found,) = re.findall(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    return str(found)


def sections() -> dict[str, tuple[str, str]]:
    """Return date and text of each version of the changelog, newest first."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    return {name: (date, body.strip()) for name, date, body in SECTION.findall(text)}


def faults(tag: str) -> list[str]:
    """Return what disagrees about the release of a tag."""
    found = []
    if tag != f"v{version()}":
        found.append(f"the tag is {tag}, the package has version {version()}")
    date, body = sections().get(version(), ("", ""))
    if not date or not body:
        found.append(f"CHANGELOG.md: no section '## [{version()}] - YYYY-MM-DD' with text")
    cited = re.findall(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    if cited != [version()]:
        found.append(f"CITATION.cff: version {cited}, the package has {version()}")
    return found


def materials(folder: Path) -> Path:
    """Write the bill of materials of the built wheel and all that it requires."""
    (wheel,) = folder.glob("cotdistill-*.whl")
    written = folder / f"cotdistill-{version()}.cdx.json"
    with tempfile.TemporaryDirectory() as work:
        apart, tool = Path(work) / "wheel", Path(work) / "tool"
        for place in (apart, tool):
            venv.create(place, with_pip=True)
        pip = ["-m", "pip", "install", "--quiet", "-c", str(ROOT / "constraints.txt")]
        subprocess.run([apart / "bin" / "python", *pip, str(wheel)], check=True)
        subprocess.run([tool / "bin" / "python", *pip[:4], CYCLONEDX], check=True)
        command = [tool / "bin" / "cyclonedx-py", "environment", apart / "bin" / "python"]
        options = ["--pyproject", ROOT / "pyproject.toml", "--output-reproducible"]
        subprocess.run([*command, *options, "--output-file", written], check=True)
    return written


def main(words: list[str]) -> int:
    """Do one of the three; return the exit status."""
    match words:
        case ["check", tag]:
            for fault in faults(tag):
                sys.stderr.write(f"{fault}\n")
            return int(bool(faults(tag)))
        case ["notes", tag] if tag.removeprefix("v") in sections():
            sys.stdout.write(sections()[tag.removeprefix("v")][1] + "\n")
            return 0
        case ["materials", folder]:
            sys.stdout.write(f"{materials(Path(folder))}\n")
            return 0
    sys.stderr.write(__doc__ or "")
    return 2


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
