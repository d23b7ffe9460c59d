"""A whole run, and the plan of one."""

from __future__ import annotations

import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fasthep_validate.console import progress
from fasthep_validate.errors import FasthepValidateError, Interrupted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fasthep_validate.cli.options import Display
    from fasthep_validate.models.profile import SiteProfile
    from fasthep_validate.models.report import Report
    from fasthep_validate.store import RunFolder


def chosen_profile(
    site: str, workflow: Path | None, pool: Sequence[str], settings: Sequence[str], *, nodes: str = ""
) -> SiteProfile:
    """The profile of a site, with a workflow's execution block laid over it where one is given.

    Raises:
        ConfigError: with every mistake of the profile, the workflow and the options.
    """
    from fasthep_validate.campaign import load_profile, pinned
    from fasthep_validate.profiles import parse_overrides

    overrides = parse_overrides(pool, settings)
    if workflow is None:
        return load_profile(site, overrides, nodes=nodes)
    from fasthep_validate.flow.needs import workflow_site

    return pinned(workflow_site(workflow, site=site, overrides=overrides), nodes)


def run(
    profile: SiteProfile,
    outdir: Path,
    *,
    paths: Sequence[Path],
    patterns: Sequence[str],
    display: Display,
    prepared: RunFolder | None = None,
) -> Report:
    """A whole run; whatever ends it, pools are closed and the report is on disk when this returns.

    ``prepared`` is the run's folder, if there is one already.
    """
    from fasthep_validate.campaign import Campaign
    from fasthep_validate.judging import judge as judge_run
    from fasthep_validate.recorder import Recorder
    from fasthep_validate.signals import held, stoppable

    with progress(colour=not display.no_colour) as show, stoppable() as stopped:
        folder = prepared or Campaign.prepare_folder(profile, outdir=outdir)
        campaign = Campaign.resume(profile, folder, progress=show)
        recorder = Recorder(profile, campaign.folder)
        error: FasthepValidateError | None = None
        try:
            try:
                campaign.open()
                campaign.gather()
                show.step("judging")
                judge_run(campaign.folder, recorder, paths=paths, patterns=patterns, close=campaign.close)
                error = campaign.workers_error()
            finally:
                with held():
                    campaign.close()
        except FasthepValidateError as failure:
            error = failure
        except KeyboardInterrupt:
            error = Interrupted(stopped.signum)
        except Exception as bug:  # noqa: BLE001 - a bug of ours must not lose what the run has found
            error = internal(bug, recorder.results / "traceback.txt")
        return recorder.finish(error)


def print_plan(profile: SiteProfile, outdir: Path, *, display: Display) -> None:
    """Print every job as it would be submitted: script, directives, files, and what is in the small ones."""
    from fasthep_validate import dry_run, preflight
    from fasthep_validate.campaign import cache_folder
    from fasthep_validate.pack import pack as pack_environment
    from fasthep_validate.store import RunFolder

    preflight.check_paths(profile, outdir=outdir, cache=cache_folder())
    with progress(colour=not display.no_colour) as show:
        packed = pack_environment(profile.execution.environment, cache=cache_folder(), say=show.step)
    with tempfile.TemporaryDirectory(prefix="fasthep-validate-") as scratch:
        folder = RunFolder(Path(scratch))
        folder.create()
        jobs = dry_run.planned(profile, packed, folder)
        show_as = dry_run.as_json if display.as_json else dry_run.as_text
        typer.echo(show_as(jobs, profile.execution))


def internal(bug: Exception, log: Path) -> FasthepValidateError:
    """A bug as one sentence; the traceback is kept for whoever mends it."""
    log.write_text("".join(traceback.format_exception(bug)), encoding="utf-8")
    what = f"internal error: {type(bug).__name__}: {bug}".splitlines()[0]
    return FasthepValidateError(f"{what}. Please report it, with {log}.")
