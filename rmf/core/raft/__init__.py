"""Consensus: who reigns, and which Entries are committed (R28).

Raft as in Ongaro's dissertation ("Consensus: Bridging Theory and Practice", 2014). `node` is the
way in and says which module decides what; `messages` is all that nodes say to each other. Pure:
Events, a time and dice go in, Effects come out (R12). Where it departs from the dissertation, and
why (each line is held by a test in tests/core/raft):

Durability
- Nothing waits for the disk but what depends on it. Votes, and answers to appends, refusals too,
  leave once everything written before them is durable (R13); an answer to a heartbeat depends on
  the term alone, so a slow disk puts no node out of touch. Asking for votes waits for the own vote.
- The leader sends appends beside its own fsync and counts its own disk as one voter's, no more.
- A node applies what is committed *and* on its own disk (R2), and every record on the disk states
  what was known to be committed before it: a restart applies that much without asking any peer.
- An Entry carries a CRC32C end to end, and a `chain` over all that lies before it. Appends match by
  (index, term, chain). The same index and term with another chain or checksum, or another term at
  or below the commit index, is no conflict but damage (`Diverged`): the follower answers nothing,
  sets its ledger aside and repairs itself.
- Repair (`whole` False, R24). A node that lost its ledger kept its term and vote, and may have
  promised more than it remembers. It neither votes nor stands for election, and neither its disk
  nor its contact confirms a commit or a read, until its log is verified and durable up to the last
  Entry that its leader had when it first spoke to it in this term. By then it has every Entry that
  it ever helped to commit, for any later leader has them. It does count as contact: a leader alone
  with such a node has to go on feeding it.

Elections
- Pre-vote (§9.6) always; it changes nothing at the voter. A granted one carries the asked term, a
  refused one the voter's own, so that a laggard learns it.
- A voter that heard a leader within the least election timeout gives no vote (§4.2.3): a pre-vote
  is answered no, so that the candidate need not wait; a vote is not even answered, nor is its term
  taken over. The flag `transfer` overrules that.
- Check-quorum (§6.2): a leader that no majority answered steps down. Contact counts from the time
  at which the answered round was *begun*, so a paused process trusts nothing that came late.
- A leader whose own fsync hangs for an election timeout steps down, and does not stand (R17).
- When the link to the leader breaks, its followers do not wait for the timeout. They stand up one
  after another, in the order of their names, so that a dead process costs tens of milliseconds and
  no split vote. Only a hint: where the leader is still heard, the pre-vote fails.
- A node may be asked to yield (R21: its line is older than the reign's). Its timeouts are then one
  whole election timeout longer, and after a broken link it stands up that much later, so that
  any other that can win has won; it votes as ever, and stands at once for a transfer. A leader that
  chooses a successor passes such nodes over while another keeps up.
- A lone voter elects itself without a pre-vote and never steps down for want of contact.

Replication
- Heartbeats are messages of their own, apart from appends: small, never behind a window, with a
  commit index capped by what the peer is known to have. They number rounds of contact.
- Per peer: probe, replicate (pipelined), install; what memory no longer holds is read from the
  ledger meanwhile. What is on its way is bounded by time: as much as is through within a patience,
  by the throughput that was measured (see `flow`). A broken link begins again with a probe, from
  what is known to match, and with half as many Entries: what could not get through is not sent
  again unchanged. The answer to a heartbeat makes the leader ask, with an empty append, whether
  what it sent has come.
- A heartbeat may overtake appends, and its answer the answers to them. Nothing rests on that order:
  its commit index is capped by what the peer has on its disk, a round proves contact whatever else
  is on its way, and a probe is repeated by time, not because a heartbeat was answered before it.
- A rejected append names the last place that may match, by index and term, and the leader compares
  that with its own log: a probe a term. Where the leader's log is compacted it leaves out twice as
  many Entries each time.
- When nothing else is sent, a commit is sent to the followers within COMMIT_NOTICE_NS.
- The first Entry of a reign is the Arbiter's ACCESSION; it is Raft's no-op (§6.4).
- Checkpoints are sent piece by piece, as the receiver asks for them (§5 sends them in order), none
  twice while it may be under way; what is being sent stays until the peer has it (R25): it
  goes on where it was after a new leader, a lost piece or a restart. One whose Entry the receiver
  holds is not needed, and commits it. One that is complete and verified replaces the ledger, and
  with it this core (`Reload`).

Membership
- Single-server changes (§4), from the Entry's append on, back with it when it is truncated. No
  joint consensus: majorities of successive configurations intersect. Only after an Entry of the own
  term is committed (the bug of 2015 in §4), and one at a time.
- New nodes are learners first. A voter is a name *and* an incarnation: a wiped node is another
  voter, comes in as a learner, and its old progress is forgotten.
- A removed leader tells the others that its removal is committed before it steps down.

Reads and transfer
- Linearizable reads by read-index (§6.4), never by lease. One round of contact serves all reads
  that wait for it; rounds are never used twice within a term.
- Transfer (§3.10): proposals stop, the successor is caught up, told once, and has an election
  timeout; then the leader goes on.
"""
