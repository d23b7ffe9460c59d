"""The command itself: ``fasthep-validate --site NAME`` without a subcommand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fasthep_validate import __version__
from fasthep_validate.cli.options import (
    AddChecks,
    AsJson,
    CheckPatterns,
    Display,
    NoColour,
    Nodes,
    Outdir,
    Pools,
    Settings,
    Site,
    Verbose,
    Workflow,
)
from fasthep_validate.cli.running import chosen_profile, print_plan, run
from fasthep_validate.cli.selecting import check_paths, must_select
from fasthep_validate.cli.showing import print_report
from fasthep_validate.errors import ConfigError, JudgeError, Problem

EXAMPLES = """\b
Examples:
  fasthep-validate --site local                 is this machine fit? (start here)
  fasthep-validate --site local --pool gpu=1    with one more pool
  fasthep-validate --site ./mysite.yaml --dry-run
  fasthep-validate --site lxplus --workflow analysis.yaml
  fasthep-validate judge fasthep-validate-results/local/latest"""

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

packs = typer.Typer(invoke_without_command=True, context_settings=app.info.context_settings)
app.add_typer(packs, name="pack")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"fasthep-validate {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True, epilog=EXAMPLES)
def validate(
    context: typer.Context,
    site: Site = "",
    outdir: Outdir = Path("fasthep-validate-results"),
    check: CheckPatterns = None,
    add_checks: AddChecks = None,
    pool: Pools = None,
    settings: Settings = None,
    nodes: Nodes = "",
    workflow: Workflow = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be submitted, and stop.")
    ] = False,
    as_json: AsJson = False,
    no_color: NoColour = False,
    verbose: Verbose = False,
    version: Annotated[  # noqa: ARG001 - typer calls _version
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Tell whether FAST-HEP's distributed execution works at a site; if not, what broke and what to do."""
    if context.invoked_subcommand:
        return
    if not site and workflow is None:
        raise ConfigError(
            Problem("--site", "no site is named", "Try '--site local', or 'fasthep-validate sites'.")
        )
    profile = chosen_profile(site, workflow, pool or [], settings or [], nodes=nodes)
    display = Display(as_json, no_color, verbose)
    if dry_run:
        print_plan(profile, outdir, display=display)
        return
    paths = check_paths(add_checks or [])
    must_select(check or [], paths)
    report = run(profile, outdir, paths=paths, patterns=check or [], display=display)
    print_report(report, display)
    raise typer.Exit(JudgeError.exit_code if report.exit_code is None else report.exit_code)
