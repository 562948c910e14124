"""What a generated Snakefile imports; its names stay, so that old run folders keep working."""

from cotdistill.runs.jobs import marker_of, read_jobs

__all__ = ["marker_of", "read_jobs"]
