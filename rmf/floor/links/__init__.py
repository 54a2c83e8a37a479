"""The other nodes: links to them, their connections here, and how a node comes to a cluster.

PEER_PORT accepts, PEER_CONNECTION is one peer that called; PEERING keeps one PEER_LINK per member
and says who is let in; FOUNDING asks for admission; LETTER_FETCH gets letters that another node
has.
"""
