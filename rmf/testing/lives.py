"""Lives by name: options in which what is rare in a usual run is what it is all about.

    python -m rmf.testing.swarm --life narrow --seeds 1-50
    python -m rmf.testing.swarm --life all --seeds 1-50

Each is about one thing that the world does and a small, short and healthy cluster does not meet:
Worlds that are large, links that are narrow, clocks that drift, drives that lie, disks that are
lost while a peer is behind, names that are forgotten. What is not said here, the seed decides.
"""

from typing import Any

from rmf import limits

__all__ = ["LIVES"]

_NEVER_MS = 1e12

_CROWDED: dict[str, Any] = {"crowd": 1_000, "seconds": 60.0, "fault_every_ms": 2_500.0}

LIVES: dict[str, dict[str, Any]] = {
    # A crowd of cells and producers: steps are metered.
    "crowded": _CROWDED,
    # The same, and their age is unknown.
    "age_unknown": _CROWDED
    | {"crowd": 2_000, "spares": 0, "faults": {"power_cut_all": 1.0, "kill": 1.0}},
    # Many ends of cells, each heard of by a slow line, while others send packets.
    "ending": {
        "crowd": 1_000,
        "slice_cells": 8,
        "line_ms": 250.0,
        "seconds": 8.0,
        "calm_seconds": 14.0,
        "checkpoint_every_ms": _NEVER_MS,
        "fault_every_ms": 1_800.0,
    },
    # Narrow links, full; nothing else is wrong in the end.
    "narrow": {
        "bandwidth_kib": 80.0,
        "freight_kib": 120.0,
        "seconds": 20.0,
        "calm_seconds": 10.0,
        "fault_every_ms": 4_000.0,
        "faults": {"kill": 1.0},
        "loss": 0.0,
        "straggling": 0.0,
    },
    # Crystals that differ by half a percent, and ten minutes in which no leader hands over.
    "drifting": {
        "drift_ppm": 5_000,
        "quiet_seconds": 600.0,
        "seconds": 640.0,
        "act_every_ms": _NEVER_MS,
        "fault_every_ms": 1_800.0,
        "packets_a_second": 4.0,
        "faults": {"kill_leader": 1.0, "isolate_leader": 1.0},
    },
    # Drives that lose an acked tail, and members that come back from an older copy.
    "lying": {
        "seconds": 60.0,
        "log_memory_bytes": 32 * limits.MIB,  # so that no Checkpoint takes a ledger's place
        "checkpoint_every_ms": 60_000.0,
        "act_every_ms": _NEVER_MS,
        "fault_every_ms": 2_000.0,
        "faults": {"lost_tail": 1.0, "restored_copy": 1.0},
    },
    # Letters that are not taken, disks that hang: what is shown as live must be fresh.
    "stalling": {
        "seconds": 60.0,
        "fault_every_ms": 2_000.0,
        "faults": {"stalled_letters": 2.0, "hanging_disk": 2.0, "slow_disk": 1.0, "kill": 1.0},
    },
    # Two voters, one of whom may go.
    "two": {
        "nodes": 2,
        "spares": 0,
        "seconds": 100.0,
        "act_every_ms": _NEVER_MS,
        "fault_every_ms": 2_000.0,
        "faults": {"torn_change": 2.0, "kill": 1.0},
    },
    # Five, of whom one is behind while others lose their disks.
    "five": {
        "nodes": 5,
        "spares": 0,
        "seconds": 100.0,
        "log_memory_bytes": 0,
        "checkpoint_every_ms": 12_000.0,
        "act_every_ms": _NEVER_MS,
        "fault_every_ms": 4_000.0,
        "faults": {"old_acquaintances": 1.0},
    },
    # A batch that ends just after the order to hand over.
    "handing_over": {
        "seconds": 20.0,
        "calm_seconds": 3.0,
        "line_ms": 2.0,
        "fault_every_ms": 2_000.0,
    },
    # Few places in the table of producers, and people who pass by.
    "few_places": {"places": 5, "seconds": 100.0, "fault_every_ms": 2_500.0},
}
