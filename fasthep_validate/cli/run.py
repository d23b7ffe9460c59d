"""``fasthep-validate run``: a validation, at the terminal or without one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fasthep_validate.cli.app import app
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
from fasthep_validate.cli.running import chosen_profile
from fasthep_validate.cli.running import run as run_campaign
from fasthep_validate.cli.selecting import check_paths, must_select
from fasthep_validate.cli.showing import print_report
from fasthep_validate.errors import ConfigError, JudgeError, Problem

NEXT = """The terminal can be closed. What to do next:
  fasthep-validate status      how far it is
  fasthep-validate results     the report, also of a part
  fasthep-validate retrieve    one archive of all of it, to send to somebody
  fasthep-validate stop        end it in order"""


@app.command()
def run(
    site: Site = "",
    outdir: Outdir = Path("fasthep-validate-results"),
    check: CheckPatterns = None,
    add_checks: AddChecks = None,
    pool: Pools = None,
    settings: Settings = None,
    nodes: Nodes = "",
    workflow: Workflow = None,
    detach: Annotated[bool, typer.Option("--detach", help="Go on without this terminal.")] = False,
    as_json: AsJson = False,
    no_color: NoColour = False,
    verbose: Verbose = False,
) -> None:
    """Validate a site, as without a command.

    With --detach the terminal can be closed: for queues that take hours.
    """
    if not site and workflow is None:
        raise ConfigError(
            Problem("--site", "no site is named", "Try '--site local', or 'fasthep-validate sites'.")
        )
    profile = chosen_profile(site, workflow, pool or [], settings or [], nodes=nodes)
    display = Display(as_json, no_color, verbose)
    paths, patterns = check_paths(add_checks or []), check or []
    must_select(patterns, paths)
    if not detach:
        report = run_campaign(profile, outdir, paths=paths, patterns=patterns, display=display)
        print_report(report, display)
        raise typer.Exit(JudgeError.exit_code if report.exit_code is None else report.exit_code)

    from fasthep_validate import detached, session
    from fasthep_validate.campaign import Campaign

    for loss in session.losses():
        typer.echo(f"note: {loss}")
    folder = Campaign.prepare_folder(profile, outdir=outdir)
    arguments = [word for pattern in patterns for word in ("--check", pattern)]
    arguments += [word for path in add_checks or [] for word in ("--add-checks", str(path.absolute()))]
    pid = detached.start(folder, arguments)
    typer.echo(f"The run goes on as process {pid}, with its results in {folder.path}.\n{NEXT}")


@app.command("carry-out", hidden=True)
def carry_out(
    folder: Annotated[Path, typer.Argument(metavar="RUN")],
    check: CheckPatterns = None,
    add_checks: AddChecks = None,
) -> None:
    """Carry out a run that ``run --detach`` has prepared."""
    from fasthep_validate.models.profile import SiteProfile
    from fasthep_validate.store import RunFolder, read_model

    profile = read_model(folder / "profile.json", SiteProfile)
    report = run_campaign(
        profile,
        folder,
        paths=check_paths(add_checks or []),
        patterns=check or [],
        display=Display(no_colour=True),
        prepared=RunFolder(folder),
    )
    typer.echo(report.sentence)
    raise typer.Exit(JudgeError.exit_code if report.exit_code is None else report.exit_code)
