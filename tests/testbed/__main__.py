"""The command: ``python -m tests.testbed up|status|exec|down``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from pydantic import ValidationError

from tests.testbed import control
from tests.testbed.errors import Failure, Refusal
from tests.testbed.places import Places
from tests.testbed.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType

    from tests.testbed.plan import System

BATCH: Mapping[str, tuple[System, ...]] = {
    "htcondor": ("htcondor",),
    "slurm": ("slurm",),
    "both": ("htcondor", "slurm"),
}


def main(words: list[str]) -> int:
    """Run one command; the exit code is 1 for a failure, 2 for what is not tried."""
    split = words.index("--") if "--" in words else len(words)
    options = parser().parse_args(words[:split])
    places = Places.of_user()
    try:
        return COMMANDS[options.command](places, options, words[split + 1 :])
    except Failure as error:
        print(error, file=sys.stderr)
        return error.exit_code


def parser() -> argparse.ArgumentParser:
    """The options; what comes after ``--`` is not among them."""
    top = argparse.ArgumentParser(prog="python -m tests.testbed", description=control.__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="bring it up; returns when the batch systems are ready")
    up.add_argument("--batch", choices=sorted(BATCH), default="both", help="batch systems that run")
    up.add_argument("--nodes", type=int, default=2, metavar="N", help="number of worker nodes, 2 to 99")
    up.add_argument("--shared-home", action="store_true", help="all nodes see the same /home")
    up.add_argument("--env", type=Path, metavar="PREFIX", help="virtualenv that has fasthep-validate")
    commands.add_parser("status", help="the nodes, and what the batch systems say of them")
    run = commands.add_parser(
        "exec", help="run a command on a node", usage="exec NODE [--user NAME] -- CMD..."
    )
    run.add_argument("node")
    run.add_argument("--user", default="root", help="root (default), alice or bob")
    commands.add_parser("down", help="take it down")
    return top


def default_prefix() -> Path | None:
    """The virtualenv that this runs in, if any."""
    return Path(sys.prefix) if sys.prefix != sys.base_prefix else None


def _up(places: Places, options: argparse.Namespace, rest: list[str]) -> int:
    prefix = options.env.absolute() if options.env is not None else default_prefix()
    try:
        plan = Plan(
            systems=BATCH[options.batch],
            workers=options.nodes,
            shared_home=options.shared_home,
            prefix=prefix,
        )
    except ValidationError as error:
        raise Refusal(f"--nodes: {options.nodes} is not possible. {error.errors()[0]['msg']}.") from None
    control.up(places, plan, _say)
    return 0


def _status(places: Places, options: argparse.Namespace, rest: list[str]) -> int:
    for line in control.status(places):
        print(line)
    return 0


def _exec(places: Places, options: argparse.Namespace, rest: list[str]) -> int:
    if not rest:
        raise Refusal("exec: no command. Give it after --, as in: exec wn1 -- hostname")
    argv = control.argv(places, options.node, rest, user=options.user)
    os.execvp(argv[0], argv)


def _down(places: Places, options: argparse.Namespace, rest: list[str]) -> int:
    control.down(places)
    return 0


COMMANDS = {"up": _up, "status": _status, "exec": _exec, "down": _down}


def _say(text: str) -> None:
    print(f"testbed: {text}", flush=True)


def _end(signum: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + signum)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
