"""Puts the real path of an extracted environment where the paths of the submit host were.

Run on the worker with the packed interpreter, before anything else of the environment is used::

    base/bin/python3.11 -I -S relocate.py ROOT [PLACE]

``PLACE`` is where ``ROOT`` will be moved.
Standard library only, any Python >= 3.9. What to do is in ``ROOT/.fasthep/manifest.json``. A second run
changes nothing. Exit code 1 and one line that names the file if anything is wrong.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
import sys
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MANIFEST = ".fasthep/manifest.json"
LINE_OF_KERNEL = 127  # bytes of a "#!" line that every kernel reads, from BINPRM_BUF_SIZE before Linux 5.1


class RelocationError(Exception):
    """A file cannot be relocated; the message names it."""


def path_pattern(paths: Iterable[bytes]) -> re.Pattern[bytes]:
    """A pattern for whole paths: ``/a/b`` is found in ``/a/b/c`` and ``-L/a/b``, not in ``/a/bc`` or ``/x/a/b``.

    Of two paths that start alike, the longer one is found.
    """
    words = b"|".join(re.escape(path) for path in sorted(paths, key=len, reverse=True))
    before = rb"(?:(?<![\w.~\x80-\xff-])|(?<=-[A-Za-z])|(?<=\\[nrt])|(?<=[\s'\"=:,]\.))"
    after = rb"(?![\w~\x80-\xff-]|\.\w)"
    return re.compile(before + b"(" + words + b")" + after)


def targets(root: str, relocations: list[dict[str, str]]) -> dict[bytes, bytes]:
    """Old path -> new path; new paths stay as they are, so that a second run finds nothing to do."""
    pairs = [(item["old"], posixpath.join(root, item["new"]).rstrip("/")) for item in relocations]
    settled = {os.fsencode(path): os.fsencode(path) for path in (root, *(new for _, new in pairs))}
    return {**settled, **{os.fsencode(old): os.fsencode(new) for old, new in pairs}}


def replace_text(data: bytes, new: Mapping[bytes, bytes]) -> bytes:
    """Text with every old path replaced and its first line still good for the kernel."""
    text = path_pattern(new).sub(lambda match: new[match.group(1)], data)
    return text if text == data else runnable(text)


def runnable(text: bytes) -> bytes:
    """A script whose ``#!`` line is too long for the kernel, or has a space in its path, started by ``sh``."""
    line, newline, rest = text.partition(b"\n")
    command = line[2:].strip()
    if not line.startswith(b"#!/") or not newline:
        return text
    at = re.match(rb"(/.*/bin/([^/\s]+))(\s+\S.*)?$", command)
    if at is None or (len(line) <= LINE_OF_KERNEL and b" " not in at.group(1)):
        return text
    program, name, options = at.group(1), at.group(2), at.group(3) or b""
    if not name.startswith(b"python"):
        return b"#!/usr/bin/env " + name + newline + rest
    quoted = re.sub(rb'([\\"$`])', rb"\\\1", program)
    return b"#!/bin/sh\n'''exec' \"" + quoted + b'"' + options + b' "$0" "$@"\n' + b"' '''\n" + rest


def replace_padded(data: bytes, new: Mapping[bytes, bytes], room: int) -> bytes:
    """A binary file with the old paths replaced in its NUL-terminated strings, which keep their place.

    Args:
        data: the file.
        new: old path -> new path.
        room: length of the placeholder that the file was built with: for each old path in a string,
            the string is followed by as many NUL bytes as the path is shorter than this.

    Raises:
        RelocationError: a new path does not fit.
    """
    pattern = path_pattern(new)
    rough = re.compile(b"|".join(re.escape(path) for path in new))  # without context: ten times as fast
    parts, done, found = [], 0, rough.search(data)
    while found:
        start = max(data.rfind(b"\0", 0, found.start()) + 1, done)
        end = data.find(b"\0", found.start())
        end = len(data) if end < 0 else end
        old = data[start:end]
        text = pattern.sub(lambda match: fitting(match.group(1), new, room), old)
        growth = max(len(text) - len(old), 0)
        if data[end + 1 : end + 1 + growth] != bytes(growth):
            raise RelocationError("there are no NUL bytes to take up a longer path")
        parts += [data[done:start], text.ljust(len(old), b"\0")]
        done = end + growth
        found = rough.search(data, max(end, done))
    return b"".join(parts) + data[done:]


def fitting(old: bytes, new: Mapping[bytes, bytes], room: int) -> bytes:
    """The new path for an old one.

    Raises:
        RelocationError: it is longer than the placeholder was.
    """
    limit = max(room, len(old))
    if len(new[old]) > limit:
        raise RelocationError(f"a path of {len(new[old])} bytes does not fit in {limit} bytes")
    return new[old]


def rewrite(path: Path, data: bytes) -> None:
    """Put new contents in place of a file, all at once, with its mode and times."""
    was = path.stat()
    temporary = path.with_name(path.name[:200] + ".relocating")
    try:
        temporary.write_bytes(data)
        temporary.chmod(was.st_mode & 0o7777)
        os.utime(temporary, ns=(was.st_atime_ns, was.st_mtime_ns))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def venv_settings(text: str, values: Mapping[str, str]) -> str:
    """The lines of a ``pyvenv.cfg`` with the values of the keys that it has replaced."""
    lines = []
    for line in text.splitlines():
        key = line.partition("=")[0].strip()
        lines.append(f"{key} = {values[key]}" if key in values else line)
    return "\n".join(lines) + "\n"


def fix_venv(root: Path, place: Path, manifest: Mapping[str, str]) -> None:
    """Point a virtualenv at the interpreter in the same tree, once that is in its place."""
    config = root / manifest["prefix"] / "pyvenv.cfg"
    if manifest["prefix"] == manifest["base_prefix"] or not config.is_file():
        return
    python = place / manifest["base_python"]
    base = str(place / manifest["base_prefix"])
    values = {
        "home": str(python.parent),
        "executable": str(python),
        "base-executable": str(python),
        "base-prefix": base,
        "base-exec-prefix": base,
    }
    text = os.fsdecode(config.read_bytes())
    fixed = venv_settings(text, values)
    if fixed != text:
        rewrite(config, os.fsencode(fixed))


def relocate(root: Path, place: Path) -> None:
    """Relocate an extracted tree for the place where it will be.

    Raises:
        RelocationError: a file is missing, cannot be written, or has no room for the new path.
    """
    name = MANIFEST
    try:
        manifest = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
        new = targets(str(place), manifest["relocations"])
        for name in manifest["text_files"]:
            data = (root / name).read_bytes()
            text = replace_text(data, new)
            if text != data:
                rewrite(root / name, text)
        for name in manifest["binary_files"]:
            data = (root / name).read_bytes()
            fixed = replace_padded(data, new, manifest["placeholder"])
            if fixed != data:
                rewrite(root / name, fixed)
        name = "pyvenv.cfg"
        fix_venv(root, place, manifest)
    except OSError as error:
        raise RelocationError(f"{root / name}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, RelocationError) as error:
        raise RelocationError(f"{root / name}: {error}") from error


def main(arguments: list[str]) -> int:
    """Relocate the tree that is named; exit code of the program."""
    if len(arguments) not in {1, 2}:
        sys.stderr.write("usage: relocate.py ROOT [PLACE]\n")
        return 2
    try:
        relocate(*(Path(posixpath.abspath(path)) for path in (arguments[0], arguments[-1])))
    except RelocationError as error:
        sys.stderr.write(f"relocate: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
