/* Fuzzes the drain with a libzmq of its own, so that every order of frames, errors and limits can come: `make fuzz`.
 *
 *     drainfuzz SECONDS [SEED]    random scripts; prints how many, exit code 1 and the script's seed at the first that breaks
 *
 * A script is bytes: what each zmq_msg_recv brings. A slow twin, written without a look at the drain, says what must come out.
 * Built with address and undefined-behaviour checks; all buffers have exactly the size that the drain is told.
 */
#include "../../device_agent/intake/native/drain.c"
#include <stdio.h>
#include <time.h>

#define FRAMES 64
#define ETERM 156384765 /* zmq.h */

struct frame {
    uint8_t *bytes;
    size_t size;
    int more;
};
struct heap_message { /* what lies in zmq_msg_t */
    struct frame *frame;
};

static uint64_t seed;
static uint32_t draw(uint32_t below) { /* xorshift */
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 16) % below;
}

static void check(int good, const char *what) {
    if (!good) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

/* The fake libzmq */

static int last_error, left, in_message, user, endless;
static struct frame message_frames[5000]; /* of the message that is being received, as the twin sees it */
static uint32_t message_count;
static size_t message_bytes;
static uint32_t max_size;
static const char *const USERS[] = {"", "key one", "another key of forty characters, or so:)"};

static void drop(struct frame *frame) {
    if (frame) {
        free(frame->bytes);
        free(frame);
    }
}
static struct frame **inside(message *msg) { return &((struct heap_message *)(void *)msg)->frame; }
static int fake_init(message *msg) {
    *inside(msg) = NULL;
    return 0;
}
static int fake_close(message *msg) {
    drop(*inside(msg));
    *inside(msg) = NULL;
    return 0;
}
static void *fake_data(message *msg) { return (*inside(msg))->bytes; }
static size_t fake_size(const message *msg) { return (*inside((message *)(uintptr_t)msg))->size; }
static int fake_more(const message *msg) { return (*inside((message *)(uintptr_t)msg))->more; }
static const char *fake_gets(const message *msg, const char *name) {
    check(msg != NULL && strcmp(name, "User-Id") == 0, "the property asked for");
    return user ? USERS[user] : NULL;
}
static int fake_error(void) { return last_error; }

static size_t a_size(void) {
    if (endless)
        return draw(200) ? draw(3) : draw(300000);
    static const size_t EDGES[] = {0, 1, 31, 32, 255, 256, 257, 65535, 65536, 65537};
    switch (draw(8)) {
    case 0:
    case 1:
        return 0;
    case 2:
        return EDGES[draw(10)];
    case 3:
        return draw(3) ? 300 : draw(200000);
    case 4:
        return max_size + draw(3) - (max_size ? 1 : 0);
    default:
        return draw(40);
    }
}

static void fill(struct frame *frame) {
    static const char *const TEXTS[] = {"\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xe2\x82"};
    const char *text = TEXTS[draw(7)];
    memset(frame->bytes, 'a' + (int)draw(3), frame->size);
    if (frame->size)
        frame->bytes[draw((uint32_t)frame->size)] = (uint8_t)('a' + draw(3));
    if (frame->size >= strlen(text) && draw(3) == 0)
        memcpy(frame->bytes + frame->size - strlen(text), text, strlen(text));
}

static int fake_recv(message *msg, void *socket, int flags) {
    check(socket == (void *)&seed && flags == DONTWAIT, "the socket, without waiting");
    fake_close(msg);
    uint32_t kind = draw(40);
    if (left <= 0 || kind < 3) {
        last_error = left <= 0 || kind == 0 ? EAGAIN : kind == 1 ? EINTR : ETERM;
        left -= kind == 1;
        return -1;
    }
    left--;
    struct frame *frame = malloc(sizeof *frame);
    frame->size = a_size();
    frame->bytes = malloc(frame->size ? frame->size : 1);
    frame->more = endless ? draw(6000) != 0 : draw(4) < 2 || (message_count > 10 && draw(60));
    fill(frame);
    *inside(msg) = frame;
    if (!in_message) {
        for (uint32_t i = 0; i < message_count; i++)
            free(message_frames[i].bytes);
        message_count = 0;
        message_bytes = 0;
        user = (int)draw(3);
    }
    if (message_bytes <= KEEP_BYTES && message_count < KEEP_FRAMES) { /* what is kept of a message */
        struct frame *copy = &message_frames[message_count++];
        *copy = *frame;
        copy->bytes = malloc(frame->size ? frame->size : 1);
        memcpy(copy->bytes, frame->bytes, frame->size);
        message_bytes += frame->size;
    }
    in_message = frame->more;
    return (int)frame->size;
}

/* The twin */

static int text_of(const struct frame *frame) {
    if (frame->size > MAX_LABEL)
        return 0;
    for (size_t i = 0; i < frame->size;) {
        uint32_t c = frame->bytes[i], n = c < 0x80 ? 1 : (c & 0xe0) == 0xc0 ? 2 : (c & 0xf0) == 0xe0 ? 3 : (c & 0xf8) == 0xf0 ? 4 : 0;
        uint32_t point = n == 1 ? c : c & (0xffu >> (n + 1));
        if (n == 0 || i + n > frame->size)
            return 0;
        for (uint32_t k = 1; k < n; k++) {
            if ((frame->bytes[i + k] & 0xc0) != 0x80)
                return 0;
            point = point << 6 | (frame->bytes[i + k] & 0x3fu);
        }
        if ((n == 2 && point < 0x80) || (n == 3 && point < 0x800) || (n == 4 && point < 0x10000) || point > 0x10ffff ||
            (point >= 0xd800 && point < 0xe000))
            return 0;
        i += n;
    }
    return 1;
}

static int envelope_frames(uint32_t flags) { /* -1: malformed */
    if (!(flags & ANSWERS))
        return 0;
    if (flags & REP) {
        for (uint32_t i = 1; i < message_count && i < 32; i++)
            if (message_frames[i].size == 0)
                return (int)i + 1;
        return -1;
    }
    uint32_t start = message_count > 2 && message_frames[1].size == 0 ? 2 : 1;
    start += flags & NUMBERED ? 1 : 0;
    return message_count < start ? -1 : (int)start;
}

static uint32_t unpack_length(const uint8_t **at, uint8_t first) {
    uint32_t width = first == 0xc4 ? 1 : first == 0xc5 || first == 0xdc ? 2 : 4, length = 0;
    for (uint32_t i = 0; i < width; i++)
        length = length << 8 | *(*at)++;
    check(width == 1 || length > 255 || first >= 0xdc, "the shortest head of a binary");
    check(width != 4 || length > 65535, "no longer head than needed");
    return length;
}

static void check_frame(const uint8_t **at, const struct frame *frame) {
    uint8_t first = *(*at)++;
    check(first >= 0xc4 && first <= 0xc6, "a binary");
    check(unpack_length(at, first) == frame->size && memcmp(*at, frame->bytes, frame->size) == 0, "the frame's bytes");
    *at += frame->size;
}

static void check_label(const struct labels *labels, uint32_t number, const void *text, size_t size) {
    check(number < labels->count, "the number of a label");
    uint32_t start = number ? labels->ends[number - 1] : 0;
    check(labels->ends[number] <= labels->text_size, "labels within their buffer");
    if (text == NULL)
        check((int32_t)number == labels->none, "no label");
    else
        check((int32_t)number != labels->none && labels->ends[number] - start == size && memcmp(labels->text + start, text, size) == 0, "a label");
}

/* Hold the newest reading of the turn against the newest message. */
static void check_reading(const struct turn *turn, uint32_t flags, uint32_t number, uint32_t envelope) {
    uint32_t topic = flags & TOPICS && message_count - envelope >= 2 && text_of(&message_frames[envelope]), first = envelope + topic;
    uint32_t frames = message_count - first, sum = 0, at_envelope = number ? turn->envelope_ends[number - 1] : 0;
    const uint8_t *at = turn->data + (number ? turn->ends[number - 1] : 0);
    if (frames != 1) {
        uint8_t head = *at++;
        check(frames < 16 ? head == (0x90 | frames) : unpack_length(&at, head) == frames, "as many frames");
    }
    for (uint32_t i = first; i < message_count; i++) {
        check_frame(&at, &message_frames[i]);
        sum += (uint32_t)message_frames[i].size;
    }
    check(at == turn->data + turn->ends[number] && turn->ends[number] <= turn->data_size, "the end of a reading");
    check(turn->sizes[number] == sum && sum <= turn->max_reading && frames <= turn->max_frames, "its size");
    for (uint32_t i = 0; i < envelope; i++) {
        uint32_t length;
        memcpy(&length, turn->envelopes + at_envelope, 4);
        check(length == message_frames[i].size && memcmp(turn->envelopes + at_envelope + 4, message_frames[i].bytes, length) == 0, "envelope");
        at_envelope += 4 + length;
    }
    check(at_envelope == turn->envelope_ends[number] && at_envelope <= turn->envelopes_size, "the end of an envelope");
    if (flags & TOPICS)
        check_label(&turn->topics, turn->topics.of[number], topic ? message_frames[envelope].bytes : NULL, message_frames[envelope].size);
    if (flags & CLIENTS)
        check_label(&turn->clients, turn->clients.of[number], user ? USERS[user] : NULL, strlen(USERS[user]));
}

static void check_odd(const struct turn *turn) {
    check(turn->odd_frames == message_count, "all frames of an odd message");
    for (uint32_t i = 0; i < message_count; i++) {
        uint32_t start = i ? turn->odd_ends[i - 1] : 0;
        check(turn->odd_ends[i] - start == message_frames[i].size, "the size of an odd frame");
        check(memcmp(turn->odd + start, message_frames[i].bytes, message_frames[i].size) == 0, "an odd frame");
    }
}

/* One script: turns of one reading each, so that the newest message is what came out, and longer ones that only have to be sound. */
static void *exact(size_t size) { return malloc(size ? size : 1); }

static void set_up(struct turn *turn, uint32_t flags) {
    memset(turn, 0, sizeof *turn);
    turn->max_readings = draw(3) ? 1 : draw(TURN_READINGS) + 1;
    turn->max_bytes = draw(100000) + 1;
    turn->max_reading = max_size = draw(3) ? draw(400) : draw(70000);
    turn->max_frames = draw(20) + 1;
    turn->data_size = turn->max_reading + BIN_HEAD * (turn->max_frames + 1) + draw(3000);
    turn->envelopes_size = MAX_ENVELOPE + draw(1000);
    turn->topics.text_size = MAX_LABEL + draw(300);
    turn->clients.text_size = MAX_LABEL + draw(300);
    turn->data = exact(turn->data_size);
    turn->envelopes = exact(flags & ANSWERS ? turn->envelopes_size : 0);
    turn->ends = exact(TURN_READINGS * 4);
    turn->sizes = exact(TURN_READINGS * 4);
    turn->envelope_ends = exact(TURN_READINGS * 4);
    struct labels *labels[2] = {&turn->topics, &turn->clients};
    for (int i = 0; i < 2; i++) {
        labels[i]->text = exact(labels[i]->text_size);
        labels[i]->ends = exact(TURN_READINGS * 4);
        labels[i]->of = exact(TURN_READINGS * 2);
    }
}

static void tear_down(struct turn *turn) {
    void *all[] = {turn->data, turn->envelopes, turn->ends, turn->sizes, turn->envelope_ends, turn->topics.text, turn->topics.ends,
                   turn->topics.of, turn->clients.text, turn->clients.ends, turn->clients.of};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

static int same(const uint8_t *one, const uint32_t *ends, uint32_t at, const uint8_t *other, const uint32_t *other_ends, uint32_t other_at) {
    uint32_t start = at ? ends[at - 1] : 0, other_start = other_at ? other_ends[other_at - 1] : 0, size = ends[at] - start;
    return other_ends[other_at] - other_start == size && memcmp(one + start, other + other_start, size) == 0;
}

static void check_parts(const struct turn *turn, uint32_t flags) {
    uint8_t stream_of[TURN_READINGS];
    struct turn part;
    set_up(&part, flags);
    free(part.data);
    free(part.envelopes);
    part.data = exact(turn->data_size);
    part.envelopes = exact(turn->envelopes_size);
    for (uint32_t i = 0; i < TURN_READINGS; i++)
        stream_of[i] = (uint8_t)draw(3);
    for (uint8_t stream = 0; stream < 3; stream++) {
        uint32_t at = 0;
        drain_pick(turn, stream_of, stream, &part);
        for (uint32_t i = 0; i < turn->readings; i++) {
            if (stream_of[turn->topics.of[i]] != stream)
                continue;
            check(same(turn->data, turn->ends, i, part.data, part.ends, at), "a part's reading");
            check(same(turn->envelopes, turn->envelope_ends, i, part.envelopes, part.envelope_ends, at), "a part's envelope");
            check(part.topics.of[at] == turn->topics.of[i], "a part's topic");
            at++;
        }
        check(at == part.readings, "all readings of a part");
    }
    max_size = turn->max_reading;
    tear_down(&part);
}

static void one(void) {
    static const uint32_t FLAGS[] = {0, TOPICS, CLIENTS, TOPICS | CLIENTS, REP, REP | TOPICS, REP | CLIENTS, ROUTER, ROUTER | NUMBERED,
                                     ROUTER | NUMBERED | TOPICS | CLIENTS};
    struct libzmq zmq = {fake_init, fake_recv, fake_data, fake_size, fake_more, fake_close, fake_gets, NULL, fake_error};
    uint32_t flags = FLAGS[draw(10)];
    struct turn turn;
    set_up(&turn, flags);
    struct drain *drain = drain_open(&zmq, &seed, flags);
    in_message = 0;
    endless = draw(100) == 0; /* a message of thousands of frames, or of megabytes */
    for (left = endless ? 9000 : (int)draw(300); left > 0;) {
        drain_turn(drain, &turn);
        check(turn.readings <= turn.max_readings && turn.readings <= TURN_READINGS, "no more readings than asked for");
        check(turn.error == 0 || turn.error == ETERM, "the error of libzmq");
        if (turn.readings + turn.malformed + (turn.odd_frames ? 1 : 0) == 0)
            continue;
        int envelope = envelope_frames(flags);
        if (turn.odd_frames)
            check_odd(&turn);
        else if (turn.max_readings == 1 && turn.readings && !in_message)
            check_reading(&turn, flags, 0, (uint32_t)envelope);
        else if (turn.max_readings == 1 && turn.malformed == 1 && !in_message)
            check(envelope == -1, "malformed");
        if (flags & TOPICS && turn.readings && draw(4) == 0)
            check_parts(&turn, flags);
    }
    drain_close(drain);
    tear_down(&turn);
}

int main(int argc, char **argv) {
    time_t end = time(NULL) + (argc > 1 ? atoi(argv[1]) : 1);
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : (uint64_t)time(NULL) * 2654435761u, count = 0;
    do {
        for (int i = 0; i < 100; i++, count++) {
            seed = (first + count) * 0x9e3779b97f4a7c15u + 1;
            if (argc > 3)
                fprintf(stderr, "%llu\n", (unsigned long long)(first + count));
            one();
        }
    } while (time(NULL) < end);
    for (uint32_t i = 0; i < message_count; i++)
        free(message_frames[i].bytes);
    printf("drain: seed %llu, %llu scripts, none broke it\n", (unsigned long long)first, (unsigned long long)count);
    return 0;
}
