"""A job of redrive, from its frozen selection to the last outcome (R40).

It decides what is sent when, and what is written down before that. The order makes it safe to stop
anywhere and to go on later, on another machine too:

1. The producer `redrive:<job>` says HELLO: from here on no other client speaks for the job.
2. The selection is written as an act; of two the first holds. A tool that goes on with a job writes
   it again: once a DLQ has done this act, it has done everything that came before.
3. Batch by batch (1, 10, 100, ...): each letter is judged; those that are not sent are written down
   as skipped, and only then the others are sent, so that seq n is the n-th letter that was not
   skipped, for ever. What was sent and has an outcome is written down as redriven: a packet that
   was bagged again stands open as another letter, and not twice (R40).

Exactly once is the producer's (R33): what was latched before is below its last seq.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import trio

from rmf import limits
from rmf.client.client_values import Parcel, Raw, Receipt
from rmf.client.dlq import Body, Source, walk
from rmf.client.factory import Factory, connect
from rmf.core.triage import JOB_PREFIX
from rmf.errors import ConnectionFailed, Refused, RmfError
from tools import dlq_jobs, dlq_triage
from tools.dlq_jobs import Job
from tools.redrive_check import Judged, judge

__all__ = ["drive"]

Say = Callable[[Body], None]


def drive(
    source: Source, args: argparse.Namespace, name: str, ids: list[str], say: Say
) -> dict[str, int]:
    """Begin a job with these letters, or go on with the job of that name; return how many letters
    met which end. `say` receives each of them."""
    return trio.run(_Drive(source, args, name, say).run, ids)


class _Drive:
    """One run of a job."""

    def __init__(self, source: Source, args: argparse.Namespace, name: str, say: Say) -> None:
        self._source = source
        self._args = args
        self._name = name
        self._say = say
        self._limiter = trio.CapacityLimiter(1)
        self._bagged: str | None = None  # the letter that came last of this job
        names = ("letters", "applied", "bagged", "newer_exists", "not_possible", "unknown")
        self.sums = dict.fromkeys(names, 0)

    async def run(self, ids: list[str]) -> dict[str, int]:
        """Send what is left; return the sums of the whole job."""
        async with connect(self._args.connect, producer=JOB_PREFIX + self._name) as factory:
            job, bagged = await self._blocking(self._patiently, partial(self._freeze, ids))
            self.sums["letters"] = len(job.letters)
            sent = await self._blocking(self._look_back, job, bagged, factory.last_seq)
            left = [x for x in job.letters if x not in sent and x not in job.skipped]
            at, batch = 0, 1
            while at < len(left):
                began = trio.current_time()
                await self._batch(factory, job, left[at : at + batch])
                at += batch
                if at < len(left):
                    await trio.sleep_until(began + batch / self._args.rate)
                batch = min(10 * batch, limits.REDRIVE_BATCH_MAX, max(1, int(self._args.rate)))
            if self._bagged is not None:
                await self._blocking(self._patiently, self._wait_for_the_last_bag)
        return self.sums

    async def _blocking(self, work: Callable[..., Any], *args: Any) -> Any:
        return await trio.to_thread.run_sync(work, *args, limiter=self._limiter)

    def _act(self, act: str, letters: list[str], why: str) -> None:
        selection = {"letters": letters, "job": self._name}
        self._patiently(partial(dlq_triage.act, self._args, self._source, act, why, **selection))

    def _patiently(self, work: Callable[[], Any]) -> Any:
        """Ask the DLQ; a connection that is lost is made again, for a while."""
        deadline = time.monotonic() + limits.ADMIN_PATIENCE_S
        lost = False
        while True:
            try:
                if lost:
                    self._source.reopen()
                return work()
            except (ConnectionFailed, Refused, TimeoutError) as exc:
                final = isinstance(exc, Refused) and not exc.retry
                if final or time.monotonic() > deadline:
                    raise
                lost = True
                time.sleep(limits.RECONNECT_S_MAX / 10)

    def _freeze(self, ids: list[str]) -> tuple[Job, dict[int, Body]]:
        """Write the selection; return the job, and what of it was bagged again so far, by seq. Both
        are read from the node whose DLQ has just done that act, so nothing older is missing."""
        selection = {"letters": ids, "job": self._name}
        dlq_triage.act(self._args, self._source, "redrive", self._args.why, **selection)
        job = dlq_jobs.job_of(self._source, self._name)
        if job is None:
            raise RmfError(f"job {self._name}: its selection cannot be found again")
        found = walk(self._source, {"producer": JOB_PREFIX + self._name}, None)
        return job, {body["seq"]: body for body in found}

    def _look_back(self, job: Job, bagged: dict[int, Body], last_seq: int) -> set[str]:
        """Tell what became of what earlier runs sent, and write down what they could not; return
        these letters."""
        sent = {letter: seq for letter, seq in job.seqs.items() if seq <= last_seq}
        for letter in job.skipped:
            self._end(letter, "newer_exists", None, "skipped by an earlier run")
        for letter, seq in sent.items():
            body = bagged.get(seq)
            outcome = "bagged" if body is not None else "applied"
            self._end(letter, outcome, seq, body and body["reason"], body and body["letter"])
        settled = [x for x in sent if x not in job.redriven]
        if settled:
            self._act("redriven", settled, self._args.why)
        return set(sent)

    def _end(
        self, letter: str, outcome: str, seq: int | None, reason: Any, again: Any = None
    ) -> None:
        self.sums[outcome] += 1
        self._bagged = again or self._bagged
        ended = {"letter": letter, "outcome": outcome, "seq": seq, "reason": reason}
        self._say({**ended, "bagged_as": again})

    async def _batch(self, factory: Factory, job: Job, some: list[str]) -> None:
        """Judge letters, write down those that are not sent, send the others."""
        judged = {letter: await self._blocking(self._judge, letter) for letter in some}
        skipped = [letter for letter, found in judged.items() if found.verdict != "send"]
        if skipped:
            await self._blocking(self._act, "skip", skipped, "newer data exists, or no packet")
            job.skipped.update(skipped)
            for letter in skipped:
                self._end(letter, judged[letter].verdict, None, judged[letter].why)
        going = [letter for letter in some if letter not in job.skipped]
        if not going:
            return
        first_seq = factory.last_seq + 1
        assert job.seqs[going[0]] == first_seq
        receipts = await factory.send_many([self._parcel(judged[letter]) for letter in going])
        ended = zip(going, receipts, strict=True)
        settled = [letter for letter, receipt in ended if self._took(letter, receipt)]
        if settled:
            await self._blocking(self._act, "redriven", settled, self._args.why)

    def _wait_for_the_last_bag(self) -> None:
        """A client that learns of a letter may look at it: its DLQ stores it a moment later."""
        deadline = time.monotonic() + self._args.timeout_s
        while not list(self._source.ask("dlq.show", {"letter": self._bagged})):
            if time.monotonic() > deadline:
                return
            time.sleep(limits.TRIAGE_POLL_S)

    def _judge(self, letter: str) -> Judged:
        force = self._args.force
        found: Judged = self._patiently(
            lambda: judge(self._source, letter, self._name, force=force, ttl_ms=self._args.ttl)
        )
        return found

    def _parcel(self, found: Judged) -> Parcel:
        return Parcel(found.topic, Raw(found.payload), found.ttl_ms, found.harvested_at)

    def _took(self, letter: str, receipt: Receipt) -> bool:
        self._end(letter, receipt.outcome, receipt.seq, receipt.reason, receipt.letter)
        return receipt.outcome != "unknown"
