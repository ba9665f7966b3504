// Raw sockets of ICMP, and those that ask for echoes.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/securebits.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>
#define ICMP_FILTER 1
struct icmp_filter { unsigned data; };

static const char *name(long r) { return r >= 0 ? "ok" : strerrorname_np(errno); }
#define TRY(call) printf("%s: %s\n", #call, name(call))
static struct sockaddr_in four = {AF_INET};
static struct sockaddr_in6 six = {AF_INET6};
static unsigned short sum(unsigned char *p, int n) {
    unsigned s = 0;
    for (int i = 0; i < n; i += 2) s += p[i] << 8 | (i + 1 < n ? p[i + 1] : 0);
    while (s >> 16) s = (s & 0xffff) + (s >> 16);
    return htons(~s);
}
static unsigned char text[] = {8, 0, 0, 0, 0x12, 0x34, 0, 1, 'o', 'd', 'd'};
static void hear_for(int fd, int millis) {
    unsigned char b[256];
    struct sockaddr_storage from;
    char room[64];
    struct iovec v = {b, sizeof b};
    struct msghdr m = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &v, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    struct pollfd p = {fd, POLLIN, 0};
    if (poll(&p, 1, millis) <= 0) { puts("nothing"); return; }
    int n = recvmsg(fd, &m, 0);
    printf("%d bytes from %d/%d:", n, from.ss_family, ntohs(((struct sockaddr_in *)&from)->sin_port));
    unsigned char *q = b;
    int type;
    socklen_t l = sizeof type;
    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &l);
    if (type == SOCK_RAW && from.ss_family == AF_INET) {
        printf(" ip %x ttl %d proto %d sum %d", b[0], b[8], b[9], sum(b, 20) == 0);
        q += 20, n -= 20;
    }
    printf(" type %d id %d seq %d data %.*s", q[0], type == SOCK_RAW ? q[4] << 8 | q[5] : 0, q[6] << 8 | q[7], n - 8, q + 8);
    if (from.ss_family == AF_INET) printf(" good %d", sum(q, n) == 0);
    for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) printf(" [%d %d %d]", h->cmsg_level, h->cmsg_type, *(int *)CMSG_DATA(h));
    puts("");
}
/* What is to come is waited for; that nothing more comes, for a moment. */
static void hear(int fd) { hear_for(fd, 20000); }
static void echoes(void) {
    struct sockaddr_in own = {AF_INET};
    socklen_t n = sizeof own;
    int on = 1, fd = socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP), fd6 = socket(AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6);
    setsockopt(fd, IPPROTO_IP, IP_RECVTTL, &on, sizeof on);
    text[0] = 8;
    TRY(sendto(fd, text, sizeof text, 0, (void *)&four, sizeof four));
    hear(fd), hear_for(fd, 200);
    text[0] = 3;
    TRY(sendto(fd, text, sizeof text, 0, (void *)&four, sizeof four));
    TRY(sendto(fd, text, 7, 0, (void *)&four, sizeof four));
    text[0] = 128;
    TRY(sendto(fd6, text, sizeof text, 0, (void *)&six, sizeof six));
    hear(fd6), hear_for(fd6, 200);
    own.sin_port = htons(77);
    own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    close(fd);
    fd = socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
    TRY(bind(fd, (void *)&own, sizeof own));
    getsockname(fd, (void *)&own, &n);
    printf("port %d\n", ntohs(own.sin_port));
}
int main(int count, char **words) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    six.sin6_addr = in6addr_loopback;
    if (count > 1) {
        echoes();
        puts("done");
        return 0;
    }
    int on = 1, fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP), fd6 = socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);
    printf("raw %d %d\n", fd >= 0, fd6 >= 0);
    TRY(setsockopt(fd, IPPROTO_IP, IP_RECVTTL, &on, sizeof on));
    TRY(setsockopt(fd6, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &on, sizeof on));
    *(unsigned short *)(text + 2) = sum(text, sizeof text);
    TRY(sendto(fd, text, sizeof text, 0, (void *)&four, sizeof four));
    hear(fd), hear(fd), hear_for(fd, 200);
    struct icmp_filter f = {~(1 << ICMP_ECHOREPLY)};
    TRY(setsockopt(fd, SOL_RAW, ICMP_FILTER, &f, sizeof f));
    TRY(connect(fd, (void *)&four, sizeof four));
    TRY(send(fd, text, sizeof text, 0));
    hear(fd), hear_for(fd, 200);
    text[0] = 128;
    TRY(sendto(fd6, text, sizeof text, 0, (void *)&six, sizeof six));
    hear(fd6), hear(fd6), hear_for(fd6, 200);
    struct icmp6_filter g;
    ICMP6_FILTER_SETBLOCKALL(&g);
    ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &g);
    TRY(setsockopt(fd6, IPPROTO_ICMPV6, ICMP6_FILTER, &g, sizeof g));
    TRY(sendto(fd6, text, sizeof text, 0, (void *)&six, sizeof six));
    hear(fd6), hear_for(fd6, 200);
    TRY(setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &g, sizeof g));
    struct sockaddr_in own;
    socklen_t n = sizeof own;
    getsockname(fd, (void *)&own, &n);
    printf("port %d\n", ntohs(own.sin_port));
    // Any number of them, whatever options they have and whoever makes them.
    TRY(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &(int){65536}, sizeof(int)));
    TRY(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
    TRY(prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP));
    TRY(seteuid(1000));
    TRY(socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6));
    TRY(seteuid(0));
    TRY(prctl(PR_SET_SECUREBITS, 0));
    TRY(socket(AF_INET, SOCK_RAW, 0));
    TRY(socket(AF_INET, SOCK_STREAM, IPPROTO_ICMP));
    TRY(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMPV6));
    TRY(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP));
    TRY(socket(AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6));
    seteuid(1000);
    TRY(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
    puts("done");
}
