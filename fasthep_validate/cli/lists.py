"""What there is: sites, checks, schemas."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from fasthep_validate.cli.app import app
from fasthep_validate.cli.options import AddChecks, AsJson, Verbose
from fasthep_validate.cli.selecting import check_paths, collect
from fasthep_validate.cli.showing import print_table
from fasthep_validate.errors import ConfigError, Problem


@app.command()
def sites(as_json: AsJson = False) -> None:
    """List the sites that have a profile."""
    from fasthep_validate.profiles import find_sites

    found = find_sites()
    if as_json:
        fields = [
            {"name": s.name, "path": str(s.path), "origin": s.origin, "about": s.description} for s in found
        ]
        typer.echo(json.dumps(fields, indent=2))
        return
    print_table([(s.name, s.description, s.origin) for s in found], ("site", "about", "from"))


@app.command()
def checks(add_checks: AddChecks = None, as_json: AsJson = False, verbose: Verbose = False) -> None:
    """List the checks that exist.

    Each with what it claims; -v adds what to do when it does not hold.
    """
    found = collect(check_paths(add_checks or []))
    if as_json:
        typer.echo(json.dumps([check.model_dump() for check in found.values()], indent=2))
        return
    rows = [
        (check.id, f"{check.claim}\n-> {check.remedy}" if verbose else check.claim)
        for check in found.values()
    ]
    print_table(rows, ("check", "claim"))


@app.command()
def schema(
    of: Annotated[str, typer.Argument(metavar="[report|profile]", help="What the schema is of.")] = "report",
) -> None:
    """Print the JSON schema of report or profile."""
    from fasthep_validate.profiles import profile_schema
    from fasthep_validate.report.schema import report_schema

    schemas = {"report": report_schema, "profile": profile_schema}
    if of not in schemas:
        raise ConfigError(Problem("schema", f"there is none of {of!r}", "Name 'report' or 'profile'."))
    typer.echo(json.dumps(schemas[of](), indent=2))
