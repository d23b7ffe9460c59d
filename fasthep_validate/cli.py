"""The command ``fasthep-validate``; thin: it reads options, runs a campaign and prints its report."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import traceback
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fasthep_validate import __version__
from fasthep_validate.console import progress
from fasthep_validate.errors import ConfigError, FasthepValidateError, Interrupted, JudgeError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fasthep_validate.models.profile import SiteProfile
    from fasthep_validate.models.report import CheckInfo, Report

EXAMPLES = """\b
Examples:
  fasthep-validate --site local                 is this machine fit? (start here)
  fasthep-validate --site local --pool gpu=1    with one more pool
  fasthep-validate --site ./mysite.yaml --dry-run
  fasthep-validate judge fasthep-validate-results/local/latest"""

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

Outdir = Annotated[Path, typer.Option("--outdir", metavar="DIR", help="Results go to DIR/SITE/UTC-TIME/.")]
CheckPatterns = Annotated[
    list[str] | None,
    typer.Option("--check", metavar="PATTERN", help="Judge these checks only (id, family, wildcards)."),
]
AddChecks = Annotated[
    list[Path] | None, typer.Option("--add-checks", metavar="DIR", help="Judge the checks in DIR as well.")
]
Pools = Annotated[list[str] | None, typer.Option("--pool", metavar="NAME=N", help="Workers of a pool.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the execution block.")
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
    if not site:
        raise ConfigError(
            Problem("--site", "no site is named", "Try '--site local', or 'fasthep-validate sites'.")
        )
    from fasthep_validate.campaign import load_profile
    from fasthep_validate.profiles import parse_overrides

    profile = load_profile(site, parse_overrides(pool or [], settings or []))
    display = Display(as_json, no_color, verbose)
    if dry_run:
        _dry_run(profile, display)
        return
    paths = _check_paths(add_checks or [])
    _must_select(check or [], paths)
    report = _run(profile, outdir, paths=paths, patterns=check or [], display=display)
    _print_report(report, display)
    raise typer.Exit(JudgeError.exit_code if report.exit_code is None else report.exit_code)


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
    _print_table([(s.name, s.description, s.origin) for s in found], ("site", "about", "from"))


@app.command()
def checks(add_checks: AddChecks = None, as_json: AsJson = False, verbose: Verbose = False) -> None:
    """List the checks that exist.

    Each with what it claims; -v adds what to do when it does not hold.
    """
    found = _collect(_check_paths(add_checks or []))
    if as_json:
        typer.echo(json.dumps([check.model_dump() for check in found.values()], indent=2))
        return
    rows = [
        (check.id, f"{check.claim}\n-> {check.remedy}" if verbose else check.claim)
        for check in found.values()
    ]
    _print_table(rows, ("check", "claim"))


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
    paths = _check_paths(add_checks or [])
    _must_select(check or [], paths)
    recorder = Recorder(site, folder, rejudged(folder))
    judge_run(folder, recorder, paths=paths, patterns=check or [])
    report = recorder.finish()
    _print_report(report, Display(as_json, no_color, verbose))
    raise typer.Exit(JudgeError.exit_code if report.exit_code is None else report.exit_code)


@app.command()
def pack(site: Site = "local", settings: Settings = None, as_json: AsJson = False) -> None:
    """Pack the worker environment of a site.

    Nothing is started; a run that comes after finds it packed.
    """
    from fasthep_validate.campaign import cache_folder, load_profile
    from fasthep_validate.pack import pack as pack_environment
    from fasthep_validate.profiles import parse_overrides

    profile = load_profile(site, parse_overrides([], settings or []))
    with progress(colour=True) as show:
        packed = pack_environment(profile.execution.environment, cache=cache_folder(), say=show.step)
    if as_json:
        typer.echo(packed.to_json(), nl=False)
        return
    glibc = packed.manifest.glibc
    rows = [
        ("archive", packed.archive or "none: used in place"),
        ("size", f"{packed.archive_size / 1e6:.0f} MB, {packed.manifest.files} files"),
        ("sha256", packed.sha256 or "-"),
        ("python", packed.manifest.python_version),
        ("needs glibc", f"{glibc.version} (for {glibc.needed_by})" if glibc else "no"),
        ("from cache", "yes" if packed.cached else "no"),
    ]
    _print_table(rows, ())


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


def _run(
    profile: SiteProfile, outdir: Path, *, paths: Sequence[Path], patterns: Sequence[str], display: Display
) -> Report:
    """A whole run; whatever ends it, pools are closed and the report is on disk when this returns."""
    from fasthep_validate.campaign import Campaign
    from fasthep_validate.judging import judge as judge_run
    from fasthep_validate.recorder import Recorder
    from fasthep_validate.signals import held, stoppable

    with progress(colour=not display.no_colour) as show, stoppable() as stopped:
        campaign = Campaign.begin(profile, outdir=outdir, progress=show)
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
            error = _internal(bug, recorder.results / "traceback.txt")
        return recorder.finish(error)


def _internal(bug: Exception, log: Path) -> FasthepValidateError:
    """A bug as one sentence; the traceback is kept for whoever mends it."""
    log.write_text("".join(traceback.format_exception(bug)), encoding="utf-8")
    what = f"internal error: {type(bug).__name__}: {bug}".splitlines()[0]
    return FasthepValidateError(f"{what}. Please report it, with {log}.")


def _dry_run(profile: SiteProfile, display: Display) -> None:
    """Print every job as it would be submitted: script, directives, files, and what is in the small ones."""
    from fasthep_validate import dry_run
    from fasthep_validate.campaign import cache_folder
    from fasthep_validate.pack import pack as pack_environment
    from fasthep_validate.store import RunFolder

    with progress(colour=not display.no_colour) as show:
        packed = pack_environment(profile.execution.environment, cache=cache_folder(), say=show.step)
    with tempfile.TemporaryDirectory(prefix="fasthep-validate-") as scratch:
        folder = RunFolder(Path(scratch))
        folder.create()
        jobs = dry_run.planned(profile, packed, folder)
        typer.echo(dry_run.as_json(jobs) if display.as_json else dry_run.as_text(jobs))


def _check_paths(added: Sequence[Path]) -> list[Path]:
    from fasthep_validate import bundled

    missing = [path for path in added if not path.exists()]
    if missing:
        hint = "Name a folder with test_*.py files, or one such file."
        raise ConfigError(*(Problem("--add-checks", f"{path} does not exist", hint) for path in missing))
    return [bundled.checks_dir(), *(path.absolute() for path in added)]


def _collect(paths: Sequence[Path]) -> Mapping[str, CheckInfo]:
    from fasthep_validate.judging import collect_checks

    return collect_checks(paths)


def _must_select(patterns: Sequence[str], paths: Sequence[Path]) -> None:
    """Refuse patterns that select nothing before anything is started."""
    from fasthep_validate.collecting import fits

    if not patterns and len(paths) == 1:
        return
    known = _collect(paths)
    unused = [pattern for pattern in patterns if not any(fits(identity, [pattern]) for identity in known)]
    problems = [
        Problem("--check", f"no check fits {pattern!r}", _nearest(pattern, known)) for pattern in unused
    ]
    if problems:
        raise ConfigError(*problems)


def _nearest(pattern: str, known: Mapping[str, CheckInfo]) -> str:
    names = [*known, *{check.family for check in known.values()}]
    near = get_close_matches(pattern, names, n=1)
    return f"Did you mean {near[0]!r}?" if near else "See 'fasthep-validate checks'."


def _print_report(report: Report, display: Display) -> None:
    from fasthep_validate.report.table import table

    if display.as_json:
        typer.echo(report.to_json(), nl=False)
        return
    width = shutil.get_terminal_size((100, 24)).columns
    typer.echo(table(report, colour=display.colour, width=width, verbose=display.verbose))


def _print_table(rows: Sequence[tuple[str, ...]], headers: Sequence[str]) -> None:
    from tabulate import tabulate

    typer.echo(tabulate(rows, headers=headers, tablefmt="simple" if headers else "plain"))


def _complain(message: str) -> None:
    typer.echo(f"fasthep-validate: error: {message}", err=True)


def main() -> None:
    """Run the command; every error is one clear message and an exit code of the design."""
    try:
        app()
    except FasthepValidateError as error:
        _complain(str(error))
        sys.exit(error.code if isinstance(error, Interrupted) else error.exit_code)
    except Exception as bug:  # noqa: BLE001 - never a traceback for the user
        with tempfile.NamedTemporaryFile("w", prefix="fasthep-validate-", suffix=".txt", delete=False) as log:
            _complain(str(_internal(bug, Path(log.name))))
        sys.exit(FasthepValidateError.exit_code)
