"""What the probe tells of the Python under test, on made-up trees and in this process."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fasthep_validate.worker import probe_code
from fasthep_validate.worker.probe_config import Config
from tests.trees import tree

# ---- leftovers ------------------------------------------------------------------------------------


def leftover_files(
    root: Path, relocations: list[str], text_files: list[str] | None = None
) -> tuple[list[str], list[str]]:
    config = Config(root=str(root), relocations=relocations, text_files=text_files or [])
    found = probe_code.leftovers(config)
    assert isinstance(found, dict)
    return found["files"], found["missing"]


def test_old_paths_are_found_where_they_matter(tmp_path: Path) -> None:
    root = tree(
        tmp_path / "env",
        {
            "bin/bad": b"#!/old/env/bin/python\n",
            "bin/good": b"#!/usr/bin/env python\n",
            "bin/program": b"\x7fELF\0/old/env/lib",
            "pyvenv.cfg": b"home = /old/env/bin\n",
            "lib/site-packages/x.pth": b"/old/env/src\n",
            "lib/site-packages/x.py": b"PREFIX = '/old/env'\n",
            "lib/site-packages/listed.py": b"PREFIX = '/old/env'\n",
            "lib/__pycache__/x.pyc": b"/old/env/lib/x.py",
        },
    )
    (root / "bin" / "link").symlink_to("bad")
    files, missing = leftover_files(root, ["/old/env"], ["lib/site-packages/listed.py", "lib/gone.py"])
    assert files == ["bin/bad", "lib/site-packages/listed.py", "lib/site-packages/x.pth", "pyvenv.cfg"]
    assert missing == ["lib/gone.py"]


def test_an_old_path_above_the_new_one_is_no_false_alarm(tmp_path: Path) -> None:
    root = tree(tmp_path / "run" / "env", {"bin/good": b"#!%b/run/env/bin/python" % os.fsencode(tmp_path)})
    assert leftover_files(root, [str(tmp_path)]) == ([], [])
    (root / "bin" / "bad").write_text(f"#!{tmp_path}/bin/python {root}")
    assert leftover_files(root, [str(tmp_path)]) == (["bin/bad"], [])
    (root / "bin" / "sibling").write_text(f"#!{root}2/bin/python")
    assert leftover_files(root, [str(tmp_path)]) == (["bin/bad", "bin/sibling"], [])


@given(
    before=st.sampled_from(["", "#!", "file://", "=", "\n", "-L", "\\n"]),
    after=st.sampled_from(["", "/bin", "\n", ":", '"']),
)
def test_a_whole_old_path_is_always_seen(before: str, after: str) -> None:
    old = probe_code.old_paths(["/home/me/env/"], ["/scratch/env"])
    assert old(f"{before}/home/me/env{after}".encode())
    assert not old(f"{before}/scratch/env{after}".encode())


@pytest.mark.parametrize("text", [b"/home/me/env2/bin", b"/data/home/me/env", b"/home/me/env-old", b""])
def test_a_part_of_another_path_is_not_an_old_path(text: bytes) -> None:
    assert not probe_code.old_paths(["/home/me/env"], [])(text)
    assert not probe_code.old_paths([], ["/x"])(b"anything /home/me/env")


# ---- provenance -----------------------------------------------------------------------------------


def test_libraries_come_from_the_maps_and_those_of_the_node_are_known(tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    maps.write_text(
        "55d0-55d1 r-xp 00000000 fe:00 1   /usr/lib/libz.so.1.2.13\n"
        "55d1-55d2 r--p 00000000 fe:00 1   /usr/lib/libdata.so.1\n"
        "55d2-55d3 r-xp 00000000 fe:00 1   /opt/with space/libq.so (deleted)\n"
        "55d3-55d4 r-xp 00000000 00:00 0   [vdso]\n"
        "55d4-55d5 r-xp 00000000 00:05 9   /memfd:libffi (deleted)\n"
        "55d5-55d6 r-xp 00000000 00:00 0 \n"
    )
    assert probe_code.mapped_libraries(maps) == {
        "/usr/lib/libz.so.1.2.13",
        "/opt/with space/libq.so (deleted)",
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *[(name, True) for name in ("libc.so.6", "ld-linux-x86-64.so.2", "libm.so.6", "libpthread-2.28.so")],
        *[
            (name, True)
            for name in ("libnss_sss.so.2", "libcuda.so.550.54.14", "libnvidia-ptxjitcompiler.so.1")
        ],
        *[(name, False) for name in ("libcrypto.so.3", "libcudart.so.12", "libmagic.so.1", "libcrypt.so.1")],
        *[(name, False) for name in ("librtmp.so.1", "libutil-linux.so", "libmpi.so.40", "libdlt.so.2")],
    ],
)
def test_node_libraries(name: str, expected: bool) -> None:
    assert probe_code.matches(name, probe_code.NODE_LIBRARIES) is expected


def test_provenance_names_what_came_from_elsewhere(tmp_path: Path) -> None:
    everything = probe_code.provenance(Config(root="/"))
    assert isinstance(everything, dict)
    assert everything["outside"] == []
    assert everything["modules"] > 50
    assert everything["libraries"] >= 2
    nothing = probe_code.provenance(Config(root=str(tmp_path)))
    assert isinstance(nothing, dict)
    assert {item["kind"] for item in nothing["outside"]} == {"module", "library"}
    assert not any(Path(item["path"]).name.startswith("libc.so") for item in nothing["outside"])


# ---- environment ----------------------------------------------------------------------------------


def test_only_allowed_variables_without_secrets_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    canary = "canary-4711"
    for name in (
        "DASK_GATEWAY__AUTH__TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "MY_PASSWORD",
        "SOMETHING",
        "BEARER_TOKEN",
    ):
        monkeypatch.setenv(name, canary)
    for name in ("DASK_INTERNAL_INHERIT_CONFIG", "PYTHON_KEYRING_BACKEND", "SITE_TOKEN"):
        monkeypatch.setenv(name, canary)
    monkeypatch.setenv("DASK_X", f"{{'password': '{canary}'}}")
    monkeypatch.setenv("SITE_PROXY", f"http://me:{canary}@proxy:3128")
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "5s")
    monkeypatch.setenv("SITE_NAME", "here")
    monkeypatch.setenv("PATH", "/usr/monkey/bin:/bin")
    monkeypatch.setenv("BEARER_TOKEN_FILE", "/run/user/1/bt")
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    config = Config(root=".", environment_allow=["SITE_NAME", "SITE_TOKEN", "SITE_PROXY"])
    seen = probe_code.environment(config)
    assert isinstance(seen, dict)
    assert canary not in json.dumps(seen)
    assert seen["DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT"] == "5s"
    assert (seen["SITE_NAME"], seen["PATH"]) == ("here", "/usr/monkey/bin:/bin")
    assert seen["BEARER_TOKEN_FILE"] == "/run/user/1/bt"
    assert seen["OMP_NUM_THREADS"] == "4"
    assert probe_code.thread_variables(config) == {
        name: value for name, value in os.environ.items() if name in probe_code.THREAD_VARIABLES
    }
