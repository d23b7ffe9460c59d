"""Secrets in texts: taken out of logs, refused in profiles, and never repeated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasthep_validate.errors import ConfigError, PackError
from fasthep_validate.pack.packages import Wheel, fetch
from fasthep_validate.profiles import load_site, parse_overrides
from fasthep_validate.scrubbing import holds_secret, scrub

if TYPE_CHECKING:
    from pathlib import Path

KEY = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEI\n-----END EC PRIVATE KEY-----"
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJtZSJ9.c2lnbmF0dXJl"
PROXY = "export https_proxy=http://me:hunter2@proxy.example.org:3128"
SITE = """\
site: here
execution:
  pools: {default: {resources: {cpus: 1, memory: 1 GB}, workers: 1}}
  environment: {type: shared-prefix, prefix: current}
"""


def test_key_that_was_cut_off() -> None:
    assert scrub("words\n" + KEY[:40]) == "words\n[removed]"


@given(before=st.text(alphabet="abc \n"), after=st.text(alphabet="abc \n"))
def test_scrub_keeps_the_rest(before: str, after: str) -> None:
    assert scrub(f"{before} {TOKEN} {after}") == f"{before} [removed] {after}"
    assert scrub(before) == before


def test_passwords_in_addresses_are_removed_and_addresses_are_not() -> None:
    assert scrub("GET https://alice:s3cret@se.example.org/p") == "GET https://[removed]@se.example.org/p"
    assert scrub("https://conda.example.org/t/ab-01234567-89ab-cdef-0123-456789abcdef/x") == (
        "https://conda.example.org/t/[removed]/x"
    )
    for plain in ("tls://192.0.2.1:8786", "root://se.example.org:1094//p@1", "https://alice@se/p:q@r"):
        assert scrub(plain) == plain


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (PROXY, True),
        (f"export BEARER_TOKEN={TOKEN}", True),
        (KEY, True),
        ("https_proxy=http://me:$PASSWORD@proxy:3128", False),
        ("https_proxy=http://me:${PASSWORD}@proxy:3128", False),
        ("git clone ssh://git@example.org:22/here", False),
    ],
)
def test_what_is_a_secret(text: str, secret: bool) -> None:
    assert holds_secret(text) is secret


@pytest.mark.parametrize(
    "line",
    [
        f"  config: {{job_extra_directives: ['{PROXY}']}}",
        f"  config: {{job_extra_directives: [true, '--comment={TOKEN}'], nosuch: 1}}",
        "  config: {'http://me:hunter2@proxy': 1}",
    ],
)
def test_a_profile_with_a_secret_is_refused_and_the_secret_not_told(tmp_path: Path, line: str) -> None:
    path = tmp_path / "here.yaml"
    path.write_text(f"{SITE}{line}\n")
    with pytest.raises(ConfigError, match=r"here\.yaml:5: a password, key or token is written here") as told:
        load_site(str(path))
    assert "hunter2" not in str(told.value)
    assert TOKEN not in str(told.value)


def test_so_is_one_on_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "here.yaml"
    path.write_text(SITE)
    with pytest.raises(ConfigError, match="a password, key or token") as told:
        load_site(str(path), overrides=parse_overrides([], [f"config.job_extra_directives=['{PROXY}']"]))
    assert "hunter2" not in str(told.value)


def test_the_password_of_a_package_index_is_not_told(tmp_path: Path) -> None:
    wheel = Wheel("p-1-py3-none-any.whl", "http://me:hunter2@127.0.0.1:9/p-1-py3-none-any.whl", "")
    with pytest.raises(PackError, match=r"http://\[removed\]@127") as told:
        fetch(wheel, tmp_path)
    assert "hunter2" not in str(told.value)
