"""Options that several commands share, and how results are shown."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

Outdir = Annotated[Path, typer.Option("--outdir", metavar="DIR", help="Results go to DIR/SITE/UTC-TIME/.")]
CheckPatterns = Annotated[
    list[str] | None,
    typer.Option("--check", metavar="PATTERN", help="Judge these checks only (id, family, wildcards)."),
]
AddChecks = Annotated[
    list[Path] | None, typer.Option("--add-checks", metavar="DIR", help="Judge the checks in DIR as well.")
]
Pools = Annotated[list[str] | None, typer.Option("--pool", metavar="NAME=N", help="Workers of a pool.")]
Nodes = Annotated[
    str,
    typer.Option(
        "--nodes", metavar="WHICH", help="One worker on each node: all, up, idle, partition:P, A,B."
    ),
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the execution block.")
]
Workflow = Annotated[
    Path | None,
    typer.Option(
        "--workflow", metavar="FILE", help="Validate what this FAST-HEP workflow needs of the site."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
NoColour = Annotated[bool, typer.Option("--no-color", help="No colours (also: NO_COLOR=1).")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show every check, and more of each.")]
Site = Annotated[str, typer.Option("--site", metavar="NAME|PATH", help="Site to validate; see 'sites'.")]


@dataclass(frozen=True)
class Display:
    """How results are printed."""

    as_json: bool = False
    no_colour: bool = False
    verbose: bool = False

    @property
    def colour(self) -> bool:
        """Whether standard output takes colours."""
        return not self.no_colour and not os.environ.get("NO_COLOR") and sys.stdout.isatty()
