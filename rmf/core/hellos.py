"""The latch of HELLOs (R32, R33): which epoch a name gets, and who leaves the table for it.

A HELLO is latched like a packet: what is decided here, an Entry says. Of several HELLOs of one name
in a Tick the last one counts. So an epoch rises by at most one per Tick, and since a name that is
new begins with the number of its Tick, no epoch is above the Tick that gave it: a name that was
forgotten begins above every epoch it ever had. It changes nothing but the queue.

Of a HELLO with an epoch that this table does not have, it is said that it was forgotten. Both that
and a WELCOME are true only if they come from the reign that is in force: this node may be deposed
and not know it yet, and the node that reigns has given that very epoch. So both wait for the commit
of an Entry that is written after the HELLO came, an empty one if there is nothing else to write:
what was in flight before may be known to be committed late.
"""

from collections.abc import Set

from rmf import limits
from rmf.core import messages as m
from rmf.core.entry import Leaver, Register
from rmf.core.events import Joined
from rmf.core.forgetting import Forgetting
from rmf.core.latch import IngestQueue, Latched
from rmf.core.producer_table import ProducerRow
from rmf.core.state import State

__all__ = ["latch_hellos"]

_Hellos = dict[str, tuple[Joined, Register]]


def latch_hellos(
    queue: IngestQueue, state: State, latched: Latched, forgetting: Forgetting, now_ns: int
) -> None:
    """Latch what HELLOs there are, up to the bound of a Tick; let the idle leave and, where the
    table is full, the one that loses least by it."""
    forgetting.begin(state.producers)
    gone = set(forgetting.idle(state, latched.tick, now_ns))
    latched.leavers += [Leaver(name, "idle") for name in sorted(gone)]
    hellos: _Hellos = {}
    room = limits.PRODUCERS_MAX - len(state.producers.rows) + len(gone)
    while queue.joined and len(hellos) < limits.REGISTERS_A_TICK_MAX:
        joined = queue.joined[0]
        name = joined.producer
        row = None if name in gone else state.producers.get(name)
        known = row is not None or name in hellos
        lost = joined.epoch > (row.epoch if row is not None else 0)
        if not known and not lost:
            if room > 0:
                room -= 1
            elif not _crowd_out(state, latched, forgetting, gone, hellos.keys()):
                break  # all others say HELLO in this very Tick
        queue.joined.popleft()
        if lost:
            latched.needs_proof = True
            latched.waiting.farewells.append((joined.connection, _forgotten(joined, row)))
        else:
            _register(joined, row, hellos, latched)
            forgetting.note(name)
    for joined, register in hellos.values():
        latched.joined.append(joined)
        latched.registers.append(register)


def _crowd_out(
    state: State, latched: Latched, forgetting: Forgetting, gone: set[str], hellos: Set[str]
) -> bool:
    """Make room for a newcomer, if any name can go."""
    leaver = forgetting.next(state.producers, gone | hellos)
    if leaver is None:
        return False
    latched.leavers.append(Leaver(leaver, "crowded"))
    gone.add(leaver)
    return True


def _register(joined: Joined, row: ProducerRow | None, hellos: _Hellos, latched: Latched) -> None:
    """Give a HELLO its epoch, and the place of an earlier one of this Tick. A name that is kept
    never becomes ephemeral: a client relies on it."""
    name, ephemeral = joined.producer, joined.ephemeral
    if row is not None:
        ephemeral = ephemeral and row.ephemeral
    if name in hellos:
        older, register = hellos.pop(name)
        ephemeral = ephemeral and register.ephemeral
        text = f"a newer connection speaks for producer {name!r}"
        latched.waiting.farewells.append((older.connection, m.Error("superseded", text, None)))
    epoch = row.epoch + 1 if row is not None else max(1, latched.tick)
    hellos[name] = joined, Register(name, epoch, joined.identity, ephemeral)


def _forgotten(joined: Joined, row: ProducerRow | None) -> m.Error:
    known = "unknown" if row is None else f"in epoch {row.epoch}"
    text = (
        f"producer {joined.producer!r} says that it was in epoch {joined.epoch}, but it is {known}"
        " here: it was forgotten, or data were lost; what was not acked has no known outcome"
    )
    return m.Error("forgotten", text, None)
