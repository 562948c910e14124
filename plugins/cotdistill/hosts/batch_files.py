"""Ask through files: requests for a provider's batch interface, and the replies it gives back.

Three dialects. `openai` is also what Azure, Together and `vllm run-batch` read, and what a cluster
job can answer; `mistral` names the model with the job; `anthropic` has parameters of its own. Each
line carries the key of its request, so replies may come in any order, in several files, and twice.
A dialect that cannot honour a parameter refuses the request; none is dropped silently.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from cotdistill.errors import Fault, FaultsError, MisuseError
from cotdistill.files.atomic import written_whole
from cotdistill.hosts.request import Asker, Reply, Request, Take, read_reply
from cotdistill.tables import counted

Dialect = Literal["openai", "mistral", "anthropic"]
DIALECTS: tuple[Dialect, ...] = get_args(Dialect)

_MOST_LINES = 50_000  # of OpenAI; the others take more
_MOST_BYTES = 190_000_000  # OpenAI takes 200 MB, Anthropic 256
_ANTHROPIC_EXTRA = frozenset({"metadata", "thinking", "top_k"})
_ANTHROPIC_ENDS = {
    "end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls",
    "refusal": "refusal", "model_context_window_exceeded": "length",
}  # fmt: skip
_SHOWN = 3

Tell = Callable[[str], None]


def batch_writer(folder: Path, dialect: Dialect = "openai", tell: Tell | None = None) -> Asker:
    """Return what writes requests into files of a folder; the replies come later.

    A file has at most 50,000 lines and 190 MB, as OpenAI takes them, and one model. Older request
    files in the folder stay: together they say what was asked from here.

    Raises:
        MisuseError: there is no such dialect, or it cannot honour a request.
    """
    if dialect not in DIALECTS:
        raise MisuseError(f"no batch dialect '{dialect}'; known: {', '.join(DIALECTS)}")
    line_of = {"openai": _openai_line, "mistral": _mistral_line, "anthropic": _anthropic_line}

    def ask(requests: Iterator[Request], _take: Take) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        number = 1 + max((_number(path) for path in _request_files(folder)), default=0)
        count = 0
        request = next(requests, None)
        while request is not None:
            path, model = folder / f"requests-{number:04d}.jsonl", request.model
            lines = size = 0
            with written_whole(path) as stream:
                while request is not None and request.model == model and lines < _MOST_LINES:
                    line = json.dumps(line_of[dialect](request), ensure_ascii=False) + "\n"
                    size += len(line.encode())
                    if lines and size > _MOST_BYTES:
                        break
                    stream.write(line)
                    lines += 1
                    request = next(requests, None)
            _say(tell, f"wrote {path} ({counted(lines, 'request')} to {model})")
            count, number = count + lines, number + 1
        if dialect == "anthropic" and count:
            _say(tell, "Anthropic takes no seeds: its samples differ, and cannot be repeated")

    return ask


@dataclass(frozen=True)
class _Place:
    file: int
    offset: int


def batch_reader(files: Sequence[Path], folder: Path, tell: Tell | None = None) -> Asker:
    """Return what answers requests from the replies in files, of whichever dialect.

    `folder` holds the request files that were written before. Requests without a reply stay open.

    Raises:
        FaultsError: a file cannot be read, or holds no reply to what was asked from that folder:
            it is of another study.
    """

    def ask(requests: Iterator[Request], take: Take) -> None:
        asked = {key for path in _request_files(folder) for key in _keys_of(path)}
        if not asked:
            remedy = "write the requests first"
            raise FaultsError(Fault(str(folder), "no requests were written here", "", remedy))
        places, notes = _index(files, asked)
        for note in notes:
            _say(tell, note)
        imported = 0
        streams = [path.open("rb") for path in files]
        try:
            for request in requests:
                place = places.pop(request.key, None)
                if place is None:
                    continue
                streams[place.file].seek(place.offset)
                imported += 1
                take(request, _reply(json.loads(streams[place.file].readline()), request))
        finally:
            for stream in streams:
                stream.close()
        known = f"; {len(places):,} were known already" if places else ""
        _say(tell, f"read {counted(imported, 'reply', 'replies')}{known}")

    return ask


def _say(tell: Tell | None, text: str) -> None:
    if tell is not None:
        tell(text)


def _request_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("requests-*.jsonl"))


def _number(path: Path) -> int:
    digits = path.stem.removeprefix("requests-")
    return int(digits) if digits.isdecimal() else 0


def _keys_of(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as stream:
        for line in stream:
            yield json.loads(line)["custom_id"]


def _openai_line(request: Request) -> dict[str, Any]:
    url = "/v1/chat/completions" if request.is_chat else "/v1/completions"
    return {"custom_id": _key(request), "method": "POST", "url": url, "body": request.body()}


def _mistral_line(request: Request) -> dict[str, Any]:
    body = request.body()
    refused = ("logprobs", "prompt", "max_completion_tokens")
    _refuse("Mistral", [name for name in refused if name in body])
    del body["model"]
    if "seed" in body:
        body["random_seed"] = body.pop("seed")
    return {"custom_id": _key(request), "body": body}


def _anthropic_line(request: Request) -> dict[str, Any]:
    wrong = [name for name in request.extra if name not in _ANTHROPIC_EXTRA]
    wrong += ["prompt"] * (not request.is_chat) + ["n"] * (request.n != 1)
    wrong += ["logprobs"] * (request.logprobs is not None)
    if request.max_tokens is None:
        wrong.append("a request without max_tokens")
    if request.temperature is not None and request.temperature > 1:
        wrong.append(f"temperature {request.temperature:g}")
    _refuse("Anthropic", wrong)
    system = [str(one["content"]) for one in request.messages if one["role"] == "system"]
    given = {
        "model": request.model,
        "max_tokens": request.max_tokens,
        "system": "\n\n".join(system) or None,
        "messages": [dict(one) for one in request.messages if one["role"] != "system"],
        "temperature": request.temperature,
        "top_p": request.top_p,
        "stop_sequences": list(request.stop) or None,
        **request.extra,
    }
    parameters = {name: value for name, value in given.items() if value is not None}
    return {"custom_id": _key(request), "params": parameters}


def _key(request: Request) -> str:
    if not request.key:
        raise MisuseError("a request without a key cannot be found again among the replies")
    return request.key


def _refuse(provider: str, wrong: Sequence[str]) -> None:
    if wrong:
        raise MisuseError(f"{provider}'s batches cannot honour {', '.join(wrong)}")


def _index(files: Sequence[Path], asked: set[str]) -> tuple[dict[str, _Place], list[str]]:
    """Return where the reply of each key is, a good one before a failed one, and what to say."""
    places: dict[str, _Place] = {}
    failed: set[str] = set()
    faults: list[Fault] = []
    notes: list[str] = []
    for number, path in enumerate(files):
        unknown = unreadable = matched = 0
        try:
            with path.open("rb") as stream:
                offset = 0
                for line in stream:
                    start, offset = offset, offset + len(line)
                    row = _row(line)
                    if row is None:
                        unreadable += bool(line.strip())
                    elif row["custom_id"] not in asked:
                        unknown += 1
                    else:
                        matched += 1
                        key, is_bad = row["custom_id"], _is_failure(row)
                        if key not in places or (key in failed and not is_bad):
                            places[key] = _Place(number, start)
                            (failed.add if is_bad else failed.discard)(key)
        except OSError as error:
            faults.append(Fault(str(path), f"cannot be read ({error.strerror})"))
            continue
        if not matched:
            what = f"none of its {unknown:,} replies was asked for from here" if unknown else ""
            wrong = what or "it holds no reply of a batch"
            remedy = "name the replies to the request files of this output folder"
            faults.append(Fault(str(path), wrong, "", remedy))
        if unknown and matched:
            left_out = counted(unknown, "reply", "replies")
            notes.append(f"{path}: {left_out} to other requests left out")
        if unreadable:
            notes.append(f"{path}: {counted(unreadable, 'line')} cannot be read (was it cut off?)")
    if faults:
        raise FaultsError(faults)
    return places, notes


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    is_reply = isinstance(row, dict) and isinstance(row.get("custom_id"), str)
    return row if is_reply and not {"body", "params"} & row.keys() else None


def _is_failure(row: Mapping[str, Any]) -> bool:
    if "result" in row:
        return _mapping(row["result"]).get("type") != "succeeded"
    response = _mapping(row.get("response"))
    return bool(row.get("error")) or _status(response) != 200


def _status(response: Mapping[str, Any]) -> Any:
    # some versions of `vllm run-batch` write the bare completion
    return 200 if "choices" in response else response.get("status_code")


def _reply(row: Mapping[str, Any], request: Request) -> Reply:
    if "result" in row:
        return _anthropic_reply(_mapping(row["result"]), request)
    response = _mapping(row.get("response"))
    if _is_failure(row):
        error = row.get("error") or response.get("body")
        status = f"HTTP {_status(response)}: " if _status(response) else ""
        return Reply(failure=f"{status}{_words(error)}"[:300])
    body = response if "choices" in response else response.get("body")
    return read_reply(json.dumps(body).encode(), request)


def _anthropic_reply(result: Mapping[str, Any], request: Request) -> Reply:
    if result.get("type") != "succeeded":
        error = result.get("error")
        return Reply(failure=f"{result.get('type')}: {_words(error)}"[:300] if error else
                     f"the provider says: {result.get('type')}")  # fmt: skip
    message = _mapping(result.get("message"))
    parts = [part for part in message.get("content") or () if isinstance(part, dict)]
    usage = _mapping(message.get("usage"))
    cached = usage.get("cache_read_input_tokens") or 0
    written = usage.get("cache_creation_input_tokens") or 0
    reason = str(message.get("stop_reason") or "")
    body = {
        "model": message.get("model"),
        "choices": [
            {
                "message": {
                    "content": "".join(str(p.get("text", "")) for p in parts),
                    "reasoning": "".join(str(p.get("thinking", "")) for p in parts),
                },
                "finish_reason": _ANTHROPIC_ENDS.get(reason, reason),
            }
        ],
        "usage": {
            "prompt_tokens": (usage.get("input_tokens") or 0) + cached + written,
            "completion_tokens": usage.get("output_tokens"),
            "prompt_tokens_details": {"cached_tokens": cached},
        },
    }
    return read_reply(json.dumps(body).encode(), request)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _words(error: Any) -> str:
    inner = _mapping(error)
    while isinstance(inner.get("error"), dict):
        inner = inner["error"]
    text = inner.get("message") or error
    return " ".join(str(text).split())
