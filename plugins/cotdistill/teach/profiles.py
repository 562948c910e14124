"""Named sets of defaults for `teach`, files of `templates/prompts/teach/profiles` or of yours."""

from __future__ import annotations

from pathlib import Path

import pydantic

from cotdistill.corpus.records.shape import Reasoning
from cotdistill.errors import MisuseError, did_you_mean
from cotdistill.files.bundle import bundle_files
from cotdistill.files.yamls import read_yaml
from cotdistill.teach.limits import MOST_SAMPLES


class Profile(pydantic.BaseModel):
    """What a profile sets; options that are typed go before it."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    format: str = "natural"
    temperature: float | None = None
    max_tokens: int = pydantic.Field(default=1024, ge=1)
    samples: int = pydantic.Field(default=1, ge=1, le=MOST_SAMPLES)
    thinking: bool | None = None
    reasoning: Reasoning = "drop"


def profile_called(name: str | None) -> Profile:
    """Return a profile by its name or its file; without a name the defaults.

    Raises:
        MisuseError: there is no such profile, or its file has a key or value that none has.

    >>> profile_called("long").thinking
    True
    """
    if name is None:
        return Profile()
    known = {path.stem: path for path in bundle_files("templates", "prompts/teach/profiles/*.yaml")}
    path = Path(name) if name.endswith((".yaml", ".yml")) else known.get(name)
    if path is None or not path.is_file():
        raise MisuseError(f"--profile: no profile '{name}'; {did_you_mean(name, list(known))}")
    try:
        return Profile.model_validate(read_yaml(path))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise MisuseError(f"{path}:{where}: {first['msg']}") from error
