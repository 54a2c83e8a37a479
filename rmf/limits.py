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
FRAME_BEFORE_HELLO_BYTES_MAX = 4 * KIB  # an unknown client makes a node buffer no more
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
SEND_PIECE_BYTES = 16 * KIB  # of a long frame: a slow client has SEND_S_MAX for each of them
ANSWERS_MAX = 256  # lists of answers a client has not read: capacity of the answers door; cut
LETTER_ID_S_MAX = 5.0  # for the DLQ to name a letter; beyond: its sender hears of none
GOODBYE_S_MAX = 1.0  # for the other side to read last words, or to close; then cut all the same
LINGER_S = 0.1  # silence of a client that was sent off, after which nothing more is expected
RECEIVE_BYTES = 64 * KIB  # one read from a socket
PASS_LATE_NS = 5 * MS  # a pass of the scheduler that is later may have looked at no socket (R8)
READS_A_PASS = 32  # sockets that are read before others run; fewer if they hold much (R42)
FRAMES_A_PASS = 16  # small frames of one read that are served before others run (R42)

# --- Flow of packets ---
INGEST_DEPTH_PACKETS = 65_536  # `--ingest-depth`: the ingest queue; full: the edge waits (R16)
INGEST_DEPTH_PACKETS_MAX = 16_777_216  # 1 GiB at 64 bytes per packet; beyond: ConfigError
INGEST_QUEUE_BYTES_MAX = 32 * MIB  # the same queue, in bytes of frames
INTAKE_A_STEP = 256  # frames that the Arbiter takes in before it does what is due (R45)
INTAKE_FRAMES = 64  # capacity of the intake door, in frames
BEAT_S = 0.1  # how late an idle Arbiter may notice that something became due
BEAT_S_MIN = 0.005  # between two beats: what is due later than this is noticed in time
STEP_MARK_S = 0.005  # a step of the Arbiter that is shorter counts as work from end to end
LONG_STEP_S = 0.05  # a step of the Arbiter that is longer is logged (R45)
HTTP_FACTS_S_MAX = 1.0  # for the Arbiter to say how it stands; beyond: its ledger is being read
LOOK_S = 0.05  # between two looks of the instruments at who reigns
EVENTS_MAX = 4096  # capacity of the events door
PRODUCER_FRAMES_IN_FLIGHT = 64  # announced; what is unacked beyond it may be answered `unknown`
OUTCOME_RUNS_KEPT = 256  # per producer in the table: in-flight frames, each cut into 4 Ticks
PRODUCERS_MAX = 10_000  # in the table; beyond: one leaves by an Entry, and learns it (R33)
REGISTERS_A_TICK_MAX = 256  # HELLOs latched, and as many names that leave; beyond: the next Tick
CROWDED_SAID_S = 1.0  # between two lines of the log about names that were crowded out
CROWDED_NAMES_SAID = 8  # in such a line; the others are counted
PRODUCER_IDLE_S_MAX = 7 * 24 * 3600  # then it leaves the table by an Entry (R33)
PRODUCER_IDLE_CHECK_S = 60  # how often the table is looked through for them

# --- The Tick (reached: the Tick closes, the rest waits for the next) ---
TICK_PERIOD_NS = 100_000  # `--tick`: a constant of the cluster (R6)
TICK_PERIOD_NS_MIN = 10_000
TICK_PERIOD_NS_MAX = 10 * SECOND
TICK_LEAD_NS_MAX = 50 * MS  # how far the counter may lead the clock (R6)
PACE_LEAK = 50  # one part of so many, of the time since it was set, a follower's clock may go back
PACE_BACK_NS = 3600 * SECOND  # how far a reign's clock reaches back behind its begin
PACE_HOLD_NS = 500 * MS  # more than this too fast: it goes back; less: it stands still meanwhile
PACE_GRAIN_NS = SECOND  # of clocks set at times no further apart than this the later is right
TICK_PACKETS_MAX = 4096
TICK_PACKETS_GOAL = 4096  # beyond: a frame waits for the next; 2,560 cost 15 % of throughput
TICK_FRAMES_GOAL = 256  # the same, in frames: each is answered by itself
TICK_BYTES_MAX = 1 * MIB  # bytes of frames
TICK_EXPIRIES_MAX = 400  # cells, and their keys TICK_BYTES_MAX bytes: packets have the most of it
TICK_LETTERS_MAX = TICK_PACKETS_MAX + TICK_EXPIRIES_MAX  # each packet and each end may leave one
ENTRY_BYTES_MAX = 8 * MIB
BATCH_BYTES_MAX = ENTRY_BYTES_MAX // 2  # changes and evidence of one batch: the Entry has more
OUTCOME_HEADS_BYTES_MAX = 64  # in a batch, of a bagged packet: slot, reason, stage, heads of texts
EXPIRIES_IN_FLIGHT = 2  # Entries, at most, while cells end; reached: only packets are latched (R9)
ENTRIES_IN_FLIGHT = 4  # proposed, not yet committed; reached: the Arbiter waits (R4)

# --- Peers (R28) ---
HEARTBEAT_NS = 50 * MS  # how often a leader speaks to each peer at least
ELECTION_MS = (500, 1_000)  # of silence, until a follower stands for election; `rmf-admin set`
ELECTION_MS_LEAST = 200  # what may be set for the lower bound: four heartbeats; below: refused
ELECTION_MS_MOST = 60_000  # and for the upper one, which is above it by a quarter at least
ELECTION_NS_MIN = 200 * MS  # the same where nothing was set: clusters founded before version 4
ELECTION_NS_MAX = 400 * MS
QUORUM_NS_MAX = SECOND  # without a majority; then a leader steps down, and says who was silent
SUCCESSION_STEP_NS = 25 * MS  # a dead leader's followers stand up one after another, so far apart
SUCCESSION_AGAIN_NS = 100 * MS  # and ask again a while later, as long as others hear the leader
NAMING_NS = 10 * MS  # between two Entries that are named, and remembered, for that
OWED_LATE_NS = 100 * MS  # how late an end may be, or in flight an Entry, and not be named
CLOCK_SHOWN_NS = 20 * MS  # a clock that was shown is shown again once it is off by so much
LIVE_NS = 500 * MS  # how old what a node shows as live may be, and how late an expiry (R36)
ROUND_GRAIN_NS = 5 * MS  # how exactly a leader remembers when it began a round of contact
COMMIT_NOTICE_NS = 10 * MS  # how late a follower may hear of a commit when nothing else is sent
MEMBERS_MAX = 9  # in a cluster, learners included: more only make commits slower; refused
APPEND_BYTES_MAX = 255 * KIB  # Entries in one append, heads counted; a longer one travels alone
APPEND_HEAD_BYTES_MAX = 1 * KIB  # of an append without its Entries: eleven small fields
ENTRY_HEAD_BYTES = 24  # of each Entry in an append at most: array, term, CRC32C, head of the body
PROBE_BYTES_MAX = 16 * KIB  # Entries sent to find out what matches; a longer one waits for that
PROBE_AGAIN_NS = HEARTBEAT_NS  # without an answer, until another probe; doubled each time
PROBE_AGAIN_NS_MAX = 3200 * MS
STEP_AGAIN_NS_MAX = (
    10 * SECOND
)  # the same for a piece of a Checkpoint, or a reading; 1 MiB takes 1 s
# at 10 Mbit/s
PEER_APPENDS_IN_FLIGHT = 64  # unanswered by one peer; reached: the stream pauses
PEER_PATIENCE_NS = 50 * MS  # how much longer a peer's answer may take because of what goes before
PEER_WINDOW_BYTES_MIN = 256 * KIB  # on the way to a peer, however slow that is; and at first
PEER_WINDOW_BYTES = 2 * ENTRY_BYTES_MAX  # the same, however fast it is; reached: the stream pauses
LOG_MEMORY_BYTES = 32 * MIB  # Entries kept for slow peers, and until they are applied; beyond:
# they are read from the ledger, a piece at a time; what was not read is asked for again after
REREAD_NS = 200 * MS
LONE_LOG_MEMORY_BYTES = 256 * KIB  # the same where there are no peers
LOG_SLICE_ENTRIES = 1_000  # dropped in one step, where there are more; the rest in the next (R45)
WAITING_FOR_DISK_MAX = 4096  # messages that depend on a slow disk; beyond: as if lost (R16)
READS_WAITING_MAX = 1024  # linearizable reads that wait, orders that wait; beyond: refused
READ_NS_MAX = 5 * SECOND  # a confirmed read waits so long for its Entries to be applied; then: told
TRANSFER_NS_MAX = 10 * SECOND  # an order to hand over waits so long for any leader; then: told
FILE_TURNS_ASKED = 8  # by tasks that move files of the ledger; each asks for one at a time
CATCH_UP_WISHES = 2 * 9  # a reading and a writing for each member; beyond: asked again later
CATCH_UP_THREADS_MAX = 4  # that read for peers; the others wait their turn
CATCH_UP_RETRY_S = 1.0  # after a piece of a Checkpoint that failed
APPLY_LATER_NS = 5 * MS  # how long a follower may put off applying while it writes
APPLIED_A_STEP_BYTES = 256 * KIB  # Entries applied before a node looks at its peers again (R45)
APPLIED_A_STEP_CELLS = 1_000  # the same, in cells they write or end; one Entry may have more
APPLIED_A_STEP_ENTRIES = 64  # the same, in Entries: a small one takes 50 us

# --- Audit on followers (R21) ---
AUDITS_WAITING = 8  # Ticks to be run again; full: the sample is left out, and counted
AUDIT_SLOTS_A_TICK = 64  # runs for one Tick, each ends at a slot that differs; beyond: left out
AUDIT_LETTERS_A_TICK = 256  # differences told of one Tick; beyond: counted
AUDIT_LETTERS_BURST = 256  # letters about one handler at once; beyond: counted
AUDIT_LETTERS_PER_S = 1  # that may be written again
AUDIT_FAILURES_MAX = 1024  # handlers of which that is remembered; beyond: all are forgotten
AUDIT_VALUE_BYTES_MAX = 1 * KIB  # of a value in a letter's text; its middle is left out
AUDIT_REST = 1.0  # with `glovebox = "inline"`: rest after a batch, in times of what it took
AUDIT_S_MAX = 60.0  # for one sample; beyond: it failed, and what it pins is released
AUDIT_RETRY_S = 1.0  # after a sample that failed
DRY_RUNS_MAX = 8  # questions what the line would do that wait for a box; beyond: `busy`
DRY_RUN_CELLS_MAX = 1024  # named in an answer; beyond: it says that there are more
DRY_RUN_S_MAX = 60.0  # for an answer, a box that has to be started included; beyond: said
DRY_RUN_IDLE_S = 10.0  # after the last question; then its box is closed
AUDIT_BOX_RETRY_S = 10.0  # after no glove box could be had for audits

# --- The World ---
KEY_BYTES_MAX = 1 * KIB
VALUE_BYTES_MAX = 896 * KIB
VALUE_DEPTH_MAX = 32
SHELF_LOOKS = 1_000  # cells looked at for a Tick; reached: the rest is looked at for the next (R45)
SHELF_LOOKS_AN_ENTRY = 64  # by a node that applies one, and twice what that has written
SHELF_BUCKET_TICKS = 256  # ticks that cells to expire are kept together for; a power of 2
SHELF_EXACT_KEYS = 64  # of such a bucket, up to which it is known when the first of them is due
INLINE_COLLECTOR_THRESHOLDS = (100_000, 50, 1_000)  # cells are many, cycles of handlers are few
INDEX_SLICE_KEYS = 64  # that were discarded while pinned, taken out in one piece (R45)
INDEX_LOOK_NS = SECOND  # after which a node at rest looks whether some of them are free by now
CHANGES_PER_PACKET_BYTES_MAX = 1 * MIB  # beyond: bag, reason `result_invalid`
HANDLER_CACHE_TOPICS = 65_536  # topic -> handler; full: forgotten and built again
CHAIN_EXCEPTIONS_MAX = 1000  # of one chain or group, freed of their frames; beyond: left alone
LINE_VERSION_MAX = 2**31 - 1  # beyond: LineError

# --- The glove box (R19, R20) ---
HANDLER_NS = SECOND  # `--handler-time`: of one packet; beyond: bag, reason `handler_timeout`
HANDLER_NS_MIN = 10 * MS
HANDLER_NS_MAX = 3600 * SECOND
HANDLER_GRACE_S = 0.04  # for an interrupted handler to end by itself; then its box is killed
BOX_WATCH_S = 0.01  # between two looks at what is on the bench
BOX_WATCH_S_MAX = 0.03  # what one look may count: more, and it was the node that did not turn
BOX_MEMORY_BYTES = 512 * MIB  # `--handler-memory`: over what the loaded line takes
BOX_MEMORY_BYTES_MIN = 16 * MIB
BOX_MEMORY_BYTES_MAX = 1024 * 1024 * MIB
BOX_FRAME_BYTES_MAX = ENTRY_BYTES_MAX  # a frame of a box; beyond: the box is killed
BOX_READ_BYTES = 256 * KIB  # one read from a box
BOX_CACHE_SHARE = 4  # of `--handler-memory`, for the cells that a box knows; full: forgotten
BOX_CELL_BYTES = 512  # what a known cell takes beside its value (measured: 450)
BOX_CELLS_ALONG = 64  # packets of a batch up to which the cells of its topics are sent along
BOX_FILL_CELLS = 128  # sent with a batch to a box that begins to know the World
BOX_PAGE_CELLS = 500  # of a scan, in one answer
BOX_PAGE_BYTES = 256 * KIB  # the same, in values; of any cells that are sent at once
BOX_SPARE_S = 1.0  # after a node's start, until its spare is started, unless it is wanted
BOX_STACK_S = 0.005  # for a box about to be killed to write its stack down
BOX_STUCK_S_MAX = 10.0  # outside any slot: it is the box that hangs, and it is killed
BOX_FINALIZER_S = 0.05  # one finalizer of what handlers left in circles; beyond: interrupted
BOX_COLLECT_S_MAX = 0.5  # all of them together; beyond: the box ends, with nothing on its bench
BOX_AUDIT_NICE = 10  # of boxes that audit: boxes that serve come first
BOX_START_S_MAX = 30.0  # for a line to load; beyond: killed, and tried again
BOX_STARTS_MAX = 3  # boxes in a row that die before they are ready; then there is none
BOX_RETRY_S = 5.0  # until a spare is tried again where none could be had
BOX_RESTART_S = 0.1  # between two such starts
BOX_DEATHS_MAX = 2  # on one batch, outside any slot; then its slots are run one by one
BOX_REMEMBERED_MAX = 16  # suspects, and as many guilty ones; beyond: the oldest is forgotten
BOX_HANG_UP_S = 0.1  # for a box whose pipe is closed to be dead; beyond: killed
BOX_REAP_S = 1.0  # for the system to report the end of a process, once its pipe is closed
BOX_TRACE_BYTES_MAX = 32 * KIB  # of what a dying box says of its stack
BOX_TEXT_BYTES_MAX = 1 * MIB  # of what a line says of itself, or why it cannot be loaded

# --- Subscribers ---
SUBSCRIPTIONS_PER_CONNECTION_MAX = 16
FILTERS_PER_SUBSCRIPTION_MAX = 64
RATE_HZ_DEFAULT = 30.0
RATE_HZ_MAX = 1000.0
KEEPALIVE_S = 1.0  # a picture that does not change is dated again this often (R36)
KEEPALIVE_GRID_S = 0.1  # so much earlier at most: those of all displays leave together
LACKING_KEEPALIVES_MAX = 3  # in a row, of a live node that lacks what was shown: another history
KEEPALIVES_MISSED_MAX = 5  # beyond: the subscriber takes the node for dead and connects again
SNAPSHOT_CHUNK_BYTES = 256 * KIB  # a chunk is closed once it holds this much
CHANGED_TICKS_KEPT = 4096  # ring for deltas; fallen out of it: a full Snapshot next (R35)
CHANGED_KEYS_KEPT = 200_000  # the same ring, in keys
FEED_MATCHES_KEPT = 2_000_000  # the same ring, in keys times the filters that they match
FEED_KEYS_KNOWN = 65_536  # keys whose filters are remembered, for all of them; full: forgotten
FEED_STEP_KEYS = 32  # looked at in one step of whatever a display needs: some 0.1 ms
FEED_STEP_BYTES = 64 * KIB  # of values in one step; with more of them each cell is a step
FEED_SORT_KEYS = 2000  # put in order in one step: some 0.5 ms
DISPLAYS_A_PASS = 6  # that receive something before others run: some 0.2 ms, and as much to write
DISPLAYS_PAUSE_S = 0.001  # behind that, while packets are on their way: they go first
SHARED_AGE = 0.25  # of the time between two looks: as old may a delta be that displays share
PAGE_TRIES_MAX = 3  # for a page that its connection has no hand for; then its display's task waits
FEED_STEPS_AT_ONCE = 16  # of a delta, for one display in its turn; more is the desk's work
FEED_SLICE_S = 0.002  # of work for all displays together before others run, at most (R45)
FEED_SLICE_S_MIN = 0.00025  # the same, where others need next to no time
FEED_TAIL_BYTES = 16 * MIB  # cells that all every-tick subscribers share; further back: the ledger
DELTAS_CACHED = 64  # that displays share; beyond: the one used least recently is made again
DELTAS_CACHED_BYTES = 16 * MIB  # the same, in encoded pages
EVERY_TICK_BATCH_ENTRIES = 256  # read from the ledger for one every-tick subscriber at a time
EVERY_TICK_WAITING_TICKS_MAX = EVERY_TICK_BATCH_ENTRIES // 16  # unread by a user: reading stops
HISTORY_THREADS_MAX = 2  # that read for every-tick subscribers; the others wait their turn
HISTORY_READ_BYTES = 256 * KIB  # of Entries held for one every-tick subscriber; one may be longer
HISTORY_READ_S = 0.02  # for one of them, before another's turn in such a thread

# --- The ledger and its Checkpoints ---
LEDGER_FIRST_SEGMENT_BYTES = 4 * MIB  # zero-filled inline: a new node is ready at once
LEDGER_SEGMENT_BYTES = 64 * MIB  # zero-filled ahead by a thread of its own
RECORD_BYTES_MAX = ENTRY_BYTES_MAX + 64 * KIB
VOID_ENTRIES_MAX = 1024  # one Entry may void so many, hundreds of reigns that committed nothing
LEDGER_QUEUE_MAX = 64  # Persist effects under way; reached: the core has stopped latching
PEN_S_MAX = 0.1  # for a write under way when another writer begins; beyond: the disk hangs (R23)
SEAL_IDLE_S = 0.05  # an idle keeper seals what it wrote (R23)
CHECKPOINT_LEDGER_BYTES = 256 * MIB  # ledger behind the last Checkpoint that asks for another,
# or as much as that Checkpoint has bytes, so that it costs no more than the ledger does; but never
CHECKPOINT_LEDGER_BYTES_MAX = 1024 * MIB  # more than this: a restart applies it, 20 MiB/s or faster
CHECKPOINT_SLICE_CELLS = 500  # encoded before the writer lets others run
CHECKPOINT_SLICE_RUNS = 1000  # rows, runs and bags of producers, encoded in one piece: 1 ms
CHECKPOINT_SLICE_BYTES = 1 * MIB  # values in a slice; reached: the slice ends, another begins
CHECKPOINT_SYNC_BYTES = 1 * MIB  # written before the disk has to take it: no flood at the end
CHECKPOINTS_KEPT = 2  # the newest, and the one before it should that one be damaged
ARCHIVE_BYTES_MAX = 1024 * MIB  # replayable history kept behind the Checkpoint; then deleted
ARCHIVE_SENDING_BYTES_MAX = 4096 * MIB  # the same while a peer is being sent some of it; beyond,
# or at the hard mark of the disk: logged, deleted, and the peer starts over
SENDING_S_MAX = 300.0  # nothing was sent to a peer: it needs no history any more
FILE_READ_BYTES = 1 * MIB  # one read from a file that is read as a whole; a longer frame by itself
INSTALL_CHUNK_BYTES = 1 * MIB  # of a Checkpoint on its way to a peer: one write, one fsync there
DAMAGED_LEDGERS_KEPT = 2  # set aside in a repair; beyond: the oldest is deleted (R24)
CURSOR_FILE_READ_BYTES = 64 * KIB  # small, for most reads of a cursor are at the live end
CURSOR_READ_BYTES_MAX = 8 * MIB  # of Entries given out at once; a single one may be longer

# --- Disk watermarks (R38) ---
DISK_SOFT_FREE_BYTES = 256 * MIB  # less free: archives are shed, a warning is logged
DISK_HARD_FREE_BYTES = 16 * MIB  # less free: `busy` to packets; ends above twice this
DISK_RESERVE_BYTES = 2 * MIB  # a file given back when the hard mark is reached
FULL_LEADER_S = 1.0  # between two hand-overs of a leader at its hard mark: the others may be full
DISK_WATCH_S = 1.0
DISK_ASK_S_MAX = 1.0  # for the disk to say how much is free; beyond: the last mark stands
DISK_WATCH_CLOSELY_S = 0.1  # below the soft mark: a fast producer fills 3 MiB in that time

# --- The DLQ ---
LETTERS_IN_FLIGHT_MAX = 12_288  # letters handed to the DLQ keeper, unstored; reached: no latch
LETTERS_DOOR = 1024  # batches of letters that the DLQ keeper stores in one transaction
EVIDENCE_TEXT_BYTES_MAX = 4 * KIB  # exception message
EVIDENCE_TRACEBACK_BYTES_MAX = 32 * KIB
EVIDENCE_GROUP_LEAVES_MAX = 8  # of an exception group
EVIDENCE_READS_MAX = 64  # cells that a failed handler read; beyond: one more says so
LOOKS_KEPT = 256  # of a handler at the World; beyond: the oldest are forgotten, and that is said
CROWD_WINDOW_S = 10.0  # over which ends of cells are counted for the alarm of a crowd
CROWD_ENDS_PER_S = 1000.0  # and more of them than packets: a crowd; it is over below half
STORM_WINDOW_S = 10.0  # over which letters are counted for the storm alarm
STORM_LETTERS_MIN = 100  # in that window; fewer are no storm, whatever the ratio
STORM_LETTERS_PER_S = 100.0  # of all packets or not: a storm; it ends below half
STORM_RATIO = 0.2  # bagged of what was latched: a storm; it ends below half
STRANGERS_RING = 256  # faults of peers that never said HELLO: counted, last ones kept (R39)
STRANGER_BYTES_KEPT = 64  # of what each of them sent; the rest is forgotten
TRIAGE_LETTERS_MAX = 10_000  # named by one act, a redrive's whole selection; beyond: refused
TRIAGE_WHY_CHARACTERS_MAX = 1000  # of a reason; beyond: refused
DLQ_PAGE_ACTS = 8  # the same, in acts: each may name TRIAGE_LETTERS_MAX letters
DLQ_PAGE_LETTERS = 256  # read from the store at a time
DLQ_LOCK_WAIT_S_MAX = 5.0  # a person's shell may hold the file's lock; beyond: StorageError
RECOVERY_LETTERS_A_TIME = 1000  # collected while the ledger is applied; reached: stored
BACKUP_PIECE_BYTES = 256 * KIB  # of a backup on its way: others' answers are not held up by it
BACKUPS_AT_ONCE = 1  # copies of the DLQ that lie beside it; beyond: `busy`
BACKUP_LETTERS_S_MAX = 30.0  # for the DLQ to get to the Checkpoint's Entry; beyond: `not_ready`
QUERY_THREADS_MAX = 2  # that read for QUERYs; the others wait their turn
QUERY_BODIES_A_SLICE = 8  # read before they are sent: each may be as large as a frame
PATTERNS_CACHED = 16  # one a QUERY, for thousands of topics; full: the oldest is made again

# --- Supervision (R15): restarts within a period; spent: strike `state` ---
EDGE_RESTARTS_MAX = 10
EDGE_RESTARTS_PERIOD_S = 10.0
BOX_TASK_RESTARTS_MAX = 1  # each has tried BOX_STARTS_MAX boxes
BOX_TASK_RESTARTS_PERIOD_S = 60.0
ARBITER_RESTARTS_MAX = 3
ARBITER_RESTARTS_PERIOD_S = 10.0
RESTART_DELAY_S = 0.02
STAND_IN_DELAY_S = 1.0  # between two runs of what stands in for a task that was given up
ACCESSION_S_MAX = 1.0  # how long a start waits for the reign before it opens the port all the same
STOP_S_MAX = 10.0  # grace of a graceful stop (R18); beyond: exit 1
LAST_WORDS_S_MAX = 1.0  # for the log to say so; beyond: it exits without a word

# --- Between nodes ---
PEER_FRAME_BYTES_MAX = ENTRY_BYTES_MAX + 64 * KIB  # an APPEND with the largest Entry (R43)
PEER_PIECE_BYTES_MAX = 256 * KIB  # of a message that is cut; what hurries waits for one
PEER_PIECE_BYTES_MIN = 16 * KIB  # on a slow link
PEER_COUNTED_BYTES_MIN = 64 * KIB  # shorter messages are not counted, and never cut
PEER_PIECES_BYTES_MIN = 64 * KIB  # on the way, however slow that is; and at first
PEER_HELLO_BYTES_MAX = 16 * KIB  # an unknown peer makes a node buffer no more
PEER_TEXT_BYTES_MAX = 255  # of a name or an address in a HELLO; DNS allows no longer ones
PEER_CONNECTIONS_MAX = 64  # from other nodes, with their letters and questions; beyond: refused
PEER_QUEUE_FRAMES_MAX = (
    1024  # messages that wait for one peer, for each of its doors; beyond: dropped
)
PEER_QUEUE_BYTES_MAX = (
    2 * PEER_FRAME_BYTES_MAX
)  # of bulk that waits, without heads; beyond: dropped
PEER_RECEIVE_BYTES = 256 * KIB  # one read: an APPEND of a full Tick takes a few
PEER_CONNECT_S_MAX = 1.0  # one attempt; beyond: the next
PEER_HANDSHAKE_S_MAX = 2.0  # preface and HELLO, or WELCOME: absolute
PEER_ALIVE_S = 1.0  # a link that says nothing for this long says that it is alive
PEER_SILENCE_S_MAX = 5.0  # nothing from a peer, or nothing taken by it; beyond: cut
PEER_FRAME_S_MAX = 30.0  # one frame from first byte to last: absolute; beyond: cut. The longest
# one takes 7 s at 10 Mbit/s, where the peer speaks version 1 and it is not cut in pieces
RECONNECT_PEER_S_MIN = 0.02  # doubled with jitter at each attempt
RECONNECT_PEER_S_MAX = 1.0
GENESIS_ROUND_S = 0.1  # between two rounds of questions to the listed peers
PEER_LETTERS_BYTES = 256 * KIB  # closes a page of letters: it goes beside what hurries
LETTER_FETCH_S = 0.5  # until missing letters are asked for again where no peer had them all

# --- Clients ---
CONNECT_S_MAX = 5.0  # one attempt; beyond: the next address
ATTEMPT_S_MIN = 1.0  # one attempt while others are untried, doubled a round: a dead node is passed
RECONNECT_S_MIN = 0.02  # after a round of attempts, with jitter of half: an election takes 0.2 s
RECONNECT_GROWTH = 1.125  # of it with each round: an eighth of the time that has passed
RECONNECT_S_MAX = 2.0
SETTLED_S = 1.0  # a connection that lasted so long was good: its loss begins the back-off again
ADDRESSES_MAX = 64  # named by nodes; beyond: the one tried least recently is forgotten
GET_S_MAX = 10.0  # for an answer
SILENCE_S_MAX = PING_S + GET_S_MAX  # then the node is taken for dead: the connection is cut
OWED_PING_S = 1.0  # silence of a node that owes an answer, after which it is asked for a PONG
OWED_SILENCE_S_MAX = 3.0  # then it is taken for dead if there are others: an election takes 0.2 s
RESEND_PACKETS_FIRST = 256  # sent again at once; each outcome lets one more follow, up to a window
UNACKED_BYTES_MAX = INGEST_QUEUE_BYTES_MAX  # payloads held for a resend; full: who sends waits
FRAMES_AT_ONCE = 4  # encoded before others run: a resend may be a whole window
SETTLE_NS_MAX = int(GET_S_MAX * SECOND)  # refused, for answers to what is in flight; then `stuck`

# --- Tools ---
INPUT_READ_BYTES = 256 * KIB  # a pipe gives what it has: nothing waits for a full batch
INPUT_LINE_BYTES_MAX = 8 * MIB  # a line or CSV row; beyond: a wrong file, the tool ends
SEND_BATCH_PACKETS = 500  # `rmf-send --batch`: handed over at once
SEND_SLICES_PER_S = 20  # of `--rate`: how smooth it is
SEND_PATIENCE_S = 30  # `rmf-send -W`: without connection, or without any outcome; exit 6
TABLE_RATE_HZ = 10.0  # a redraw costs milliseconds, and eyes follow no more
ADMIN_PATIENCE_S = 60.0  # `rmf-admin -W`: for an order, and for a new member to vote; exit 6
ADMIN_POLL_S = 0.25  # how often `rmf-admin add` looks whether the member votes
STATUS_WATCH_S = 1.0  # between two rounds of `rmf-status --watch`
DLQ_POLL_S = 0.25  # how often `rmf-dlq tail` asks for what is new
ATTEMPTS_SHOWN_MAX = 16  # of a letter: how far back `rmf-dlq show` counts redrives of redrives
PURGE_LETTERS_SHOWN = 10  # of those that would go
TRIAGE_POLL_S = 0.05  # how often `rmf-dlq` looks whether a DLQ has done what was decided
REDRIVE_PER_S = 50.0  # `rmf-dlq redrive --rate`
REDRIVE_BATCH_MAX = 1000  # packets that are sent before their outcomes are looked at: 1, 10, 100 …
DLQ_LIST_LETTERS = 100  # `rmf-dlq list` without --limit; the rest is not shown
DLQ_TAIL_LETTERS = 10  # older letters that `rmf-dlq tail` begins with
BENCH_EXIT_S_MAX = 60.0  # for a measured node to stop; beyond: the measurement fails
BENCH_PATIENCE_S = 30.0  # for a leader, an ack, a node to catch up; beyond: the measurement fails
BENCH_ASK_S_MAX = 2.0  # for a measured node to say its status; beyond: it says nothing
BENCH_LINK_READS = 65_536  # on their way over a shaped link; beyond: the sender waits
BENCH_POLL_S = 0.02  # between two looks at what is waited for
DEMO_PERIOD_S = 0.25  # between two readings of the demo
DEMO_TTL_MS = 3000  # a dozen readings: that a demo stopped is seen on the display

# --- HTTP: health and metrics ---
HTTP_CONNECTIONS_MAX = 64  # probes are few; beyond: 503; beyond twice this: closed at once
HTTP_HEAD_BYTES_MAX = 8 * KIB  # of a request not yet complete; beyond: 431, closed
HTTP_READ_BYTES = 4 * KIB  # one read: a head may be longer than its bound by so much
HTTP_REQUEST_S_MAX = 5.0  # a request from first byte to last: absolute; beyond: 408, closed
HTTP_IDLE_S_MAX = 75.0  # between requests: longer than a scrape interval of a minute
HTTP_SEND_S_MAX = 10.0  # one answer to a client that does not read; beyond: cut
HTTP_DISK_S_MAX = 1.0  # for the disk to be looked at; beyond: metrics go without its figures
HTTP_RETRY_S = 1.0  # after the port failed: how long until it is opened again
LIVE_S_MAX = 5.0  # without a step of the arbiter though beats are due; beyond: not live

# --- Configuration (beyond: ConfigError) ---
CONFIG_FILE_BYTES_MAX = 1 * MIB  # a configuration is a page; /dev/zero is not one
NODE_NAME_BYTES_MAX = 63  # as a label of DNS: it stands in paths, letter ids and `--peers`

# --- The log, and what is shown (beyond: cut, and the text says so) ---
LOG_REPEAT_S = 10.0  # identical facts within this time are counted, not written
LOG_DISTINCT_MAX = 256  # facts being counted; beyond: the oldest count is logged and ends
LOG_TEXT_CHARACTERS_MAX = 500  # of one value
TEXT_CHARACTERS_SHOWN_MAX = 64  # of a key or another foreign text, in an error message
FILTERS_SHOWN_MAX = 8  # of a line, where none matches
FAULTS_SHOWN_MAX = 8  # of one payload, in its reason
DECODER_TEXT_BYTES_MAX = 512  # of what cbor2 says of a payload
EXPORT_TESTS = 20  # letters that `export --as pytest` turns into tests without --limit
EXPORT_CELLS_MAX = 2_000  # in one test; beyond: it names who scans so many
WHAT_IF_SHOWN = 20  # keys and groups of letters that a what-if shows without --limit
WHAT_IF_KEYS_MAX = 1_000_000  # different keys that are distinguished; beyond: counted no more
WHAT_IF_GROUPS_MAX = 10_000  # groups of letters, the same
HEX_BYTES_SHOWN_MAX = 256  # of bytes in a letter that cannot be opened; JSON has them all
TABLE_VALUE_CHARACTERS_MAX = 80  # of a value in a table; the other formats have all of it
JSON_INTEGER_BITS_MAX = 2048  # 617 digits, which every Python turns into text; beyond: hex

assert TOPIC_BYTES_MAX <= KEY_BYTES_MAX
assert PAYLOAD_BYTES_MAX + TOPIC_BYTES_MAX + 4 * KIB <= FRAME_BYTES_MAX
assert VALUE_BYTES_MAX + KEY_BYTES_MAX + 1 * KIB <= CHANGES_PER_PACKET_BYTES_MAX
assert FRAME_PACKETS_MAX * 7 + 3 <= FRAME_ITEMS_MAX
assert FRAME_BYTES_MAX <= TICK_BYTES_MAX
assert FRAME_PACKETS_MAX <= TICK_PACKETS_MAX
assert TICK_PACKETS_GOAL <= TICK_PACKETS_MAX
assert FRAME_BYTES_MAX + EVIDENCE_TRACEBACK_BYTES_MAX + 16 * KIB <= SERVER_FRAME_BYTES_MAX
assert SNAPSHOT_CHUNK_BYTES + VALUE_BYTES_MAX + 4 * KIB <= SERVER_FRAME_BYTES_MAX
assert ANSWERS_MAX > 2 * PRODUCER_FRAMES_IN_FLIGHT
# The worst Entry must fit: the frames, the expiries, what a batch brings back, the changes and the
# bag of the one packet that went beyond it, and names that come (twice: their identity) and go.
assert 2 * TICK_BYTES_MAX + CHANGES_PER_PACKET_BYTES_MAX + 2 * EVIDENCE_TRACEBACK_BYTES_MAX <= (
    ENTRY_BYTES_MAX
    - BATCH_BYTES_MAX
    - EVIDENCE_READS_MAX * 2 * KEY_BYTES_MAX
    - (4 * REGISTERS_A_TICK_MAX + CONNECTIONS_MAX) * (PRODUCER_NAME_BYTES_MAX + 32)
)
assert ENTRY_BYTES_MAX < CHECKPOINT_LEDGER_BYTES <= CHECKPOINT_LEDGER_BYTES_MAX
assert ENTRY_BYTES_MAX < RECORD_BYTES_MAX < LEDGER_SEGMENT_BYTES
# Between nodes: a frame holds an Entry or a page of letters, a queue two frames.
assert APPEND_HEAD_BYTES_MAX + ENTRY_HEAD_BYTES + ENTRY_BYTES_MAX <= PEER_FRAME_BYTES_MAX
assert APPEND_HEAD_BYTES_MAX + APPEND_BYTES_MAX <= PEER_PIECE_BYTES_MAX <= PEER_FRAME_BYTES_MAX
assert PEER_PIECE_BYTES_MIN <= PEER_PIECES_BYTES_MIN <= PEER_WINDOW_BYTES
assert PEER_COUNTED_BYTES_MIN <= PEER_PIECE_BYTES_MAX
assert PEER_WINDOW_BYTES <= 2 * PEER_FRAME_BYTES_MAX <= PEER_QUEUE_BYTES_MAX
assert DLQ_PAGE_ACTS * FRAME_BYTES_MAX <= PEER_FRAME_BYTES_MAX
assert PEER_LETTERS_BYTES + SERVER_FRAME_BYTES_MAX <= PEER_FRAME_BYTES_MAX
assert INSTALL_CHUNK_BYTES + 4 * KIB <= PEER_FRAME_BYTES_MAX
assert 3 * PEER_ALIVE_S <= PEER_SILENCE_S_MAX
assert ARCHIVE_BYTES_MAX <= ARCHIVE_SENDING_BYTES_MAX
assert OUTCOME_RUNS_KEPT >= 4 * PRODUCER_FRAMES_IN_FLIGHT
assert PING_S * 3 <= IDLE_S_MAX
# What is in flight, and the segment it may need, fit below the hard mark.
assert DISK_HARD_FREE_BYTES > LEDGER_FIRST_SEGMENT_BYTES + ENTRY_BYTES_MAX + DISK_RESERVE_BYTES
assert LETTERS_IN_FLIGHT_MAX >= 2 * TICK_LETTERS_MAX
assert 2 * TICK_EXPIRIES_MAX <= TICK_PACKETS_MAX  # at least half of a Tick is for packets (R9)
assert SHELF_BUCKET_TICKS & (SHELF_BUCKET_TICKS - 1) == 0
assert RECOVERY_LETTERS_A_TIME <= LETTERS_IN_FLIGHT_MAX
assert STRANGER_BYTES_KEPT <= FRAME_BEFORE_HELLO_BYTES_MAX
assert INGEST_DEPTH_PACKETS <= INGEST_DEPTH_PACKETS_MAX
assert EXPIRIES_IN_FLIGHT < ENTRIES_IN_FLIGHT < VOID_ENTRIES_MAX
assert 4 * HEARTBEAT_NS <= ELECTION_NS_MIN < ELECTION_NS_MAX
assert 4 * HEARTBEAT_NS <= ELECTION_MS_LEAST * MS <= ELECTION_NS_MIN
assert ELECTION_MS_LEAST <= ELECTION_MS[0] < ELECTION_MS[1] <= ELECTION_MS_MOST
assert 10 * ROUND_GRAIN_NS <= HEARTBEAT_NS
assert 4 * PEER_PATIENCE_NS <= ELECTION_NS_MIN
assert PROBE_BYTES_MAX <= APPEND_BYTES_MAX <= PEER_WINDOW_BYTES_MIN <= PEER_WINDOW_BYTES
assert PEER_WINDOW_BYTES >= 2 * ENTRY_BYTES_MAX
assert LOG_MEMORY_BYTES >= PEER_WINDOW_BYTES
assert SUCCESSION_STEP_NS * MEMBERS_MAX <= ELECTION_NS_MAX
assert CURSOR_FILE_READ_BYTES <= FILE_READ_BYTES <= CURSOR_READ_BYTES_MAX
assert APPEND_BYTES_MAX <= CURSOR_READ_BYTES_MAX
# A client notices a dead node before the node takes the client for dead, in every way it has.
assert BACKUP_PIECE_BYTES + 4 * KIB <= SERVER_FRAME_BYTES_MAX
assert KEEPALIVE_S * KEEPALIVES_MISSED_MAX <= SILENCE_S_MAX < IDLE_S_MAX
assert FRAMES_AT_ONCE <= PRODUCER_FRAMES_IN_FLIGHT
assert RESEND_PACKETS_FIRST < PRODUCER_FRAMES_IN_FLIGHT * FRAME_PACKETS_MAX
# Who is connected is not forgotten: there is always another.
assert PRODUCERS_MAX > CONNECTIONS_MAX
assert FRAME_BYTES_MAX <= UNACKED_BYTES_MAX
# JSON may need six bytes for one of CBOR: an escaped control character.
assert 6 * PAYLOAD_BYTES_MAX + 6 * TOPIC_BYTES_MAX + 4 * KIB <= INPUT_LINE_BYTES_MAX
assert SEND_BATCH_PACKETS <= FRAME_PACKETS_MAX
assert TABLE_RATE_HZ <= RATE_HZ_DEFAULT <= RATE_HZ_MAX
assert 2 * DEMO_PERIOD_S * 1000 < DEMO_TTL_MS
assert EVIDENCE_READS_MAX <= LOOKS_KEPT
# What displays are shown: a step fits a slice, pages fit what is kept of them, and a client knows
# of another history before it takes the node for dead.
assert FEED_STEP_KEYS <= FEED_SORT_KEYS <= CHANGED_KEYS_KEPT <= FEED_MATCHES_KEPT
assert SNAPSHOT_CHUNK_BYTES + FEED_STEP_BYTES + 64 * FEED_STEP_KEYS * KIB // 16 < MIB
assert SEND_PIECE_BYTES <= SNAPSHOT_CHUNK_BYTES <= DELTAS_CACHED_BYTES // 2
assert HISTORY_READ_BYTES <= CURSOR_READ_BYTES_MAX
assert LACKING_KEEPALIVES_MAX < KEEPALIVES_MISSED_MAX
assert (
    FEED_SLICE_S_MIN <= FEED_SLICE_S <= 0.005
)  # others have their turn several times in R45's 10 ms
assert DECODER_TEXT_BYTES_MAX <= EVIDENCE_TEXT_BYTES_MAX
assert 2 * GOODBYE_S_MAX < STOP_S_MAX
assert LIVE_S_MAX > 2 * BEAT_S
# A packet's budget and what its end takes: 100 ms of others' patience.
assert BOX_FINALIZER_S < BOX_COLLECT_S_MAX < BOX_STUCK_S_MAX
assert HANDLER_GRACE_S + 2 * BOX_WATCH_S_MAX <= 0.1
assert BATCH_BYTES_MAX + CHANGES_PER_PACKET_BYTES_MAX + EVIDENCE_TRACEBACK_BYTES_MAX <= (
    BOX_FRAME_BYTES_MAX
)
assert HTTP_DISK_S_MAX < HTTP_REQUEST_S_MAX
