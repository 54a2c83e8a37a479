"""The audit: a follower runs again what another node executed, and says where it differs (R21).

It takes samples from the audits door, one at a time, and has them run by an `AuditRunner`; what
counts as a difference, line/rerun knows. The ledger's changes stand: a finding is a letter and a
number, nothing else follows from it. It may be late, and it may leave out: no task waits for it.

What it must never do: run what killed or hung the glove box elsewhere (line/rerun leaves that out),
slow the Arbiter (a runner in this process rests as long as it ran), or fill the DLQ with one
failure told a thousand times (`Bound`).

Errors: a runner that fails or does not answer costs one sample, and is said in the log, and so is a
glove box that cannot be had (`keep`): the node goes on without.
Shutdown: cancel it, or close the letters door; what waits at its own door is forgotten.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from rmf import limits
from rmf.core.bag import Letter
from rmf.core.effects import Batch, RunAgain
from rmf.core.events import Executed
from rmf.floor import log
from rmf.floor.doors import Doors
from rmf.floor.instruments import Audits
from rmf.floor.items import EdgeLetter
from rmf.floor.supervisor import InProgress
from rmf.line.findings import finding_of
from rmf.line.inline import Inline
from rmf.line.replay_tick import Rerun
from rmf.line.slots_compared import Divergence

__all__ = ["AuditRunner", "Auditor", "Bound", "InlineRunner", "keep", "run"]


class AuditRunner(Protocol):
    """Runs batches of the past. It may say `handler_timeout`, `handler_died` or `handler_memory` of
    a slot, and must not run that one again: the rest of that Tick is left out."""

    async def run(self, batch: Batch) -> Executed:
        """Run a batch; see rmf/line/inline. Raises what it cannot help."""
        ...

    def where(self, topic: str, *, expired: bool) -> str:
        """Return the place of the handler for a topic, or for the expiry of a key, as
        `File "…", line …, in …`; "" if it is not known."""
        ...


class InlineRunner:
    """Runs them in the node's own process: nothing else runs meanwhile, so one batch per turn of
    the scheduler, and afterwards it rests for as long as that took."""

    def __init__(self, inline: Inline) -> None:
        self._inline = inline

    async def run(self, batch: Batch) -> Executed:
        """Run a batch."""
        began = trio.current_time()
        executed = self._inline.run(batch)
        await trio.sleep((trio.current_time() - began) * limits.AUDIT_REST)
        return executed

    def where(self, topic: str, *, expired: bool) -> str:
        """Return the place of a handler."""
        line = self._inline.line
        handler = line.expired_handler_of(topic) if expired else line.handler_of(topic)
        return handler.where if handler is not None else ""


class Bound:
    """How many letters of one failure may be written: some at once, then few a second (R38)."""

    def __init__(self, now: Callable[[], float] = trio.current_time) -> None:
        self._now = now
        self._left: dict[str, tuple[float, float]] = {}  # -> how many, and when that was so

    def allows(self, failure: str) -> bool:
        """Count one more letter; False: it is too many."""
        now = self._now()
        if failure not in self._left and len(self._left) >= limits.AUDIT_FAILURES_MAX:
            self._left.clear()
        left, since = self._left.get(failure, (float(limits.AUDIT_LETTERS_BURST), now))
        left = min(limits.AUDIT_LETTERS_BURST, left + (now - since) * limits.AUDIT_LETTERS_PER_S)
        allowed = left >= 1
        self._left[failure] = (left - allowed, now)
        return allowed


class Auditor:
    """Takes samples. `listens` is what the line says of expiries, `wall_ns` dates letters."""

    def __init__(
        self,
        node: str,
        runner: AuditRunner,
        listens: Callable[[str], bool],
        wall_ns: Callable[[], int],
        counts: Audits,
    ) -> None:
        self._node = node
        self._runner = runner
        self._listens = listens
        self._wall_ns = wall_ns
        self._counts = counts
        self._bound = Bound()

    async def take(self, audit: RunAgain) -> list[Letter]:
        """Run a sample again; return the letters of what differs."""
        again = Rerun(audit.before, audit.term, audit.entry, audit.books)
        other = again.other_expiry(self._listens)
        if other is None and again.batch is None:
            return []  # the line had no part in it
        found = [other] if other is not None else await self._compare(again)
        if again.cut_short or again.batch is not None:
            self._counts.skip("unfinished")
        else:
            self._counts.done += 1
        self._counts.differences += len(found)
        letters = [self._letter(x, audit) for x in found[: limits.AUDIT_LETTERS_A_TICK]]
        return [x for x in letters if self._bound.allows(x.error.traceback)]

    async def _compare(self, again: Rerun) -> list[Divergence]:
        found: list[Divergence] = []
        for _ in range(limits.AUDIT_SLOTS_A_TICK):
            if again.batch is None:
                break
            found += again.compare(await self._runner.run(again.batch))
        return found

    def _letter(self, found: Divergence, audit: RunAgain) -> Letter:
        topic = found.origin.topic if found.origin is not None else found.key
        if found.origin is None:
            keys = {x.slot: x.key for x in audit.books.expiries if x.slot is not None}
            topic = keys.get(found.slot, found.key) if found.slot is not None else found.key
        where = self._runner.where(topic or "", expired=found.origin is None)
        return finding_of(
            found,
            audit.entry,
            audit.before,
            node=self._node,
            where=where,
            wall_ns=self._wall_ns(),
        )

    def failed(self, why: str) -> None:
        """A sample failed."""
        self._counts.skip("failed")
        log.note("error", "audit_failed", error=why)


async def run(doors: Doors, auditor: Auditor, in_progress: InProgress) -> None:
    """Serve the audits door until cancelled."""
    in_progress.free()  # it holds no packet whose outcome is open
    async for audit in doors.audits_out:
        letters: list[Letter] = []
        try:
            with trio.move_on_after(limits.AUDIT_S_MAX) as patience:
                letters = await auditor.take(audit)
            if patience.cancelled_caught:
                auditor.failed(f"nothing came of Entry {audit.index} in {limits.AUDIT_S_MAX:g} s")
        except Exception as exc:  # noqa: BLE001 a line may do anything, and this is only evidence
            auditor.failed(f"{type(exc).__name__}: {exc}")
            await trio.sleep(limits.AUDIT_RETRY_S)
        finally:
            audit.before.world.index.unpin(audit.pin)
        for letter in letters:
            log.note("warning", "diverged", term=letter.term, why=letter.error.message)
            try:
                await doors.letters.send(EdgeLetter(letter, None))
            except trio.ClosedResourceError:
                return  # the node stops: no letter is stored any more (R18)


async def keep(serve: Callable[[InProgress], Awaitable[None]], in_progress: InProgress) -> None:
    """Keep a glove box for audits, until cancelled. Where none can be had (the line's file was
    changed, memory is short) it is tried again later, without letters: nothing depends on it."""
    while True:
        try:
            await serve(in_progress)
        except Exception as exc:  # noqa: BLE001 whatever it is, the node works without (R15)
            log.note("error", "audit_box_failed", error=f"{type(exc).__name__}: {exc}")
        await trio.sleep(limits.AUDIT_BOX_RETRY_S)
