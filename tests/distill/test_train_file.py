"""What a `kd:` block may say, where it stands, and what it is refused next to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from cotdistill.cli.main import main
from cotdistill.distill.paths import header_line
from cotdistill.distill.settings import Distillation
from cotdistill.distill.train_file import read_arguments, read_train_file
from cotdistill.errors import FaultsError
from cotdistill.schema import read_shape

TRAIN: dict[str, Any] = {"model_name_or_path": "some/model", "stage": "sft", "do_train": True}
KD: dict[str, Any] = {"teacher": "big/model"}


def written(folder: Path, arguments: dict[str, Any], name: str = "t.yaml", head: str = "") -> Path:
    path = folder / name
    path.write_text(head + yaml.safe_dump(arguments), encoding="utf-8")
    return path


def fault(block: Any) -> str:
    with pytest.raises(FaultsError) as caught:
        read_shape(Distillation, block, "t.yaml:kd")
    return str(caught.value)


def test_the_block_stands_in_the_file_or_next_to_it(tmp_path: Path) -> None:
    inside = read_train_file([str(written(tmp_path, TRAIN | {"kd": KD}, "a.yaml"))])
    written(tmp_path, KD, "b.kd.yaml")
    next_to = read_train_file([str(written(tmp_path, TRAIN, "b.yaml"))])
    assert inside is not None
    assert next_to is not None
    assert inside.distillation == next_to.distillation
    assert inside.arguments == next_to.arguments == TRAIN
    assert read_train_file([str(written(tmp_path, TRAIN, "c.yaml"))]) is None


def test_words_of_the_command_line_override_both(tmp_path: Path) -> None:
    path = written(tmp_path, TRAIN | {"kd": KD})
    read = read_train_file([str(path), "kd.temperature=2", "learning_rate=1e-4"])
    assert read is not None
    assert read.distillation.temperature == 2.0
    assert read.arguments["learning_rate"] == 1e-4


def test_a_block_that_the_header_names_and_that_is_gone_stops_the_training(tmp_path: Path) -> None:
    path = written(tmp_path, TRAIN, "r.yaml", header_line("r.kd.yaml") + "\n")
    with pytest.raises(FaultsError, match=r"r\.kd\.yaml is missing, and without it this would be"):
        read_train_file([str(path)])
    written(tmp_path, KD, "r.kd.yaml")
    assert read_train_file([str(path)]) is not None


def test_two_blocks_are_one_too_many(tmp_path: Path) -> None:
    written(tmp_path, KD, "r.kd.yaml")
    with pytest.raises(FaultsError, match=r"r\.kd\.yaml holds such a block too"):
        read_train_file([str(written(tmp_path, TRAIN | {"kd": KD}, "r.yaml"))])


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"temperature": 0}, "temperature: 0; expected greater than 0"),
        ({"temperature": -1.5}, "temperature: -1.5; expected greater than 0"),
        ({"divergence": "foward_kl"}, "divergence: 'foward_kl'; expected 'forward_kl', 'reverse"),
        ({"weight": 1.5}, "weight: 1.5; expected less than or equal to 1"),
        ({"weight": 0}, "weight 0 with a teacher would train without it"),
        ({"divergence": "none"}, "divergence none with a teacher would train without it"),
        ({"tempratur": 2}, "unknown key 'tempratur'; did you mean 'temperature'?"),
        ({"beta": 0.3}, "beta has no effect with divergence forward_kl"),
        ({"divergence": "jsd", "beta": 1}, "beta: 1; expected less than 1"),
        ({"divergence": "jsd", "alpha": 0.2}, "alpha has no effect with divergence jsd"),
        ({"divergence": "logit_mse", "temperature": 2}, "temperature has no effect with"),
        ({"divergence": "logit_mse", "top_k": 8}, "top_k has no effect with divergence logit_mse"),
        ({"top_k": 0}, "top_k: 0; expected greater than or equal to 1"),
        ({"teacher": None}, "divergence forward_kl needs a teacher"),
        ({"teacher": {}}, "a teacher is a model or signals; name one"),
        ({"teacher": {"signals": "b", "quantization": 4}}, "no effect on stored signals"),
        ({"divergence": "logit_mse", "teacher": {"signals": "s"}}, "logit_mse needs a teacher's"),
        ({"preset": "mentorkd"}, "preset: 'mentorkd'; expected 'mentor-kd'"),
        ("yes", "t.yaml:kd: a str; expected a mapping"),
    ],
)
def test_a_block_with_a_fault_gets_one_line(block: Any, message: str) -> None:
    given = KD | block if isinstance(block, dict) else block
    shown = fault(given)
    assert message in shown
    assert len(shown.splitlines()) <= 2


def test_a_preset_gives_the_published_numbers_and_other_keys_override_it() -> None:
    mentor = Distillation(teacher="big/model", preset="mentor-kd")
    assert (mentor.weight, mentor.temperature, mentor.kd_weight) == (0.3, 2.0, 0.3)
    squared = Distillation(teacher="big/model", preset="mentor-kd", divergence="logit_mse")
    assert (squared.weight, squared.kd_weight) == (0.3, 0.3)
    soft = Distillation(teacher="big/model", preset="mentor-kd", divergence="soft_ce", weight=1)
    assert (soft.weight, soft.temperature) == (1.0, 2.0)


def test_the_temperature_squared_is_part_of_the_weight() -> None:
    assert Distillation(teacher="m", weight=0.5, temperature=3.0).kd_weight == 4.5
    assert Distillation(teacher="m", weight=0.5, temperature=3.0, t2_scale=False).kd_weight == 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"do_train": False}, "t.yaml:do_train: not true; expected true"),
        ({"stage": "dpo"}, "t.yaml:stage: dpo; expected sft"),
        ({"label_smoothing_factor": 0.1}, "label smoothing replaces the loss"),
        ({"use_dft_loss": True}, "use_dft_loss: another loss in the place of cross-entropy"),
        ({"use_eaft_loss": True}, "use_eaft_loss: another loss"),
        ({"use_asft_loss": True}, "use_asft_loss: another loss"),
        ({"use_unsloth": True}, "use_unsloth: trains with code that distillation is not part of"),
        ({"output_dir": "x/../some/model"}, "output_dir: the folder of the model that is trained"),
    ],
)
def test_what_would_make_distillation_vanish_is_refused_and_nothing_is_written(
    change: dict[str, Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = TRAIN | {"output_dir": str(tmp_path / "out"), "kd": KD} | change
    assert main(["train", str(written(tmp_path, arguments))]) == 1
    shown = capsys.readouterr().err
    assert message in shown
    assert len(shown.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["t.yaml"]


def test_an_untested_release_of_the_host_is_refused_unless_it_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cotdistill.distill.train_file.TESTED", ("0.9.6",))
    with pytest.raises(FaultsError, match=r"0\.9\.5 was not tested with distillation; expected 0"):
        read_train_file([str(written(tmp_path, TRAIN | {"kd": KD}))])
    allowed = TRAIN | {"kd": KD | {"allow_untested": True}}
    assert read_train_file([str(written(tmp_path, allowed))]) is not None


def test_a_switch_to_another_trainer_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USE_MCA", "1")
    with pytest.raises(FaultsError, match=r"\$USE_MCA: Megatron trains with code"):
        read_train_file([str(written(tmp_path, TRAIN | {"kd": KD}))])


@pytest.mark.parametrize("words", [[], ["missing.yaml"], ["list.yaml"]])
def test_garbage_is_one_message_without_a_traceback(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("list.yaml").write_text("[1, 2]\n")
    Path("list.kd.yaml").write_text("teacher: a\n")
    assert main(["train", *words]) in (1, 2)
    shown = capsys.readouterr().err
    assert len(shown.splitlines()) == 1
    assert "Traceback" not in shown


@pytest.mark.parametrize("text", ["true\n", "a text\n", "[1, 2]\n", ""])
def test_a_file_that_is_no_mapping_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(text)
    with pytest.raises(FaultsError, match=r"t\.yaml: not a mapping; expected arguments of"):
        read_arguments(path)


def test_the_blocks_schema_describes_every_key() -> None:
    schema = Distillation.model_json_schema()
    assert set(schema["properties"]) >= {"teacher", "weight", "temperature", "divergence", "top_k"}
    json.dumps(schema)
