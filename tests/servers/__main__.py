"""Hold the servers of a site: ``python -m tests.servers FOLDER [HOST ADDRESS]``.

FOLDER is made; below it ``credentials`` has a good proxy, ticket and token of user alice, and ``env`` names them
for a shell. ``issuer/signing.key`` is for programs that sign tokens in the issuer's place. It ends with its standard input, or by a signal.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from tests.servers.ca import written
from tests.servers.site import Site

if TYPE_CHECKING:
    from types import FrameType


def main(folder: str, *where: str) -> int:
    """Start, say so, wait for the end."""
    path = Path(folder).absolute()
    path.mkdir(mode=0o755, parents=True)
    signal.signal(signal.SIGTERM, _end)
    site = Site.start(path, **dict(zip(("host", "address"), where, strict=False)))
    try:
        env = site.credentials(path / "credentials")
        env |= {"STORAGE": site.storage.url, "STORAGE_HTTPS": site.storage.https, "ISSUER": site.issuer.url}
        written(path / "issuer" / "signing.key", site.issuer.signing_key(), 0o600)
        (path / "env").write_text("".join(f"export {name}='{value}'\n" for name, value in env.items()))
        print(path / "env", flush=True)
        sys.stdin.read()
    finally:
        site.stop()
    return 0


def _end(signum: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + signum)


if __name__ == "__main__":
    if not 1 <= len(sys.argv[1:]) <= 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
