"""The shipped examples: what `generate` writes, one for each template, accepted by the hosts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cotdistill.files.yamls import read_yaml
from cotdistill.hosts.llamafactory.arguments import accepted_by_llamafactory
from cotdistill.hosts.lm_eval.task_files import packaged_tasks
from tiny_models import build, write_rows

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "templates" / "examples"


def test_the_examples_are_what_generate_writes() -> None:
    script = ROOT / "tools" / "example_configs.py"
    done = subprocess.run(
        [sys.executable, str(script), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stderr}run: .venv/bin/python tools/example_configs.py"


@pytest.mark.parametrize("kind", ["train", "export", "eval"])
def test_every_template_has_an_example(kind: str) -> None:
    templates = {path.name.split(".")[0] for path in (ROOT / "templates" / kind).glob("[!_]*.j2")}
    assert templates
    assert {path.stem for path in (EXAMPLES / kind).glob("*.yaml")} == templates


def test_examples_name_what_a_checkout_has_and_no_machine(tmp_path: Path) -> None:
    registered = json.loads((ROOT / "dataset_info" / "dataset_info.json").read_text())
    for path in EXAMPLES.glob("train/*.yaml"):
        config = read_yaml(path)
        assert (ROOT / config["dataset_dir"] / "dataset_info.json").is_file()
        assert config["dataset"] in registered
        assert f"templates/examples/train/{path.name}" in path.read_text()
    for path in EXAMPLES.glob("eval/*.yaml"):
        config = read_yaml(path)
        assert (ROOT / config["include_path"]).is_dir()
        assert set(config["tasks"]) <= set(packaged_tasks())
    for path in EXAMPLES.rglob("*.yaml"):
        assert str(ROOT) not in path.read_text()
        assert str(tmp_path.parents[2]) not in path.read_text()


@pytest.mark.host
def test_llamafactory_s_own_parser_accepts_them(tmp_path: Path) -> None:
    files = [(path.name, "train", read_yaml(path)) for path in EXAMPLES.glob("train/*.yaml")]
    files += [(path.name, "export", read_yaml(path)) for path in EXAMPLES.glob("export/*.yaml")]
    # the parser wants bitsandbytes to be installed, which it does not import
    installed = tmp_path / "bitsandbytes-0.45.0.dist-info" / "METADATA"
    installed.parent.mkdir()
    installed.write_text("Metadata-Version: 2.1\nName: bitsandbytes\nVersion: 0.45.0\n")
    python = ["env", f"PYTHONPATH={tmp_path}", sys.executable]
    assert accepted_by_llamafactory(files, python) == []
    assert {name for name, _, _ in files} == {"full.yaml", "lora.yaml", "qlora.yaml"}


@pytest.mark.host
def test_lm_eval_s_own_parser_accepts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from lm_eval.config.evaluate_config import EvaluatorConfig

    monkeypatch.chdir(ROOT)
    for path in sorted(EXAMPLES.glob("eval/*.yaml")):
        parsed = EvaluatorConfig.from_config(path)
        written = read_yaml(path)
        # it adds the model's arguments to the metadata
        assert parsed.metadata.items() >= written.pop("metadata").items()
        assert {key: getattr(parsed, key) for key in written} == written


@pytest.mark.slow
@pytest.mark.host
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["full", "lora"])
def test_the_stock_command_trains_with_an_example(tmp_path: Path, name: str) -> None:
    """What needs a GPU or a hub is overridden on the command line, as a user may."""
    student = build(tmp_path / "student")
    write_rows(tmp_path, "gsm8k")
    changes = {
        "model_name_or_path": student, "dataset_dir": tmp_path, "output_dir": tmp_path / "out",
        "template": "chatml", "bf16": "false", "use_cpu": "true", "max_steps": 2,
    }  # fmt: skip
    words = [
        sys.executable,
        "-m",
        "llamafactory.cli",
        "train",
        f"templates/examples/train/{name}.yaml",
    ]
    words += [f"{key}={value}" for key, value in changes.items()]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    results = json.loads((tmp_path / "out" / "train_results.json").read_text())
    assert results["train_loss"] > 0
