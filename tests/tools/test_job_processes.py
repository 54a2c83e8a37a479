"""The processes of a job: killed, started again, asked what they have seen."""

import select
import threading
import time
from array import array
from contextlib import ExitStack

import pytest

from rmf.errors import RmfError
from tools.bench_cpu import family
from tools.compare_servers import wait_until
from tools.job_processes import ConsumedJob, Subscriber, Worker, due, produced_by
from tools.job_values import Phase, Produced, Sightings

PHASE = Phase(first=0, seconds=1.0, rate=100.0, window=10, keys=2)


def see_two(where: str, sightings: Sightings) -> None:
    assert where == "here"
    sightings.see(7, {"count": 2, "sum": 9})
    threading.Event().wait(60)


def die(_where: str, _sightings: Sightings) -> None:
    raise SystemExit(3)


def produce(where: str, phase: Phase) -> Produced:
    assert where == "here"
    return Produced(phase.first, array("q", [1, 2]), 2)


def test_what_is_due_follows_the_rate_and_ends_with_the_phase() -> None:
    now_s = time.monotonic()
    assert due(PHASE, now_s - 0.5, 20) in range(30, 50)
    assert due(PHASE, now_s - 10, 20) == 81


@pytest.mark.slow
def test_a_subscriber_tells_what_it_has_seen() -> None:
    with ExitStack() as stack:
        subscriber = Subscriber(stack, see_two, "here")
        wait_until(lambda: subscriber.total() == 2, "nothing is seen")
        assert [row[1:] for row in subscriber.rows()] == [(7, 2, 9)]


@pytest.mark.slow
def test_a_subscriber_that_has_ended_is_an_error() -> None:
    with ExitStack() as stack:
        subscriber = Subscriber(stack, die, "here")
        with pytest.raises(RmfError, match="the subscriber has ended"):
            wait_until(subscriber.rows, "it lives")  # it may answer once more while it ends


@pytest.mark.slow
def test_a_worker_is_killed_started_again_and_ends_with_the_job() -> None:
    with ExitStack() as stack:
        worker = Worker(stack, select.select, [], [], [], 60)
        (first,) = worker.pids()
        worker.kill()
        worker.start_again()
        (second,) = worker.pids()
        assert family(first) == []
        assert family(second) == [second]
    assert family(second) == []


@pytest.mark.slow
def test_a_producer_is_a_process_of_its_own() -> None:
    assert produced_by(produce, "here", PHASE).acked == 2


def stand(where: str) -> None:
    assert where == "here"
    threading.Event().wait(60)


@pytest.mark.slow
def test_a_consumed_job_kills_its_consumer_and_starts_another_while_the_subscriber_looks_on() -> (
    None
):
    with ExitStack() as stack:
        job = ConsumedJob(stack, [1], "here", produce, stand, see_two)
        before = job.pids()
        job.prepare_kill()
        job.kill()
        assert (len(job.pids()), job.pids()[0]) == (2, before[0])
        assert job.pids()[1] != before[1]
        assert job.produce(PHASE).acked == 2
        wait_until(lambda: job.total() == 2, "nothing is seen")
        assert [row[1:] for row in job.rows()] == [(7, 2, 9)]
