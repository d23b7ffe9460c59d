"""The pipeline of a run, from a site's profile to stored evidence.

===========  ===============================================  ==========================
step         what it makes                                    stored as
===========  ===============================================  ==========================
prepare      profile, execution configuration, packed         ``profile.json``,
             environment                                      ``execution.json``,
                                                              ``pack.json``
open         jobs, workers                                    ``jobs/``, ``events/``
gather       evidence of every worker and the submit host     ``evidence/``
close        logs, last words of every job                    ``debug/distributed/``
===========  ===============================================  ==========================

Judging is not here: the checks run under pytest, with what is stored.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fasthep_validate import bundled, leftovers, preflight, process
from fasthep_validate.batch import way_of
from fasthep_validate.batch.nodes import pin
from fasthep_validate.causes import FAULTS
from fasthep_validate.cluster import Cluster
from fasthep_validate.credentials.delivery import Delivery
from fasthep_validate.credentials.preflight import examine
from fasthep_validate.errors import ConfigError, FasthepValidateError, NoWorkersError, Problem
from fasthep_validate.events import read_probe
from fasthep_validate.hub_config import submit_environment
from fasthep_validate.logs import collect
from fasthep_validate.models.evidence import DaskEvidence, SubmitEvidence, WorkerEvidence
from fasthep_validate.models.probe import NodeProbe
from fasthep_validate.modifiers import parameter_problem, registered
from fasthep_validate.pack import pack
from fasthep_validate.plan import NODE_LIBRARIES, scheduler_host
from fasthep_validate.profiles import Overrides, load_site
from fasthep_validate.progress import Progress, Silent
from fasthep_validate.records import Record
from fasthep_validate.signals import held
from fasthep_validate.store import RunFolder, new_run, write_model, write_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fasthep_validate.models.packed import PackedEnv
    from fasthep_validate.models.profile import SiteProfile

DEFAULT_OUTDIR = Path("fasthep-validate-results")


def load_profile(name: str, overrides: Overrides | None = None, *, nodes: str = "") -> SiteProfile:
    """The profile of a site with the registered modifiers; see :func:`fasthep_validate.profiles.load_site`.

    Args:
        name: name or path of the profile.
        overrides: changes for this run.
        nodes: nodes to pin one worker each to, see ``fasthep-validate --nodes``; empty for no pinning.
    """
    site = load_site(
        name,
        overrides=overrides or Overrides(),
        builtin=registered(),
        parameter_problem=parameter_problem,
    )
    return pinned(site, nodes)


def pinned(site: SiteProfile, nodes: str) -> SiteProfile:
    """The profile with one worker pinned to each of these nodes; as it is when none are named."""
    if not nodes:
        return site
    execution = pin(site.execution, nodes, way_of(site.execution).nodes)
    return site.model_copy(update={"execution": execution})


def cache_folder() -> Path:
    """Where packs are kept: ``$XDG_CACHE_HOME/fasthep-validate``, by default below ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "fasthep-validate" / "packs"


@dataclass
class Campaign:
    """One run at one site.

    Attributes:
        site: the site's profile, overrides included.
        folder: the run folder.
        progress: who is told what happens.
        record: what would be left if this command were killed.
        packed: the environment; set by :meth:`prepare`.
        cluster: the pools, while they are open.
    """

    site: SiteProfile
    folder: RunFolder
    progress: Progress
    record: Record
    packed: PackedEnv | None = None
    cluster: Cluster | None = None

    def __post_init__(self) -> None:
        self._dask: dict[str, DaskEvidence] = {}
        self._submit = SubmitEvidence()
        self._delivery = Delivery()
        self._probe: Future[NodeProbe | None] | None = None

    @classmethod
    def begin(cls, site: SiteProfile, *, outdir: Path, progress: Progress) -> Campaign:
        """Make the run folder and store what was asked for.

        Raises:
            ConfigError: the folder cannot be written, or the site does not take a path.
        """
        return cls.resume(site, cls.prepare_folder(site, outdir=outdir), progress=progress)

    @staticmethod
    def prepare_folder(site: SiteProfile, *, outdir: Path) -> RunFolder:
        """Make the run folder and store what was asked for; nothing is started.

        Raises:
            ConfigError: the folder cannot be written, or the site does not take a path.
        """
        preflight.check_paths(site, outdir=outdir, cache=cache_folder())
        folder = new_run(outdir, site.site)
        write_model(folder.path / "profile.json", site)
        write_model(folder.path / "execution.json", site.execution)
        return folder

    @classmethod
    def resume(cls, site: SiteProfile, folder: RunFolder, *, progress: Progress) -> Campaign:
        """A run in a folder that is prepared; what killed runs have left is removed first."""
        leftovers.clean(progress.step)
        record = Record.begin(folder, site=site.site, strategy=site.execution.strategy)
        if record.problem:
            progress.step(f"if this command is killed nobody will know what it left: {record.problem}")
        return cls(site, folder, progress, record)

    def prepare(self) -> PackedEnv:
        """Pack the environment, or find it packed.

        Raises:
            ConfigError: a credential that is required would not do.
            PackError: it cannot be packed.
        """
        self._check_credentials()
        self.progress.step(f"environment {self.site.execution.environment.prefix}: looking for changes")
        self.packed = pack(self.site.execution.environment, cache=cache_folder(), say=self.progress.step)
        write_model(self.folder.path / "pack.json", self.packed)
        for note in self.packed.notes:
            self.progress.step(note)
        return self.packed

    def _check_credentials(self) -> None:
        """Before anything is packed or queued."""
        checked = examine(self.site.execution)
        for line in checked.lines():
            self.progress.step(line)
        self._submit = self._submit.model_copy(
            update={"credentials": tuple(each.seen for each in checked.found.values())}
        )
        if checked.refusals:
            raise ConfigError(
                *(
                    Problem(f"credentials.{kind}", fault.words, FAULTS[fault.code].remedy)
                    for kind, fault in checked.refusals
                )
            )
        self._delivery = Delivery.of(checked)

    def open(self) -> Cluster:
        """Start scheduler and workers and wait for them; a worker that does not come is evidence.

        Raises:
            SubmitError: the scheduler could not be started, or a job was refused.
        """
        packed = self.packed or self.prepare()
        self._probe = ThreadPoolExecutor(1, "probe").submit(self._probe_submit_host, packed)
        with held():  # from its first moment on there is a private folder to remove
            self.cluster = Cluster(
                self.site.execution,
                packed,
                self.folder,
                progress=self.progress,
                record=self.record,
                delivery=self._delivery,
            )
        self.cluster.start()
        self.cluster.wait()
        return self.cluster

    def gather(self) -> None:
        """Ask every worker and the scheduler, and store the answers."""
        cluster = self._open_cluster()
        self.progress.step(f"asking {len(cluster.registered)} of {len(cluster.logs)} workers")
        found = cluster.gather(peer_size=self.site.checks.peer_size)
        if self.site.workflow is not None:
            self.progress.step("asking for what the workflow needs")
            for worker, seen in cluster.ask_workflow(self.site.workflow).items():
                found[worker]["workflow"] = seen.get("workflow")
                if "problem" in seen:
                    found[worker].setdefault("problems", {})["workflow"] = seen["problem"]
        self._dask = {worker: DaskEvidence.model_validate(facts) for worker, facts in found.items()}
        probe = self._probe.result() if self._probe else None
        self._submit = SubmitEvidence.model_validate(
            {**cluster.scheduler_evidence(), "probe": probe, "credentials": self._submit.credentials}
        )
        self._store(cluster)
        write_model(self.folder.path / "connection.json", cluster.connection())

    @held()
    def close(self) -> None:
        """Close the pools, collect the logs, and store all that is known; safe to call again."""
        cluster, self.cluster = self.cluster, None
        if cluster is None:
            self.record.end()
            return
        self.progress.step("closing the pools")
        (self.folder.path / "connection.json").unlink(missing_ok=True)
        try:
            cluster.close()
        finally:
            self._store(cluster)
        if not cluster.left:
            self.record.end()

    def workers_error(self) -> NoWorkersError | None:
        """The error of a run that no worker came to."""
        if self._dask:
            return None
        planned = len(self.site.execution.worker_ids())
        what = f"no worker came: 0 of {planned} registered with the scheduler"
        return NoWorkersError(f"{self.site.site}: {what}. The failures below say which step broke, and why.")

    def _open_cluster(self) -> Cluster:
        if self.cluster is None:
            raise FasthepValidateError("pools: they are not open. Use them inside their 'with' block.")
        return self.cluster

    def _store(self, cluster: Cluster) -> None:
        write_model(self.folder.evidence / "submit.json", self._submit)
        statuses = cluster.statuses()
        for worker, pool in cluster.pools.items():
            evidence = WorkerEvidence(
                worker=worker,
                pool=pool,
                job=statuses[worker],
                events=tuple(cluster.logs[worker].events),
                probe=read_probe(self.folder.log("out", worker)),
                dask=self._dask.get(worker),
                logs=collect(self.folder, worker),
            )
            write_model(self.folder.evidence / f"{worker}.json", evidence)

    def _probe_submit_host(self, packed: PackedEnv) -> NodeProbe | None:
        """Run the workers' probe here, with the same environment: what they are compared with."""
        home = self.folder.jobs / "submit"
        settings, result = home / "probe.json.in", home / "probe.json"
        argv: list[str | Path] = [packed.submit_python, bundled.worker_file("probe.py"), settings, result]
        limit = 4 * self.site.execution.timeouts.probe
        try:
            home.mkdir(exist_ok=True)
            write_text(settings, json.dumps(self._probe_settings(packed, home), indent=2) + "\n")
            done = process.run(argv, timeout=limit, env=submit_environment(), cwd=home)
            return NodeProbe.model_validate_json(result.read_bytes())
        except FileNotFoundError:
            self.progress.step(f"the probe of the submit host failed: {done.stderr.strip()[-200:]}")
        except (OSError, ValueError) as error:
            self.progress.step(f"the probe of the submit host failed: {error}")
        return None

    def _probe_settings(self, packed: PackedEnv, home: Path) -> dict[str, object]:
        return {
            "root": packed.submit_prefix,
            "relocations": [],
            "text_files": [],
            "required_imports": self.site.execution.environment.required_imports,
            "scheduler_host": scheduler_host(self.site.execution.scheduler),
            "node_libraries": NODE_LIBRARIES,
            "scratch": str(home),
            "timeout": self.site.execution.timeouts.probe,
        }


@contextmanager
def open_pools(
    site: SiteProfile, *, outdir: Path = DEFAULT_OUTDIR, progress: Progress | None = None
) -> Iterator[Cluster]:
    """The pools of a site, ready for your own Dask work.

    Example::

        from fasthep_validate import load_site, open_pools

        with open_pools(load_site("local"), outdir="results") as pools:
            print(pools.client.submit(sum, [1, 2, 3]).result())

    Args:
        site: the site's profile.
        outdir: results and logs go to ``<outdir>/<site>/<UTC time>/``.
        progress: who is told what happens; nobody by default.

    Raises:
        PackError: the environment cannot be packed.
        SubmitError: the scheduler or a job could not be started.
        NoWorkersError: no worker came; the message has the last words of the first one.
    """
    campaign = Campaign.begin(site, outdir=Path(outdir), progress=progress or Silent())
    try:
        cluster = campaign.open()
        if not cluster.registered:
            campaign.close()
            raise _no_workers(campaign)
        yield cluster
    finally:
        campaign.close()


def _no_workers(campaign: Campaign) -> NoWorkersError:
    worker = campaign.site.execution.worker_ids()[0]
    tail: Sequence[Any] = next(log.tail for log in collect(campaign.folder, worker) if log.kind == "err")
    words = f" Last words of {worker}: {tail[-1]}" if tail else ""
    return NoWorkersError(f"{campaign.workers_error()}{words} Logs are in {campaign.folder.debug}.")
