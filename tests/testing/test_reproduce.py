"""rmf.testing.reproduce: a letter fails as it did, passes once mended, and nothing is guessed."""

import os
from pathlib import Path
from typing import Any

import cbor2
import pytest

from rmf.errors import LineError
from rmf.line import Keep, Line
from rmf.line.call_handler import NoHandler
from rmf.line.cell_values import ResultInvalid
from rmf.line.payload import PayloadInvalid
from rmf.line.read_recorder import NotKnown
from rmf.testing.reproduce import StillFails, known, reproduce, reproduce_expiry
from tests import shop

STAMP = (1, 6, 1)


def packet(topic: str, payload: Any) -> str:
    return cbor2.dumps([topic, 2, 1_700_000_000_000_000_000, 5_000, cbor2.dumps(payload)]).hex()


def line_of(handler: Any) -> Line:
    line = Line("test")
    line.on("#")(handler)
    line.on_expired("#")(handler)
    return line


SALE = packet("sale/1", {"item": "apple", "count": 4})


def test_a_failure_comes_out_with_the_handlers_own_frame(tmp_path: Path) -> None:
    spec = shop.shop_file(tmp_path / "shop.py")
    with pytest.raises(ValueError, match="only 3 left") as raised:
        reproduce(spec, packet=SALE, stamp=STAMP, cells={"stock/apple": known("03")})
    assert raised.traceback[-1].name == "sale"


def test_once_mended_it_says_what_changes(tmp_path: Path) -> None:
    spec = shop.shop_file(tmp_path / "mended.py", mended=True)
    changes = reproduce(spec, packet=SALE, stamp=STAMP, absent=["stock/apple"])
    assert changes.keys() == {"stock/apple"}
    assert changes["stock/apple"].value == 95


def test_the_handler_sees_packet_cells_and_time_as_they_were() -> None:
    def handler(world: Any, packet: Any) -> Any:
        cell = world.cell("a")
        stale = world.get("stale")
        seen = [*packet.stamp, packet.seq, packet.producer, world.tick, world.term, cell.producer]
        return {"seen": Keep([*seen, cell.expires, stale, world.get("b"), packet.random.random()])}

    told: dict[str, Any] = {
        "packet": packet("t", 1),
        "stamp": (3, 100, 2),
        "producer": "probe",
        "cells": {
            "a": known("01", stamp=(2, 9, 1), producer="maker", expires=101),
            "stale": known("02", expires=100),
        },
        "absent": ["b"],
    }
    seen = reproduce(line_of(handler), **told)["seen"].value
    assert seen[:-1] == [3, 100, 2, 2, "probe", 100, 3, "maker", 101, None, None]
    assert reproduce(line_of(handler), **told)["seen"].value == seen


def test_what_is_not_known_is_not_taken_for_absent() -> None:
    with pytest.raises(NotKnown, match="reads 'b'"):
        reproduce(line_of(lambda w, _p: w.get("b")), packet=SALE, stamp=STAMP, absent=["a"])
    with pytest.raises(NotKnown, match="scans ''"):
        reproduce(line_of(lambda w, _p: dict(w.scan())), packet=SALE, stamp=STAMP)
    found = reproduce(
        line_of(lambda w, _p: {"all": dict(w.scan("r/"))}),
        packet=SALE,
        stamp=STAMP,
        cells={"r/1": known("01")},
        scanned=["r/"],
    )
    assert found == {"all": {"r/1": 1}}


def test_an_expired_cell_is_given_to_its_handler() -> None:
    def lost(world: Any, cell: Any) -> Any:
        return {f"gone/{cell.key}": [cell.value, cell.reason, cell.key in world]}

    cell = known("07", stamp=(1, 5, 0), expires=90)
    changes = reproduce_expiry(
        line_of(lost), key="k", cell=cell, stamp=(1, 100, 0), reason="age_unknown"
    )
    assert changes["gone/k"].value == [7, "age_unknown", False]


@pytest.mark.parametrize(
    ("topic", "payload", "raised"),
    [
        ("sale/1", {"item": "kiwi"}, PayloadInvalid),
        ("nobody", 1, NoHandler),
        ("nan", 1, ResultInvalid),
        ("exit", 1, StillFails),
    ],
)
def test_each_way_to_fail_is_a_failure(
    tmp_path: Path, topic: str, payload: Any, raised: type[Exception]
) -> None:
    spec = shop.shop_file(tmp_path / "shop.py")
    with pytest.raises(raised):
        reproduce(spec, packet=packet(topic, payload), stamp=STAMP)


@pytest.mark.parametrize("exc", [KeyboardInterrupt(), GeneratorExit(), SystemExit(0)])
def test_what_would_end_the_test_run_is_a_failure_of_this_test(exc: BaseException) -> None:
    def handler(_world: Any, _packet: Any) -> None:
        raise exc

    with pytest.raises(StillFails, match=type(exc).__name__) as raised:
        reproduce(line_of(handler), packet=SALE, stamp=STAMP)
    assert raised.value.__cause__ is exc


def test_apart_a_death_is_a_failure_and_nothing_more() -> None:
    line = line_of(lambda _world, _packet: os._exit(7))
    with pytest.raises(
        StillFails, match="handler_died: the handler ended its process, exit code 7"
    ):
        reproduce(line, packet=SALE, stamp=STAMP, apart=True)
    mended = line_of(lambda world, _packet: {"n": world["a"]})
    told = reproduce(mended, packet=SALE, stamp=STAMP, cells={"a": known("05")}, apart=True)
    assert told == {"n": 5}


def test_a_line_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(LineError, match="there is no file"):
        reproduce(f"{tmp_path}/none.py:line", packet=SALE, stamp=STAMP)
