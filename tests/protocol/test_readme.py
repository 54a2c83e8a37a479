"""The README of the protocol says what the code says, and its client works."""

import re
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import cbor2
import pytest

from rmf import limits
from rmf.core import codec, topics
from rmf.core import messages as m
from rmf.core.bag import REASONS
from rmf.core.faults import FAULTS
from rmf.storage import dlq_query
from tests.protocol.cddl_check import CDDL, assert_conforms
from tests.protocol.test_vectors import BAD, GOOD, SESSIONS, STREAMS
from tools.vectors.tables import blocks, replaced

README = CDDL.with_name("README.md").read_text("utf-8")


def block(name: str) -> str:
    """Return what stands between the marks of a generated block."""
    found = re.search(
        f"<!-- begin generated: {name} -->\n(.*?)\n<!-- end generated: {name} -->",
        README,
        re.DOTALL,
    )
    assert found is not None, name
    return found[1]


def rows(table: str) -> list[list[str]]:
    """Return the cells of a Markdown table, its head left out."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def table_after(heading: str) -> list[list[str]]:
    """Return the first table behind a piece of text."""
    lines = README[README.index(heading) :].splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("|"))
    end = next(i for i in range(first, len(lines)) if not lines[i].startswith("|"))
    return rows("\n".join(lines[first:end]))


def test_the_error_table_is_that_of_the_code() -> None:
    found = {
        code.strip("`"): (closes == "closes", retry == "yes", back_off, meaning)
        for code, closes, retry, back_off, meaning in rows(block("errors"))
    }
    expected = {
        code: (x.closes, x.retry, str(x.back_off_ms) if x.retry else "-", x.meaning)
        for code, x in FAULTS.items()
    }
    assert found == expected


def test_the_limits_are_those_of_the_code() -> None:
    found = {row[0].strip("`"): int(row[1]) for row in rows(block("limits"))}
    assert found == codec.announced_limits()


def test_the_reasons_are_those_of_the_code() -> None:
    assert tuple(row[0].strip("`") for row in rows(block("reasons"))) == REASONS
    quoted = re.search(r"\nreason = (.*?)\n\n", CDDL.read_text("utf-8"), re.DOTALL)
    assert quoted is not None
    assert tuple(re.findall(r'"(\w+)"', quoted[1])) == REASONS


def test_the_outcomes_and_the_profile_are_those_of_the_code() -> None:
    outcomes = table_after("| outcome | name |")
    assert [(int(row[0]), row[1]) for row in outcomes] == list(enumerate(m.OUTCOMES))
    codes = list(FAULTS)
    profile = codes[codes.index("not_well_formed") : codes.index("utf8") + 1]
    assert sorted(row[1].strip("`") for row in table_after("| rule | fault |")) == sorted(profile)


def test_the_subjects_of_query_are_those_of_the_code() -> None:
    subjects = [row[0].strip("`") for row in table_after("| subject | arguments |")]
    assert subjects == ["status", "line.would", "backup", *dlq_query.SUBJECTS]


def test_the_registry_names_every_message_in_the_order_of_its_code() -> None:
    assigned = table_after("| message codes | use |")[0]
    names = [kind.__name__.upper() for _, kind in sorted(m.CODES.items())]
    assert assigned[0] == f"0 to {len(names) - 1}"
    assert assigned[1].removeprefix("assigned: ").split() == names


def test_the_layouts_in_the_text_have_the_fields_of_the_messages() -> None:
    layouts = re.findall(r"([A-Z]+)\s+`\[(\d+)((?:, \w+)*)\]`", README)
    assert len(layouts) >= 15
    for name, code, fields in layouts:
        kind = m.CODES[int(code)]
        expected = ["index" if x == "entry_index" else x for x in kind._fields]
        assert (name, fields.split(", ")[1:]) == (
            kind.__name__.upper(),
            [x.removesuffix("_ms") for x in expected],
        )


def test_every_requirement_cited_by_a_vector_is_stated_and_numbers_have_no_holes() -> None:
    stated = [int(x) for x in re.findall(r"^- \*\*RMF-(\d+)\*\*", README, re.MULTILINE)]
    assert stated == list(range(1, len(stated) + 1))
    cited = {vector["req"] for vector in [*GOOD, *BAD, *STREAMS, *SESSIONS]}
    assert cited <= {f"RMF-{number}" for number in stated}


def test_every_code_that_the_text_names_exists() -> None:
    tables = rows(block("fixed")) + table_after("| violation of the framing")
    tables += table_after("| code | when | the client |")
    known = {*FAULTS, *REASONS, *codec.announced_limits(), *m.Refuse._fields}
    named = {code for row in tables for code in re.findall(r"`([a-z0-9_]+)`", " ".join(row))}
    assert named - known == set()


def test_the_examples_of_filters_are_true() -> None:
    matches = topics.matcher("a/#")
    assert [matches(key) for key in ("a", "a/b", "a/b/c", "ab")] == [True, True, True, False]


def test_a_readme_without_the_marks_of_a_block_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one block 'limits'"):
        replaced(README.replace("<!-- end generated: limits -->", ""), blocks())


# --- The client of section 1 --------------------------------------------------------------------

CLIENT = re.findall(r"```python\n(.*?)```", README, re.DOTALL)[0]
PRODUCE = next(x for x in SESSIONS if x["id"] == "session-produce")


def test_the_client_has_forty_lines() -> None:
    lines = [line for line in CLIENT.splitlines() if line.strip()]
    assert len(lines) <= 40
    compile(CLIENT, "client.py", "exec")


def play(listener: socket.socket, heard: list[bytes]) -> None:
    """Be the node of the session: read what the script's client sends, answer as it says."""
    peer, _ = listener.accept()
    with peer, peer.makefile("rb") as stream:
        for step in PRODUCE["decoded"]:
            data = bytes.fromhex(step["hex"])
            if step["from"] == "node":
                peer.sendall(data)
            elif data == codec.PREFACE:
                heard.append(stream.read(len(data)))
            else:
                head = stream.read(4)
                heard.append(head + stream.read(int.from_bytes(head, "big")))


def test_the_client_speaks_the_session_byte_for_byte(tmp_path: Path) -> None:
    client = tmp_path / "client.py"
    client.write_text(CLIENT, encoding="utf-8")
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        node = threading.Thread(target=play, args=(listener, heard))
        node.start()
        port = str(listener.getsockname()[1])
        done = subprocess.run(
            [sys.executable, client, "127.0.0.1", port],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        node.join()
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "seq 1: applied in tick 1841 ",
        "greenhouse/3/temp 21.5 good until tick 51841",
    ]
    steps = [x for x in PRODUCE["decoded"] if x["from"] == "client"]
    expected = [bytes.fromhex(step["hex"]) for step in steps]
    assert [without_clock(x) for x in heard] == [without_clock(x) for x in expected]


def without_clock(data: bytes) -> Any:
    """Return what a step says, but for `harvested_at`; the frame must conform."""
    if data == codec.PREFACE:
        return data
    assert_conforms(data[4:])
    message = cbor2.loads(data[4:])
    if message[0] == 3:
        message[1][0][2] = None
    return cbor2.dumps(message)


def test_the_bounds_that_the_text_tells_in_words_are_those_of_the_code() -> None:
    first_ms, growth = limits.RECONNECT_S_MIN * 1000, limits.RECONNECT_GROWTH
    assert f"min({limits.RECONNECT_S_MAX:g} s, {first_ms:g} ms" in README
    assert f" {growth}^n)" in README
    assert f"not waited for longer than {limits.ATTEMPT_S_MIN:g} s while" in README
    assert f"a connection that lasted for {limits.SETTLED_S:g} s" in README
    assert f"| {limits.HANDSHAKE_S_MAX:g} s since accept |" in README
    assert f"each {limits.PING_S:g} s (a quarter of `idle_ms`)" in README
    assert limits.PING_S * 4 == limits.IDLE_S_MAX
    assert f"no PONG within {limits.GET_S_MAX:g} s" in README
    owed = f"PING after {limits.OWED_PING_S:g} s of silence and go elsewhere after"
    assert f"{owed} {limits.OWED_SILENCE_S_MAX:g} s" in README
    assert f"| `rate_hz` | number > 0 | {limits.RATE_HZ_DEFAULT:g} |" in README
    assert f"at most {limits.FRAME_DEPTH_MAX} arrays and maps" in README
    assert f"silent for {limits.PRODUCER_IDLE_S_MAX // 86400} days" in README
    assert f"a table\nof {limits.PRODUCERS_MAX:,} names" in README
