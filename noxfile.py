#!/usr/bin/env -S uv run --script

# /// script
# dependencies = ["nox>=2025.10.14"]
# ///
"""Tasks for contributors, such as nox -s lint."""

from __future__ import annotations

import nox

nox.needs_version = ">=2025.10.14"
nox.options.default_venv_backend = "uv|virtualenv"

SHELL = ("fasthep_validate/worker/bootstrap.sh", ".ci/run")


@nox.session
def lint(session: nox.Session) -> None:
    """Run all linters."""
    session.install("-e.", "--group=dev")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy")
    session.run("lint-imports")
    session.run("shellcheck", *SHELL)
    session.run("sp-repo-review", ".")


@nox.session(python=["3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """Run the tests."""
    session.install("-e.", "--group=test")
    session.run("pytest", "-n2", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; a warning is an error."""
    session.install("-e.", "--group=docs")
    session.run("sphinx-build", "-W", "-n", "-q", "docs", "docs/_build/html", *session.posargs)


@nox.session(default=False)
def build(session: nox.Session) -> None:
    """Build the source archive and the wheel."""
    session.install("build")
    session.run("python", "-m", "build")


if __name__ == "__main__":
    nox.main()
