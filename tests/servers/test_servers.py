"""The servers are what they say: clients of the field use them, and are refused for the right reasons."""

from __future__ import annotations

import json
import os
import ssl
import urllib.request
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import jwt
import pytest

from fasthep_validate import process
from tests.servers.ca import Authority, name_hash, slashed
from tests.servers.daemon import SYSTEM_PATH, command
from tests.servers.proxies import mismatched, proxy
from tests.servers.xrootd import HELLO

if TYPE_CHECKING:
    from fasthep_validate.process import Completed
    from tests.servers.kdc import Kdc
    from tests.servers.proxies import Kind
    from tests.servers.site import Site

pytestmark = pytest.mark.servers
PATIENCE = {
    "XRD_CONNECTIONWINDOW": "5",
    "XRD_CONNECTIONRETRY": "1",
    "XRD_REQUESTTIMEOUT": "10",
    "XRD_STREAMTIMEOUT": "10",
}


def xrdfs(env: dict[str, str], method: str, *words: str) -> Completed:
    """A client with one method alone."""
    given = {"PATH": SYSTEM_PATH, "XrdSecPROTOCOL": method, **PATIENCE, **env}
    return process.run(["xrdfs", *words], timeout=40, env=given)


@pytest.mark.parametrize("kind", ["rfc", "limited"])
def test_proxy_chain_verifies(authority: Authority, tmp_path: Path, kind: Kind) -> None:
    folder = authority.install(tmp_path / "certificates")
    pem = proxy(proxy(authority.user()), kind=kind).write_proxy(tmp_path / "proxy.pem")
    command(["openssl", "verify", "-allow_proxy_certs", "-CApath", folder, "-untrusted", pem, pem])


def test_trust_folder_is_named_as_openssl_wants_it(authority: Authority, tmp_path: Path) -> None:
    folder = authority.install(tmp_path)
    said = command(["openssl", "x509", "-noout", "-hash", "-in", next(folder.glob("*.0"))]).strip()
    assert said == name_hash(authority.own.cert.subject)
    assert (
        "verify OK"
        in process.run(
            ["openssl", "crl", "-noout", "-in", folder / f"{said}.r0", "-CApath", folder], timeout=10
        ).stderr
    )


def test_names_are_written_as_grids_do(authority: Authority) -> None:
    assert (
        slashed(authority.user("/DC=test/O=group/CN=alice b").cert.subject) == "/DC=test/O=group/CN=alice b"
    )


def test_tickets(realm: Kdc, tmp_path: Path) -> None:
    good = realm.ticket("alice", tmp_path / "good")
    command(["klist", "-s", "-c", good], env=realm.env)
    assert "renew until" in command(["klist", "-c", good], env=realm.env)
    plain = realm.ticket("alice", tmp_path / "plain", renewable="")
    assert "renew until" not in command(["klist", "-c", plain], env=realm.env)


def test_issuer_serves_the_key_of_its_tokens(servers: Site) -> None:
    context = ssl.create_default_context(capath=servers.trust()["X509_CERT_DIR"])
    with urllib.request.urlopen(f"{servers.issuer.url}/jwks", context=context) as answer:
        key = jwt.PyJWK(json.load(answer)["keys"][0])
    claims = jwt.decode(
        servers.issuer.token(), key, algorithms=["ES256"], audience="https://wlcg.cern.ch/jwt/v1/any"
    )
    assert claims["sub"] == "alice"


@pytest.mark.parametrize(("method", "folder"), [("gsi", "gsi"), ("krb5", "krb5"), ("ztn", "token")])
def test_each_credential_opens_its_folder(
    servers: Site, credentials: dict[str, str], method: str, folder: str
) -> None:
    done = xrdfs(credentials, method, servers.storage.url, "cat", f"/store/{folder}/hello.txt")
    assert done.stdout == HELLO, f"{done}\n{servers.storage.last_words()}"


def test_each_credential_opens_no_other_folder(servers: Site, credentials: dict[str, str]) -> None:
    done = xrdfs(credentials, "krb5", servers.storage.url, "cat", "/store/gsi/hello.txt")
    assert "permission denied" in done.stderr


def test_token_over_https(servers: Site) -> None:
    context = ssl.create_default_context(capath=servers.trust()["X509_CERT_DIR"])
    url = f"{servers.storage.https}/store/token/hello.txt"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {servers.issuer.token()}"})
    with urllib.request.urlopen(request, context=context) as answer:
        assert answer.read().decode() == HELLO


def test_proxies_that_are_refused(servers: Site, credentials: dict[str, str], tmp_path: Path) -> None:
    user, attributes = servers.user, servers.vo.attributes
    refused = {
        "no attributes": proxy(user),
        "expired": proxy(user, lifetime=timedelta(seconds=-60), acs=[attributes(user)]),
        "expired attributes": proxy(
            user, acs=[attributes(user, lifetime=timedelta(minutes=-6))]
        ),  # five are forgiven
        "another's key": mismatched(proxy(user, acs=[attributes(user)])),
    }
    for name, pair in refused.items():
        env = {**credentials, "X509_USER_PROXY": str(pair.write_proxy(tmp_path / name))}
        done = xrdfs(env, "gsi", servers.storage.url, "stat", "/store/gsi/hello.txt")
        assert done.returncode in {51, 52}, f"{name}: {done}"  # 51: the TLS library looks first


def test_nothing_is_left(own_servers: Site) -> None:
    folder, daemons = own_servers.folder, (own_servers.storage.daemon, own_servers.kdc.daemon)
    own_servers.stop()
    assert [daemon.child.poll() is None for daemon in daemons if daemon] == [False, False]
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if _ours(path)]
    assert [words for words in commands if str(folder).encode() in words] == []


def _ours(path: Path) -> bool:
    try:
        return path.stat().st_uid == os.getuid() and bool(path.read_bytes())
    except OSError:
        return False
