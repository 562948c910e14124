"""A study that ends with the judge, from its file to the report of the judge's verdicts."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from cotdistill.cli.main import main
from scripted_server import Answer, serving

EVALUATION = """
import json, pathlib, sys, yaml
settings = yaml.safe_load(open(sys.argv[sys.argv.index("--config") + 1]))
output = pathlib.Path(settings["output_path"]) / "model"
output.mkdir(parents=True)
stamp = "2026-01-01T00-00-00.000001"
scores = {"results": {"cot_puzzles_ball": {"exact_match,none": 0.5}}}
(output / f"results_{stamp}.json").write_text(json.dumps(scores))
with open(output / f"samples_cot_puzzles_ball_{stamp}.jsonl", "w") as stream:
    for number, text in enumerate(["The answer is 4", "It is four, I believe: IV"]):
        doc = {"id": f"q{number}", "question": f"{number} + 4 - {number}?", "gold": "4",
               "kind": "number"}
        row = {"doc_id": number, "doc": doc, "target": "4", "filter": "none",
               "arguments": {"gen_args_0": {"arg_0": doc["question"], "arg_1": {}}},
               "resps": [[text]], "filtered_resps": [text], "exact_match": float(number == 0),
               "metrics": ["exact_match"], "doc_hash": f"d{number}", "prompt_hash": f"p{number}"}
        stream.write(json.dumps(row) + "\\n")
"""


@dataclass
class Judge:
    """Refuses its key until it is let in, then takes every answer for correct."""

    is_open: bool = False

    def decide(self, _body: dict[str, Any], _before: int) -> Answer:
        return json.dumps({"verdict": "correct", "reason": "4"}) if self.is_open else 401


@pytest.mark.host
def test_a_study_s_judge_is_asked_after_the_evaluations_and_has_a_report_of_its_own(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stand_in, run = tmp_path / "evaluate.py", tmp_path / "run"
    stand_in.write_text(EVALUATION, encoding="utf-8")
    opinion = Judge()
    with serving(opinion.decide) as judge:
        study = {
            "schema_version": 2,
            "name": "judged",
            "models": {
                "one": {"model": "Org/One", "template": "qwen", "context": 4096},
                "judge": {"endpoint": judge.url, "model": "Org/Judge"},
            },
            "students": ["one"],
            "arms": {"untouched": {"train": "none"}},
            "recipes": {"full": {"epochs": 1}},
            "evaluation": {"tasks": ["cot_puzzles_ball"], "generation": {"max_gen_toks": 64}},
            "judge": {"model": "judge", "audit": 1.0},
            "environments": {"evaluate": f"{sys.executable} {stand_in}"},
            "hardware": {"gpus": 0},
        }
        (tmp_path / "s.yaml").write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
        assert main(["generate", str(tmp_path / "s.yaml"), "-o", str(run)]) == 0
        assert main(["run", str(run)]) == 1
        assert "failed judge scores" in capfd.readouterr().err
        assert (run / "done" / "evaluate" / "one--untouched.json").is_file()
        opinion.is_open = True
        judge.bodies.clear()
        for _ in range(2):  # the second time, nothing is left to be asked
            assert main(["run", str(run)]) == 0
            assert len(judge.bodies) == 2
    table = (run / "report" / "report.md").read_text(encoding="utf-8")
    judged = (run / "report" / "judged" / "report.md").read_text(encoding="utf-8")
    assert "50.0" in table
    assert "100.0" in judged
    assert "100.0" not in table.partition("|")[2].partition("\n\n")[0]
