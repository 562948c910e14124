"""Start a training: the stock command where there is no distillation, and our entry point else.

As LLaMA-Factory does, several GPUs or FORCE_TORCHRUN start one process for each through torchrun,
and the same environment variables say where. Unlike there, the command is a list of words, so that
paths may hold spaces, and torchrun is that of this Python.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

from cotdistill.distill.seq2seq_file import read_seq2seq_file
from cotdistill.distill.train_file import TrainFile, read_train_file, seq2seq_arguments
from cotdistill.errors import MisuseError

WORKER = "cotdistill.distill.trainer.worker"


def train(words: Sequence[str]) -> int:
    """Train as `llamafactory-cli train` does, with the `kd:` block; return the exit status.

    Raises:
        FaultsError: the training file has faults.
        MisuseError: it cannot be read as one.
    """
    if not words:
        raise MisuseError("cotdistill train: no training file; cotdistill train FILE.yaml")
    if (arguments := seq2seq_arguments(words)) is not None:
        from cotdistill.distill.trainer.seq2seq import train_seq2seq

        seq2seq = read_seq2seq_file(arguments, words[0])
        return _started(words, lambda: train_seq2seq(seq2seq, words[0]))
    file = read_train_file(words)
    if file is None:
        command = [sys.executable, "-P", "-m", "llamafactory.cli", "train", *words]
        sys.stdout.flush()
        os.execv(sys.executable, command)
    return _distil(file, words)


def _distil(file: TrainFile, words: Sequence[str]) -> int:
    from cotdistill.distill.trainer.worker import checked, train_here

    checked(file)
    for note in file.notes:
        sys.stderr.write(f"note: {note}\n")
    return _started(words, lambda: train_here(file))


def _started(words: Sequence[str], here: Callable[[], int]) -> int:
    """Train in this process, or in as many as torchrun is to start."""
    processes = _processes(os.environ)
    if not processes:
        return here()
    command = torchrun_command(words, os.environ, processes, _free_port)
    environment = dict(os.environ)
    if os.environ.get("OPTIM_TORCH", "1").lower() in ("1", "true", "y"):
        environment["PYTORCH_CUDA_ALLOC_CONF"] = "expandable_segments:True"
        environment["TORCH_NCCL_AVOID_RECORD_STREAMS"] = "1"
    return subprocess.run(command, env=environment, check=False).returncode


def _processes(environment: Mapping[str, str]) -> int:
    """Return how many processes torchrun is to start here, or 0 to train in this one."""
    import torch

    devices = torch.cuda.device_count()
    forced = environment.get("FORCE_TORCHRUN", "").lower() in ("1", "true", "y")
    if not forced and devices <= 1:
        return 0
    return int(environment.get("NPROC_PER_NODE", max(devices, 1)))


def torchrun_command(
    words: Sequence[str],
    environment: Mapping[str, str],
    processes: int,
    free_port: Callable[[], int],
) -> list[str]:
    """Return the words that start the processes, with the variables that the host reads.

    >>> command = torchrun_command(["my runs/t.yaml"], {"MASTER_PORT": "29501"}, 2, lambda: 1)
    >>> command[4:]  # doctest: +NORMALIZE_WHITESPACE
    ['--nnodes', '1', '--nproc-per-node', '2', '--node-rank', '0', '--master-addr', '127.0.0.1',
     '--master-port', '29501', '--module', 'cotdistill.distill.trainer.worker', 'my runs/t.yaml']
    """
    address = environment.get("MASTER_ADDR", "127.0.0.1")
    port = environment.get("MASTER_PORT") or str(free_port())
    nodes = environment.get("NNODES", "1")
    rendezvous = environment.get("RDZV_ID")
    if rendezvous is None:
        where = ["--nnodes", nodes, "--nproc-per-node", str(processes)]
        where += ["--node-rank", environment.get("NODE_RANK", "0")]
        where += ["--master-addr", address, "--master-port", port]
    else:
        fewest, most = environment.get("MIN_NNODES"), environment.get("MAX_NNODES")
        elastic = f"{fewest}:{most}" if fewest and most else nodes
        where = ["--nnodes", elastic, "--nproc-per-node", str(processes)]
        where += ["--rdzv-id", rendezvous, "--rdzv-backend", "c10d"]
        where += ["--rdzv-endpoint", f"{address}:{port}"]
        where += ["--max-restarts", environment.get("MAX_RESTARTS", "0")]
    command = [sys.executable, "-P", "-m", "torch.distributed.run", *where]
    return [*command, "--module", WORKER, *words]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
