"""A tiny bundle as somebody else would write it: one of everything."""

from __future__ import annotations

import json
from pathlib import Path

BENCHMARK = """name: sums
about: Sums of two small numbers
licence: MIT
kind: number
rows: {test: [3]}
shapes:
  - {has: [a, b, sum], question: "a ~ ' + ' ~ b ~ ' = ?'", gold: sum}
examples:
  - {a: 1, b: 2, sum: 3}
"""

TASK = """# Sums of two small numbers.
task: their_sums
output_type: generate_until
custom_dataset: !function cotdistill.task_hooks.load_questions
dataset_kwargs: {benchmark: sums}
test_split: test
doc_to_text: "{{question}}"
doc_to_target: "{{gold}}"
num_fewshot: 0
generation_kwargs: {until: [], max_gen_toks: 8, do_sample: false, temperature: 0.0, seed: null}
repeats: 1
filter_list:
  - {name: none, filter: [{function: custom, filter_fn: !function cotdistill.task_hooks.keep_all}]}
process_results: !function cotdistill.task_hooks.grade_responses
metric_list: !function cotdistill.task_hooks.METRICS
metadata: {version: 1.0}
"""

STUDENT = """Their-1B:
  model: their/one-billion
  template: qwen
  parameters: 1.0
  context: 4096
  licence: MIT
"""

REGISTRATION = {
    "their_rows": {
        "file_name": "rows.jsonl",
        "columns": {"prompt": "q", "response": "a"},
        "_about": {"licence": "MIT", "source": "made up", "rows": 4},
    }
}

TEMPLATE = """# Full fine-tuning with their settings: {{ student }} on {{ arm }}.
# Run it:  {{ command }}
{{ line("model_name_or_path", model) }}
{{ line("stage", "sft") }}
{{ line("do_train", true) }}
{{ line("finetuning_type", "full") }}
{{ line("optim", "adamw_torch") }}
{% include "train/_data_and_schedule.j2" %}
"""

STUDY = """name: theirs
students:
  - {name: tiny, scratch: {hidden_size: 32, heads: 2, layers: 1, context: 128}}
arms: {rows: {dataset: their_rows}}
recipes:
  theirs:
    {template: theirs, max_steps: 2, global_batch: 4, per_device_batch: 4, cutoff_len: 64,
     precision: fp32}
evaluation: {tasks: [their_sums], batch_size: 4}
hardware: {gpus: 0}
"""

FILES = {
    "dataset_info/benchmarks/sums.yaml": BENCHMARK,
    "dataset_info/dataset_info.json": json.dumps(REGISTRATION),
    "dataset_info/rows.jsonl": "".join(
        json.dumps({"q": f"{n} + 1 = ?", "a": f"The answer is {n + 1}."}) + "\n" for n in range(4)
    ),
    "task_configs/sums.yaml": TASK,
    "templates/students.yaml": STUDENT,
    "templates/train/theirs.yaml.j2": TEMPLATE,
    "studies/theirs.yaml": STUDY,
}

QUESTIONS = "".join(json.dumps({"a": n, "b": 1, "sum": n + 1}) + "\n" for n in range(3))


def write_bundle(root: Path, *without: str) -> Path:
    """Write the bundle into a folder, without the files whose names begin with a prefix given."""
    for name, text in FILES.items():
        if not name.startswith(without):
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return root
