"""``fasthep-validate judge``: the evidence of a stored run, judged again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fasthep_validate.cli.app import app
from fasthep_validate.cli.options import AddChecks, AsJson, CheckPatterns, Display, NoColour, Verbose
from fasthep_validate.cli.selecting import check_paths, must_select
from fasthep_validate.cli.showing import print_report
from fasthep_validate.errors import JudgeError


@app.command()
def judge(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, such as .../local/latest.")],
    check: CheckPatterns = None,
    add_checks: AddChecks = None,
    as_json: AsJson = False,
    no_color: NoColour = False,
    verbose: Verbose = False,
) -> None:
    """Judge the evidence of a run again.

    Nothing is started, and the run's own verdict stays as it is.
    """
    from fasthep_validate.judging import judge as judge_run
    from fasthep_validate.models.profile import SiteProfile
    from fasthep_validate.recorder import Recorder
    from fasthep_validate.store import RunFolder, read_model, rejudged
    from fasthep_validate.view import Run

    folder = RunFolder(run.absolute())
    site = read_model(folder.path / "profile.json", SiteProfile)
    Run.load(folder.path)
    paths = check_paths(add_checks or [])
    must_select(check or [], paths)
    recorder = Recorder(site, folder, rejudged(folder))
    judge_run(folder, recorder, paths=paths, patterns=check or [])
    report = recorder.finish()
    print_report(report, Display(as_json, no_color, verbose))
    raise typer.Exit(JudgeError.exit_code if report.exit_code is None else report.exit_code)
