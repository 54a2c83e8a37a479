"""What one run is like: every number that a seed decides, as values and as text.

A seed's meaning drifts with the code; the options that were derived from it do not. So a failing
run prints both, and is replayed from both.
"""

import json
from typing import Any

import attrs

from rmf import limits
from rmf.testing.dice import Dice

__all__ = ["FAULTS", "Options", "derived", "options_of"]

# Every class of fault that the nemesis knows, and how often it strikes beside the others.
FAULTS: dict[str, float] = {
    "cut_one_way": 2.0,
    "cut_both_ways": 2.0,
    "isolate": 2.0,
    "isolate_leader": 3.0,
    "bridge": 1.0,
    "flap": 1.0,
    "loss": 2.0,
    "doubling": 1.0,
    "delay": 2.0,
    "kill": 3.0,
    "kill_leader": 4.0,
    "power_cut": 2.0,
    "kill_all": 0.6,
    "power_cut_all": 0.6,
    "split_votes": 2.0,
    "pause": 3.0,
    "pause_leader": 3.0,
    "slow_disk": 2.0,
    "hanging_disk": 1.5,
    "failing_disk": 1.0,
    "rot": 1.2,
    "rotten_checkpoint": 0.8,
    "wipe": 0.8,
    "drop_clients": 1.5,
    "slow_line": 1.0,
    "lag": 2.0,
    "lost_tail": 0.8,
    "restored_copy": 0.5,
    "stalled_letters": 1.0,
    "torn_change": 0.8,
    "old_acquaintances": 0.6,
}


@attrs.frozen(kw_only=True)
class Options:
    """One run. Times in ms but for `seconds`; probabilities from 0 to 1.

    `faults` are the classes of fault in play, with their weights; `lines`, how many versions of the
    line the lives of a node run in turn; `crowd`, how many cells there are beside the usual few:
    then steps are metered, and `slice_cells` are looked at in one piece; `places`, how many names
    the producers' table holds, with people who pass by (0: as in production, and none does);
    `bandwidth_kib`, what a link carries in a second (0: anything); `freight_kib`, what is sent in a
    second in large packets; `quiet_seconds`, for how long of `seconds` nothing goes wrong at first;
    `calm_seconds`, for how long everybody works on once all is healed."""

    seed: int
    seconds: float = 300.0
    settle_seconds: float = 60.0
    quiet_seconds: float = 3.0
    calm_seconds: float = 0.0
    nodes: int = 3
    spares: int = 1
    producers: int = 3
    packets_a_second: float = 7.0
    frame_packets: int = 6
    crowd: int = 0
    slice_cells: int = 40
    places: int = 0
    freight_kib: float = 0.0
    reads_a_second: float = 0.6
    heartbeat_ms: int = 100
    election_ms: tuple[int, int] = (300, 600)
    latency_ms: float = 0.6
    bandwidth_kib: float = 0.0
    loss: float = 0.0
    doubling: float = 0.0
    straggling: float = 0.0
    fsync_ms: float = 0.8
    line_ms: float = 0.0
    checkpoint_every_ms: float = 15_000.0
    act_every_ms: float = 25_000.0
    fault_every_ms: float = 6_000.0
    drift_ppm: int = 200
    log_memory_bytes: int = 32 * limits.MIB
    archive: bool = False
    lines: int = 1
    faults: dict[str, float] = attrs.Factory(lambda: dict(FAULTS))

    def text(self) -> str:
        """Return these options as one line of JSON."""
        return json.dumps(attrs.asdict(self), sort_keys=True, separators=(",", ":"))


def options_of(text: str) -> Options:
    """Return the options in a text. Raises ValueError."""
    found: dict[str, Any] = json.loads(text)
    low, high = found.pop("election_ms", (300, 600))
    try:
        return Options(election_ms=(low, high), **found)
    except TypeError as exc:
        raise ValueError(f"these are no options of a run: {exc}") from exc


def derived(seed: int, **chosen: Any) -> Options:
    """Return the options of a seed; what is chosen is not left to it."""
    dice = Dice(seed).stream("options")
    # Swarm testing: a run that knows fewer kinds of fault goes deeper into those it knows.
    share = dice.choice((0.25, 0.5, 1.0))
    faults = {name: weight for name, weight in FAULTS.items() if dice.chance(share)}
    if not faults:
        faults = {"kill_leader": 1.0}
    options = Options(
        seed=seed,
        nodes=dice.choice((3, 3, 3, 3, 5)),
        spares=dice.choice((0, 1, 1)),
        producers=dice.choice((2, 3, 4)),
        latency_ms=dice.choice((0.2, 0.6, 2.0, 5.0)),
        loss=dice.choice((0.0, 0.0, 0.005, 0.03)),
        doubling=dice.choice((0.0, 0.0, 0.01, 0.05)),
        straggling=dice.choice((0.0, 0.002, 0.01)),
        fsync_ms=dice.choice((0.3, 0.8, 3.0)),
        checkpoint_every_ms=dice.choice((6_000.0, 15_000.0, 30_000.0)),
        act_every_ms=dice.choice((10_000.0, 25_000.0, 60_000.0)),
        fault_every_ms=dice.choice((2_500.0, 6_000.0, 12_000.0)),
        log_memory_bytes=dice.choice((0, 2 * limits.KIB, 32 * limits.MIB)),
        archive=dice.chance(0.2),
        lines=dice.choice((1, 1, 3)),
        calm_seconds=dice.choice((0.0, 0.0, 0.0, 4.0)),
        places=5 if dice.chance(0.08) else 0,
        crowd=600 if dice.chance(0.05) else 0,
        faults=faults,
    )
    return attrs.evolve(options, **chosen)
