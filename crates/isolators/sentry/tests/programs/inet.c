/* TCP and UDP on the loopback interface. */
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
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
/* A result, or the error as a negative number. */
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
#define ALL (POLLIN | POLLOUT | POLLRDHUP | POLLPRI | POLLRDNORM | POLLWRNORM)
/* What is ready, once one of `want` is (or at once). */
static int events(int fd, int want) {
    struct pollfd p = {fd, want, 0};
    if (want) poll(&p, 1, 5000);
    p.events = ALL;
    poll(&p, 1, 0);
    return p.revents;
}
typedef struct { struct sockaddr_storage a; socklen_t n; } Address;
static Address at(const char *ip, int port) {
    Address r = {0};
    if (strchr(ip, ':')) {
        struct sockaddr_in6 *s = (void *)&r.a;
        s->sin6_family = AF_INET6, s->sin6_port = htons(port), r.n = sizeof *s;
        inet_pton(AF_INET6, ip, &s->sin6_addr);
    } else {
        struct sockaddr_in *s = (void *)&r.a;
        s->sin_family = AF_INET, s->sin_port = htons(port), r.n = sizeof *s;
        inet_pton(AF_INET, ip, &s->sin_addr);
    }
    return r;
}
static int bind_to(int s, Address a) { return bind(s, (void *)&a.a, a.n); }
static int connect_to(int s, Address a) { return connect(s, (void *)&a.a, a.n); }
static long send_to(int s, const char *b, size_t n, Address a) { return sendto(s, b, n, 0, (void *)&a.a, a.n); }
static int port_of(int fd) {
    Address a = {.n = sizeof a.a};
    getsockname(fd, (void *)&a.a, &a.n);
    return ntohs(((struct sockaddr_in *)&a.a)->sin_port);
}
static void show(const char *what, int fd, int peer, int with_port) {
    Address a = {.n = sizeof a.a};
    char t[64] = "";
    long r = E((peer ? getpeername : getsockname)(fd, (void *)&a.a, &a.n));
    if (r == 0 && a.a.ss_family == AF_INET6) inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&a.a)->sin6_addr, t, 64);
    if (r == 0 && a.a.ss_family == AF_INET) inet_ntop(AF_INET, &((struct sockaddr_in *)&a.a)->sin_addr, t, 64);
    P("%s %ld %s", what, r, t);
    int port = ntohs(((struct sockaddr_in *)&a.a)->sin_port);
    if (r == 0) P(" %d", with_port ? port : port > 0);
    P("\n");
}
static int handled;
static void handler(int s) { handled = s; }
static int error(int fd) {
    int v = -1;
    socklen_t n = sizeof v;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &v, &n);
    return v;
}
static void connections(const char *ip, const char *to) {
    int family = strchr(ip, ':') ? AF_INET6 : AF_INET, n, one = 1;
    int l = socket(family, SOCK_STREAM, 0), c = socket(strchr(to, ':') ? AF_INET6 : AF_INET, SOCK_STREAM, IPPROTO_TCP);
    char b[64] = {0};
    P("-- %s from %s\n", ip, to);
    P("fresh %x read %ld peer %ld", events(c, 0), E(read(c, b, 1)), E(getpeername(c, 0, 0)));
    handled = 0;
    long w = E(write(c, "x", 1));
    P(" write %ld signal %d\n", w, handled);
    show("unbound", l, 0, 1);
    P("bind %ld", E(bind_to(l, at(ip, 0))));
    P(" again %ld", E(bind_to(l, at(ip, 0))));
    int port = port_of(l);
    Address a = at(to, port);
    P(" refused %ld", E(connect_to(c, a)));
    P(" accept %ld", E(accept(l, 0, 0)));
    P(" listen %ld %x", E(listen(l, 5)), events(l, 0));
    P(" connect %ld", E(connect_to(c, a)));
    P(" again %ld", E(connect_to(c, a)));
    P(" %x %x\n", events(c, 0), events(l, POLLIN));
    Address from = {.n = sizeof from.a};
    int s = accept4(l, (void *)&from.a, &from.n, SOCK_CLOEXEC);
    P("accepted %d len %d cloexec %d same %d\n", s > 0, from.n, fcntl(s, F_GETFD), port_of(s) == port);
    show("own", s, 0, 0), show("peer", s, 1, 0), show("own", c, 0, 0), show("peer", c, 1, 0);
    P("write %ld", E(write(c, "hello", 5)));
    P(" ev %x", events(s, POLLIN));
    ioctl(s, FIONREAD, &n);
    P(" waiting %d peek %ld read %ld", n, E(recv(s, b, 9, MSG_PEEK)), E(recv(s, b, 2, 0)));
    P(" %ld", E(read(s, b, 9)));
    P(" none %ld\n", E(recv(s, b, 9, MSG_DONTWAIT)));
    P("half close %ld", E(shutdown(c, SHUT_WR)));
    P(" write %ld", E(send(c, "x", 1, MSG_NOSIGNAL)));
    P(" ev %x end %ld", events(s, POLLIN), E(read(s, b, 9)));
    P(" answer %ld", E(write(s, "answer", 6)));
    close(s);
    P(" ev %x", events(c, POLLHUP));
    P(" read %ld %ld\n", E(read(c, b, 64)), E(read(c, b, 64)));
    close(c);
    /* The other side goes first. */
    c = socket(strchr(to, ':') ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
    connect_to(c, a), s = accept(l, 0, 0);
    write(s, "last", 4), close(s);
    P("closed %x", events(c, POLLRDHUP));
    P(" read %ld %ld", E(read(c, b, 9)), E(read(c, b, 9)));
    P(" write %ld", E(write(c, "x", 1)));
    P(" ev %x", events(c, POLLERR | POLLHUP));
    handled = 0;
    w = E(write(c, "x", 1));
    P(" write %ld signal %d read %ld\n", w, handled, E(read(c, b, 1)));
    close(c);
    /* Resets. */
    for (int how = 0; how < 2; how++) {
        c = socket(strchr(to, ':') ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
        connect_to(c, a), s = accept(l, 0, 0);
        struct linger linger = {1, 0};
        if (how) setsockopt(s, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
        else write(c, "unread", 6), events(s, POLLIN);
        close(s);
        P("reset %x", events(c, POLLERR));
        P(" peer %ld", E(getpeername(c, (void *)&from.a, &from.n)));
        P(" read %ld", E(read(c, b, 9)));
        P(" %ld", E(read(c, b, 9)));
        P(" write %ld ev %x\n", E(send(c, "x", 1, MSG_NOSIGNAL)), events(c, 0));
        close(c);
    }
    /* Not waiting. */
    c = socket(strchr(to, ':') ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    P("connect %ld", E(connect_to(c, a)));
    P(" ev %x error %d", events(c, POLLOUT), error(c));
    P(" again %ld", E(connect_to(c, a)));
    P(" %ld\n", E(connect_to(c, a)));
    s = accept(l, 0, 0);
    close(l);
    P("write %ld", E(write(c, "y", 1)));
    P(" read %ld", E(read(s, b, 1)));
    close(s), close(c);
    c = socket(strchr(to, ':') ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    P(" refused %ld", E(connect_to(c, a)));
    P(" ev %x error %d then %d\n", events(c, POLLOUT), error(c), error(c));
    close(c);
}
static void ports(void) {
    int a = socket(AF_INET, SOCK_STREAM, 0), b = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    P("-- ports\n");
    bind_to(a, at("127.0.0.1", 0));
    int port = port_of(a);
    P("same %ld", E(bind_to(b, at("127.0.0.1", port))));
    P(" any %ld", E(bind_to(b, at("0.0.0.0", port))));
    int d = socket(AF_INET6, SOCK_STREAM, 0);
    P(" dual %ld", E(bind_to(d, at("::", port))));
    P(" only %ld", E(setsockopt(d, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one)));
    P(" bind %ld", E(bind_to(d, at("::", port))));
    P(" other %ld\n", E(bind_to(b, at("127.0.0.2", port))));
    P("not ours %ld", E(bind_to(socket(AF_INET, SOCK_STREAM, 0), at("192.0.2.1", 0))));
    Address x = at("127.0.0.1", 0);
    P(" short %ld", E(bind(socket(AF_INET, SOCK_STREAM, 0), (void *)&x.a, 8)));
    P(" family %ld", E(bind_to(socket(AF_INET6, SOCK_STREAM, 0), x)));
    P(" %ld\n", E(bind_to(socket(AF_INET, SOCK_STREAM, 0), at("::1", 0))));
    close(a), close(b), close(d);
    for (int option = 0; option < 3; option++) {
        int names[] = {0, SO_REUSEADDR, SO_REUSEPORT};
        a = socket(AF_INET, SOCK_STREAM, 0), b = socket(AF_INET, SOCK_STREAM, 0);
        if (option) setsockopt(a, SOL_SOCKET, names[option], &one, 4), setsockopt(b, SOL_SOCKET, names[option], &one, 4);
        bind_to(a, at("0.0.0.0", 0));
        P("option %d bind %ld", option, E(bind_to(b, at("0.0.0.0", port_of(a)))));
        P(" listen %ld %ld\n", E(listen(a, 1)), E(listen(b, 1)));
        close(a), close(b);
    }
    a = socket(AF_INET, SOCK_STREAM, 0);
    P("listen unbound %ld", E(listen(a, 1)));
    show(" at", a, 0, 0);
    int c[4];
    Address to = at("127.0.0.1", port_of(a));
    for (int i = 0; i < 4; i++) {
        c[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect_to(c[i], to);
        P("backlog %d: %x\n", i, i < 2 ? events(c[i], POLLOUT) : events(c[i], 0));
    }
    int s = accept(a, 0, 0);
    close(a);
    P("listener gone: %x %x\n", events(c[0], 0), events(c[1], POLLERR));
    for (int i = 0; i < 4; i++) close(c[i]);
    close(s);
    P("protocols %ld %ld %ld %ld\n", E(socket(AF_INET, SOCK_STREAM, 17)), E(socket(AF_INET, SOCK_DGRAM, 6)), E(socket(AF_INET, SOCK_SEQPACKET, 0)), E(socketpair(AF_INET, SOCK_STREAM, 0, c)));
}
static void datagrams(const char *ip) {
    int family = strchr(ip, ':') ? AF_INET6 : AF_INET, n;
    int s = socket(family, SOCK_DGRAM, 0), c = socket(family, SOCK_DGRAM, 0), o = socket(family, SOCK_DGRAM, 0);
    char b[64] = {0};
    P("-- datagrams %s\n", ip);
    bind_to(s, at(ip, 0));
    Address to = at(ip, port_of(s)), from = {.n = sizeof from.a};
    P("nowhere %ld", E(send(c, "x", 1, 0)));
    P(" read nothing %ld", E(recv(c, b, 1, MSG_DONTWAIT)));
    P(" sendto %ld %ld", E(send_to(c, "one", 3, to)), E(send_to(c, "", 0, to)));
    ioctl(s, FIONREAD, &n);
    P(" waiting %d ev %x", n, events(s, POLLIN));
    P(" from %ld", E(recvfrom(s, b, 64, 0, (void *)&from.a, &from.n)));
    P(" len %d same port %d", from.n, ntohs(((struct sockaddr_in *)&from.a)->sin_port) == port_of(c));
    P(" second %ld\n", E(recv(s, b, 64, 0)));
    P("connect %ld", E(connect_to(c, to)));
    show(" own", c, 0, 0);
    P("answer %ld", E(send_to(s, "answer", 6, from)));
    bind_to(o, at(ip, 0));
    P(" other's %ld", E(send_to(o, "other", 5, from)));
    P(" read %ld", E(recv(c, b, 64, 0)));
    P(" then %ld", E(recv(c, b, 64, MSG_DONTWAIT)));
    close(s);
    P(" gone: send %ld", E(send(c, "x", 1, 0)));
    P(" ev %x", events(c, POLLERR));
    P(" send %ld", E(send(c, "x", 1, 0)));
    send(c, "x", 1, 0), events(c, POLLERR);
    P(" recv %ld", E(recv(c, b, 9, 0)));
    char *big = calloc(1, 70000);
    P(" big %ld %ld", E(send_to(o, big, 65507, from)), E(send_to(o, big, 65508, from)));
    Address none = {.n = 16};
    P(" disconnect %ld", E(connect_to(c, none)));
    P(" send %ld", E(send(c, "x", 1, 0)));
    P(" shutdown %ld\n", E(shutdown(c, SHUT_RD)));
    close(c), close(o), free(big);
}
static void options(void) {
    int t = socket(AF_INET, SOCK_STREAM, 0), u = socket(AF_INET6, SOCK_DGRAM, 0), v = 1;
    static const int tcp[][2] = {{6, TCP_NODELAY}, {6, TCP_KEEPIDLE}, {6, TCP_KEEPINTVL}, {6, TCP_KEEPCNT}, {6, TCP_SYNCNT}, {6, TCP_CORK}, {6, TCP_USER_TIMEOUT}, {0, IP_TOS}, {0, IP_TTL}, {0, IP_MTU_DISCOVER}, {1, SO_KEEPALIVE}, {1, SO_REUSEADDR}, {1, SO_TYPE}, {1, SO_PROTOCOL}, {1, SO_DOMAIN}, {1, SO_RCVLOWAT}, {1, SO_OOBINLINE}, {6, 999}, {0, 999}, {41, IPV6_V6ONLY}, {77, 1}};
    for (int i = 0; i < sizeof tcp / sizeof *tcp; i++) {
        int x = -1;
        socklen_t n = sizeof x;
        long get = E(getsockopt(t, tcp[i][0], tcp[i][1], &x, &n));
        P("%d/%d get %ld %d", tcp[i][0], tcp[i][1], get, x);
        P(" set %ld\n", E(setsockopt(t, tcp[i][0], tcp[i][1], &v, sizeof v)));
    }
    static const int ip6[] = {IPV6_V6ONLY, IPV6_UNICAST_HOPS, IPV6_MULTICAST_HOPS, IPV6_MULTICAST_LOOP, IPV6_RECVPKTINFO, IPV6_TCLASS};
    for (int i = 0; i < sizeof ip6 / sizeof *ip6; i++) {
        int x = -1;
        socklen_t n = sizeof x;
        long get = E(getsockopt(u, 41, ip6[i], &x, &n));
        P("41/%d get %ld %d", ip6[i], get, x);
        P(" set %ld\n", E(setsockopt(u, 41, ip6[i], &v, sizeof v)));
    }
    struct linger l = {1, 5};
    socklen_t n = sizeof l;
    setsockopt(t, SOL_SOCKET, SO_LINGER, &l, n);
    l.l_linger = 0;
    P("linger %ld %d %d\n", E(getsockopt(t, SOL_SOCKET, SO_LINGER, &l, &n)), l.l_onoff, l.l_linger);
    close(t), close(u);
}
static void *server(void *p) {
    int l = *(int *)p, s = accept(l, 0, 0);
    static char b[100000];
    long total = 0, r;
    while ((r = read(s, b, sizeof b)) > 0) total += r;
    send(s, &total, sizeof total, 0);
    close(s);
    return 0;
}
static void bulk(void) {
    int l = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0);
    listen(l, 1);
    pthread_t t;
    pthread_create(&t, 0, server, &l);
    connect_to(c, at("127.0.0.1", port_of(l)));
    char *big = malloc(20 << 20);
    memset(big, 1, 20 << 20);
    P("-- bulk\nsent %ld", E(send(c, big, 20 << 20, 0)));
    shutdown(c, SHUT_WR);
    long total = 0;
    P(" told %ld", E(recv(c, &total, sizeof total, MSG_WAITALL)));
    P(" %ld\n", total);
    pthread_join(t, 0);
    close(c), close(l), free(big);
}
static void urgent(void) {
    int l = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    char b[9] = {0};
    listen(l, 1);
    connect_to(c, at("127.0.0.1", port_of(l)));
    int s = accept(l, 0, 0);
    P("-- urgent\nnone %ld", E(recv(s, b, 1, MSG_OOB)));
    P(" send %ld", E(send(c, "abc", 3, MSG_OOB)));
    P(" ev %x", events(s, POLLPRI));
    P(" read %ld", E(recv(s, b, 9, 0)));
    P(" %ld %c", E(recv(s, b, 9, MSG_OOB)), b[0]);
    P(" again %ld ev %x\n", E(recv(s, b, 9, MSG_OOB)), events(s, 0));
    close(c), close(s);
    c = socket(AF_INET, SOCK_STREAM, 0);
    connect_to(c, at("127.0.0.1", port_of(l)));
    s = accept(l, 0, 0);
    setsockopt(s, SOL_SOCKET, SO_OOBINLINE, &one, sizeof one);
    send(c, "d", 1, MSG_OOB);
    P("inline %ld", E(recv(s, b, 9, 0)));
    P(" %c apart %ld\n", b[0], E(recv(s, b, 9, MSG_OOB)));
    close(l), close(c), close(s);
}
/* Signals tell of room again, whatever is still to be read. */
static volatile int told[8];
static void on_told(int s, siginfo_t *i, void *c) { if (i->si_code > 0 && i->si_code < 8) told[i->si_code]++; }
static void signals(void) {
    static char big[1 << 16];
    int l = socket(AF_INET, SOCK_STREAM, 0), a = socket(AF_INET, SOCK_STREAM, 0);
    bind_to(l, at("127.0.0.1", 0)), listen(l, 1);
    connect_to(a, at("127.0.0.1", port_of(l)));
    int b = accept(l, 0, 0), quiet = 0;
    struct sigaction tells = {.sa_sigaction = on_told, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGRTMIN + 1, &tells, 0);
    fcntl(a, F_SETSIG, SIGRTMIN + 1), fcntl(a, F_SETOWN, getpid());
    fcntl(a, F_SETFL, O_ASYNC | O_NONBLOCK), fcntl(b, F_SETFL, O_NONBLOCK);
    send(b, "x", 1, 0);
    for (int i = 0; i < 100 && !told[POLL_IN]; i++) usleep(10000);
    P("signals: input %d", !!told[POLL_IN]);
    while (send(a, big, sizeof big, 0) > 0 || (usleep(50000), send(a, big, sizeof big, 0) > 0));
    memset((void *)told, 0, sizeof told);
    while (quiet < 10) if (recv(b, big, sizeof big, 0) > 0) quiet = 0; else quiet++, usleep(10000);
    P(" room %d\n", !!told[POLL_OUT]);
    close(a), close(b), close(l);
}
int main(void) {
    struct sigaction a = {.sa_handler = handler};
    sigaction(SIGPIPE, &a, 0);
    connections("127.0.0.1", "127.0.0.1");
    connections("::1", "::1");
    connections("::", "127.0.0.1");
    ports();
    datagrams("127.0.0.1");
    datagrams("::1");
    options();
    urgent();
    bulk();
    signals();
    P("done\n");
}
