"""The jinja2 environment of the C templates: ``//% if`` lines, ``{{ name }}`` values, nothing undefined."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from nnrules.catalog.paths import KERNELS


@cache
def environment(folder: Path = KERNELS) -> jinja2.Environment:
    """Templates are named by their path relative to ``folder``; each is compiled once, as long as its file stays."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        line_statement_prefix="//%",
        line_comment_prefix="//#",
        keep_trailing_newline=True,
        trim_blocks=True,
        autoescape=False,
    )


def render(template: str, folder: Path = KERNELS, **context: Any) -> str:
    """One template filled in."""
    return environment(folder).get_template(template).render(**context)


def port_header(folder: Path = KERNELS) -> str:
    """nn_port.h as one file: each line ``#include "nn_..."`` replaced by that file's text."""
    text = (folder / "include/nn_port.h").read_text()
    return re.sub(r'#include "(nn_\w+\.h)"\n', lambda name: (folder / "include" / name[1]).read_text(), text)
