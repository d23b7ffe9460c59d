"""``status``, ``results``, ``retrieve``, ``stop``: for runs that go on without a terminal, or have ended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fasthep_validate.cli.app import app
from fasthep_validate.cli.options import AsJson, Display, NoColour, Verbose
from fasthep_validate.cli.showing import print_report, print_table
from fasthep_validate.errors import FasthepValidateError, JudgeError, Unfinished

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fasthep_validate.detached import Life, State

Run = Annotated[
    str,
    typer.Argument(metavar="[RUN]", help="Folder of a run; the newest one without it.", show_default=False),
]
PATIENCE = 300.0  # seconds for a run to close its pools

ADVICE: Mapping[Life, str] = {
    "goes on": "Ask again later; 'fasthep-validate results' shows what is known so far, 'stop' ends it.",
    "ended": "'fasthep-validate results' shows its report.",
    "dead": "Its command was killed. What is left of it is removed by 'fasthep-validate stop', or by the next run; "
    "'results' shows what was known.",
    "elsewhere": "Only the machine of its command can tell whether it goes on: ask there.",
}


@app.command()
def status(run: Run = "", as_json: AsJson = False) -> None:
    """Tell how far a run is.

    Whether its command lives, and the job and phase of every worker.
    """
    from fasthep_validate import detached

    state = detached.look(detached.find(run))
    if as_json:
        command = state.command.model_dump() if state.command else None
        workers = [worker._asdict() for worker in state.workers]
        fields = {**state._asdict(), "folder": str(state.folder), "command": command, "workers": workers}
        typer.echo(json.dumps(fields, indent=2))
        return
    doing = f"it said last: {state.doing}\n" if state.doing else ""
    typer.echo(f"{state.folder}\nsite {state.site}: the run {_life(state)}\n{doing}")
    rows = [
        (worker.worker, worker.job or "-", worker.queue or "-", worker.phase, _ago(worker.seconds))
        for worker in state.workers
    ]
    print_table(rows, ("worker", "job", "in the queue", "phase", "since"))
    if state.problem:
        typer.echo(f"\nThe queue could not be asked: {state.problem}")
    typer.echo(f"\n{ADVICE[state.life]}")


@app.command()
def results(
    run: Run = "", as_json: AsJson = False, no_color: NoColour = False, verbose: Verbose = False
) -> None:
    """Show the report of a run.

    Of one that goes on, what is known so far: exit code 7. Otherwise the exit code is the run's.
    """
    from fasthep_validate import detached
    from fasthep_validate.models.report import Report
    from fasthep_validate.store import RunFolder, read_model

    folder = detached.find(run)
    life = detached.life(folder)
    report = read_model(RunFolder(folder).results / "report.json", Report)
    print_report(report, Display(as_json, no_color, verbose))
    if report.exit_code is not None:
        raise typer.Exit(report.exit_code)
    if life == "dead":
        raise JudgeError(f"{folder}: the command of this run was killed: there is no verdict. Run it again.")
    raise Unfinished(f"{folder}: the run goes on; this is what is known so far. Ask again later.")


@app.command()
def retrieve(
    run: Run = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Archive to write (.tar.gz).")
    ] = None,
) -> None:
    """Write one archive of a run, without secrets, to send to somebody who can help."""
    from fasthep_validate import detached
    from fasthep_validate.bundle import bundle

    folder = detached.find(run)
    target = (output or Path(f"fasthep-validate-{folder.parent.name}-{folder.name}.tar.gz")).absolute()
    left_out = bundle(folder, target)
    without = f", without {len(left_out)} files ({', '.join(left_out[:3])})" if left_out else ""
    typer.echo(f"{target}: {target.stat().st_size / 1e6:.1f} MB{without}")
    typer.echo("It holds no keys; logs, paths, user and host names are in it. Look before you send it far.")


@app.command()
def stop(run: Run = "") -> None:
    """End a run in order: jobs removed, logs collected, report written."""
    from fasthep_validate import detached, leftovers, records

    folder = detached.find(run)
    life = detached.stop(folder, timeout=PATIENCE)
    record = records.of_run(folder)
    if life == "dead" and record:
        typer.echo(leftovers.remove(record))
    elif life == "goes on":
        raise FasthepValidateError(f"{folder}: still closing after {PATIENCE:g} s. Ask 'status' later.")
    else:
        typer.echo(f"{folder}: the run has ended. 'fasthep-validate results' shows its report.")


def _life(state: State) -> str:
    if state.command is None:
        return "has ended" if state.life == "ended" else "was killed"
    where = f"process {state.command.pid} on {state.command.host}"
    words = {"goes on": f"goes on, as {where}", "dead": f"was killed ({where} is dead)"}
    return words.get(state.life, f"belongs to {where}")


def _ago(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
