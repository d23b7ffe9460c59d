"""What came of trying a storage from one machine: actions in their order, up to the first that failed."""

from __future__ import annotations

from typing import Literal

from fasthep_validate.models.base import Model
from fasthep_validate.models.storage import StorageCredential

ActionName = Literal["resolve", "connect", "read", "write", "check", "rename", "remove"]
Fault = Literal[
    "name-unknown", "refused", "no-route", "unreachable", "timed-out", "not-authenticated", "tls", "denied",
    "no-such-path", "no-space", "different", "no-client", "failed",
]  # fmt: skip
"""Why an action failed, as far as the client's words tell."""


class Action(Model):
    """One thing that was tried.

    Attributes:
        name: ``resolve`` the name, ``connect`` by TCP, ``read`` the file, ``write`` a new one, ``check`` what was
            written, ``rename`` it, ``remove`` it.
        ok: whether it succeeded.
        seconds: time it took.
        fault: why it failed; ``None`` if it did not.
        words: what the client said.
    """

    name: ActionName
    ok: bool
    seconds: float = 0.0
    fault: Fault | None = None
    words: str = ""


class Access(Model):
    """A storage as it was tried from one machine.

    Attributes:
        endpoint: its name in the profile.
        url: its address.
        credential: the one credential that the client was left with.
        client: what was used, such as ``xrdfs of the node``.
        actions: what was tried, the last one being the first that failed.
        hints: what the client said about authentication when asked for more, known phrases alone.
    """

    endpoint: str
    url: str
    credential: StorageCredential
    client: str = ""
    actions: tuple[Action, ...] = ()
    hints: tuple[str, ...] = ()

    @property
    def failure(self) -> Action | None:
        """The action that failed, if one did."""
        return next((action for action in self.actions if not action.ok), None)

    def done(self, name: ActionName) -> Action | None:
        """An action, if it was tried."""
        return next((action for action in self.actions if action.name == name), None)
