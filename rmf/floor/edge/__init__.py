"""A client's connection: its port, its bytes in and out (protocol/README.md).

INGEST accepts; CONNECTION is one client's task, made of `receiving`, `outbox` and `intake_end`,
which hands its packets to the arbiter; what may be said when, core/server_session knows. `acceptor`
serves the other ports too.
"""
