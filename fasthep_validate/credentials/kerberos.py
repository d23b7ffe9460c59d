"""What can be wrong with a Kerberos ticket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fasthep_validate.credentials.fault import RENEWED, Fault, clock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fasthep_validate.credentials.fault import Moment
    from fasthep_validate.models.credential import CredentialSeen, Ticket
    from fasthep_validate.models.credentials import Credentials, Kerberos, KerberosTravel

SKEW = 300.0  # seconds; krb5.conf(5), clockskew
_DIRECTIVES: Mapping[KerberosTravel, dict[str, str]] = {
    "sendcredential": {"MY.SendCredential": "True"},
    "auks": {"--auks": "yes"},
}


def directives(needs: Credentials, seen: CredentialSeen) -> dict[str, str]:  # noqa: ARG001 - as for all kinds
    """The daemons of HTCondor, or the plugin of Slurm, bring the ticket and renew it."""
    return _DIRECTIVES.get(needs.kerberos.travel, {})


def faults(seen: CredentialSeen, needs: Credentials, moment: Moment) -> Iterator[Fault]:
    """Faults of a cache that could be read."""
    ticket, need = seen.ticket, needs.kerberos
    if ticket is None:
        return
    if not ticket.realm:
        yield Fault("no-ticket", f"{seen.place} of {ticket.principal} holds no ticket-granting ticket")
        return
    yield from _of_time(ticket, need, moment)
    if need.realm and ticket.realm != need.realm:
        yield Fault(
            "wrong-realm", f"the ticket of {ticket.principal} is for {ticket.realm}, needed is {need.realm}"
        )
    if need.travel == "transfer" and not ticket.addressless:
        yield Fault(
            "not-transferable", f"the ticket of {ticket.principal} is bound to addresses of this machine"
        )


def _of_time(ticket: Ticket, need: Kerberos, moment: Moment) -> Iterator[Fault]:
    renewable = ticket.renewable_until or 0.0
    if ticket.expires <= moment.now:
        yield Fault("ticket-expired", f"the ticket of {ticket.principal} expired at {clock(ticket.expires)}")
    elif not moment.lasts(max(ticket.expires, renewable) if need.travel in RENEWED else ticket.expires):
        yield Fault("ticket-too-short", f"the ticket has {moment.left(ticket.expires)}, and {moment.why}")
    if need.renewable and not moment.lasts(renewable):
        until = f"can be renewed until {clock(renewable)} only" if renewable else "cannot be renewed"
        yield Fault("not-renewable", f"the ticket of {ticket.principal} {until}, and {moment.why}")
    if ticket.starts > moment.now + SKEW:
        yield Fault(
            "not-yet-valid", f"the ticket begins at {clock(ticket.starts)}, now it is {clock(moment.now)}"
        )
