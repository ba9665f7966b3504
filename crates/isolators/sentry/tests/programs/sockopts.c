/* Options of sockets: what they are at first, what they become, and some effects. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/in6.h>
#include <net/if.h>
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
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
static struct sockaddr_in at(int port) { return (struct sockaddr_in){AF_INET, htons(port), {htonl(INADDR_LOOPBACK)}}; }
static const struct { int family, type; const char *name; } KINDS[] = {
    {AF_INET, SOCK_STREAM, "tcp"}, {AF_INET, SOCK_DGRAM, "udp"}, {AF_INET6, SOCK_STREAM, "tcp6"},
    {AF_INET6, SOCK_DGRAM, "udp6"}, {AF_UNIX, SOCK_STREAM, "unix"}, {AF_UNIX, SOCK_DGRAM, "unixd"}};
/* Those whose value is the machine's, or another kernel's: only whether they are there. */
static int is_loose(int level, int option) {
    if (level == SOL_SOCKET) return option == SO_INCOMING_CPU || option == 56 || option == 57 || option == SO_MAX_PACING_RATE;
    return 0;
}
static void value(int s, int level, int option) {
    unsigned char b[16] = {0};
    socklen_t n = 4;
    long r = E(getsockopt(s, level, option, b, &n));
    if (r) P(" %ld", r);
    else if (is_loose(level, option)) P(" ok");
    else P(" %d", *(int *)b);
    if (r == 0 && n != 4) P("/%d", n);
}
static void trips(int level, const int *list, int count) {
    static const int tries[] = {0, 1, 2, -1, 7, 255, 256, 100000};
    for (int k = 0; k < 6; k++)
        for (int i = 0; i < count; i++) {
            /* It depends on the version. */
            if (k > 3 && level == SOL_SOCKET && list[i] == SO_REUSEPORT) continue;
            int s = socket(KINDS[k].family, KINDS[k].type, 0);
            P("%s %d %d:", KINDS[k].name, level, list[i]);
            value(s, level, list[i]);
            for (int t = 0; t < 8; t++) {
                int v = tries[t];
                long r = E(setsockopt(s, level, list[i], &v, sizeof v));
                P(" | %ld", r);
                if (r == 0) value(s, level, list[i]);
            }
            P(" || %ld\n", E(setsockopt(s, level, list[i], &(int){1}, 3)));
            close(s);
        }
}
static void filters(void) {
    int s = socket(AF_INET, SOCK_DGRAM, 0), c = socket(AF_INET, SOCK_DGRAM, 0), none = 0;
    struct sockaddr_in a = at(7100);
    bind(s, (void *)&a, sizeof a), connect(c, (void *)&a, sizeof a);
    /* Data begin at the header of UDP: those whose first byte is 'a', cut to 11 bytes. */
    struct sock_filter one[] = {
        {BPF_LD | BPF_B | BPF_ABS, 0, 0, 8}, {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 'a'},
        {BPF_RET | BPF_K, 0, 0, 11}, {BPF_RET | BPF_K, 0, 0, 0}};
    struct sock_fprog p = {4, one};
    P("filter %ld", E(setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &p, sizeof p)));
    char b[32];
    for (int round = 0; round < 2; round++) {
        send(c, "abcdef", 6, 0), send(c, "bcd", 3, 0), send(c, "a", 1, 0);
        for (int i = 0; i < 4; i++) {
            memset(b, 0, sizeof b);
            long r = E(recv(s, b, 31, MSG_DONTWAIT));
            P(" %ld '%s'", r, b);
        }
        if (!round) P("\ndetach %ld", E(setsockopt(s, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof none)));
    }
    P(" again %ld", E(setsockopt(s, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof none)));
    struct sock_filter bad[] = {{BPF_JMP | BPF_JA, 0, 0, 9}, {BPF_RET | BPF_K, 0, 0, 0}};
    struct sock_fprog q = {2, bad}, zero = {0, bad}, lost = {2, (void *)8};
    P(" bad %ld %ld %ld", E(setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &q, sizeof q)),
        E(setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &zero, sizeof zero)), E(setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &lost, sizeof lost)));
    /* The length, halves and words, memory, and an index behind the end, which is no. */
    struct sock_filter more[] = {
        {BPF_LD | BPF_W | BPF_LEN, 0, 0, 0}, {BPF_JMP | BPF_JGT | BPF_K, 0, 5, 10}, {BPF_LD | BPF_H | BPF_ABS, 0, 0, 2},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 3, 7100}, {BPF_LDX | BPF_IMM, 0, 0, 4}, {BPF_LD | BPF_H | BPF_IND, 0, 0, 5},
        {BPF_JMP | BPF_JA, 0, 0, 0}, {BPF_RET | BPF_A, 0, 0, 0}};
    struct sock_fprog m = {8, more};
    P(" more %ld", E(setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &m, sizeof m)));
    send(c, "0", 1, 0), send(c, "01234", 5, 0), send(c, "0\0\020", 3, 0), send(c, "0\0\011xyz", 6, 0);
    for (int i = 0; i < 5; i++) P(" %ld", E(recv(s, b, 31, MSG_DONTWAIT)));
    struct sock_filter lock = {BPF_RET | BPF_K, 0, 0, 100};
    struct sock_fprog l = {1, &lock};
    int on = 1;
    P(" lock %ld", E(setsockopt(s, SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof on)));
    P(" %ld", E(setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &l, sizeof l)));
    P(" %ld", E(setsockopt(s, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof none)));
    P(" %ld\n", E(setsockopt(s, SOL_SOCKET, SO_LOCK_FILTER, &none, sizeof none)));
    int u[2];
    socketpair(AF_UNIX, SOCK_DGRAM, 0, u);
    struct sock_filter first[] = {{BPF_LD | BPF_B | BPF_ABS, 0, 0, 0}, {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 'a'},
        {BPF_RET | BPF_K, 0, 0, -1u}, {BPF_RET | BPF_K, 0, 0, 0}};
    struct sock_fprog f = {4, first};
    P("unix %ld", E(setsockopt(u[1], SOL_SOCKET, SO_ATTACH_FILTER, &f, sizeof f)));
    P(" %ld %ld", E(send(u[0], "abc", 3, 0)), E(send(u[0], "xyz", 3, 0)));
    P(" %ld %ld\n", E(recv(u[1], b, 31, MSG_DONTWAIT)), E(recv(u[1], b, 31, MSG_DONTWAIT)));
    close(s), close(c), close(u[0]), close(u[1]);
}
static void segments(void) {
    int s = socket(AF_INET, SOCK_DGRAM, 0), c = socket(AF_INET, SOCK_DGRAM, 0), size = 4, off = 0;
    struct sockaddr_in a = at(7200);
    char b[99];
    bind(s, (void *)&a, sizeof a), connect(c, (void *)&a, sizeof a);
    P("segment %ld", E(setsockopt(c, IPPROTO_UDP, 103, &size, sizeof size)));
    P(" sent %ld:", E(send(c, "abcdefghij", 10, 0)));
    for (int i = 0; i < 4; i++) P(" %ld", E(recv(s, b, 99, MSG_DONTWAIT)));
    P(" small %ld:", E(send(c, "abc", 3, 0)));
    P(" %ld", E(recv(s, b, 99, MSG_DONTWAIT)));
    P(" many %ld", E(send(c, b, 4 * 1000 > sizeof b ? sizeof b : 0, 0)));
    while (recv(s, b, 99, MSG_DONTWAIT) > 0) {}
    setsockopt(c, IPPROTO_UDP, 103, &off, sizeof off);
    union { struct cmsghdr h; char room[CMSG_SPACE(2)]; } u = {{CMSG_LEN(2), IPPROTO_UDP, 103}};
    *(unsigned short *)CMSG_DATA(&u.h) = 3;
    struct iovec v = {"abcdefgh", 8};
    struct msghdr m = {0, 0, &v, 1, &u, sizeof u, 0};
    P(" message %ld:", E(sendmsg(c, &m, 0)));
    for (int i = 0; i < 4; i++) P(" %ld", E(recv(s, b, 99, MSG_DONTWAIT)));
    static char big[65000];
    size = 1000, setsockopt(c, IPPROTO_UDP, 103, &size, sizeof size);
    P(" big %ld", E(send(c, big, 64000, 0)));
    size = 100, setsockopt(c, IPPROTO_UDP, 103, &size, sizeof size);
    P(" too many %ld\n", E(send(c, big, 20000, 0)));
    close(s), close(c);
}
static void devices(void) {
    int s = socket(AF_INET, SOCK_DGRAM, 0), c = socket(AF_INET, SOCK_DGRAM, 0);
    char b[32] = "?";
    socklen_t n = sizeof b;
    P("device %ld '%s' %d", E(getsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, b, &n)), b, n);
    P(" none %ld", E(setsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, "nope", 5)));
    P(" lo %ld", E(setsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3)));
    n = sizeof b;
    long r = E(getsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, b, &n));
    P(" %ld '%s' %d", r, b, n);
    n = 3;
    P(" short %ld", E(getsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, b, &n)));
    int i = -1;
    n = 4;
    r = E(getsockopt(s, SOL_SOCKET, 62, &i, &n));
    P(" index %ld %d", r, i);
    P(" %ld", E(setsockopt(s, SOL_SOCKET, 62, &(int){1}, 4)));
    P(" %ld", E(setsockopt(s, SOL_SOCKET, 62, &(int){77}, 4)));
    struct sockaddr_in a = at(7300);
    P(" bind %ld", E(bind(s, (void *)&a, sizeof a)));
    P(" beside %ld", E(bind(c, (void *)&a, sizeof a)));
    P(" send %ld", E(sendto(c, "x", 1, 0, (void *)&a, sizeof a)));
    P(" got %ld", E(recv(s, b, 9, MSG_DONTWAIT)));
    P(" off %ld", E(setsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, "", 0)));
    n = sizeof b;
    P(" %ld %d\n", E(getsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, b, &n)), n);
    close(s), close(c);
}
static void groups(void) {
    int s = socket(AF_INET, SOCK_DGRAM, 0), c = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in a = {AF_INET, htons(7400)}, to = a;
    to.sin_addr.s_addr = inet_addr("224.1.2.3");
    bind(s, (void *)&a, sizeof a);
    struct ip_mreq m = {to.sin_addr, {htonl(INADDR_LOOPBACK)}};
    struct ip_mreqn x = {to.sin_addr, {0}, 1};
    char b[9];
    struct in_addr lo = {htonl(INADDR_LOOPBACK)};
    P("group %ld", E(setsockopt(s, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof m)));
    P(" again %ld %ld", E(setsockopt(s, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof m)), E(setsockopt(s, IPPROTO_IP, IP_ADD_MEMBERSHIP, &x, sizeof x)));
    m.imr_interface.s_addr = inet_addr("9.9.9.9");
    P(" nowhere %ld", E(setsockopt(s, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof m)));
    x.imr_ifindex = 99;
    P(" %ld", E(setsockopt(s, IPPROTO_IP, IP_ADD_MEMBERSHIP, &x, sizeof x)));
    P(" none %ld", E(setsockopt(s, IPPROTO_IP, IP_ADD_MEMBERSHIP, &(struct ip_mreq){{htonl(0x7f000001)}, {0}}, 8)));
    P(" short %ld", E(setsockopt(s, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, 4)));
    P(" by %ld", E(setsockopt(c, IPPROTO_IP, IP_MULTICAST_IF, &lo, sizeof lo)));
    struct in_addr is = {0};
    socklen_t n = sizeof is;
    long r = E(getsockopt(c, IPPROTO_IP, IP_MULTICAST_IF, &is, &n));
    P(" %ld %x", r, ntohl(is.s_addr));
    P(" send %ld", E(sendto(c, "x", 1, 0, (void *)&to, sizeof to)));
    P(" got %ld", E(recv(s, b, 9, MSG_DONTWAIT)));
    x.imr_ifindex = 1;
    P(" leave %ld", E(setsockopt(s, IPPROTO_IP, IP_DROP_MEMBERSHIP, &x, sizeof x)));
    P(" %ld", E(setsockopt(s, IPPROTO_IP, IP_DROP_MEMBERSHIP, &x, sizeof x)));
    sendto(c, "x", 1, 0, (void *)&to, sizeof to);
    P(" got %ld\n", E(recv(s, b, 9, MSG_DONTWAIT)));
    close(s), close(c);
}
/* What was sent has come. */
static void until_there(int fd, int bytes) {
    for (int i = 0, n = 0; i < 20000 && (ioctl(fd, FIONREAD, &n) || n < bytes); i++) usleep(1000);
}
static void *later(void *a) { usleep(150000), write(*(int *)a, "defgh", 5); return 0; }
static void low_water(void) {
    int l = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0), five = 5;
    struct sockaddr_in a = at(7500);
    setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &five, sizeof five);
    bind(l, (void *)&a, sizeof a), listen(l, 1), connect(c, (void *)&a, sizeof a);
    int s = accept(l, 0, 0);
    char b[32];
    struct pollfd p = {s, POLLIN, 0};
    P("low water %ld", E(setsockopt(s, SOL_SOCKET, SO_RCVLOWAT, &five, sizeof five)));
    write(c, "abc", 3), until_there(s, 3);
    P(" poll %d", poll(&p, 1, 0));
    P(" peek %ld", E(recv(s, b, 32, MSG_PEEK | MSG_DONTWAIT)));
    pthread_t t;
    pthread_create(&t, 0, later, &c);
    P(" wait %ld", E(recv(s, b, 32, 0)));
    pthread_join(t, 0);
    write(c, "abcd", 4), until_there(s, 4);
    P(" at once %ld", E(recv(s, b, 32, MSG_DONTWAIT)));
    write(c, "ab", 2);
    struct timeval soon = {0, 100000};
    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon);
    P(" timed %ld", E(recv(s, b, 32, 0)));
    write(c, "ab", 2);
    P(" less room %ld", E(recv(s, b, 2, 0)));
    write(c, "x", 1), close(c);
    P(" end %ld %ld\n", E(recv(s, b, 32, 0)), E(recv(s, b, 32, 0)));
    close(s), close(l);
}
static void fast_open(void) {
    int l = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0), five = 5;
    struct sockaddr_in a = at(7600);
    setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &five, sizeof five);
    bind(l, (void *)&a, sizeof a), listen(l, 1);
    P("fast open %ld", E(setsockopt(l, IPPROTO_TCP, TCP_FASTOPEN, &five, sizeof five)));
    P(" send %ld", E(sendto(c, "hello", 5, MSG_FASTOPEN, (void *)&a, sizeof a)));
    int s = accept(l, 0, 0);
    char b[9];
    P(" got %ld", E(read(s, b, 9)));
    P(" again %ld", E(sendto(c, "more", 4, MSG_FASTOPEN, (void *)&a, sizeof a)));
    close(c), close(s), c = socket(AF_INET, SOCK_STREAM, 0);
    P(" nowhere %ld", E(sendto(c, "x", 1, MSG_FASTOPEN, 0, 0)));
    struct sockaddr none = {AF_UNSPEC};
    P(" none %ld\n", E(sendto(c, "x", 1, MSG_FASTOPEN, &none, sizeof none)));
    close(c), close(l);
}
#define LIST(level, ...) ({ static const int l_[] = {__VA_ARGS__}; trips(level, l_, sizeof l_ / sizeof *l_); })
int main(int count, char **words) {
    signal(SIGPIPE, SIG_IGN);
    LIST(SOL_SOCKET, SO_DEBUG, SO_REUSEADDR, SO_TYPE, SO_DONTROUTE, SO_BROADCAST, SO_KEEPALIVE, SO_OOBINLINE, SO_NO_CHECK, SO_PRIORITY, SO_REUSEPORT, SO_SNDLOWAT, SO_PEERSEC, SO_TIMESTAMP, SO_TIMESTAMPNS, SO_MARK, SO_WIFI_STATUS, SO_NOFCS, SO_LOCK_FILTER, SO_BUSY_POLL, SO_INCOMING_CPU, SO_PREFER_BUSY_POLL, SO_ACCEPTCONN, SO_PROTOCOL, SO_DOMAIN, 300);
    LIST(IPPROTO_IP, IP_TOS, IP_TTL, IP_HDRINCL, IP_RECVOPTS, IP_RETOPTS, IP_PKTINFO, IP_MTU_DISCOVER, IP_RECVERR, IP_RECVTTL, IP_RECVTOS, IP_FREEBIND, IP_RECVORIGDSTADDR, IP_BIND_ADDRESS_NO_PORT, IP_MULTICAST_TTL, IP_MULTICAST_LOOP, IP_MULTICAST_ALL, IP_UNICAST_IF, 60);
    LIST(IPPROTO_IPV6, IPV6_UNICAST_HOPS, IPV6_MULTICAST_IF, IPV6_MULTICAST_HOPS, IPV6_MULTICAST_LOOP, IPV6_MTU_DISCOVER, IPV6_RECVERR, IPV6_V6ONLY, IPV6_MULTICAST_ALL, IPV6_RECVPKTINFO, IPV6_RECVHOPLIMIT, IPV6_RECVHOPOPTS, IPV6_RECVRTHDR, IPV6_RECVDSTOPTS, IPV6_RECVPATHMTU, IPV6_DONTFRAG, IPV6_RECVTCLASS, IPV6_TCLASS, IPV6_AUTOFLOWLABEL, IPV6_UNICAST_IF, IPV6_FREEBIND);
    LIST(IPPROTO_TCP, TCP_NODELAY, TCP_CORK, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_SYNCNT, TCP_LINGER2, TCP_DEFER_ACCEPT, TCP_QUICKACK, TCP_THIN_LINEAR_TIMEOUTS, TCP_USER_TIMEOUT, TCP_FASTOPEN_CONNECT, TCP_NOTSENT_LOWAT, TCP_INQ);
    LIST(IPPROTO_UDP, 1, 101, 102, 103, 104);
    filters(), segments(), devices(), groups(), low_water(), fast_open();
    P("done\n");
}
