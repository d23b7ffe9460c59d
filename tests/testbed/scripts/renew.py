"""Renews a token while a worker runs: prints whose digest the worker sees before and after, and the mode there."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from pathlib import Path

from fasthep_validate import load_site, open_pools
from fasthep_validate.credentials import renewal


def seen() -> str:
    """What a task finds."""
    path = Path(os.environ["BEARER_TOKEN_FILE"])
    return f"{hashlib.sha256(path.read_bytes().strip()).hexdigest()} {path.stat().st_mode & 0o777:o}"


if __name__ == "__main__":
    site, outdir = sys.argv[1:]
    assert renewal.Renewal.__init__.__kwdefaults__
    renewal.Renewal.__init__.__kwdefaults__["interval"] = 0.5
    with open_pools(load_site(site), outdir=Path(outdir)) as pools:
        before = pools.client.submit(seen, pure=False).result()
        file = Path(os.environ["BEARER_TOKEN_FILE"])
        file.with_name("token.new").replace(file)
        now, deadline = before, time.monotonic() + 30
        while now == before and time.monotonic() < deadline:
            time.sleep(0.2)
            now = pools.client.submit(seen, pure=False).result()
    print(now)
