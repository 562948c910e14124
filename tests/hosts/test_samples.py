"""Sample files of every shape that lm-eval 0.4 writes are read into one."""

import json
from pathlib import Path
from typing import Any

import pytest

from cotdistill.errors import DataError
from cotdistill.hosts.lm_eval.golds import gold_of
from cotdistill.hosts.lm_eval.samples import (
    find_samples,
    newest_results,
    read_samples,
)

OLD, NEW = "2026-01-02T03-04-05.678901", "2026-01-03T03-04-05.678901"


def row(**changed: Any) -> dict[str, Any]:
    return {
        "doc_id": 0,
        "doc": {"id": 7, "problem": "What is 6 times 7?", "answer": "042"},
        "target": "It is 42.",
        "arguments": {"gen_args_0": {"arg_0": "Q: 6 x 7?", "arg_1": {"until": []}}},
        "resps": [["\\boxed{42}"]],
        "filtered_resps": ["\\boxed{42}"],
        "filter": "none",
        "metrics": ["exact_match"],
        "doc_hash": "d0",
        "prompt_hash": "p0",
        "exact_match": 1.0,
    } | changed


def written(folder: Path, name: str, *rows: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("resps", "responses"),
    [
        ([["a", "b"]], ("a", "b")),
        ([["a"]], ("a",)),
        (["a"], ("a",)),
        ("a", ("a",)),
        ([[None, "None"]], ("", "")),
    ],
)
def test_responses_of_any_nesting(tmp_path: Path, resps: Any, responses: tuple[str, ...]) -> None:
    path = written(tmp_path, f"samples_t_{OLD}.jsonl", row(resps=resps))
    (sample,) = read_samples(find_samples([path])[0])
    assert sample.responses == responses


def test_a_chat_prompt_as_a_json_string_reads_as_turns(tmp_path: Path) -> None:
    chat = json.dumps(
        [{"role": "system", "content": "Box it."}, {"role": "user", "content": "6x7"}]
    )
    rows = [row(arguments={"gen_args_0": {"arg_0": prompt}}) for prompt in (chat, [chat], "[6x7")]
    path = written(tmp_path, "samples_t.jsonl", *rows)
    prompts = [sample.prompt for sample in read_samples(find_samples([path])[0])]
    assert prompts == ["system: Box it.\n\nuser: 6x7"] * 2 + ["[6x7"]


def test_what_was_moved_aside_is_read_only_where_it_is_named(tmp_path: Path) -> None:
    for folder in ("scores/run", "stale/001/scores/run"):
        written(tmp_path / folder / "m", f"samples_math_{NEW}.jsonl", row())
    (found,) = find_samples([tmp_path])
    assert found.path.is_relative_to(tmp_path / "scores")
    assert len(find_samples([tmp_path / "stale/001"])) == 1
    written(tmp_path / "other/stale/002/m", f"samples_math_{NEW}.jsonl", row())
    with pytest.raises(DataError, match=r"no samples_\*.jsonl"):
        find_samples([tmp_path / "other"])


def test_a_task_is_its_whole_name_and_the_newest_run_wins(tmp_path: Path) -> None:
    for task in ("math", "math_500"):
        for stamp in (OLD, NEW):
            written(tmp_path / "m", f"samples_{task}_{stamp}.jsonl", row())
    found = find_samples([tmp_path])
    assert [(one.task, one.stamp) for one in found] == [("math", NEW), ("math_500", NEW)]
    (named,) = find_samples([tmp_path], task="math", stamp=OLD)
    assert named.path.name == f"samples_math_{OLD}.jsonl"
    with pytest.raises(DataError, match=r"no samples of task 'math_50'; did you mean 'math_500'\?"):
        find_samples([tmp_path], task="math_50")
    with pytest.raises(DataError, match=f"no samples of 1999; expected one of {OLD}, {NEW}"):
        find_samples([tmp_path], stamp="1999")


def test_several_filters_keep_their_names_and_all_repeats(tmp_path: Path) -> None:
    both = [
        row(filter=name, resps=[["a", "b"]], filtered_resps=["a"]) for name in ("strict", "loose")
    ]
    path = written(tmp_path, "samples_t.jsonl", *both)
    found = list(read_samples(find_samples([path])[0]))
    assert [(one.filter, one.responses) for one in found] == [
        ("strict", ("a", "b")),
        ("loose", ("a", "b")),
    ]


@pytest.mark.parametrize(
    ("doc", "target", "gold"),
    [
        ({"gold": "12", "answer": "reasoning"}, "", "12"),
        ({"answer": 27.0}, "", "27"),
        ({"answer": "he has 3 left\n#### 3"}, "", "3"),
        ({"final_answer": ["$2n-2$"]}, "", "$2n-2$"),
        ({"solution": r"so \boxed{\frac{1}{2}}"}, "x" * 300, r"\frac{1}{2}"),
        ({}, "B", "B"),
        ({"answer": True}, "", "True"),
        ({}, "a long explanation " * 20, None),
    ],
)
def test_the_gold_answer_of_every_kind_of_document(
    tmp_path: Path, doc: dict[str, Any], target: str, gold: str | None
) -> None:
    path = written(tmp_path, "samples_t.jsonl", row(doc=doc, target=target))
    (sample,) = read_samples(find_samples([path])[0])
    assert gold_of(sample) == gold


def test_a_key_is_the_documents_own_id_or_its_hash(tmp_path: Path) -> None:
    path = written(tmp_path, "samples_t.jsonl", row(), row(doc={"question": "x"}))
    keys = [sample.key for sample in read_samples(find_samples([path])[0])]
    assert keys == ["7", "d0"]


def test_a_file_that_is_no_sample_file_is_named_with_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, "samples_t.jsonl", row(), {"question": "x"})
    with pytest.raises(DataError, match=r"samples_t.jsonl:2: a row without doc and resps"):
        list(read_samples(find_samples([path])[0]))
    with pytest.raises(DataError, match="no samples_"):
        find_samples([tmp_path / "nowhere"])


def test_only_the_newest_results_of_a_directory_count(tmp_path: Path) -> None:
    for folder, stamp in [("a", OLD), ("a", NEW), ("b", OLD)]:
        written(tmp_path / folder, f"results_{stamp}.json", {"results": {}})
    written(tmp_path / "a", "notes.json", {})
    names = [str(one.path.relative_to(tmp_path)) for one in newest_results(tmp_path)]
    assert names == [f"a/results_{NEW}.json", f"b/results_{OLD}.json"]
