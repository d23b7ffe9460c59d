"""Nodes of an HTCondor pool: machines that its collector knows, by their slots."""

from __future__ import annotations

import json
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from fasthep_validate.batch.command import ask
from fasthep_validate.errors import SubmitError
from fasthep_validate.models.node import BatchNode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fasthep_validate.models.node import NodeState

PATIENCE = 60.0  # seconds for the collector
ANSWER = 10.0  # seconds for one startd
AT_ONCE = 16  # startds that are asked at the same time
ATTRIBUTES = "Machine,Name,State,Offline,Draining,DrainReason"


class HTCondorNodes:
    """The machines of the pool that this submit host belongs to."""

    def nodes(self, address: Sequence[str] = ()) -> tuple[BatchNode, ...]:
        """One node for each machine, whatever its slots."""
        words = ["condor_status", *_pool(address), "-json", "-attributes", ATTRIBUTES]
        done = ask(words, timeout=PATIENCE)
        if not done.ok:
            said = " ".join((done.stderr or done.stdout).split())
            raise SubmitError(f"condor_status: the nodes could not be asked for: {said}.")
        slots = defaultdict(list)
        for ad in _ads(done.stdout):
            slots[str(ad["Machine"])].append(ad)
        return tuple(_node(machine, ads) for machine, ads in sorted(slots.items()))

    def pinned(self, directives: Mapping[str, str], node: str) -> dict[str, str]:
        """The machine is one more requirement, beside those of the profile."""
        here = f'(TARGET.Machine == "{node}")'
        name = next((key for key in directives if key.lower() == "requirements"), "requirements")
        others = directives.get(name, "")
        return {**directives, name: f"({others}) && {here}" if others.strip() else here}

    def silent(self, names: Sequence[str], address: Sequence[str] = ()) -> Mapping[str, str]:
        """Machines whose startd does not answer; the collector lists them for 15 minutes more."""
        with ThreadPoolExecutor(AT_ONCE, "condor_status") as pool:
            found = pool.map(partial(_silence, where=_pool(address)), names)
            return {name: why for name, why in zip(names, found, strict=True) if why}


def _pool(address: Sequence[str]) -> list[str]:
    """The collector out of the arguments that name a schedd and its collector."""
    words = list(address)
    return words[words.index("-pool") :][:2] if "-pool" in words else []


def _silence(machine: str, *, where: Sequence[str]) -> str:
    words = ["condor_status", *where, "-direct", machine, "-af", "Machine"]
    done = ask(words, timeout=ANSWER)
    return "" if done.ok and done.stdout.strip() else "its startd does not answer"


def _ads(text: str) -> list[dict[str, Any]]:
    try:
        ads: list[dict[str, Any]] = json.loads(text) if text.strip() else []
    except ValueError:
        words = " ".join(text.split())[:200]
        raise SubmitError(
            f"condor_status: expected JSON, got {words!r}. Is another program of this name on PATH?"
        ) from None
    return [ad for ad in ads if "Machine" in ad]


def _node(machine: str, ads: Sequence[dict[str, Any]]) -> BatchNode:
    reason = next((str(ad["DrainReason"]) for ad in ads if "DrainReason" in ad), "")
    draining = any(ad.get("Draining") is True or ad.get("State") == "Drained" for ad in ads)
    if any(ad.get("Offline") is True for ad in ads):
        return BatchNode(name=machine, state="down", reason="it is switched off (Offline)")
    if draining:
        return BatchNode(name=machine, state="drained", reason=reason)
    taken = sorted({str(ad.get("State")) for ad in ads} - {"Unclaimed"})
    state: NodeState = "busy" if taken else "idle"
    return BatchNode(name=machine, state=state, reason=f"slots are {' and '.join(taken)}" if taken else "")
