"""The doctor, in real virtual environments whose contents are written down for each test."""

import io
import subprocess
import sys
import time
from pathlib import Path

import packaging
import pytest

from cotdistill.cli.doctor import shown_while_it_runs
from cotdistill.cli.main import main
from cotdistill.errors import MisuseError
from cotdistill.hosts.environments.look_into import Environment, python_of
from cotdistill.preflight.doctor import Examined, examine
from cotdistill.preflight.doctor_rules import Needs, environment_findings

TRAINING = {
    "llamafactory": "0.9.5", "transformers": "4.57.6", "deepspeed": "0.18.4",
    "bitsandbytes": "0.48.2", "omegaconf": "2.4.0",
}  # fmt: skip
EVALUATION = {"lm_eval": "0.4.13", "transformers": "4.57.6", "cotdistill": "0.1.0"}


def site_of(venv: Path) -> Path:
    return next(venv.glob("lib/python*/site-packages"))


def venv_with(
    folder: Path, versions: dict[str, str], requires: dict[str, str] | None = None
) -> str:
    """Make a real environment that holds distributions of these names and versions."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    site = site_of(folder)
    (site / "packaging").symlink_to(Path(packaging.__file__).parent)
    for name, version in versions.items():
        info = site / f"{name}-{version}.dist-info"
        info.mkdir()
        wanted = (requires or {}).get(name)
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        lines += [f"Requires-Dist: {wanted}"] if wanted else []
        (info / "METADATA").write_text("\n".join(lines) + "\n")
    return str(folder)


def add_torch(venv: str, *, cuda: str | None, audio_needs_cuda: bool) -> None:
    site = site_of(Path(venv))
    (site / "torch").mkdir()
    (site / "torch" / "version.py").write_text(f"cuda: Optional[str] = {cuda!r}\nhip = None\n")
    (site / "torchaudio").mkdir()
    library = b"\x7fELF..libc10_cuda.so.." if audio_needs_cuda else b"\x7fELF..libc10.so.."
    (site / "torchaudio" / "_extension.so").write_bytes(library)
    info = site / "torchaudio-2.11.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torchaudio\nVersion: 2.11.0\n")
    (info / "RECORD").write_text("torchaudio/_extension.so,,\n")


def only(stage: str, venv: str, what: str | None = None) -> Examined:
    (examined,) = examine(what, [stage], {stage: venv})
    return examined


def stops(examined: Examined) -> list[str]:
    return [str(finding) for finding in examined.findings if finding.grade != "note"]


def test_an_empty_environment_lacks_every_host_and_says_what_to_install(tmp_path: Path) -> None:
    venv = venv_with(tmp_path / "bare", {})
    stages = ["train", "export", "evaluate", "run", "serve"]
    for examined in examine(None, stages, dict.fromkeys(stages, venv)):
        assert examined.state == "absent"
        assert f"{venv}/bin/python -m pip install 'cotdistill[" in stops(examined)[0]


def test_a_sound_training_environment_works(tmp_path: Path) -> None:
    examined = only("train", venv_with(tmp_path / "v", TRAINING))
    assert (examined.state, stops(examined)) == ("works", [])
    assert "llamafactory 0.9.5" in examined.holds


@pytest.mark.parametrize(
    ("name", "version", "says"),
    [
        ("transformers", "5.6.0", "resolves but is broken (hiyouga/LlamaFactory#10634)"),
        ("llamafactory", "0.9.4", "llamafactory 0.9.4 is outside the tested range"),
        ("deepspeed", "0.19.0", "deepspeed 0.19.0 is outside the tested range"),
    ],
)
def test_versions_that_break_training_are_named(
    tmp_path: Path, name: str, version: str, says: str
) -> None:
    examined = only("train", venv_with(tmp_path / "v", {**TRAINING, name: version}))
    assert examined.state == "broken"
    assert [says in line for line in stops(examined)] == [True]
    assert "pip install" in stops(examined)[0]


def test_the_next_lm_eval_is_refused(tmp_path: Path) -> None:
    examined = only("evaluate", venv_with(tmp_path / "v", {**EVALUATION, "lm_eval": "0.5.0"}))
    assert "lm-eval 0.5.0 is outside the tested range (0.4.13 up to, not including, 0.5)" in str(
        stops(examined)
    )


def test_an_antlr_that_omegaconf_cannot_use_is_named(tmp_path: Path) -> None:
    versions = {**TRAINING, "omegaconf": "2.3.0", "antlr4_python3_runtime": "4.11.0"}
    requires = {"omegaconf": "antlr4-python3-runtime==4.9.*"}
    examined = only("train", venv_with(tmp_path / "v", versions, requires))
    assert stops(examined) == [
        "omegaconf requires antlr4-python3-runtime==4.9.* but 4.11.0 is installed; "
        f"{tmp_path}/v/bin/python -m pip install 'antlr4-python3-runtime==4.9.*'"
    ]


def test_audio_libraries_that_need_cuda_are_broken_with_a_cpu_torch(tmp_path: Path) -> None:
    venv = venv_with(tmp_path / "v", TRAINING)
    add_torch(venv, cuda=None, audio_needs_cuda=True)
    (line,) = stops(only("train", venv))
    assert line.startswith("torchaudio: built for CUDA, but torch was built without it")
    assert "/hosts/environments/cpu_torch.py stand-ins &&" in line


@pytest.mark.parametrize(("cuda", "needs"), [("13.0", True), (None, False)])
def test_libraries_that_fit_their_torch_are_fine(
    tmp_path: Path, cuda: str | None, needs: bool
) -> None:
    venv = venv_with(tmp_path / "v", TRAINING)
    add_torch(venv, cuda=cuda, audio_needs_cuda=needs)
    assert only("train", venv).state == "works"


def test_training_on_transformers_5_and_evaluating_on_4_is_broken(tmp_path: Path) -> None:
    train = venv_with(tmp_path / "t", {**TRAINING, "transformers": "5.5.4"})
    evaluate = venv_with(tmp_path / "e", EVALUATION)
    both = examine(None, ["train", "evaluate"], {"train": train, "evaluate": evaluate})
    assert [one.state for one in both] == ["broken", "works"]
    assert "TokenizersBackend" in stops(both[0])[0]
    assert only("train", train).state == "works"  # alone it is a note


def test_what_a_study_needs_decides_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)  # or a checkout would be seen everywhere
    plain = {k: v for k, v in TRAINING.items() if k not in ("deepspeed", "bitsandbytes")}
    venv = venv_with(tmp_path / "v", plain)
    assert only("train", venv).state == "works"
    asked = stops(only("train", venv, "learnability-gap"))
    assert any("deepspeed is not installed and the study needs it" in line for line in asked)
    assert any("the study trains on 4 GPUs, and " in line for line in asked)
    without_hooks = {k: v for k, v in EVALUATION.items() if k != "cotdistill"}
    evaluate = venv_with(tmp_path / "e", without_hooks)
    asked = stops(only("evaluate", evaluate, "learnability-gap"))
    assert any("vllm is not installed and the study evaluates with it" in line for line in asked)
    assert any("lm-eval imports the hooks" in line for line in asked)


def test_an_interpreter_that_cannot_be_started_is_one_broken_stage() -> None:
    examined = only("train", "no-such-program run")
    assert examined.state == "broken"
    assert "no-such-program run python: cannot be started" in str(examined.findings[0])


def test_a_prefix_is_a_command_or_a_virtual_environment(tmp_path: Path) -> None:
    assert python_of("") == (sys.executable,)
    assert python_of("conda run -n 'my env'") == ("conda", "run", "-n", "my env", "python")
    assert python_of(venv_with(tmp_path / "v", {})) == (f"{tmp_path}/v/bin/python",)


def test_an_unknown_stage_is_misuse() -> None:
    with pytest.raises(MisuseError, match="no stage 'trian'; did you mean 'train'"):
        examine(None, ["trian"])


def test_the_command_exits_1_when_a_stage_will_not_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = venv_with(tmp_path / "s", TRAINING)
    assert main(["doctor", "--stage", "train", "--env", f"train={sound}"]) == 0
    assert capsys.readouterr().out.startswith("train     works   Python 3.")
    bare = venv_with(tmp_path / "b", {})
    assert main(["doctor", "--stage", "train", "--env", f"train={bare}"]) == 1
    output = capsys.readouterr()
    assert "absent: llamafactory is not installed" in output.out
    assert "will not work: train" in output.err
    assert main(["doctor", "--env", "train"]) == 2


@pytest.mark.host
def test_the_deep_examination_imports_the_host_of_this_environment() -> None:
    (examined,) = examine(None, ["train"], deep=True)
    assert (examined.state, stops(examined)) == ("works", [])


def test_the_deep_examination_finds_a_host_that_does_not_import(tmp_path: Path) -> None:
    venv = venv_with(tmp_path / "v", TRAINING)  # names and versions, and nothing behind them
    (examined,) = examine(None, ["train"], {"train": venv}, deep=True)
    assert examined.state == "broken"
    assert "import fails: ModuleNotFoundError" in stops(examined)[0]


def test_vllm_is_installed_into_an_environment_of_its_own() -> None:
    shared = Environment(("python",), versions={"llamafactory": "0.9.5"})
    (finding,) = environment_findings("serve", shared, Needs())
    assert finding.grade == "absent"
    assert finding.remedy.startswith("python3 -m venv with-vllm && with-vllm/bin/pip install")


def test_a_torchvision_that_fails_at_import_is_found(tmp_path: Path) -> None:
    (tmp_path / "torchvision").mkdir()
    failing = 'raise RuntimeError("operator torchvision::nms does not exist")'
    (tmp_path / "torchvision/__init__.py").write_text(failing)
    (tmp_path / "torchvision-0.1.dist-info").mkdir()
    about = "Metadata-Version: 2.1\nName: torchvision\nVersion: 0.1\n"
    (tmp_path / "torchvision-0.1.dist-info/METADATA").write_text(about)
    folder = Path(sys.executable).parent
    prefix = f"env PYTHONPATH={tmp_path} PATH={folder}"
    (serve,) = examine(stages=["serve"], prefixes={"serve": prefix}, deep=True)
    found = [str(finding) for finding in serve.findings if "torchvision fails" in finding.wrong]
    assert len(found) == 1
    assert "operator torchvision::nms does not exist" in found[0]
    assert "--force-reinstall torch torchvision" in found[0]


def test_a_study_s_own_stages_are_examined_as_they_are_declared(tmp_path: Path) -> None:
    bare = venv_with(tmp_path / "bare", {"cotdistill": "0.1.0"})
    study = tmp_path / "s.yaml"
    study.write_text(f"""
schema_version: 2
name: s
models:
  far: {{endpoint: "https://teacher.example/v1", model: Org/Teacher}}
students: [Qwen2.5-0.5B-Instruct]
questions: {{q: {{benchmark: svamp}}}}
arms:
  taught: {{teach: {{questions: q, teacher: far}}}}
  sampled: {{sample: {{questions: q, model: Qwen2.5-1.5B-Instruct}}}}
recipes: {{full: {{epochs: 1}}}}
evaluation: {{tasks: [cot_gsm8k]}}
judge: {{model: far}}
environments: {{teach: {bare}, sample: {bare}, judge: {bare}, prepare: {bare}}}
""")
    stages = ("teach", "sample", "prepare", "judge")
    found = {one.stage: stops(one) for one in examine(str(study), stages)}
    pip = f"{bare}/bin/python -m pip install"
    assert found == {
        "teach": [f"aiohttp is not installed; {pip} 'cotdistill[api]'"],
        "sample": [f"vllm is not installed; {pip} 'cotdistill[serve]'"],
        "prepare": [],
        "judge": [f"aiohttp is not installed; {pip} 'cotdistill[api]'"],
    }
    chosen = [one.stage for one in examine(str(study))]
    assert chosen == [
        "teach", "sample", "prepare", "train", "evaluate", "judge", "run", "programs"
    ]  # fmt: skip


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_which_check_runs_and_nothing_of_it_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    venv = venv_with(tmp_path / "venv", {})
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    assert (
        main(["doctor", "--stage", "train", "--stage", "programs", "--env", f"train={venv}"]) == 1
    )
    shown, _, after = terminal.getvalue().rpartition("\r\033[K")
    assert shown.split("\r\033[K") == [
        "", "train: versions and libraries ...", "programs: the sandbox ...",
    ]  # fmt: skip
    assert after.startswith("checked versions and libraries")


def test_without_a_terminal_a_check_that_takes_long_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with shown_while_it_runs(seconds=1000) as tell:
        tell("train: versions and libraries")
    assert capsys.readouterr().err == ""
    written = ""
    with shown_while_it_runs(seconds=0.01) as tell:
        tell("train: import of its host")
        for _ in range(3000):
            time.sleep(0.01)
            if written := written + capsys.readouterr().err:
                break
    assert written == "checking train: import of its host\n"
