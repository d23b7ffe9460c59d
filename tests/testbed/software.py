"""What the submit node sees of the host: the checkout, a virtualenv, the interpreter below it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from fasthep_validate import process
from tests.testbed.errors import Refusal
from tests.testbed.places import CHECKOUT, FILES

COMMAND = Path("bin") / "fasthep-validate"
SHARED_WITH_NODE = (Path("/"), Path("/usr"), Path("/usr/local"))


@dataclass(frozen=True)
class Software:
    """What is added to the submit node.

    Attributes:
        binds: paths of the host that are there read-only, under the same name.
        links: symbolic links, by their path.
    """

    binds: tuple[Path, ...] = ()
    links: tuple[tuple[Path, str], ...] = ()


def of_prefix(prefix: Path | None) -> Software:
    """What it takes to run the command of a virtualenv.

    Raises:
        Refusal: there is no such command, or no interpreter that runs.
    """
    if prefix is None:
        return Software()
    if not (prefix / COMMAND).exists():
        raise Refusal(f"--env: {prefix} has no {COMMAND}. Name a virtualenv with the package installed.")
    python = prefix / "bin" / "python"
    done = process.run([python, "-I", FILES / "interpreter.py"], timeout=60)
    if not done.ok:
        raise Refusal(f"--env: {python} does not run. {done.stderr.strip()}")
    facts = json.loads(done.stdout)
    base, files = Path(facts["base"]), [Path(name) for name in facts["files"]]
    outside = links_outside(prefix, python) if base in SHARED_WITH_NODE else []
    return Software(
        binds=outermost([CHECKOUT, prefix, *(files if base in SHARED_WITH_NODE else [base])]),
        links=(*outside, (Path("/usr/local") / COMMAND, str(prefix / COMMAND))),
    )


def outermost(paths: list[Path]) -> tuple[Path, ...]:
    """The paths that are in no other one, each once."""
    return tuple(path for path in dict.fromkeys(paths) if not any(other in path.parents for other in paths))


def links_outside(prefix: Path, path: Path) -> list[tuple[Path, str]]:
    """The symbolic links on the way from a path in a prefix to its file, without those in the prefix."""
    found: list[tuple[Path, str]] = []
    while path.is_symlink():
        target = path.readlink()
        if prefix not in path.parents:
            found.append((path, str(target)))
        path = path.parent / target
    return found
