"""Write what is generated in `protocol/`: vectors, sessions, and the tables of its pages.

    python -m tools.rmf_vectors            write
    python -m tools.rmf_vectors --check    write nothing; exit 1 and name what is out of date

The output is the same, byte for byte, wherever and whenever it runs. It is a command for people who
change the protocol, so it works in a checkout, not in an installed copy.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.vectors.bad import bad_entries
from tools.vectors.good import good_entries
from tools.vectors.peers import peer_entries
from tools.vectors.sessions import session_entries
from tools.vectors.streams import stream_entries
from tools.vectors.tables import blocks, peer_blocks, replaced, state_rows

__all__ = ["PROTOCOL", "generated", "main"]

PROTOCOL = Path(__file__).parent.parent / "protocol"


def generated(protocol: Path) -> Iterator[tuple[Path, str]]:
    """Give each generated file of a protocol directory with the text it must hold."""
    vectors = {
        "good": good_entries(),
        "bad": bad_entries(),
        "streams": stream_entries(),
        "sessions": session_entries(),
        "peers": peer_entries(),
    }
    for name, entries in vectors.items():
        yield protocol / "vectors" / f"{name}.json", _json(entries)
    yield protocol / "states.json", _json(state_rows())
    for name, wanted in (("README.md", blocks()), ("PEERS.md", peer_blocks())):
        page = protocol / name
        yield page, replaced(page.read_text(encoding="utf-8"), wanted)


def _json(entries: list[dict[str, Any]]) -> str:
    """Return entries as JSON, one per line: a changed vector is a changed line."""
    ids = [entry["id"] for entry in entries if "id" in entry]
    assert len(set(ids)) == len(ids)
    lines = [json.dumps(entry, ensure_ascii=False, allow_nan=False) for entry in entries]
    return "[\n" + ",\n".join(lines) + "\n]\n"


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="rmf_vectors", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if out of date")
    parser.add_argument("--directory", type=Path, default=PROTOCOL, help="default: %(default)s")
    args = parser.parse_args(argv)
    code = 0
    for path, text in generated(args.directory):
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        if args.check:
            print(f"{path}: out of date: run python -m tools.rmf_vectors", file=sys.stderr)
            code = 1
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"{path}: written")
    return code


if __name__ == "__main__":
    sys.exit(main())
