"""Bad packets at a node that listens: labels, seqs, payloads, and handlers that fail on them."""

from pathlib import Path
from typing import Any

import cbor2
import pytest
import trio

from rmf import limits
from rmf.core import codec
from rmf.core import messages as m
from tests.floor.at_work import NESTED_DEEP, about, bagged, lives, node_at_work
from tests.floor.wire import HARVESTED_AT, packet

pytestmark = pytest.mark.slow


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


async def test_another_producers_name_takes_over_and_the_older_one_learns_it(
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
