"""Templates fill in what they were given, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cotdistill.errors import BundleError
from cotdistill.files.bundle import bundle_files
from cotdistill.files.templates import render, renderer
from cotdistill.runfolder.config_text import ConfigRenderer, render_config


def folder_with(tmp_path: Path, text: str) -> Path:
    (tmp_path / "t.j2").write_text(text)
    return tmp_path


def test_an_unknown_variable_is_an_error(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "learning_rate: {{ lerning_rate }}\n")
    with pytest.raises(BundleError, match=r"a value is missing .*lerning_rate"):
        render("t.j2", {"learning_rate": 1.0}, folder)


def test_a_missing_template_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no such template"):
        render("nowhere.j2", {}, tmp_path)


def test_a_broken_template_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"t\.j2:2: not Jinja2"):
        render("t.j2", {}, folder_with(tmp_path, "a: 1\n{% if %}\n"))


def test_a_template_runs_in_a_sandbox(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, "{{ ''.__class__.__mro__[1].__subclasses__() }}")
    with pytest.raises(BundleError):
        render("t.j2", {}, folder)


def test_settings_win_and_what_no_line_asked_for_is_added(tmp_path: Path) -> None:
    text = '{{ line("a", 1) }}\n{% for key in rest() %}\n{{ line(key, none) }}\n{% endfor %}\n'
    made = render_config("t.j2", {}, {"a": "no", "b": 1e-5}, folder_with(tmp_path, text))
    assert made.values == {"a": "no", "b": 1e-5}
    assert made.text == "a: 'no'\nb: 1.0e-05\n"


def test_text_that_reads_back_as_something_else_is_refused(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, '{{ line("a", 1) }}\nb: 1e-05\n')
    with pytest.raises(BundleError, match=r"does not read back as meant: \['b'\]"):
        render_config("t.j2", {}, {}, folder)


def test_a_key_said_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="the key 'a' is written twice"):
        render_config(
            "t.j2", {}, {}, folder_with(tmp_path, '{{ line("a", 1) }}\n{{ line("a", 2) }}')
        )


def test_every_training_and_evaluation_template_says_how_it_is_run() -> None:
    paths = [
        path
        for stage in ("train", "export", "eval")
        for path in bundle_files("templates", f"{stage}/*.yaml.j2")
    ]
    assert len(paths) == 4 + 1 + 4
    for path in paths:
        assert re.search(r"^# Run it:  {{ command }}$", path.read_text(), re.MULTILINE), path


@pytest.mark.parametrize(
    "text",
    [
        "# {{ run }} with seed {{ seed }}\n{{ line('seed', seed) }}\n{{ line('out', out) }}\n",
        "{% if seed == 2 %}\n{{ line('two', true) }}\n{% endif %}\n{{ line('seed', seed) }}\n",
        "# {{ run | upper }}\n{{ line('seed', seed + 1) }}\n",
        "{% if run is string %}\n{{ line('text', run) }}\n{% endif %}\n{{ line('n', out) }}\n",
        "{{ line('seed', seed) }}\n{% for key in rest() %}\n{{ line(key, none) }}\n{% endfor %}\n",
    ],
)
def test_runs_of_one_renderer_get_the_text_that_each_would_get_alone(
    tmp_path: Path, text: str
) -> None:
    folder = folder_with(tmp_path, text)
    settings = {"note": "no", "rate": 1e-5}
    renderer = ConfigRenderer("t.j2", {}, settings, folder)
    for seed, out in ((1, "/a"), (2, "/b c"), (3, ["x", "no"]), (4, "two\nlines"), (5, None)):
        varying = {"run": f"r{seed}", "seed": seed, "out": out}
        assert renderer.render(varying) == render_config("t.j2", varying, settings, folder)


@pytest.mark.parametrize(
    "text",
    [
        "Ask: {{ question }}!",
        "{% if gold %}{{ question }}{% endif %} {{ question }}",
        "{% if question == 'b' %}B{% endif %}{{ question }}",
        "{{ question | upper }}",
        "{% filter upper %}{{ question }}{% endfilter %}",
        "{% set q %}{{ question }}{% endset %}{{ q | upper }}",
        "{% macro m() %}{{ question }}{% endmacro %}{{ m() | upper }}",
        "{{ 'long' if question | length > 1 else 'short' }}",
    ],
)
def test_a_template_that_is_filled_in_many_times_gives_what_it_gives_once(
    tmp_path: Path, text: str
) -> None:
    folder = folder_with(tmp_path, text)
    filled = renderer("t.j2", ["question"], folder)
    for question in ("a", "b", "{{ gold }}", ""):
        for gold in ("", "4"):
            values = {"question": question, "gold": gold}
            assert filled(values) == render("t.j2", values, folder)


def test_several_values_that_differ_each_time_are_pasted_between_the_same_text(
    tmp_path: Path,
) -> None:
    text = "{{ 'Cut' if shortened else 'Whole' }} {{ mark }}{{ question }}{{ mark }} {{ gold }}"
    folder = folder_with(tmp_path, text)
    filled = renderer("t.j2", ["question", "gold", "mark"], folder)
    for question in ("a", "question", "{{ gold }}"):
        for shortened in (True, False):
            values = {"question": question, "gold": 4, "mark": "M", "shortened": shortened}
            assert filled(values) == render("t.j2", values, folder)
