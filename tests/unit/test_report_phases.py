from __future__ import annotations

from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from fasthep_validate.models.event import PHASES, Event, EventState, Phase, PhaseTime
from fasthep_validate.models.evidence import WorkerEvidence
from fasthep_validate.models.job import JobStatus
from fasthep_validate.models.probe import HostInfo, NodeProbe
from fasthep_validate.report.phases import phase_times, summarise

Source = Literal["submit", "worker"]


def event(phase: Phase, state: EventState, time: float, source: Source = "worker") -> Event:
    return Event(worker="default-0", phase=phase, state=state, time=time, source=source)


def test_a_phase_lasts_from_its_start_to_its_end() -> None:
    events = [event("extracted", "start", 10.0), event("extracted", "end", 12.5)]
    assert phase_times(events) == (PhaseTime(phase="extracted", start=10.0, seconds=2.5, outcome="end"),)


def test_a_phase_that_failed_or_hangs() -> None:
    events = [
        event("transferred", "start", 1.0),
        event("transferred", "fail", 2.0),
        event("preflight", "start", 3.0),
    ]
    transferred, preflight = phase_times(events)
    assert (transferred.seconds, transferred.outcome) == (1.0, "fail")
    assert (preflight.seconds, preflight.outcome) == (None, "start")


def test_a_phase_that_was_only_noted_takes_no_time() -> None:
    assert phase_times([event("credentials", "skip", 5.0)])[0].seconds == 0.0


def test_clocks_of_two_machines_are_never_subtracted() -> None:
    events = [event("connected", "start", 900.0), event("connected", "end", 10.0, "submit")]
    assert phase_times(events)[0] == PhaseTime(phase="connected", start=900.0, seconds=None, outcome="end")


def test_a_clock_set_back_gives_no_negative_duration() -> None:
    events = [event("python", "start", 10.0), event("python", "end", 4.0)]
    assert phase_times(events)[0].seconds == 0.0


@given(
    st.lists(
        st.builds(
            event,
            st.sampled_from(PHASES),
            st.sampled_from(["start", "end", "fail", "skip"]),
            st.floats(0, 1e9),
            st.sampled_from(["submit", "worker"]),
        )
    )
)
def test_one_entry_a_phase_in_order(events: list[Event]) -> None:
    times = phase_times(events)
    order = [PHASES.index(time.phase) for time in times]
    assert order == sorted(set(order))
    assert {time.phase for time in times} == {event.phase for event in events}
    assert all(time.seconds is None or time.seconds >= 0 for time in times)


def test_a_summary_takes_the_node_from_where_it_is_known() -> None:
    host = HostInfo(
        hostname="wn1", fqdn="wn1.x", machine="x86_64", os="", kernel="", glibc="", uid=1, time=0.0
    )
    worker = WorkerEvidence(
        worker="default-0",
        pool="default",
        job=JobStatus(job_id="1", state="running"),
        probe=NodeProbe(host=host),
        events=(event("registered", "end", 1.0, "submit"),),
    )
    summary = summarise(worker)
    assert (summary.worker, summary.node, summary.state, summary.registered) == (
        "default-0",
        "wn1",
        "running",
        True,
    )
    assert not summarise(worker.model_copy(update={"events": ()})).registered
