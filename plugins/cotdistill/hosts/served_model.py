"""Whether a server answers with the model that it was asked for: proxies may route elsewhere."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from cotdistill.errors import Fault, FaultsError
from cotdistill.hosts.request import Reply, Request

_LATEST = re.compile(r"[-:]latest$")
_VERSION = re.compile(r"[-@](\d{3,8}|\d{4}-\d{2}(-\d{2})?)")  # -0613, -001, -20241022, -2024-08-06


@dataclass
class ServedModels:
    """Compares the model of each reply with the one asked for; `any_model` accepts every name."""

    any_model: bool = False
    _accepted: set[tuple[str, str]] = field(default_factory=set)  # asked for, served

    def check(self, request: Request, reply: Reply) -> None:
        """Refuse a reply of another model; a reply that names none is accepted.

        Raises:
            FaultsError: the server names another model.
        """
        asked, served = request.model, reply.model
        if not served or self.any_model or (asked, served) in self._accepted:
            return
        if not is_same_model(asked, served):
            wrong = f"the server answers as '{served}'"
            remedy = (
                "name that model, or accept it with --any-model, in a study with 'any_model: true' "
                "of the model"
            )
            raise FaultsError(Fault(f"model '{asked}'", wrong, f"'{asked}'", remedy))
        self._accepted.add((asked, served))


def is_same_model(asked: str, served: str) -> bool:
    """Whether a server's name of a model may be the one that was asked for.

    Folders and case do not count. A server may add a date or a version of digits only, and may
    serve under such a name what was asked for as the latest one.

    >>> is_same_model("Qwen/Qwen2.5-72B", "qwen2.5-72b"), is_same_model("gpt-4o", "gpt-4o-2024-08")
    (True, True)
    >>> is_same_model("mistral-large-latest", "mistral-large-2411")
    True
    >>> is_same_model("gpt-4o", "gpt-4o-mini"), is_same_model("claude-3", "claude-3-5")
    (False, False)
    """
    one, other = (_LATEST.sub("", _last_part(name)) for name in (asked, served))
    return one == other or (other.startswith(one) and bool(_VERSION.fullmatch(other, len(one))))


def _last_part(name: str) -> str:
    return name.lower().rstrip("/").rpartition("/")[2]
