"""The section of the probe on storage: every endpoint with its one credential, in a timed process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fasthep_validate.worker.probe_config import Config

    Facts = dict[str, object]

AT_ONCE = 4
ACCESS = Path(__file__).with_name("storage_access.py")
HINT_LIMIT = 15.0  # seconds for the second look, which is for words alone
# XrdSecPROTOCOL: without it the client goes on to the next method that works, and hides one that does not.
METHODS = {"x509": "gsi", "kerberos": "krb5", "token": "ztn"}
# What leads a client to a credential; of these only the endpoint's own are left.
VARIABLES = {
    "x509": ("X509_USER_PROXY", "X509_USER_CERT", "X509_USER_KEY", "XrdSecGSIUSERPROXY"),
    "kerberos": ("KRB5CCNAME", "KRB5_CLIENT_KTNAME"),
    "token": ("BEARER_TOKEN", "BEARER_TOKEN_FILE"),
}
# By itself the client waits for minutes; a second attempt shows nothing new (settings of XrdCl).
PATIENCE = {
    "XRD_CONNECTIONRETRY": "1",
    "XRD_TIMEOUTRESOLUTION": "1",
    "XRD_REDIRECTLIMIT": "8",
    "XRD_RUNFORKHANDLER": "1",
}
BOUNDED = ("XRD_CONNECTIONWINDOW", "XRD_REQUESTTIMEOUT", "XRD_STREAMTIMEOUT")
# With XrdSecDEBUG the client says why, among much else; what is not one of these is not kept.
AGAIN = "it worked when asked again"
HINTS = re.compile(
    r"Cannot contact any KDC|Cannot find KDC|Ticket expired|Server not found in Kerberos database|Clock skew too great"
    r"|No credentials cache found|CA directory non existing|expired certificates|cannot prompt for proxies"
    r"|excessive access rights|excessive permissions|[Tt]oken (?:is )?(?:expired|missing|not found)"
    r"|certificate verify failed|CRL has expired|proxy (?:file )?(?:not found|does not exist)"
)


def storage(config: Config) -> list[Facts]:
    """``tuple[Access, ...]``."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda wanted: access(wanted, config), config.storage))


def limit(config: Config) -> float:
    """Seconds for all endpoints, each of which has its own limit."""
    rounds = -(-len(config.storage) // AT_ONCE)
    return config.timeout + rounds * (config.storage_timeout + HINT_LIMIT)


def access(wanted: Mapping[str, object], config: Config) -> Facts:
    """``Access`` to one endpoint."""
    credential = str(wanted["credential"])
    environment = alone(os.environ, credential, limit=config.storage_timeout)
    told = {"endpoint": wanted["name"], "url": wanted["url"], "credential": credential}
    lines, ending = tried(wanted, environment, config.storage_timeout)
    actions = [line for line in lines if "ok" in line]
    begun = [line["name"] for line in lines if "name" in line and "ok" not in line]
    if len(begun) != len(actions) or not begun:  # it did not come to its end
        actions.append({"name": begun[-1] if begun else "resolve", "ok": False, **ending})
    client = next((line["client"] for line in lines if "client" in line), "")
    refused = any(action.get("fault") == "not-authenticated" for action in actions)
    hints = sorted(set(asked_again(wanted, environment))) if refused else []
    return {**told, "client": client, "actions": actions, "hints": hints}


def alone(given: Mapping[str, str], credential: str, *, limit: float) -> dict[str, str]:
    """The environment with one credential, one method and bounded patience."""
    others = {name for kind, names in VARIABLES.items() if kind != credential for name in names}
    kept = {
        name: value for name, value in given.items() if name not in others and not name.startswith("XRD_")
    }
    bounded = dict.fromkeys(BOUNDED, f"{max(1.0, limit):.0f}")
    return {**kept, **PATIENCE, **bounded, "XrdSecPROTOCOL": METHODS[credential]}


def tried(
    wanted: Mapping[str, object], environment: Mapping[str, str], limit: float
) -> tuple[list[Facts], Facts]:
    """What the client's process told, and what to say of an action that has no end."""
    begun = time.monotonic()
    out, err, ended = run("try", wanted, environment, limit)
    lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    if ended:
        last = next((line for line in reversed(err.splitlines()) if line.strip()), "no word")
        return lines, {"fault": "failed", "words": f"the client's process ended: {last[:200]}"}
    seconds = time.monotonic() - begun
    return lines, {"fault": "timed-out", "seconds": seconds, "words": f"no answer within {limit:g} s"}


def asked_again(wanted: Mapping[str, object], environment: Mapping[str, str]) -> Iterable[str]:
    """Known phrases of a client that is told to say more."""
    out, err, _ = run("explain", wanted, {**environment, "XrdSecDEBUG": "1"}, HINT_LIMIT)
    again = [AGAIN] if '"ok": true' in out else []
    return again + HINTS.findall(out + err)


def run(
    what: str, wanted: Mapping[str, object], environment: Mapping[str, str], limit: float
) -> tuple[str, str, bool]:
    """What a process of ``storage_access.py`` wrote on its outputs, and whether it ended in time."""
    child = subprocess.Popen(
        [sys.executable, "-s", str(ACCESS), what],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(environment),
        text=True,
        errors="replace",
        start_new_session=True,
    )
    ended = True
    try:
        out, err = child.communicate(json.dumps(dict(wanted)), timeout=limit)
    except subprocess.TimeoutExpired:
        ended = False
        os.killpg(child.pid, signal.SIGKILL)
        out, err = child.communicate()
    return out, err, ended
