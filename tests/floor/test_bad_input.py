"""Bad input, each against a real node that listens: it gets its named error or its bag, nothing is
lost, and another connection that keeps producing meanwhile does not notice.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import cbor2
import pytest
import trio

from rmf import limits
from rmf.core import codec
from rmf.core import messages as m
from rmf.core.bag import Letter
from tests.floor.factory import Factory, bystander, factory
from tests.floor.wire import HARVESTED_AT, Wire, framed, packet

pytestmark = pytest.mark.slow

NESTED_DEEP = b"\x81" * 10_000 + b"\x00"


@asynccontextmanager
async def node_at_work(tmp_path: Path) -> AsyncIterator[tuple[Factory, Wire]]:
    """A node, a producer `probe` for the test, and a bystander who must not notice. At the end the
    books balance (R34)."""
    async with factory(tmp_path / "data") as node:
        probe = await node.producer("probe")
        async with bystander(node):
            yield node, probe
        packets = (await node.status_when(lambda _: True))["packets"]
        assert packets["latched"] == packets["applied"] + packets["bagged"]


@contextmanager
def about(case: Any) -> Iterator[None]:
    """Name the case if it fails."""
    try:
        yield
    except BaseException as exc:
        exc.add_note(f"the case: {case!r}")
        raise


async def lives(wire: Wire) -> None:
    """The connection goes on: a good packet is applied."""
    assert [run.outcome for run in await wire.produce("cell/alive")] == [m.APPLIED]


async def refused(node: Factory, wire: Wire, body: bytes, code: str) -> Letter:
    """Send a frame; it must be refused by name, and its bytes be in the DLQ."""
    await wire.say_bytes(framed(body))
    error = await wire.expect(m.Error)
    assert error.code == code, error
    (letter,) = [x for x in node.letters() if x.id == error.letter]
    assert (letter.reason, letter.packet, letter.producer) == ("malformed", body, "probe")
    return letter


async def bagged(node: Factory, wire: Wire, row: list[Any], *reasons: str) -> Letter:
    """Send a packet; it must be bagged for one of the reasons, and its bytes be in the DLQ."""
    wire.last_seq += 1
    await wire.say(m.Send([row]))
    (run,) = await wire.outcomes(1)
    assert (run.outcome, run.duplicate) == (m.BAGGED, False), run
    assert run.reason in reasons
    letters = await node.letters_when(lambda found: any(x.id == run.letter for x in found))
    (letter,) = [x for x in letters if x.id == run.letter]
    assert (letter.reason, letter.packet) == (run.reason, cbor2.dumps(row))
    assert letter.id == f"{run.term}.{run.tick}.{run.slot}"
    return letter


# --- Frames -----------------------------------------------------------------------------------


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


# --- Labels -----------------------------------------------------------------------------------


def with_field(position: int, value: Any) -> list[Any]:
    """A packet in which one field is something else."""
    row = packet(2)
    row[position] = value
    return row


TTL_RANGE = "ttl_ms: expected 1 to 2199023255552"

LABELS: list[tuple[list[Any], str]] = [
    (packet(2)[:2], "found 2"),
    (packet(2)[:4], "found 4"),
    ([*packet(2), 1, 1], "found 7"),
    (with_field(0, ""), "topic"),
    (with_field(0, "a/+"), "topic"),
    (with_field(0, "a/#"), "topic"),
    (with_field(0, "a\n"), "topic"),
    (with_field(0, "x" * 1025), "topic"),
    (with_field(0, b"a"), "topic: expected text, found bytes"),
    (with_field(0, None), "topic: expected text, found null"),
    (with_field(2, -1), "harvested_at"),
    (with_field(2, 2**63), "harvested_at"),
    (with_field(2, 1.5), "harvested_at: expected an integer, found a float"),
    (with_field(2, None), "harvested_at"),
    (with_field(3, 0), f"{TTL_RANGE}, found 0"),
    (with_field(3, -5), f"{TTL_RANGE}, found -5"),
    (with_field(3, 2**41 + 1), TTL_RANGE),
    (with_field(3, 2**64 - 1), TTL_RANGE),
    (with_field(3, True), "ttl_ms: expected an integer, found a boolean"),
    (with_field(3, float("nan")), "ttl_ms: expected an integer, found a float"),
    (with_field(3, "5s"), "ttl_ms: expected an integer, found text"),
    (with_field(4, "text"), "payload: expected bytes, found text"),
    (with_field(4, {"a": 1}), "payload: expected bytes, found a map"),
    ([*packet(2), -1], "fence"),
    ([*packet(2), "1"], "fence"),
    ([*packet(2), None], "fence"),
]


async def test_a_label_that_is_wrong_is_bagged_with_its_seq(tmp_path: Path) -> None:
    async with node_at_work(tmp_path) as (node, probe):
        for row, words in LABELS:
            with about(words):
                seq = probe.last_seq + 1
                bad = [*row[:1], seq, *row[2:]]
                letter = await bagged(node, probe, bad, "label_invalid")
                assert words in letter.error.message
                assert (letter.stage, letter.seq, letter.producer) == ("latch", seq, "probe")
                await lives(probe)
        assert await probe.get("cell/a") is None


SEQS = [0, -1, 2**63, 1.0, "1", None, True, b"1"]


async def test_a_seq_that_cannot_be_read_is_an_edge_letter(tmp_path: Path) -> None:
    async with node_at_work(tmp_path) as (node, probe):
        for seq in SEQS:
            with about(seq):
                row = with_field(1, seq)
                await probe.say(m.Send([row]))
                error = await probe.expect(m.Error)
                letter = node.letters()[-1]
                assert (error.code, error.letter) == ("no_seq", letter.id)
                assert (letter.reason, letter.packet) == ("malformed", cbor2.dumps(row))
                await lives(probe)


async def test_a_stale_fence_is_bagged(tmp_path: Path) -> None:
    async with node_at_work(tmp_path) as (node, probe):
        await bagged(node, probe, [*packet(1), 7], "stale_term")
        probe.last_seq += 1
        await probe.say(m.Send([[*packet(2), 1]]))
        assert [run.outcome for run in await probe.outcomes(1)] == [m.APPLIED]


async def test_a_seq_that_goes_back_is_answered_and_not_applied_again(tmp_path: Path) -> None:
    async with node_at_work(tmp_path) as (_node, probe):
        first = await probe.produce("cell/a", "raises", "cell/c")
        await probe.send(packet(1, "cell/other", payload="overwritten"))
        (run,) = await probe.outcomes(1)
        assert (run.duplicate, run.outcome, run.tick) == (True, m.APPLIED, first[0].tick)
        await probe.send(*[packet(seq, "cell/other") for seq in (2, 3)])
        runs = await probe.outcomes(2)
        assert [(x.duplicate, x.reason) for x in runs] == [(True, "handler_error"), (True, None)]
        assert await probe.get("cell/other") is None
        assert (await probe.status())["packets"]["duplicate"] == 3


async def test_a_hole_in_the_seqs_is_refused_until_the_right_one_comes(tmp_path: Path) -> None:
    async with node_at_work(tmp_path) as (_node, probe):
        for seq in (5, 6, 2**63 - 1):
            await probe.send(packet(seq))
            refusal = await probe.expect(m.Refuse)
            assert (refusal.seq, refusal.code, refusal.expected) == (seq, "seq_gap", 1)
        await probe.send(packet(1), packet(3), packet(4))
        assert (await probe.expect(m.Refuse)).expected == 2
        assert [run.seq for run in await probe.outcomes(1)] == [1]
        await probe.send(packet(2))
        assert [run.outcome for run in await probe.outcomes(1)] == [m.APPLIED]


async def test_another_producers_name_takes_over_and_the_older_one_is_told(
    tmp_path: Path,
) -> None:
    async with node_at_work(tmp_path) as (node, probe):
        await lives(probe)
        thief = await node.producer("probe")
        assert thief.last_seq == 1
        (error,) = await probe.rest()
        assert isinstance(error, m.Error)
        assert error.code == "superseded"
        await lives(thief)
        assert (await thief.status())["packets"]["duplicate"] == 0


async def test_what_a_superseded_connection_still_sends_is_not_latched(tmp_path: Path) -> None:
    async with node_at_work(tmp_path) as (node, probe):
        for _ in range(5):
            older = await node.producer("contested")
            newer = await node.connect()
            await newer.greet("contested")
            for seq in range(older.last_seq + 1, older.last_seq + 30):
                try:
                    await older.send(packet(seq, "cell/contested", payload=seq))
                except trio.BrokenResourceError:
                    break
            acked = [run for x in await older.rest() if isinstance(x, m.Ack) for run in x.runs]
            welcome = await newer.expect(m.Welcome)
            last = max([older.last_seq, *(run.seq + run.packets - 1 for run in acked)])
            assert welcome.facts["last_seq"] == last
        await lives(probe)


# --- Payloads and handlers -----------------------------------------------------------------------


async def test_a_payload_of_a_mebibyte_does_not_fit_a_frame(tmp_path: Path) -> None:
    async with node_at_work(tmp_path) as (node, probe):
        await probe.say_bytes(codec.encode(m.Send([packet(1, raw=b"x" * limits.MIB)]))[:1000])
        (error,) = await probe.rest()
        assert isinstance(error, m.Error)
        assert error.code == "frame_too_long"
        assert (await node.producer("probe")).last_seq == 0


async def test_a_payload_over_the_limit_is_bagged_and_one_at_the_limit_is_not(
    tmp_path: Path,
) -> None:
    most = limits.PAYLOAD_BYTES_MAX
    async with node_at_work(tmp_path) as (node, probe):
        fits = cbor2.dumps(b"x" * (most - 5))
        assert len(fits) == most
        probe.last_seq = 1
        await probe.send(packet(1, "cell/big", raw=fits))
        assert [run.outcome for run in await probe.outcomes(1)] == [m.APPLIED]
        assert await probe.get("cell/big") == b"x" * (most - 5)
        letter = await bagged(node, probe, packet(2, raw=fits + b"x"), "payload_invalid")
        assert letter.stage == "latch"
        await lives(probe)


PAYLOADS = [
    b"",
    b"\xff",
    b'{"celsius": 21.5}',
    cbor2.dumps({"celsius": 21.5})[:-1],
    cbor2.dumps(1) + b"\x00",
    cbor2.dumps(2**64),
    cbor2.dumps(-(2**64)),
    b"\xc2\x58\x64" + b"\xff" * 100,
    cbor2.dumps(float("nan")),
    cbor2.dumps(float("inf")),
    cbor2.dumps([1, {"a": float("-inf")}]),
    NESTED_DEEP,
    b"\xa2\x61a\x01\x61a\x02",
    b"\xf7",
]


async def test_a_payload_that_cannot_be_a_value_is_bagged(tmp_path: Path) -> None:
    async with node_at_work(tmp_path) as (node, probe):
        for raw in PAYLOADS:
            with about(raw[:40].hex(" ")):
                row = ["cell/a", probe.last_seq + 1, HARVESTED_AT, 600_000, raw]
                letter = await bagged(node, probe, row, "payload_invalid", "result_invalid")
                assert letter.stage == "line"
                await lives(probe)


async def test_a_payload_that_its_handler_did_not_declare_is_bagged_readably(
    tmp_path: Path,
) -> None:
    async with node_at_work(tmp_path) as (node, probe):
        row = packet(1, "reading", {"celsius": "warm"})
        letter = await bagged(node, probe, row, "payload_invalid")
        assert "celsius" in letter.error.message


HANDLERS = [
    ("raises", "handler_error", "RuntimeError: no way with 1"),
    ("exits", "handler_error", "SystemExit: 3"),
    ("recurses", "handler_error", "RecursionError"),
    ("object", "result_invalid", "object"),
    ("nan", "result_invalid", "nan"),
    ("huge", "result_invalid", "65 bits"),
    ("list", "result_invalid", "list"),
    ("nobody/wants/this", "no_handler", "line 'shop' has no handler"),
]


async def test_a_handler_that_fails_bags_its_packet_alone(tmp_path: Path) -> None:
    async with node_at_work(tmp_path) as (node, probe):
        for topic, reason, error in HANDLERS:
            with about(topic):
                seq = probe.last_seq + 1
                letter = await bagged(node, probe, packet(seq, topic), reason)
                assert error in f"{letter.error.type}: {letter.error.message}"
                assert (letter.stage, letter.topic, letter.line) == ("line", topic, "shop 1")
                runs = await probe.produce("cell/a", topic, "cell/b")
                assert [(x.outcome, x.packets) for x in runs] == [(0, 1), (1, 1), (0, 1)]
                assert (await probe.get("cell/a"), await probe.get("cell/b")) == (seq + 1, seq + 3)


# --- Slow clients --------------------------------------------------------------------------------


async def test_a_producer_that_never_reads_is_cut_or_kept_but_nobody_waits(
    tmp_path: Path,
) -> None:
    async with node_at_work(tmp_path) as (node, probe):
        deaf = await node.producer("deaf")
        ask = b"".join(codec.encode(m.Get(i, "cell/big", True)) for i in range(500))
        await probe.send(packet(1, "cell/big", payload="x" * 500_000))
        await probe.outcomes(1)
        probe.last_seq = 1
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_push, deaf, ask)
            with trio.fail_after(10):
                while not node.said("slow_reader"):  # noqa: ASYNC110 the log tells nobody
                    await trio.sleep(limits.BEAT_S)
            nursery.cancel_scope.cancel()
        await lives(probe)


async def _push(wire: Wire, data: bytes) -> None:
    try:
        await wire.stream.send_all(data)
    except trio.BrokenResourceError:
        return


async def test_a_display_that_never_reads_costs_nobody_anything(tmp_path: Path) -> None:
    async with node_at_work(tmp_path) as (node, probe):
        displays = [await node.display("#", rate_hz=1000, every_tick=i % 2 == 1) for i in range(6)]
        for _ in range(50):
            probe.last_seq += 1
            await probe.send(packet(probe.last_seq, "cell/big", payload="x" * 100_000))
            await probe.outcomes(1)
        await lives(probe)
        for display in displays:  # late, but it was never cut off
            await display.expect_where(
                m.Snapshot, lambda x: any(cell.key == "cell/alive" for cell in x.cells)
            )


async def test_one_that_sends_a_byte_now_and_then_holds_up_nobody(tmp_path: Path) -> None:
    """Its deadline is tested on a clock that jumps (test_connection); here it costs nothing."""
    async with node_at_work(tmp_path) as (node, probe):
        slow = [await node.connect() for _ in range(20)]
        said = codec.PREFACE + codec.encode(m.Hello({"versions": [1, 1], "producer": "slow"}))
        for byte in said[:-1]:
            for wire in slow:
                await wire.say_bytes(bytes([byte]))
            await lives(probe)
        await slow[0].say_bytes(said[-1:])
        assert (await slow[0].expect(m.Welcome)).facts["last_seq"] == 0


async def test_many_that_vanish_at_once_leave_nothing_behind(tmp_path: Path) -> None:
    async with node_at_work(tmp_path) as (node, probe):
        wires = [await node.producer(f"fleeting-{i}") for i in range(30)]
        for i, wire in enumerate(wires):
            await wire.say_bytes(codec.encode(m.Send([packet(1, f"cell/{i}")]))[: 5 * i])
            await wire.say(m.Subscribe(1, ["#"], {}))
        for wire in wires:
            await trio.aclose_forcefully(wire.stream)
        await lives(probe)
        status = await probe.status()
        assert status["producers"] == 32
        assert node.letters("task_failed") == []
