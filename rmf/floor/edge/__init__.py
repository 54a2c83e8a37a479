"""A client's connection: its port, its first words, its bytes in and out (protocol/README.md).

INGEST accepts; CONNECTION is one client's task, made of `handshake`, `receiving`, `outbox` and
`intake_end`, which hands its packets to the arbiter. `acceptor` serves the other ports too.
"""
