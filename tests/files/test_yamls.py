"""What is written as YAML reads back as the same value, in PyYAML and in LLaMA-Factory's reader."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from cotdistill.files.yamls import dump_yaml, parse_yaml, yaml_scalar

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufffe\uffff"))
PLAIN = TEXT | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False)
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)
)


@given(VALUES)
def test_a_value_on_one_line_reads_back(value: Any) -> None:
    line = yaml_scalar(value)
    assert len(line.splitlines()) <= 1
    assert parse_yaml(f"key: {line}", "x") == {"key": value}


@given(VALUES)
def test_a_dumped_mapping_reads_back_in_both_readers(value: Any) -> None:
    text = dump_yaml({"key": value})
    assert parse_yaml(text, "x") == {"key": value}
    assert yaml.safe_load(text) == {"key": value}


def test_a_prompt_of_several_lines_stays_one_value() -> None:
    assert yaml_scalar("You think.\nThen you answer.") == '"You think.\\nThen you answer."'
