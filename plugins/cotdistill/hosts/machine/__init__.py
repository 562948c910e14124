"""The machine that jobs run on: GPUs, processes, programs."""
