"""Why a worker failed, out of a catalogue with stable ids.

- ``catalogue``: all entries, with what each means, what to do and who can do it.
- ``entry``: the form of an entry. ``inside``, ``outside``: those of the job itself and those around it.
  ``credentials``: those of proxies, tickets and tokens. ``storage``: those of storage.
- ``gpu``: entries about GPUs, with the words that show each.
- ``rules``: which code, exit code or log line shows which entry.
- ``match``: the evidence of a worker against the rules.
- ``access``: why a storage could not be used, from what is known of the credential.
"""

from __future__ import annotations

from fasthep_validate.causes.access import Case, why, why_unread
from fasthep_validate.causes.catalogue import CATALOGUE, reference
from fasthep_validate.causes.credentials import FAULTS
from fasthep_validate.causes.entry import Entry
from fasthep_validate.causes.gpu import explain as explain_gpu
from fasthep_validate.causes.match import explain, stopped_in

__all__ = [
    "CATALOGUE",
    "FAULTS",
    "Case",
    "Entry",
    "explain",
    "explain_gpu",
    "reference",
    "stopped_in",
    "why",
    "why_unread",
]
