"""Questions about the DLQ and their answers, as QUERY and ITEM carry them (R41).

It decides which arguments each subject takes and how a letter looks in a body; the node and the
offline tool both ask here, so that both show the same. It knows the reader, not the connection.

    subject       arguments                                           bodies
    dlq.stats     none                                                letters groups bytes complete
    dlq.groups    after (a group), limit                              groups, by name
    dlq.list      reason group producer topic state since until       letters, by row
                  after before newest_first limit
    dlq.count     the same, without a limit                           letters
    dlq.show      letter (its id)                                     one letter, or none
    dlq.tail      after (a row), reason group producer topic limit    letters behind that row
    dlq.acts      letter job entry after (a row) limit                acts of triage, by row

A body is a map with text keys; bytes stay bytes. Every letter has its `row` in this node's file:
the cursor for `after` and `before`. A limit above DLQ_PAGE_LETTERS gives DLQ_PAGE_LETTERS; who
wants more asks again from the last row on, until nothing comes.
"""

from collections.abc import Callable, Iterator
from typing import Any

from rmf import limits
from rmf.core.packet import kind_of
from rmf.errors import ProtocolFault
from rmf.storage.dlq_reader import DlqReader, LetterGroup, StoredLetter

__all__ = ["SUBJECTS", "answer"]

Args = dict[str, Any]
Bodies = Iterator[dict[str, Any]]


def answer(reader: DlqReader, subject: str, args: Args) -> Bodies:
    """Give the bodies that answer a question; letters are read one by one while they are taken.

    Raises ProtocolFault `unknown_query` or `wrong_shape` at once, StorageError also later.
    """
    found = _SUBJECTS.get(subject)
    if found is None:
        raise ProtocolFault(
            "unknown_query", f"{_short(subject)}: expected one of {', '.join(SUBJECTS)}"
        )
    allowed, required, give = found
    _check(subject, args, allowed, required)
    return give(reader, args)


def _stats(reader: DlqReader, _args: Args) -> Bodies:
    yield dict(reader.stats()._asdict())


def _groups(reader: DlqReader, args: Args) -> Bodies:
    for group in reader.groups(after=args.get("after", ""), limit=_limit(args)):
        yield _group_body(group)


def _list(reader: DlqReader, args: Args) -> Bodies:
    return map(_letter_body, reader.letters(**{**args, "limit": _limit(args)}))


def _number(reader: DlqReader, args: Args) -> Bodies:
    yield {"letters": reader.count(**args)}


def _acts(reader: DlqReader, args: Args) -> Bodies:
    limit = min(args.get("limit", limits.DLQ_PAGE_ACTS), limits.DLQ_PAGE_ACTS)
    for stored in reader.acts(**{**args, "limit": limit}):
        body = stored.act._asdict()
        yield {"row": stored.row, "matched": stored.matched, **body, "letters": [*body["letters"]]}


def _show(reader: DlqReader, args: Args) -> Bodies:
    found = reader.show(args["letter"])
    if found is not None:
        yield _letter_body(found)


def _limit(args: Args) -> int:
    asked: int = args.get("limit", limits.DLQ_PAGE_LETTERS)
    return min(asked, limits.DLQ_PAGE_LETTERS)


def _group_body(group: LetterGroup) -> dict[str, Any]:
    return {
        "group": group.group,
        "count": group.letters,
        "first_seen": group.first_seen,
        "last_seen": group.last_seen,
        "reason": group.reason,
        "stage": group.stage,
        "error": {"type": group.error_type, "message": group.message},
        "state": group.state,
        "open": group.open,
    }


def _letter_body(stored: StoredLetter) -> dict[str, Any]:
    fields = stored.letter._asdict()
    fields["error"] = dict(stored.letter.error._asdict())
    fields["reads"] = [list(read) for read in fields["error"].pop("reads")]
    letter_id = fields.pop("id")
    place = {"row": stored.row, "letter": letter_id, "group": stored.group}
    return {**place, **fields, "triage": stored.triage}


def _text(value: object) -> str | None:
    return None if type(value) is str else f"expected text, found {kind_of(value)}"


def _flag(value: object) -> str | None:
    return None if type(value) is bool else f"expected a boolean, found {kind_of(value)}"


def _row(value: object) -> str | None:
    return _natural(value, 0)


def _count(value: object) -> str | None:
    return _natural(value, 1)


def _natural(value: object, low: int) -> str | None:
    if type(value) is not int:
        return f"expected an integer, found {kind_of(value)}"
    return None if low <= value < 2**63 else f"expected {low} to 2^63-1"


_Check = Callable[[object], str | None]
_FILTERS: dict[str, _Check] = {
    "reason": _text,
    "group": _text,
    "producer": _text,
    "topic": _text,
    "state": _text,
    "since": _row,
    "until": _row,
}
_WALK: dict[str, _Check] = {
    **_FILTERS,
    "after": _row,
    "before": _row,
    "newest_first": _flag,
    "limit": _count,
}
_ACTS: dict[str, _Check] = {
    "letter": _text,
    "job": _text,
    "entry": _count,
    "after": _row,
    "limit": _count,
}
_Subject = tuple[dict[str, _Check], tuple[str, ...], Callable[[DlqReader, Args], Bodies]]
_SUBJECTS: dict[str, _Subject] = {
    "dlq.stats": ({}, (), _stats),
    "dlq.groups": ({"after": _text, "limit": _count}, (), _groups),
    "dlq.list": (_WALK, (), _list),
    "dlq.count": ({**_FILTERS, "after": _row, "before": _row}, (), _number),
    "dlq.acts": (_ACTS, (), _acts),
    "dlq.show": ({"letter": _text}, ("letter",), _show),
    "dlq.tail": ({**_FILTERS, "after": _row, "limit": _count}, ("after",), _list),
}
SUBJECTS = tuple(_SUBJECTS)


def _check(subject: str, args: Args, allowed: dict[str, _Check], required: tuple[str, ...]) -> None:
    for name, value in args.items():
        check = allowed.get(name)
        if check is None:
            takes = ", ".join(allowed) or "no argument"
            raise ProtocolFault("wrong_shape", f"{subject}: takes {takes}, found {_short(name)}")
        fault = check(value)
        if fault is not None:
            raise ProtocolFault("wrong_shape", f"{subject}: {name}: {fault}")
    for name in required:
        if name not in args:
            raise ProtocolFault("wrong_shape", f"{subject}: {name} is missing")


def _short(text: str) -> str:
    most = limits.TEXT_CHARACTERS_SHOWN_MAX
    return repr(text if len(text) <= most else text[:most] + "…")
