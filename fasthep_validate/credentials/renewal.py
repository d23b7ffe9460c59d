"""Takes a credential that was renewed on the submit host to the workers that run."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from fasthep_validate.credentials.fault import clock
from fasthep_validate.credentials.files import source
from fasthep_validate.credentials.preflight import seen_here
from fasthep_validate.errors import FasthepValidateError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from fasthep_validate.credentials.delivery import Delivery
    from fasthep_validate.models.credential import CredentialSeen

INTERVAL = 15.0  # seconds between two looks at the files


class Renewal(threading.Thread):
    """Looks at the files that were sent, and sends them again when they have been renewed.

    The copies are written anew first, so that jobs that begin later get the renewed credential too.
    """

    def __init__(
        self,
        delivery: Delivery,
        folder: Path,
        *,
        push: Callable[[Path], Mapping[str, str]],
        say: Callable[[str], None],
        interval: float = INTERVAL,
    ) -> None:
        """Nothing is watched before :meth:`start`.

        Args:
            delivery: what was sent.
            folder: the folder of the copies.
            push: takes a copy to all workers; worker -> what went wrong there, empty if nothing did.
            say: told of every renewal.
            interval: seconds between two looks.
        """
        super().__init__(name="renewal", daemon=True)
        self._delivery, self._folder = delivery, folder
        self._push, self._say, self._interval = push, say, interval
        self._last = {seen.kind: (seen, _stamp(seen)) for seen in delivery.sent}
        self._over = threading.Event()

    def run(self) -> None:
        """Look until :meth:`stop`; a look that fails is told, and the next one may succeed."""
        while not self._over.wait(self._interval):
            self.look()

    def stop(self) -> None:
        """End it."""
        self._over.set()
        if self.is_alive():
            self.join(timeout=self._interval)

    def look(self) -> None:
        """One look at every file."""
        for seen, stamp in list(self._last.values()):
            fresh = _stamp(seen)
            if fresh and fresh != stamp:
                self._last[seen.kind] = (self._renew(seen), fresh)

    def _renew(self, old: CredentialSeen) -> CredentialSeen:
        """Send what is in the file now, if it is better than what was there; returns what is in force."""
        new = seen_here(self._delivery.needs, old.kind, os.environ)
        if why := _unfit(old, new):
            self._say(f"credentials.{old.kind}: the file has changed and is not sent: {why}")
            return old
        try:
            failed = self._push(self._delivery.stage_one(new, self._folder))
        except FasthepValidateError as error:
            self._say(f"credentials.{old.kind}: renewed, and not taken to the workers: {error}")
            return old
        self._say(f"credentials.{old.kind}: renewed on the workers, until {clock(new.expires or 0.0)}")
        for worker, words in failed.items():
            if words:
                self._say(f"credentials.{old.kind}: not renewed on {worker}: {words}")
        return new


def _unfit(old: CredentialSeen, new: CredentialSeen) -> str:
    if new.fault:
        return new.detail
    if new.identity != old.identity:
        return f"it is {new.identity}'s, and not {old.identity}'s"
    if (new.expires or 0.0) <= (old.expires or 0.0):
        return "it expires no later than before"
    return ""


def _stamp(seen: CredentialSeen) -> tuple[int, int, int] | None:
    """What changes with a file's content."""
    path = source(seen)
    try:
        status = path.stat() if path else None
    except OSError:
        return None
    return (status.st_ino, status.st_mtime_ns, status.st_size) if status else None
