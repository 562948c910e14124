"""Rows and test questions of the cell level-6, seed 1, written without cotdistill.

python rows.py LEVEL_6 ANSWERS GSM8K ASKED TRAINED

The first three are SVAMP_ChatGPT_level6_ranked.json, SVAMP_only_ans.json and GSM8K's test
questions; the last two, data/dev/svamp.jsonl and data/level-6.jsonl of the study, only say which
questions are asked and which are trained on.
"""

import json
import sys
from pathlib import Path

level_6, answers, gsm8k, asked, trained = map(Path, sys.argv[1:])


def lines(path):
    """Return the rows of a file of JSON Lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]


asked_of = {row["question"] for row in lines(asked)}
trained_on = {row["instruction"] for row in lines(trained)}
assert not asked_of & trained_on
train = [
    {"instruction": row["instruction"], "output": row["output"].strip()}
    for row in json.loads(level_6.read_text())
    if row["instruction"] in trained_on
]
svamp = [
    {"question": row["instruction"], "answer": row["output"]}
    for row in json.loads(answers.read_text())
    if row["instruction"] in asked_of
]
hard = [
    {"question": row["question"], "answer": row["answer"].split("####")[1].strip()}
    for row in lines(gsm8k)[:200]
]
columns = {"prompt": "instruction", "response": "output"}
registry = {"by_hand": {"file_name": "train.json", "columns": columns}}
Path("train.json").write_text(json.dumps(train))
Path("dataset_info.json").write_text(json.dumps(registry))
for name, rows in {"svamp": svamp, "gsm8k": hard}.items():
    Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
