"""A fault of a credential, and the moment for which it is one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fasthep_validate.models.credential import CredentialSeen
    from fasthep_validate.models.credentials import Credentials, Kind
    from fasthep_validate.models.execution import Pool

SKEW = 60.0  # seconds that two clocks may differ before it is told
# Ways in which something else than the file that was sent keeps the credential fresh.
RENEWED = frozenset({"sendcredential", "auks", "oauth_services"})
# sbatch(1), --time: minutes, minutes:seconds, hours:minutes:seconds, days-hours[:minutes[:seconds]].
_DAYS = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")


@dataclass(frozen=True)
class Fault:
    """Something that is wrong with a credential.

    Attributes:
        code: word that leads to its entry in the catalogue of causes.
        words: what is wrong, with the values.
        grave: whether work that requires the credential cannot do with it.
    """

    code: str
    words: str
    grave: bool = True


@dataclass(frozen=True)
class Moment:
    """When and where a credential is judged.

    Attributes:
        now: seconds since 1970.
        until: when the work that needs it will be over.
        why: how that was found, in words.
        where: ``submit`` or ``worker``.
    """

    now: float
    until: float
    why: str
    where: Literal["submit", "worker"]

    def lasts(self, expires: float) -> bool:
        """Whether something that expires then is of use until the work is over."""
        return expires >= self.until

    def left(self, expires: float) -> str:
        """How long that is from now, and until when, in words."""
        return f"{span(expires - self.now)} left (until {clock(expires)})"


def moment(
    needs: Credentials,
    kind: Kind,
    *,
    now: float,
    where: Literal["submit", "worker"],
    pools: Iterable[Pool] = (),
) -> Moment:
    """The moment for judging a kind: the longest work of these pools counts.

    Where something keeps the credential fresh, and where nothing is known of the work, it is the minimum that
    the profile names.
    """
    need = needs.of(kind)
    queue = needs.queue_time if where == "submit" else 0.0
    work = needs.work_time or max((walltime(pool) or 0.0 for pool in pools), default=0.0)
    if need.travel in RENEWED or not work:
        until, why = now + need.min_lifetime, f"at least {span(need.min_lifetime)} are needed"
    else:
        waits = f"{span(queue)} in the queue and " if queue else ""
        until, why = now + queue + work, f"{waits}{span(work)} of work are to come"
    return Moment(now, until, why, where)


def walltime(pool: Pool) -> float | None:
    """Seconds that the pool's jobs may run, where the profile or its directives say so."""
    if pool.walltime is not None:
        return pool.walltime
    text = pool.directives.get("--time") or pool.directives.get("-t") or ""
    if match := _DAYS.fullmatch(text.strip()):
        days, first, second, third = match.groups()
        if days is not None:
            hours, minutes, seconds = first, second, third
        else:
            hours, minutes, seconds = (first, second, third) if third else ("0", first, second)
        parts = (days or 0, hours, minutes or 0, seconds or 0)
        return sum(float(part) * unit for part, unit in zip(parts, (86400, 3600, 60, 1), strict=True))
    runtime = pool.directives.get("+MaxRuntime", "")
    return float(runtime) if runtime.isdigit() else None


def of_file(seen: CredentialSeen) -> Iterator[Fault]:
    """What is wrong with the file itself."""
    if seen.fault:
        yield Fault(seen.fault, seen.detail)
    if not seen.mine:
        yield Fault("not-owner", f"{seen.place} belongs to user id {seen.owner}")
    elif seen.mode and int(seen.mode, 8) & 0o077:
        yield Fault("open-mode", f"{seen.place} has mode {seen.mode}")


def span(seconds: float) -> str:
    """A duration for people: ``3 d``, ``11 h 40 min``, ``25 min``, ``40 s``; ``-5 min`` for what has passed."""
    sign, rest = ("-", -seconds) if seconds < 0 else ("", seconds)
    days, rest = divmod(round(rest), 86400)
    hours, rest = divmod(rest, 3600)
    minutes, seconds = divmod(rest, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")]
    told = [f"{number:g} {unit}" for number, unit in parts if number][:2]
    return sign + (" ".join(told) or "0 s")


def clock(seconds: float) -> str:
    """A moment for people, in UTC; one beyond the calendar as a number."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{seconds:g} s after 1970"
