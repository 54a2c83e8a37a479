"""The outputs of `rmf-cat` on a pipe."""

from io import BytesIO

import cbor2

from rmf.core.messages import (
    DELTA,
    FULL,
    KEEPALIVE,
)
from tests.scripted_node import ScriptedNode
from tests.tools.cat import BLOB, DIGEST, FIRST, SECOND, TEMP, Cat, lines_of, saying, snapshot


def test_once_prints_one_full_picture_as_interfaces_say(cat: Cat) -> None:
    with ScriptedNode(saying(snapshot(KEEPALIVE, 40), FIRST, SECOND)) as node:
        assert cat(node, "--once") == 0
    assert lines_of(cat.out) == [
        {
            "term": 3,
            "tick": 41,
            "index": 7,
            "digest": DIGEST.hex(),
            "kind": "full",
            "skipped": 0,
            "live": True,
            "cells": {
                "room/3/temp": {
                    "value": 21.5,
                    "term": 3,
                    "tick": 40,
                    "slot": 0,
                    "producer": "probe-3",
                    "harvested_at": 99,
                    "expires": 2841,
                },
                "room/4/blob": {
                    "value": {"$bytes": "/wA="},
                    "term": 3,
                    "tick": 41,
                    "slot": 7,
                    "producer": "probe-4",
                    "harvested_at": 100,
                    "expires": None,
                },
            },
            "removed": {},
        }
    ]


def test_following_gives_the_full_picture_then_deltas_and_keepalives(cat: Cat) -> None:
    keepalive = snapshot(KEEPALIVE, 45, live=False)
    with ScriptedNode(saying(FIRST, keepalive, SECOND)) as node:
        assert cat(node, "-n", "2") == 0
    objects = lines_of(cat.out)
    assert [o["kind"] for o in objects] == ["full", "keepalive", "delta"]
    assert [o["live"] for o in objects] == [True, False, True]
    assert objects[2]["removed"] == {"room/4/blob": "expired"}
    assert objects[2]["skipped"] == 2


def test_chunks_of_a_tick_are_one_object(cat: Cat) -> None:
    chunks = [snapshot(FULL, 41, [TEMP], more=True), snapshot(FULL, 41, [BLOB])]
    with ScriptedNode(saying(*chunks)) as node:
        assert cat(node, "--once") == 0
    [picture] = lines_of(cat.out)
    assert picture["cells"].keys() == {"room/3/temp", "room/4/blob"}  # type: ignore[attr-defined]


def test_a_key_that_looks_like_a_rendering_stays_a_key(cat: Cat) -> None:
    with ScriptedNode(saying(snapshot(FULL, 41, [TEMP._replace(key="$SYS")]))) as node:
        assert cat(node, "--once") == 0
    assert list(lines_of(cat.out)[0]["cells"]) == ["$SYS"]  # type: ignore[call-overload]


def test_a_value_that_is_no_cbor_does_not_stop_the_display(cat: Cat) -> None:
    picture = snapshot(FULL, 41, [TEMP._replace(value=b"\xff")])
    for output in ("jsonl", "cborseq", "diag", "table"):
        with ScriptedNode(saying(picture)) as node:
            assert cat(node, "--once", "-o", output) == 0
            assert b"room/3/temp" in cat.out


def test_json_on_a_pipe_is_jsonl(cat: Cat) -> None:
    with ScriptedNode(saying(FIRST)) as node:
        assert cat(node, "--once", "-o", "json") == 0
    assert len(lines_of(cat.out)) == 1


def test_cborseq_is_a_sequence_of_maps_with_values_byte_for_byte(cat: Cat) -> None:
    odd = TEMP._replace(value=bytes.fromhex("f94d60"))  # a float of two bytes stays one
    with ScriptedNode(saying(FIRST, snapshot(DELTA, 42, [odd]))) as node:
        assert cat(node, "-n", "2", "-o", "cborseq") == 0
    stream = BytesIO(cat.out)
    decoder = cbor2.CBORDecoder(stream)
    full, delta = decoder.decode(), decoder.decode()
    assert stream.tell() == len(cat.out)
    assert (full["kind"], full["digest"], full["tick"]) == ("full", DIGEST, 41)
    assert full["cells"]["room/4/blob"]["value"] == b"\xff\x00"
    assert delta["cells"]["room/3/temp"]["value"] == 21.5
    assert b"\x65value\xf9\x4d\x60" in cat.out


def test_a_value_that_is_no_cbor_does_not_break_the_sequence(cat: Cat) -> None:
    with ScriptedNode(saying(snapshot(FULL, 41, [TEMP._replace(value=b"\x82\x01")]))) as node:
        assert cat(node, "--once", "-o", "cborseq") == 0
    assert cbor2.loads(cat.out)["cells"]["room/3/temp"]["value"] == b"\x82\x01"


def test_diag_shows_the_message_with_its_embedded_values(cat: Cat) -> None:
    with ScriptedNode(saying(FIRST)) as node:
        assert cat(node, "--once", "-o", "diag") == 0
    assert cat.out.decode() == (
        f"[12, 1, 0, false, 3, 41, 7, h'{DIGEST.hex()}', true, 0,"
        ' [["room/3/temp", <<21.5>>, 3, 40, 0, "probe-3", 99, 2841],'
        ' ["room/4/blob", <<h\'ff00\'>>, 3, 41, 7, "probe-4", 100, null]], []]\n'
    )


def test_raw_is_nothing_but_the_values(cat: Cat) -> None:
    with ScriptedNode(saying(FIRST, snapshot(KEEPALIVE, 42), SECOND)) as node:
        assert cat(node, "-n", "2", "-o", "raw") == 0
    assert cat.out == TEMP.value + BLOB.value + TEMP.value


def test_a_table_on_a_pipe_is_text_and_says_how_old_and_whether_live(cat: Cat) -> None:
    dead = snapshot(KEEPALIVE, 50, live=False)
    more = snapshot(DELTA, 60, [TEMP._replace(key="room/\x1b[2J", tick=60)])
    with ScriptedNode(saying(FIRST, SECOND, dead, more)) as node:
        assert cat(node, "-n", "3", "-o", "table") == 0
    text = cat.out.decode()
    first, second, third = (text.split("# tick ")[i] for i in (1, 2, -1))
    assert first.splitlines()[1:] == [
        "KEY          VALUE              AGE  PRODUCER  EXPIRES IN",
        "room/3/temp  21.5               1    probe-3   2800",
        'room/4/blob  {"$bytes":"/wA="}  0    probe-4   never',
    ]
    assert second.startswith("50 (1 tick = 100 us), term 3, live, 2 skipped, 1 cells\n")
    assert "NOT LIVE" in text
    assert "\x1b" not in third
    assert "room/\\u001b[2J" in third


def test_what_is_excluded_is_not_shown_and_not_counted(cat: Cat) -> None:
    hidden = snapshot(DELTA, 45, [BLOB], [["room/4/other", "expired"]])
    with ScriptedNode(saying(FIRST, hidden, SECOND)) as node:
        assert cat(node, "-n", "2", "-x", "room/4/#", "-x", "none") == 0
    full, delta = lines_of(cat.out)
    assert (list(full["cells"]), full["kind"]) == (["room/3/temp"], "full")  # type: ignore[call-overload]
    assert (delta["tick"], delta["removed"]) == (50, {})
