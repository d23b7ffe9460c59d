"""Causes around storage: why it could not be reached, read or written, when the credential itself is sound."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fasthep_validate.causes.entry import Entry

if TYPE_CHECKING:
    from collections.abc import Mapping


def _entry(number: int, title: str, meaning: str, remedy: str, *, admin: bool = False) -> Entry:
    return Entry(
        id=f"FHV-storage-{number:03}",
        title=title,
        meaning=meaning,
        remedy=remedy,
        who="admin" if admin else "user",
    )


# By the fault of the action (models.access.Fault).
ACTIONS: Mapping[str, Entry] = {
    "name-unknown": _entry(
        1,
        "The storage's name does not resolve on the node",
        "The node's name service does not know the host of the endpoint's address.",
        "Correct url in the profile; if the submit host resolves it, have the nodes' name service completed.",
    ),
    "refused": _entry(
        2,
        "The storage is down",
        "Its host answered that nobody listens at this port.",
        "See that host and port are right; then ask the storage's admins whether the service runs.",
        admin=True,
    ),
    "no-route": _entry(
        3,
        "The node has no route to the storage",
        "The network answered that the storage cannot be reached from there.",
        "Use storage that the workers can reach, or ask for the route; many sites' workers see no outside network.",
        admin=True,
    ),
    "unreachable": _entry(
        4,
        "The connection to the storage breaks off",
        "The port takes connections and the client cannot speak with what is behind it.",
        "See that the port is that of the protocol in url, and ask the storage's admins for the server's log.",
        admin=True,
    ),
    "timed-out": _entry(
        5,
        "The storage does not answer in time",
        "The client was ended after the endpoint's timeout: a firewall that drops packets, an overloaded server, "
        "or one that waits for a disk or a tape.",
        "Try the same by hand on the submit host. Raise storage.timeout if the file only had to come from tape.",
        admin=True,
    ),
    "not-authenticated": _entry(
        6,
        "The storage refuses the identity",
        "The credential is good as far as the worker can tell, and the storage does not accept it: it does not "
        "know the VO, the realm or the issuer, or its own lists of authorities and revocations are out of date.",
        "Ask the storage's admins to look at its log at the time of the run, with the identity in the evidence.",
        admin=True,
    ),
    "tls": _entry(
        7,
        "The storage's certificate is not trusted by the node",
        "TLS failed: the node does not have the authority that signed the storage's certificate, or the "
        "certificate is out of date or for another name.",
        "Name a folder with that authority as credentials.x509.ca (such as the one on CVMFS), or send it ('ship').",
    ),
    "denied": _entry(
        8,
        "The storage does not allow it",
        "It knows who you are and denies this action at this path. For a token that can also mean another "
        "audience or a scope for another path, which the storage does not tell apart.",
        "See that the path is yours; for a token, compare audience and scope with what the storage expects "
        "(scope paths count from the issuer's base path there).",
    ),
    "no-such-path": _entry(
        9,
        "The path is not there",
        "The storage was reached and opened, and has no such file or folder.",
        "Correct read or write in the profile, or the name in the workflow; a folder for writing must exist.",
    ),
    "no-space": _entry(
        10,
        "The storage is full",
        "It has no space left, or your quota is used up.",
        "Make room, or ask for it.",
    ),
    "different": _entry(
        11,
        "The storage does not give back what it was given",
        "What was read is not what was written, or a file that was removed is still there.",
        "Report it to the storage's admins, with the time of the run.",
        admin=True,
    ),
    "no-client": _entry(
        12,
        "There is no client for the storage",
        "Neither does the environment have XRootD's Python bindings, nor the node xrdfs and xrdcp.",
        "Install xrootd into the environment that is packed (pip install xrootd, or from conda-forge).",
    ),
    "failed": _entry(
        13,
        "The storage's client failed",
        "It ended with an error that no other entry has.",
        "Read the client's words in the evidence, and try the same by hand on the submit host.",
    ),
}

# By what the client said of authentication when asked for more.
HINTS: Mapping[str, Entry] = {
    "Cannot contact any KDC": _entry(
        14,
        "The node cannot reach the KDC",
        "The ticket is good, and a ticket for the storage can be got from the realm's KDC alone: nothing answers there.",
        "Have port 88 of the KDCs opened for the workers, or the realm's entry in their krb5.conf corrected.",
        admin=True,
    ),
    "Cannot find KDC": _entry(
        15,
        "The node does not know the ticket's realm",
        "Its krb5.conf has no KDC for it, and the name service has none either.",
        "Have the realm added to krb5.conf on the workers; or get a ticket of the realm that the site knows.",
        admin=True,
    ),
    "Server not found in Kerberos database": _entry(
        16,
        "The ticket's realm does not know the storage",
        "The storage is of another realm, or is called by a name that its realm does not have.",
        "Get a ticket of the storage's realm, and write the storage's own full name in url, not an alias.",
    ),
    "it worked when asked again": _entry(
        18,
        "The storage refuses now and then",
        "It refused the credential, and took the same one a moment later: a KDC, a server behind an alias or a "
        "lookup that sometimes fails or is too slow.",
        "Run again; if it happens often, tell the storage's admins the times and the address that answered.",
        admin=True,
    ),
}

SLOW = _entry(
    17,
    "The storage is slow",
    "An action took longer than the profile's storage.slow.",
    "Try again at another time; if it stays slow from these nodes alone, look at the network between.",
    admin=True,
)
STORAGE = (*ACTIONS.values(), *HINTS.values(), SLOW)
