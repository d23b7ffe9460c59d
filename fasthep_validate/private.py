"""The private folder of a run: its keys, and what must not lie in the run folder."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from fasthep_validate.credentials.run_tls import RunTls, make_run_tls
from fasthep_validate.errors import SubmitError

PREFIX = "fasthep-validate-"


def private_folder(parent: Path | None = None) -> tuple[Path, RunTls]:
    """A folder that only the owner can read (mode 0700), with the keys of the run in it.

    ``parent`` is where it is made; without it where temporary files are.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    except OSError as error:
        raise _no_room(error) from error
    try:
        return folder, make_run_tls(folder)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise _no_room(error) from error


def _no_room(error: OSError) -> SubmitError:
    what = f"no place for the run's certificates and jobs in {tempfile.gettempdir()}: {error.strerror}"
    return SubmitError(f"TMPDIR: {what}. Make room there, or point TMPDIR at another filesystem.")
