"""Causes inside the job: its start, its environment, its credentials."""

from __future__ import annotations

from fasthep_validate.causes.entry import Entry

WORKER_START = (
    Entry(
        id="FHV-worker-start-001",
        title="The job's files did not all arrive whole",
        meaning="A file that the job script needs is not in the job's directory, or not as it was sent.",
        remedy="Compare the job's directory with the transfer list in jobs/; see whether the batch system "
        "reports a failed transfer, then run again.",
    ),
    Entry(
        id="FHV-worker-start-002",
        title="The archive arrived cut short",
        meaning="The environment's archive is smaller on the node than it was on the submit host.",
        remedy="See whether the node's disk or the site's limit on transfers is full, then run again.",
    ),
    Entry(
        id="FHV-worker-start-003",
        title="The archive is not the one that was packed",
        meaning="Its size is right, its SHA-256 digest is not: it was damaged or replaced on the way.",
        remedy="Run again. If the digest differs again on the same node, report node and digest.",
        who="admin",
    ),
    Entry(
        id="FHV-worker-start-004",
        title="The archive could not be extracted",
        meaning="tar or gzip on the node gave an error although the archive is intact.",
        remedy="Read the error of tar in the evidence; the node needs tar and gzip and a writable directory.",
    ),
    Entry(
        id="FHV-worker-start-005",
        title="The environment could not be moved to its new place",
        meaning="Paths of the submit host could not be replaced in the extracted files.",
        remedy="Read the error in the evidence. A file that cannot be relocated has to leave the environment.",
    ),
    Entry(
        id="FHV-worker-start-006",
        title="The job's parameters are missing or not valid",
        meaning="job.params did not arrive, or the job script cannot read what it says.",
        remedy="Compare job.params in jobs/ with the one on the node; run again. If both are the same, "
        "report it with the run folder.",
    ),
    Entry(
        id="FHV-worker-start-007",
        title="The shared prefix is not visible on the node",
        meaning="The environment is to be used in place, but the node does not see that path.",
        remedy="Name a prefix on a filesystem that the workers mount, or let the environment travel "
        "(environment.type: packed-venv or packed-pixi).",
    ),
    Entry(
        id="FHV-worker-start-008",
        title="The worker was still starting when patience ran out",
        meaning="The job runs and shows no error; the phase named here had begun and not ended when the "
        "evidence was taken.",
        remedy="Raise execution.timeouts.worker_start, or find out why this phase is slow on this node "
        "(shared filesystem, busy disk, hung mount).",
    ),
    Entry(
        id="FHV-worker-start-009",
        title="The Dask worker gave up starting",
        meaning="The worker process did not come up within its death timeout; importing from a slow or "
        "overloaded filesystem is a common reason, a blocked connection another.",
        remedy="Raise execution.timeouts.death, keep environment and scratch on the node's own disk, and "
        "compare the durations of the phases with those of other workers.",
    ),
    Entry(
        id="FHV-worker-start-010",
        title="The worker's scratch directory cannot be used",
        meaning="Dask's local directory does not exist, or its filesystem has no file locks.",
        remedy="Let local_directory point to the node's own disk, or leave it unset.",
    ),
    Entry(
        id="FHV-worker-start-011",
        title="dask worker does not know an argument",
        meaning="An argument of worker_extra_args is not one of this version of Dask.",
        remedy="Correct worker_extra_args of the pool; dask worker --help lists what there is.",
    ),
    Entry(
        id="FHV-worker-start-012",
        title="The tests before extraction failed",
        meaning="The job script looked at the node before unpacking anything and gave up.",
        remedy="Read the error in the evidence.",
    ),
)

ENVIRONMENT = (
    Entry(
        id="FHV-environment-001",
        title="The packed Python cannot start",
        meaning="The interpreter was extracted, and the node could not run it.",
        remedy="Read the interpreter's words in the evidence.",
    ),
    Entry(
        id="FHV-environment-002",
        title="The node's C library is older than the environment needs",
        meaning="A file of the environment was built against a newer glibc than the node has.",
        remedy="Pack on a host whose system is not newer than the workers', or use a Pixi environment solved "
        "for the workers' glibc.",
    ),
    Entry(
        id="FHV-environment-003",
        title="A Python module is missing on the worker",
        meaning="The worker's environment does not hold a module that was to be imported.",
        remedy="Install it into the environment that is packed, and name it in "
        "environment.required_imports so that it is found missing before anything is submitted.",
    ),
    Entry(
        id="FHV-environment-004",
        title="A shared library is missing on the worker",
        meaning="A library that the environment took from the submit host's system is not on the node.",
        remedy="Install the library into the environment (a wheel or conda package that brings it).",
    ),
    Entry(
        id="FHV-environment-005",
        title="The packed Python does not find its standard library",
        meaning="The interpreter runs, but what it needs to start did not travel with it.",
        remedy="See whether the site sets PYTHONHOME and unset it; else report the environment that was packed "
        "(pack.json).",
    ),
    Entry(
        id="FHV-environment-006",
        title="The two ends speak different versions",
        meaning="Scheduler or client and worker differ in a compressor, in msgpack or in the pickle protocol.",
        remedy="Let workers run the packed environment of this run; nothing of the node may be in sys.path.",
    ),
    Entry(
        id="FHV-environment-007",
        title="The environment is for another kind of machine",
        meaning="The node's processor architecture is not that of the packed files.",
        remedy="Restrict the pool to nodes of the submit host's architecture, or pack on such a node.",
    ),
    Entry(
        id="FHV-environment-008",
        title="The packed Python started and failed",
        meaning="The Python step of the job script (probe or launcher) ended with an error.",
        remedy="Read the error in the evidence.",
    ),
    Entry(
        id="FHV-environment-009",
        title="The node's processor is too old for the environment",
        meaning="A library used an instruction that this processor does not have.",
        remedy="Use builds for an older baseline (x86-64-v2), or restrict the pool to newer nodes.",
    ),
    Entry(
        id="FHV-environment-010",
        title="The worker crashed in native code",
        meaning="The process ended by a segmentation fault or bus error.",
        remedy="Run the same imports with the packed Python on such a node; suspect libraries built for "
        "another system, and a scratch that is full (bus error).",
    ),
)

CREDENTIAL = (
    Entry(
        id="FHV-credential-001",
        title="The run's TLS certificates were not accepted",
        meaning="Worker and scheduler do not trust each other's certificate.",
        remedy="Something answers on the scheduler's address that is not this run's scheduler, or the files of "
        "another run were transferred: run again, with another scheduler port.",
    ),
    Entry(
        id="FHV-credential-002",
        title="By the node's clock the run's certificates are not valid",
        meaning="The clocks of node and submit host differ by more than the certificates allow.",
        remedy="Synchronise the node's clock.",
        who="admin",
    ),
    Entry(
        id="FHV-credential-003",
        title="The credentials could not be put in place",
        meaning="The job script failed in the phase that stages credentials.",
        remedy="Read the error in the evidence, and see that the credential is valid on the submit host.",
    ),
    Entry(
        id="FHV-credential-004",
        title="The TLS files of the job cannot be read",
        meaning="ca.pem, worker.pem or worker.key is damaged or does not belong to the others.",
        remedy="Run again; a run makes new ones. See whether the transfer changes text files.",
    ),
    Entry(
        id="FHV-credential-005",
        title="The TLS handshake with the scheduler failed",
        meaning="The port was reached, and the connection ended before both sides had proved themselves.",
        remedy="Read the error in the evidence, and see that nothing between node and submit host (proxy, "
        "firewall) cuts or opens TLS connections.",
    ),
)
