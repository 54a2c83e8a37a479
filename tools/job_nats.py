"""The job on NATS: a JetStream stream of packets, a Python consumer that runs the handler, its
key-value store for the state, and a watcher of that. All by nats-py, three replicas on files.

Careful, as contenders are unless their name says `naive`: packets carry an id by which NATS finds
doubles, the consumer writes the states of a batch side by side, each with the number of the last
packet in it, and then its place in the stream; started again it reads them, goes on from there and
skips what a state has already. Naive: a durable consumer that acks packets once their states are
written. Killed is the consumer, and started again at once.
"""

import asyncio
import json
import time
from array import array
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from tools import compare_nats
from tools.compare_servers import Contender, wait_until
from tools.job_processes import ConsumedJob, JobContender, due
from tools.job_values import Phase, Produced, Sightings, counted, key_of, payload_of

__all__ = ["contenders"]

_MISSING = "nats-py is not installed (PyPI nats-py)"
_BATCH = 1000
_STREAM = {
    "name": "JOB",
    "subjects": ["job.*"],
    "storage": "file",
    "num_replicas": 3,
    "duplicate_window": 120_000_000_000,
}
_POSITION = "position"  # a key beside those of the states
_ACK_WAIT_S = 1.0


class _Where(NamedTuple):
    """What its clients need to know."""

    url: str
    careful: bool


def contenders() -> list[JobContender]:
    """Return the newest nats-server that is installed: as it comes, synced, and naive."""
    servers = compare_nats.contenders(fast=False)
    newest = max(servers, key=lambda one: _numbers(one.facts.get("version", "0")))
    missing = newest.missing or ("" if find_spec("nats") else _MISSING)
    version = newest.facts.get("version")
    found = [one for one in servers if one.facts.get("version") == version]
    jobs = [_job(one, missing, careful=True) for one in found]
    return [*jobs, _job(found[0], missing, careful=False)]


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


def _job(contender: Contender, missing: str, *, careful: bool) -> JobContender:
    made_of = "stream, Python consumer, key-value store, watcher; nats-py"
    facts = {**contender.facts, "killed": "the consumer", "made of": made_of}
    name = contender.name if careful else f"{contender.name}-naive"
    synced = contender.name.endswith("-synced")
    return JobContender(name, facts, partial(_running, contender, synced, careful), missing)


@contextmanager
def _running(contender: Contender, synced: bool, careful: bool) -> Iterator[ConsumedJob]:
    program = Path(contender.facts["program"])
    with compare_nats.started(program, synced=synced) as (pids, ports), ExitStack() as stack:
        port = next(iter(ports.values()))
        wait_until(
            lambda: compare_nats.request(port, "$JS.API.STREAM.CREATE.JOB", _STREAM).get("config"),
            "no stream was made",
        )
        leads = wait_until(lambda: compare_nats.leader(port, "JOB"), "the stream has no leader")
        where = _Where(f"nats://127.0.0.1:{ports[leads]}", careful)
        asyncio.run(_make_store(where))
        yield ConsumedJob(stack, pids, where, _produce, _consume, _watch)


async def _make_store(where: _Where) -> None:
    import nats

    client = await nats.connect(where.url)
    await client.jetstream().create_key_value(bucket="state", history=1, replicas=3)
    await client.close()


# --- In processes of their own --------------------------------------------------------------------


def _consume(where: _Where) -> None:
    asyncio.run(_handle(where))


async def _handle(where: _Where) -> None:
    """Be the consumer: run the handler over all that has come, write the states, go on."""
    import nats

    client = await nats.connect(where.url)
    stream = client.jetstream(publish_async_max_pending=100_000)
    states: dict[str, dict[str, int]] = await _states(stream)
    position = states.pop(_POSITION, {}).get("seq", 0)
    waiting: asyncio.Queue[Any] = asyncio.Queue(4 * _BATCH)
    await _subscribed(stream, where, position, waiting.put)
    while True:
        batch = [await waiting.get()]
        while len(batch) < _BATCH and not waiting.empty():
            batch.append(waiting.get_nowait())
        changed: dict[str, dict[str, int]] = {}
        for message in batch:
            key, position = message.subject[4:], message.metadata.sequence.stream
            old = states.get(key)
            if where.careful and old is not None and position <= old["seq"]:
                continue
            state = {**counted(old, json.loads(message.data)), "seq": position}
            states[key] = changed[key] = state
        await _written(stream, changed)
        if where.careful:
            await _written(stream, {_POSITION: {"seq": position}})
        else:
            for message in batch:
                await message.ack()


async def _written(stream: Any, states: dict[str, dict[str, int]]) -> None:
    """Write states side by side; return when all are acked."""
    acks = [
        await stream.publish_async(f"$KV.state.{key}", json.dumps(state).encode())
        for key, state in states.items()
    ]
    await asyncio.gather(*acks)


async def _states(stream: Any) -> dict[str, dict[str, int]]:
    """Return all that is in the store."""
    store = await stream.key_value("state")
    watcher = await store.watchall()
    found = {}
    while (entry := await watcher.updates()) is not None:
        found[entry.key] = json.loads(entry.value)
    await watcher.stop()
    return found


async def _subscribed(stream: Any, where: _Where, position: int, take: Any) -> None:
    from nats.js import api, errors

    if where.careful:
        first = api.ConsumerConfig(
            deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=position + 1
        )
        await stream.subscribe("job.*", stream="JOB", cb=take, ordered_consumer=True, config=first)
        return
    durable = api.ConsumerConfig(
        ack_policy=api.AckPolicy.EXPLICIT, ack_wait=_ACK_WAIT_S, max_ack_pending=4 * _BATCH
    )
    while True:
        try:
            await stream.subscribe(
                "job.*", stream="JOB", durable="handler", cb=take, manual_ack=True, config=durable
            )
        except errors.Error:  # the one that was killed is still bound to it
            await asyncio.sleep(0.05)
        else:
            return


def _watch(where: _Where, sightings: Sightings) -> None:
    async def watch() -> None:
        import nats

        client = await nats.connect(where.url)
        store = await client.jetstream().key_value("state")
        watcher = await store.watchall()
        while True:
            try:
                entry = await watcher.updates(timeout=60)
            except nats.errors.TimeoutError:
                continue
            if entry is not None and entry.key != _POSITION:
                sightings.see(int(entry.key), json.loads(entry.value))

    asyncio.run(watch())


def _produce(where: _Where, phase: Phase) -> Produced:
    return asyncio.run(_produced(where, phase))


async def _produced(where: _Where, phase: Phase) -> Produced:
    import nats

    client = await nats.connect(where.url)
    stream = client.jetstream(publish_async_max_pending=phase.window)
    sent_ns = array("q")
    acked = 0

    def note(future: Any) -> None:
        nonlocal acked
        acked += future.exception() is None

    began_s = time.monotonic()
    while time.monotonic() - began_s < phase.seconds:
        for _ in range(due(phase, began_s, len(sent_ns)) if phase.rate else 100):
            number = phase.first + len(sent_ns)
            sent_ns.append(time.monotonic_ns())
            ack = await stream.publish_async(
                f"job.{key_of(number, phase.keys)}",
                json.dumps(payload_of(number)).encode(),
                headers={"Nats-Msg-Id": str(number)},
            )
            ack.add_done_callback(note)
        await asyncio.sleep(0.001 if phase.rate else 0)
    await stream.publish_async_completed()
    await client.close()
    return Produced(phase.first, sent_ns, acked)
