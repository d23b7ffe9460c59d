"""Print, as JSON, where the Python that runs this keeps what it needs; any Python >= 3.9 can run it."""

from __future__ import annotations

import json
import sys
import sysconfig
from pathlib import Path

library = Path(sysconfig.get_config_var("LIBDIR")) / sysconfig.get_config_var("LDLIBRARY")
files = [Path(sys.executable), Path(sysconfig.get_path("stdlib")), library]
facts = {
    "base": str(Path(sys.base_prefix).resolve()),
    "files": [str(file.resolve()) for file in files if file.exists()],
}
print(json.dumps(facts))
