"""Merging: what is computed, and what is refused before a byte is written."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cotdistill.cli.main import main
from cotdistill.errors import DataError, FaultsError, MisuseError
from cotdistill.files.yamls import dump_yaml
from cotdistill.models.merge.file import folders_of, read_merge
from cotdistill.models.merge.merge import COPIED, MergeOptions, estimate, look_at, write_merge
from cotdistill.models.merge.methods import BLOCK, Part, kept_at_random, threshold_of
from cotdistill.models.merge.weights import decoded, encoded, weights_of
from tiny_models import build

Numbers = dict[str, Any]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three models of one shape: base, instruct and long."""
    folder = tmp_path_factory.mktemp("models")
    for seed, name in enumerate(("base", "instruct", "long")):
        build(folder / name, seed=seed, architecture="qwen2")
    return folder


def numbers(folder: Path) -> Numbers:
    weights = weights_of(folder, "it")
    found = {name: weights.block(name, 0, t.numbers) for name, t in weights.tensors.items()}
    weights.close()
    return found


def merge_file(folder: Path, method: str, share: Mapping[str, Any] | None = None,
               **keys: Any) -> Path:  # fmt: skip
    shares = {"instruct": share or {"weight": 0.25}, "long": share or {"weight": 0.75}}
    described: dict[str, Any] = {"merge": method, "models": shares} | keys
    if method not in ("linear", "slerp"):
        described.setdefault("base", "base")
    path = folder / "merge.yaml"
    path.write_text(dump_yaml(described), encoding="utf-8")
    return path


def merged(file: Path, output: Path, **options: Any) -> Numbers:
    settings = read_merge(file)
    sources = look_at(settings, folders_of(settings, file), file)
    write_merge(sources, output, MergeOptions(**options))
    return numbers(output)


def faults_of(file: Path) -> str:
    settings = read_merge(file)
    with pytest.raises(DataError) as caught:
        look_at(settings, folders_of(settings, file), file.with_name("m"))
    return str(caught.value).replace(f"{file.with_name('m')}: ", "m: ")


def with_config(models: Path, name: str, copy: Path, **changes: Any) -> None:
    """Copy a model and change its configuration; None removes a key."""
    shutil.copytree(models / name, copy)
    path = copy / "config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | changes
    kept = {key: value for key, value in config.items() if value is not None}
    path.write_text(json.dumps(kept), encoding="utf-8")


@pytest.fixture
def own(models: Path, tmp_path: Path) -> Path:
    """A folder with copies of the three models, to be changed."""
    for name in ("base", "instruct", "long"):
        shutil.copytree(models / name, tmp_path / name)
    return tmp_path


def changed(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps(config), encoding="utf-8")


# --- what is computed ---


def test_linear_is_the_weighted_mean(models: Path, tmp_path: Path) -> None:
    out = merged(merge_file(models, "linear"), tmp_path / "out")
    one, two = numbers(models / "instruct"), numbers(models / "long")
    for name, found in out.items():
        np.testing.assert_allclose(found, 0.25 * one[name] + 0.75 * two[name], atol=1e-6)


def test_task_arithmetic_adds_scaled_differences(models: Path, tmp_path: Path) -> None:
    out = merged(merge_file(models, "task_arithmetic", **{"lambda": 0.5}), tmp_path / "out")
    base, one, two = (numbers(models / name) for name in ("base", "instruct", "long"))
    for name, found in out.items():
        below = base[name]
        wanted = below + 0.5 * (0.25 * (one[name] - below) + 0.75 * (two[name] - below))
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_ties_keeps_the_largest_and_those_that_agree(models: Path, tmp_path: Path) -> None:
    share = {"weight": 1.0, "density": 0.5}
    out = merged(merge_file(models, "ties", share, normalize=True), tmp_path / "out")
    base, one, two = (numbers(models / name) for name in ("base", "instruct", "long"))
    for name, found in out.items():
        kept = []
        for model in (one, two):
            delta = model[name] - base[name]
            order = np.argsort(-np.abs(delta), kind="stable")[: int(0.5 * delta.size)]
            mask = np.zeros(delta.size, bool)
            mask[order] = True
            kept.append(delta * mask)
        sign = np.where(kept[0] + kept[1] >= 0, 1, -1)
        agrees = [np.sign(delta) == sign for delta in kept]
        total = sum(delta * agree for delta, agree in zip(kept, agrees, strict=True))
        count = np.maximum(1, np.sum(agrees, axis=0))
        np.testing.assert_allclose(found, base[name] + total / count, atol=1e-5)


def test_slerp_keeps_the_norm_between_two_models_of_one_norm() -> None:
    from cotdistill.models.merge.methods import Angle

    generator = np.random.default_rng(0)
    one, two = generator.standard_normal((2, 4096)).astype(np.float32)
    two *= np.linalg.norm(one) / np.linalg.norm(two)
    angle = Angle()
    angle.add(one, two)
    first, second = angle.shares(0.3)
    between = first * one + second * two
    assert np.linalg.norm(between) == pytest.approx(np.linalg.norm(one), rel=1e-4)


def test_dare_keeps_the_asked_share_and_the_expectation() -> None:
    differences = np.ones(1 << 20, np.float32)
    kept_at_random(differences, Part(1, 0.3, "a model"), "0/tensor/0")
    assert (differences > 0).mean() == pytest.approx(0.3, abs=0.002)
    assert differences.mean() == pytest.approx(1, abs=0.01)
    again, other = (np.ones(1 << 20, np.float32) for _ in range(2))
    kept_at_random(again, Part(1, 0.3, "a model"), "0/tensor/0")
    kept_at_random(other, Part(1, 0.3, "another"), "0/tensor/0")
    assert (again == differences).all()
    both = ((other > 0) & (differences > 0)).mean()
    assert both == pytest.approx(0.09, abs=0.002)  # two models drop independently


def test_threads_shards_and_the_order_of_models_change_no_byte(
    models: Path, tmp_path: Path
) -> None:
    share = {"weight": 0.5, "density": 0.5}
    first = merged(merge_file(models, "dare_ties", share), tmp_path / "one")
    many = merged(
        merge_file(models, "dare_ties", share), tmp_path / "two", threads=4, shard_bytes=8000
    )
    assert len(list((tmp_path / "two").glob("model-*.safetensors"))) > 2
    file = merge_file(models, "dare_ties", share)
    swapped = {"long": share, "instruct": share}
    file.write_text(dump_yaml({"merge": "dare_ties", "base": "base", "models": swapped}))
    turned = merged(file, tmp_path / "three")
    for name, found in first.items():
        assert (found == many[name]).all()
        np.testing.assert_allclose(found, turned[name], atol=1e-6)  # a sum in another order
    other = merged(merge_file(models, "dare_ties", share, seed=1), tmp_path / "four")
    assert any((other[name] != found).any() for name, found in first.items())


def test_the_threshold_is_exact_over_many_blocks() -> None:
    generator = np.random.default_rng(1)
    blocks = [generator.standard_normal(5000).astype(np.float32) for _ in range(3)]
    every = np.sort(np.abs(np.concatenate(blocks)))[::-1]
    for kept in (1, 7, 7500, 14999, 15000):
        assert threshold_of(blocks, kept) == every[kept - 1]


def test_bfloat16_is_rounded_as_torch_rounds_it() -> None:
    torch = pytest.importorskip("torch")
    generator = np.random.default_rng(2)
    values = (generator.standard_normal(BLOCK) * 10.0 ** generator.integers(-30, 30, BLOCK)).astype(
        np.float32
    )
    ours = decoded(encoded(values, "BF16"), "BF16")
    theirs = torch.from_numpy(values).to(torch.bfloat16).to(torch.float32).numpy()
    assert (ours == theirs).all()


def test_files_of_the_donor_are_copied_byte_for_byte(own: Path) -> None:
    pytest.importorskip("transformers")
    changed(own / "instruct", rope_theta=1000000.0)
    changed(own / "base", rope_theta=1000000.0)
    changed(own / "long", rope_theta=1000000.0)
    (own / "instruct" / "chat_template.jinja").write_text("{{ messages }}", encoding="utf-8")
    merged(merge_file(own, "ties", donor="instruct"), own / "out")
    there = [name for name in COPIED if (own / "instruct" / name).is_file()]
    assert {"config.json", "tokenizer.json", "chat_template.jinja"} <= set(there)
    for name in there:
        assert (own / "out" / name).read_bytes() == (own / "instruct" / name).read_bytes()
    from transformers import AutoConfig

    assert AutoConfig.from_pretrained(own / "out").rope_theta == 1000000.0


def test_special_tokens_with_another_meaning_keep_the_rows_of_the_donor(own: Path) -> None:
    path = own / "long" / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    tokenizer["added_tokens"][1]["content"] = "<think>"
    number = tokenizer["added_tokens"][1]["id"]
    path.write_text(json.dumps(tokenizer), encoding="utf-8")
    faults = faults_of(merge_file(own, "linear", donor="instruct"))
    assert "m: long: 1 token ids mean something else than in instruct" in faults
    assert "tokens: donor keeps" in faults
    out = merged(merge_file(own, "linear", donor="instruct", tokens="donor"), own / "out")
    rows = {
        name: numbers(own / name)["model.embed_tokens.weight"].reshape(-1, 16)
        for name in ("instruct", "long")
    }
    found = out["model.embed_tokens.weight"].reshape(-1, 16)
    assert (found[number] == rows["instruct"][number]).all()
    assert (found[number + 1] != rows["instruct"][number + 1]).any()


# --- what is refused ---


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rope_theta": 1000000.0}, "rope_theta is 1000000.0, and 10000.0 in base"),
        ({"rope_parameters": {"rope_theta": 5e5}}, "rope_theta is 500000.0, and 10000.0"),
        ({"rope_scaling": {"type": "yarn", "factor": 4}}, "rope_scaling is"),
        ({"num_attention_heads": 4, "num_key_value_heads": 4}, "num_attention_heads is 4, and 2"),
        ({"num_key_value_heads": 1}, "num_key_value_heads is 1, and 2"),
        ({"hidden_act": "gelu"}, 'hidden_act is "gelu", and "silu"'),
        ({"rms_norm_eps": 1e-5}, "rms_norm_eps is 1e-05, and 1e-06"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings is false, and true"),
        ({"model_type": "llama"}, 'model_type is "llama", and "qwen2"'),
    ],
)
def test_models_of_another_kind_are_refused(own: Path, changes: Any, words: str) -> None:
    changed(own / "long", **changes)
    faults = faults_of(merge_file(own, "ties"))
    assert f"m: long: {words}" in faults
    assert not (own / "out").exists()


def test_what_does_not_change_the_computation_is_a_note(own: Path) -> None:
    changed(own / "long", max_position_embeddings=4096, torch_dtype="bfloat16", use_cache=False)
    file = merge_file(own, "ties")
    settings = read_merge(file)
    sources = look_at(settings, folders_of(settings, file), file.with_name("m"))
    assert sources.notes == ("long has the context 4096; the merge has the donor's, 512",)


def test_other_shapes_rows_and_tensors_are_named(own: Path) -> None:
    build(own / "wide", width=32, architecture="qwen2")
    build(own / "rows", vocab_size=290, architecture="qwen2")
    build(own / "deep", layers=2, architecture="qwen2")
    models = {name: {"weight": 1} for name in ("wide", "rows", "deep")}
    file = merge_file(own, "ties", models=models)
    faults = faults_of(file)
    assert "m: wide: hidden_size is 32, and 16 in base" in faults
    assert "m: rows: model.embed_tokens.weight has the shape [290, 16], and [296, 16]" in faults
    assert "resize_token_embeddings" in faults
    assert "m: deep: 12 tensors that it has and base has not" in faults


def test_a_donor_in_the_form_of_transformers_5_is_refused(own: Path) -> None:
    for name in ("base", "instruct", "long"):
        changed(own / name, rope_parameters={"rope_theta": 1e6, "rope_type": "default"})
    assert "would read a rope_theta of 1,000,000 as 10,000" in faults_of(merge_file(own, "ties"))


def test_one_model_under_two_names_is_refused(own: Path) -> None:
    shutil.copytree(own / "long", own / "again")
    models = {"long": {"weight": 1}, "again": {"weight": 1}}
    assert "m: again: the same weights as long" in faults_of(
        merge_file(own, "linear", models=models)
    )


def test_models_that_are_not_there_or_not_whole_are_all_named(own: Path) -> None:
    weights = own / "long" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    (own / "instruct" / "model.safetensors").unlink()
    (own / "instruct" / "pytorch_model.bin").write_bytes(b"")
    faults = faults_of(merge_file(own, "ties"))
    assert "not a whole safetensors file" in faults
    assert "holds no model.safetensors" in faults
    assert "convert it" in faults
    file = merge_file(own, "ties", models={"./nowhere": {}})
    settings = read_merge(file)
    with pytest.raises(DataError, match="nowhere: no such folder"):
        folders_of(settings, file)


def test_numbers_that_are_none_are_refused_and_nothing_is_left(own: Path) -> None:
    file = own / "long" / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-4:] = struct.pack("<f", float("nan"))
    file.write_bytes(bytes(data))
    before = sorted(path.name for path in own.iterdir())
    with pytest.raises(DataError, match=r"model\.norm\.weight: .* look at long"):
        merged(merge_file(own, "linear"), own / "out")
    assert sorted(path.name for path in own.iterdir()) == sorted([*before, "merge.yaml"])


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"densty": 0.5}, "unknown key 'densty'"),
        ({"models": {"a": {"weigth": 1}}}, "unknown key 'weigth'; did you mean 'weight'"),
        ({"normalise": True}, "unknown key 'normalise'; did you mean 'normalize'"),
        ({"merge": "tise"}, "tise"),
        ({"base": "instruct"}, "the base 'instruct' is a model too"),
        ({"models": {"a": {"weight": 1, "density": 0}}}, "greater than 0"),
        ({"models": {"a": {"weight": float("nan")}}}, "weight"),
        ({"models": {"a": {"weight": 1}, "b": {"weight": -1}}, "normalize": True}, "sum to 0"),
    ],
)
def test_keys_that_cannot_be_meant_are_faults(tmp_path: Path, keys: Any, words: str) -> None:
    with pytest.raises(FaultsError, match=words):
        read_merge(merge_file(tmp_path, "ties", **keys))


@pytest.mark.parametrize(
    ("method", "keys", "words"),
    [
        ("linear", {"base": "base"}, "takes no differences"),
        ("linear", {"lambda": 2}, "has no differences that 'lambda' could scale"),
        ("slerp", {"models": {"a": {}}}, "slerp merges 2 models, and 1 are named"),
        ("slerp", {"normalize": True}, "leave 'normalize' out"),
        ("task_arithmetic", {"models": {"a": {"density": 0.5}}}, "keeps everything"),
        ("ties", {"base": None}, "needs a 'base'"),
    ],
)
def test_values_that_a_method_does_not_use_are_faults(
    tmp_path: Path, method: str, keys: Any, words: str
) -> None:
    with pytest.raises(FaultsError, match=words):
        read_merge(merge_file(tmp_path, method, **keys))


def test_a_file_of_mergekit_is_recognised(tmp_path: Path) -> None:
    file = tmp_path / "dares_ties.yml"
    file.write_text("merge_method: dare_ties\nbase_model: b\nmodels: []\n", encoding="utf-8")
    with pytest.raises(FaultsError, match="a file of mergekit"):
        read_merge(file)


def test_an_output_that_is_an_input_or_not_a_merge_is_refused(own: Path) -> None:
    file = merge_file(own, "linear")
    with pytest.raises(MisuseError, match="which this command empties"):
        merged(file, own)
    with pytest.raises(MisuseError, match="which this command empties"):
        merged(file, own / "long")
    with pytest.raises(MisuseError, match="is an input"):
        merged(file, file)
    (own / "mine").mkdir()
    (own / "mine" / "thesis.tex").write_text("", encoding="utf-8")
    with pytest.raises(MisuseError, match="holds something other than a merge"):
        merged(file, own / "mine")
    assert (own / "mine" / "thesis.tex").is_file()


# --- the verb ---


def test_the_verb_merges_says_so_and_does_nothing_twice(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = merge_file(own, "dare_ties", {"weight": 0.5, "density": 0.5}, normalize=True)
    assert main(["merge", str(file), "-o", str(own / "out"), "--dry-run"]) == 0
    assert not (own / "out").exists()
    assert "3 of 7,392 weights" in capsys.readouterr().out
    assert main(["merge", str(file), "-o", str(own / "out")]) == 0
    before = (own / "out" / "model.safetensors").stat().st_mtime_ns
    assert main(["merge", str(file), "-o", str(own / "out")]) == 0
    assert "made before" in capsys.readouterr().err
    assert (own / "out" / "model.safetensors").stat().st_mtime_ns == before
    record = json.loads((own / "out" / "merge.json").read_text(encoding="utf-8"))
    assert record["settings"]["models"]["long"] == {"weight": 0.5, "density": 0.5}
    assert set(record["fingerprints"]) == {"base", "instruct", "long"}


def test_a_dry_run_of_a_7b_shape_predicts_memory_and_disk(tmp_path: Path) -> None:
    """Files of the right size without a block on the disk: all that a dry run reads is there."""
    for name in ("base", "a", "b"):
        sparse_model(tmp_path / name, mark=name)
    models = {"a": {"weight": 0.5, "density": 0.5}, "b": {"weight": 0.5, "density": 0.5}}
    file = merge_file(tmp_path, "dare_ties", models=models)
    settings = read_merge(file)
    sources = look_at(settings, folders_of(settings, file), file.with_name("m"))
    found = estimate(sources, MergeOptions(threads=4))
    assert found.weights == 7_615_616_512
    assert found.output_bytes == 2 * found.weights
    assert found.files == 4
    assert found.memory_bytes < 2**28
    assert 60 < found.cpu_seconds < 36_000


def sparse_model(folder: Path, mark: str) -> None:
    """A model of Qwen2.5-7B's shape in bfloat16, all zeros but for one number."""
    hidden, inner, key, vocabulary = 3584, 18944, 512, 152064
    shapes: dict[str, list[int]] = {"model.embed_tokens.weight": [vocabulary, hidden]}
    for layer in range(28):
        place = f"model.layers.{layer}"
        for part, rows in (("q", hidden), ("k", key), ("v", key)):
            shapes[f"{place}.self_attn.{part}_proj.weight"] = [rows, hidden]
            shapes[f"{place}.self_attn.{part}_proj.bias"] = [rows]
        shapes[f"{place}.self_attn.o_proj.weight"] = [hidden, hidden]
        for part in ("gate", "up"):
            shapes[f"{place}.mlp.{part}_proj.weight"] = [inner, hidden]
        shapes[f"{place}.mlp.down_proj.weight"] = [hidden, inner]
        for part in ("input", "post_attention"):
            shapes[f"{place}.{part}_layernorm.weight"] = [hidden]
    shapes |= {"model.norm.weight": [hidden], "lm_head.weight": [vocabulary, hidden]}
    entries, place_ = {}, 0
    for name, shape in shapes.items():
        size = 2 * int(np.prod(shape))
        entries[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [place_, place_ + size]}
        place_ += size
    header = json.dumps(entries).encode()
    folder.mkdir()
    with (folder / "model.safetensors").open("wb") as stream:
        stream.write(struct.pack("<Q", len(header)) + header + mark.encode().ljust(4))
        stream.truncate(8 + len(header) + place_)
    config = {
        "model_type": "qwen2", "hidden_size": hidden, "num_hidden_layers": 28,
        "num_attention_heads": 28, "num_key_value_heads": 4, "intermediate_size": inner,
        "rope_theta": 1000000.0, "rms_norm_eps": 1e-6, "vocab_size": vocabulary,
        "tie_word_embeddings": False,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "vocab.json").write_text(json.dumps({"a": 0}), encoding="utf-8")
