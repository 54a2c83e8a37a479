"""Everything that decides: plain synchronous Python over values (R12).

Time, randomness and bytes come in as arguments; what is wanted of the outside goes out as effects.
Nothing here imports trio, socket, time, random, os, threading or logging, and nothing here knows
the packages `floor`, `storage`, `line`, `client` or `tools`. The same core runs under trio in
production and on an event heap in a simulator.

To read in order:

    packet, faults, cbor_heads, profile         what is on the wire: bytes, heads, the profile
    own_cbor                                    CBOR that RMF wrote itself
    messages, codec, send_frames                what that means, and back
    transitions, client_hello, subscribing      what may be said when, as protocol/ publishes it
    server_session                              a client's connection, from bytes to events
    topics, world, shelf, producers, bag        the replicated state, piece by piece
    clock, entry, state                         a Tick, written down and applied
    events, effects, arbiter, raft/             who decides, from what, with which outcome
    petitions, latch, reign, commit             a packet's way through the Arbiter
    leadership_lifecycle, shutdown, transfer    who reigns, from when to when
    requests, admission, answers, publishing    what is asked, refused, answered and shown
    feed, selector, filter_tree                 what changed, and whose filters that concerns
    delta, selection, page                      who gets to see it: in pages, made in steps
"""
