"""Build the documentation site into build/site with Zensical, strictly, and check what it made.

python tools/site.py build      # links and anchors must exist, no page may load from elsewhere
python tools/site.py weigh      # print the size of the pages and of what they load

The builder is pinned and lives in .venv-site: it shares nothing with the package. MkDocs with
mkdocs-material reads the same mkdocs.yml.
"""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv-site"
SITE = ROOT / "build" / "site"
BUILDER = "zensical==0.0.73"
LOADING = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src"}
"""Elements whose address is fetched when a page opens, next to style sheets and icons."""


class Page(HTMLParser):
    """What one page links to, what it loads, and the anchors that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the addresses and the identifier of one element."""
        found = {name: value or "" for name, value in attrs}
        self.anchors |= {found[name] for name in ("id", "name") if found.get(name)}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        elif tag == "link" and found.get("rel") not in ("canonical", "next", "prev", "edit"):
            self.loads.append(found.get("href", ""))
        elif tag in LOADING and found.get(LOADING[tag]):
            self.loads.append(found[LOADING[tag]])


def builder() -> Path:
    """Return the pinned builder, after installing it if it is not there."""
    noted = VENV / "installed"
    if not noted.is_file() or noted.read_text(encoding="utf-8") != BUILDER:
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
        pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", BUILDER]
        subprocess.run(pip, check=True)
        noted.write_text(BUILDER, encoding="utf-8")
    return VENV / "bin" / "zensical"


def address(page: Path, link: str) -> tuple[Path, str]:
    """Return the file of the site that a link of a page leads to, and the anchor in it."""
    parts = urlsplit(link)
    path = unquote(parts.path)
    base = SITE if path.startswith("/") else page.parent
    target = page if not path else (base / path.lstrip("/")).resolve()
    return (target / "index.html" if target.is_dir() else target), unquote(parts.fragment)


def faults() -> list[str]:
    """Return every dead link, missing anchor and address of another host that a page loads."""
    paths = sorted(path for path in SITE.rglob("*.html") if path.name != "404.html")
    pages = {path.resolve(): Page(path.read_text(encoding="utf-8")) for path in paths}
    found = []
    for path, page in pages.items():
        place = path.relative_to(SITE.resolve())
        for link in page.links:
            if re.match(r"[a-z]+:", link):
                continue
            target, anchor = address(path, link)
            if not target.is_file():
                found.append(f"{place}: the link {link} leads nowhere")
            elif anchor and target in pages and anchor not in pages[target].anchors:
                found.append(f"{place}: the link {link} names an anchor that is not there")
        for loaded in page.loads:
            if re.match(r"([a-z]+:)?//", loaded):
                found.append(f"{place}: loads {loaded} from another host")
            elif not loaded.startswith("data:") and not address(path, loaded)[0].is_file():
                found.append(f"{place}: loads {loaded}, which is not there")
    for path in sorted(SITE.rglob("*.css")):
        for loaded in re.findall(r"url\(['\"]?((?:https?:)?//[^)]+)", path.read_text("utf-8")):
            found.append(f"{path.relative_to(SITE)}: loads {loaded} from another host")
    return found


def build() -> int:
    """Build and check; print every fault; return the exit status."""
    started = time.monotonic()
    command = [str(builder()), "build", "--strict", "--clean", "-f", str(ROOT / "mkdocs.yml")]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if built.returncode:
        sys.stderr.write(built.stdout + built.stderr)
        return 1
    problems = faults()
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    pages = len(list(SITE.rglob("index.html")))
    took = time.monotonic() - started
    sys.stderr.write(f"{pages} pages in {SITE.relative_to(ROOT)}, {took:.0f} s\n")
    return int(bool(problems))


def weigh() -> int:
    """Print what the pages and their shared files weigh, as they are and compressed."""
    pages = [path.read_bytes() for path in SITE.rglob("index.html")]
    shared = [
        p.read_bytes() for p in SITE.rglob("*") if p.suffix in (".css", ".js") and p.is_file()
    ]
    for name, texts in (("pages", pages), ("style sheets and scripts", shared)):
        plain = sum(map(len, texts)) / 1024
        packed = sum(len(gzip.compress(text)) for text in texts) / 1024
        largest = max(map(len, texts)) / 1024
        sys.stdout.write(
            f"{name}: {len(texts)} files, {plain:,.0f} KiB, {packed:,.0f} KiB compressed, "
            f"largest {largest:,.0f} KiB\n"
        )
    return 0


if __name__ == "__main__":
    actions = {"build": build, "weigh": weigh}
    if sys.argv[1:] not in ([name] for name in actions):
        sys.stderr.write(__doc__ or "")
        raise SystemExit(2)
    raise SystemExit(actions[sys.argv[1]]())
