"""Slow and far links: one reign under full load, elections at a distance, and catching up (R28)."""

import pytest

from rmf.core.raft.raft_values import Timing
from rmf.testing.ways import around
from tests.core.raft.links_kit import KIB, MS, SECOND, World

NEAR = Timing()
FAR = Timing(election_min_ns=500 * MS, election_max_ns=1000 * MS)


def reigning(mbit: float, delay_ms: float, timing: Timing, names: str = "n1 n2 n3") -> World:
    """A factory in which somebody has reigned for a while."""
    world = World(names, mbit=mbit, delay_ms=delay_ms, timing=timing)
    world.run(5_000)
    assert world.reigns, "nobody reigns"
    world.reigns.clear()
    return world


@pytest.mark.parametrize(
    ("mbit", "entry"),
    [
        pytest.param(100, 1024 * KIB, marks=pytest.mark.slow),
        pytest.param(300, 2200 * KIB, marks=pytest.mark.slow),
        pytest.param(100, 2200 * KIB, marks=pytest.mark.slow),
        (10, 1024 * KIB),
        (10, 100 * KIB),
    ],
)
def test_under_full_load_one_reign_lasts_and_the_link_is_used(mbit: float, entry: int) -> None:
    world = reigning(mbit, 0.2, NEAR)
    world.fill = entry
    log = world.core(world.leader()).log
    world.run(1_000)
    commit = log.commit
    world.run(10_000)
    assert world.reigns == []
    assert (log.commit - commit) * entry * 8e-7 >= 0.7 * mbit


@pytest.mark.parametrize(
    ("mbit", "delay_ms"),
    [(1000, 80), pytest.param(1000, 100, marks=pytest.mark.slow), (10, 100)],
)
def test_at_200_ms_round_trip_a_node_reigns_and_goes_on(mbit: float, delay_ms: float) -> None:
    world = reigning(mbit, delay_ms, FAR)
    log = world.core(world.leader()).log
    before = log.commit
    world.fill = 30 * KIB
    world.run(8_000)
    assert world.reigns == []
    assert log.commit > before + 20


@pytest.mark.parametrize("told", [True, False])
def test_at_200_ms_round_trip_a_dead_leader_is_succeeded(*, told: bool) -> None:
    world = reigning(10, 100, FAR)
    first = world.leader()
    world.kill(first, told=told)
    world.run(8_000)
    assert world.reigns
    assert {name for _, name in world.reigns}.isdisjoint({first})
    world.reigns.clear()
    world.run(10_000)
    assert world.reigns == []


def test_at_200_ms_round_trip_a_read_is_confirmed_by_one_round_trip() -> None:
    world = reigning(10, 100, FAR)
    for _ in range(5):
        world.ask()
        world.run(700)
    assert len(world.read) == 5
    assert max(world.read) <= 2.5 * 200 * MS


def test_reads_are_confirmed_while_the_link_is_full() -> None:
    world = reigning(10, 0.2, NEAR)
    world.fill = 1024 * KIB
    world.run(2_000)
    for _ in range(5):
        world.ask()
        world.run(500)
    assert len(world.read) == 5
    assert max(world.read) <= 100 * MS


@pytest.mark.parametrize(
    ("mbit", "delay_ms"),
    [
        (10, 100),
        pytest.param(10, 0.2, marks=pytest.mark.slow),
        pytest.param(100, 0.2, marks=pytest.mark.slow),
        pytest.param(100, 100, marks=pytest.mark.slow),
    ],
)
def test_a_node_that_was_away_catches_up_out_of_the_ledger_as_fast_as_the_link_carries(
    mbit: float, delay_ms: float
) -> None:
    world = reigning(1000, delay_ms, FAR)
    first = world.leader()
    away = next(name for name in world.nodes if name != first)
    world.cut = around(away, world.nodes)
    goal = world.core(first).log.commit + (40 if mbit < 50 else 200)
    world.fill = 100 * KIB
    while world.core(first).log.commit < goal:
        world.run(100)
    world.fill = None
    world.run(2_000)
    world.forget(first)
    world.mbit, missing = mbit, world.core(first).log.commit - world.core(away).log.commit
    world.cut.clear()
    began_ns, carried = world.now_ns, world.carried
    while world.core(away).log.commit < goal:
        world.run(100)
        assert world.now_ns - began_ns < 60 * SECOND
    least_s = missing * 100 * KIB * 8e-6 / mbit
    assert (world.now_ns - began_ns) / SECOND <= 1.3 * least_s + 25 * 2 * delay_ms / 1000 + 0.5
    assert world.carried - carried <= 1.2 * missing * 100 * KIB + 500 * KIB  # nothing twice
    assert world.reigns == []


@pytest.mark.parametrize(
    ("mbit", "delay_ms"), [(10, 100), (3, 0.2), pytest.param(100, 100, marks=pytest.mark.slow)]
)
def test_a_checkpoint_arrives_and_no_piece_of_it_twice(mbit: float, delay_ms: float) -> None:
    """A piece may take longer than an election time-out; thought lost, it doubled for ever."""
    world = reigning(1000, delay_ms, FAR)
    first = world.leader()
    away = next(name for name in world.nodes if name != first)
    world.cut = around(away, world.nodes)
    world.fill = 100 * KIB
    world.run(300)
    world.fill = None
    world.run(2_000)
    size = 10 * 1024 * KIB
    world.has_only_a_checkpoint(first, size)
    world.mbit = mbit
    world.cut.clear()
    began_ns, carried = world.now_ns, world.carried
    while not world.nodes[away].disk.base.serial:
        world.run(100)
        assert world.now_ns - began_ns < 100 * SECOND
    least_s = size * 8e-6 / mbit + 10 * 2 * delay_ms / 1000
    assert (world.now_ns - began_ns) / SECOND <= 1.2 * least_s + 3
    assert world.carried - carried <= 1.3 * size
    assert world.reigns == []
