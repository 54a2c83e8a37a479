"""What a node shows over HTTP: its port, and where health and metrics read (R44).

Puts together what http, health and metrics need of a node; decides only that a port nobody asked
for is no reason not to start.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from rmf import __version__
from rmf.core.answers import status_of
from rmf.core.arbiter import Arbiter
from rmf.floor import http, ingest
from rmf.floor.doors import Doors
from rmf.floor.instruments import Instruments
from rmf.floor.present import now
from rmf.floor.readings import FloorFacts, Sources, door_facts, read_disk
from rmf.storage.directory import DataDirectory

if TYPE_CHECKING:
    from rmf.config import Config

__all__ = ["bind", "sources_of"]


async def bind(config: "Config") -> http.Listening | None:
    """Have the port for HTTP; None where it is off. Raises UsageError if one that was asked for
    cannot be had."""
    if config.http is None:
        return None
    also = frozenset({config.advertise[0].lower()} if config.advertise else ())
    listening = http.Listening(config.http, also=also)
    on = await listening.bind(asked_for=config.origins["http"] != "default")
    return listening if on else None


def sources_of(
    directory: DataDirectory,
    doors: Doors,
    instruments: Instruments,
    port: ingest.Listening,
    core: Callable[[], Arbiter | None],
) -> Sources:
    """Return where HTTP reads; `core` tells the Arbiter that is loaded, if any."""

    def facts() -> dict[str, Any] | None:
        loaded = core()
        return status_of(loaded, now()) if loaded is not None else None

    def floor() -> FloorFacts:
        return FloorFacts(connections=port.open, strangers=port.strangers, doors=door_facts(doors))

    return Sources(
        node=directory.node,
        version=__version__,
        facts=facts,
        last_step_age_s=instruments.pulse.age_s,
        floor=floor,
        disk=partial(read_disk, directory),
        instruments=instruments,
    )
