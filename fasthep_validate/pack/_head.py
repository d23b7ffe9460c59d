"""Names the files that the extraction on the worker needs: run by path with the interpreter of an environment.

Standard library only and any Python >= 3.9. Arguments: the files that run there. Prints a JSON list of paths: loaded
modules, extension modules and mapped libraries.
"""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

MAPS = Path("/proc/self/maps")


def main(files: list[str]) -> None:
    """Load the files without running their ``main`` and print what that took."""
    for file in files:
        runpy.run_path(file, run_name="_head")
    loaded = {getattr(module, "__file__", None) or "" for module in list(sys.modules.values())}
    mapped = {
        line.split(maxsplit=5)[5]
        for line in MAPS.read_text().splitlines()
        if line.count(" ") > 5 and "/" in line
    }
    json.dump(sorted(path for path in {*loaded, *mapped} if path.startswith("/")), sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
