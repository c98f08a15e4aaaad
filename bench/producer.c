/* What talks to the agent in the benchmarks: a PUSH socket at full speed or at a given rate, and many REQ clients at once.
 *
 *     producer push ENDPOINT FILE COUNT RATE      RATE in readings a second, 0: as fast as ZeroMQ takes them
 *     producer req  ENDPOINT FILE CLIENTS SECONDS each client sends, waits for its answer, and sends again
 *
 * FILE: readings, each as 4 bytes of length (little-endian) and its bytes; it is repeated as often as needed. Prints one JSON object; times
 * are seconds of CLOCK_MONOTONIC, so other processes of this machine can compare them with theirs. Compiled by bench/native.py against the
 * libzmq inside pyzmq's wheel, which has no header: the few functions are declared here, constants are those of libzmq 4 (zmq.h).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

extern void *zmq_ctx_new(void);
extern int zmq_ctx_term(void *context);
extern void *zmq_socket(void *context, int type);
extern int zmq_close(void *socket);
extern int zmq_setsockopt(void *socket, int option, const void *value, size_t length);
extern int zmq_connect(void *socket, const char *endpoint);
extern int zmq_send(void *socket, const void *data, size_t length, int flags);
extern int zmq_recv(void *socket, void *data, size_t length, int flags);
extern int zmq_errno(void);
extern const char *zmq_strerror(int number);
typedef struct { void *socket; int fd; short events; short revents; } zmq_pollitem_t;
extern int zmq_poll(zmq_pollitem_t *items, int count, long timeout);

enum { ZMQ_REQ = 3, ZMQ_PUSH = 8, ZMQ_LINGER = 17, ZMQ_RCVTIMEO = 27, ZMQ_SNDTIMEO = 28, ZMQ_IMMEDIATE = 39, ZMQ_POLLIN = 1 };
enum { ANSWER_TIMEOUT = 30000, GONE = 60000 }; /* milliseconds; after the second nobody will take readings any more */

typedef struct { const char *data; unsigned length; } reading_t;

static reading_t *readings;
static long number;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void fail(const char *what)
{
    fprintf(stderr, "producer: %s: %s\n", what, zmq_strerror(zmq_errno()));
    exit(1);
}

static void load(const char *path)
{
    FILE *file = fopen(path, "rb");
    long size, at, index = 0;
    char *data;

    if (!file) {
        perror(path);
        exit(1);
    }
    fseek(file, 0, SEEK_END);
    size = ftell(file);
    rewind(file);
    data = malloc((size_t)size);
    if (!data || fread(data, 1, (size_t)size, file) != (size_t)size) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(1);
    }
    fclose(file);
    readings = malloc(sizeof *readings * (size_t)(size / 4 + 1));
    for (at = 0; at + 4 <= size; index++) {
        unsigned char *head = (unsigned char *)data + at;
        readings[index].length = head[0] | (unsigned)head[1] << 8 | (unsigned)head[2] << 16 | (unsigned)head[3] << 24;
        readings[index].data = data + at + 4;
        at += 4 + (long)readings[index].length;
    }
    number = index;
    if (number == 0) {
        fprintf(stderr, "%s: no readings\n", path);
        exit(1);
    }
}

static void *open_socket(void *context, int type, const char *endpoint)
{
    int yes = 1, gone = GONE, timeout = ANSWER_TIMEOUT;
    void *socket = zmq_socket(context, type);

    /* without it PUSH fills a queue before it is connected, and the clock would start too early */
    if (!socket || zmq_setsockopt(socket, ZMQ_IMMEDIATE, &yes, sizeof yes) || zmq_connect(socket, endpoint))
        fail(endpoint);
    if (zmq_setsockopt(socket, ZMQ_SNDTIMEO, &gone, sizeof gone) || zmq_setsockopt(socket, ZMQ_LINGER, &gone, sizeof gone)
        || zmq_setsockopt(socket, ZMQ_RCVTIMEO, &timeout, sizeof timeout))
        fail(endpoint);
    return socket;
}

static void keep_pace(double start, long sent, double rate)
{
    double wait = start + (double)sent / rate - now();

    if (wait > 0) {
        struct timespec pause = {(time_t)wait, (long)((wait - (double)(time_t)wait) * 1e9)};
        nanosleep(&pause, NULL);
    }
}

static int push(void *context, const char *endpoint, long count, double rate)
{
    void *socket = open_socket(context, ZMQ_PUSH, endpoint);
    double start = 0;
    long sent, at = 0;

    for (sent = 0; sent < count; sent++) {
        if (rate > 0 && sent)
            keep_pace(start, sent, rate);
        if (zmq_send(socket, readings[at].data, readings[at].length, 0) < 0)
            fail("send");
        if (sent == 0)
            start = now();
        if (++at == number)
            at = 0;
    }
    printf("{\"count\": %ld, \"start\": %.6f, \"end\": %.6f}\n", sent, start, now());
    fflush(stdout);
    zmq_close(socket); /* zmq_ctx_term waits until everything is out, or GONE */
    return 0;
}

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static void ask(void *socket, long at)
{
    if (zmq_send(socket, readings[at % number].data, readings[at % number].length, 0) < 0)
        fail("send");
}

static void take_answer(void *socket)
{
    char answer[4096];
    int length = zmq_recv(socket, answer, sizeof answer - 1, 0);

    if (length < 0)
        fail("receive");
    answer[length < (int)sizeof answer - 1 ? length : (int)sizeof answer - 1] = 0;
    if (strstr(answer, "\"ok\":false")) {
        fprintf(stderr, "producer: refused: %.200s\n", answer);
        exit(1);
    }
}

/* The first request of each client is not counted: it waits for its connection. */
static int request(void *context, const char *endpoint, int clients, double seconds)
{
    zmq_pollitem_t *items = calloc((size_t)clients, sizeof *items);
    double *since = calloc((size_t)clients, sizeof *since);
    long space = 1 << 16, done = 0, at = 0;
    double *taken = malloc(sizeof *taken * (size_t)space);
    double start, end;
    int one, waiting = clients;

    for (one = 0; one < clients; one++) {
        items[one].socket = open_socket(context, ZMQ_REQ, endpoint);
        items[one].events = ZMQ_POLLIN;
    }
    for (one = 0; one < clients; one++)
        ask(items[one].socket, at++);
    for (one = 0; one < clients; one++)
        take_answer(items[one].socket);
    start = now();
    for (one = 0; one < clients; one++) {
        since[one] = now();
        ask(items[one].socket, at++);
    }
    while (waiting) {
        if (zmq_poll(items, clients, ANSWER_TIMEOUT) <= 0)
            fail("no answer");
        for (one = 0; one < clients; one++) {
            if (!(items[one].revents & ZMQ_POLLIN))
                continue;
            take_answer(items[one].socket);
            end = now();
            if (done == space)
                taken = realloc(taken, sizeof *taken * (size_t)(space *= 2));
            taken[done++] = end - since[one];
            if (end - start >= seconds) {
                items[one].events = 0;
                waiting--;
                continue;
            }
            since[one] = end;
            ask(items[one].socket, at++);
        }
    }
    end = now();
    qsort(taken, (size_t)done, sizeof *taken, compare);
    printf("{\"count\": %ld, \"seconds\": %.6f, \"p50\": %.9f, \"p99\": %.9f, \"worst\": %.9f}\n", done, end - start,
           taken[(done - 1) / 2], taken[(long)((double)(done - 1) * 0.99)], taken[done - 1]);
    for (one = 0; one < clients; one++)
        zmq_close(items[one].socket);
    return 0;
}

int main(int argc, char **argv)
{
    void *context;
    int code;

    if (argc != 6) {
        fprintf(stderr, "usage: producer push ENDPOINT FILE COUNT RATE | producer req ENDPOINT FILE CLIENTS SECONDS\n");
        return 2;
    }
    load(argv[3]);
    context = zmq_ctx_new();
    code = strcmp(argv[1], "push") == 0 ? push(context, argv[2], atol(argv[4]), atof(argv[5]))
                                        : request(context, argv[2], atoi(argv[4]), atof(argv[5]));
    zmq_ctx_term(context);
    return code;
}
