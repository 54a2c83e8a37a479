"""The supervisor (R15): children with a restart policy, and a letter for what a failing one held.

A child is a coroutine that takes `Hands`: whatever it is working on, it holds there. When it fails,
whatever it raised (BaseException that is not a cancellation, groups included), the supervisor
seals the exception together with what it held into the letters door and starts it again, after a
short delay. The nursery lives on. A child that fails too often within its period is given up, and
`on_spent` is told; what that means (strike) is the caller's decision.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import attrs
import trio

from rmf import limits
from rmf.core.bag import Evidence, Letter, evidence_of
from rmf.errors import RmfError
from rmf.floor import log
from rmf.floor.items import EdgeLetter

__all__ = ["Child", "Hands", "Held", "ReignLost", "caught", "edge_letter", "seal", "supervise"]


class ReignLost(RmfError):
    """The reign is over because another task of it failed, which has been sealed already."""


@attrs.frozen
class Held:
    """What a task works on: the bytes, and of the packet's label what is known."""

    data: bytes
    producer: str | None = None
    epoch: int | None = None
    connection: int | None = None


class Hands:
    """The hands of one task: what it holds while it works, so that a failure can be explained."""

    def __init__(self) -> None:
        self._held: Callable[[], list[Held]] | None = None

    def hold(self, held: Callable[[], list[Held]]) -> None:
        """Take something in hand; `held` is asked only if the task fails."""
        self._held = held

    def free(self) -> None:
        """Lay down what was held."""
        self._held = None

    def held(self) -> list[Held]:
        """Return what is held; one empty thing if nothing is, or if it cannot be told."""
        try:
            found = self._held() if self._held is not None else []
        except Exception as exc:  # noqa: BLE001 what failed may hold something broken: go on (R15)
            log.note("error", "hands_broken", error=type(exc).__name__)
            found = []
        return found or [Held(b"")]


@attrs.frozen
class Child:
    """A task under supervision: at most `restarts_max` restarts within `period_s`. One that is not
    vital is then done without."""

    name: str
    run: Callable[[Hands], Awaitable[Any]]
    restarts_max: int = limits.EDGE_RESTARTS_MAX
    period_s: float = limits.EDGE_RESTARTS_PERIOD_S
    is_vital: bool = True


def edge_letter(
    reason: str, stage: str, node: str, held: Held, evidence: Evidence, wall_ns: int
) -> Letter:
    """Return the letter of bytes that have no outcome of their own; the keeper gives it an id."""
    return Letter(
        id="",
        reason=reason,
        stage=stage,
        node=node,
        producer=held.producer,
        epoch=held.epoch,
        topic=None,
        seq=None,
        term=None,
        tick=None,
        slot=None,
        harvested_at=None,
        ttl_ms=None,
        line=None,
        digest_before=None,
        error=evidence,
        packet=held.data,
        bagged_at=wall_ns,
    )


async def supervise(
    child: Child,
    *,
    node: str,
    letters: trio.MemorySendChannel[Any],
    wall_ns: Callable[[], int],
    on_spent: Callable[[str], Awaitable[None]],
) -> None:
    """Run a child until it returns by itself or its restarts are spent.

    Errors: none but cancellation leaves this function. Shutdown: cancel it, or let the child end.
    """
    failures: deque[float] = deque()
    while True:
        hands = Hands()
        exc = await caught(partial(child.run, hands))
        if exc is None:
            return
        cancelled = await seal(child.name, exc, hands, node=node, letters=letters, wall_ns=wall_ns)
        if cancelled is not None:
            raise cancelled
        # Our own errors say in words what to do; a foreign text may be anything.
        why = str(exc) if isinstance(exc, RmfError) else type(exc).__name__
        now = trio.current_time()
        failures.append(now)
        while failures and failures[0] < now - child.period_s:
            failures.popleft()
        if len(failures) > child.restarts_max:
            why = f"task {child.name} failed {len(failures)} times: {why}"
            if child.is_vital:
                await on_spent(why)
            else:
                log.note("warning", "done_without", task=child.name, why=why)
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


async def seal(
    task: str,
    exc: BaseException,
    hands: Hands,
    *,
    node: str,
    letters: trio.MemorySendChannel[Any],
    wall_ns: Callable[[], int],
) -> BaseException | None:
    """Seal what a task raised with what it held; return what of it was cancellation, to raise.

    A DLQ that takes nothing for `STOP_S_MAX` seconds holds nobody down: the log is told then, of
    each thing that was held, whose it was and its first bytes. In silence nothing goes (R15).
    """
    cancelled, failure = _part(exc)
    if failure is None:
        return cancelled
    evidence = evidence_of(failure)
    log.note("error", "task_failed", task=task, error=f"{evidence.type}: {evidence.message}")
    unsealed = deque(hands.held())
    with trio.CancelScope(shield=True), trio.move_on_after(limits.STOP_S_MAX):
        while unsealed:
            letter = edge_letter("task_failed", "task", node, unsealed[0], evidence, wall_ns())
            await letters.send(EdgeLetter(letter, None))
            unsealed.popleft()
    for held in unsealed:
        _tell_of(task, held)
    return cancelled


def _tell_of(task: str, held: Held) -> None:
    log.note(
        "error",
        "letter_lost",
        task=task,
        producer=held.producer,
        epoch=held.epoch,
        bytes=len(held.data),
        packet=held.data[: limits.LOG_TEXT_CHARACTERS_MAX // 2].hex(),
    )
