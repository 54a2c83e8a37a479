"""The duties of core/effects held against what a core wanted and what it was told for it.

`Overheard` stands between a performer and its core, and notes both. A duty is a function of these
notes, which says what is against it; what is owed only in the end, it says with `ended`. So each
duty is written once, for whoever performs: see tests/core/performers.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, cast

import attrs

from rmf.core import effects as ef
from rmf.core import events as ev
from rmf.core.arbiter import Arbiter
from rmf.core.messages import Goaway, Message
from rmf.core.record import ENTRY

CONNECTION = 900  # of the client, unless its performer numbers connections itself


@attrs.define
class Notes:
    """What was wanted and what was told, in order; what was `heard` on a `connection`; how often a
    core was stepped once it had asked for its end."""

    all: list[ef.Effect | ev.Event] = attrs.Factory(list)
    steps_too_many: int = 0
    over: bool = False
    connection: int = 0
    heard: list[Message] = attrs.Factory(list)
    now: ev.Now = attrs.field(factory=lambda: ev.Now(0, 0))

    def of(self, *kinds: type[Any]) -> Iterator[Any]:
        """Those of these kinds."""
        return (x for x in self.all if isinstance(x, kinds))

    def wanted(self, effects: list[ef.Effect]) -> None:
        """Note what a step wants."""
        self.all += effects
        self.over |= any(isinstance(x, ef.Reload | ef.Stopped) for x in effects)


class Overheard:
    """An Arbiter that is listened to: everything else is its own."""

    def __init__(self, core: Arbiter) -> None:
        self.notes = Notes()
        self.notes.connection = CONNECTION
        self._core = core

    def __getattr__(self, name: str) -> Any:
        return getattr(self._core, name)

    @property
    def as_core(self) -> Arbiter:
        """The same, for those who ask for the class."""
        return cast("Arbiter", self)

    def start(self, now: ev.Now) -> list[ef.Effect]:
        """Begin."""
        effects = self._core.start(now)
        self.notes.wanted(effects)
        return effects

    def step(self, events: list[ev.Event], now: ev.Now) -> list[ef.Effect]:
        """Take a step."""
        self.notes.now = now
        if self.notes.over:
            self.notes.steps_too_many += 1
        self.notes.all += events
        effects = self._core.step(events, now)
        self.notes.wanted(effects)
        return effects


Duty = Callable[[Notes], list[str]]


def durable_first(notes: Notes) -> list[str]:
    """D1: Ticks are published, and letters stored, only once their Entry is on the disk."""
    found: list[str] = []
    ticket_of: dict[int, int] = {}
    durable = 0
    for x in notes.of(ef.Persist, ev.Persisted, ef.Publish, ef.StoreLetters):
        match x:
            case ef.Persist():
                ticket_of.update({y.index: x.ticket for y in x.records if y.kind == ENTRY})
            case ev.Persisted():
                durable = x.ticket
            case _ if ticket_of.get(x.index, 0) > durable:
                found.append(f"{type(x).__name__} of Entry {x.index}, which is not on the disk")
    return found


def heard_in_order(notes: Notes) -> list[str]:
    """D1, D3: what is said on a connection is heard there, in order; all of it, while it lasts."""
    said = [m for x in notes.of(ef.Answer) if x.connection == notes.connection for m in x.messages]
    said, heard = ([x for x in ms if not isinstance(x, Goaway)] for ms in (said, notes.heard))
    many = min(len(said), len(heard)) if notes.over else len(said)  # the next core speaks, too
    return [] if heard[:many] == said[:many] else [f"heard {heard}, said {said}"]


def persisted_once_and_in_order(notes: Notes) -> list[str]:
    """D2."""
    found: list[str] = []
    wanted, told, serial, failed = 0, 0, 0, False
    for x in notes.of(ef.Persist, ev.Persisted, ev.DiskFault):
        match x:
            case ef.Persist():
                told = told or x.ticket - 1  # what was before it, nobody listened to
                wanted = x.ticket
            case ev.DiskFault():
                failed = True
            case ev.Persisted() if wanted:
                if failed:
                    found.append(f"{x} after a DiskFault")
                if not told < x.ticket <= wanted or x.serial < serial:
                    found.append(f"{x} after ticket {told}; {wanted} was wanted last")
                told, serial = x.ticket, x.serial
    if told < wanted and not (failed or notes.over):
        found.append(f"tickets {told + 1}..{wanted} were never told")
    return found


def executed_once(notes: Notes) -> list[str]:
    """D4."""
    found, under_way = [], Counter[int]()
    for x in notes.of(ef.Execute, ev.Executed):
        if isinstance(x, ef.Execute):
            under_way[x.batch.number] += 1
        elif under_way[x.batch] < 1:
            found.append(f"batch {x.batch} was executed, and not wanted, or twice")
        else:
            under_way[x.batch] -= 1
    if not notes.over:
        found += [f"batch {number} was never executed" for number in +under_way]
    return found


def letters_stored_and_counted(notes: Notes) -> list[str]:
    """D6."""
    found, owed, index = [], 0, 0
    for x in notes.of(ef.StoreLetters, ev.LettersStored):
        if isinstance(x, ef.StoreLetters):
            owed += len(x.letters) + len(x.acts)
            continue
        owed -= x.letters
        if owed < 0 or x.index < index:
            found.append(f"{x}: {-owed} too many, or behind {index}")
        index = x.index
    if owed > 0 and not notes.over:
        found.append(f"{owed} letters and acts were never said to be stored")
    return found


def checkpoints_ended(notes: Notes) -> list[str]:
    """D7."""
    found, under_way = [], Counter[int]()
    for x in notes.of(ef.WriteCheckpoint, ev.CheckpointEnded):
        under_way[x.index] += 1 if isinstance(x, ef.WriteCheckpoint) else -1
        if under_way[x.index] < 0:
            found.append(f"the Checkpoint of {x.index} ended, and was not wanted, or twice")
    if not notes.over:
        found += [f"the Checkpoint of {index} never ended" for index in +under_way]
    return found


def dry_runs_done(notes: Notes) -> list[str]:
    """D5."""
    found, under_way = [], Counter[tuple[int, int]]()
    for x in notes.of(ef.DryRun, ev.DryRunDone):
        under_way[x.connection, x.request] += 1 if isinstance(x, ef.DryRun) else -1
        if under_way[x.connection, x.request] < 0:
            found.append(f"question {x.request} is done, and was not wanted, or twice")
    if not notes.over:
        found += [f"question {request} was never done" for _, request in +under_way]
    return found


def pins_taken_off(notes: Notes) -> list[str]:
    """D8."""
    return [
        f"the pin of {type(x).__name__} is on" for x in notes.of(ef.RunAgain, ef.DryRun) if _on(x)
    ]


def _on(effect: ef.RunAgain | ef.DryRun) -> bool:
    try:
        effect.world.index.share(effect.pin)
    except KeyError:
        return False
    effect.world.index.unpin(effect.pin)
    return True


def nothing_after_the_end(notes: Notes) -> list[str]:
    """D9."""
    many = notes.steps_too_many
    return [f"the core was stepped {many} times after its end"] if many else []


DUTIES: list[Duty] = [
    durable_first,
    heard_in_order,
    persisted_once_and_in_order,
    executed_once,
    letters_stored_and_counted,
    checkpoints_ended,
    dry_runs_done,
    pins_taken_off,
    nothing_after_the_end,
]
