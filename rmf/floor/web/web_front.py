"""What a node shows over HTTP: its port, and where health and metrics read (R44).

Puts together what http, health and metrics need of a node; decides only that a port not asked
for is no reason not to start.
"""

from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from rmf import __version__, limits
from rmf.floor.asking import ask
from rmf.floor.doors import Doors
from rmf.floor.edge import ingest
from rmf.floor.instruments import Instruments
from rmf.floor.items import FactsAsked
from rmf.floor.web import http
from rmf.floor.web.readings import FloorFacts, Sources, door_facts, read_disk
from rmf.storage.directory import DataDirectory

if TYPE_CHECKING:
    from rmf.config import Config

__all__ = ["WebFront", "bind"]


async def bind(config: "Config") -> http.HttpListening | None:
    """Have the port for HTTP; None where it is off. Raises UsageError if one that was asked for
    cannot be had."""
    if config.http is None:
        return None
    also = frozenset({config.advertise[0].lower()} if config.advertise else ())
    listening = http.HttpListening(config.http, also=also)
    if config.origins["http"] == "default":
        return listening if await listening.bind_or_warn() else None
    await listening.bind()
    return listening


class WebFront:
    """What HTTP shows: what the arbiter says of itself, and gauges of the floor."""

    def __init__(
        self,
        directory: DataDirectory,
        doors: Doors,
        instruments: Instruments,
        port: ingest.ClientListening,
    ) -> None:
        self._facts: dict[str, Any] | None = None
        self._events = doors.events
        self.sources = Sources(
            node=directory.node,
            version=__version__,
            refresh=self._ask,
            facts=lambda: self._facts,
            last_step_age_s=instruments.pulse.age_s,
            floor=lambda: FloorFacts(
                connections=port.open, strangers=port.strangers, doors=door_facts(doors)
            ),
            disk=partial(read_disk, directory),
            instruments=instruments,
        )

    async def _ask(self) -> None:
        """Have the arbiter say how it stands; while a core is loaded there is none to say it."""
        facts = None
        with trio.move_on_after(limits.HTTP_FACTS_S_MAX):
            facts = await ask(self._events, FactsAsked)
        self._facts = facts
