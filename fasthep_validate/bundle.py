"""One archive of a run, to be sent to somebody who can help: everything of its folder but secrets."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from fasthep_validate.errors import ConfigError, Problem
from fasthep_validate.private import PREFIX
from fasthep_validate.scrubbing import scrub

if TYPE_CHECKING:
    from collections.abc import Iterator

# Files that hold or name keys of the run; private folders of a run on a shared filesystem go whole.
LEFT_OUT = ("connection.json", "*.pem", "*.key")
LARGEST = 50_000_000  # bytes of one file; a log that is larger is of no use to anybody


def bundle(run: Path, target: Path) -> tuple[str, ...]:
    """Write the archive; returns what was left out, relative to the run folder.

    Texts go through the same filter as the tails of logs in the evidence: private keys and tokens are
    replaced, wherever a program may have printed them.

    Args:
        run: folder of a run, finished or not.
        target: the file to write, ``.tar.gz``.

    Raises:
        ConfigError: it cannot be written.
    """
    left_out = []
    top = Path(f"{run.parent.name}-{run.name}")
    part = target.with_name(f".{target.name}.part")
    try:
        with tarfile.open(part, "w:gz") as archive:
            for path in _files(run):
                name = path.relative_to(run)
                if _is_secret(name) or path.stat().st_size > LARGEST:
                    left_out.append(str(name))
                else:
                    _add(archive, path, str(top / name))
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        what = f"{target} cannot be written: {error.strerror}"
        raise ConfigError(Problem("--output", what, "Name a file in a folder of yours.")) from error
    return tuple(left_out)


def _files(run: Path) -> Iterator[Path]:
    yield from (path for path in sorted(run.rglob("*")) if path.is_file() and not path.is_symlink())


def _is_secret(name: Path) -> bool:
    return any(name.match(pattern) for pattern in LEFT_OUT) or any(
        part.startswith(PREFIX) for part in name.parts
    )


def _add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    """Add a file without its owner, readable for whoever unpacks it."""
    data = path.read_bytes()
    if b"\0" not in data:
        data = scrub(data.decode("utf-8", errors="surrogateescape")).encode("utf-8", errors="surrogateescape")
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = len(data), path.stat().st_mtime, 0o644
    archive.addfile(info, io.BytesIO(data))
