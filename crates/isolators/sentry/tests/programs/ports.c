/* Who may have which port beside whom, who gets what comes to one that several share, and
 * connections that find no descriptor. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
enum { PORT = 7000 };
static const char *const IPS[] = {"0.0.0.0", "127.0.0.1", "127.0.0.2", "::", "::1", "::ffff:127.0.0.1"};
static socklen_t name(const char *ip, int port, struct sockaddr_storage *a) {
    memset(a, 0, sizeof *a);
    if (strchr(ip, ':')) {
        struct sockaddr_in6 *s = (void *)a;
        s->sin6_family = AF_INET6, s->sin6_port = htons(port), inet_pton(AF_INET6, ip, &s->sin6_addr);
        return sizeof *s;
    }
    struct sockaddr_in *s = (void *)a;
    s->sin_family = AF_INET, s->sin_port = htons(port), inet_pton(AF_INET, ip, &s->sin_addr);
    return sizeof *s;
}
/* Bits: SO_REUSEADDR, SO_REUSEPORT, IPV6_V6ONLY; 8 for the first two once it is bound. */
static void options(int s, int how) {
    int one = 1;
    if (how & 1) setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (how & 2) setsockopt(s, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
}
static int made(int type, const char *ip, int how) {
    int s = socket(strchr(ip, ':') ? AF_INET6 : AF_INET, type, 0), one = 1;
    if (how & 4) setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    if (!(how & 8)) options(s, how);
    return s;
}
static char letter(long r) { return r == 0 ? '.' : r == -EADDRINUSE ? 'U' : r == -EINVAL ? 'I' : r == -EADDRNOTAVAIL ? 'N' : '?'; }
static void table(int type) {
    static const int hows[] = {0, 1, 2, 3, 9, 10};
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < 6; j++) {
            P("%s %s:", IPS[i], IPS[j]);
            for (int listens = 0; listens < (type == SOCK_STREAM ? 2 : 1); listens++)
                for (int a = 0; a < 6; a++) {
                    P(" ");
                    for (int b = 0; b < 4; b++) {
                        struct sockaddr_storage at;
                        int one = made(type, IPS[i], hows[a] | (i == 3 ? b & 4 : 0)), two = made(type, IPS[j], hows[b]);
                        socklen_t n = name(IPS[i], PORT, &at);
                        long r = E(bind(one, (void *)&at, n));
                        if (hows[a] & 8) options(one, hows[a]);
                        if (r == 0 && listens) r = E(listen(one, 1));
                        if (r) P("!%c", letter(r));
                        n = name(IPS[j], PORT, &at), r = E(bind(two, (void *)&at, n));
                        P("%c", letter(r));
                        if (r == 0 && type == SOCK_STREAM) {
                            P("%c", letter(E(listen(two, 1))));
                            if (!listens) P("%c", letter(E(listen(one, 1))));
                        }
                        close(one), close(two);
                    }
                }
            P("\n");
        }
}
static void only_six(void) {
    for (int type = 1; type < 3; type++)
        for (int how = 0; how < 5; how += 4)
            for (int order = 0; order < 2; order++) {
                struct sockaddr_storage at;
                int six = made(type, "::", how), four = made(type, "0.0.0.0", 0);
                long r[2];
                for (int i = 0; i < 2; i++) {
                    int first = i == order;
                    socklen_t n = name(first ? "::" : "0.0.0.0", PORT, &at);
                    r[i] = E(bind(first ? six : four, (void *)&at, n));
                }
                P("%ld %ld ", r[0], r[1]);
                close(six), close(four);
            }
    P("\n");
}
/* Another user is kept out, though both share. */
static void users(int type) {
    struct sockaddr_storage at;
    int s = made(type, "127.0.0.1", 2);
    socklen_t n = name("127.0.0.1", PORT, &at);
    P("mine %ld", E(bind(s, (void *)&at, n)));
    if (type == SOCK_STREAM) listen(s, 1);
    for (int user = 0; user < 2; user++) {
        pid_t child = fork();
        if (!child) {
            if (user) setresuid(1000, 1000, 1000);
            int t = made(type, "127.0.0.1", 2);
            P(" user %d: %ld", user, E(bind(t, (void *)&at, n)));
            /* Made by another one, but bound by this one. */
            close(t);
            _exit(0);
        }
        waitpid(child, 0, 0);
    }
    int before = made(type, "127.0.0.1", 2);
    seteuid(1000);
    P(" made before %ld", E(bind(before, (void *)&at, n)));
    int after = made(type, "127.0.0.1", 2);
    P(" after %ld", E(bind(after, (void *)&at, n)));
    seteuid(0);
    P(" as root %ld\n", E(bind(after, (void *)&at, n)));
    close(s), close(before), close(after);
}
static void shared(int type) {
    enum { N = 4, TIMES = 400 };
    int s[N], got[N] = {0}, other = 0, c[TIMES];
    struct sockaddr_storage at;
    socklen_t n = name("127.0.0.1", PORT, &at);
    for (int i = 0; i < N; i++) {
        s[i] = made(type | SOCK_NONBLOCK, "127.0.0.1", 2);
        bind(s[i], (void *)&at, n);
        if (type == SOCK_STREAM) listen(s[i], TIMES);
    }
    for (int i = 0; i < TIMES; i++) {
        c[i] = socket(AF_INET, type, 0);
        if (connect(c[i], (void *)&at, n)) P("connect %d\n", errno);
        if (type == SOCK_DGRAM) send(c[i], "x", 1, 0);
    }
    char b[9];
    for (int i = 0; i < N; i++)
        for (int t; (t = type == SOCK_STREAM ? accept(s[i], 0, 0) : (int)recv(s[i], b, 9, 0)) > 0; got[i]++)
            if (type == SOCK_STREAM) close(t);
    int all = 0, least = TIMES;
    for (int i = 0; i < N; i++) all += got[i], least = got[i] < least ? got[i] : least;
    P("all %d spread %d", all, least > TIMES / N / 3);
    if (type == SOCK_DGRAM) {
        /* The same sender's go the same way. */
        for (int i = 0; i < 10; i++) send(c[0], "x", 1, 0);
        int who = 0;
        for (int i = 0; i < N; i++) who += recv(s[i], b, 9, 0) > 0;
        P(" one takes it %d", who);
        /* One that is connected to the sender takes it from all. */
        struct sockaddr_storage from;
        socklen_t m = sizeof from;
        getsockname(c[0], (void *)&from, &m);
        connect(s[2], (void *)&from, m);
        for (int i = 0; i < N; i++) while (recv(s[i], b, 9, 0) > 0) {}
        send(c[0], "x", 1, 0);
        P(" connected %ld", E(recv(s[2], b, 9, 0)));
    }
    P("\n");
    for (int i = 0; i < N; i++) close(s[i]);
    for (int i = 0; i < TIMES; i++) close(c[i]);
}
static int l;
static void *accepts(void *a) { return (void *)E(accept(l, 0, 0)); }
/* Without a descriptor nobody is lost. */
static void full(int family) {
    struct sockaddr_storage at;
    socklen_t n = name("127.0.0.1", PORT + 1, &at);
    if (family == AF_UNIX) {
        struct sockaddr_un *u = (void *)&at;
        memset(u, 0, sizeof at), u->sun_family = AF_UNIX, strcpy(u->sun_path + 1, "full"), n = 8;
    }
    l = socket(family, SOCK_STREAM, 0);
    int one = 1, c[4], fds[64], k = 0, served = 0, lost = 0;
    setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    bind(l, (void *)&at, n), listen(l, 8);
    for (int i = 0; i < 4; i++) c[i] = socket(family, SOCK_STREAM, 0), connect(c[i], (void *)&at, n), write(c[i], "x", 1);
    struct rlimit old, few;
    getrlimit(RLIMIT_NOFILE, &old), few = old, few.rlim_cur = 40, setrlimit(RLIMIT_NOFILE, &few);
    while (k < 64 && (fds[k] = dup(0)) >= 0) k++;
    P("full %ld %ld", E(accept(l, 0, 0)), E(accept(l, 0, 0)));
    /* One descriptor, and threads that race for it. */
    close(fds[--k]);
    pthread_t t[6];
    long r[6];
    fcntl(l, 4, 04000);
    for (int i = 0; i < 6; i++) pthread_create(t + i, 0, accepts, 0);
    for (int i = 0; i < 6; i++) pthread_join(t[i], (void **)(r + i)), served += r[i] >= 0, lost += r[i] < 0 && r[i] != -EMFILE;
    setrlimit(RLIMIT_NOFILE, &old);
    P(" raced %d %d", served, lost);
    char b;
    for (int s; (s = accept(l, 0, 0)) >= 0; served++) read(s, &b, 1), close(s);
    P(" served %d\n", served);
    while (k) close(fds[--k]);
    for (int i = 0; i < 6; i++) if (r[i] >= 0) close(r[i]);
    for (int i = 0; i < 4; i++) close(c[i]);
    close(l);
}
int main(void) {
    table(SOCK_DGRAM);
    table(SOCK_STREAM);
    only_six();
    users(SOCK_DGRAM), users(SOCK_STREAM);
    shared(SOCK_DGRAM), shared(SOCK_STREAM);
    full(AF_INET), full(AF_UNIX);
    P("done\n");
}
