"""Messages, Entries and effects of consensus in words, for transcripts that people read."""

from collections.abc import Iterable

import cbor2

from rmf.core.effects import (
    Effect,
    LinkPeers,
    MarkWhole,
    Note,
    Persist,
    ReadChunk,
    ReadEntries,
    RecordDraft,
    Reload,
    Tell,
    WriteChunk,
)
from rmf.core.entry import Accession, Member, Members, decode_entry
from rmf.core.raft import peer_messages as m
from rmf.core.raft.raft_node import Raft
from rmf.core.record import HARD


def of_message(message: m.PeerMessage) -> str:
    return f"{type(message).__name__} t{message.term} {_fields(message)}".rstrip()


def _fields(message: m.PeerMessage) -> str:
    match message:
        case m.VoteAsk(_, index, term, pre, transfer):
            how = ("pre " if pre else "") + ("transfer " if transfer else "")
            return f"{how}log {index}@{term}"
        case m.VoteReply(_, pre, granted):
            return f"{'pre ' if pre else ''}{'yes' if granted else 'no'}"
        case m.Append():
            return _append(message)
        case m.AppendReply(_, accepted, index, hint, hint_term, _, whole, compared):
            lost = "" if whole else ", repairing"
            if accepted and compared < index:
                return f"ok {compared}, committed to {index}{lost}"
            if accepted:
                return f"ok {index}{lost}"
            if compared == m.INDEX_MAX:
                return f"never: {hint}@{hint_term} is committed here"
            return f"no {index}, perhaps {hint}@{hint_term}{lost}"
        case m.Heartbeat(_, commit, _, _, _, number, _, _):
            return f"round {number} commit {commit}"
        case m.HeartbeatReply(_, number, whole):
            return f"round {number}{'' if whole else ', repairing'}"
        case m.Chunk(_, index, term, _, _, total, offset, data):
            return f"of {index}@{term} bytes {offset}+{len(data)}/{total}"
        case m.ChunkReply(_, index, _, offset, wanted):
            return f"of {index} {f'next {offset}' if wanted else 'not wanted'}"
        case _:
            return ""


def _append(append: m.Append) -> str:
    first = append.prev_index + 1
    sent = [of_entry(i, x.term, x.body) for i, x in enumerate(append.entries, start=first)]
    entries = " ".join(_shortened(sent)) or "nothing"
    return f"behind {append.prev_index}@{append.prev_term}: {entries} commit {append.commit}"


def _shortened(items: list[str]) -> list[str]:
    return items if len(items) <= 6 else [*items[:2], f"..{len(items) - 4}..", *items[-2:]]


def of_entry(index: int, term: int, body: bytes) -> str:
    books = decode_entry(body).books
    if isinstance(books, Members):
        return f"{index}@{term}[{of_members(books.members)}]"
    assert isinstance(books, Accession)
    generic = books.node == f"{index}@{term}"
    return f"{index}@{term}" if generic else f"{index}@{term}({books.node})"


def of_members(members: Iterable[Member]) -> str:
    return " ".join(x.name + ("" if x.voter else "?") for x in members)


def of_records(records: Iterable[RecordDraft]) -> str:
    return ", ".join(_shortened([_record(x) for x in records]))


def _record(record: RecordDraft) -> str:
    if record.kind != HARD:
        return of_entry(record.index, record.term, record.body)
    term, voted_for = cbor2.loads(record.body)
    return f"t{term} vote {voted_for or '-'}"


def of_effect(effect: Effect) -> str:
    match effect:
        case Persist(ticket, records):
            return f"writes #{ticket}: {of_records(records)}"
        case Tell(peer, message):
            return f"-> {peer} {of_message(message)}"
        case LinkPeers(members):
            return f"links to {of_members(members) or 'nobody'}"
        case ReadEntries(peer, after, through):
            return f"reads Entries behind {after} up to {through} for {peer}"
        case ReadChunk(peer, content, offset):
            which = "the newest Checkpoint" if content is None else "that Checkpoint"
            return f"reads {which} from {offset} for {peer}"
        case WriteChunk(_, chunk):
            return f"writes a piece: {_fields(chunk)}"
        case Reload(reason, why):
            return f"reloads ({reason}): {why}"
        case Note(_, event, fields):
            return f"notes {event} {fields}"
        case MarkWhole(whole):
            return "is repaired" if whole else "is to be repaired"
        case _:
            return repr(effect)


def of_core(raft: Raft) -> str:
    log = raft.log
    told = f"{raft.role} t{raft.term} log ..{log.last.index}@{log.last.term} commit {log.commit}"
    if log.durable < log.last.index:
        told += f", on disk ..{log.durable}"
    return told if raft.whole else f"{told}, repairing"
