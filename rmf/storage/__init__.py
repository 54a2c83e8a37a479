"""Files and fsync: the ledger, Checkpoints, the archive, the DLQ (R23 to R26, R38, R39).

Blocking calls, made from keepers' threads and from tools; nothing here knows trio. Whatever is read
is verified, whatever is written is durable when the call returns, and a disk that failed once is
never written again by the same writer (R17).

    directory                     one owner a directory; genesis; what tools may look at
    files, framing, records       bytes on a disk, frames with a checksum, records in a chain
    segments, ledger              where records are written
    scan, cursor                  how they are read: all at start, or behind a living writer
    checkpoint, archive, restore  a state at one Entry; history behind it; a state again
    dlq_schema, dlq_store         letters go in
    dlq_reader, dlq_query         letters come out
"""
