"""Rows and test questions of the cell answer-only, seed 1, written without cotdistill.

python rows.py SVAMP_only_ans.json ASKED.jsonl TRAINED.jsonl

The last two only say which questions are asked and which are trained on.
"""

import json
import sys
from pathlib import Path

svamp, asked, trained = map(Path, sys.argv[1:])
asked_of = {json.loads(line)["question"] for line in asked.read_text().splitlines()}
trained_on = {json.loads(line)["instruction"] for line in trained.read_text().splitlines()}
rows = [(row["instruction"], row["output"]) for row in json.loads(svamp.read_text())]
assert not asked_of & trained_on
train = [
    {"instruction": question, "output": f"The answer is {answer}."}
    for question, answer in rows
    if question in trained_on
]
test = [{"question": one, "answer": answer} for one, answer in rows if one in asked_of]
columns = {"prompt": "instruction", "response": "output"}
registry = {"by_hand": {"file_name": "train.json", "columns": columns}}
Path("train.json").write_text(json.dumps(train))
Path("test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in test))
Path("dataset_info.json").write_text(json.dumps(registry))
