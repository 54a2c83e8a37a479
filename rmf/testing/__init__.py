"""RMF for tests: a line under test, a cluster in memory, and the simulator behind both (R12).

    from rmf.testing import Bench       a line in three lines of code (see bench)
    from rmf.testing import Cluster     several nodes, with faults, in virtual time (see in_memory)
    from rmf.testing import simulate    a line under a seed's faults, judged (see rehearsal)

No server, no disk, no trio, no waiting: real cores (Arbiter, Raft, line), real client libraries
without I/O, and around them a network, disks and people that misbehave by a seed. It reads no
clock, so hours pass in a minute, and the same seed gives the same history. To read in order:

    environment             what everything in a run stands in
    agenda, dice, clock     what happens when; randomness, one stream a consumer; clocks that drift
    options, lives, knobs   what a seed decides, as text; options by name; bounds made small so that
                            they are reached
    network, wires, ports   messages that are lost, doubled, late, and who is let in; links that are
                            narrow; clients' lines
    disk, rebirth           records that are torn, rotten, lost; from a disk to a core
    node, loop              a process: its clock, its core, its lives; its one thread
    performer               its effects, done by parts: the line, the DLQ;
    disk_driver,            the disk; Entries and Checkpoints for peers that are far behind;
    catching_up, performing all of these, for a simulated node
    workload, producers,    a line, and who uses it; many cells and names beside the usual few
    readers, operators,     and large packets
    crowd, passers, freight
    faults, nemesis,        what goes wrong for a while; what is planned; with disks and members;
    mishaps, scenes         in several steps
    books, audit            the one history that is committed; what it may hold
    invariants, promises    what must hold after every step; what clients received (nodes
                            report to a `watcher`, which is `watch`; a checker raises `violation`)
    meter, laws             what work costs, counted; the law of cost, on every node
    looks                   bounds, memory, and whether what is called live is fresh
    liveness, calm          what must come about once all is healed; and while nothing goes wrong
    cluster, run, swarm     all of it; one seed; many

and for the lines of users:

    reproduce               a letter of the DLQ, as `rmf-dlq export --as pytest` writes it
    lone_node, shown, bench a factory of one node; what tests get to see; both, as one object
    in_memory               a cluster that does what the test says
    payloads, line_workload packets for the topics and classes that a line declares
    rehearsal               a user's line in place of the simulator's own; kinds of fault
    surroundings            clocks, zones and chance that are not those of this machine
    rerun, trial            a line's history, run again elsewhere; the child process in which it is
    forked, bounds          what may hang or die, and is watched; for how long, and how much
    suspects                where in a line's source to look first
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rmf.testing.bench import Bagged, Bench
    from rmf.testing.in_memory import Cluster
    from rmf.testing.rehearsal import simulate
    from rmf.testing.shown import Letter, Picture
    from rmf.testing.violation import Violation

_HOMES = {
    "Bagged": "rmf.testing.bench",
    "Bench": "rmf.testing.bench",
    "Cluster": "rmf.testing.in_memory",
    "Letter": "rmf.testing.shown",
    "Picture": "rmf.testing.shown",
    "Violation": "rmf.testing.violation",
    "simulate": "rmf.testing.rehearsal",
}

__all__ = ["Bagged", "Bench", "Cluster", "Letter", "Picture", "Violation", "simulate"]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'rmf.testing' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
