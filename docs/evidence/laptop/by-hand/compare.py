"""Compare the answers of two evaluations of the same questions, written without cotdistill.

python compare.py STUDY_SAMPLES HAND_SAMPLES

Writes a row a question, without any text: a hash of the question, whether prompt and response are
the same, and both verdicts.
"""

import hashlib
import json
import sys
from pathlib import Path


def by_question(path):
    """Return prompt, response and verdict of each question of a file of samples."""
    found = {}
    for line in Path(path).read_text().splitlines():
        row = json.loads(line)
        prompt = row["arguments"]["gen_args_0"]["arg_0"]
        found[row["doc"]["question"]] = (prompt, row["resps"][0][0], int(row["exact_match"]))
    return found


study, hand = map(by_question, sys.argv[1:])
assert study.keys() == hand.keys()
lines = ["question,same_prompt,same_response,study,hand"]
for question in sorted(study):
    ours, theirs = study[question], hand[question]
    digest = hashlib.sha256(question.encode()).hexdigest()[:12]
    same = f"{int(ours[0] == theirs[0])},{int(ours[1] == theirs[1])}"
    lines.append(f"{digest},{same},{ours[2]},{theirs[2]}")
sys.stdout.write("\n".join(lines) + "\n")
