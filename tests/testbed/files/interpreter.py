"""Print, as JSON, where the Python that runs this keeps what it needs; any Python >= 3.9 can run it."""

from __future__ import annotations

import json
import os
import sys
import sysconfig

facts = {
    "base": os.path.realpath(sys.base_prefix),
    "files": [
        os.path.realpath(sys.executable),
        os.path.realpath(sysconfig.get_path("stdlib")),
        os.path.join(sysconfig.get_config_var("LIBDIR") or "", sysconfig.get_config_var("LDLIBRARY") or ""),
    ],
}
print(json.dumps(facts))
