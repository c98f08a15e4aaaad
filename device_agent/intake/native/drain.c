/* The innermost loop of the intake in C: messages out of one ZeroMQ socket, packed for a data block as they come.
 *
 * Promises
 * - Never blocks. A turn ends when nothing is left, at a limit of readings or payload bytes, when a buffer of the caller might not hold
 *   the next reading, at a message that only Python can judge (odd), or at an error of libzmq, which is returned, never raised.
 * - All frames of a message stay together and in order. What was received of a message that is not complete yet is kept for the next turn.
 * - Writes within the caller's arrays only; keeps of a message at most KEEP_BYTES and one frame, or KEEP_FRAMES, and drops the rest.
 * - One thread at a time. No global state, no interpreter: the caller gives libzmq's functions, and gives the interpreter lock away.
 *
 * How: a message of one frame goes from libzmq's memory straight into `data`. Other messages are put together in `kept` first, taken apart
 * (envelope, topic, payload), and packed. Labels (topics, clients) become numbers in order of their first appearance within the turn, which
 * is what a data block stores (device_agent/wire/block.py). docs/intake.md explains what is a reading; the Python twin is intake/frames.py.
 */
#include <errno.h>
#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ABI 3               /* of the structures below; the loader refuses another */
#define TURN_READINGS 2048  /* most readings of a turn: the size of the caller's arrays */
#define SLOTS 4096          /* of a table of labels; twice the readings, so that a free one is always near */
#define MAX_LABEL 256       /* bytes of a topic or client: wire/limits.py */
#define KEEP_FRAMES 4096    /* 4 x MAX_FRAMES, as in frames.py */
#define KEEP_BYTES (4u * 700u * 1024u)
#define MAX_ENVELOPE 4096   /* bytes before an answer, with the lengths of their frames: beyond, a message is odd */
#define SPARE (64u * 1024u) /* bytes that `kept` may go on holding between messages */
#define DEEPEST 32          /* frames in which a REQ's delimiter is looked for, as in rep.py */
#define BIN_HEAD 5          /* MessagePack's bin 32: the longest head of a frame, and of an array */
#define DONTWAIT 1          /* ZMQ_DONTWAIT */
#define SNDMORE 2           /* ZMQ_SNDMORE */
#define LONGEST 256         /* bytes of an answer's text; the caller sends longer ones itself */

/* What an input wants: flags of `drain_open`. */
enum { TOPICS = 1, CLIENTS = 2, REP = 4, ROUTER = 8, NUMBERED = 16, PROBES = 32 };
#define ANSWERS (REP | ROUTER)

/* zmq.h: 64 bytes, aligned like a pointer, in every libzmq with soname 5. */
typedef struct {
    alignas(void *) unsigned char bytes[64];
} message;

struct libzmq {
    int (*msg_init)(message *);
    int (*msg_recv)(message *, void *, int);
    void *(*msg_data)(message *);
    size_t (*msg_size)(const message *);
    int (*msg_more)(const message *);
    int (*msg_close)(message *);
    const char *(*msg_gets)(const message *, const char *);
    int (*send)(void *, const void *, size_t, int);
    int (*error)(void);
};

/* Distinct labels of a turn. `none` is the number that stands for "no label", or -1. */
struct labels {
    uint8_t *text;      /* all texts, one behind the other */
    uint32_t text_size; /* bytes there */
    uint32_t *ends;     /* end of each text; TURN_READINGS */
    uint16_t *of;       /* label of each reading; TURN_READINGS */
    uint32_t count;
    int32_t none;
};

/* The caller's memory for one turn, and what came of it. native/layout.py has the same fields. */
struct turn {
    uint32_t max_readings, max_bytes; /* limits of the turn */
    uint32_t max_reading, max_frames; /* limits of a reading: beyond, it is odd */
    uint8_t *data;                    /* readings in MessagePack: binaries, and arrays of binaries */
    uint32_t data_size;
    uint32_t *ends;     /* end of each reading in `data`; TURN_READINGS */
    uint32_t *sizes;    /* payload bytes of each; TURN_READINGS */
    uint8_t *envelopes; /* what goes before an answer: frames, each behind its length (4 bytes, native) */
    uint32_t envelopes_size;
    uint32_t *envelope_ends; /* TURN_READINGS */
    struct labels topics, clients;
    uint32_t readings, bytes, malformed;
    uint32_t plain;      /* every reading has one frame */
    uint32_t odd_frames; /* frames of the odd message behind the readings; 0: none */
    const uint8_t *odd;  /* its bytes, until the next turn; */
    const uint32_t *odd_ends;
    uint32_t odd_client; /* label of its client */
    int32_t error;       /* errno of libzmq, ENOMEM, or 0 */
};

/* Answers to some readings: the frames of its envelope, then `text` and, if `numbered`, the reading's number and "}". */
struct answers {
    const uint8_t *envelopes; /* as a turn has them */
    const uint32_t *ends;
    uint32_t count;
    const uint8_t *text;
    uint32_t text_size;
    uint32_t numbered;
    uint64_t first;
    uint32_t done; /* answers sent, or lost since the peer has gone; where to begin */
    uint32_t lost;
    int32_t error; /* why the next one is not sent: EAGAIN if its peer takes no more, or 0 */
};

struct slot {
    uint32_t turn;
    uint32_t label;
};

struct drain {
    struct libzmq zmq;
    void *socket;
    uint32_t flags;
    uint32_t turn; /* its number: slots of other turns are free */
    message last;
    uint8_t *kept; /* frames of the message that is put together */
    size_t kept_size;
    uint32_t ends[KEEP_FRAMES + 1]; /* of each frame there */
    uint32_t frames;
    int odd; /* they are an odd message that the caller has been told of */
    uint8_t client[MAX_LABEL]; /* of the message; */
    uint32_t client_size;      /* 0: none */
    struct slot topics[SLOTS], clients[SLOTS];
};

/* Whether the caller was written for these structures; their size tells a machine with other rules of alignment. */
int drain_fits(int abi, size_t turn, size_t answers) { return abi == ABI && turn == sizeof(struct turn) && answers == sizeof(struct answers); }

void drain_close(struct drain *drain) {
    if (drain == NULL)
        return;
    drain->zmq.msg_close(&drain->last);
    free(drain->kept);
    free(drain);
}

struct drain *drain_open(const struct libzmq *zmq, void *socket, uint32_t flags) {
    struct drain *drain = calloc(1, sizeof *drain);
    if (drain == NULL)
        return NULL;
    drain->zmq = *zmq;
    drain->socket = socket;
    drain->flags = flags;
    drain->zmq.msg_init(&drain->last);
    return drain;
}

/* MessagePack */

static uint8_t *put_head(uint8_t *at, uint32_t length, uint8_t first) { /* of `first`: the code for 8 bits, or 16 if there is none */
    if (first == 0xc4) {                                               /* binary */
        if (length < 256) {
            *at++ = 0xc4;
            *at++ = (uint8_t)length;
            return at;
        }
        first = 0xc5;
    } else if (length < 16) { /* array */
        *at++ = (uint8_t)(0x90 | length);
        return at;
    }
    if (length < 65536) {
        *at++ = first;
    } else {
        *at++ = (uint8_t)(first + 1);
        *at++ = (uint8_t)(length >> 24);
        *at++ = (uint8_t)(length >> 16);
    }
    *at++ = (uint8_t)(length >> 8);
    *at++ = (uint8_t)length;
    return at;
}

static uint8_t *put_binary(uint8_t *at, const uint8_t *bytes, uint32_t length) {
    at = put_head(at, length, 0xc4);
    if (length)
        memcpy(at, bytes, length);
    return at + length;
}

/* Labels */

static uint32_t label(struct labels *labels, struct slot *slots, uint32_t turn, const uint8_t *text, uint32_t length) {
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (uint32_t i = 0; i < length; i++)
        hash = (hash ^ text[i]) * 16777619u;
    for (uint32_t at = (hash ^ hash >> 15) % SLOTS;; at = (at + 1) % SLOTS) {
        struct slot *slot = &slots[at];
        uint32_t start;
        if (slot->turn != turn) { /* free, and the caller has left room: see `room` */
            start = labels->count ? labels->ends[labels->count - 1] : 0;
            if (length)
                memcpy(labels->text + start, text, length);
            labels->ends[labels->count] = start + length;
            slot->turn = turn;
            slot->label = labels->count;
            return labels->count++;
        }
        start = slot->label ? labels->ends[slot->label - 1] : 0;
        if (labels->ends[slot->label] - start == length && (length == 0 || memcmp(labels->text + start, text, length) == 0))
            return slot->label;
    }
}

static uint32_t no_label(struct labels *labels) {
    if (labels->none < 0) {
        labels->ends[labels->count] = labels->count ? labels->ends[labels->count - 1] : 0;
        labels->none = (int32_t)labels->count++;
    }
    return (uint32_t)labels->none;
}

/* Whether bytes are UTF-8 as Python decodes it: shortest forms, no surrogates, up to U+10FFFF (RFC 3629). */
static int is_text(const uint8_t *at, uint32_t length) {
    const uint8_t *end = at + length;
    while (at < end) {
        uint8_t first = *at++;
        uint32_t follow, low = 0x80, high = 0xbf;
        if (first < 0x80)
            continue;
        if (first < 0xc2 || first > 0xf4)
            return 0;
        follow = first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
        if (first == 0xe0)
            low = 0xa0;
        else if (first == 0xed)
            high = 0x9f;
        else if (first == 0xf0)
            low = 0x90;
        else if (first == 0xf4)
            high = 0x8f;
        if ((uint32_t)(end - at) < follow)
            return 0;
        for (; follow; follow--, at++, low = 0x80, high = 0xbf)
            if (*at < low || *at > high)
                return 0;
    }
    return 1;
}

/* Remember who sent the last frame's message: the key that ZAP gave its connection. */
static void note_client(struct drain *drain) {
    const char *user = drain->zmq.msg_gets(&drain->last, "User-Id");
    size_t length = user ? strlen(user) : 0;
    drain->client_size = length > MAX_LABEL ? 0 : (uint32_t)length;
    if (drain->client_size)
        memcpy(drain->client, user, drain->client_size);
}

static uint32_t client_of(struct drain *drain, struct turn *turn) {
    if (drain->client_size == 0)
        return no_label(&turn->clients);
    return label(&turn->clients, drain->clients, drain->turn, drain->client, drain->client_size);
}

/* A message of several frames, or an odd one */

static uint32_t start_of(const struct drain *drain, uint32_t frame) { return frame ? drain->ends[frame - 1] : 0; }

static uint32_t length_of(const struct drain *drain, uint32_t frame) { return drain->ends[frame] - start_of(drain, frame); }

/* Keep the last frame, or drop it if enough of the message is kept; -1 without memory. */
static int keep(struct drain *drain) {
    size_t used = start_of(drain, drain->frames), size = drain->zmq.msg_size(&drain->last);
    if (used > KEEP_BYTES || drain->frames >= KEEP_FRAMES)
        return 0;
    if (size > UINT32_MAX / 2)
        return -1;
    if (drain->kept == NULL || used + size > drain->kept_size) {
        size_t wanted = 2 * drain->kept_size > SPARE ? 2 * drain->kept_size : SPARE;
        if (wanted < used + size)
            wanted = used + size;
        uint8_t *more = realloc(drain->kept, wanted);
        if (more == NULL)
            return -1;
        drain->kept = more;
        drain->kept_size = wanted;
    }
    if (size)
        memcpy(drain->kept + used, drain->zmq.msg_data(&drain->last), size);
    drain->ends[drain->frames++] = (uint32_t)(used + size);
    return 0;
}

/* Frames before the payload; 0 if the message is not what the pattern demands. */
static uint32_t envelope_of(const struct drain *drain) {
    uint32_t start = 1;
    if (drain->flags & REP) {
        for (uint32_t i = 1; i < drain->frames && i < DEEPEST; i++)
            if (length_of(drain, i) == 0)
                return i + 1;
        return 0;
    }
    if (drain->frames > 2 && length_of(drain, 1) == 0)
        start = 2;
    if (drain->flags & NUMBERED)
        start++;
    return drain->frames < start ? 0 : start;
}

static void put_envelope(const struct drain *drain, struct turn *turn, uint32_t frames) {
    uint32_t at = turn->readings ? turn->envelope_ends[turn->readings - 1] : 0;
    for (uint32_t i = 0; i < frames; i++) {
        uint32_t length = length_of(drain, i);
        memcpy(turn->envelopes + at, &length, sizeof length);
        at += (uint32_t)sizeof length;
        if (length)
            memcpy(turn->envelopes + at, drain->kept + start_of(drain, i), length);
        at += length;
    }
    turn->envelope_ends[turn->readings] = at;
}

static void note_reading(struct drain *drain, struct turn *turn, const uint8_t *end, uint32_t size, uint32_t topic) {
    turn->ends[turn->readings] = (uint32_t)(end - turn->data);
    turn->sizes[turn->readings] = size;
    if (drain->flags & TOPICS)
        turn->topics.of[turn->readings] = (uint16_t)topic;
    if (drain->flags & CLIENTS)
        turn->clients.of[turn->readings] = (uint16_t)client_of(drain, turn);
    if (!(drain->flags & ANSWERS))
        turn->envelope_ends[turn->readings] = 0;
    turn->bytes += size;
    turn->readings++;
}

static uint8_t *data_end(const struct turn *turn) { return turn->data + (turn->readings ? turn->ends[turn->readings - 1] : 0); }

/* Take the message in `kept` apart and pack it; or leave it there as odd. */
static void finish(struct drain *drain, struct turn *turn) {
    uint32_t first = 0, envelope = 0, frames, size, topic = 0;
    uint8_t *at = data_end(turn);
    int probe = drain->flags & PROBES && drain->frames == 2 && length_of(drain, 1) == 0;
    if (drain->flags & ANSWERS && !probe) {
        envelope = first = envelope_of(drain);
        if (first == 0) {
            turn->malformed++;
            drain->frames = 0;
            return;
        }
    }
    int text = drain->flags & TOPICS && drain->frames - first >= 2 && length_of(drain, first) <= MAX_LABEL &&
               is_text(drain->kept + start_of(drain, first), length_of(drain, first));
    frames = drain->frames - first - (text ? 1 : 0);
    size = start_of(drain, drain->frames) - start_of(drain, first + (text ? 1 : 0));
    if (probe || size > turn->max_reading || frames > turn->max_frames || start_of(drain, envelope) + sizeof(uint32_t) * envelope > MAX_ENVELOPE) {
        turn->odd = drain->kept;
        turn->odd_ends = drain->ends;
        turn->odd_frames = drain->frames;
        if (drain->flags & CLIENTS)
            turn->odd_client = client_of(drain, turn);
        drain->odd = 1;
        return;
    }
    if (text) {
        topic = label(&turn->topics, drain->topics, drain->turn, drain->kept + start_of(drain, first), length_of(drain, first));
        first++;
    } else if (drain->flags & TOPICS) {
        topic = no_label(&turn->topics);
    }
    if (envelope)
        put_envelope(drain, turn, envelope);
    if (frames != 1) {
        at = put_head(at, frames, 0xdc);
        turn->plain = 0;
    }
    for (; first < drain->frames; first++)
        at = put_binary(at, drain->kept + start_of(drain, first), length_of(drain, first));
    note_reading(drain, turn, at, size, topic);
    drain->frames = 0;
}

/* Give back what an odd message needed, once it is not wanted any more. */
static void forget(struct drain *drain) {
    drain->frames = 0;
    drain->odd = 0;
    if (drain->kept_size > SPARE) {
        free(drain->kept);
        drain->kept = NULL;
        drain->kept_size = 0;
    }
}

/* The turn */

/* Whether whatever comes next, if it is not odd, finds room in every buffer. */
static int room(const struct turn *turn) {
    size_t used = (size_t)(data_end(turn) - turn->data);
    const struct labels *labels[2] = {&turn->topics, &turn->clients};
    if (used + turn->max_reading + BIN_HEAD * ((size_t)turn->max_frames + 1) > turn->data_size)
        return 0;
    for (int i = 0; i < 2; i++)
        if (labels[i]->count && labels[i]->ends[labels[i]->count - 1] + MAX_LABEL > labels[i]->text_size)
            return 0;
    if (turn->envelopes && turn->readings && turn->envelope_ends[turn->readings - 1] + MAX_ENVELOPE > turn->envelopes_size)
        return 0;
    return turn->readings < TURN_READINGS;
}

static void begin(struct drain *drain, struct turn *turn) {
    if (drain->odd)
        forget(drain);
    if (++drain->turn == 0) { /* after 2^32 turns: no slot may look as if it were of this one */
        memset(drain->topics, 0, sizeof drain->topics);
        memset(drain->clients, 0, sizeof drain->clients);
        drain->turn = 1;
    }
    turn->readings = turn->bytes = turn->malformed = turn->odd_frames = 0;
    turn->topics.count = turn->clients.count = 0;
    turn->topics.none = turn->clients.none = -1;
    turn->plain = 1;
    turn->error = 0;
}

static void take(struct drain *drain, struct turn *turn) {
    size_t size = drain->zmq.msg_size(&drain->last);
    int more = drain->zmq.msg_more(&drain->last);
    if (drain->flags & CLIENTS && drain->frames == (drain->flags & ANSWERS ? 1 : 0)) /* libzmq 4.3.4 says nothing of an identity's frame */
        note_client(drain);
    if (drain->frames == 0 && !more && !(drain->flags & ANSWERS) && size <= turn->max_reading) {
        uint32_t topic = drain->flags & TOPICS ? no_label(&turn->topics) : 0;
        const uint8_t *bytes = drain->zmq.msg_data(&drain->last);
        note_reading(drain, turn, put_binary(data_end(turn), bytes, (uint32_t)size), (uint32_t)size, topic);
        return;
    }
    if (keep(drain) < 0)
        turn->error = ENOMEM;
    else if (!more)
        finish(drain, turn);
}

/* Receive one turn into `turn`. */
void drain_turn(struct drain *drain, struct turn *turn) {
    begin(drain, turn);
    while (turn->readings + turn->malformed < turn->max_readings && turn->bytes < turn->max_bytes && room(turn)) {
        if (drain->zmq.msg_recv(&drain->last, drain->socket, DONTWAIT) < 0) {
            int error = drain->zmq.error();
            if (error == EINTR)
                continue;
            turn->error = error == EAGAIN ? 0 : error;
            break;
        }
        take(drain, turn);
        if (turn->odd_frames || turn->error)
            break;
    }
    drain->zmq.msg_close(&drain->last); /* a large one is not held until the next turn */
    drain->zmq.msg_init(&drain->last);
}

/* Copy the readings whose topic belongs to `stream` into another turn; labels keep their numbers, and their texts stay in `from`. */
void drain_pick(const struct turn *from, const uint8_t *stream_of_topic, uint8_t stream, struct turn *to) {
    uint32_t start = 0, envelope = 0, used = 0, said = 0;
    to->readings = to->bytes = 0;
    for (uint32_t i = 0; i < from->readings; start = from->ends[i], envelope = from->envelope_ends[i], i++) {
        uint32_t at = to->readings;
        if (stream_of_topic[from->topics.of[i]] != stream)
            continue;
        memcpy(to->data + used, from->data + start, from->ends[i] - start);
        memcpy(to->envelopes + said, from->envelopes + envelope, from->envelope_ends[i] - envelope);
        to->ends[at] = used += from->ends[i] - start;
        to->envelope_ends[at] = said += from->envelope_ends[i] - envelope;
        to->topics.of[at] = from->topics.of[i];
        to->clients.of[at] = from->clients.of[i];
        to->bytes += from->sizes[i];
        to->readings++;
    }
}

static uint32_t put_number(uint8_t *at, uint64_t number) {
    uint8_t digits[20];
    uint32_t count = 0;
    do
        digits[count++] = (uint8_t)('0' + number % 10);
    while (number /= 10);
    for (uint32_t i = 0; i < count; i++)
        at[i] = digits[count - 1 - i];
    return count;
}

static int send_frame(const struct libzmq *zmq, void *socket, const uint8_t *bytes, uint32_t size, int flags) {
    while (zmq->send(socket, bytes, size, flags | DONTWAIT) < 0)
        if (zmq->error() != EINTR)
            return zmq->error();
    return 0;
}

/* Send one answer. Only its first frame can fail: after it ZeroMQ takes the others, or the peer has gone and they are dropped. */
static int send_answer(const struct libzmq *zmq, void *socket, const struct answers *answers, const uint8_t *text, uint32_t size) {
    uint32_t at = answers->done ? answers->ends[answers->done - 1] : 0, end = answers->ends[answers->done];
    while (at < end) {
        uint32_t length;
        memcpy(&length, answers->envelopes + at, sizeof length);
        at += (uint32_t)sizeof length;
        int error = send_frame(zmq, socket, answers->envelopes + at, length, SNDMORE);
        if (error)
            return error;
        at += length;
    }
    return send_frame(zmq, socket, text, size, 0);
}

/* Send answers over a ROUTER with ZMQ_ROUTER_MANDATORY until one cannot be sent; EHOSTUNREACH only says that a peer has gone. */
void drain_answer(const struct libzmq *zmq, void *socket, struct answers *answers) {
    uint8_t text[LONGEST + 32];
    answers->error = 0;
    if (answers->text_size > LONGEST) {
        answers->error = EMSGSIZE;
        return;
    }
    memcpy(text, answers->text, answers->text_size);
    for (; answers->done < answers->count; answers->done++) {
        uint32_t size = answers->text_size;
        if (answers->numbered) {
            size += put_number(text + size, answers->first + answers->done);
            text[size++] = '}';
        }
        int error = send_answer(zmq, socket, answers, text, size);
        if (error == EHOSTUNREACH) {
            answers->lost++;
        } else if (error) {
            answers->error = error;
            return;
        }
    }
}
