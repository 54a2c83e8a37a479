"""The answer to a message of an older term: it names the newer one (raft-cases 8)."""

from rmf.core.raft import messages as pm

__all__ = ["answer_to_older"]


def answer_to_older(message: pm.PeerMessage, term: int, *, whole: bool) -> pm.PeerMessage | None:
    """Return the answer to a message of an older term, None where no node would learn by it."""
    match message:
        case pm.Append():
            return pm.AppendReply(term, False, message.prev_index, 0, 0, 0, whole, 0)
        case pm.Heartbeat():
            return pm.HeartbeatReply(term, 0, whole)
        case pm.Chunk():
            return pm.ChunkReply(term, message.index, message.content, 0, True, 0)
        case pm.VoteAsk():
            return pm.VoteReply(term, message.pre, False, 0, False, 0)
        case pm.ReadAsk():
            return pm.ReadReply(term, message.request, -1)
        case _:
            return None
