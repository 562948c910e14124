"""Packaged Jinja2 templates become text; a name that a template does not know is an error.

Two filters write values: `yaml` through the YAML dumper, `json` through the JSON one, so that no
value is ever pasted into a file as it happens to print.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import jinja2
import jinja2.sandbox

from cotdistill.errors import BundleError, Fault
from cotdistill.files.bundle import bundle_folder
from cotdistill.files.yamls import yaml_scalar


@functools.cache
def _environment(folder: Path) -> jinja2.Environment:
    environment = jinja2.sandbox.SandboxedEnvironment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # these are YAML, JSON and Python files, never HTML
    )
    environment.filters["yaml"] = yaml_scalar
    environment.filters["json"] = functools.partial(json.dumps, ensure_ascii=False)
    return environment


def render(template: str, values: dict[str, Any], folder: Path | None = None) -> str:
    """Return a template of `templates/` (or of another folder) filled in with values.

    Raises:
        BundleError: there is no such template, it is not Jinja2, or it asks for a value that was
            not given or for what the sandbox does not allow.
    """
    try:
        return _template(template, folder).render(values)
    except jinja2.TemplateError as error:
        raise _fault(template, folder, error) from error


@functools.cache
def _template(template: str, folder: Path | None) -> jinja2.Template:
    """Look a template up once: a judge fills the same one in thousands of times a second."""
    return _environment(folder or bundle_folder("templates")).get_template(template)


def _fault(template: str, folder: Path | None, error: jinja2.TemplateError) -> BundleError:
    place = str((folder or bundle_folder("templates")) / template)
    if isinstance(error, jinja2.TemplateNotFound):
        return BundleError(Fault(place, f"no such template ({error.name})"))
    if isinstance(error, jinja2.TemplateSyntaxError):
        return BundleError(Fault(f"{place}:{error.lineno}", f"not Jinja2 ({error})"))
    if isinstance(error, jinja2.UndefinedError):
        return BundleError(Fault(place, f"a value is missing ({error})"))
    return BundleError(Fault(place, f"cannot be filled in ({error})"))  # the sandbox says no
