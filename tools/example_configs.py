"""Generate the example configs in templates/examples/, one for each template.

.venv/bin/python tools/example_configs.py          # writes them
.venv/bin/python tools/example_configs.py --check  # exits 1 if one would change

They are what `cotdistill generate` writes for one small study, with paths relative to the top of a
checkout in place of a run folder's.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from cotdistill.files.yamls import dump_yaml
from cotdistill.runfolder.generate import generate
from cotdistill.runfolder.manifest import read_manifest

TEMPLATES = Path(__file__).resolve().parents[1] / "templates"
FOLDER = TEMPLATES / "examples"
OUTPUTS = "runs/examples"
STUDENT = "Qwen2.5-0.5B-Instruct"
RATES = {"full": 1.0e-5, "lora": 1.0e-4, "qlora": 1.0e-4}
ABOUT = """\
# An example as `cotdistill generate` writes it; start it at the top of a checkout. Elsewhere:
#   EXAMPLES="$(cotdistill path templates)/examples"
#   {elsewhere}
"""
ELSEWHERE = {
    "train": 'llamafactory-cli train "$EXAMPLES/{name}" '
    'dataset_dir="$(cotdistill path dataset_info)"',
    "export": 'llamafactory-cli export "$EXAMPLES/{name}"',
    "eval": 'lm-eval run --config "$EXAMPLES/{name}" '
    '--include_path "$(cotdistill path task_configs)"',
}


def names_of(kind: str) -> list[str]:
    """Return the names of the templates of one kind."""
    files = (TEMPLATES / kind).glob("[!_]*.yaml.j2")
    return sorted(path.name.removesuffix(".yaml.j2") for path in files)


def examples() -> dict[str, str]:
    """Return every example by its path below the folder of examples."""
    found: dict[str, str] = {}
    for backend in names_of("eval"):
        with tempfile.TemporaryDirectory(prefix="cotdistill-") as made:
            folder = Path(made).resolve()
            study = folder / "examples.yaml"
            study.write_text(dump_yaml(_study(backend)), encoding="utf-8")
            root = folder / "run"
            generate(str(study), root)
            for run in read_manifest(root):
                files = run.files
                paths = {
                    files.train: f"train/{run.recipe}.yaml",
                    files.eval: f"eval/{backend}.yaml",
                }
                if files.export:
                    paths[files.export] = f"export/{run.recipe}.yaml"
                for file, name in paths.items():
                    kind, _, template = name.partition("/")
                    if kind == "export" and f"{template.removesuffix('.yaml')}" not in names_of(
                        kind
                    ):
                        continue  # QLoRA's adapter is merged with the same template as LoRA's
                    if file and (kind != "eval" or run.recipe == "full"):
                        text = (root / file).read_text(encoding="utf-8")
                        found[name] = _placed(text, name, root, paths)
    return dict(sorted(found.items()))


def _study(backend: str) -> dict[str, Any]:
    recipes = {
        name: {
            "template": name,
            "epochs": 3,
            "learning_rate": RATES[name],
            "global_batch": 16,
            "per_device_batch": 2,
            "cutoff_len": 2048,
        }
        for name in names_of("train")
    }
    return {
        "schema_version": 2,
        "name": "examples",
        "students": [STUDENT],
        "arms": {"gsm8k": {"dataset": "gsm8k"}},
        "recipes": recipes,
        "evaluation": {"tasks": ["cot_gsm8k"], "backend": backend},
        "hardware": {"gpus": 1},
    }


def _placed(text: str, name: str, root: Path, paths: dict[str, str]) -> str:
    """Return a generated file with a checkout's paths in place of its run folder's."""
    for file, example in paths.items():
        text = text.replace(f"{root}/{file}", f"templates/examples/{example}")
        text = text.replace(f" {file}", f" templates/examples/{example}")
    text = text.replace(f"dataset_dir: {root}\n", "dataset_dir: dataset_info\n")
    text = text.replace(f"{root}/packaged/task_configs", "task_configs")
    text = text.replace(str(root), OUTPUTS)
    elsewhere = ELSEWHERE[name.partition("/")[0]].format(name=name)
    return ABOUT.format(elsewhere=elsewhere) + text


def write(check: bool) -> int:
    """Write the examples, or only report those that are out of date; return the exit status."""
    made = examples()
    there = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.yaml")}
    stale = sorted(there - set(made))
    for name, text in made.items():
        path = FOLDER / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for name in stale:
        if not check and name not in made:
            (FOLDER / name).unlink()
        sys.stderr.write(f"{'out of date' if check else 'wrote'}: templates/examples/{name}\n")
    return int(check and bool(stale))


if __name__ == "__main__":
    raise SystemExit(write("--check" in sys.argv[1:]))
