"""Hydra's side of `measure.py`: compose 1,000 training configurations and write each as YAML."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

STUDENTS, ARMS, RECIPES, SEEDS = 5, 20, 2, 5
KEYS = 20  # as many as the shared part of a training file has


def write_groups(folder: Path) -> None:
    """Write config groups that multiply to the same grid as the study's."""
    groups = {"student": STUDENTS, "arm": ARMS, "recipe": RECIPES, "evaluation": 1}
    for group, size in groups.items():
        (folder / group).mkdir(parents=True)
        for number in range(size):
            lines = [f"{group}_name: {group}{number}"]
            lines += [f"{group}_key{key}: {key}" for key in range(KEYS // 2)]
            (folder / group / f"{group}{number}.yaml").write_text("\n".join(lines) + "\n")
    defaults = "".join(f"  - {group}: {group}0\n" for group in groups)
    shared = "".join(f"key{key}: {key}.5\n" for key in range(KEYS))
    (folder / "config.yaml").write_text(f"defaults:\n{defaults}  - _self_\nseed: 0\n{shared}")


def main(folder: Path) -> None:
    """Compose the whole grid through Hydra's compose API."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    write_groups(folder / "conf")
    (folder / "out").mkdir()
    with initialize_config_dir(str(folder / "conf"), version_base=None):
        grid = itertools.product(range(STUDENTS), range(ARMS), range(RECIPES), range(SEEDS))
        for number, (student, arm, recipe, seed) in enumerate(grid):
            overrides = [
                f"student=student{student}", f"arm=arm{arm}", f"recipe=recipe{recipe}",
                f"seed={seed}",
            ]  # fmt: skip
            text = OmegaConf.to_yaml(compose("config", overrides))
            (folder / "out" / f"{number}.yaml").write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
