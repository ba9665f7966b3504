/* TCP between two machines: `bench_net serve PORT`, and from the other one
 * `bench_net ask HOST PORT`, which prints microseconds. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#define BLOCK 65536
#define BLOCKS 1024
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1e6 + t.tv_nsec / 1e3; }
static int order(const void *a, const void *b) { double x = *(double *)a - *(double *)b; return x < 0 ? -1 : x > 0; }
static void fail(const char *what) { perror(what); exit(1); }
static void at_once(int s) { setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)); }
/* What is wanted is said by the first byte: `e`: each byte comes back; `t`: all is taken, then
 * told with a byte; `g`: so much is given. */
static void *serve_one(void *given) {
    int s = (long)given;
    char block[BLOCK], wanted;
    ssize_t n;
    at_once(s);
    if (read(s, &wanted, 1) == 1) {
        if (wanted == 'e')
            while ((n = read(s, block, 1)) == 1 && write(s, block, 1) == 1);
        else if (wanted == 't') {
            while (read(s, block, sizeof block) > 0);
            write(s, "", 1);
        } else {
            memset(block, 0, sizeof block);
            for (int i = 0; i < BLOCKS; i++)
                for (n = 0; n < BLOCK;) { ssize_t more = write(s, block + n, BLOCK - n); if (more <= 0) goto end; n += more; }
        }
    }
end:
    close(s);
    return 0;
}
static void serve(int port) {
    int s = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(s, (void *)&at, sizeof at) || listen(s, 128)) fail("listen");
    for (;;) {
        int one = accept(s, 0, 0);
        pthread_t thread;
        if (one < 0 || pthread_create(&thread, 0, serve_one, (void *)(long)one)) fail("accept");
        pthread_detach(thread);
    }
}
static struct sockaddr_in server;
static int to(char wanted) {
    int s = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(s, (void *)&server, sizeof server)) return close(s), -1;
    at_once(s);
    if (write(s, &wanted, 1) != 1) fail("write");
    return s;
}
static void there_and_back(int s) { char c = 'x'; if (write(s, &c, 1) != 1 || read(s, &c, 1) != 1) fail("echo"); }
#define ROUNDS 5
#define MEASURE(name, times, body) do { \
    double r[ROUNDS]; \
    for (int k = 0; k < ROUNDS; k++) { double from = now(); for (int i = 0; i < (times); i++) { body; } r[k] = (now() - from) / (times); } \
    qsort(r, ROUNDS, sizeof *r, order); printf("%s\t%.2f\n", name, r[ROUNDS / 2]); } while (0)
int main(int count, char **words) {
    static char block[BLOCK];
    if (count == 3 && !strcmp(words[1], "serve")) serve(atoi(words[2]));
    if (count != 4) return 2;
    server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(atoi(words[3]))};
    inet_pton(AF_INET, words[2], &server.sin_addr);
    /* Until it serves, for a minute at most. */
    int s;
    for (int i = 0; (s = to('e')) < 0; i++) {
        if (i == 600) fail("connect");
        nanosleep(&(struct timespec){0, 100000000}, 0);
    }
    MEASURE("TCP from outside, a byte there and back", 500, there_and_back(s));
    close(s);
    MEASURE("TCP from outside, a connection", 100, { s = to('e'); there_and_back(s); close(s); });
    MEASURE("TCP from outside, 64 MiB into it", 1, {
        s = to('t');
        for (int b = 0; b < BLOCKS; b++)
            for (ssize_t n = 0; n < BLOCK;) { ssize_t more = write(s, block, BLOCK - n); if (more <= 0) fail("write"); n += more; }
        shutdown(s, SHUT_WR);
        if (read(s, block, 1) != 1) fail("read");
        close(s);
    });
    MEASURE("TCP from outside, 64 MiB out of it", 1, {
        s = to('g');
        while (read(s, block, BLOCK) > 0);
        close(s);
    });
}
