"""How long it takes from submission to the first task on a real HTCondor and a real Slurm, transfer of the archive included.

``python -m benchmarks.packing_testbed [--rounds N] [--minutes M] [--page FILE]``, as root on Debian (see
``docs/how-to/testbed.md``); the environment is the virtualenv that runs the command. Brings the testbed up, and down in
the end; one that is up already is used and left. The peer is not measured: its bootstrap needs a Python on the node, and
the nodes have none; for Slurm it has no strategy.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.first_task import measure
from benchmarks.packing import PAGE
from benchmarks.tables import profile, put
from tests.testbed import control, state
from tests.testbed.__main__ import default_prefix
from tests.testbed.fixtures import Site
from tests.testbed.places import Places
from tests.testbed.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SCRIPT = Path(measure.__code__.co_filename)
# One node, so that the second run finds what the first has left there.
PINNED = {
    "htcondor": {"requirements": 'Machine == "wn1.testbed"'},
    "slurm": ["--nodelist=wn1"],
}
HOME = "/home/alice"
LIMIT = 300.0  # seconds for one start

Numbers = dict[str, dict[str, list[float]]]


def site_profile(system: str, node_cache: str) -> str:
    """One worker of one core; YAML that is JSON."""
    return json.dumps(
        {
            "site": "bench",
            "extends": f"testbed-{system}",
            **({"node_cache": {"path": node_cache}} if node_cache else {}),
            "execution": {
                "pools": {"default": {"resources": "default", "workers": 1}},
                "config": {"job_extra_directives": PINNED[system]},
            },
        }
    )


def start(site: Site, system: str, name: str, node_cache: str = "") -> dict[str, float]:
    """Start one worker, as alice on the submit node."""
    site.write("submit", f"{HOME}/{name}.yaml", site_profile(system, node_cache))
    command = ("python", str(SCRIPT), f"{HOME}/{name}.yaml", f"{HOME}/{name}")
    words = ("env", f"HOME={HOME}", str(Path(sys.prefix, "bin", command[0])), *command[1:])
    done = site.run("submit", *words, timeout=LIMIT)
    if not done.ok:
        raise SystemExit(f"{system}, {name}: {done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(f"{system} {name}: {found}", file=sys.stderr, flush=True)
    return found


def starts(site: Site, system: str, number: int) -> Iterator[tuple[str, Mapping[str, float]]]:
    """A cold node, a node that is to keep the environment, and the same node again."""
    cache = f"/srv/{system}-{number}"
    site.output("wn1", "install", "-d", "-m", "1777", cache, user="root")
    yield "cold", start(site, system, f"cold-{number}")
    yield "cold, node cache", start(site, system, f"fill-{number}", cache)
    yield "again, node cache", start(site, system, f"again-{number}", cache)
    site.output("wn1", "rm", "-rf", cache, user="root")


def rounds(site: Site, count: int, ends: float) -> Numbers:
    """All systems in turn, until so many rounds are done or the time is up."""
    numbers: Numbers = defaultdict(lambda: defaultdict(list))
    for system in PINNED:
        start(site, system, "first")  # packs; that is measured by benchmarks/packing.py
    for number in range(count):
        begun = time.monotonic()
        for system in PINNED:
            for kind, found in starts(site, system, number):
                for step, seconds in found.items():
                    numbers[f"{system}, {kind}"][step].append(seconds)
        if time.monotonic() + (time.monotonic() - begun) > ends:
            break
    return numbers


def main() -> None:
    """Measure, print, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="at most so many")
    parser.add_argument("--minutes", type=float, default=15.0, help="no new round that would end later")
    parser.add_argument("--page", type=Path, default=PAGE, help="page that gets the table")
    given = parser.parse_args()
    ends = time.monotonic() + 60 * given.minutes
    places = Places.of_user()
    known = state.read(places)
    ours = known is None or not known.supervisor.alive
    if ours:
        control.up(places, Plan(prefix=default_prefix()), lambda line: print(line, file=sys.stderr))
    try:
        numbers = rounds(Site(places, control.current(places)), given.rounds, ends)
    finally:
        if ours:
            control.down(places)
    count = max(len(values) for column in numbers.values() for values in column.values())
    text = f"Medians of {count} round{'s' if count > 1 else ''}.\n\n{profile(numbers)}"
    print(text)
    put(given.page, "testbed", text)


if __name__ == "__main__":
    main()
