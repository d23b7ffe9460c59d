"""Causes around the job: network, resources, batch system, and this package itself."""

from __future__ import annotations

from fasthep_validate.causes.entry import Entry

UNKNOWN = "FHV-harness-000"

CONNECTIVITY = (
    Entry(
        id="FHV-connectivity-001",
        title="The node cannot resolve the scheduler's name",
        meaning="The name service of the node does not know the submit host.",
        remedy="Let the profile's scheduler host be a name or address that the nodes can resolve.",
    ),
    Entry(
        id="FHV-connectivity-002",
        title="The scheduler's port refuses the node",
        meaning="The host was reached and answered that nothing may be reached at this port.",
        remedy="See that the scheduler is still running and that no firewall rejects its port; the site's "
        "profile names the ports that are open.",
    ),
    Entry(
        id="FHV-connectivity-003",
        title="The node has no route to the scheduler",
        meaning="The network answered that the submit host cannot be reached from there.",
        remedy="Advertise an address in a network that the nodes can reach, or ask for the route.",
        who="admin",
    ),
    Entry(
        id="FHV-connectivity-004",
        title="Nothing answers at the scheduler's port",
        meaning="Packets vanish between node and submit host, as with a firewall that drops them.",
        remedy="Choose a scheduler port that the site opens towards its workers, or ask for one.",
        who="admin",
    ),
    Entry(
        id="FHV-connectivity-005",
        title="The scheduler's port cannot be reached from the node",
        meaning="The test before extraction could not open a TCP connection to the scheduler.",
        remedy="Choose a scheduler port that the site opens towards its workers, or ask for one.",
        who="admin",
    ),
    Entry(
        id="FHV-connectivity-006",
        title="The network interface does not exist on the node",
        meaning="Dask was told an interface that the node does not have, or one without an IPv4 address.",
        remedy="Remove --interface from worker_extra_args, or name one that all nodes have.",
    ),
    Entry(
        id="FHV-connectivity-007",
        title="A port of the worker is taken",
        meaning="Another process of the node listens at a port that the worker was told to use.",
        remedy="Give the pool a wider range of ports (worker_ports): a worker with a nanny takes two.",
    ),
    Entry(
        id="FHV-connectivity-008",
        title="The worker's range of ports is used up",
        meaning="Every port that the pool allows is taken on this node.",
        remedy="Widen worker_ports; a worker with a nanny needs two ports, and so does each neighbour.",
    ),
    Entry(
        id="FHV-connectivity-009",
        title="The Dask worker did not get a connection to the scheduler",
        meaning="The worker process started and could not connect; its log does not say at which step.",
        remedy="Compare with the preflight of the same worker: if that passed, look at TLS and at the "
        "address that the scheduler advertises; if not, at ports and routes.",
    ),
)

RESOURCES = (
    Entry(
        id="FHV-resources-001",
        title="The disk is full",
        meaning="The node's scratch, or the user's quota on it, has no room left.",
        remedy="Ask for more disk in the pool's resources, or free the quota.",
    ),
    Entry(
        id="FHV-resources-002",
        title="Nothing may be executed in the job's directory",
        meaning="The filesystem of the scratch directory is mounted noexec.",
        remedy="Use a scratch directory that allows execution, or ask for it to be mounted so.",
        who="admin",
    ),
    Entry(
        id="FHV-resources-003",
        title="The job was killed for its memory",
        meaning="The kernel or the batch system says that the job exceeded its memory.",
        remedy="Ask for more memory in the pool's resources; Dask's memory limit must lie below it.",
    ),
    Entry(
        id="FHV-resources-004",
        title="The process could not get memory",
        meaning="An allocation failed: a limit on virtual memory, or a node without memory.",
        remedy="Compare the limits in the worker's evidence with what the pool asks for.",
    ),
    Entry(
        id="FHV-resources-005",
        title="Too many open files",
        meaning="The limit of open files on the node is too low for a Dask worker.",
        remedy="Raise the limit of open files (ulimit -n) of batch jobs.",
        who="admin",
    ),
    Entry(
        id="FHV-resources-006",
        title="No further process or thread could be started",
        meaning="The limit of processes of the user or of the job's cgroup is reached.",
        remedy="Lower nthreads and OMP_NUM_THREADS, or ask for a higher limit (ulimit -u, pids.max).",
    ),
    Entry(
        id="FHV-resources-007",
        title="The nanny ended the worker for its memory",
        meaning="The worker went over its share of Dask's memory limit.",
        remedy="Raise the pool's memory and memory_limit, or make the tasks smaller.",
    ),
)

BATCH = (
    Entry(
        id="FHV-batch-001",
        title="The job did not start",
        meaning="It was submitted, and was still waiting in the queue when patience ran out.",
        remedy="See why it waits (the batch system's own words are in the evidence, where it has any); ask "
        "for less, or raise execution.timeouts.worker_start.",
    ),
    Entry(
        id="FHV-batch-002",
        title="The job was never submitted",
        meaning="The run ended before this worker's turn.",
        remedy="Look at the run's own error first.",
    ),
    Entry(
        id="FHV-batch-003",
        title="The job was lost",
        meaning="The batch system no longer knows the job, or lost its node.",
        remedy="See the state of the node; run again. If it is always the same node, report it.",
        who="admin",
    ),
    Entry(
        id="FHV-batch-004",
        title="The job was removed before its worker was of use",
        meaning="A person, a policy of the site, or this command (when patience ran out) removed it.",
        remedy="The phase named here is where it was at that moment; see whether it is slow or stuck.",
    ),
    Entry(
        id="FHV-batch-005",
        title="The job ended without a last word",
        meaning="The job script reports every end that it can catch and did not report this one: it was "
        "killed by SIGKILL, or the node was lost. Nothing here says by whom.",
        remedy="Ask the batch system (accounting, the node's log) who killed the job; a limit on memory or "
        "time is one possibility, and a node that went down another.",
    ),
    Entry(
        id="FHV-batch-006",
        title="The job was told to end by a signal",
        meaning="Something outside ended the job in an orderly way.",
        remedy="See whether a limit of the batch system or a person ended it.",
    ),
    Entry(
        id="FHV-batch-007",
        title="The job's time was up",
        meaning="The batch system ended the job at its time limit.",
        remedy="Ask for a longer time, or choose a queue that allows it.",
    ),
    Entry(
        id="FHV-batch-008",
        title="The job script could not be started",
        meaning="The node could not execute the script: no such shell, not executable, or a noexec "
        "filesystem.",
        remedy="Look at the job's err and at the batch system's log; the node needs /bin/sh.",
        who="admin",
    ),
    Entry(
        id="FHV-batch-009",
        title="The worker process was killed (SIGKILL)",
        meaning="Something outside killed the Dask worker; the job script lived on and reported it. Nothing "
        "here says by whom.",
        remedy="Look for the process in the node's kernel log and in the batch system's accounting: a limit "
        "on memory is one possibility.",
    ),
    Entry(
        id="FHV-batch-010",
        title="The batch system holds the job",
        meaning="It will not run until somebody releases it; the reason is the batch system's own.",
        remedy="Read the reason in the evidence: with HTCondor's codes 12 and 13 a file could not be transferred, "
        "with 26 a policy of the site holds it, with 21 and 34 it used more memory than it asked for.",
    ),
    Entry(
        id="FHV-batch-011",
        title="The node is out of service",
        meaning="The batch system says that the node is drained, down or not known to it, so no job of it was "
        "waited for.",
        remedy="Repair the node or put it back into service; leave it out of --nodes until then ('up' takes "
        "only nodes that are in service).",
        who="admin",
    ),
    Entry(
        id="FHV-batch-012",
        title="The batch system takes no such job for this node",
        meaning="Jobs that are pinned to other nodes were taken; for this one the submission was refused.",
        remedy="Compare what the pool asks for with what the batch system's configuration says that the node has.",
        who="admin",
    ),
    Entry(
        id="FHV-batch-013",
        title="The batch system refused the job",
        meaning="It was not taken into the queue; the reason is the batch system's own.",
        remedy="Read the reason in the evidence, and correct what the profile asks for.",
    ),
    Entry(
        id="FHV-batch-014",
        title="No node has what the job asks for",
        meaning="The batch system says that none of its nodes fulfils the request, whether it is free or not.",
        remedy="Compare the request that is named in the evidence with the nodes of the site (condor_status, "
        "sinfo), and ask for less, or for something that there is.",
    ),
    Entry(
        id="FHV-batch-015",
        title="All nodes that fit were taken",
        meaning="The job could run, but had not got a slot when patience ran out: others run there or go first.",
        remedy="Raise timeouts.worker_start, ask for less, or run again at another time.",
    ),
    Entry(
        id="FHV-batch-016",
        title="A limit of the site keeps the job waiting",
        meaning="The job asks for more time or resources than a partition, QOS or account allows at once.",
        remedy="Ask for less than the limit that the reason names, or choose another partition or QOS.",
    ),
    Entry(
        id="FHV-batch-017",
        title="There is no such partition, QOS or account, or the user may not use it",
        meaning="A name that the profile gives is not known to the batch system, or not open to this user.",
        remedy="Correct the name in the profile (batch section); ask the site which ones you may use.",
    ),
    Entry(
        id="FHV-batch-018",
        title="The nodes that fit are out of service",
        meaning="The batch system says that the nodes or the partition are down, drained or reserved.",
        remedy="Ask when they come back (sinfo -R tells why they are gone), or choose others.",
        who="admin",
    ),
    Entry(
        id="FHV-batch-019",
        title="The batch system lost touch with the node",
        meaning="The node went down or lost its network while the job was there; nobody knows what became of it.",
        remedy="See whether the node is up and reaches the submit host. If nodes are lost often, they are "
        "overloaded or their network is.",
        who="admin",
    ),
)

HARNESS = (
    Entry(
        id=UNKNOWN,
        title="The cause is not known",
        meaning="The worker failed, and nothing that was seen fits an entry of the catalogue.",
        remedy="Read the last lines of the log in the evidence; report the run folder, so that the catalogue "
        "learns it.",
    ),
    Entry(
        id="FHV-harness-001",
        title="The worker ended by itself, without an error, before it was of use",
        meaning="The job ended with exit code 0, and no worker had registered.",
        remedy="See the worker's err: a worker that a scheduler of another run retires ends like this. "
        "Report the run folder.",
    ),
    Entry(
        id="FHV-harness-002",
        title="The scheduler went away",
        meaning="The worker had a connection to the scheduler and lost it.",
        remedy="See whether the submit host was overloaded, or its scheduler killed; then look for something "
        "between the two that cuts long connections.",
    ),
)
