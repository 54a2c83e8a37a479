"""Bounds of the child processes in which rmf-sim runs a line. Beyond one of them the process ends,
or the rest is left out, and it is said. They bound a tool on a laptop and no node, so they do not
stand on the limits page.
"""

from rmf.limits import KIB, MIB

__all__ = [
    "CALL_S_MAX",
    "DIFFERENCES_KEPT",
    "LOAD_S_MAX",
    "MARK_BYTES",
    "MEMORY_BYTES_MAX",
    "PACKETS_MAX",
    "SEEDS_MAX",
    "SEED_S_MAX",
]

CALL_S_MAX = 5.0  # one call of a handler: five times what the glove box gives it
SEED_S_MAX = 300.0  # one seed, of about a second
LOAD_S_MAX = 60  # importing the line
MEMORY_BYTES_MAX = 4096 * MIB  # address space of a seed; beyond: MemoryError in the handler
MARK_BYTES = 8 * KIB  # of the handler and packet that a child is at
PACKETS_MAX = 100_000  # read of a file or a ledger; beyond: the first ones
SEEDS_MAX = 1_000_000  # asked for at once
DIFFERENCES_KEPT = 200  # of one run; the rest is counted
