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
    root = folder or bundle_folder("templates")
    place = str(root / template)
    try:
        return _environment(root).get_template(template).render(values)
    except jinja2.TemplateNotFound as error:
        raise BundleError(Fault(place, f"no such template ({error.name})")) from error
    except jinja2.TemplateSyntaxError as error:
        raise BundleError(Fault(f"{place}:{error.lineno}", f"not Jinja2 ({error})")) from error
    except jinja2.UndefinedError as error:
        raise BundleError(Fault(place, f"a value is missing ({error})")) from error
    except jinja2.TemplateError as error:  # such as what the sandbox does not allow
        raise BundleError(Fault(place, f"cannot be filled in ({error})")) from error
