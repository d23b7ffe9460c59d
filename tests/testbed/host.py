"""What the machine has to be and to have."""

from __future__ import annotations

import os
import platform
import shutil

from fasthep_validate import process
from tests.testbed.errors import Failure, Refusal

PACKAGE_OF = {
    "ip": "iproute2",
    "mmdebstrap": "mmdebstrap",
    "nft": "nftables",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "sqfstar": "squashfs-tools",
    "unshare": "util-linux",
}


def check() -> None:
    """See that a testbed can be started here.

    Raises:
        Refusal: it cannot; says why in one sentence.
    """
    if os.geteuid() != 0:
        raise Refusal(f"testbed: needs root, and this is user {os.geteuid()}. Run the command as root.")
    system = platform.freedesktop_os_release()
    if system["ID"] != "debian":
        raise Refusal(f"testbed: needs Debian, and this is {system['NAME']}. Use a Debian machine.")
    missing = [tool for tool in PACKAGE_OF if shutil.which(tool, path=search_path()) is None]
    if missing:
        packages = " ".join(sorted({PACKAGE_OF[tool] for tool in missing}))
        raise Refusal(f"testbed: no {', '.join(missing)} on this machine. Run: apt-get install -y {packages}")


def search_path() -> str:
    """``PATH`` with the directories of the administrator's tools."""
    return f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"


def mirror() -> str:
    """The Debian mirror that this machine's own apt uses.

    Raises:
        Refusal: apt knows none.
    """
    line = "$(ORIGIN) $(LABEL) $(REPO_URI)"
    done = process.run(["apt-get", "indextargets", "--format", line, "Created-By: Packages"], timeout=60)
    if not done.ok:
        raise Failure(f"apt-get indextargets: exit code {done.returncode}. {done.stderr.strip()}")
    found = first_mirror(done.stdout)
    if found is None:
        raise Refusal("testbed: apt has no index of a Debian mirror. Run: apt-get update")
    return found


def first_mirror(targets: str) -> str | None:
    """The first address of Debian's main archive in lines of origin, label and address."""
    words = (line.split(" ", 2) for line in targets.splitlines())
    return next((word[2] for word in words if word[:2] == ["Debian", "Debian"]), None)
