/* PUSH in C: readings from any language; this one needs libzmq and nothing else.
 *
 *     sudo apt install gcc libzmq3-dev
 *     gcc -O2 -o push examples/push.c -lzmq && ./push tcp://127.0.0.1:5555 1000
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

int main(int argc, char **argv)
{
    const char *endpoint = argc > 1 ? argv[1] : "tcp://127.0.0.1:5555";
    long count = argc > 2 ? atol(argv[2]) : 10;
    void *context = zmq_ctx_new();
    void *socket = zmq_socket(context, ZMQ_PUSH);
    long sent = 0;

    if (zmq_connect(socket, endpoint) != 0) {
        fprintf(stderr, "cannot connect to %s: %s\n", endpoint, zmq_strerror(zmq_errno()));
        return 1;
    }
    for (; sent < count; sent++) {
        char reading[80];
        int size = snprintf(reading, sizeof reading, "{\"t\": %ld, \"n\": %ld}", (long)time(NULL), sent);
        if (zmq_send(socket, "c/counter", strlen("c/counter"), ZMQ_SNDMORE) < 0 || zmq_send(socket, reading, (size_t)size, 0) < 0)
            break;
    }
    zmq_close(socket); /* the default linger: zmq_ctx_term waits until everything is out */
    zmq_ctx_term(context);
    printf("{\"sent\": %ld}\n", sent);
    return sent == count ? 0 : 1;
}
