"""What a row holds besides question and response is kept, or refused, and counted by its name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cotdistill.cli.main import main
from cotdistill.corpus.records.import_traces import import_source
from cotdistill.corpus.records.row_reader import RowReader
from cotdistill.corpus.records.shape import ReadColumns, RefusedRowError, SourceInfo
from cotdistill.corpus.records.sources import find_sources
from cotdistill.corpus.records.trace import Trace, target
from cotdistill.files.ledger import read_ledger
from trace_rows import read_jsonl, write_jsonl

ASKED, STEPS, ANSWER = "Bo has 3 pens and finds 4. How many?", "3 and 4 make 7.", "It is 7."
THOUGHT = f"<think>\n{STEPS}\n</think>\n\n{ANSWER}"

Row = dict[str, Any]


def turns(**response: Any) -> list[Row]:
    """One question and its answer; more fields of the answer, or others of its values."""
    return [
        {"role": "user", "content": ASKED},
        {"role": "assistant", "content": ANSWER, **response},
    ]


def chat(*, more: Row | None = None, **response: Any) -> Row:
    return {"messages": turns(**response), **(more or {})}


def alpaca(**more: Any) -> Row:
    return {"instruction": ASKED, "input": "", "output": ANSWER, **more}


def read(row: Row, **info: Any) -> tuple[Trace, RowReader]:
    reader = RowReader(SourceInfo("pens", **info))
    (trace,), _ = reader.read(row)
    return trace, reader


def refusal(row: Row, **info: Any) -> tuple[str, str]:
    with pytest.raises(RefusedRowError) as caught:
        RowReader(SourceInfo("pens", **info)).read(row)
    return caught.value.rule, caught.value.why


@pytest.mark.parametrize(
    ("row", "name"),
    [
        (chat(reasoning_content=STEPS), "reasoning_content"),
        (chat(reasoning=STEPS), "reasoning"),
        (chat(thinking=STEPS), "thinking"),
        (chat(reasoning_details=[{"type": "reasoning.text", "text": STEPS}]), "reasoning_details"),
        (chat(more={"reasoning": STEPS}), "reasoning"),
        ({"conversations": [{"from": "human", "value": ASKED},
                            {"from": "gpt", "value": ANSWER, "thinking": STEPS}]}, "thinking"),
        (alpaca(reasoning=STEPS), "reasoning"),
        (alpaca(thought=[STEPS]), "thought"),
        ({"prompt": ASKED, "completion": ANSWER, "reasoning_content": STEPS}, "reasoning_content"),
        ({"problem": ASKED, "solution": ANSWER, "thinking": STEPS}, "thinking"),
        ({"question": ASKED, "answer": ANSWER, "reasoning": STEPS}, "reasoning"),
    ],
)  # fmt: skip
def test_reasoning_kept_apart_is_written_before_the_response(row: Row, name: str) -> None:
    trace, reader = read(row)
    assert (trace.question, target(trace)) == (ASKED, THOUGHT)
    assert reader.fields.as_notes() == {"kept": {name: 1}}


def test_reasoning_before_a_bare_answer_is_kept_with_it() -> None:
    trace, _ = read({"question": ASKED, "answer": 7, "reasoning": STEPS})
    assert (trace.gold, trace.rationale) == ("7", f"<think>\n{STEPS}\n</think>\n\n7")


def test_thoughts_among_the_parts_of_a_turn_are_kept() -> None:
    parts = [{"type": "thinking", "thinking": STEPS}, {"type": "text", "text": ANSWER}]
    assert read(chat(content=parts))[0].rationale == THOUGHT


def test_reasoning_can_be_plain_text_or_left_out_and_is_counted() -> None:
    trace, reader = read(alpaca(reasoning=STEPS), reasoning="plain")
    assert trace.rationale == f"{STEPS}\n\n{ANSWER}"
    trace, reader = read(alpaca(reasoning=STEPS), reasoning="drop")
    assert trace.rationale == ANSWER
    assert reader.fields.as_notes() == {"left_out": {"reasoning": 1}}


def test_a_thought_that_the_response_has_already_is_not_written_twice() -> None:
    row = chat(content=THOUGHT, reasoning_content=STEPS, reasoning=STEPS)
    assert read(row)[0].rationale == THOUGHT
    other = chat(content=THOUGHT, reasoning_content="4 more than 3 is 7.")
    assert refusal(other)[0] == "unsupported_content"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"question": ASKED, "rationale": STEPS, "answer": "7"}, f"{STEPS}\nThe answer is 7"),
        ({"instruction": ASKED, "cot": STEPS, "output": "The answer is 7."},
         f"{STEPS}\nThe answer is 7."),
        ({"question": ASKED, "chain_of_thought": STEPS}, STEPS),
    ],
)  # fmt: skip
def test_a_chain_in_a_column_of_its_own_comes_before_the_answer(row: Row, expected: str) -> None:
    assert target(read(row)[0]) == expected


def test_a_response_that_is_named_leaves_other_columns_out_and_says_so() -> None:
    """Two arms may read one file: one its rationales, one its bare answers."""
    row = {"q": ASKED, "answer": "7", "reasoning": STEPS, "system": "Be brief."}
    trace, reader = read(row, columns=ReadColumns("q", response="answer"))
    assert (trace.rationale, trace.meta) == ("7", {})
    assert reader.fields.as_notes() == {"not_read": {"reasoning": 1, "system": 1}}
    trace, reader = read(row, columns=ReadColumns("q", response="answer", reasoning="reasoning"))
    assert trace.rationale == f"<think>\n{STEPS}\n</think>\n\n7"


def test_a_system_prompt_goes_with_its_row() -> None:
    trace, reader = read(alpaca(system="Be brief."))
    assert trace.meta["system"] == "Be brief."
    assert reader.fields.as_notes() == {"kept": {"system": 1}}
    opening = {"role": "system", "content": "Be brief."}
    assert read({"messages": [opening, *turns()]})[0].meta["system"] == "Be brief."
    both = {"messages": [opening, *turns()], "system": "Be long."}
    assert refusal(both) == (
        "unsupported_content", "a system prompt in 'system' and another in its turns",
    )  # fmt: skip


def test_what_a_question_is_about_is_part_of_it() -> None:
    row = {"passage": "Bo has 3 pens.", "question": "How many?", "answer": "3"}
    assert read(row)[0].question == "Bo has 3 pens.\n\nHow many?"
    row = {"question": "What is in it?", "choices": ["ink", "air"], "answer": "A"}
    assert read(row)[0].question == "What is in it?\n\nA. ink\nB. air"
    row = {"question": "How many pens?", "input": "Bo has 3 pens.", "answer": "3"}
    trace, reader = read(row)
    assert trace.question == "How many pens?\nBo has 3 pens."
    assert reader.fields.as_notes() == {"kept": {"input": 1}}


@pytest.mark.parametrize(
    ("row", "rule", "why"),
    [
        (alpaca(history=[["Hi", "Hello"]]), "several_turns", "earlier turns in 'history'"),
        ({"messages": turns() * 2}, "several_turns", "4 turns (user, assistant, user, assistant)"),
        ({"messages": turns()[:1]}, "several_turns", "1 turns (user)"),
        (chat(weight=0), "not_a_target", "'weight' is 0"),
        (chat(more={"weight": 0.0}), "not_a_target", "'weight' is 0"),
        (chat(loss=False), "not_a_target", "'loss' is False"),
        (chat(more={"label": False}), "not_a_target", "'label' is false"),
        (chat(more={"label": 0}), "not_a_target", "'label' is false"),
        (alpaca(label=False), "not_a_target", "'label' is false"),
        (alpaca(kto_tag="false"), "not_a_target", "'kto_tag' is false"),
        ({"prompt": ASKED, "completion": ANSWER, "label": False}, "not_a_target", "'label'"),
        (alpaca(tools='[{"name": "add"}]'), "unsupported_content", "'tools'"),
        (chat(tool_calls=[{"id": 1}]), "unsupported_content", "'tool_calls'"),
        (chat(more={"images": ["a.png"]}), "unsupported_content", "'images'"),
        (chat(content=[{"type": "image_url", "image_url": "a"}]), "unsupported_content", "a part"),
        (chat(content=""), "empty_rationale", "an empty response"),
        (chat(content=" \n", reasoning=STEPS), "empty_rationale", "'reasoning' and no response"),
        (chat(content=None, reasoning=STEPS), "empty_rationale", "'reasoning' and no response"),
        (chat(content=None), "missing_column", "a turn without text"),
        (alpaca(output=""), "empty_rationale", "no text in column 'output'"),
        (alpaca(output=None), "missing_column", "no column 'output'"),
        ({"messages": [{"role": "user", "content": " "}, turns()[1]]}, "missing_column", "no text"),
        ({"prompt": ASKED, "chosen": ANSWER, "rejected": "8"}, "missing_column", "no column"),
        ({"text": ASKED}, "missing_column", "no column of a question (instruction, question"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_target_is_refused_with_its_field(row: Row, rule: str, why: str) -> None:
    found = refusal(row)
    assert found[0] == rule
    assert why in found[1]


@pytest.mark.parametrize(
    "row",
    [
        alpaca(history=[], tools="[]", label=True, system="", images=None),
        chat(weight=1, tool_calls=[], reasoning_content=None, more={"history": None}),
        {"messages": [{**turns()[0], "weight": 0}, turns()[1]]},
    ],
)
def test_empty_fields_and_marks_of_good_rows_change_nothing(row: Row) -> None:
    trace, reader = read(row)
    assert (trace.question, trace.rationale, trace.meta) == (ASKED, ANSWER, {})
    assert reader.fields.as_notes() == {}


def test_a_gold_next_to_turns_is_read() -> None:
    assert read(chat(more={"answer": 7}))[0].gold == "7"


def test_rows_of_a_file_may_lack_what_is_optional_and_nothing_else() -> None:
    reader = RowReader(SourceInfo())
    reader.read({"instruction": ASKED, "output": ANSWER, "answer": "7"})
    reader.read({"instruction": ASKED, "output": ANSWER})
    with pytest.raises(RefusedRowError, match="not of the file's shape \\(micota\\)"):
        reader.read({"problem": ASKED, "solution": ANSWER})


def test_an_import_leaves_a_folder_that_another_is_about_to_write_into(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "pens.jsonl", [alpaca(), chat()])
    (source,) = find_sources([path])
    out = tmp_path / "out"
    for name in ("refused", "questions"):
        (out / name).mkdir(parents=True)
    import_source(source, out)
    assert {name.name for name in out.iterdir() if name.is_dir()} == {"refused", "questions"}


def test_traces_are_imported_by_several_programs_into_one_folder_at_once(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "pens.jsonl", [alpaca(), {"instruction": ASKED}, alpaca()])
    words = ["import-traces", str(path), "-o"]
    assert main([*words, str(tmp_path / "alone")]) == 0
    command = [sys.executable, "-m", "cotdistill", *words, str(tmp_path / "out")]
    started = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [program.wait() for program in started] == [0, 0, 0]
    for name in ("pens.jsonl", "refused/pens.jsonl"):
        assert read_jsonl(tmp_path / "out" / name) == read_jsonl(tmp_path / "alone" / name)


def test_an_import_counts_fields_and_refuses_rows_by_rule(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        chat(reasoning_content=STEPS, more={"source": "web"}),
        chat(weight=0),
        {"messages": turns() * 2},
        chat(more={"source": "book"}),
    ]
    path = write_jsonl(tmp_path / "pens.jsonl", rows)
    assert main(["import-traces", str(path), "-o", str(tmp_path / "out")]) == 0
    written = capsys.readouterr()
    assert "1 not_a_target, 1 several_turns" in written.out
    assert "pens.jsonl: kept: reasoning_content (1 row)\n" in written.err
    assert "pens.jsonl: not read: source (2 rows)\n" in written.err
    ledger = read_ledger(tmp_path / "out" / "pens.jsonl")
    assert ledger.counts == {"kept": 2, "not_a_target": 1, "several_turns": 1}
    assert ledger.notes["fields"] == {"kept": {"reasoning_content": 1}, "not_read": {"source": 2}}


def test_lint_names_the_fields_that_are_not_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [chat(more={"rating": 5}), chat(weight=0)]
    path = write_jsonl(tmp_path / "pens.jsonl", rows)
    assert main(["lint", str(path), "--no-near"]) == 1
    written = capsys.readouterr()
    assert "not_a_target: 1 row " in written.out
    assert "'weight' is 0: not to be trained on" in written.out
    assert f"{path}: not read: rating (1 row)\n" in written.err
    main(["lint", str(path), "--no-near", "--json"])
    assert json.loads(capsys.readouterr().out)["fields"] == [f"{path}: not read: rating (1 row)"]


def test_a_mix_carries_system_prompts_in_every_format(tmp_path: Path) -> None:
    rows = [alpaca(system="Be brief."), alpaca(output="Seven.")]
    (source,) = find_sources([write_jsonl(tmp_path / "pens.jsonl", rows)])
    import_source(source, tmp_path / "out")
    for form in ("alpaca", "sharegpt", "messages", "traces"):
        out = tmp_path / f"{form}.jsonl"
        words = [f"a={tmp_path / 'out' / 'pens.jsonl'}=1", "-o", str(out), "--format", form]
        assert main(["mix", *words]) == 0
        mixed = read_jsonl(out)
        assert len({tuple(row) for row in mixed}) == 1  # the same columns in every row
        assert sum("Be brief." in json.dumps(row) for row in mixed) == 1
