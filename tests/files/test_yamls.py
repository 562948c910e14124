"""YAML is written fast where that is safe, and always as PyYAML writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cotdistill.errors import FaultsError
from cotdistill.files.yamls import (
    _Dumper,
    dump_yaml,
    is_plain_text,
    parse_yaml,
    read_yaml,
    yaml_line,
)

TEXTS = st.one_of(
    st.text(max_size=12),
    st.text(alphabet="aZ09_/.+-=@%:#,'\"[]{}&*!|>? \n", max_size=12),
    st.sampled_from([
        "no", "on", "Yes", "y", "null", "~", "True", "1e5", "1.0e-05", "1_000", "0x1F", "017", ".5",
        ".inf", "-1", "+2", "2026-01-02", "12:30:45", "=", "<<", "---", "...", "a: b", "a #b",
        "- a", "/data/a b.jsonl", "", " ", "a ", "'", "%a", "@a", "!a", "&a", "*a", "\x85",
        "\u2028", "\ud7ff",
    ]),
)  # fmt: skip
SCALARS = st.one_of(
    TEXTS, st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.just(1.0)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=8,
)


def as_pyyaml(value: Any) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1_000_000)


@given(st.dictionaries(TEXTS, VALUES, max_size=4))
def test_every_mapping_is_written_as_pyyaml_writes_it(value: dict[str, Any]) -> None:
    assert dump_yaml(value) == as_pyyaml(value)


@given(VALUES)
def test_every_line_reads_back_as_its_value(value: Any) -> None:
    text = yaml_line("key", value)
    assert yaml.safe_load(text) == {"key": value}


@given(TEXTS)
def test_a_plain_text_is_read_as_that_text_wherever_it_stands(text: str) -> None:
    if is_plain_text(text):
        assert yaml.safe_load(f"{text}: {text}\nlist: [{text}]") == {text: text, "list": [text]}


@pytest.mark.parametrize("value", [{1: "a"}, {"a": (1, 2)}, {"a": [[1], [2]]}, {"a": [{"b": 1}]}])
def test_what_is_not_written_fast_is_left_to_pyyaml(value: dict[Any, Any]) -> None:
    assert dump_yaml(value) == as_pyyaml(value)


@pytest.mark.parametrize(
    "text",
    [
        "x: " + "[" * 50_000 + "]" * 50_000,
        "[" * 50_000,
        "{a: " * 20_000,
        "- " * 20_000 + "x",
        "".join(f"{' ' * level}a:\n" for level in range(300)),
        "a: &a [x]\n" + "b: " + "[" * 300 + "*a" + "]" * 300,
    ],
)
def test_a_yaml_that_is_nested_without_end_is_refused_at_once(text: str) -> None:
    with pytest.raises(FaultsError, match=r"study\.yaml.*not YAML \(nested more than 100 deep"):
        parse_yaml(text, "study.yaml")


def test_many_brackets_and_rules_of_dashes_are_no_nesting() -> None:
    text = "rows: [" + ", ".join(["[1, 2]"] * 300) + "]\nabout: |\n  " + "-" * 200 + "\n"
    assert len(parse_yaml(text, "study.yaml")["rows"]) == 300


def test_a_tab_in_the_indentation_is_named() -> None:
    with pytest.raises(FaultsError, match=r"s.yaml:2: not YAML .*; indent with spaces"):
        parse_yaml("a:\n\tb: 1\n", "s.yaml")


def test_a_file_that_is_not_there_is_called_that(tmp_path: Path) -> None:
    with pytest.raises(FaultsError, match=r"no\.yaml: no such file; expected a YAML file"):
        read_yaml(tmp_path / "no.yaml")


def test_a_second_document_is_called_that() -> None:
    with pytest.raises(FaultsError, match=r"s.yaml:2: not YAML \(a second document begins \(---\)"):
        parse_yaml("a: 1\n---\nb: 2\n", "s.yaml")


@pytest.mark.parametrize(("coding", "named"), [("utf-16", "UTF-16"), ("latin-1", "ENCODING")])
def test_another_encoding_is_told_how_to_convert_it(
    coding: str, named: str, tmp_path: Path
) -> None:
    (tmp_path / "s.yaml").write_text("name: ü\n", encoding=coding)
    with pytest.raises(FaultsError, match=f"not UTF-8; .*iconv -f {named} -t UTF-8"):
        read_yaml(tmp_path / "s.yaml")
