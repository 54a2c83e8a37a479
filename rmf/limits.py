"""Every bound of RMF: its unit, its reason, and how it fits the others (R43).

This page may know numbers and nothing else: no module of RMF is imported here. Whatever
queues, counts, buffers or waits takes its bound from here, and says beside its use what happens
when the bound is reached. The asserts at the end hold the sizes together: a limit that no longer
fits its neighbours stops the import, not a running node.
"""

KIB = 1024
MIB = 1024 * KIB
MS = 1_000_000  # ns
SECOND = 1000 * MS

# --- What a packet may hold (announced in WELCOME; beyond: bag, reason `label_invalid`
# or `payload_invalid`) ----------------------------------------------------------------
PAYLOAD_BYTES_MAX = 896 * KIB  # leaves room for the label inside one client frame
TOPIC_BYTES_MAX = 1 * KIB  # a topic is the key of its cell with the line `board`
PRODUCER_NAME_BYTES_MAX = 255  # MQTT client ids: at least 23; Kafka client ids: 249
TTL_MS_MAX = 2**41  # 69 years: what is later than that is `Keep`, not a shelf life
SEQ_MAX = 2**63 - 1
HARVESTED_AT_MAX = 2**63 - 1  # ns since 1970: the year 2262

# --- Frames of the client protocol (beyond: error `frame_too_long`, the connection closes) ---
FRAME_BYTES_MAX = 1 * MIB  # client to node; NATS has the same default
FRAME_BEFORE_HELLO_BYTES_MAX = 4 * KIB  # nobody unknown makes a node buffer more
SERVER_FRAME_BYTES_MAX = 2 * MIB  # node to client: a letter holds a whole client frame
FRAME_PACKETS_MAX = 4096  # a frame is latched whole, so at most a Tick's worth
FRAME_ITEMS_MAX = 40_000  # CBOR items in a frame: FRAME_PACKETS_MAX packets with fences, and more
FRAME_DEPTH_MAX = 32  # R42; fxamacker/cbor has the same default
DECODE_BIG_FRAME_BYTES = 64 * KIB  # above: the task yields before it decodes (R42)

# --- Connections ---
CONNECTIONS_MAX = 1024  # beyond: error `too_many_connections`, closed
CONNECTIONS_BEFORE_HELLO_MAX = 64  # beyond: closed at once
HANDSHAKE_S_MAX = 5.0  # preface and HELLO: absolute, from accept
FRAME_S_MAX = 10.0  # one frame from first byte to last: absolute; beyond: `frame_timeout`
ACCEPT_RETRY_S = 0.1  # without file descriptors left: how long until the next accept
IDLE_S_MAX = 60.0  # nothing at all from a client: `idle_timeout`; a ping counts
PING_S = 15.0  # how often clients ping: four in one idle time
SEND_S_MAX = 30.0  # one write to a client that does not read; beyond: the connection is cut
ANSWERS_MAX = 256  # lists of answers a client has not read: capacity of the answers door; cut
RECEIVE_BYTES = 64 * KIB  # one read from a socket

# --- Flow of packets ---
INGEST_DEPTH_PACKETS = 65_536  # `--ingest-depth`: the ingest queue; full: the edge waits (R16)
INGEST_QUEUE_BYTES_MAX = 32 * MIB  # the same queue, in bytes of frames
INTAKE_FRAMES = 64  # capacity of the intake door, in frames
BEAT_S = 0.1  # how late an idle Arbiter may notice that something is due
EVENTS_MAX = 4096  # capacity of the events door
PRODUCER_FRAMES_IN_FLIGHT = 64  # announced; what is unacked beyond it may be answered `unknown`
OUTCOME_RUNS_KEPT = 256  # per producer in the table: in-flight frames, each cut into 4 Ticks
PRODUCERS_MAX = 10_000  # in the table; beyond: the idlest leaves by an Entry (R33)
PRODUCER_IDLE_S_MAX = 7 * 24 * 3600  # then it leaves the table by an Entry (R33)
PRODUCER_IDLE_CHECK_S = 60  # how often the table is looked through for them

# --- The Tick (reached: the Tick closes, the rest waits for the next) ---
TICK_PERIOD_NS = 100_000  # `--tick`: a constant of the cluster (R6)
TICK_PERIOD_NS_MIN = 10_000
TICK_PERIOD_NS_MAX = 10 * SECOND
TICK_LEAD_NS_MAX = 50 * MS  # how far the counter may lead the clock (R6)
TICK_PACKETS_MAX = 4096
TICK_BYTES_MAX = 1 * MIB  # bytes of frames
TICK_EXPIRIES_MAX = 10_000
ENTRY_BYTES_MAX = 8 * MIB
ENTRIES_IN_FLIGHT = 4  # proposed, not yet committed; reached: the Arbiter waits (R4)

# --- The World ---
KEY_BYTES_MAX = 1 * KIB
VALUE_BYTES_MAX = 896 * KIB
VALUE_DEPTH_MAX = 32
CHANGES_PER_PACKET_BYTES_MAX = 1 * MIB  # beyond: bag, reason `result_invalid`
HANDLER_CACHE_TOPICS = 65_536  # topic -> handler; full: forgotten and built again

# --- Subscribers ---
SUBSCRIPTIONS_PER_CONNECTION_MAX = 16
FILTERS_PER_SUBSCRIPTION_MAX = 64
RATE_HZ_DEFAULT = 30.0
RATE_HZ_MAX = 1000.0
KEEPALIVE_S = 1.0  # a picture that does not change is dated again this often (R36)
SNAPSHOT_CHUNK_BYTES = 256 * KIB  # a chunk is closed once it holds this much
CHANGED_TICKS_KEPT = 4096  # ring for deltas; fallen out of it: a full Snapshot next (R35)
CHANGED_KEYS_KEPT = 200_000  # the same ring, in keys
EVERY_TICK_BATCH_ENTRIES = 256  # read from the ledger for one every-tick subscriber at a time
SCAN_SLICE_KEYS = 2000  # keys looked at before the publisher lets others run

# --- The ledger ---
LEDGER_FIRST_SEGMENT_BYTES = 4 * MIB  # zero-filled inline: a new node is ready at once
LEDGER_SEGMENT_BYTES = 64 * MIB  # zero-filled ahead by a thread of its own
RECORD_BYTES_MAX = ENTRY_BYTES_MAX + 64 * KIB
LEDGER_QUEUE_MAX = 64  # Persist effects under way; reached: the core has stopped latching
SEAL_IDLE_S = 0.05  # an idle keeper seals what it wrote (R23)
CHECKPOINT_LEDGER_BYTES = 256 * MIB  # ledger behind the last Checkpoint that asks for another
CHECKPOINT_SLICE_CELLS = 500  # encoded before the writer lets others run
CHECKPOINTS_KEPT = 2  # the newest, and the one before it should that one be damaged
ARCHIVE_BYTES_MAX = 1024 * MIB  # replayable history kept behind the Checkpoint; then deleted

# --- Disk watermarks (R38) ---
DISK_SOFT_FREE_BYTES = 256 * MIB  # less free: archives are shed, a warning is logged
DISK_HARD_FREE_BYTES = 16 * MIB  # less free: `busy` to packets; ends above twice this
DISK_RESERVE_BYTES = 2 * MIB  # a file given back when the hard mark is reached
DISK_WATCH_S = 1.0
DISK_WATCH_CLOSELY_S = 0.1  # below the soft mark: a fast producer fills 3 MiB in that time

# --- The DLQ ---
LETTERS_IN_FLIGHT_MAX = 8192  # letters handed to the DLQ keeper, unstored; reached: no latch
LETTERS_DOOR = 1024  # capacity of the DLQ door, in batches
EVIDENCE_TEXT_BYTES_MAX = 4 * KIB  # exception message
EVIDENCE_TRACEBACK_BYTES_MAX = 32 * KIB
EVIDENCE_GROUP_LEAVES_MAX = 8  # of an exception group
STRANGERS_RING = 256  # faults of peers that never said HELLO: counted, last ones kept (R39)
DLQ_PAGE_LETTERS = 256  # read from the store at a time

# --- Supervision (R15): restarts within a period; spent: strike `state` ---
EDGE_RESTARTS_MAX = 10
EDGE_RESTARTS_PERIOD_S = 10.0
ARBITER_RESTARTS_MAX = 3
ARBITER_RESTARTS_PERIOD_S = 10.0
RESTART_DELAY_S = 0.02
ACCESSION_S_MAX = 1.0  # how long a start waits for the reign before it opens the port all the same
GOODBYE_S_MAX = 1.0  # for clients to read their last answers when the node stops
STOP_S_MAX = 10.0  # grace of a graceful stop (R18); beyond: exit 1

# --- Clients ---
CONNECT_S_MAX = 5.0
RECONNECT_S_MIN = 0.05  # doubled with jitter at each attempt
RECONNECT_S_MAX = 2.0
GET_S_MAX = 10.0

assert TOPIC_BYTES_MAX <= KEY_BYTES_MAX
assert PAYLOAD_BYTES_MAX + TOPIC_BYTES_MAX + 4 * KIB <= FRAME_BYTES_MAX
assert VALUE_BYTES_MAX + KEY_BYTES_MAX + 1 * KIB <= CHANGES_PER_PACKET_BYTES_MAX
assert FRAME_PACKETS_MAX * 7 + 3 <= FRAME_ITEMS_MAX
assert FRAME_BYTES_MAX <= TICK_BYTES_MAX
assert FRAME_PACKETS_MAX <= TICK_PACKETS_MAX
assert FRAME_BYTES_MAX + EVIDENCE_TRACEBACK_BYTES_MAX + 16 * KIB <= SERVER_FRAME_BYTES_MAX
assert SNAPSHOT_CHUNK_BYTES + VALUE_BYTES_MAX + 4 * KIB <= SERVER_FRAME_BYTES_MAX
assert ANSWERS_MAX > 2 * PRODUCER_FRAMES_IN_FLIGHT
# One packet's worst Entry (its frame, its changes, its bag, the expiries) must always fit.
assert TICK_BYTES_MAX + CHANGES_PER_PACKET_BYTES_MAX + EVIDENCE_TRACEBACK_BYTES_MAX <= (
    ENTRY_BYTES_MAX // 2
)
assert ENTRY_BYTES_MAX < RECORD_BYTES_MAX < LEDGER_SEGMENT_BYTES
assert OUTCOME_RUNS_KEPT >= 4 * PRODUCER_FRAMES_IN_FLIGHT
assert PING_S * 3 <= IDLE_S_MAX
# What is in flight, and the segment it may need, fit below the hard mark.
assert DISK_HARD_FREE_BYTES > LEDGER_FIRST_SEGMENT_BYTES + ENTRY_BYTES_MAX + DISK_RESERVE_BYTES
assert LETTERS_IN_FLIGHT_MAX >= 2 * TICK_PACKETS_MAX
