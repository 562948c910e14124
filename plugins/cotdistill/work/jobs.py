"""What the Snakefiles of release 0.1 import; new ones import `cotdistill.snakefile`."""

from cotdistill.snakefile import marker_of, read_jobs

__all__ = ["marker_of", "read_jobs"]
