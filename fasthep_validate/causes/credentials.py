"""Causes in the credentials that the work needs: what can be wrong with a proxy, a ticket, a token.

The words that :mod:`fasthep_validate.credentials` and the probe have for a fault lead to its entry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fasthep_validate.causes.entry import Entry

if TYPE_CHECKING:
    from collections.abc import Mapping


def _entry(number: int, title: str, meaning: str, remedy: str, *, admin: bool = False) -> Entry:
    return Entry(
        id=f"FHV-credential-{number:03}",
        title=title,
        meaning=meaning,
        remedy=remedy,
        who="admin" if admin else "user",
    )


FILES: Mapping[str, Entry] = {
    "not-found": _entry(
        10,
        "No credential was found",
        "None of the places where the standard keeps it holds one.",
        "Get one (voms-proxy-init, kinit, htgettoken), or name its file in the profile or in its variable.",
    ),
    "missing": _entry(
        11,
        "The credential's file is not there",
        "A variable or the profile names a file that does not exist.",
        "Get the credential anew into that file, or correct the variable.",
    ),
    "empty": _entry(
        12,
        "The credential's file is empty",
        "Somebody began to write it and did not end: a full disk or an interrupted command.",
        "Get the credential anew; see that the disk is not full.",
    ),
    "unreadable": _entry(
        13,
        "The credential's file cannot be read",
        "Its mode, that of a folder above it, or an expired AFS token keeps you from reading it.",
        "Make it readable for you alone (chmod 600), or get a credential of your own.",
    ),
    "not-owner": _entry(
        14,
        "The credential's file belongs to somebody else",
        "Programs refuse a credential whose file another user can change.",
        "Get a credential of your own, into a file of your own.",
    ),
    "open-mode": _entry(
        15,
        "Others can read the credential",
        "The file's mode lets group or others read it: whoever does can act as you. Many programs refuse it.",
        "chmod 600 the file. If others could really reach it, get a new credential and revoke the old one.",
    ),
    "oversize": _entry(
        16,
        "The credential's file is too large to be one",
        "No proxy, ticket cache or token is that large; servers refuse it unread.",
        "See what is in the file; the path in the profile or in the variable is that of something else.",
    ),
    "garbage": _entry(
        17,
        "The credential's file does not hold what it should",
        "It is damaged, cut short, or in another format.",
        "Get the credential anew. Do not copy it through an editor or a terminal.",
    ),
    "not-transferable": _entry(
        18,
        "This kind of ticket cache cannot travel",
        "KEYRING, KCM and MEMORY caches live in the kernel or in a daemon of one machine.",
        "Get a ticket into a file: kinit -c FILE:$HOME/.krb5cc, then export KRB5CCNAME=FILE:$HOME/.krb5cc.",
    ),
    "not-delivered": _entry(
        19,
        "The batch system did not deliver the credential",
        "The job was to get it from the batch system's own daemons, and on the node it is not there.",
        "See that the site offers this way (HTCondor: CREDD and a credmon; Slurm: the AUKS plugin), and that "
        "you are known to it (condor_store_cred query, auks -p).",
        admin=True,
    ),
}

PROXIES: Mapping[str, Entry] = {
    "proxy-expired": _entry(
        20,
        "The proxy has expired",
        "Storage turns it down, with words that do not say so.",
        "Get a new one: voms-proxy-init -voms VO -valid 96:00.",
    ),
    "ac-expired": _entry(
        21,
        "The proxy is valid, its VOMS attributes have expired",
        "The attribute certificate has a lifetime of its own, often shorter; voms-proxy-info -exists does not look.",
        "Get a new proxy, with attributes that last: voms-proxy-init -voms VO -vomslife 96:00.",
    ),
    "no-ac": _entry(
        22,
        "The proxy has no VOMS attributes",
        "It says who you are and of which VO you are not: it was made without -voms.",
        "Get a new one: voms-proxy-init -voms VO.",
    ),
    "wrong-vo": _entry(
        23,
        "The proxy is of another VO",
        "Its attribute certificate is not of the VO that the profile needs.",
        "Get a new one for the right VO: voms-proxy-init -voms VO.",
    ),
    "missing-fqan": _entry(
        24,
        "The proxy lacks a group or role",
        "An FQAN that the profile needs is not among its attributes.",
        "Ask for it: voms-proxy-init -voms VO:/VO/Role=ROLE. Your VO's admin decides who may have it.",
    ),
    "key-mismatch": _entry(
        25,
        "Key and certificate do not belong together",
        "The private key in the proxy's file is not that of its first certificate.",
        "Get a new proxy; the file was put together from two.",
    ),
    "broken-chain": _entry(
        26,
        "The proxy's chain is broken",
        "A certificate of the chain was not signed by the next one, or the authority did not sign the last one.",
        "Get a new proxy; if it is broken again, see your user certificate (openssl verify).",
    ),
    "no-authority": _entry(
        27,
        "The certificate's authority is not trusted here",
        "X509_CERT_DIR does not hold the authority that issued your certificate, or is not there at all.",
        "Name a folder that the workers see, such as one on CVMFS, as credentials.x509.ca, or 'ship'.",
    ),
    "crl-expired": _entry(
        28,
        "The authority's revocation list is out of date",
        "fetch-crl did not run; strict programs turn down every certificate of this authority.",
        "Run fetch-crl there, or use a folder that is kept fresh.",
        admin=True,
    ),
    "revoked": _entry(
        29,
        "The certificate has been revoked",
        "It is on its authority's revocation list.",
        "Ask your authority for a new certificate.",
    ),
    "limited": _entry(
        30,
        "The proxy is limited",
        "The profile needs a full one; HTCondor delegates limited ones unless it is told otherwise.",
        "Get a full proxy, or let the site set DELEGATE_FULL_JOB_GSI_CREDENTIALS; most storage takes limited ones.",
    ),
    "proxy-too-short": _entry(
        31,
        "The proxy ends before the work does",
        "What is left of its lifetime is shorter than queue and work.",
        "Get one that lasts: voms-proxy-init -valid 96:00; or ask for less walltime.",
    ),
    "ac-too-short": _entry(
        32,
        "The VOMS attributes end before the work does",
        "What is left of the attribute certificate's lifetime is shorter than queue and work.",
        "Get a proxy with -vomslife; VOMS servers have a maximum of their own.",
    ),
    "not-yet-valid": _entry(
        33,
        "The credential is not valid yet",
        "By this machine's clock it begins in the future: the clocks differ.",
        "Synchronise the clock of the machine that the evidence names.",
        admin=True,
    ),
}

TICKETS: Mapping[str, Entry] = {
    "no-ticket": _entry(
        34,
        "The cache holds no ticket-granting ticket",
        "Without one no ticket for a storage server can be got.",
        "kinit, and see klist.",
    ),
    "ticket-expired": _entry(35, "The ticket has expired", "klist -s says so without a word.", "kinit."),
    "ticket-too-short": _entry(
        36,
        "The ticket ends before the work does",
        "What is left of its lifetime is shorter than queue and work, and nothing renews it.",
        "kinit -l with a longer lifetime, or a way that renews it (sendcredential, auks).",
    ),
    "not-renewable": _entry(
        37,
        "The ticket cannot be renewed for long enough",
        "It is not renewable, or not until the work is over.",
        "kinit -r 7d; the realm has a maximum of its own.",
    ),
    "wrong-realm": _entry(
        38,
        "The ticket is for another realm",
        "The profile needs a ticket of another realm than the one found.",
        "kinit USER@REALM, in capitals as the realm is written.",
    ),
}

TOKENS: Mapping[str, Entry] = {
    "token-expired": _entry(
        39, "The token has expired", "Tokens live for about an hour.", "Get a new one, such as by htgettoken."
    ),
    "token-not-yet-valid": _entry(
        40,
        "The token is not valid yet",
        "nbf or iat lies in the future by this machine's clock.",
        "Synchronise the clock of the machine that the evidence names.",
        admin=True,
    ),
    "token-too-short": _entry(
        41,
        "The token ends before the work does",
        "Tokens live for about an hour; this one is not renewed while the job runs.",
        "Use oauth_services where the site has it, or keep the file fresh on the submit host while the run lasts.",
    ),
    "wrong-audience": _entry(
        42,
        "The token is for another audience",
        "Its aud claim names neither what the profile needs nor the audience that stands for any.",
        "Ask the issuer for a token with this audience, letter for letter.",
    ),
    "wrong-issuer": _entry(
        43,
        "The token is from another issuer",
        "Its iss claim is not one of the profile's.",
        "Get a token there.",
    ),
    "missing-scope": _entry(
        44,
        "The token lacks a scope",
        "Storage answers with 'permission denied', as if it were a matter of its own access lists.",
        "Ask the issuer for a token with this scope.",
    ),
    "wrong-path": _entry(
        45,
        "The token's scope is for another path",
        "It allows this action elsewhere. A path counts from the issuer's base path at the storage.",
        "Ask for the scope with this path, or one above it.",
    ),
    "bad-algorithm": _entry(
        46,
        "The token is signed by an algorithm that is not allowed",
        "WLCG allows RS256 and ES256; servers refuse all others, and 'none' above all.",
        "Get a token from the issuer; this one was not made by it.",
    ),
    "missing-claims": _entry(
        47,
        "The token lacks claims that its profile demands",
        "WLCG demands sub, exp, iss, aud, iat and wlcg.ver.",
        "Get an access token of the WLCG profile, not an identity token.",
    ),
}

PLACES: Mapping[str, Entry] = {
    "other-identity": _entry(
        48,
        "The worker has somebody else's credential",
        "What the job finds is not what was sent: a variable or a file of the node goes before it.",
        "See the place that the evidence names; let the job's environment be scrubbed (getenv = False, --export).",
    ),
    "stale-copy": _entry(
        49,
        "The worker's credential is an older one",
        "It expires earlier than the one on the submit host, and nothing on the way shortens it.",
        "Submit again after renewing; files that were sent do not change by themselves.",
    ),
    "clock-skew": _entry(
        50,
        "The worker's clock is too far off for credentials",
        "Kerberos servers turn down clocks that differ by five minutes; tokens and proxies begin too late.",
        "Synchronise the node's clock.",
        admin=True,
    ),
}

FAULTS: Mapping[str, Entry] = {**FILES, **PROXIES, **TICKETS, **TOKENS, **PLACES}
"""Word for a fault -> its entry."""
