"""Files put into repositories of a hub, one commit each; through `huggingface_hub` only.

The hub is that of HF_ENDPOINT, the account that of HF_TOKEN or `hf auth login`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from cotdistill.errors import DataError, Fault

_LONGEST = 96


def repository_name(namespace: str, *parts: str) -> str:
    """Return the name of a repository as a hub takes it: letters, digits, `-`, `_` and `.`.

    >>> repository_name("lab", "levels", "tiny--fine--full--s42")
    'lab/levels-tiny-fine-full-s42'
    """
    name = re.sub(r"[^\w.-]+|-{2,}|\.{2,}", "-", "-".join(parts))
    name = re.sub(r"-{2,}", "-", name).strip("-.")
    return f"{namespace}/{name[: _LONGEST - len(namespace) - 1].rstrip('-.')}"


def upload(
    kind: Literal["model", "dataset"],
    repository: str,
    files: Mapping[str, Path | bytes],
    *,
    private: bool,
    message: str,
) -> str:
    """Put files into a repository, made if it is not there, and return the commit's address.

    Raises:
        DataError: huggingface_hub is not installed, or the hub says no; in one line.
    """
    try:
        import huggingface_hub as hub
    except ModuleNotFoundError as error:
        remedy = "pip install huggingface_hub (it comes with 'cotdistill[eval]' and [train])"
        raise DataError(Fault(repository, "needs huggingface_hub", "", remedy)) from error
    api = hub.HfApi()
    additions = [
        hub.CommitOperationAdd(path_in_repo=name, path_or_fileobj=what)
        for name, what in files.items()
    ]
    try:
        api.create_repo(repository, repo_type=kind, private=private, exist_ok=True)
        done = api.create_commit(repository, additions, commit_message=message, repo_type=kind)
    except (OSError, ValueError) as error:  # its own errors and those of the connection are these
        reason = " ".join(str(error).split()) or type(error).__name__
        remedy = "see HF_ENDPOINT and HF_TOKEN; what was written here stays"
        raise DataError(Fault(repository, f"not pushed ({reason[:200]})", "", remedy)) from error
    return str(done.commit_url)
