"""Progress bars of the hosts, as tqdm writes them into a log."""

from __future__ import annotations

from pathlib import Path

import pytest

from cotdistill.hosts.progress_bar import Bar, last_bar


@pytest.mark.parametrize(
    ("text", "bar"),
    [
        ("  1%|          | 2/200 [04:10<6:52:30, 125.00s/it]", Bar("", 2, 200, "6:52:30")),
        ("  0%|          | 0/200 [00:00<?, ?it/s]", Bar("", 0, 200, "")),
        (
            "Running tokenizer on dataset (num_proc=8):  16%|█▌   | 1000/6400 [00:00<00:01, "
            "5042.86 examples/s]",
            Bar("Running tokenizer on dataset (num_proc=8)", 1000, 6400, "00:01"),
        ),
        (
            "Running generate_until requests:  50%|█████     | 101/200 [00:00<00:00, 332.68it/s]",
            Bar("Running generate_until requests", 101, 200, "00:00"),
        ),
    ],
)
def test_a_bar_says_what_it_counts_and_how_far_it_is(tmp_path: Path, text: str, bar: Bar) -> None:
    log = tmp_path / "log"
    log.write_text(f"loading\n  7%|#     | 5/70 [00:01<00:10,  9.99it/s]\r{text}")
    assert last_bar(log) == bar


def test_bars_of_an_earlier_attempt_do_not_count(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(" 50%|###   | 5/10 [00:01<00:01,  5.00it/s]\n")
    size = log.stat().st_size
    with log.open("a") as stream:
        stream.write("=== train one\nloading\n")
    assert last_bar(log, size) is None
    assert last_bar(tmp_path / "none") is None


def test_a_long_line_before_a_bar_takes_no_time(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("x " * 8000 + "\n  1%|          | 2/200 [04:10<6:52:30, 125.00s/it]\r")
    for _ in range(50):  # each of them took a quarter of a second
        assert last_bar(log) == Bar("", 2, 200, "6:52:30")
