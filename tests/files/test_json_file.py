"""A file of JSON that cannot be read is one line that names it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cotdistill.errors import DataError
from cotdistill.files.json_file import read_json, read_object


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b'{"a":\n1', "a.json:2: not JSON (Expecting ',' delimiter)"),
        (b"\xff\xfe", "a.json: not UTF-8"),
        (b"[" * 50_000, "a.json: nested too deep"),
        (b"9" * 5_000, "a.json: not JSON (a number of more than 4,300 digits)"),
        (None, "a.json: no such file"),
    ],
)
def test_what_is_wrong_is_said_with_the_place(
    data: bytes | None, fault: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.json"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(DataError) as raised:
        read_json(path, "a ledger", "make it again")
    assert str(raised.value) == f"{tmp_path}/{fault}; expected a ledger; make it again"


def test_a_folder_is_not_read_and_a_list_is_no_object(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_json(tmp_path)
    (tmp_path / "a.json").write_text("[]", encoding="utf-8")
    assert read_json(tmp_path / "a.json") == []
    with pytest.raises(DataError, match="not a JSON object"):
        read_object(tmp_path / "a.json")
