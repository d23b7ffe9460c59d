"""Rules of the site that a block can break, each told where it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fasthep_validate.models.directive import NAMES
from fasthep_validate.models.pool_config import NO_BATCH, OTHERS, SPELLED
from fasthep_validate.models.wanted import GPU_KEYS, Pool, pool
from fasthep_validate.models.written import mistake, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from fasthep_validate.models.batch import Batch
    from fasthep_validate.models.block import Execution
    from fasthep_validate.models.execution import Strategy
    from fasthep_validate.models.written import Found, Loc

    Broken = Iterator[tuple[Loc, str, str]]

BY_THE_RUN = "it is set by the run itself"
# Directives that the run needs for itself, and what else could be written.
OWNED: Mapping[Strategy, Mapping[str, str]] = {
    "local": {},
    "htcondor": dict.fromkeys(
        ("executable", "arguments", "initialdir", "output", "error", "log", "transfer_input_files", "queue"),
        BY_THE_RUN,
    ),
    "slurm": {
        **dict.fromkeys(("--parsable", "--wrap", "--array", "--test-only"), BY_THE_RUN),
        "--clusters": "write the key 'clusters', so that all of Slurm's commands are told",
    },
}
OWNED_WORDS: Mapping[Strategy, Mapping[str, str]] = {
    "local": {},
    "htcondor": {
        **dict.fromkeys(("-terse", "-dry-run", "-interactive", "-queue"), BY_THE_RUN),
        "-spool": "write 'spool: true', so that logs are fetched",
        "-name": "write the key 'schedd', so that all of HTCondor's commands are told",
        "-remote": "write the keys 'schedd' and 'spool', so that all of HTCondor's commands are told",
        "-pool": "write the key 'collector', so that all of HTCondor's commands are told",
    },
    "slurm": {**OWNED["slurm"], "-M": OWNED["slurm"]["--clusters"]},
}


def broken(execution: Execution, batch: Batch) -> Iterator[Found]:
    """All that does not fit the site; what the run says for all pools is told once."""
    if execution.strategy == "local":
        yield from ((("batch", key), mistake(f"not supported: {NO_BATCH}")) for key in batch.model_fields_set)
        return
    told: set[tuple[Loc, str]] = set()
    for name in execution.pool_table():
        at = _Places(execution, name)
        for rule in RULES:
            for place, what, hint in rule(pool(execution, name, batch), at):
                if (place, what) not in told:
                    told.add((place, what))
                    yield place, mistake(what, hint)


class _Places:
    """Where the keys of a pool are written."""

    def __init__(self, execution: Execution, name: str) -> None:
        self.execution = execution
        self.name = name

    def config(self, key: str, *rest: str) -> Loc:
        pools = self.execution.pools or {}
        own = self.name in pools and key in pools[self.name].config.model_fields_set
        return ("execution", *(("pools", self.name) if own else ()), "config", key, *rest)

    def resources(self, key: str) -> Loc:
        name, _ = self.execution.asked(self.name)
        inline = name not in self.execution.resources
        return (
            "execution",
            *(("pools", self.name) if inline else ()),
            "resources",
            *(() if inline else (name,)),
            key,
        )


def _has_a_use(it: Pool, at: _Places) -> Broken:
    """Every key that is written means something to this strategy at this site."""
    spelling = it.batch.spellings(it.strategy)
    for key in (*SPELLED, *OTHERS):
        if key not in it.config.model_fields_set or key in spelling or it.strategy in OTHERS.get(key, ()):
            continue
        hint = f"Say how the site writes it: batch.spelling.{key}." if key in SPELLED else ""
        yield at.config(key), f"not supported: strategy {it.strategy!r} has no use for it", hint
    for key in GPU_KEYS:
        if key in it.config.model_fields_set and not it.resources.gpus and at.config(key)[1] == "pools":
            yield at.config(key), "the pool asks for no GPU", "Write 'gpus: 1' under its resources."


def _time_is_given(it: Pool, at: _Places) -> Broken:
    """The site has this time limit."""
    times, said, limit = it.batch.walltime, it.config.walltime, it.limit()
    if isinstance(said, str) and said not in times.names:
        yield at.config("walltime"), f"no time limit {said!r}", nearest(said, times.names) or "Write '2 h'."
        return
    if said is not None and it.queue_is_limit():
        yield at.config("walltime"), f"'queue' says {it.config.queue!r} already", "Leave one of them out."
    if it.queue_is_limit() and times.names and it.config.queue not in times.names:
        yield (
            at.config("queue"),
            f"no time limit {it.config.queue!r}",
            nearest(str(it.config.queue), times.names),
        )
    if limit is None or said is None:
        return
    longest = max(times.names.values(), default=times.max) if times.max is None else times.max
    if isinstance(longest, float) and (limit.seconds > longest or (times.names and not limit.name)):
        what = f"{_length(limit.seconds)} is over the site's maximum of {_length(longest)}"
        yield at.config("walltime"), what, "Write less."


def _share_of_cores(it: Pool, at: _Places) -> Broken:
    """Memory and disk are within what the site gives for each core."""
    for key, most in (("memory", it.batch.memory_per_core), ("disk", it.batch.disk_per_core)):
        asked = getattr(it.resources, key)
        if most and asked and asked > most * it.cpus:
            needed = -(-asked // most)
            what = f"{asked} bytes is more than the site gives for {it.cpus} cores, {most} bytes each"
            yield at.resources(key), what, f"Write 'cpus: {needed}', or less {key}."


def _directives(it: Pool, at: _Places) -> Broken:
    """The site takes these directives, and none of them is the run's own."""
    name = NAMES[it.strategy]
    refused = {
        name(key): f"the site does not take it: {why}" for key, why in it.batch.forbidden_directives.items()
    }
    refused |= {key: f"not supported: {why}" for key, why in OWNED[it.strategy].items()}
    for key in ("site_directives", "job_extra_directives"):
        for directive, value in (getattr(it.config, key) or {}).items():
            if name(directive) in refused and value.strip().lower() != "false":
                yield at.config(key, directive), refused[name(directive)], ""


def _paths(it: Pool, at: _Places) -> Broken:
    """No directive holds a path that the site does not take."""
    config = it.config
    values = {at.config("container"): config.container or ""}
    for key in ("site_directives", "job_extra_directives"):
        values |= {at.config(key, name): value for name, value in (getattr(config, key) or {}).items()}
    for place, value in values.items():
        for prefix, why in it.batch.forbidden_paths.items():
            if _leads_to(value, prefix):
                yield place, f"{value!r} is below {prefix}: {why}", ""


def _arguments(it: Pool, at: _Places) -> Broken:
    """Further arguments leave alone what other keys say."""
    for key in ("submit_command_extra", "cancel_command_extra"):
        for word in getattr(it.config, key) or ():
            if why := OWNED_WORDS[it.strategy].get(word.partition("=")[0]):
                yield at.config(key), f"{word}: not supported: {why}", ""


def _spool(it: Pool, at: _Places) -> Broken:
    """The site spools jobs, or does not."""
    if (it.batch.spool, it.config.spool) in {("never", True), ("required", False)}:
        yield at.config("spool"), f"the site says {it.batch.spool!r} (batch.spool)", "Leave it out."


def _unspelled_default(it: Pool, at: _Places) -> Broken:  # noqa: ARG001 - a rule
    """A default time limit can be asked for."""
    if (
        it.batch.walltime.default
        and it.strategy != "local"
        and "walltime" not in it.batch.spellings(it.strategy)
    ):
        what = f"strategy {it.strategy!r} has no usual directive for it"
        yield ("batch", "walltime", "default"), what, "Say how the site writes it: batch.spelling.walltime."


RULES: tuple[Callable[[Pool, _Places], Broken], ...] = (
    _has_a_use, _time_is_given, _share_of_cores, _directives, _paths, _arguments, _spool, _unspelled_default,
)  # fmt: skip


def _leads_to(value: str, prefix: str) -> bool:
    """Whether a value holds a path below a folder; paths in a list are separated by commas or spaces."""
    words = value.replace(",", " ").replace('"', " ").split()
    return any(word == prefix or word.startswith(f"{prefix}/") for word in words)


def _length(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:g} {unit}"
    return f"{seconds:g} s"
