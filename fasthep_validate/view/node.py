"""A machine as ``probe.py`` saw it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, TypeVar

if TYPE_CHECKING:
    from fasthep_validate.models.access import Access
    from fasthep_validate.models.credential import CredentialSeen
    from fasthep_validate.models.evidence import SubmitEvidence
    from fasthep_validate.models.gpu import GpuEvidence
    from fasthep_validate.models.probe import (
        Activated,
        HostInfo,
        ImportResult,
        Leftovers,
        Limits,
        Lookup,
        NodeProbe,
        Prefix,
        Provenance,
        PythonInfo,
        Scratch,
    )

T = TypeVar("T")


class Node:
    """A machine as the probe saw it; every property is evidence that was promised."""

    @property
    def probe(self) -> NodeProbe:
        """All that the probe wrote; its fields are ``None`` where it found nothing."""
        raise NotImplementedError

    def _missing(self, what: str, problem: str) -> NoReturn:
        raise AssertionError(f"promised evidence {what} is missing: {problem or 'nothing was stored'}")

    def _seen(self, name: str, value: T | None) -> T:
        if value is None:
            self._missing(name, self.probe.problems.get(name, ""))
        return value

    @property
    def host(self) -> HostInfo:
        """The machine and the user."""
        return self._seen("host", self.probe.host)

    @property
    def python(self) -> PythonInfo:
        """The interpreter of the environment."""
        return self._seen("python", self.probe.python)

    @property
    def imports(self) -> tuple[ImportResult, ...]:
        """Attempts to import the modules that the profile requires."""
        return self._seen("imports", self.probe.imports)

    @property
    def versions(self) -> dict[str, str]:
        """Distribution -> version of everything installed in the environment."""
        return self._seen("versions", self.probe.versions)

    @property
    def provenance(self) -> Provenance:
        """Where the code of the probe's process came from."""
        return self._seen("provenance", self.probe.provenance)

    @property
    def leftovers(self) -> Leftovers:
        """What relocation left undone."""
        return self._seen("leftovers", self.probe.leftovers)

    @property
    def scratch(self) -> Scratch:
        """The job's directory."""
        return self._seen("scratch", self.probe.scratch)

    @property
    def limits(self) -> Limits:
        """Limits of the job's process."""
        return self._seen("limits", self.probe.limits)

    @property
    def thread_variables(self) -> dict[str, str]:
        """``OMP_NUM_THREADS`` and its like, those that are set."""
        return self._seen("thread_variables", self.probe.thread_variables)

    @property
    def gpu(self) -> GpuEvidence:
        """What was asked about GPUs."""
        return self._seen("gpu", self.probe.gpu)

    @property
    def environment(self) -> dict[str, str]:
        """Variables of the allow-list."""
        return self._seen("environment", self.probe.environment)

    @property
    def activation(self) -> Activated:
        """What was done before Python started."""
        return self._seen("activation", self.probe.activation)

    @property
    def prefix(self) -> Prefix:
        """What is installed in the prefix of the environment."""
        return self._seen("prefix", self.probe.prefix)

    @property
    def storage(self) -> tuple[Access, ...]:
        """The profile's storage, as it was tried from this machine."""
        return self._seen("storage", self.probe.storage)

    @property
    def credentials(self) -> tuple[CredentialSeen, ...]:
        """Credentials that the profile asks for, as they are found there."""
        return self._seen("credentials", self.probe.credentials)

    @property
    def scheduler_lookup(self) -> Lookup:
        """The scheduler's name resolved on the node."""
        return self._seen("scheduler_lookup", self.probe.scheduler_lookup)


class SubmitHost(Node):
    """The submit host, which is the baseline that workers are compared with."""

    def __init__(self, evidence: SubmitEvidence) -> None:
        self.evidence = evidence

    @property
    def probe(self) -> NodeProbe:
        """What the probe saw on the submit host, under the same environment."""
        if self.evidence.probe is None:
            self._missing("of the submit host", "")
        return self.evidence.probe
