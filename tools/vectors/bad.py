"""The bad vectors: each breaks one rule, and `expect` is what a node says to it.

Frames that break the profile get a code of the error table; packets with a bad label get the
reason of their bag. Where a frame breaks several rules, the first one in the order of its bytes
names the fault, and a fault of the encoding goes before a fault of the shape.
"""

from typing import Any

import cbor2

from rmf import limits
from rmf.core import messages as m
from tools.vectors.entries import Pattern, bad, frame_of
from tools.vectors.good import HARVESTED_AT, good_entries, packet

__all__ = ["bad_entries"]

_DEEP = limits.FRAME_DEPTH_MAX


def bad_entries() -> list[dict[str, Any]]:
    """Return all bad vectors."""
    return [
        *_not_well_formed(),
        *_truncated(),
        *_profile(),
        *_shapes(),
        *_every_message(),
        *_frames_of_packets(),
        *_labels(),
    ]


def _not_well_formed() -> list[dict[str, Any]]:
    cases = [
        ("empty", "", "A frame of no bytes"),
        ("no-cbor", "1c", "A reserved head"),
        ("text-for-people", "474554202f", "`GET /`: the head says 7 bytes, 4 follow"),
        ("break-alone", "ff", "A break that ends nothing"),
        ("break-inside", "8208ff", "A break inside an array of definite length"),
        ("indefinite-integer", "1f", "An integer of indefinite length"),
        ("simple-short-in-two-bytes", "8208f810", "Simple value 16 in two bytes"),
        ("head-cut", "8208" + "1b0000", "A head that is cut off"),
        ("text-beyond-frame", "82087a7fffffff61", "A text of 2 GiB in a frame of 8 bytes"),
        ("array-beyond-frame", "82089b7fffffffffffffff00", "An array of 2^63-1 items"),
        ("map-beyond-frame", "8200bbffffffffffffffff00", "A map of 2^64-1 pairs"),
    ]
    return [
        bad(f"not-well-formed-{name}", "RMF-6", words, bytes.fromhex(data), "not_well_formed")
        for name, data, words in cases
    ]


def _truncated() -> list[dict[str, Any]]:
    whole = frame_of(m.Send([packet(1, fence=3)]))
    return [
        bad(
            f"truncated-{size:02}",
            "RMF-6",
            f"The vector send-fence, cut off after {size} of {len(whole)} bytes",
            whole[:size],
            "not_well_formed",
        )
        for size in range(len(whole))
    ]


def _profile() -> list[dict[str, Any]]:
    hello = '{"versions": [1, 1], "agent": "x"'
    begin = "8200a3" + "6876657273696f6e73820101" + "656167656e746178"
    at_depth = bytes([0x82, 0]) + b"\xa1\x61x" + b"\x81" * (_DEEP - 2)
    cases = [
        ("trailing_bytes", "one", "82080700", None, "A byte behind the item"),
        ("trailing_bytes", "item", "82080781f6", None, "A second item in the frame"),
        ("not_shortest", "code", "82180807", "[8_0, 7]", "The code in two bytes"),
        ("not_shortest", "16-bit", "8208190007", "[8, 7_1]", "7 in three bytes"),
        ("not_shortest", "32-bit", "82081a00000007", "[8, 7_2]", "7 in five bytes"),
        ("not_shortest", "64-bit", "82081b0000000000000007", "[8, 7_3]", "7 in nine bytes"),
        ("not_shortest", "array", "98020807", "[_0 8, 7]", "The length of the array"),
        ("not_shortest", "text", "840e01780161f4", '[14, 1, "a"_0, false]', "The length of a text"),
        ("not_shortest", "map", "8200b801616101", '[0, {_0 "a": 1}]', "The length of a map"),
        ("indefinite_length", "array", "9f0807ff", "[_ 8, 7]", "An array without a length"),
        ("indefinite_length", "text", "840e017f6161fff4", '[14, 1, (_ "a"), false]', "A text"),
        ("indefinite_length", "bytes", "81" + "5f4161ff", "[(_ h'61')]", "A byte string"),
        ("indefinite_length", "map", "8200bfff", "[0, {_ }]", "A map without a length"),
        ("tag", "bignum", "8208c24107", "[8, 2(h'07')]", "An integer as a bignum"),
        ("tag", "self-described", "d9d9f7820807", "55799([8, 7])", "The tag of CBOR itself"),
        ("tag", "shared", "82d81c08d81d00", "[28(8), 29(0)]", "Shared values"),
        ("simple_value", "undefined", "8208f7", "[8, undefined]", "undefined"),
        ("simple_value", "unassigned", "8208e0", "[8, simple(0)]", "An unassigned simple value"),
        ("simple_value", "two-bytes", "8208f8ff", "[8, simple(255)]", "One in two bytes"),
        ("simple_value", "alone", "f7", "undefined", "It goes before the wrong shape"),
        ("simple_value", "code", "81f7", "[undefined]", "It goes before the unknown type"),
    ]
    entries = [
        bad(
            f"{code.replace('_', '-')}-{name}", "RMF-6", words, bytes.fromhex(data), code, said=said
        )
        for code, name, data, said, words in cases
    ]
    maps = [
        ("duplicate_key", "text", begin + "656167656e746178", hello + ', "agent": "x"}', "Twice"),
        ("duplicate_key", "integer", begin + "6161a201000101", hello + ', "a": {1: 0, 1: 1}}', ""),
        ("key_type", "bytes", begin + "416100", hello + ", h'61': 0}", "A key of bytes"),
        ("key_type", "float", begin + "f93c0000", hello + ", 1.0: 0}", "A key that is a float"),
        ("key_type", "true", begin + "f500", hello + ", true: 0}", "A key that is a boolean"),
        ("key_type", "null", begin + "f600", hello + ", null: 0}", "A key that is null"),
        ("key_type", "array", begin + "8000", hello + ", []: 0}", "A key that is an array"),
        ("key_type", "map", begin + "a000", hello + ", {}: 0}", "A key that is a map"),
        ("utf8", "overlong", begin + "616162c0ae", None, "An overlong form"),
        ("utf8", "surrogate", begin + "616163eda080", None, "A lone surrogate"),
        ("utf8", "cut", begin + "616161c3", None, "A character that is cut off"),
        ("utf8", "key", begin + "61ff00", None, "A key that is not UTF-8"),
    ]
    entries += [
        bad(
            f"{code.replace('_', '-')}-{name}",
            "RMF-6",
            words or "One key twice in an inner map",
            bytes.fromhex(data),
            code,
            said=None if said is None else f"[0, {said}]",
        )
        for code, name, data, said, words in maps
    ]
    return [
        *entries,
        bad("depth-33", "RMF-6", "33 levels", at_depth + b"\x81\x00", "depth"),
        bad("depth-33-empty", "RMF-6", "The 33rd level is empty", at_depth + b"\x80", "depth"),
        bad(
            "depth-10000",
            "RMF-6",
            "10,000 arrays in one another",
            [Pattern(b"\x81", 9999), Pattern(b"\x80", 1)],
            "depth",
        ),
    ]


def _shapes() -> list[dict[str, Any]]:
    cases: list[tuple[str, Any, str]] = [
        ("no-array", 8, "wrong_shape"),
        ("map", {"ping": 7}, "wrong_shape"),
        ("empty-array", [], "wrong_shape"),
        ("code-text", ["ping", 7], "unknown_type"),
        ("code-true", [True, 7], "unknown_type"),
        ("code-float", [8.0, 7], "unknown_type"),
        ("code-negative", [-1], "unknown_type"),
        ("code-next", [max(m.CODES) + 1, 7], "unknown_type"),
        ("code-huge", [2**64 - 1], "unknown_type"),
        ("ping-negative", [8, -1], "wrong_shape"),
        ("ping-2-63", [8, 2**63], "wrong_shape"),
        ("ping-true", [8, True], "wrong_shape"),
        ("ping-nan", [8, float("nan")], "wrong_shape"),
        ("ping-infinite", [8, float("inf")], "wrong_shape"),
        ("hello-array", [0, ["versions", [1, 1]]], "wrong_shape"),
        ("hello-integer-key", [0, {1: 1}], "wrong_shape"),
        ("subscribe-filter-number", [10, 1, [1], {}], "wrong_shape"),
        ("subscribe-filters-text", [10, 1, "#", {}], "wrong_shape"),
        ("get-number", [14, 1, "a", 1], "wrong_shape"),
        ("send-text", [3, "a"], "wrong_shape"),
        ("ack-run-short", [4, [[1, 1, 0, False, 1, 1, 0, None]]], "wrong_shape"),
        ("ack-outcome-3", [4, [[1, 1, 3, False, 1, 1, 0, None, None]]], "wrong_shape"),
        ("snapshot-kind-3", [12, 1, 3, False, 1, 1, 1, b"", True, 0, [], []], "wrong_shape"),
        ("snapshot-removed-3", [12, 1, 1, False, 1, 1, 1, b"", True, 0, [], [["a", "b", "c"]]], ""),
    ]
    return [
        bad(
            f"shape-{name}",
            "RMF-7" if expect != "unknown_type" else "RMF-8",
            name.replace("-", " "),
            cbor2.dumps(value),
            expect or "wrong_shape",
        )
        for name, value, expect in cases
    ]


def _every_message() -> list[dict[str, Any]]:
    """Return, for every message, one with a field too few, one too many, one of a wrong type."""
    entries = []
    seen: set[str] = set()
    for vector in good_entries():
        name = vector["decoded"]["type"]
        if name in seen:
            continue
        seen.add(name)
        fields = cbor2.loads(bytes.fromhex(vector["hex"]))
        left_out = 1 if fields[0] == 12 else 0  # the present tick of a SNAPSHOT
        variants = [("more", [*fields, *[0] * (1 + left_out)])]
        if len(fields) > 1:
            variants.append(("fewer", fields[:-1]))
            variants.append(("typed", [fields[0], 1.5, *fields[2:]]))
        entries += [
            bad(
                f"fields-{variant}-{name}",
                "RMF-7",
                f"{name.upper()}: {_VARIANTS[variant]}",
                cbor2.dumps(value),
                "wrong_shape",
            )
            for variant, value in variants
        ]
    return entries


_VARIANTS = {
    "more": "a field too many",
    "fewer": "the last field is missing",
    "typed": "a float where the first field belongs",
}


def _frames_of_packets() -> list[dict[str, Any]]:
    row = cbor2.dumps(packet(1))
    many = limits.FRAME_PACKETS_MAX + 1
    too_many = [Pattern(b"\x82\x03\x99" + many.to_bytes(2, "big"), 1), Pattern(row, many)]
    no_seq: list[tuple[str, Any]] = [
        ("no-array", "x"),
        ("empty", []),
        ("topic-only", ["a"]),
        ("text", ["a", "1", 0, 1, b"\x00"]),
        ("null", ["a", None, 0, 1, b"\x00"]),
        ("true", ["a", True, 0, 1, b"\x00"]),
        ("float", ["a", 1.0, 0, 1, b"\x00"]),
        ("zero", ["a", 0, 0, 1, b"\x00"]),
        ("negative", ["a", -1, 0, 1, b"\x00"]),
        ("2-63", ["a", 2**63, 0, 1, b"\x00"]),
        ("2-64-less-1", ["a", 2**64 - 1, 0, 1, b"\x00"]),
    ]
    items = limits.FRAME_ITEMS_MAX
    crowded = [Pattern(b"\x82\x03\x81\x99" + items.to_bytes(2, "big"), 1), Pattern(b"\0", items)]
    return [
        bad(
            "too-many-items",
            "RMF-6",
            f"SEND with one packet of {items} fields",
            crowded,
            "too_many_items",
        ),
        bad("send-none", "RMF-9", "SEND without a packet", cbor2.dumps([3, []]), "frame_packets"),
        bad("send-too-many", "RMF-9", f"SEND with {many} packets", too_many, "frame_packets"),
        *[
            bad(f"no-seq-{name}", "RMF-26", f"Seq: {name}", cbor2.dumps([3, [value]]), "no_seq")
            for name, value in no_seq
        ],
        bad(
            "label-simple-value",
            "RMF-6",
            "undefined as a ttl: the profile goes before the label",
            bytes.fromhex("820381" + "85" + "6161" + "01" + "00" + "f7" + "4100"),
            "simple_value",
            said="[3, [[\"a\", 1, 0, undefined, h'00']]]",
        ),
        bad(
            "label-key-type",
            "RMF-6",
            "A map with a key of bytes as a topic: the profile goes before the label",
            bytes.fromhex("820381" + "85" + "a1416100" + "01" + "00" + "01" + "4100"),
            "key_type",
            said="[3, [[{h'61': 0}, 1, 0, 1, h'00']]]",
        ),
    ]


def _labels() -> list[dict[str, Any]]:
    well = ["a", 1, HARVESTED_AT, 5000, b"\x00"]
    cases: list[tuple[str, list[Any]]] = [
        ("fields-2", well[:2]),
        ("fields-4", well[:4]),
        ("fields-7", [*well, 3, 4]),
        ("topic-null", [None, *well[1:]]),
        ("topic-bytes", [b"a", *well[1:]]),
        ("topic-number", [1, *well[1:]]),
        ("topic-empty", ["", *well[1:]]),
        ("topic-plus", ["a/+/b", *well[1:]]),
        ("topic-hash", ["a/#", *well[1:]]),
        ("topic-nul", ["a\x00", *well[1:]]),
        ("topic-newline", ["a\nb", *well[1:]]),
        ("topic-delete", ["a\x7f", *well[1:]]),
        ("topic-1025-bytes", ["é" * 512 + "x", *well[1:]]),
        ("harvested-text", ["a", 1, "now", *well[3:]]),
        ("harvested-float", ["a", 1, 1.764e18, *well[3:]]),
        ("harvested-negative", ["a", 1, -1, *well[3:]]),
        ("harvested-2-63", ["a", 1, 2**63, *well[3:]]),
        ("ttl-zero", [*well[:3], 0, well[4]]),
        ("ttl-negative", [*well[:3], -1, well[4]]),
        ("ttl-null", [*well[:3], None, well[4]]),
        ("ttl-true", [*well[:3], True, well[4]]),
        ("ttl-float", [*well[:3], 5000.0, well[4]]),
        ("ttl-nan", [*well[:3], float("nan"), well[4]]),
        ("ttl-infinite", [*well[:3], float("inf"), well[4]]),
        ("ttl-text", [*well[:3], "5s", well[4]]),
        ("ttl-above-2-41", [*well[:3], limits.TTL_MS_MAX + 1, well[4]]),
        ("ttl-2-64-less-1", [*well[:3], 2**64 - 1, well[4]]),
        ("payload-null", [*well[:4], None]),
        ("payload-text", [*well[:4], "21.5"]),
        ("payload-number", [*well[:4], 21.5]),
        ("payload-map", [*well[:4], {"celsius": 21.5}]),
        ("fence-null", [*well, None]),
        ("fence-negative", [*well, -1]),
        ("fence-text", [*well, "3"]),
        ("fence-2-63", [*well, 2**63]),
    ]
    size = limits.PAYLOAD_BYTES_MAX + 1
    head = cbor2.dumps([3, [["a", 1, HARVESTED_AT, 5000, b""]]])[:-1]
    too_long = [Pattern(head + b"\x5a" + size.to_bytes(4, "big"), 1), Pattern(b"\x00", size)]
    return [
        *[
            bad(
                f"label-{name}",
                "RMF-18",
                name.replace("-", " "),
                cbor2.dumps([3, [row]]),
                "label_invalid",
                "Latched and bagged: it has an outcome like any other packet.",
            )
            for name, row in cases
        ],
        bad(
            "label-second-of-two",
            "RMF-18",
            "The first packet is well, the second is not: only the second is bagged",
            cbor2.dumps([3, [well, ["a", 2, HARVESTED_AT, 0, b"\x00"]]]),
            "label_invalid",
        ),
        bad(
            "payload-too-long",
            "RMF-18",
            f"A payload of {size} bytes",
            too_long,
            "payload_invalid",
        ),
    ]
