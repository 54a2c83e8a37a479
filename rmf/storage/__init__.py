"""Files and fsync: the ledger, Checkpoints, the archive, the DLQ (R23 to R26, R38, R39).

Blocking calls, made from keepers' threads and from tools; nothing here knows trio. Whatever is read
is verified, whatever is written is durable when the call returns, and a disk that failed once is
never written again by the same writer (R17).

    directory                     one owner a directory; genesis; what tools may look at
    files, framing, records       bytes on a disk, frames with a checksum, records in a chain
    segments, ledger, hard_state  where records are written, and the vote once more
    fence                         who may write, of the threads of one process
    scan, cursor, entries         how they are read: all at start, behind a living writer, for peers
    checkpoint, checkpoint_layout a state at one Entry, and how it lies in its file
    archive, restore              history behind it; a state again
    chunks, install               a Checkpoint goes to a peer, or comes from the leader
    exchange, repair              another ledger takes the place of this one, whole or not at all
    dlq_schema, dlq_store         letters go in
    dlq_reader, dlq_query         letters come out
"""
