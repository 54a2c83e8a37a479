"""The demo producer: this computer's own telemetry, so that there is something to see at once.

It is a client of the running node like any other, over the wire: it knows the client and psutil,
and nothing of the node it happens to run beside. What it sends: CBOR maps under
`host/<name>/cpu`, `/memory`, `/disk` and `/network`, with the unit last in each name. Rates come
from two samples, so the first readings lack them. What psutil cannot tell, for lack of rights or of
a kernel that says it, is left out; a topic with nothing to say is not sent.

Decide, then do I/O: `take` asks the system, `readings` is a pure function of two samples, `run`
sends. Samples are taken in a thread: a disk that hangs must not stop the node's loop. The module is
imported only where a demo is wanted, and psutil with it.
"""

import re
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import psutil  # psutil has no type hints
import trio

from rmf import limits
from rmf.client.factory import connect

__all__ = ["PRODUCER", "SystemSample", "host_slug", "readings", "run", "take"]

PRODUCER = "demo"

Reading = dict[str, int | float]
_T = TypeVar("_T")


class SystemSample(NamedTuple):
    """What the system said at one moment. None: it did not say. Counters count since its start."""

    at_s: float  # of a monotonic clock
    cpu_busy_s: float | None = None
    cpu_idle_s: float | None = None
    load_1min: float | None = None
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    disk_free_bytes: int | None = None
    disk_total_bytes: int | None = None
    disk_read_bytes: int | None = None
    disk_written_bytes: int | None = None
    network_received_bytes: int | None = None
    network_sent_bytes: int | None = None


async def run(
    address: str,
    *,
    period_s: float = limits.DEMO_PERIOD_S,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Send readings to the node at `address` every `period_s`, until cancelled.

    Errors: whatever the client raises when it gives up (Refused, ConnectionFailed) goes up.
    Shutdown: cancel it; a reading on its way may or may not arrive.
    """
    host = host_slug(socket.gethostname())
    before: SystemSample | None = None
    async with connect(address, producer=PRODUCER) as factory:
        task_status.started()
        while True:
            next_s = trio.current_time() + period_s
            sample = await trio.to_thread.run_sync(take, abandon_on_cancel=True)
            told = readings(before, sample)
            await factory.send_many(
                (f"host/{host}/{name}", reading, limits.DEMO_TTL_MS)
                for name, reading in told.items()
            )
            before = sample
            await trio.sleep_until(next_s)


def host_slug(hostname: str) -> str:
    """Return a host's name as one level of a topic: its first label, in lower case."""
    return re.sub(r"[^a-z0-9]+", "-", hostname.lower().partition(".")[0]).strip("-") or "host"


def readings(before: SystemSample | None, now: SystemSample) -> Mapping[str, Reading]:
    """Return what two samples tell, by the last level of the topic."""
    found = {
        "cpu": {
            "used_percent": _busy_percent(before, now),
            "load_1min": now.load_1min,
        },
        "memory": {
            "used_bytes": now.memory_used_bytes,
            "total_bytes": now.memory_total_bytes,
            "used_percent": _percent(now.memory_used_bytes, now.memory_total_bytes),
        },
        "disk": {
            "free_bytes": now.disk_free_bytes,
            "total_bytes": now.disk_total_bytes,
            "read_bytes_per_s": _rate(before, now, "disk_read_bytes"),
            "written_bytes_per_s": _rate(before, now, "disk_written_bytes"),
        },
        "network": {
            "received_bytes_per_s": _rate(before, now, "network_received_bytes"),
            "sent_bytes_per_s": _rate(before, now, "network_sent_bytes"),
        },
    }
    told = {
        name: {key: value for key, value in values.items() if value is not None}
        for name, values in found.items()
    }
    return {name: values for name, values in told.items() if values}


def take(system: Any = psutil) -> SystemSample:
    """Ask the system for a sample; what it does not tell stays None.

    `system` has psutil's functions; another one shows what happens where they fail.
    """
    cpu: Any = _told(system.cpu_times)
    memory: Any = _told(system.virtual_memory)
    space: Any = _told(lambda: system.disk_usage("/"))
    disk: Any = _told(system.disk_io_counters)  # None as well where there are no disks to see
    network: Any = _told(system.net_io_counters)
    load = _told(system.getloadavg)
    return SystemSample(
        at_s=time.monotonic(),
        cpu_busy_s=cpu and _busy_s(cpu._asdict()),
        cpu_idle_s=cpu and cpu.idle,
        load_1min=load and load[0],
        memory_used_bytes=memory and memory.total - memory.available,
        memory_total_bytes=memory and memory.total,
        disk_free_bytes=space and space.free,
        disk_total_bytes=space and space.total,
        disk_read_bytes=disk and disk.read_bytes,
        disk_written_bytes=disk and disk.write_bytes,
        network_received_bytes=network and network.bytes_recv,
        network_sent_bytes=network and network.bytes_sent,
    )


def _told(ask: Callable[[], _T]) -> _T | None:
    """Return what the system says, or None where it refuses or has nothing to say."""
    try:
        return ask()
    except (psutil.Error, OSError, RuntimeError, AttributeError):
        return None


def _busy_s(times_s: Mapping[str, float]) -> float:
    """Return the time spent on anything; guests' time is part of user's and nice's already."""
    idle = {"idle", "iowait", "guest", "guest_nice"}
    return sum(time_s for name, time_s in times_s.items() if name not in idle)


def _busy_percent(before: SystemSample | None, now: SystemSample) -> float | None:
    busy_s = _difference(before, now, "cpu_busy_s")
    idle_s = _difference(before, now, "cpu_idle_s")
    if busy_s is None or idle_s is None:
        return None
    return _percent(busy_s, busy_s + idle_s)


def _rate(before: SystemSample | None, now: SystemSample, name: str) -> float | None:
    """Return the change a second of a counter; None at first and where a counter went back."""
    change = _difference(before, now, name)
    passed_s = 0.0 if before is None else now.at_s - before.at_s
    return None if change is None or passed_s <= 0 else round(change / passed_s, 1)


def _difference(before: SystemSample | None, now: SystemSample, name: str) -> float | None:
    first: float | None = None if before is None else getattr(before, name)
    second: float | None = getattr(now, name)
    if first is None or second is None or second < first:
        return None
    return second - first


def _percent(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else round(100 * part / whole, 1)
