"""Rows and test questions of the cell answer-only, seed 1, written without cotdistill.

python rows.py SVAMP_only_ans.json HELD_OUT.jsonl    # the questions that are not trained on
"""

import json
import sys
from pathlib import Path

svamp, held_out = map(Path, sys.argv[1:])
kept = {json.loads(line)["question"] for line in held_out.read_text().splitlines()}
rows = [(row["instruction"], row["output"]) for row in json.loads(svamp.read_text())]
trained = [
    {"instruction": asked, "output": f"The answer is {answer}."}
    for asked, answer in rows
    if asked not in kept
]
test = [{"question": asked, "answer": answer} for asked, answer in rows if asked in kept]
columns = {"prompt": "instruction", "response": "output"}
registry = {"by_hand": {"file_name": "train.json", "columns": columns}}
Path("train.json").write_text(json.dumps(trained))
Path("test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in test))
Path("dataset_info.json").write_text(json.dumps(registry))
