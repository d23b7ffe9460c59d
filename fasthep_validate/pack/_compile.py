"""Compiles modules: run by path with the interpreter of an environment.

Standard library only and any Python >= 3.9. Standard input: a JSON list of ``[source, target]``. A
source that does not compile (a template, a test of syntax errors) is passed over, as importing it is
what would have to fail.
"""

from __future__ import annotations

import json
import py_compile
import sys
import warnings


def main() -> None:
    """Write a time-stamped ``.pyc`` for each source."""
    warnings.simplefilter("ignore")
    for source, target in json.load(sys.stdin):
        try:
            mode = py_compile.PycInvalidationMode.TIMESTAMP
            py_compile.compile(source, cfile=target, dfile=source, doraise=True, invalidation_mode=mode)
        except (py_compile.PyCompileError, OSError, ValueError, RecursionError):
            continue


if __name__ == "__main__":
    main()
