"""The supervisor (R15): children with a restart policy, and a letter for what a failing one held.

A child is a coroutine that takes `InProgress`: what it works on, it holds there. When it fails,
whatever it raised (BaseException that is not a cancellation, groups included), the supervisor
seals the exception together with what it held into the letters door and starts it again, after a
short delay. The nursery lives on. A child that fails too often within its period is given up: the
node strikes if the child is vital (R17), and its stand-in serves in its place from then on. Which
children there are, and what stands in for each, is the table in children.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import attrs
import trio

from rmf import limits
from rmf.core.bag import Evidence, evidence_of
from rmf.core.events import Struck
from rmf.core.letters import edge_letter
from rmf.errors import RmfError
from rmf.floor import log
from rmf.floor.items import EdgeLetter, EventItem, LettersItem
from rmf.floor.node_clock import now

__all__ = [
    "Child",
    "HeldItem",
    "InProgress",
    "ReignLost",
    "StandIn",
    "Supervisor",
    "caught",
    "note_lost",
    "seal",
    "supervise",
]


class ChildEnded(RmfError):
    """A child returned that is to run as long as the node does."""


class ReignLost(RmfError):
    """The reign is over because another task of it failed, which has been sealed already."""


@attrs.frozen
class HeldItem:
    """What a task works on: the bytes, and of the packet's label what is known."""

    data: bytes
    producer: str | None = None
    epoch: int | None = None
    connection: int | None = None


class InProgress:
    """The hands of one task: what it holds while it works, so that a failure can be explained."""

    def __init__(self) -> None:
        self._held: Callable[[], list[HeldItem]] | None = None

    def hold(self, held: Callable[[], list[HeldItem]]) -> None:
        """Take something in hand; `held` is asked only if the task fails."""
        self._held = held

    def free(self) -> None:
        """Lay down what was held."""
        self._held = None

    @property
    def are_free(self) -> bool:
        """Whether nothing is held."""
        return self._held is None

    def held(self) -> list[HeldItem]:
        """Return what is held; one empty thing if nothing is, or if that is unknown."""
        try:
            found = self._held() if self._held is not None else []
        except Exception as exc:  # noqa: BLE001 what failed may hold something broken: go on (R15)
            log.note("error", "in_progress_unreadable", error=type(exc).__name__)
            found = []
        return found or [HeldItem(b"")]


StandIn = Callable[[str, InProgress], Awaitable[None]]  # takes why the child was given up


@attrs.frozen
class Child:
    """A task under supervision: at most `restarts_max` restarts within `period_s`. One that
    `is_permanent` fails by returning, too. Given up, a vital one makes the node strike; in its
    place runs `stand_in`."""

    name: str
    run: Callable[[InProgress], Awaitable[Any]]
    restarts_max: int = limits.EDGE_RESTARTS_MAX
    period_s: float = limits.EDGE_RESTARTS_PERIOD_S
    is_vital: bool = True
    is_permanent: bool = False
    stand_in: StandIn | None = None


def _wall_ns() -> int:
    return now().wall_ns


@attrs.frozen
class Supervisor:
    """What it takes to supervise, by value: any task may have one for children of its own."""

    node: str
    letters: trio.MemorySendChannel[LettersItem]
    events: trio.MemorySendChannel[EventItem]
    wall_ns: Callable[[], int] = _wall_ns

    async def keep(self, child: Child) -> None:
        """Run a child until it has done its work; once it is given up, its stand-in, until that
        has.

        Errors: none but cancellation leaves this function. Shutdown: cancel it.
        """
        await supervise(
            child,
            node=self.node,
            letters=self.letters,
            wall_ns=self.wall_ns,
            on_spent=partial(self._give_up, child),
        )

    async def _give_up(self, child: Child, why: str) -> None:
        """Strike if the node needs the child, and let its stand-in serve at once: the arbiter may
        hear of the strike only by that."""
        log.note("error" if child.is_vital else "warning", "given_up", task=child.name, why=why)
        async with trio.open_nursery() as nursery:
            if child.is_vital:
                nursery.start_soon(self.events.send, Struck("state", why))
            if child.stand_in is not None:
                await self._stand_in(f"{child.name}'s stand-in", partial(child.stand_in, why))

    async def _stand_in(self, name: str, run: Callable[[InProgress], Awaitable[None]]) -> None:
        """Run a stand-in again and again until it ends by itself. It must not fill the DLQ: where
        it held nothing, the log alone says that it failed."""
        while True:
            in_progress = InProgress()
            exc = await caught(partial(run, in_progress))
            if exc is None:
                return
            if in_progress.are_free:
                cancelled, _ = _explained(name, exc)
            else:
                cancelled = await seal(
                    name,
                    exc,
                    in_progress,
                    node=self.node,
                    letters=self.letters,
                    wall_ns=self.wall_ns,
                )
            if cancelled is not None:
                raise cancelled
            await trio.sleep(limits.STAND_IN_DELAY_S)


async def supervise(
    child: Child,
    *,
    node: str,
    letters: trio.MemorySendChannel[Any],
    wall_ns: Callable[[], int],
    on_spent: Callable[[str], Awaitable[None]],
) -> None:
    """Run a child until it returns by itself or its restarts are spent; then `on_spent`.

    Errors: none but cancellation leaves this function. Shutdown: cancel it, or let the child end.
    """
    failures: deque[float] = deque()
    while True:
        in_progress = InProgress()
        exc = await caught(partial(child.run, in_progress))
        if exc is None:
            if not child.is_permanent:
                return
            exc = ChildEnded("it returned, and is to run as long as the node does")
        cancelled = await seal(
            child.name, exc, in_progress, node=node, letters=letters, wall_ns=wall_ns
        )
        if cancelled is not None:
            raise cancelled
        # Our own errors say in words what to do; a foreign text may be anything.
        why = str(exc) if isinstance(exc, RmfError) else type(exc).__name__
        failed_s = trio.current_time()
        failures.append(failed_s)
        while failures and failures[0] < failed_s - child.period_s:
            failures.popleft()
        if len(failures) > child.restarts_max:
            await on_spent(f"task {child.name} failed {len(failures)} times: {why}")
            return
        await trio.sleep(limits.RESTART_DELAY_S)


async def caught(run: Callable[[], Awaitable[Any]]) -> BaseException | None:
    """Return what a task raised, cancellation included: the caller must raise that (see `seal`)."""
    try:
        await run()
    except BaseException as exc:  # noqa: BLE001, ASYNC103 a task may fail with anything (R15)
        return exc  # noqa: ASYNC104 the caller raises what of it is cancellation
    return None


def _part(exc: BaseException) -> tuple[BaseException | None, BaseException | None]:
    """Part what was raised into what must go on its way (cancellation, ^C) and what failed and was
    not sealed yet."""
    passing = (trio.Cancelled, KeyboardInterrupt)
    if isinstance(exc, BaseExceptionGroup):
        cancelled, failure = exc.split(passing)
        return cancelled, failure and failure.split(ReignLost)[1]
    if isinstance(exc, passing):
        return exc, None
    return None, None if isinstance(exc, ReignLost) else exc


def _explained(task: str, exc: BaseException) -> tuple[BaseException | None, Evidence | None]:
    """Part what was raised into cancellation and evidence of a failure, which goes to the log."""
    cancelled, failure = _part(exc)
    if failure is None:
        return cancelled, None
    evidence = evidence_of(failure)
    log.note("error", "task_failed", task=task, error=f"{evidence.type}: {evidence.message}")
    return cancelled, evidence


async def seal(
    task: str,
    exc: BaseException,
    in_progress: InProgress,
    *,
    node: str,
    letters: trio.MemorySendChannel[Any],
    wall_ns: Callable[[], int],
) -> BaseException | None:
    """Seal what a task raised with what it held; return what of it was cancellation, to raise.

    A DLQ that takes nothing for `STOP_S_MAX` seconds, or nothing any more because the node stops,
    holds no task down: then the log says of each thing that was held whose it was, and its first
    bytes. In silence nothing goes (R15).
    """
    cancelled, evidence = _explained(task, exc)
    if evidence is None:
        return cancelled
    unsealed = deque(in_progress.held())
    with (
        trio.CancelScope(shield=True),
        trio.move_on_after(limits.STOP_S_MAX),
        suppress(trio.ClosedResourceError),
    ):
        while unsealed:
            held = unsealed[0]
            letter = edge_letter(
                "task_failed",
                "task",
                node,
                held.data,
                evidence,
                wall_ns(),
                producer=held.producer,
                epoch=held.epoch,
            )
            await letters.send(EdgeLetter(letter, None))
            unsealed.popleft()
    for held in unsealed:
        _tell_of(task, held)
    return cancelled


def _tell_of(task: str, held: HeldItem) -> None:
    note_lost(held, task=task)


def note_lost(held: HeldItem, **why: str) -> None:
    """Say in the log what no letter keeps: whose it was, and its first bytes (R15)."""
    log.note(
        "error",
        "letter_lost",
        **why,
        producer=held.producer,
        epoch=held.epoch,
        bytes=len(held.data),
        packet=held.data[: limits.LOG_TEXT_CHARACTERS_MAX // 2].hex(),
    )
