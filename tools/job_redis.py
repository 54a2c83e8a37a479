"""The job on Redis Streams: a stream of packets, a consumer group of one that runs the handler, a
hash for the state, and a stream of changes for the subscriber. By redis-py with hiredis.

The consumer writes the states of a batch, their change and the acks of its packets in one
transaction, so started again it reads first what it had not acked. Packets carry no id: a producer
that loses its connection would send some twice. One server that fsyncs: nothing is replicated.
Killed is the consumer, and started again at once.
"""

import json
import time
from array import array
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tools import compare_redis
from tools.job_processes import ConsumedJob, JobContender, due
from tools.job_values import Phase, Produced, Sightings, counted, key_of, payload_of

__all__ = ["contenders"]

_MISSING = "redis is not installed (PyPI redis[hiredis])"
_BATCH = 500


def contenders() -> list[JobContender]:
    """Return the redis-server that is installed."""
    (server,) = compare_redis.contenders()
    facts = {
        **server.facts,
        "made of": "stream, consumer group, hash, stream of changes; redis-py, hiredis",
        "killed": "the consumer",
    }
    missing = server.missing or ("" if find_spec("redis") else _MISSING)
    return [JobContender("redis-streams", facts, partial(_running, server.facts), missing)]


@contextmanager
def _running(facts: dict[str, Any]) -> Iterator[ConsumedJob]:
    with compare_redis.started(Path(facts["program"])) as (pids, port), ExitStack() as stack:
        _client(port).xgroup_create("job", "handlers", id="0", mkstream=True)
        yield ConsumedJob(stack, pids, port, _produce, _consume, _watch)


# --- In processes of their own --------------------------------------------------------------------


def _client(port: int) -> Any:
    import redis

    return redis.Redis(port=port)


def _consume(port: int) -> None:
    """Be the consumer: run the handler over all that has come, write the states, go on."""
    client = _client(port)
    states = {key: json.loads(value) for key, value in client.hgetall("state").items()}
    after = "0"  # what was read and not acked, then what is new
    while True:
        read = client.xreadgroup("handlers", "one", {"job": after}, count=_BATCH, block=1000)
        entries = read[0][1] if read else []
        if not entries:
            after = ">"
            continue
        changed = {}
        for _, fields in entries:
            key = fields[b"k"]
            states[key] = changed[key] = counted(states.get(key), json.loads(fields[b"p"]))
        with client.pipeline(transaction=True) as commit:
            commit.hset("state", mapping={k: json.dumps(state) for k, state in changed.items()})
            news = {int(key): state for key, state in changed.items()}
            commit.xadd("changes", {"c": json.dumps(news)})
            commit.xack("job", "handlers", *(entry for entry, _ in entries))
            commit.execute()


def _watch(port: int, sightings: Sightings) -> None:
    client = _client(port)
    after = b"0"
    while True:
        read = client.xread({"changes": after}, count=100, block=1000)
        entries = read[0][1] if read else []
        for _, fields in entries:
            for key, state in json.loads(fields[b"c"]).items():
                sightings.see(int(key), state)
        after = entries[-1][0] if entries else after


def _produce(port: int, phase: Phase) -> Produced:
    client = _client(port)
    sent_ns = array("q")
    acked = 0
    began_s = time.monotonic()
    while time.monotonic() - began_s < phase.seconds:
        count = due(phase, began_s, len(sent_ns)) if phase.rate else min(phase.window, _BATCH)
        if not count:
            time.sleep(0.001)
            continue
        with client.pipeline(transaction=False) as pipe:
            for number in range(phase.first + len(sent_ns), phase.first + len(sent_ns) + count):
                packet = {"k": key_of(number, phase.keys), "p": json.dumps(payload_of(number))}
                pipe.xadd("job", packet)
            sent_ns.extend([time.monotonic_ns()] * count)
            acked += len(pipe.execute())
    return Produced(phase.first, sent_ns, acked)
