"""The one performer of Effects outside the floor: a table of which part does what, and the parts
that are the same wherever a core is driven.

Who drives a core (the simulator's node, the lone node behind `Bench`, the kits of tests/core for
Arbiters and for bare cores of Raft, the driven node of tests/) makes a Performer of parts, each
with its own state: a line, a DLQ, a disk, peers, people. A part says what came of an Effect by
`happen`. What takes time takes it by `later`, which calls nothing for a core that was replaced
meanwhile; where nothing takes time, `at_once`. The duties of core/effects are kept here, once;
tests/core/test_duties holds every driver of an Arbiter to them.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, get_args

from rmf import limits
from rmf.core import effects as ef
from rmf.core import events as ev
from rmf.core.bag import Letter

__all__ = [
    "Arms",
    "Happen",
    "Later",
    "LetterStore",
    "LineRunner",
    "Performer",
    "Runner",
    "at_once",
    "uncounted",
]

_STALLED_NS = 20 * limits.MS

Arms = dict[type[Any], Callable[[Any], None]]  # a type of Effect, and who does it
Happen = Callable[[ev.Event], None]


class Later(Protocol):
    """Calls this after so many nanoseconds, unless the core is another one by then."""

    def __call__(self, wait_ns: int, call: Callable[..., None], /, *args: Any) -> None:
        """Call it then."""
        ...


class Runner(Protocol):
    """What runs batches: a line inline, or what a test puts in its place."""

    def run(self, batch: ef.Batch) -> ev.Executed:
        """Run a batch."""
        ...


class Part(Protocol):
    """What does some Effects."""

    def arms(self) -> Arms:
        """Return which, each with how it is done."""
        ...


def at_once(_wait_ns: int, call: Callable[..., None], /, *args: Any) -> None:
    """Call it now: where nothing takes time."""
    call(*args)


def uncounted(_what: str) -> None:
    """Do not count it."""


class Performer:
    """Every Effect is done by one part, or named among those that are left out: a new
    Effect cannot be forgotten."""

    def __init__(self, *parts: Part, leaves_out: tuple[type[Any], ...] = ()) -> None:
        self._arms: Arms = dict.fromkeys(leaves_out, _leave_out)
        for part in parts:
            arms = part.arms()
            assert not arms.keys() & self._arms.keys(), "two parts do the same Effect"
            self._arms |= arms
        assert self._arms.keys() == set(get_args(ef.Effect)), "an Effect is neither done nor named"

    def perform(self, effects: list[ef.Effect]) -> None:
        """Do what a step wants done, in order and without waiting (D1)."""
        arms = self._arms
        for effect in effects:
            arms[type(effect)](effect)


def _leave_out(effect: Any) -> None:
    if isinstance(effect, ef.RunAgain):
        effect.world.index.unpin(effect.pin)  # D8


class LineRunner:
    """Runs batches and questions (D4, D5); each takes `line_ns`. While it is `held`, a batch waits
    in `batch`, until a test runs it; unless it `answers`, so do questions, with the test itself."""

    def __init__(self, runner: Runner, happen: Happen, later: Later = at_once) -> None:
        self.runner = runner
        self.line_ns = 0
        self.held = False
        self.answers = True
        self.batch: ef.Batch | None = None
        self._happen = happen
        self._later = later

    def arms(self) -> Arms:
        """What this part does."""
        return {ef.Execute: self._execute, ef.DryRun: self._dry_run}

    def take(self) -> ef.Batch:
        """Take the batch that waits."""
        batch, self.batch = self.batch, None
        assert batch is not None, "no batch waits"
        return batch

    def _execute(self, effect: ef.Execute) -> None:
        if self.held:
            self.batch = effect.batch
        else:
            self._later(self.line_ns, self._happen, self.runner.run(effect.batch))

    def _dry_run(self, effect: ef.DryRun) -> None:
        if self.answers:
            self._later(self.line_ns, self._dry_run_done, effect)

    def _dry_run_done(self, effect: ef.DryRun) -> None:
        executed = self.runner.run(effect.batch)
        effect.world.index.unpin(effect.pin)  # D8
        self._happen(ev.DryRunDone(effect.connection, effect.request, effect.world, executed))


class LetterStore:
    """A DLQ (D6): `letters`, by id, in the order in which they came; it has all that stand at or
    before the Entry `cursor`, but those through `missing_through` may be missing. While it is
    `held`, what it is given waits for `release`. To store something takes `wait_ns`, and longer
    while it `stalls`."""

    def __init__(
        self,
        happen: Happen,
        later: Later = at_once,
        wait_ns: Callable[[], int] = int,
        stalls: Callable[[], bool] = bool,
    ) -> None:
        self.held = False
        self._happen = happen
        self._later = later
        self._wait_ns = wait_ns
        self._stalls = stalls
        self._waiting: deque[ef.StoreLetters] = deque()
        self.replaced()

    def replaced(self) -> None:
        """Be empty: the disk was lost."""
        self.letters: dict[str, Letter] = {}
        self.cursor = self.missing_through = 0

    def arms(self) -> Arms:
        """What this part does."""
        return {ef.StoreLetters: self.store}

    def begin_life(self, letters: list[Letter], index: int, missing_through: int) -> None:
        """A core begins that has applied all up to `index`: keep what recovery found."""
        self._waiting.clear()
        self.keep(letters)
        self.missing_through = max(self.missing_through, missing_through)
        self.cursor = max(self.cursor, index)

    def keep(self, letters: list[Letter]) -> None:
        """Keep these: what is there already stays as it is (R39)."""
        for letter in letters:
            self.letters.setdefault(letter.id, letter)

    def release(self) -> None:
        """Store what waits, and hold nothing back any more."""
        self.held = False
        while self._waiting:
            self._stored()

    def store(self, effect: ef.StoreLetters) -> None:
        """Take these, and store them when it is possible."""
        self._waiting.append(effect)
        if not self.held:
            self._later(self._wait_ns(), self._when_possible)

    def _when_possible(self) -> None:
        if self._stalls():
            self._later(_STALLED_NS, self._when_possible)
        else:
            self._stored()

    def _stored(self) -> None:
        effect = self._waiting.popleft()
        self.keep(effect.letters)
        self.cursor = max(self.cursor, effect.index)
        count = len(effect.letters) + len(effect.acts)
        if count:
            self._happen(ev.LettersStored(count, effect.index, {}))
