"""The ``storage:`` of a profile: what it takes, and what it refuses with a word."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fasthep_validate.errors import ConfigError
from fasthep_validate.models.storage import SCHEMES, Storage
from fasthep_validate.profiles import load_site

if TYPE_CHECKING:
    from pathlib import Path

PROFILE = """\
site: disk
execution:
  pools: {{default: {{resources: {{cpus: 1, memory: 1 GB}}, workers: 1}}}}
  environment: {{type: shared-prefix, prefix: current}}
credentials: {{x509: {{need: required}}, token: {{need: optional}}}}
storage:
  timeout: 2 min
  endpoints:
    disk: {endpoint}
"""
GOOD = "url: root://disk.example.org:1094, credential: x509, read: /store/hello"


def load(folder: Path, endpoint: str) -> Storage:
    path = folder / "disk.yaml"
    path.write_text(PROFILE.format(endpoint=f"{{{endpoint}}}"))
    return load_site(str(path)).execution.storage


def test_endpoint(tmp_path: Path) -> None:
    storage = load(tmp_path, f"{GOOD}, write: /store/user, rename: true")
    assert storage.timeout == 120
    endpoint = storage.endpoints["disk"]
    assert (endpoint.url, endpoint.credential) == ("root://disk.example.org:1094", "x509")
    assert (endpoint.write, endpoint.rename, endpoint.remove) == ("/store/user", True, True)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_token_goes_everywhere(tmp_path: Path, scheme: str) -> None:
    load(tmp_path, f"url: '{scheme}://disk.example.org', credential: token, read: /store/hello")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("url: ftp://disk, credential: x509, read: /a", "expected an address like"),
        ("url: root://disk/store, credential: x509, read: /a", "expected an address like"),
        ("url: 'root://disk:99999', credential: x509, read: /a", "expected an address like"),
        ("url: 'https://disk', credential: x509, read: /a", "'x509' over https is not supported"),
        ("url: root://disk, credential: x509, read: a", "expected an absolute path"),
        ("url: root://disk, credential: x509, read: /a/../b", "expected an absolute path"),
        ("url: root://disk, credential: x509, read: '/a?authz=x'", "expected an absolute path"),
        ("url: root://disk, credential: x509, read: /a, rename: true", "there is nothing to rename"),
        (
            "url: root://disk, credential: kerberos, read: /a",
            "'kerberos' is used here, and the profile does not",
        ),
        ("url: root://disk, credential: x509, raed: /a", "Did you mean 'read'?"),
    ],
)
def test_mistakes(tmp_path: Path, wrong: str, words: str) -> None:
    with pytest.raises(ConfigError, match=r"disk\.yaml:\d+") as told:
        load(tmp_path, wrong)
    assert words in str(told.value)


@pytest.mark.parametrize("address", ["root://alice:s3cret@disk", "https://disk?authz=s3cret"])
def test_a_secret_in_an_address_is_refused_and_not_told(tmp_path: Path, address: str) -> None:
    with pytest.raises(ConfigError, match=r"a user, a password or a query|a password, key or token") as told:
        load(tmp_path, f"url: '{address}', credential: token, read: /a")
    assert "s3cret" not in str(told.value)
