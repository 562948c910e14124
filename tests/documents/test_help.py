"""`--help` of every verb: complete, narrow enough for a terminal, and with an example to paste."""

from __future__ import annotations

import re
import shlex

import pytest

from cotdistill.cli.main import VERBS, main, overview

WIDTH = 80


@pytest.fixture(params=VERBS)
def verb(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def text(verb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    assert main([verb, "--help"]) == 0
    return capsys.readouterr().out


def examples(text: str) -> list[list[str]]:
    """Return the commands of a help text's example, split as a shell would."""
    (block,) = re.findall(r"^  Examples?:\n((?:      .*\n)+)", text, re.MULTILINE)
    return [shlex.split(line) for line in block.replace("\\\n", " ").splitlines()]


def test_the_overview_fits_a_terminal() -> None:
    assert max(map(len, overview().splitlines())) < WIDTH


def test_help_fits_a_terminal(text: str) -> None:
    assert max(map(len, text.splitlines())) <= WIDTH


def test_help_has_an_example_that_calls_the_verb(verb: str, text: str) -> None:
    assert any(["cotdistill", verb] == words[:2] or verb in words[2] for words in examples(text))


def test_examples_use_options_that_exist(verb: str, text: str) -> None:
    if verb in ("eval", "path"):  # the options of lm_eval, which has a help text of its own
        return
    for words in examples(text):
        ours = words[: words.index("--")] if "--" in words else words
        for option in (word for word in ours if re.match(r"--?[a-z]", word)):
            assert re.search(rf"(^|[ ,/]){re.escape(option)}\b", text, re.MULTILINE), option


def test_every_option_says_what_it_is_for(text: str) -> None:
    options = text.partition("Options:\n")[2]
    for entry in re.split(r"\n(?=  -)", options):
        words = re.sub(r"^\s*(-\S+,? ?(/ )?)+(<[^>]*>|[A-Z]+=?[A-Z]*)?", "", entry)
        words = re.sub(r"\[[^\]]*\]", "", words)
        assert words.strip(), entry
