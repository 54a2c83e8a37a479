"""A cluster with a past: big cells, letters, Checkpoints, and history that is gone."""

import trio

import rmf
from tests.e2e.cluster import Cluster
from tests.e2e.load import TTL_MS

thread = trio.to_thread.run_sync
BIG = b"x" * 700_000


async def send(cluster: Cluster, producer: str, *packets: tuple[str, object]) -> list[str]:
    """Send packets; return what became of each."""
    addresses = list(cluster.addresses.values())
    async with rmf.connect(addresses, producer=producer) as factory:
        receipts = await factory.send_many([(*packet, TTL_MS) for packet in packets])
    return [receipt.outcome for receipt in receipts]


async def move_on(cluster: Cluster, big: int = 16, letters: int = 5) -> None:
    """Let the ledger grow by more than a segment, with big cells and letters in it."""
    await send(cluster, "letters", *[("nobody/wants", number) for number in range(letters)])
    await send(cluster, "big", *[(f"store/{number}", BIG) for number in range(big)])
    await send(cluster, "letters", *[("nobody/wants", number) for number in range(letters)])


async def forget_history(cluster: Cluster) -> None:
    """Leave nodes that run nothing but Checkpoints and what follows, in memory neither."""
    names = [name for name, node in cluster.nodes.items() if node.runs]
    for name in names:
        await thread(cluster.forget_history, name)
    for name in names:
        await thread(cluster.kill, name)
    await thread(cluster.begin, *names)


async def check_same(cluster: Cluster, letters: int) -> None:
    """All nodes have the same World and, in time, the same letters."""
    await thread(cluster.wait_equal)

    def complete() -> bool:
        statuses = cluster.statuses()
        return len(statuses) == 3 and all(x["dlq"]["complete"] for x in statuses.values())

    await thread(cluster.wait_until, complete, "letters stay incomplete")
    found = [await thread(cluster.dlq, name) for name in cluster.nodes]
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == letters
