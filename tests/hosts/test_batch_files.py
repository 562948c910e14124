"""Requests go into files of three dialects, and replies come back from whatever wrote them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cotdistill.errors import FaultsError, MisuseError
from cotdistill.hosts import batch_files
from cotdistill.hosts.batch_files import batch_reader, batch_writer
from cotdistill.hosts.request import Reply, Request

Rows = list[dict[str, Any]]


def request(number: int, **given: Any) -> Request:
    messages = (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": f"{number}?"},
    )
    settings: dict[str, Any] = {
        "temperature": 0.7,
        "max_tokens": 64,
        "random_seed": number,
        **given,
    }
    model = settings.pop("model", "m")
    return Request(model, messages, key=f"{number:040x}", **settings)


def rows_of(path: Path) -> Rows:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def written(folder: Path, *requests: Request, dialect: Any = "openai") -> Rows:
    batch_writer(folder, dialect)(iter(requests), lambda *_: None)
    return [row for path in sorted(folder.glob("requests-*.jsonl")) for row in rows_of(path)]


def read(
    folder: Path, file: Path, *requests: Request, notes: list[str] | None = None
) -> dict[str, Reply]:
    found: dict[str, Reply] = {}
    tell = None if notes is None else notes.append
    batch_reader([file], folder, tell)(
        iter(requests), lambda one, reply: found.__setitem__(one.key, reply)
    )
    return found


def replies(path: Path, rows: Rows) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def openai_reply(key: str, content: str, **changed: Any) -> dict[str, Any]:
    body = {
        "model": "served",
        "choices": [{"index": 0, "message": {"content": content}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 7},
    }
    return {
        "id": "1",
        "custom_id": key,
        "error": None,
        "response": {"status_code": 200, "body": body},
    } | changed


def test_a_line_of_the_openai_dialect_holds_the_whole_request(tmp_path: Path) -> None:
    one, completion = request(1, stop=("\n",)), Request("m", prompt="2 + 2 =", key="b" * 40)
    rows = written(tmp_path, one, completion)
    assert rows[0] == {
        "custom_id": one.key, "method": "POST", "url": "/v1/chat/completions", "body": one.body(),
    }  # fmt: skip
    assert rows[1]["url"] == "/v1/completions"


def test_mistral_gets_its_own_name_for_the_seed_and_no_model(tmp_path: Path) -> None:
    (row,) = written(tmp_path, request(7), dialect="mistral")
    assert set(row) == {"custom_id", "body"}
    assert row["body"]["random_seed"] == 7
    assert not {"model", "seed"} & set(row["body"])


def test_anthropic_gets_system_and_stops_under_its_own_names(tmp_path: Path) -> None:
    (row,) = written(tmp_path, request(1, stop=("END",)), dialect="anthropic")
    assert row["params"] == {
        "model": "m", "max_tokens": 64, "system": "Be brief.", "temperature": 0.7,
        "messages": [{"role": "user", "content": "1?"}], "stop_sequences": ["END"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("dialect", "given", "named"),
    [
        ("anthropic", {"n": 2}, "Anthropic's batches cannot honour n"),
        ("anthropic", {"logprobs": 1}, "cannot honour logprobs"),
        ("anthropic", {"temperature": 1.5}, "cannot honour temperature 1.5"),
        ("anthropic", {"max_tokens": None}, "without max_tokens"),
        ("anthropic", {"extra": {"min_p": 0.1}}, "cannot honour min_p"),
        ("mistral", {"logprobs": 1}, "Mistral's batches cannot honour logprobs"),
    ],
)
def test_what_a_dialect_cannot_honour_is_refused_and_no_file_is_left(
    tmp_path: Path, dialect: str, given: dict[str, Any], named: str
) -> None:
    with pytest.raises(MisuseError, match=named):
        written(tmp_path, request(1, **given), dialect=dialect)
    assert list(tmp_path.iterdir()) == []


def test_a_file_has_one_model_and_no_more_lines_and_bytes_than_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_files, "_MOST_LINES", 3)
    written(tmp_path / "lines", *(request(n) for n in range(7)))
    assert [len(rows_of(path)) for path in sorted((tmp_path / "lines").iterdir())] == [3, 3, 1]
    written(tmp_path / "models", *(request(n, model=f"m{n // 2}") for n in range(4)))
    assert [len(rows_of(path)) for path in sorted((tmp_path / "models").iterdir())] == [2, 2]
    monkeypatch.setattr(batch_files, "_MOST_BYTES", 500)
    written(tmp_path / "bytes", *(request(n) for n in range(4)))
    sizes = [path.stat().st_size for path in (tmp_path / "bytes").iterdir()]
    assert len(sizes) > 1
    assert max(sizes) <= 500


def test_replies_are_found_by_their_keys_in_any_order_and_failures_are_failures(
    tmp_path: Path,
) -> None:
    requests = [request(n) for n in range(6)]
    written(tmp_path, *requests)
    keys = [one.key for one in requests]
    busy = {"message": "slow down"}
    bare = openai_reply("", "bare")["response"]["body"]
    file = replies(
        tmp_path / "replies.jsonl",
        [
            openai_reply(keys[1], "second"),
            openai_reply(keys[0], "first"),
            {"custom_id": keys[2], "response": {"status_code": 429, "body": {"error": busy}}},
            {"custom_id": keys[3], "response": None, "error": {"message": "too late"}},
            {"custom_id": keys[4], "response": bare, "error": None},
        ],
    )
    found = read(tmp_path, file, *requests)
    assert [found[key].content for key in (keys[0], keys[1], keys[4])] == [
        "first",
        "second",
        "bare",
    ]
    assert found[keys[0]].usage.completion_tokens == 7
    assert found[keys[0]].model == "served"
    assert found[keys[2]].failure == "HTTP 429: slow down"
    assert found[keys[3]].failure == "too late"
    assert keys[5] not in found


def test_anthropics_replies_keep_thoughts_cached_tokens_and_refusals(tmp_path: Path) -> None:
    requests = [request(n) for n in range(4)]
    written(tmp_path, *requests, dialect="anthropic")
    content = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "The answer is 4"}]
    usage = {"input_tokens": 10, "cache_read_input_tokens": 90, "output_tokens": 12}

    def message(reason: str, **given: Any) -> dict[str, Any]:
        base = {"model": "m", "content": content, "stop_reason": reason, "usage": usage}
        return {"type": "succeeded", "message": base | given}

    results = [
        message("end_turn"), message("max_tokens"), message("refusal", content=[]),
        {"type": "errored", "error": {"error": {"type": "invalid_request", "message": "too long"}}},
    ]  # fmt: skip
    rows = [{"custom_id": one.key, "result": r} for one, r in zip(requests, results, strict=True)]
    found = read(tmp_path, replies(tmp_path / "r.jsonl", rows), *requests)
    first = found[requests[0].key]
    assert (first.content, first.choices[0].reasoning, first.finish_reason) == (
        "The answer is 4",
        "hm",
        "stop",
    )
    assert (first.usage.prompt_tokens, first.usage.cached_tokens) == (100, 90)
    assert found[requests[1].key].finish_reason == "length"
    assert "refusal" in found[requests[2].key].failure
    assert found[requests[3].key].failure == "errored: too long"


def test_a_file_of_another_study_is_refused_and_nothing_is_taken_from_it(tmp_path: Path) -> None:
    written(tmp_path, request(1))
    file = replies(tmp_path / "other.jsonl", [openai_reply(request(9).key, "x")])
    with pytest.raises(FaultsError, match="none of its 1 replies was asked for from here"):
        read(tmp_path, file, request(1))


def test_request_files_and_garbage_are_not_taken_for_replies(tmp_path: Path) -> None:
    written(tmp_path, request(1))
    garbage = tmp_path / "garbage.jsonl"
    garbage.write_bytes(b"\xff\xfe{}\n[1]\n" + b"[" * 10_000 + b"\n")
    for file in (tmp_path / "requests-0001.jsonl", garbage):
        with pytest.raises(FaultsError, match="it holds no reply of a batch"):
            read(tmp_path, file, request(1))
    with pytest.raises(FaultsError, match="cannot be read"):
        read(tmp_path, tmp_path / "none.jsonl", request(1))
    with pytest.raises(FaultsError, match="no requests were written here"):
        read(tmp_path / "empty", garbage, request(1))


def test_half_a_file_gives_what_it_has_and_a_good_reply_wins_over_a_failed_one(
    tmp_path: Path,
) -> None:
    requests = [request(n) for n in range(3)]
    written(tmp_path, *requests)
    failed = {"custom_id": requests[0].key, "response": {"status_code": 500, "body": {}}}
    rows = [
        failed,
        openai_reply(requests[0].key, "good"),
        failed,
        openai_reply(requests[1].key, "cut off"),
    ]
    file = replies(tmp_path / "half.jsonl", rows)
    file.write_bytes(file.read_bytes()[:-20])
    notes: list[str] = []
    found = read(tmp_path, file, *requests, notes=notes)
    assert {key: reply.content for key, reply in found.items()} == {requests[0].key: "good"}
    assert any("1 line cannot be read (was it cut off?)" in text for text in notes)
