"""Bounds made small for a run, so that a small factory reaches them.

A factory of a few packets per second never fills 32 MiB of memory with Entries; with a bound of 2
KiB it reads its ledger for slow peers, and installs Checkpoints, all the time. The limits page is
put right again afterwards.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rmf import limits
from rmf.testing.options import Options

__all__ = ["bounds", "small_bounds"]


# What is in flight to a peer, made as small as the bandwidth of slow links is.
_SLOW = {
    name: getattr(limits, name) // 16
    for name in (
        "APPEND_BYTES_MAX",
        "PROBE_BYTES_MAX",
        "PEER_WINDOW_BYTES",
        "PEER_WINDOW_BYTES_MIN",
    )
}

# What is done in one piece, made as small as a simulated World is.
_CROWDED = {
    "SHELF_LOOKS_AN_ENTRY": 8,
    "INDEX_SLICE_KEYS": 8,
    "FEED_STEP_KEYS": 16,
    "FEED_SORT_KEYS": 64,
    "LOG_SLICE_ENTRIES": 16,
}


@contextmanager
def small_bounds(options: Options) -> Iterator[None]:
    """Have these bounds while the block runs."""
    wanted = {
        "LOG_MEMORY_BYTES": options.log_memory_bytes,
        "OUTCOME_RUNS_KEPT": 32,
        "PRODUCER_FRAMES_IN_FLIGHT": 8,
    }
    if options.bandwidth_kib:
        wanted |= _SLOW
    if options.crowd:
        wanted |= _CROWDED | {"SHELF_LOOKS": options.slice_cells}
    if options.places:
        wanted["PRODUCERS_MAX"] = options.places
    with bounds(wanted):
        yield


@contextmanager
def bounds(wanted: Mapping[str, float]) -> Iterator[None]:
    """Have these bounds, by their names on the limits page, while the block runs."""
    before = {name: getattr(limits, name) for name in wanted}
    for name, value in wanted.items():
        setattr(limits, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(limits, name, value)
