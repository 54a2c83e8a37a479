"""The client: what programs and tools see of a factory (R32 to R37, R41).

It knows the wire (core), and neither the floor nor the disk. What decides is without I/O; a trio
client performs it for programs, a blocking one for tools that answer before trio is imported. To
read in order:

    connection, route             one connection; where to connect next, and after which wait
    values, picture, producer     what users hold; a subscriber's picture; exactly once, sending
    speaker, link, nursery        a line to the factory over as many connections as it takes (trio)
    producing, asking, watching   what runs over a Link: packets, questions, a subscription
    factory                       all of it for a user: `rmf.connect`
    command, blocking             what the tools share; their one socket
    dlq, letters, render          a DLQ from afar; letters and foreign values as text and JSON
"""
