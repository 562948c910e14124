"""Packaged Jinja2 templates become text; a name that a template does not know is an error.

Two filters write values: `yaml` through the YAML dumper, `json` through the JSON one, so that no
value is ever pasted into a file as it happens to print.
"""

from __future__ import annotations

import functools
import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import jinja2.sandbox
from jinja2 import nodes
from jinja2.loaders import split_template_path

from cotdistill.errors import BundleError, Fault
from cotdistill.files.bundle import Bundle, bundle_file, bundle_folders, bundles
from cotdistill.files.yamls import yaml_scalar


class _BundleLoader(jinja2.BaseLoader):
    """Finds templates in all bundles, so that one bundle's template may include another's."""

    def get_source(
        self,
        environment: jinja2.Environment,  # noqa: ARG002
        template: str,
    ) -> tuple[str, str, Callable[[], bool]]:
        """Return a template's text, its path, and what tells whether it is unchanged."""
        name = "/".join(split_template_path(template))
        if not any((folder / name).is_file() for folder in bundle_folders("templates")):
            raise jinja2.TemplateNotFound(template)
        path = bundle_file("templates", name)
        stamp = path.stat().st_mtime_ns
        text = path.read_text(encoding="utf-8")
        return text, str(path), lambda: path.is_file() and path.stat().st_mtime_ns == stamp


@functools.cache
def _environment(folder: Path | None, _bundles: tuple[Bundle, ...]) -> jinja2.Environment:
    environment = jinja2.sandbox.SandboxedEnvironment(
        loader=_BundleLoader() if folder is None else jinja2.FileSystemLoader(folder),
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
    """Return a template of the bundles' `templates/` (or of a folder) filled in with values.

    Raises:
        BundleError: there is no such template, two bundles have it, it is not Jinja2, or it asks
            for a value that was not given or for what the sandbox does not allow.
    """
    try:
        return _environment(folder, bundles()).get_template(template).render(values)
    except jinja2.TemplateError as error:
        raise _fault(template, folder, error) from error


_MOST_SKELETONS = 512
_CHANGES_OUTPUT = (
    nodes.AssignBlock, nodes.Block, nodes.CallBlock, nodes.EvalContextModifier, nodes.Extends,
    nodes.FilterBlock, nodes.Include, nodes.Macro,
)  # fmt: skip
"""What may change a text after it was put out, or sees values without naming them."""


def renderer(
    template: str, pasted: Sequence[str], folder: Path | None = None
) -> Callable[[Mapping[str, Any]], str]:
    """Return what fills a template in many times, where the values named `pasted` differ.

    Where the template only pastes those values as they are, the text around them is kept for each
    set of the other values, which costs a twentieth of filling the template in. The file is read
    once.

    Raises:
        BundleError: as `render`; later too, when a value is missing.
    """
    try:
        environment = _environment(folder, bundles())
        loaded = environment.get_template(template)
        assert environment.loader is not None
        source = environment.loader.get_source(environment, template)[0]
        tree = environment.parse(source)
        only_pasted = all(_is_only_pasted(tree, name) for name in pasted)
    except jinja2.TemplateError as error:
        raise _fault(template, folder, error) from error
    mark = secrets.token_hex(16)  # which no value holds
    marks = {name: f"{mark} {name} {mark}" for name in pasted}
    pasted_here = re.compile(f"{mark} (.+?) {mark}")
    skeletons: dict[str, list[str]] = {}

    def filled(values: Mapping[str, Any]) -> str:
        try:
            if not only_pasted:
                return loaded.render(values)
            others = repr([value for name, value in values.items() if name not in marks])
            skeleton = skeletons.get(others)
            if skeleton is None:
                skeleton = pasted_here.split(loaded.render({**values, **marks}))
                if len(skeletons) >= _MOST_SKELETONS:
                    skeletons.clear()
                skeletons[others] = skeleton
            parts = skeleton.copy()
            parts[1::2] = [str(values[name]) for name in skeleton[1::2]]
            return "".join(parts)
        except jinja2.TemplateError as error:
            raise _fault(template, folder, error) from error

    return filled


def _is_only_pasted(tree: nodes.Template, name: str) -> bool:
    """Return whether a template uses a value in nothing but `{{ name }}`."""
    if next(tree.find_all(_CHANGES_OUTPUT), None) is not None:
        return False
    imports = tree.find_all((nodes.Import, nodes.FromImport))
    if any(getattr(node, "with_context", True) for node in imports):
        return False
    used = sum(node.name == name for node in tree.find_all(nodes.Name))
    put_out = sum(
        isinstance(node, nodes.Name) and node.name == name
        for output in tree.find_all(nodes.Output)
        for node in output.nodes
    )
    return used == put_out


def parse_template(template: str) -> None:
    """Parse a template of the bundles' `templates/` without filling it in.

    Raises:
        BundleError: there is no such template, two bundles have it, or it is not Jinja2.
    """
    try:
        _environment(None, bundles()).get_template(template)
    except jinja2.TemplateError as error:
        raise _fault(template, None, error) from error


def _fault(template: str, folder: Path | None, error: jinja2.TemplateError) -> BundleError:
    folders = bundle_folders("templates") if folder is None else [folder]
    paths = [path for each in folders if (path := each / template).is_file()]
    place = str(paths[0] if paths else folders[-1] / template)
    if isinstance(error, jinja2.TemplateNotFound):
        return BundleError(Fault(place, f"no such template ({error.name})"))
    if isinstance(error, jinja2.TemplateSyntaxError):
        return BundleError(Fault(f"{place}:{error.lineno}", f"not Jinja2 ({error})"))
    if isinstance(error, jinja2.UndefinedError):
        return BundleError(Fault(place, f"a value is missing ({error})"))
    return BundleError(Fault(place, f"cannot be filled in ({error})"))  # the sandbox says no
