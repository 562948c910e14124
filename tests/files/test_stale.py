"""What an earlier run made is moved aside where a later one needs the place."""

from pathlib import Path

from cotdistill.files.stale import link_in_place


def test_a_link_takes_the_place_of_a_folder_which_is_kept_and_of_an_earlier_link(
    tmp_path: Path,
) -> None:
    for name in ("exported/run", "exported/run--epoch1", "exported/run--epoch2"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "weights").write_text(name)
    for number in (1, 2):
        link_in_place(tmp_path, "exported/run", tmp_path / f"exported/run--epoch{number}")
        found = (tmp_path / "exported/run/weights").read_text()
        assert found == f"exported/run--epoch{number}"
    assert (tmp_path / "stale/001/exported/run/weights").read_text() == "exported/run"
    assert (tmp_path / "exported/run").readlink() == Path("run--epoch2")
