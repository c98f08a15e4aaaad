/* PUSH in C: readings from any language; this one needs libzmq and nothing else.
 *
 *     sudo apt install gcc libzmq3-dev
 *     gcc -O2 -o push examples/push.c -lzmq
 *     ./push --connect tcp://127.0.0.1:5555 --rate 10 --seconds 20
 *
 * --count N, --rate A_SECOND (0: as fast as it goes), --seconds S; without --count and --seconds it sends 10. --log FILE appends each number
 * that was sent.
 * Nobody tells a PUSH what became of a reading: order_req.py and pipeline_dealer.py show the patterns with an answer.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

#define USAGE "usage: %s [--connect ENDPOINT] [--count N] [--rate A_SECOND] [--seconds S] [--log FILE]\n"

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void wait_until(double moment)
{
    double left = moment - now();
    struct timespec t;

    if (left <= 0)
        return;
    t.tv_sec = (time_t)left;
    t.tv_nsec = (long)((left - (double)t.tv_sec) * 1e9);
    nanosleep(&t, NULL);
}

int main(int argc, char **argv)
{
    const char *endpoint = "tcp://127.0.0.1:5555", *path = NULL;
    long count = -1, sent = 0;
    double rate = 0, seconds = 0, start;
    FILE *log = NULL;
    void *context, *socket;

    if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
        printf(USAGE, argv[0]);
        return 0;
    }
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (value && !strcmp(argv[i], "--connect")) endpoint = value;
        else if (value && !strcmp(argv[i], "--count")) count = atol(value);
        else if (value && !strcmp(argv[i], "--rate")) rate = atof(value);
        else if (value && !strcmp(argv[i], "--seconds")) seconds = atof(value);
        else if (value && !strcmp(argv[i], "--log")) path = value;
        else {
            fprintf(stderr, USAGE, argv[0]);
            return 2;
        }
    }
    if (count < 0 && seconds <= 0)
        count = 10;
    if (path && !(log = fopen(path, "a"))) {
        perror(path);
        return 1;
    }
    context = zmq_ctx_new();
    socket = zmq_socket(context, ZMQ_PUSH);
    if (zmq_connect(socket, endpoint) != 0) {
        fprintf(stderr, "cannot connect to %s: %s\n", endpoint, zmq_strerror(zmq_errno()));
        return 1;
    }
    start = now();
    for (; (count < 0 || sent < count) && (seconds <= 0 || now() - start < seconds); sent++) {
        char reading[80];
        int size = snprintf(reading, sizeof reading, "{\"t\": %ld, \"n\": %ld}", (long)time(NULL), sent);

        if (rate > 0)
            wait_until(start + (double)sent / rate);
        if (zmq_send(socket, "c/counter", strlen("c/counter"), ZMQ_SNDMORE) < 0 || zmq_send(socket, reading, (size_t)size, 0) < 0)
            break;
        if (log)
            fprintf(log, "{\"n\": %ld}\n", sent);
    }
    if (log)
        fclose(log);
    zmq_close(socket); /* the default linger: zmq_ctx_term waits until everything is out */
    zmq_ctx_term(context);
    printf("{\"sent\": %ld}\n", sent);
    return sent == count || seconds > 0 ? 0 : 1;
}
