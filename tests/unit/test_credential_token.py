"""Bearer tokens: WLCG's order of discovery, claims, and every fault with its own word."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from fasthep_validate.causes import FAULTS
from fasthep_validate.credentials.token import covers
from fasthep_validate.worker import probe_token
from tests.credentials import codes, judged, put, seen
from tests.servers.tokens import Issuer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

ISSUER = Issuer(port=1)
NEEDS = {
    "issuers": [ISSUER.url],
    "audience": "https://se.example.org",
    "scopes": ["storage.read:/store/user"],
}
GOOD: Mapping[str, Any] = {
    "aud": "https://se.example.org",
    "scope": "openid storage.read:/store storage.modify:/tmp",
}


def look(path: Path, token: str | bytes) -> list[str]:
    return codes(
        judged(seen("token", {"BEARER_TOKEN_FILE": str(put(path / "token", token))}), NEEDS, hours=0.5)
    )


def test_a_good_token(tmp_path: Path) -> None:
    path = put(tmp_path / "token", f"\n{ISSUER.token(**GOOD)}\n")
    found = seen("token", {"BEARER_TOKEN_FILE": str(path)})
    assert judged(found, NEEDS, hours=0.5) == []
    assert found.token
    assert (found.token.algorithm, found.token.profile) == ("ES256", "wlcg 1.0")
    assert found.token.scopes == ("openid", "storage.read:/store", "storage.modify:/tmp")
    assert found.identity == f"alice of {ISSUER.url}"


NOW = int(time.time())
SPOILED: Mapping[str, Callable[[], str]] = {
    "token-expired": lambda: ISSUER.token(**{**GOOD, "exp": NOW - 10}),
    "token-not-yet-valid": lambda: ISSUER.token(**{**GOOD, "nbf": NOW + 600}),
    "token-too-short": lambda: ISSUER.token(**{**GOOD, "exp": NOW + 600}),
    "wrong-audience": lambda: ISSUER.token(**{**GOOD, "aud": ["https://SE.example.org"]}),
    "wrong-issuer": lambda: ISSUER.token(**{**GOOD, "iss": "https://elsewhere.example.org"}),
    "missing-scope": lambda: ISSUER.token(**{**GOOD, "scope": "storage.modify:/store"}),
    "wrong-path": lambda: ISSUER.token(**{**GOOD, "scope": "storage.read:/store/users"}),
    "missing-claims": lambda: ISSUER.token(**{**GOOD, "wlcg.ver": None}),
    "bad-algorithm": lambda: jwt.encode({**ISSUER.claims(), **GOOD}, "x" * 32, algorithm="HS256"),
    "garbage": lambda: "not.a.token",
    "oversize": lambda: ISSUER.token(**{**GOOD, "padding": "x" * 16_384}),
}


@pytest.mark.parametrize("code", SPOILED)
def test_every_fault_has_its_own_word(tmp_path: Path, code: str) -> None:
    assert look(tmp_path, SPOILED[code]()) == [code]
    assert code in FAULTS


def test_a_token_without_a_signature_is_none(tmp_path: Path) -> None:
    assert look(tmp_path, ISSUER.token(**GOOD).rpartition(".")[0] + ".") == ["garbage"]


def test_any_audience_and_scitokens(tmp_path: Path) -> None:
    assert look(tmp_path, ISSUER.token(**{**GOOD, "aud": "https://wlcg.cern.ch/jwt/v1/any"})) == []
    assert (
        look(tmp_path, ISSUER.token(**{**GOOD, "aud": "ANY", "wlcg.ver": None, "ver": "scitoken:2.0"})) == []
    )


@pytest.mark.parametrize(
    ("scope", "wanted", "yes"),
    [
        ("storage.read:/", "storage.read:/a/b", True),
        ("storage.read:/a", "storage.read:/a", True),
        ("storage.read:/a/", "storage.read:/a/b", True),
        ("storage.read:/a", "storage.read:/ab", False),
        ("storage.read:/a/b", "storage.read:/a", False),
        ("storage.read:/a/..", "storage.read:/a", False),
        ("storage.modify:/a", "storage.create:/a", True),
        ("storage.create:/a", "storage.modify:/a", False),
        ("compute.read", "compute.read", True),
    ],
)
def test_scopes(scope: str, wanted: str, yes: bool) -> None:
    assert covers(scope, wanted) is yes


def test_order_of_discovery(tmp_path: Path) -> None:
    token = ISSUER.token(**GOOD)
    run, file = tmp_path / "run", put(tmp_path / "file", token)
    run.mkdir()
    xdg = {"XDG_RUNTIME_DIR": str(run)}
    both = {"BEARER_TOKEN": token, "BEARER_TOKEN_FILE": str(file), **xdg}
    assert seen("token", both).place == "BEARER_TOKEN"
    assert seen("token", {**both, "BEARER_TOKEN": " "}).place == str(file)
    places = [place for _, place in probe_token.places(xdg, 7)]
    assert places == [f"{run}/bt_u7", "/tmp/bt_u7"]
    put(file, "")
    nobody = probe_token.value({**xdg, "BEARER_TOKEN_FILE": str(file)}, "BEARER_TOKEN_FILE", str(file))
    assert nobody is None  # an empty one lets the search go on


def test_an_invalid_token_ends_the_search(tmp_path: Path) -> None:
    bad, good = put(tmp_path / "bad", "garbage"), ISSUER.token(**GOOD)
    run = tmp_path / "run"
    run.mkdir()
    found = seen("token", {"BEARER_TOKEN_FILE": str(bad), "XDG_RUNTIME_DIR": str(run)})
    assert (found.fault, found.place) == ("garbage", str(bad))
    assert (
        seen(
            "token", {"BEARER_TOKEN": "garbage", "BEARER_TOKEN_FILE": str(put(tmp_path / "good", good))}
        ).fault
        == "garbage"
    )
    missing = seen("token", {"BEARER_TOKEN_FILE": "/nosuch"})
    assert (missing.fault, missing.looked) == ("missing", ("BEARER_TOKEN_FILE=/nosuch",))
