"""Where the line runs, and which tasks that takes."""

from pathlib import Path

import pytest

from rmf.config import load
from rmf.floor.boxes.line_front import LineFront
from rmf.floor.doors import Doors
from rmf.floor.instruments import Audits, Durations
from tests.floor.lines import shop


def front(tmp_path: Path, glovebox: str, audit: str) -> LineFront:
    flags: dict[str, str | None] = {"line": "tests.floor.lines:shop", "data": str(tmp_path)}
    return LineFront(load({**flags, "glovebox": glovebox, "audit": audit}, {"HOME": "/"}))


@pytest.mark.parametrize(
    ("glovebox", "audit", "keepers", "auditors"),
    [
        ("inline", "off", [], []),
        ("inline", "0.1", [], ["audit"]),
        ("process", "off", ["glove_box"], []),
        ("process", "on", ["glove_box"], ["audit_box", "audit"]),
    ],
)
async def test_each_way_has_its_tasks(
    tmp_path: Path, glovebox: str, audit: str, keepers: list[str], auditors: list[str]
) -> None:
    line = front(tmp_path, glovebox, audit)
    try:
        facts = line.facts()
        assert facts.identity == (shop.name, shop.version, shop.digest)
        assert line.facts() is facts
        assert (line.inline is None) == (glovebox == "process")
        assert [x.name for x in line.children(Doors(), Durations())] == keepers
        assert [x.name for x in line.apart(Doors(), Audits())] == ["dry_run", *auditors]
    finally:
        line.close()


def test_the_share_of_the_audit_is_counted_in_a_million(tmp_path: Path) -> None:
    assert [front(tmp_path, "inline", x).audit_ppm for x in ("off", "0.1", "on")] == [
        0,
        100_000,
        1_000_000,
    ]
