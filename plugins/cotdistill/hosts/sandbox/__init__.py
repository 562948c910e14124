"""Run Python programs that a model wrote, where they can compute and reach nothing else."""
