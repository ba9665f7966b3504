/* IPV6_ADDRFORM: sockets of IPv6 that become such of IPv4. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
static void who(const char *what, int s) {
    struct sockaddr_storage a = {0};
    int domain = -1, form = -1, only = -1;
    socklen_t n = sizeof a, d = 4;
    P("%s: name %ld", what, E(getsockname(s, (void *)&a, &n)));
    P(" %d %d", a.ss_family, n), n = sizeof a;
    P(" peer %ld", E(getpeername(s, (void *)&a, &n)));
    getsockopt(s, SOL_SOCKET, SO_DOMAIN, &domain, &d);
    P(" domain %d form %ld", domain, E(getsockopt(s, IPPROTO_IPV6, IPV6_ADDRFORM, &form, &d)));
    P(" %d only %ld\n", form, E(getsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &only, &d)));
}
static long form(int s, int to, socklen_t n) { return E(setsockopt(s, IPPROTO_IPV6, IPV6_ADDRFORM, &to, n)); }
int main(void) {
    int one = 1, l = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 a = {AF_INET6}, six = {AF_INET6, 0, 0, IN6ADDR_LOOPBACK_INIT}, mapped = {AF_INET6};
    struct sockaddr none = {AF_UNSPEC};
    socklen_t n = sizeof a;
    bind(l, (void *)&a, n), listen(l, 9), getsockname(l, (void *)&a, &n);
    inet_pton(AF_INET6, "::ffff:127.0.0.1", &mapped.sin6_addr), six.sin6_port = mapped.sin6_port = a.sin6_port;
    struct sockaddr_in four = {AF_INET, a.sin6_port, {htonl(INADDR_LOOPBACK)}}, any = {AF_INET};
    P("listener %ld\n", form(l, AF_INET, 4)), who("listener", l);
    int c = socket(AF_INET, SOCK_STREAM, 0);
    connect(c, (void *)&four, sizeof four);
    int s = accept(l, 0, 0), copy = dup(s);
    who("accepted", s);
    P("others %ld %ld %ld\n", form(s, AF_INET6, 4), form(s, AF_UNIX, 4), form(s, AF_INET, 3));
    P("form %ld\n", form(s, AF_INET, 4)), who("now", s), who("copy", copy);
    P("again %ld ttl %ld", form(s, AF_INET, 4), E(setsockopt(s, IPPROTO_IP, IP_TTL, &one, 4)));
    char b[9];
    P(" data %ld", E(send(c, "abc", 3, 0))), P(" %ld", E(recv(s, b, 9, 0)));
    P(" %ld", E(send(s, "de", 2, 0))), P(" %ld\n", E(recv(c, b, 9, 0)));
    /* From now on it does what those of IPv4 do. */
    P("disconnect %ld\n", E(connect(s, &none, sizeof none))), who("disconnected", s);
    P("six %ld", E(bind(s, (void *)&six, sizeof six))), P(" four %ld", E(bind(s, (void *)&any, sizeof any)));
    P(" listen %ld\n", E(listen(s, 1))), who("listens", s);
    struct sockaddr_in at;
    n = sizeof at, getsockname(s, (void *)&at, &n), at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int other = socket(AF_INET, SOCK_STREAM, 0);
    P("connect %ld\n", E(connect(other, (void *)&at, sizeof at)));
    int got = accept(s, 0, 0);
    who("got", got);
    for (int i = 0; i < 200; i++) {
        int x = socket(AF_INET, SOCK_STREAM, 0), y, z, w;
        connect(x, (void *)&four, sizeof four), y = accept(l, 0, 0);
        long r = form(y, AF_INET, 4) | E(connect(y, &none, sizeof none)) | E(bind(y, (void *)&any, sizeof any)) | E(listen(y, 5));
        n = sizeof at, getsockname(y, (void *)&at, &n), at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        z = socket(AF_INET, SOCK_STREAM, 0), r |= E(connect(z, (void *)&at, sizeof at)), w = accept(y, 0, 0);
        if (r || w < 0) P("try %d: %ld %d\n", i, r, w);
        close(w), close(z), close(y), close(x);
    }
    int e = socket(AF_INET6, SOCK_STREAM, 0), f = socket(AF_INET6, SOCK_STREAM, 0);
    P("unconnected %ld", form(e, AF_INET, 4)), connect(e, (void *)&six, sizeof six), P(" six %ld\n", form(e, AF_INET, 4));
    connect(f, (void *)&mapped, sizeof mapped), P("client %ld\n", form(f, AF_INET, 4)), who("client", f);
    int g = socket(AF_INET6, SOCK_DGRAM, 0), r = socket(AF_INET6, SOCK_DGRAM, 0), t = socket(AF_INET, SOCK_DGRAM, 0);
    P("udp %ld", form(g, AF_INET, 4)), P(" %ld", E(connect(g, (void *)&six, sizeof six))), P(" %ld\n", form(g, AF_INET, 4));
    n = sizeof a, a.sin6_port = 0, bind(r, (void *)&a, n), getsockname(r, (void *)&a, &n), mapped.sin6_port = a.sin6_port;
    close(g), g = socket(AF_INET6, SOCK_DGRAM, 0);
    P("udp %ld", E(connect(g, (void *)&mapped, sizeof mapped))), P(" %ld\n", form(g, AF_INET, 4)), who("udp", g);
    struct sockaddr_storage from = {0};
    n = sizeof from, P("sent %ld", E(send(g, "x", 1, 0))), P(" %ld", E(recvfrom(r, b, 9, 0, (void *)&from, &n)));
    P(" %d answer %ld", from.ss_family, E(sendto(r, "yz", 2, 0, (void *)&from, n)));
    P(" %ld", E(recvfrom(g, b, 9, 0, (void *)&from, &n)));
    P(" %d %d\n", from.ss_family, n);
    P("four %ld %ld\n", form(c, AF_INET, 4), form(t, AF_INET, 4));
    P("done\n");
}
