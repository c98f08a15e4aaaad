"""Guaranteed Delivery: an append-only log on disk for each stream, between the inputs and the uplink.

Promises
1. An acknowledged reading survives `kill -9`, and power loss as far as the card honours a flush. A crash loses, of patterns without
   acknowledgement, at most the last `commit_interval` and what ZeroMQ held in memory.
2. Every reading has a sequence number from 1 within its stream's epoch; a number is never used twice. Refused readings use none.
3. An envelope has one id, one content and one set of numbers for ever, from the moment anybody can see it.
4. What is dropped, damaged or quarantined is told to the cloud by a notice; nothing disappears in silence.
5. Whatever a crash left in the directory, it opens; in a time that does not grow with the backlog.
6. Everything in the directory takes at most `max_bytes`.
7. Memory does not grow with the backlog.

Invariants, each kept where it is named
1. Nothing is acknowledged or visible before its fdatasync has succeeded (`appender`).
2. After a failed write or fdatasync the segment is never trusted beyond what was synced before; the readings are written again to a new
   one (`appender`).
3. A border record closes an envelope; where it is missing, the next envelope or the next segment closes it, with the same result (`scan`).
4. An envelope never spans segments (`appender`).
5. Delivered ranges may be lost (re-sent under the same id), except that they are synced before a segment is unlinked (`journal`, `stream`).
6. A notice is synced before the numbers it speaks for are forgotten (`log`, `stream`).
7. The header and the name of a new segment are synced before readings go into it, and so before an old one is unlinked (`appender`).

The way through the files

    record, scan, chunk, draft, index     no input or output: formats
    budget                                and sums
    files, lock                           the only seam to the file system; one process at a time
    log, state, appender                  one log: its readers' half and what that knows in memory, its writer's half
    journal, quarantine                   what was delivered, what was set aside
    segment, overflow                     reading a segment's file; which one gives way at the cap
    opening, stream                       a directory becomes logs; the logs of a stream's epochs
    writer, lane                          the thread: group commit; what waits for it, a stream
    spool                                 the composition: `Sink` and `Source`
    places, tools, following, mending     for people: where things are; ls, verify, cat, export; tail; repair
    glance                                the same for `check`: how segments begin, and the last ones
"""
