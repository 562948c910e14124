"""Words that nobody searches for, and the field's term for each, in texts, comments and names.

docs/glossary.md defines the words that we keep. A new entry here needs a better word next to it.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from cotdistill.cli.main import VERBS, main, overview

ROOT = Path(__file__).resolve().parents[2]

BANNED = {
    r"mend(s|ed|ing|able)?": "fix",
    r"noughts?": "zero",
    r"kin": "same group",
    r"twins?": "copy",
    r"dear(er|est)?": "expensive",
    r"beside": "next to",
    r"told apart": "distinguished",
    r"asked for by": "requested with",
    r"go(es)? on after": "resume",
    r"puts? right": "fix",
    r"by hand of": "by",
    r"in silence": "silently",
    r"without a word": "silently",
    r"like(li)?nesses|likeness": "similarity",
    r"the seeds'|(a|the) seed's|the five seeds": "the source repositories'",
    r"seed (repositor(y|ies)|stud(y|ies)|papers?)": "source repository",
}
VAGUE = {"said", "told", "held"}
"""Names of variables that say nothing about what they are."""

TEXTS = ("README.md", "CHANGELOG.md", "Makefile", "pyproject.toml", "docs", "templates")
TEXTS += ("task_configs", "dataset_info", "studies")
CODE = ("plugins/cotdistill", "tests", "tools", "benchmarks")
SUFFIXES = {".md", ".yaml", ".yml", ".j2", ".toml", ".js", ".css", ""}
KEPT = {
    ("plugins/cotdistill/cli/filter_mix.py", "mend"),
    ("plugins/cotdistill/corpus/filtering/settings.py", "mend"),
}
"""Old names of options that users' commands and files may still have."""

UNFINISHED: frozenset[str] = frozenset()
"""Areas of the code whose words are still being replaced."""

PATTERN = re.compile(rf"(?<![\w'-])({'|'.join(BANNED)})(?![\w-])", re.IGNORECASE)


def banned_in(text: str) -> list[str]:
    return [match[0] for match in PATTERN.finditer(text)]


def files(names: tuple[str, ...], suffixes: set[str]) -> list[Path]:
    paths = [p for name in names for p in (ROOT / name, *sorted((ROOT / name).rglob("*")))]
    return [
        p for p in paths if p.is_file() and p.suffix in suffixes and "__pycache__" not in p.parts
    ]


def area_of(path: Path) -> str:
    """Return the package of a module, so that a failure names who should look."""
    parts = path.relative_to(ROOT).parts
    return "/".join(parts[: 3 if parts[0] == "plugins" else 2][: len(parts) - 1])


AREAS = sorted({area_of(path) for path in files(CODE, {".py"})})


def words_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of strings, comments and docstrings, and the words of identifiers."""
    text = path.read_text(encoding="utf-8")
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.STRING, tokenize.COMMENT):
            for place, line in enumerate(token.string.splitlines()):
                yield token.start[0] + place, line
        elif token.type == tokenize.NAME:
            yield token.start[0], re.sub(r"_|(?<=[a-z])(?=[A-Z])", " ", token.string)
            if token.string.strip("_") in VAGUE:
                yield token.start[0], f"vague name {token.string}"


@pytest.mark.parametrize("path", files(TEXTS, SUFFIXES), ids=lambda p: str(p.relative_to(ROOT)))
def test_texts_use_the_terms_of_the_field(path: Path) -> None:
    assert banned_in(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help_uses_the_terms_of_the_field(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    if verb:
        main([verb, "--help"])
    assert banned_in(capsys.readouterr().out if verb else overview()) == []


@pytest.mark.parametrize("area", AREAS)
def test_code_uses_the_terms_of_the_field(area: str) -> None:
    if area in UNFINISHED:
        pytest.skip("still being rewritten")
    met = []
    for path in files(CODE, {".py"}):
        name = str(path.relative_to(ROOT))
        if area_of(path) == area and path != Path(__file__):
            for number, text in words_of(path):
                words = [text] if text.startswith("vague name") else banned_in(text)
                met += [f"{name}:{number}: {word}" for word in words if (name, word) not in KEPT]
    assert met == []


def test_each_banned_word_is_recognised() -> None:
    assert banned_in("It mends a twin beside the seeds' file") == [
        "mends",
        "twin",
        "beside",
        "the seeds'",
    ]
    assert (
        banned_in("besides, kind, winding, recommend, a random seed's effect") == ["a seed's"][:0]
    )
