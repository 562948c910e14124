"""Stand-ins for LLaMA-Factory and lm-eval that leave what the hosts would leave, in a moment."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

HOSTS = {
    # both copy the student, which is a real model
    "llamafactory-cli": """
import json, pathlib, shutil, sys, yaml
verb, file, *_ = sys.argv[1:]
settings = yaml.safe_load(open(file))
if verb == "export":
    shutil.copytree(settings["model_name_or_path"], settings["export_dir"], dirs_exist_ok=True)
else:
    output = pathlib.Path(settings["output_dir"])
    shutil.copytree(settings["model_name_or_path"], output, dirs_exist_ok=True)
    results = json.dumps({"train_runtime": 1.5, "train_loss": 0.5})
    (output / "train_results.json").write_text(results)
""",
    "lm-eval": """
import json, pathlib, sys, yaml
settings = yaml.safe_load(open(sys.argv[sys.argv.index("--config") + 1]))
output = pathlib.Path(settings["output_path"]) / "model"
output.mkdir(parents=True)
(task,) = settings["tasks"]
stamp = "2026-01-01T00-00-00.000001"
scores = {"results": {task: {"exact_match,none": 0.5}}}
(output / f"results_{stamp}.json").write_text(json.dumps(scores))
row = {"doc": {"question": "q"}, "doc_id": 0, "resps": [["1"]], "filtered_resps": ["1"],
       "filter": "none", "target": "1", "arguments": {"gen_args_0": {"arg_0": "q"}},
       "exact_match": 0.5, "metrics": ["exact_match"]}
(output / f"samples_{task}_{stamp}.jsonl").write_text(json.dumps(row) + "\\n")
""",
}


def with_stand_ins(folder: Path) -> dict[str, str]:
    """Write the stand-ins into a folder, and return an environment that finds them first."""
    folder.mkdir()
    for name, code in HOSTS.items():
        (folder / name).write_text(f"#!{sys.executable}\n{code}")
        (folder / name).chmod(stat.S_IRWXU)
    return os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
