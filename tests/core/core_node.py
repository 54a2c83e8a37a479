"""What a Playbook has around each of its cores: a line, a disk, a DLQ, people. Whatever a test is
about, all that leaves a core is held to R2 on the way."""

from collections.abc import Callable
from typing import Any

import attrs
import cbor2

from rmf.core import codec
from rmf.core import effects as ef
from rmf.core import events as ev
from rmf.core import messages as m
from rmf.core.bag import Letter
from rmf.line import Inline, Line
from rmf.testing.driven_core import DrivenCore
from rmf.testing.performer import Arms, LetterStore, LineRunner, Part, Performer
from tests.core.surroundings import Disk, Producer


@attrs.define(eq=False)
class Asking:
    """What was asked on a connection of its own, and everything that was answered."""

    heard: list[m.Message] = attrs.Factory(list)

    def hear(self, message: m.Message) -> None:
        """Take in an answer."""
        assert codec.decode(codec.encode(message)[4:]) == message
        self.heard.append(message)

    @property
    def item(self) -> Any:
        """The body of the ITEM that was answered."""
        (item,) = [x for x in self.heard if isinstance(x, m.Item)]
        return item.body

    @property
    def code(self) -> str | None:
        """The code of the END; "waits" while there is none."""
        ends = [x.code for x in self.heard if isinstance(x, m.End)]
        return ends[0] if ends else "waits"

    @property
    def value(self) -> Any:
        """The value that was answered to a GET, decoded; "waits" while there is none."""
        values = [x.cell for x in self.heard if isinstance(x, m.Value)]
        if not values:
            return "waits"
        return cbor2.loads(values[0].value) if values[0] is not None else None


class CoreNode(DrivenCore):
    """`effects` are all that the core wanted, `published` all its pictures, `people` who is on
    which connection. Events that come of Effects go to `told`."""

    def __init__(
        self,
        line: Line,
        disk: Disk,
        *parts: Part,
        told: Callable[[ev.Event], None] | None = None,
        leaves_out: tuple[type[Any], ...],
    ) -> None:
        super().__init__()
        self.line = line
        self.disk = disk
        self.effects: list[ef.Effect] = []
        self.published: list[ef.Publish] = []
        self.people: dict[int, Producer | Asking] = {}
        self.told = told or self.waiting.append
        self.runner = LineRunner(Inline(line), self.told)
        self.dlq = LetterStore(self.told)
        parts = (self.runner, disk, self, *parts)
        self._performer = Performer(*parts, leaves_out=leaves_out)

    # --- What may happen ------------------------------------------------------------------------

    def join(self, name: str, *, ephemeral: bool = False, epoch: int = 0) -> Producer:
        """A producer says HELLO on a new connection; `epoch` as it remembers it."""
        connection = len(self.people) + 1
        producer = Producer(name, connection, self.happen, lambda: self.now().boot_ns)
        self.people[connection] = producer
        self.happen(ev.Joined(connection, name, f"self-declared:{name}", ephemeral, epoch))
        return producer

    def ask(self, subject: str, **args: Any) -> Asking:
        """Somebody asks on a connection of its own; `args` are those of an operator."""
        return self._ask(ev.Asked(len(self.people) + 1, 1, subject, args=args))

    def get(self, key: str) -> Asking:
        """Somebody asks for a value, and wants to miss nothing that was acked."""
        return self._ask(ev.Asked(len(self.people) + 1, 1, "get", key, linearizable=True))

    def _ask(self, event: ev.Asked) -> Asking:
        asking = self.people[event.connection] = Asking()
        self.happen(event)
        return asking

    # --- What came of it ------------------------------------------------------------------------

    @property
    def status(self) -> Any:
        """The status."""
        return self.ask("status").item

    @property
    def world(self) -> dict[str, Any]:
        """The World as last published, values decoded."""
        return {key: cbor2.loads(cell.value) for key, cell in self.published[-1].world.scan()}

    @property
    def batch(self) -> ef.Batch | None:
        """The batch that waits while the line is held."""
        return self.runner.batch

    @property
    def letters(self) -> list[Letter]:
        """The letters in the DLQ."""
        return list(self.dlq.letters.values())

    def seen(self, kind: type[Any]) -> list[Any]:
        """All effects of a kind so far."""
        return [effect for effect in self.effects if isinstance(effect, kind)]

    # --- What is done ---------------------------------------------------------------------------

    def is_safe(self, term: int, tick: int) -> None:
        """Fail unless that Entry is where it must be before anybody hears of it (R2)."""
        assert self.disk.has_tick(term, tick), "told before it is on the disk"

    def perform(self, effects: list[ef.Effect]) -> None:
        """Do what the core wants done."""
        self.effects += effects
        self._performer.perform(effects)

    def arms(self) -> Arms:
        """What reaches people, displays and the DLQ."""
        return {
            ef.Answer: lambda effect: self._answer(effect.connection, effect.messages),
            ef.Broadcast: self._broadcast,
            ef.Close: self._close,
            ef.Publish: self._publish,
            ef.StoreLetters: self._store,
            ef.WriteCheckpoint: self._checkpoint,
        }

    def _publish(self, effect: ef.Publish) -> None:
        if effect.index:
            self.is_safe(effect.term, effect.tick)
        self.published.append(effect)

    def _store(self, effect: ef.StoreLetters) -> None:
        for letter in effect.letters:
            assert letter.term is not None
            assert letter.tick is not None
            self.is_safe(letter.term, letter.tick)
        self.dlq.store(effect)

    def _checkpoint(self, effect: ef.WriteCheckpoint) -> None:
        if self.runner.answers:
            self.told(ev.CheckpointEnded(effect.index, None))

    def _close(self, effect: ef.Close) -> None:
        somebody = self.people.get(effect.connection)
        assert not isinstance(somebody, Asking)
        if somebody is not None:
            somebody.closed = True

    def _broadcast(self, effect: ef.Broadcast) -> None:
        for connection in self.people:
            self._answer(connection, [effect.message])

    def _answer(self, connection: int, messages: list[m.Message]) -> None:
        somebody = self.people.get(connection)
        for message in messages if somebody is not None else []:
            assert somebody is not None
            for run in message.runs if isinstance(message, m.Ack) else []:
                if run.term is not None and run.tick is not None:
                    self.is_safe(run.term, run.tick)
            somebody.hear(message)
