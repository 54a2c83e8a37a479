"""Is a line deterministic? One history, run again in other surroundings, one of them changed at a
time; what comes out otherwise is a finding, with its handler, its cause and where to look (R22).

It decides which surroundings there are and what a difference in them means. Running is the matter
of sim_trials.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs

from rmf import limits
from rmf.testing.suspects import CAUSES, Suspect, suspects
from tools.sim_trials import Surroundings, Trials

__all__ = ["Variant", "examine", "variants"]

_DAY_NS = 86_400 * limits.SECOND
_BASE = Surroundings()
_SUSPECTS_SHOWN = 6
_KEYS_SHOWN = 5


@attrs.frozen
class Variant:
    """Surroundings in which history is run again, by name, and what it means if that differs.
    `pieces`: the line begins again several times on the way."""

    name: str
    cause: str
    around: Surroundings
    pieces: bool = False


def variants() -> list[Variant]:
    """Return all of them; those that change nothing come first: what differs there is the process
    itself, and hides whatever else there may be."""
    changed = attrs.evolve
    later_ns = _BASE.wall_ns + 400 * _DAY_NS + 26_011 * limits.SECOND
    return [
        Variant("another process", "process", changed(_BASE, ballast=5_003)),
        Variant("a third process", "process", changed(_BASE, ballast=70_001)),
        *(
            Variant(f"hash seed {seed}", "hash", changed(_BASE, hash_seed=seed))
            for seed in (1, 2, 3, 4242)
        ),
        Variant("another date", "clock", changed(_BASE, wall_ns=later_ns)),
        Variant("another zone and locale", "zone", changed(_BASE, zone="XYZ-5:30", locale="C")),
        Variant("other random numbers", "chance", changed(_BASE, chance=2)),
        Variant("a line that begins again on the way", "state", _BASE, pieces=True),
    ]


def examine(trials: Trials, records: Path, *, count: int, seed: int) -> dict[str, Any]:
    """Make a history of so many packets, and run it again everywhere; return what was found, in
    terms of JSON. Raises LineError."""
    made = trials.history(_BASE, records=str(records), count=count, seed=seed)
    if "fate" in made:
        return {"packets": 0, "deterministic": None, "fates": [made["fate"]], "findings": []}
    todo = variants()
    found: dict[str, _Finding] = {}
    fates = []
    reruns = trials.reruns([(x.around, x.pieces) for x in todo], records=str(records))
    for variant, facts in zip(todo, reruns, strict=True):
        for fact in facts:
            if "fate" in fact:
                fates.append({**fact["fate"], "variant": variant.name})
                continue
            for difference in fact["differences"]:
                name = json.dumps([difference["handler"], difference["kind"]])
                found.setdefault(name, _Finding()).take(variant, difference)
    findings = [x.in_words() for x in found.values()]
    findings.sort(key=lambda x: (x["tick"], x["slot"] or 0))
    clear = not findings and not fates
    runs = [x.name for x in todo]
    return {**made, "deterministic": clear, "runs": runs, "fates": fates, "findings": findings}


class _Finding:
    """Differences of one kind that one handler makes."""

    def __init__(self) -> None:
        self._seen: list[tuple[Variant, dict[str, Any]]] = []

    def take(self, variant: Variant, difference: dict[str, Any]) -> None:
        self._seen.append((variant, difference))

    def in_words(self) -> dict[str, Any]:
        """Return the finding: its causes, its first difference, where to look."""
        causes = list(dict.fromkeys(variant.cause for variant, _ in self._seen))
        if "process" in causes:
            causes = ["process"]
        seen = [(v, x) for v, x in self._seen if v.cause in causes]
        variant, first = min(seen, key=lambda pair: (pair[1]["tick"], pair[1]["slot"] or 0))
        keys = list(dict.fromkeys(x["key"] for _, x in seen if x["key"] is not None))
        packets = {(x["term"], x["tick"], x["slot"]) for _, x in seen}
        return {
            **first,
            "causes": causes,
            "variant": variant.name,
            "why": "; ".join(CAUSES[cause] for cause in causes),
            "keys": keys[:_KEYS_SHOWN],
            "packets": len(packets),
            "suspects": _suspects_of(first["handler"], causes),
        }


def _suspects_of(handler: dict[str, Any] | None, causes: Iterable[str]) -> list[dict[str, Any]]:
    """Return where in the handler's file to look: in the handler itself first, then in others."""
    if handler is None or handler["file"] is None:
        return []
    try:
        source = Path(handler["file"]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return []
    wanted = [x for x in suspects(source) if x.cause in set(causes)]
    name = handler["function"].rpartition(".")[2]
    mine = [x for x in wanted if x.function == name and x.line >= handler["line"]]
    return [_shown(x, handler["file"]) for x in (mine or wanted)[:_SUSPECTS_SHOWN]]


def _shown(suspect: Suspect, file: str) -> dict[str, Any]:
    return {"file": file, "line": suspect.line, "text": suspect.text, "cause": suspect.cause}
