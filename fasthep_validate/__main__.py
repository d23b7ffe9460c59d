"""``python -m fasthep_validate``."""

from __future__ import annotations

from fasthep_validate.cli import main

if __name__ == "__main__":
    main()
