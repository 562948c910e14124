"""Tables on a terminal never cut a cell, however narrow it is."""

import os
import pty
import subprocess
import sys

from cotdistill.cli.tables import pieces

CODE = (
    "from cotdistill.cli.tables import show_table; from cotdistill.tables import Table; "
    "columns = ('arm', 'task', 'score %', '95 % interval', 'questions', 'last loss'); "
    "row = ('answer-only', 'cot_puzzles_ball', '26.0', '20.4 - 32.5', '200', '0.198'); "
    "show_table(Table(columns, (row, row), ('a [note]',)))"
)


WORDS = (
    "from cotdistill.cli.tables import show_table; from cotdistill.tables import Table; "
    "show_table(Table(('template', 'about'), (('train/lora.yaml', 'LoRA fine-tuning of a student '"
    " 'with adapters in every linear layer, merged afterwards'),), ()))"
)


def on_terminal(columns: int, code: str = CODE) -> str:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm"}
    done = subprocess.Popen([sys.executable, "-c", code], stdout=theirs, env=environment)
    os.close(theirs)
    output = b""
    try:
        while piece := os.read(ours, 4096):
            output += piece
    except OSError:  # the other end is closed: Linux says so with an error
        pass
    os.close(ours)
    assert done.wait() == 0
    return output.decode()


def test_a_narrow_terminal_gets_a_second_table_instead_of_cut_cells() -> None:
    wide, narrow = on_terminal(120), on_terminal(60)
    for text in (wide, narrow):
        assert "…" not in text
        assert "20.4 - 32.5" in text
        assert "a [note]" in text
    assert wide.count("cot_puzzles_ball") == 2
    assert narrow.count("cot_puzzles_ball") == 4


def test_long_words_in_the_last_column_go_on_below_it() -> None:
    lines = on_terminal(50, WORDS).splitlines()
    assert max(map(len, lines)) <= 50 + len("\x1b[2m\x1b[0m")
    assert " ".join(" ".join(lines).split()).endswith(
        "LoRA fine-tuning of a student with adapters in every linear layer, merged afterwards"
    )


def test_every_column_is_shown_once() -> None:
    for room in (10, 40, 80, 200):
        shown = [place for piece in pieces([9, 9, 20, 20, 20, 5], 2, room) for place in piece[2:]]
        assert shown == [2, 3, 4, 5]
