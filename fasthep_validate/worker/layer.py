"""Puts the code layer of a job on the path: imported by a ``.pth`` file whenever the packed Python starts.

Standard library only, any Python >= 3.9. ``FASTHEP_VALIDATE_CODE`` is the extracted layer; without it, or
without the layer, nothing happens.

``site/``
    packages, and the ``.pth`` files of editable installs: after all others.
``paths.txt``
    directories with the code beside a workflow, one a line: before all packages, after the standard library.
"""

from __future__ import annotations

import os
import site
import sys

PACKAGES = ("site-packages", "dist-packages")


def add(root: str) -> None:
    """Put the layer on the path; a second time changes nothing."""
    try:
        with open(os.path.join(root, "paths.txt"), encoding="utf-8") as lines:  # noqa: PTH118, PTH123 - at every start
            found = [f"{root}/{line}" for line in lines.read().splitlines() if line]
    except OSError:
        return
    new = [path for path in found if path not in sys.path]
    first = (index for index, path in enumerate(sys.path) if path.endswith(PACKAGES))
    index = next(first, len(sys.path))
    sys.path[index:index] = new
    site.addsitedir(f"{root}/site")


if os.environ.get("FASTHEP_VALIDATE_CODE"):
    add(os.environ["FASTHEP_VALIDATE_CODE"])
