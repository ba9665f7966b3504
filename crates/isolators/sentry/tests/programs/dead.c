/* Connections with a machine that falls silent: when it is noticed, and how it is told. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
enum { PORT = 5005, BACK = 5006 };
static char out[16][200];
static struct sockaddr_in at(const char *ip, int port) {
    struct sockaddr_in a = {AF_INET, htons(port)};
    inet_pton(AF_INET, ip, &a.sin_addr);
    return a;
}
static void set(int s, int option, int value) { setsockopt(s, IPPROTO_TCP, option, &value, sizeof value); }
static void keep(int s, int idle, int interval, int count, int user) {
    int one = 1;
    setsockopt(s, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    set(s, TCP_KEEPIDLE, idle), set(s, TCP_KEEPINTVL, interval), set(s, TCP_KEEPCNT, count);
    set(s, TCP_USER_TIMEOUT, user);
}
static int error(int s) {
    int v = -1;
    socklen_t n = sizeof v;
    getsockopt(s, SOL_SOCKET, SO_ERROR, &v, &n);
    return v;
}
/* The other machine: answers each byte; after a 'b' it connects to where that came from. */
static void *answers(void *a) {
    long s = (long)a, back = -1;
    char c;
    while (read(s, &c, 1) == 1) {
        if (c == 's') for (;;) pause();
        if (c == 'b') {
            struct sockaddr_in peer;
            socklen_t n = sizeof peer;
            getpeername(s, (void *)&peer, &n);
            peer.sin_port = htons(BACK);
            back = socket(AF_INET, SOCK_STREAM, 0);
            connect(back, (void *)&peer, sizeof peer);
        }
        write(s, &c, 1);
    }
    return 0;
}
static void serve(void) {
    int l = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in a = at("0.0.0.0", PORT);
    if (bind(l, (void *)&a, sizeof a) || listen(l, 64)) exit(2);
    for (;;) {
        long s = accept(l, 0, 0);
        pthread_t t;
        pthread_create(&t, 0, answers, (void *)s);
    }
}
static const char *ip;
static int connected(void) {
    int s = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = at(ip, PORT);
    for (int i = 0; i < 100 && connect(s, (void *)&a, sizeof a); i++)
        usleep(100000), close(s), s = socket(AF_INET, SOCK_STREAM, 0);
    return s;
}
static long echo(int s, char c) {
    char b = 0;
    long w = E(send(s, &c, 1, MSG_NOSIGNAL)), r = E(read(s, &b, 1));
    return w == 1 && r == 1 && b == c ? 1 : r;
}
static struct timespec begun;
static double passed(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec - begun.tv_sec + (now.tv_nsec - begun.tv_nsec) / 1e9;
}
static const char *when(double least) {
    double t = passed();
    return t < least ? "early" : t < least + 6 ? "in time" : "late";
}
#define SAY(n, ...) snprintf(out[n], sizeof out[n], __VA_ARGS__)
static int sockets[16];
static void *reads(void *a) {
    char c;
    long r = E(read(sockets[0], &c, 1));
    SAY(0, "read %ld %s then %ld %ld", r, when(1.8), E(read(sockets[0], &c, 1)), E(send(sockets[0], "x", 1, MSG_NOSIGNAL)));
    return 0;
}
static void *polls(void *a) {
    int s = sockets[1];
    struct pollfd p = {s, POLLIN | POLLRDHUP, 0};
    char c;
    long r = E(poll(&p, 1, 15000));
    const char *w = when(1.8);
    SAY(1, "poll %ld %x %s", r, p.revents, w);
    int e = error(s), again = error(s);
    p.events |= POLLOUT, poll(&p, 1, 0);
    long rest = E(read(s, &c, 1)), more = E(send(s, "x", 1, MSG_NOSIGNAL));
    snprintf(out[1] + strlen(out[1]), 100, " error %d %d then %x read %ld write %ld", e, again, p.revents, rest, more);
    return 0;
}
static void *unconfirmed(void *a) {
    int s = sockets[2];
    struct pollfd p = {s, POLLIN, 0};
    long w = E(send(s, "x", 1, MSG_NOSIGNAL)), r = E(poll(&p, 1, 15000));
    SAY(2, "unconfirmed %ld %ld %x %s error %d", w, r, p.revents, when(1.4), error(s));
    return 0;
}
static void *impatient(void *a) {
    char c;
    long r = E(recv(sockets[3], &c, 1, 0));
    SAY(3, "user's time %ld %s", r, when(0.9));
    return 0;
}
static void *edges(void *a) {
    int set = epoll_create1(0);
    struct epoll_event e = {EPOLLIN | EPOLLET, {0}};
    epoll_ctl(set, EPOLL_CTL_ADD, sockets[4], &e);
    long r = E(epoll_wait(set, &e, 1, 15000));
    SAY(4, "epoll %ld %x %s error %d", r, e.events, when(1.8), error(sockets[4]));
    return 0;
}
static void *fills(void *a) {
    static char big[16 << 20];
    long r = E(send(sockets[5], big, sizeof big, MSG_NOSIGNAL));
    const char *w = when(1.4);
    SAY(5, "full %d %s then %ld", r > 0 && r < sizeof big, w, E(send(sockets[5], big, 1, MSG_NOSIGNAL)));
    return 0;
}
static void *connects(void *a) {
    int s = socket(AF_INET, SOCK_STREAM, 0);
    set(s, TCP_USER_TIMEOUT, 1000);
    struct sockaddr_in to = at(ip, PORT);
    long r = E(connect(s, (void *)&to, sizeof to));
    SAY(6, "connect %ld %s", r, when(0.9));
    return 0;
}
static void *accepted(void *a) {
    char c;
    long r = E(read(sockets[7], &c, 1));
    SAY(7, "accepted %ld %s", r, when(0.9));
    return 0;
}
/* Its window is closed, and stays so. */
static void *closed_window(void *a) {
    static char big[64 << 20];
    int s = sockets[8];
    set(s, TCP_USER_TIMEOUT, 1500);
    long r = E(send(s, big, sizeof big, MSG_NOSIGNAL));
    SAY(8, "no window %d then %ld", r > 0 && r < sizeof big, E(send(s, big, 1, MSG_NOSIGNAL)));
    return 0;
}
int main(int count, char **words) {
    signal(SIGPIPE, SIG_IGN);
    if (count < 2) serve();
    ip = words[1];
    void *(*all[])(void *) = {reads, polls, unconfirmed, impatient, edges, fills, connects, accepted};
    enum { N = sizeof all / sizeof *all };
    int l = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    keep(l, 1, 1, 2, 0);
    struct sockaddr_in a = at("0.0.0.0", BACK);
    bind(l, (void *)&a, sizeof a), listen(l, 4);
    long good = 0;
    for (int i = 0; i < 6; i++) good += echo(sockets[i] = connected(), 'x');
    int idle = connected(), kept = connected();
    good += echo(idle, 'x') + echo(kept, 'x');
    keep(kept, 1, 1, 2, 0);
    good += echo(connected(), 'b');
    sockets[7] = accept(l, 0, 0);
    sockets[8] = connected();
    send(sockets[8], "s", 1, 0);
    P("connected %ld\n", good);
    /* One that answers is kept, however long it says nothing. */
    sleep(4);
    P("kept %ld\n", echo(kept, 'x'));
    closed_window(0);
    P("%s\n", out[8]);
    int f = open("/tmp/cut", O_CREAT | O_WRONLY, 0666);
    close(f);
    for (int i = 0; i < 1200 && access("/tmp/is_cut", F_OK); i++) usleep(50000);
    clock_gettime(CLOCK_MONOTONIC, &begun);
    keep(sockets[0], 1, 1, 2, 0), keep(sockets[1], 1, 1, 2, 0), keep(sockets[3], 1, 1, 9, 2500);
    keep(sockets[4], 1, 1, 2, 0), set(sockets[2], TCP_USER_TIMEOUT, 1500), set(sockets[5], TCP_USER_TIMEOUT, 1500);
    pthread_t threads[N];
    for (int i = 0; i < N; i++) pthread_create(threads + i, 0, all[i], 0);
    for (int i = 0; i < N; i++) pthread_join(threads[i], 0), P("%s\n", out[i]);
    f = open("/tmp/mend", O_CREAT | O_WRONLY, 0666);
    close(f);
    for (int i = 0; i < 1200 && access("/tmp/is_mended", F_OK); i++) usleep(50000);
    P("idle %ld\n", echo(idle, 'x'));
}
