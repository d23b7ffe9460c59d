"""HTCondor: what is submitted, and what its answers and job logs mean.

The logs in ``tests/golden/htcondor`` and the answers of ``condor_q`` here were written by HTCondor 23.9 on
the testbed. Whether HTCondor takes what we write is tested there, in ``tests/testbed``.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fasthep_validate.batch import BATCHES, condor_description, htcondor
from fasthep_validate.errors import SubmitError
from fasthep_validate.models.job import JobSpec
from fasthep_validate.plan import ARCHIVE, SCRIPT, SHIPPED, Endpoint, Plan
from fasthep_validate.store import new_run
from fasthep_validate.testing import good_pack, good_site
from tests.batches import submit

if TYPE_CHECKING:
    from fasthep_validate.models.job import JobStatus

LOGS = Path(__file__).parents[1] / "golden" / "htcondor"
SITE = good_site().execution
QUEUE = [
    {"ClusterId": 7, "JobStatus": 1, "ProcId": 0},
    {"ClusterId": 4, "JobStatus": 2, "ProcId": 0, "RemoteHost": "slot1_2@wn2.testbed"},
    {"ClusterId": 6, "JobStatus": 3, "ProcId": 0, "RemoteHost": "slot1_3@wn2.testbed"},
    {"ClusterId": 9, "HoldReason": "too long", "HoldReasonCode": 3, "HoldReasonSubCode": 42, "JobStatus": 5, "LastRemoteHost": "slot1_1@wn1.testbed", "ProcId": 0},
    {"ClusterId": 10, "HoldReason": "submitted on hold", "HoldReasonCode": 15, "JobStatus": 5, "ProcId": 0},
]  # fmt: skip


@pytest.fixture
def job(tmp_path: Path) -> JobSpec:
    """The first job of a plan, as it would be submitted."""
    secrets = {Path("/private") / name: name for name in ("ca.pem", "worker.pem", "worker.key")}
    plan = Plan(SITE, good_pack(), new_run(tmp_path, "here"), BATCHES["htcondor"].told, secrets)
    return plan.jobs(Endpoint("submit.example.org", 8786))[0]


def described(job: JobSpec, folder: Path) -> dict[str, str]:
    """The submit description read back; it is one of one job."""
    *lines, queue, item, last = condor_description.description([job]).splitlines()
    assert (queue, item, last) == ("queue worker from (", job.worker, ")")
    pairs = [line.split(" = ", 1) for line in lines]
    assert len({key for key, _ in pairs}) == len(pairs)
    return {key: value.replace("$(worker)", job.worker) for key, value in pairs}


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that HTCondor's programs are found in: no schedd here, and refusals made one by one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def tool(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_script_is_the_executable(job: JobSpec, tmp_path: Path) -> None:
    told = described(job, tmp_path)
    assert (told["executable"], told["arguments"]) == (job.executable, "job.params")
    assert Path(told["executable"]).name == SCRIPT
    assert told["universe"] == "vanilla"


def test_script_is_not_transferred_twice(job: JobSpec, tmp_path: Path) -> None:
    """HTCondor transfers the executable by itself."""
    files = described(job, tmp_path)["transfer_input_files"].split(",")
    assert job.executable not in files
    assert len(files) == len(job.transfer) - 1


def test_files_have_the_names_that_the_script_expects(job: JobSpec, tmp_path: Path) -> None:
    """HTCondor puts each file under its base name; two of the same name would overwrite each other."""
    files = described(job, tmp_path)["transfer_input_files"].split(",")
    names = [Path(file).name for file in files]
    assert sorted({*names, SCRIPT}) == sorted(job.transfer.values())
    assert {ARCHIVE, "job.params", "worker.key", *SHIPPED} <= {*names, SCRIPT}
    assert all(Path(file).is_absolute() for file in files)


def test_out_err_and_log_come_to_the_run_folder(job: JobSpec, tmp_path: Path) -> None:
    told = described(job, tmp_path)
    assert [told[key] for key in ("output", "error", "log")] == [job.out, job.err, job.log]
    assert told["initialdir"] == str(Path(job.log).parents[3] / "jobs" / job.worker)


def test_files_travel_without_a_shared_filesystem(job: JobSpec, tmp_path: Path) -> None:
    assert described(job, tmp_path)["should_transfer_files"] == "YES"


def test_logs_come_back_when_the_job_ends(job: JobSpec, tmp_path: Path) -> None:
    """And not with an eviction, after which the job starts again from the beginning."""
    assert described(job, tmp_path)["when_to_transfer_output"] == "ON_EXIT"


def test_what_a_job_writes_stays_where_it_is(job: JobSpec, tmp_path: Path) -> None:
    """Else HTCondor brings every new file back, keys among them."""
    assert described(job, tmp_path)["transfer_output_files"] == '""'


@pytest.mark.parametrize("key", ["stream_output", "stream_error"])
def test_output_is_not_streamed(job: JobSpec, tmp_path: Path, key: str) -> None:
    """Sites forbid it: each line is a connection to the submit host."""
    assert key not in described(job, tmp_path)


@pytest.mark.parametrize("key", ["getenv", "environment"])
def test_environment_of_the_submit_host_stays_there(job: JobSpec, tmp_path: Path, key: str) -> None:
    assert key not in described(job, tmp_path)


@pytest.mark.parametrize(
    "condition",
    [
        "JobStatus == 1 && (time() - QDate > 86400 ",
        "NumJobStarts > 0",
        "JobStatus == 5 && time() - EnteredCurrentStatus > 600",
    ],
)
def test_job_that_nobody_waits_for_goes_away(job: JobSpec, tmp_path: Path, condition: str) -> None:
    assert condition in described(job, tmp_path)["periodic_remove"]


@pytest.mark.parametrize("sign", [",", "\n"])
@pytest.mark.parametrize("place", ["transfer", "out", "err", "log"])
def test_path_that_htcondor_cannot_be_told(job: JobSpec, tmp_path: Path, sign: str, place: str) -> None:
    path = f"/data/a{sign}b/file"
    value = {**job.transfer, path: "file"} if place == "transfer" else path
    words = condor_description.refusal(job.model_copy(update={place: value}))
    assert words == (
        f"HTCondor cannot transfer {path!r}: a comma separates files there. Use a folder without one"
    )


def test_path_with_a_space(job: JobSpec, tmp_path: Path) -> None:
    """Commas alone separate files; found on the testbed."""
    spaced = job.model_copy(update={"transfer": {"/data/a b/job.params": "job.params"}})
    assert described(spaced, tmp_path)["transfer_input_files"] == "/data/a b/job.params"


@pytest.mark.parametrize(
    ("job_id", "state", "node", "reason"),
    [
        ("7.0", "submitted", "", ""),
        ("4.0", "running", "wn2.testbed", ""),
        ("6.0", "removed", "wn2.testbed", ""),
        ("9.0", "held", "wn1.testbed", "held 3/42: too long"),
        ("10.0", "held", "", "held 15/0: submitted on hold"),
    ],
)
def test_jobs_in_the_queue(
    tools: Path, tmp_path: Path, job_id: str, state: str, node: str, reason: str
) -> None:
    answer = tmp_path / "answer"
    answer.write_text(json.dumps(QUEUE))
    tool(tools, "condor_q", f"cat {answer}")
    (status,) = asked(tmp_path, job_id).status([job_id]).values()
    assert (status.job_id, status.state, status.node, status.reason) == (job_id, state, node, reason)
    assert status.exit_code is None


@pytest.mark.parametrize("status", [1, 2, 3, 4, 5, 6, 7])
def test_every_state_of_a_job_is_known(status: int) -> None:
    (seen,) = htcondor._queued(json.dumps([{"ClusterId": 1, "ProcId": 0, "JobStatus": status}]))
    assert seen.state == htcondor.STATES[status]


def test_one_question_for_all_jobs(tools: Path, tmp_path: Path) -> None:
    answer = tmp_path / "answer"
    answer.write_text(json.dumps(QUEUE))
    tool(tools, "condor_q", f'echo "$@" >>{tmp_path}/asked; cat {answer}')
    states = asked(tmp_path, "7.0", "4.0", "4.1").status(["7.0", "4.0"])
    assert list(states) == ["7.0", "4.0"]
    assert (tmp_path / "asked").read_text() == f"-json -attributes {htcondor.ATTRIBUTES} 7 4\n"


def test_job_that_is_not_in_the_queue(tools: Path, tmp_path: Path, job: JobSpec) -> None:
    """HTCondor then answers nothing at all, and the job's log tells."""
    tool(tools, "condor_submit", 'echo "2.0 - 2.0"')
    tool(tools, "condor_q", "exit 0")
    batch = htcondor.HTCondorBatch(tmp_path)
    job_id = submit(batch, job)
    shutil.copy(LOGS / "exited.log", job.log)
    assert batch.status([job_id])[job_id].exit_code == 65


def test_no_job_no_question(tools: Path, tmp_path: Path) -> None:
    for name in ("condor_q", "condor_rm"):
        tool(tools, name, f"touch {tmp_path}/asked")
    batch = htcondor.HTCondorBatch(tmp_path)
    assert batch.status([]) == {}
    batch.cancel([])
    assert not (tmp_path / "asked").exists()


def spec(**facts: Any) -> JobSpec:
    """A job of which nothing matters but these facts."""
    plain = {
        "executable": "",
        "arguments": (),
        "directives": {},
        "transfer": {},
        "out": "",
        "err": "",
        "log": "",
    }
    return JobSpec.model_validate({"worker": "default-0", "pool": "default", **plain, **facts})


def asked(tmp_path: Path, *job_ids: str) -> htcondor.HTCondorBatch:
    """A batch system that has submitted these jobs."""
    batch = htcondor.HTCondorBatch(tmp_path)
    batch._jobs |= dict.fromkeys(job_ids, spec())
    return batch


def left(log: Path) -> JobStatus:
    """What is said of a job that is no longer in the queue."""
    batch = htcondor.HTCondorBatch(log.parent)
    batch._jobs["1.0"] = spec(log=str(log))
    return batch._left("1.0")


@pytest.mark.parametrize(
    ("log", "state", "code", "reason"),
    [
        ("exited", "exited", 65, "exit code 65"),
        ("signal", "exited", -9, "ended by signal 9"),
        ("removed", "removed", None, "Job was aborted. via condor_rm (by user alice) ..."),
        ("disconnected", "lost", None, "Job disconnected, attempting to reconnect Socket between submit and"),
        ("rescheduled", "lost", None, "Job disconnected too long: JobLeaseDuration (20 seconds) expired"),
        ("held", "lost", None, "Code 13 Subcode 2"),
    ],
)
def test_jobs_that_left_the_queue(log: str, state: str, code: int | None, reason: str) -> None:
    status = left(LOGS / f"{log}.log")
    assert (status.job_id, status.state, status.exit_code) == ("1.0", state, code)
    assert reason in status.reason


def test_only_the_last_event_counts(tmp_path: Path) -> None:
    """A job that was started again after an eviction has the words of several ends in its log."""
    log = tmp_path / "log"
    log.write_text("".join((LOGS / f"{name}.log").read_text() for name in ("signal", "exited", "removed")))
    assert left(log).state == "removed"
    log.write_text("".join((LOGS / f"{name}.log").read_text() for name in ("removed", "signal", "exited")))
    assert left(log).exit_code == 65


def test_log_that_is_not_there(tmp_path: Path) -> None:
    status = left(tmp_path / "log")
    assert (status.state, status.exit_code) == ("lost", None)
    assert status.reason == "its log cannot be read: No such file or directory"


@pytest.mark.parametrize("text", [b"", b"\0\xff not a log\n"])
def test_log_without_an_event(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "log").write_bytes(text)
    status = left(tmp_path / "log")
    assert (status.state, status.exit_code) == ("lost", None)


def test_submitted_job_is_described(tools: Path, tmp_path: Path, job: JobSpec) -> None:
    tool(tools, "condor_submit", f'echo "$@" >{tmp_path}/asked; echo "12.0 - 12.0"')
    batch = htcondor.HTCondorBatch(tmp_path)
    assert submit(batch, job) == "12.0"
    file = condor_description.home(job).parent / "condor-0.sub"
    assert file.read_text() == condor_description.description([job])
    assert (tmp_path / "asked").read_text() == f"-terse {file}\n"


def worker(job: JobSpec, name: str, **changes: Any) -> JobSpec:
    """The same job for another worker."""
    text = job.model_dump_json().replace("default-0", name)
    return JobSpec.model_validate_json(text).model_copy(update=changes)


def test_jobs_of_a_pool_are_described_once(job: JobSpec) -> None:
    """With one line for each that has only its name."""
    jobs = [worker(job, f"default-{index}") for index in range(300)]
    one, all_ = (condor_description.description(those).splitlines() for those in (jobs[:1], jobs))
    assert len(all_) == len(one) + 299
    assert "output = " + job.out.replace("default-0", "$(worker)") in all_


def test_what_differs_between_jobs_has_a_macro(job: JobSpec) -> None:
    """Whatever stands in it: a node that the job is pinned to, text with commas and spaces."""
    places = ['Machine == "a, b"', 'Machine == "c"']
    jobs = [
        worker(job, f"default-{index}", directives={**job.directives, "requirements": place})
        for index, place in enumerate(places)
    ]
    text = condor_description.description(jobs)
    number = next(line for line in text.splitlines() if line.startswith("requirements = "))
    macro = number.removeprefix("requirements = $(").removesuffix("_$(ItemIndex))")
    assert [f"{macro}_{index} = {place}" in text.splitlines() for index, place in enumerate(places)] == [
        True
    ] * 2


def test_one_submission_for_all_jobs_of_a_kind(tools: Path, tmp_path: Path, job: JobSpec) -> None:
    tool(tools, "condor_submit", f'echo x >>{tmp_path}/asked; echo "12.0 - 12.1"')
    other = worker(job, "gpu-0", directives={**job.directives, "+Own": "1"})
    jobs = [job, worker(job, "default-1"), other, worker(other, "gpu-1")]
    done = htcondor.HTCondorBatch(tmp_path).submit(jobs)
    assert {each.worker for each in done} == {each.worker for each in jobs}
    assert not any(each.refusal for each in done)
    assert (tmp_path / "asked").read_text() == "x\n" * 2


def test_job_that_cannot_be_described_does_not_stop_the_others(
    tools: Path, tmp_path: Path, job: JobSpec
) -> None:
    tool(tools, "condor_submit", 'echo "12.0 - 12.0"')
    bad, good = htcondor.HTCondorBatch(tmp_path).submit([worker(job, "a-0", out="/a,b"), job])
    assert (bad.worker, bad.job_id, good.job_id) == ("a-0", "", "12.0")
    assert "a comma separates files" in bad.refusal


def test_warnings_do_not_hide_the_id(tools: Path, tmp_path: Path, job: JobSpec) -> None:
    warning = "WARNING: the line 'foo = 1' was unused by condor_submit. Is it a typo?"
    tool(tools, "condor_submit", f'echo "{warning}" | tee /dev/stderr; echo "13.0 - 13.0"')
    assert submit(htcondor.HTCondorBatch(tmp_path), job) == "13.0"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (
            'printf "\\nERROR: on Line 11 of submit file: \\n\\nERROR: Failed to parse.\\n" >&2; exit 1',
            "ERROR: on Line 11 of submit file: ERROR: Failed to parse.",
        ),
        ("echo 1.0 - 1.0; echo no room >&2; exit 1", "no room"),
        ("echo The job is on its way.", "The job is on its way."),
        ("exit 0", ""),
    ],
)
def test_refused_submission(tools: Path, tmp_path: Path, job: JobSpec, script: str, words: str) -> None:
    tool(tools, "condor_submit", script)
    with pytest.raises(SubmitError) as caught:
        submit(htcondor.HTCondorBatch(tmp_path), job)
    assert str(caught.value).startswith(
        f"default-0: condor_submit refused the job: {words}. It is described in "
    )
    assert str(caught.value).endswith("condor-0.sub.")


@pytest.mark.skipif(shutil.which("condor_submit") is not None, reason="HTCondor is installed here")
def test_htcondor_is_not_installed(tmp_path: Path, job: JobSpec) -> None:
    batch = htcondor.HTCondorBatch(tmp_path)
    with pytest.raises(SubmitError, match="condor_submit: No such file or directory"):
        submit(batch, job)
    with pytest.raises(SubmitError, match="condor_q: No such file or directory"):
        asked(tmp_path, "1.0").status(["1.0"])


def test_queue_that_cannot_be_asked(tools: Path, tmp_path: Path) -> None:
    """Never an answer: a job must not seem to be gone."""
    tool(tools, "condor_q", "echo '[]'; echo Error: Collector has no record of schedd/submitter >&2; exit 1")
    words = "^condor_q: the jobs could not be asked for: Error: Collector has no record of schedd/submitter.$"
    with pytest.raises(SubmitError, match=words):
        asked(tmp_path, "1.0").status(["1.0"])


def test_cancelled_jobs_are_waited_for(tools: Path, tmp_path: Path, job: JobSpec) -> None:
    tool(tools, "condor_submit", 'echo "12.0 - 12.0"')
    tool(tools, "condor_rm", f'echo condor_rm "$@" >>{tmp_path}/asked; date +%s >{tmp_path}/gone')
    shutil.copy(LOGS / "removed.log", job.log)
    queued = json.dumps([{"ClusterId": 12, "ProcId": 0, "JobStatus": 1}])
    tool(tools, "condor_q", f"test -e {tmp_path}/twice || echo '{queued}'; touch {tmp_path}/twice")
    batch = htcondor.HTCondorBatch(tmp_path)
    batch.cancel([submit(batch, job)])
    assert (tmp_path / "asked").read_text() == "condor_rm 12.0\n"
    assert batch.status(["12.0"])["12.0"].state == "removed"


def test_jobs_that_are_gone_already_are_no_error(tools: Path, tmp_path: Path, job: JobSpec) -> None:
    tool(tools, "condor_submit", 'echo "12.0 - 12.0"')
    tool(tools, "condor_rm", "echo Job 12.0 not found >&2; exit 1")
    tool(tools, "condor_q", "exit 0")
    batch = htcondor.HTCondorBatch(tmp_path)
    batch.cancel([submit(batch, job)])


def test_answer_that_is_not_json(tools: Path, tmp_path: Path) -> None:
    tool(tools, "condor_q", "echo Usage: something else")
    with pytest.raises(SubmitError, match="condor_q: expected JSON, got 'Usage: something else'"):
        asked(tmp_path, "1.0").status(["1.0"])


def test_log_of_one_event(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("000 (1.000.000) 2026-11-22 20:00:00 Job submitted from host: <10.77.0.10:9618>\n...\n")
    assert "Job submitted" in left(log).reason


def test_file_with_another_name_on_the_node_is_linked(job: JobSpec, tmp_path: Path) -> None:
    source = tmp_path / "4f5e.tar.gz"
    source.write_text("code")
    told = job.model_copy(update={"transfer": {**job.transfer, str(source): "code.tar.gz"}})
    linked = (
        Path(next(path for path, name in job.transfer.items() if name == "job.params")).parent / "code.tar.gz"
    )
    condor_description.link_renamed(told)
    condor_description.link_renamed(told)
    assert linked.read_text() == "code"
    assert str(linked).replace("default-0", "$(worker)") in condor_description.description([told])
    assert str(source) not in condor_description.description([told])


def spooled(job: JobSpec) -> JobSpec:
    return job.model_copy(update={"submit_arguments": ("-spool",), "address": ("-name", "s")})


def answering(tools: Path, tmp_path: Path, ad: dict[str, object]) -> None:
    """A queue with this job, and commands that write down how they were called."""
    tool(tools, "condor_submit", 'echo "4.0 - 4.0"')
    (tmp_path / "answer").write_text(json.dumps([{"ClusterId": 4, "ProcId": 0, **ad}]))
    tool(tools, "condor_q", f"cat {tmp_path}/answer")
    tool(tools, "condor_rm", f'echo condor_rm "$@" >>{tmp_path}/asked; echo "[]" >{tmp_path}/answer')


def test_spooled_job_that_ended_is_fetched_and_let_go(tools: Path, tmp_path: Path, job: JobSpec) -> None:
    answering(tools, tmp_path, {"JobStatus": 4})
    log = str(LOGS / "exited.log")
    tool(
        tools,
        "condor_transfer_data",
        f'echo condor_transfer_data "$@" >>{tmp_path}/asked; cp {log} {job.log}',
    )
    batch = htcondor.HTCondorBatch(tmp_path)
    job_id = submit(batch, spooled(job))
    assert batch.status([job_id])[job_id].exit_code == 65, "as its log says"
    asked = (tmp_path / "asked").read_text()
    assert asked == "condor_transfer_data -name s 4.0\ncondor_rm -name s 4.0\n"
    assert batch.status([job_id])[job_id].exit_code == 65, "when it has left the queue, too"


def test_spooled_job_whose_files_do_not_come(tools: Path, tmp_path: Path, job: JobSpec) -> None:
    answering(tools, tmp_path, {"JobStatus": 4})
    tool(tools, "condor_transfer_data", "echo SECMAN:2007 >&2; exit 1")
    batch = htcondor.HTCondorBatch(tmp_path)
    job_id = submit(batch, spooled(job))
    status = batch.status([job_id])[job_id]
    assert (status.state, status.exit_code) == ("exited", None)
    assert status.reason == "its files could not be fetched: SECMAN:2007"
    assert not (tmp_path / "asked").exists(), "it stays, so that they can be fetched by hand"


def test_job_that_is_being_spooled_is_not_held(tools: Path, tmp_path: Path, job: JobSpec) -> None:
    answering(
        tools, tmp_path, {"JobStatus": 5, "HoldReasonCode": 16, "HoldReason": "Spooling input data files"}
    )
    batch = htcondor.HTCondorBatch(tmp_path)
    job_id = submit(batch, spooled(job))
    status = batch.status([job_id])[job_id]
    assert (status.state, status.reason) == ("submitted", "")


def test_job_that_is_not_spooled_is_not_fetched(tools: Path, tmp_path: Path, job: JobSpec) -> None:
    answering(tools, tmp_path, {"JobStatus": 4})
    tool(tools, "condor_transfer_data", f"touch {tmp_path}/asked")
    batch = htcondor.HTCondorBatch(tmp_path)
    batch.status([submit(batch, job)])
    assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize(
    ("analysis", "words"),
    [
        ("memory", "no slot fits: none has TARGET.Memory >= RequestMemory with RequestMemory = 1022976 (mb)"),
        ("gpus", "no slot fits: none has TARGET.GPUs >= RequestGPUs with RequestGPUs = 3"),
        ("machine", 'no slot fits: none has Machine == "nosuch"'),
        ("taken", "no slot is free: of 2 machines 2 are able to run your job"),
    ],
)
def test_why_a_job_waits(tools: Path, tmp_path: Path, analysis: str, words: str) -> None:
    tool(tools, "condor_q", f'echo "$@" >{tmp_path}/asked; cat {LOGS}/analyze-{analysis}.txt')
    assert asked(tmp_path, "7.0").explain("7.0") == words
    assert (tmp_path / "asked").read_text() == "-better-analyze 7.0\n"


@pytest.mark.parametrize("text", ["", "condor_q: no answer\n", "Of 2 machines,\n"])
def test_analysis_that_says_nothing(tools: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "answer").write_text(text)
    tool(tools, "condor_q", f"cat {tmp_path}/answer")
    assert asked(tmp_path, "7.0").explain("7.0") == ""


def test_output_of_a_job_that_runs_is_fetched(tools: Path, tmp_path: Path) -> None:
    """But never in the place of what HTCondor has brought already."""
    tool(tools, "condor_tail", 'for last; do :; done; case "$*" in *-stderr*) echo err;; *) echo out;; esac')
    batch = htcondor.HTCondorBatch(tmp_path)
    batch._jobs["1.0"] = spec(out=str(tmp_path / "out"), err=str(tmp_path / "err"))
    (tmp_path / "out").write_text("came back\n")
    batch.fetch(["1.0"])
    assert (tmp_path / "err").read_text() == "err\n"
    assert (tmp_path / "out").read_text() == "came back\n"
