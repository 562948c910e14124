"""Where the `kd:` block of a generated training file lies, and what training leaves of it."""

from __future__ import annotations

from pathlib import Path

SUMMARY = "kd_summary.json"
"""What a training with distillation writes at its end; a training without it has none."""


def header_line(name: str) -> str:
    """Return the comment by which a training file says where its `kd:` block is.

    >>> header_line("a--b.kd.yaml")
    '# distillation: a--b.kd.yaml'
    """
    return f"# distillation: {name}"


def distillation_path(path: Path) -> Path:
    """Return where the block of a generated training file is.

    >>> distillation_path(Path("train/a--b.yaml")).as_posix()
    'train/a--b.kd.yaml'
    """
    return path.with_suffix(".kd.yaml")
