"""Bad frames and greetings at a node that listens: each is named, its bytes are sealed."""

from pathlib import Path
from typing import Any

import cbor2
import pytest

from rmf import limits
from rmf.core import codec
from rmf.core import messages as m
from tests.floor.at_work import NESTED_DEEP, about, lives, node_at_work, refused
from tests.floor.wire import framed, packet

pytestmark = pytest.mark.slow


FRAMES = [
    (b"", "not_well_formed"),
    (b"\xff", "not_well_formed"),
    (b"\x1c", "not_well_formed"),
    (b'{"json": 1}', "not_well_formed"),
    (b"GET / HTTP/1.1\r\n\r\n", "trailing_bytes"),
    (b"\x9b" + b"\xff" * 8, "not_well_formed"),  # an array of 2^64-1 items
    (b"\x5a\xff\xff\xff\xff", "not_well_formed"),  # a string of 4 GiB
    (cbor2.dumps([3, []]) + b"\x00", "trailing_bytes"),
    (b"\x82\x18\x03\x80", "not_shortest"),
    (b"\x9f\x03\x80\xff", "indefinite_length"),
    (b"\x82\x03\xc1\x00", "tag"),
    (b"\x82\x03\xf7", "simple_value"),
    (b"\x82\x03\x62\xc3\x28", "utf8"),
    (NESTED_DEEP, "depth"),
    (b"\x82\x03" + NESTED_DEEP, "depth"),
    (b"\xa1\x00" * 10_000 + b"\x00", "depth"),
    (b"\x99\xff\xff" + b"\x00" * 0xFFFF, "too_many_items"),
    (b"\x82\x03\xc2\x58\x64" + b"\xff" * 100, "tag"),  # an integer of 800 bits
    (cbor2.dumps([99]), "unknown_type"),
    (cbor2.dumps([-1]), "unknown_type"),
    (cbor2.dumps([2**64 - 1]), "unknown_type"),
    (cbor2.dumps(["SEND", []]), "unknown_type"),
    (cbor2.dumps([1, {}])[:1] + b"\x18\xff\x80", "unknown_type"),
    (cbor2.dumps(7), "wrong_shape"),
    (cbor2.dumps([]), "wrong_shape"),
    (cbor2.dumps({"a": 1}), "wrong_shape"),
    (cbor2.dumps([3]), "wrong_shape"),
    (cbor2.dumps([3, {}]), "wrong_shape"),
    (cbor2.dumps([3, [], 1]), "wrong_shape"),
    (cbor2.dumps([3, []]), "frame_packets"),
    (cbor2.dumps([3, [[]] * 4097]), "frame_packets"),
]


async def test_a_frame_that_cannot_be_read_is_named_and_sealed(tmp_path: Path) -> None:
    async with node_at_work(tmp_path) as (node, probe):
        for body, code in FRAMES:
            with about(body[:40].hex(" ")):
                letter = await refused(node, probe, body, code)
                assert (letter.seq, letter.topic, letter.term) == (None, None, None)
                assert letter.error.type == code
                await lives(probe)


async def test_cbor_that_is_cut_at_any_byte_is_named_and_sealed(tmp_path: Path) -> None:
    body = codec.encode(m.Send([packet(1, "cell/a"), [*packet(2, "cell/b"), 1]]))[4:]
    async with node_at_work(tmp_path) as (node, probe):
        for cut in range(len(body)):
            await refused(node, probe, body[:cut], "not_well_formed")
        await probe.say_bytes(framed(body))
        assert [(x.outcome, x.packets) for x in await probe.outcomes(2)] == [(m.APPLIED, 2)]
        assert (await probe.status())["packets"]["bagged"] == 0


async def test_a_stream_that_is_cut_at_any_byte_leaves_nothing_behind(tmp_path: Path) -> None:
    """A client that vanishes in mid-frame: nobody was promised anything."""
    said = codec.PREFACE + codec.encode(m.Hello({"versions": [1, 1], "producer": "shy"}))
    send = codec.encode(m.Send([packet(1, "cell/shy")]))
    async with node_at_work(tmp_path) as (node, probe):
        for cut in range(0, len(said), 3):
            wire = await node.connect()
            await wire.say_bytes(said[:cut])
            await wire.stream.aclose()
        for cut in range(0, len(send), 5):
            wire = await node.producer("shy")
            await wire.say_bytes(send[:cut])
            await wire.stream.aclose()
        again = await node.producer("shy")
        assert again.last_seq == 0
        assert await again.get("cell/shy") is None
        await lives(probe)
        assert node.letters() == []


async def test_a_frame_over_the_limit_ends_the_connection_before_it_is_read(
    tmp_path: Path,
) -> None:
    async with node_at_work(tmp_path) as (node, probe):
        await lives(probe)
        await probe.say_bytes((limits.FRAME_BYTES_MAX + 1).to_bytes(4, "big") + b"x" * 100)
        (error,) = await probe.rest()
        assert isinstance(error, m.Error)
        assert error.code == "frame_too_long"
        again = await node.producer("probe")
        assert again.last_seq == 1


HELLOS: list[tuple[dict[str, Any], str]] = [
    ({"versions": [2, 9]}, "wrong_version"),
    ({"versions": [0, 0]}, "wrong_version"),
    ({"versions": "1"}, "wrong_shape"),
    ({}, "wrong_shape"),
    ({"versions": [1, 1], "cluster": b"another"}, "wrong_cluster"),
    ({"versions": [1, 1], "producer": ""}, "producer_name"),
    ({"versions": [1, 1], "producer": "a\x00b"}, "producer_name"),
    ({"versions": [1, 1], "producer": "x" * 256}, "producer_name"),
    ({"versions": [1, 1], "producer": 7}, "wrong_shape"),
]


async def test_a_hello_that_cannot_be_is_refused_and_closes(tmp_path: Path) -> None:
    async with node_at_work(tmp_path) as (node, probe):
        for options, code in HELLOS:
            with about(options):
                wire = await node.connect()
                await wire.say_bytes(codec.PREFACE + codec.encode(m.Hello(options)))
                (error,) = await wire.rest()
                assert isinstance(error, m.Error)
                assert error.code == code
        await lives(probe)
