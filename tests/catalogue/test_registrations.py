"""The packaged registrations, alone, with LLaMA-Factory's own parser, and on real files."""

import json
from pathlib import Path
from typing import Any

import pytest

from cotdistill.catalogue.packaged import CELLS, HUB_DATASETS, datasets, read_registrations
from cotdistill.errors import FaultsError
from cotdistill.files.bundle import bundle_folder
from cotdistill.hosts.llamafactory.arguments import registrations_as_read

ENTRY = {
    "hf_hub_url": "o/d",
    "columns": {"prompt": "q", "response": "a"},
    "_about": {"licence": "MIT", "source": "here"},
}
TALK = {
    **ENTRY,
    "formatting": "sharegpt",
    "columns": {"messages": "m"},
    "tags": {"role_tag": "r", "content_tag": "c", "user_tag": "u", "assistant_tag": "a"},
}
REAL_CELLS = Path(__file__).resolve().parents[3] / "shared" / "data" / "cot_factors"


def written(folder: Path, **changed: Any) -> Path:
    entry = {key: value for key, value in {**ENTRY, **changed}.items() if value is not None}
    path = folder / "dataset_info.json"
    path.write_text(json.dumps({"d": entry}), encoding="utf-8")
    return path


def test_every_registration_is_read_and_counted() -> None:
    folder = bundle_folder("dataset_info")
    assert len(read_registrations(folder / HUB_DATASETS)) == 22
    assert len(read_registrations(folder / CELLS)) == 156
    assert len(read_registrations(folder / "mentor_kd.json")) == 8 + 2 * 7
    assert len(read_registrations(folder / "gsi.json")) == 6
    assert len(datasets()) == 210  # and two files each of MiCoTA and of zero-shot OpenBookQA


def test_registered_files_that_a_teacher_wrote_with_the_gold_are_marked() -> None:
    shown = {name: e.about.gold_shown for name, e in datasets().items() if e.about.gold_shown}
    assert shown == {"obqa_zero_shot_gold_shown": True}
    assert datasets()["obqa_zero_shot_gold_hidden"].about.gold_shown is False


def test_hub_entries_are_called_as_on_the_hub_and_all_say_their_licence() -> None:
    for name, entry in read_registrations(bundle_folder("dataset_info") / HUB_DATASETS).items():
        assert entry.hf_hub_url is not None
        stem = entry.hf_hub_url.split("/")[1]
        assert name.startswith(stem.split("-1.4M")[0]), name
        assert entry.about.licence
        assert entry.about.source


def test_the_six_learnability_gap_sets_are_there() -> None:
    mine = [entry for entry in datasets().values() if (entry.hf_hub_url or "").startswith("UWNSL/")]
    assert sorted(entry.about.rows or 0 for entry in mine) == [4539] * 3 + [5383] * 3
    assert all(entry.columns.prompt == "problem" for entry in mine)


def test_the_grid_of_cells_has_its_known_holes_and_no_others() -> None:
    cells = [entry.about.cell for entry in datasets().values() if entry.about.cell]
    natural = {
        (c.questions, c.teacher, c.level) for c in cells if c.format == "natural" and c.level
    }
    sets = ("SVAMP", "GSM8K", "AQuA", "MATH", "CSQA", "OBQA", "StrategyQA")
    full = {(q, t, n) for q in sets for t in ("chatgpt", "gemini", "llama") for n in range(1, 7)}
    assert full - natural == {
        ("SVAMP", "llama", 5), ("SVAMP", "llama", 6), ("GSM8K", "llama", 6)
    }  # fmt: skip
    assert natural <= full
    assert sum(c.format == "answer-only" for c in cells) == 7
    assert sum(c.teacher == "human" for c in cells) == 6


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"column": {}}, "unknown key 'column'"),
        ({"formatting": "openai"}, "use 'sharegpt' with tags"),
        ({"file_name": "d.json"}, "either 'file_name' or 'hf_hub_url'"),
        ({"hf_hub_url": None}, "either 'file_name' or 'hf_hub_url'"),
        ({"columns": {"prompt": "q"}}, "alpaca needs the columns 'prompt' and 'response'"),
        ({"columns": {"promt": "q", "response": "a"}}, "unknown key 'promt'"),
        ({"formatting": "sharegpt"}, "sharegpt needs the column 'messages' and 'tags'"),
        ({**TALK, "tags": {"role_tag": "r"}}, "tags.content_tag"),
        ({"_about": None}, "_about"),
    ],
)
def test_what_llamafactory_would_misread_silently_is_a_fault(
    tmp_path: Path, changed: dict[str, Any], says: str
) -> None:
    with pytest.raises(FaultsError) as caught:
        read_registrations(written(tmp_path, **changed))
    assert says in str(caught.value)


def test_a_well_formed_entry_of_either_formatting_is_read(tmp_path: Path) -> None:
    assert read_registrations(written(tmp_path))["d"].columns.prompt == "q"
    talk = read_registrations(written(tmp_path, **TALK))["d"]
    assert talk.as_entry() == {key: value for key, value in TALK.items() if key != "_about"}


@pytest.mark.host
def test_llamafactorys_own_parser_reads_every_entry_as_meant(tmp_path: Path) -> None:
    folder = bundle_folder("dataset_info")
    hub = read_registrations(folder / HUB_DATASETS)
    cells = read_registrations(folder / CELLS)
    local = {name: entry for name, entry in datasets().items() if entry.file_name}
    everything = {name: entry.as_entry() for name, entry in {**hub, **cells, **local}.items()}
    (tmp_path / "dataset_info.json").write_text(json.dumps(everything), encoding="utf-8")
    packaged = registrations_as_read(list(hub), folder)  # with its `_about` keys, as shipped
    read = registrations_as_read(list(everything), tmp_path)
    assert {name: read[name] for name in packaged} == packaged
    assert len(read) == 210
    for name, entry in {**hub, **cells}.items():
        theirs = read[name]
        assert theirs["dataset_name"] == (entry.hf_hub_url or entry.file_name)
        assert theirs["load_from"] == ("hf_hub" if entry.hf_hub_url else "file")
        assert theirs["split"] == (entry.split or "train")
        for column in ("prompt", "query", "response", "history", "messages", "system", "tools"):
            assert theirs[column] == getattr(entry.columns, column), (name, column)
        if entry.tags:
            assert theirs["user_tag"] == entry.tags.user_tag


@pytest.mark.skipif(not REAL_CELLS.is_dir(), reason="the real files are not on this machine")
def test_cells_agree_with_the_real_files() -> None:
    legacy = json.loads((REAL_CELLS / "dataset_info.json").read_text(encoding="utf-8"))
    cells = read_registrations(bundle_folder("dataset_info") / CELLS)
    assert {name: entry.as_entry() for name, entry in cells.items()} == legacy
    seen = 0
    for name, entry in cells.items():
        path = REAL_CELLS / (entry.file_name or "")
        if path.is_file():
            rows = json.loads(path.read_text(encoding="utf-8"))
            lacking = sum(entry.columns.response not in row for row in rows)
            assert len(rows) == entry.about.rows, name
            assert lacking == (195 if name == "math_mix_gemini_level1" else 0), name
            seen += 1
    assert seen > 20
