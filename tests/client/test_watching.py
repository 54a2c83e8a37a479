"""Subscriptions: what a user iterates over."""

from typing import Any

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

import rmf
from rmf import limits
from rmf.client.client_values import ClientCell, Snapshot
from rmf.client.watching import merged, subscription
from rmf.core import messages as m
from rmf.core.messages import DELTA, FULL, KEEPALIVE
from rmf.errors import Refused, UsageError
from tests.client.trio_node import Peer, Script, nodes, snapshot


async def idle(peer: Peer) -> None:
    await peer.welcome()
    await peer.wait_for_the_end()


def showing(*pictures: m.Message, wishes: dict[str, Any] | None = None) -> Script:
    """Take a subscription, show these at once, and listen."""

    async def script(peer: Peer) -> None:
        await peer.welcome()
        subscribe = await peer.expect(m.Subscribe)
        if wishes is not None:
            assert subscribe.options == wishes
        await peer.send(*pictures)
        await peer.wait_for_the_end()

    return script


def values(shown: Snapshot) -> dict[str, int]:
    return {key: cell.value for key, cell in shown.cells.items()}


async def test_deltas_say_what_changed() -> None:
    seen = trio.Event()

    async def script(peer: Peer) -> None:
        await peer.welcome()
        assert (await peer.expect(m.Subscribe)).filters == ["a/#"]
        await peer.send(snapshot(FULL, 3, "a/x", "a/y"))
        await seen.wait()
        await peer.send(snapshot(DELTA, 4, "a/x", removed=[["a/y", "expired"]]))
        await peer.wait_for_the_end()

    async with (
        nodes([idle, script]) as [address],
        rmf.connect(address) as factory,
        factory.watch("a/#", mode="delta") as snapshots,
    ):
        first = await anext(snapshots)
        seen.set()
        second = await anext(snapshots)
    assert (first.kind, first.tick, values(first)) == ("full", 3, {"a/x": 3, "a/y": 3})
    assert (second.kind, second.tick, values(second)) == ("delta", 4, {"a/x": 4})
    assert second.removed == {"a/y": "expired"}
    assert second.live


async def test_chunks_become_one_snapshot() -> None:
    script = showing(snapshot(FULL, 3, "a", more=True), snapshot(FULL, 3, "b"))
    async with (
        nodes([idle, script]) as [address],
        rmf.connect(address) as factory,
        factory.watch() as snapshots,
    ):
        assert values(await anext(snapshots)) == {"a": 3, "b": 3}


async def test_full_mode_gives_the_whole_picture_each_time() -> None:
    seen = trio.Event()

    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.expect(m.Subscribe)
        await peer.send(snapshot(FULL, 3, "a", "b"))
        await seen.wait()
        await peer.send(snapshot(KEEPALIVE, 7))
        await peer.wait_for_the_end()

    async with (
        nodes([idle, script]) as [address],
        rmf.connect(address) as factory,
        factory.watch() as snapshots,
    ):
        await anext(snapshots)
        seen.set()
        later = await anext(snapshots)
    assert (later.kind, later.tick, values(later)) == ("keepalive", 7, {"a": 3, "b": 3})


async def test_who_is_slow_gets_the_newest_and_learns_what_was_skipped() -> None:
    pictures = [snapshot(FULL, 1, "a", "b"), snapshot(DELTA, 2, "a"), snapshot(DELTA, 3, "c")]
    async with (
        nodes([idle, showing(*pictures, snapshot(KEEPALIVE, 4))]) as [address],
        rmf.connect(address) as factory,
        factory.watch(mode="delta") as snapshots,
    ):
        while snapshots.picture.tick != 4:  # noqa: ASYNC110 nothing tells it
            await trio.lowlevel.checkpoint()
        shown = await anext(snapshots)
    assert (shown.kind, shown.tick, shown.skipped) == ("full", 4, 2)
    assert values(shown) == {"a": 2, "b": 1, "c": 3}


async def test_every_tick_is_given_to_who_asks_for_it_however_slow() -> None:
    ticks = range(1, 23)
    pictures = [snapshot(FULL, 1, "a"), *[snapshot(DELTA, tick, "a") for tick in ticks[1:]]]
    script = showing(*pictures, wishes={"mode": "delta", "every_tick": True, "from_tick": 0})
    async with (
        nodes([idle, script]) as [address],
        rmf.connect(address) as factory,
        factory.watch(mode="delta", every_tick=True, from_tick=0) as snapshots,
    ):
        await trio.testing.wait_all_tasks_blocked(0.01)
        shown = [await anext(snapshots) for _ in ticks]
    assert [one.tick for one in shown] == list(ticks)
    assert all(one.skipped == 0 for one in shown)


async def test_a_lost_subscription_says_so_and_resumes_behind_what_was_shown() -> None:
    async def losing(peer: Peer) -> None:
        await peer.welcome()
        await peer.expect(m.Subscribe)
        await peer.send(snapshot(FULL, 5, "a"))

    resumed = showing(snapshot(DELTA, 6, "a"), wishes={"mode": "delta", "from_tick": 5})
    shown: list[Snapshot] = []
    async with (
        nodes([idle, losing, resumed]) as [address],
        rmf.connect(address) as factory,
        factory.watch(mode="delta") as snapshots,
    ):
        async for one in snapshots:
            shown.append(one)
            if one.tick == 6:
                break
    assert values(shown[0]) == {"a": 5}
    assert values(shown[-1])["a"] == 6
    assert shown[-1].live


async def test_a_lost_picture_is_not_live() -> None:
    async def losing(peer: Peer) -> None:
        await peer.welcome()
        await peer.expect(m.Subscribe)
        await peer.send(snapshot(FULL, 5, "a"))

    async with (
        nodes([idle, losing]) as [address],
        rmf.connect(address) as factory,
        factory.watch(mode="delta") as snapshots,
    ):
        live = [(await anext(snapshots)).live]
        while live[-1]:
            live.append((await anext(snapshots)).live)


async def test_ticks_that_are_lost_are_named() -> None:
    script = showing(m.Gap(1, 9), snapshot(FULL, 9, "a"))
    async with (
        nodes([idle, script]) as [address],
        rmf.connect(address) as factory,
        factory.watch(every_tick=True, from_tick=1) as snapshots,
    ):
        shown = await anext(snapshots)
    assert shown.gap is not None
    assert "before 9" in shown.gap


async def test_another_history_is_a_gap_and_a_whole_picture() -> None:
    """P9: the factory was restored; what was shown never happened there."""

    async def losing(peer: Peer) -> None:
        await peer.welcome()
        await peer.expect(m.Subscribe)
        await peer.send(snapshot(FULL, 5, "a"))

    restored = showing(
        snapshot(m.KEEPALIVE, 5)._replace(entry_index=3), wishes={"mode": "delta", "from_tick": 5}
    )
    anew = showing(snapshot(FULL, 4, "b"), wishes={"mode": "delta"})
    async with (
        nodes([idle, losing, restored, anew]) as [address],
        rmf.connect(address) as factory,
        factory.watch(mode="delta") as snapshots,
    ):
        shown = [await anext(snapshots)]
        while shown[-1].kind != "full" or shown[-1].tick != 4:
            shown.append(await anext(snapshots))
        assert list(snapshots.picture.cells) == ["b"]
    assert shown[-1].gap is not None
    assert "another one" in shown[-1].gap


async def test_snapshots_carry_the_present_tick() -> None:
    async def dated(peer: Peer) -> None:
        hello = await peer.welcome()
        assert hello.options["now"] is True
        await peer.expect(m.Subscribe)
        await peer.send(snapshot(FULL, 5, "a")._replace(now=9))
        await peer.wait_for_the_end()

    async with (
        nodes([idle, dated]) as [address],
        rmf.connect(address) as factory,
        factory.watch() as snapshots,
    ):
        assert (await anext(snapshots)).now == 9


async def test_a_refused_subscription_is_raised_to_its_user() -> None:
    script = showing(m.Error("bad_filter", "no such filter", None))
    async with nodes([idle, script]) as [address], rmf.connect(address) as factory:
        with pytest.raises(Refused, match="bad_filter"):
            async with factory.watch() as snapshots:
                await anext(snapshots)


async def test_a_users_exception_leaves_a_subscription_as_it_is() -> None:
    async def use(factory: rmf.Factory) -> None:
        async with factory.watch() as snapshots:
            await anext(snapshots)
            raise KeyError("mine")

    script = showing(snapshot(FULL, 3, "a"))
    async with nodes([idle, script]) as [address], rmf.connect(address) as factory:
        with pytest.raises(KeyError, match="mine"):
            await use(factory)


@pytest.mark.parametrize(
    "wish",
    [
        {"filters": []},
        {"filters": ["a"] * (limits.FILTERS_PER_SUBSCRIPTION_MAX + 1)},
        {"filters": "a/#/b"},
        {"mode": "some"},
        {"rate_hz": 0},
        {"rate_hz": limits.RATE_HZ_MAX * 2},
        {"rate_hz": float("nan")},
        {"from_tick": -1},
    ],
)
def test_a_wish_that_no_node_would_take_is_a_mistake(wish: dict[str, Any]) -> None:
    good: dict[str, Any] = {
        "filters": "#",
        "mode": "full",
        "rate_hz": None,
        "every_tick": False,
        "from_tick": None,
    }
    subscription(**good)
    with pytest.raises(UsageError):
        subscription(**{**good, **wish})


# --- Merging ------------------------------------------------------------------------------


def one(tick: int, kind: str, cells: set[str], removed: set[str]) -> Snapshot:
    return Snapshot(
        term=1,
        tick=tick,
        index=tick,
        digest=bytes(16),
        kind=kind,
        skipped=0,
        live=True,
        cells={key: ClientCell(b"\x01", 1, tick, 0, "p", 1, None) for key in cells},
        removed=dict.fromkeys(removed, "expired"),
    )


def shown_after(picture: dict[str, int], snapshots: list[Snapshot]) -> dict[str, int]:
    """The picture as a reader of these Snapshots keeps it: key to tick."""
    picture = dict(picture)
    for shown in snapshots:
        if shown.kind == "full":
            picture = {}
        for key in shown.removed:
            picture.pop(key, None)
        picture.update({key: cell.tick for key, cell in shown.cells.items()})
    return picture


KEYS = st.sets(st.sampled_from("abc"))
TURNS = st.lists(st.tuples(st.sampled_from(["full", "delta", "keepalive"]), KEYS, KEYS), min_size=2)


@settings(deadline=None, max_examples=60)
@given(KEYS, TURNS)
def test_merged_snapshots_show_what_all_of_them_show(
    before: set[str], turns: list[tuple[str, set[str], set[str]]]
) -> None:
    snapshots = [
        one(tick, kind, set(), set())
        if kind == "keepalive"
        else one(tick, kind, cells, removed if kind == "delta" else set())
        for tick, (kind, cells, removed) in enumerate(turns, start=1)
    ]
    whole = snapshots[0]
    for later in snapshots[1:]:
        whole = merged(whole, later)
    picture = dict.fromkeys(before, 0)
    assert shown_after(picture, [whole]) == shown_after(picture, snapshots)
    assert whole.tick == len(turns)
    told = sum(shown.kind != "keepalive" for shown in snapshots)
    assert whole.skipped == max(0, told - 1)


def test_a_gap_is_not_lost_in_a_merge() -> None:
    gap = attrs.evolve(one(1, "full", set(), set()), gap="lost")
    assert merged(gap, one(2, "delta", set(), set())).gap == "lost"
    assert merged(one(1, "delta", set(), set()), gap).gap == "lost"
