"""The command ``fasthep-validate``; thin: it reads options, runs a campaign and prints its report."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import typer

from fasthep_validate.cli import follow, judge, lists, pack, run  # noqa: F401 - each adds its commands
from fasthep_validate.cli.app import app
from fasthep_validate.cli.running import internal
from fasthep_validate.errors import FasthepValidateError, Interrupted

__all__ = ["app", "main"]


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
            _complain(str(internal(bug, Path(log.name))))
        sys.exit(FasthepValidateError.exit_code)
