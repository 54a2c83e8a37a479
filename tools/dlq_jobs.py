"""Jobs of redrive as a DLQ remembers them: which letters, what was left out, whose packet is whose.

It reads acts of triage out of a DLQ (client/dlq) and works out what core/triage says of them: seq n
of `redrive:<job>` is the n-th letter of the job that was not skipped. It sends nothing.
"""

from typing import Any, NamedTuple

from rmf import limits
from rmf.client.dlq import Body, Source
from rmf.core.triage import JOB_PREFIX, seqs_of

__all__ = ["Job", "acts_of", "attempt_of", "job_of", "parent_of"]


class Job(NamedTuple):
    """`letters` in the order in which they are sent; some were skipped, some sent and applied."""

    name: str
    letters: list[str]
    skipped: set[str]
    redriven: set[str]

    @property
    def seqs(self) -> dict[str, int]:
        """The seq of each letter that is sent."""
        return seqs_of(self.letters, self.skipped)


def acts_of(source: Source, **filters: Any) -> list[Body]:
    """Return all acts that a DLQ has, oldest first, page by page."""
    found: list[Body] = []
    after = 0
    while page := list(source.ask("dlq.acts", {**filters, "after": after})):
        found += page
        after = page[-1]["row"]
    return found


def job_of(source: Source, name: str) -> Job | None:
    """Return a job, or None if that DLQ knows of none; of two selections the first one holds."""
    acts = sorted(acts_of(source, job=name), key=lambda act: int(act["entry"]))
    selections = [act["letters"] for act in acts if act["act"] == "redrive"]
    if not selections:
        return None
    named: dict[str, set[str]] = {"skip": set(), "redriven": set()}
    for act in acts:
        named.get(act["act"], set()).update(act["letters"])
    return Job(name, list(selections[0]), named["skip"], named["redriven"])


def parent_of(source: Source, body: Body) -> str | None:
    """Return the letter whose redrive this letter's packet was, if it was one."""
    producer, seq = body.get("producer"), body.get("seq")
    if type(producer) is not str or not producer.startswith(JOB_PREFIX):
        return None
    job = job_of(source, producer.removeprefix(JOB_PREFIX))
    seqs = job.seqs if job is not None else {}
    return next((letter for letter, its in seqs.items() if its == seq), None)


def attempt_of(source: Source, body: Body) -> int:
    """Return how often what is in a letter was tried: 1 for a packet of its own producer."""
    attempt = 1
    parent = parent_of(source, body)
    while parent is not None and attempt < limits.ATTEMPTS_SHOWN_MAX:
        attempt += 1
        found = list(source.ask("dlq.show", {"letter": parent}))
        parent = parent_of(source, found[0]) if found else None
    return attempt
