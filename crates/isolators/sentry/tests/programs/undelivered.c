// Datagrams that did not arrive, and when others came.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/errqueue.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static union {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
} place;
static socklen_t length;

// A port of this machine that nobody has.
static void nobody(int six) {
    memset(&place, 0, sizeof place);
    if (six) {
        place.six.sin6_family = AF_INET6;
        place.six.sin6_addr = in6addr_loopback;
        place.six.sin6_port = htons(7);
        length = sizeof place.six;
    } else {
        place.four.sin_family = AF_INET;
        place.four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        place.four.sin_port = htons(7);
        length = sizeof place.four;
    }
}

static void show(int fd, int room) {
    char bytes[4096], control[512], text[64];
    union {
        struct sockaddr any;
        struct sockaddr_in four;
        struct sockaddr_in6 six;
    } name;
    memset(&name, 0, sizeof name);
    struct iovec vector = {bytes, room};
    struct msghdr message = {&name, sizeof name, &vector, 1, control, sizeof control, 0};
    ssize_t count = recvmsg(fd, &message, MSG_ERRQUEUE);
    if (count < 0) {
        printf("  nothing: %d\n", errno);
        return;
    }
    printf("  %zd bytes, flags %x, first %c, name of %d\n", count, message.msg_flags,
           count ? bytes[0] : '-', (int)message.msg_namelen);
    if (name.any.sa_family == AF_INET)
        printf("  to %s %d\n", inet_ntop(AF_INET, &name.four.sin_addr, text, sizeof text),
               ntohs(name.four.sin_port));
    else
        printf("  to %s %d\n", inet_ntop(AF_INET6, &name.six.sin6_addr, text, sizeof text),
               ntohs(name.six.sin6_port));
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
        struct sock_extended_err *e = (void *)CMSG_DATA(c);
        struct sockaddr *by = SO_EE_OFFENDER(e);
        printf("  level %d, type %d, %d bytes: %u, origin %d, %d %d, %u %u\n", c->cmsg_level,
               c->cmsg_type, (int)(c->cmsg_len - CMSG_LEN(0)), e->ee_errno, e->ee_origin,
               e->ee_type, e->ee_code, e->ee_info, e->ee_data);
        if (by->sa_family == AF_INET)
            printf("  by %s %d\n",
                   inet_ntop(AF_INET, &((struct sockaddr_in *)by)->sin_addr, text, sizeof text),
                   ((struct sockaddr_in *)by)->sin_port);
        else
            printf("  by %s\n", inet_ntop(AF_INET6, &((struct sockaddr_in6 *)by)->sin6_addr, text,
                                          sizeof text));
    }
}

// The answer to what was sent has come: it is an error.
static void refused(int fd) {
    struct pollfd one = {fd, 0, 0};
    poll(&one, 1, 20000);
}

static int polled(int fd) {
    struct pollfd one = {fd, POLLIN | POLLOUT, 0};
    poll(&one, 1, 0);
    return one.revents;
}

static int taken(int fd) {
    int error = -1;
    socklen_t size = sizeof error;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    return error;
}

static void lost(int six) {
    int level = six ? IPPROTO_IPV6 : IPPROTO_IP, option = six ? IPV6_RECVERR : IP_RECVERR;
    char large[3000];
    memset(large, 'L', sizeof large);
    nobody(six);
    int fd = socket(six ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), on = 1;
    printf("without asking %zd\n", sendto(fd, "a", 1, 0, &place.any, length));
    usleep(1000);
    printf("poll %x, error %d\n", polled(fd), taken(fd));
    show(fd, 100);
    printf("ask %d\n", setsockopt(fd, level, option, &on, sizeof on));
    printf("send %zd\n", sendto(fd, "bcd", 3, 0, &place.any, length));
    refused(fd);
    printf("poll %x\n", polled(fd));
    char byte;
    int count = recv(fd, &byte, 1, 0);
    printf("receive %d %d\n", count, errno);
    printf("poll %x\n", polled(fd));
    count = recv(fd, &byte, 1, 0);
    printf("again %d %d\n", count, errno);
    show(fd, 100);
    printf("poll %x\n", polled(fd));
    show(fd, 100);
    // Several; each send tells of the error before it.
    printf("send %zd\n", sendto(fd, "efgh", 4, 0, &place.any, length));
    refused(fd);
    count = sendto(fd, "i", 1, 0, &place.any, length);
    printf("send %d %d\n", count, count < 0 ? errno : 0);
    printf("send %zd\n", sendto(fd, "jk", 2, 0, &place.any, length));
    // Its answer comes behind the one that is there.
    usleep(20000);
    show(fd, 2);
    printf("error %d\n", taken(fd));
    show(fd, 0);
    printf("poll %x\n", polled(fd));
    printf("long %zd\n", sendto(fd, large, sizeof large, 0, &place.any, length));
    refused(fd);
    show(fd, 4096);
    // Connected.
    printf("connect %d\n", connect(fd, &place.any, length));
    printf("send %zd\n", send(fd, "lm", 2, 0));
    refused(fd);
    count = send(fd, "n", 1, 0);
    printf("send %d %d\n", count, count < 0 ? errno : 0);
    show(fd, 100);
    on = 0;
    printf("send %zd\n", send(fd, "o", 1, 0));
    refused(fd);
    printf("no more %d\n", setsockopt(fd, level, option, &on, sizeof on));
    show(fd, 100);
    printf("error %d\n", taken(fd));
    printf("send %zd\n", send(fd, "p", 1, 0));
    refused(fd);
    printf("error %d\n", taken(fd));
    show(fd, 100);
    close(fd);
    // Of streams there are none.
    fd = socket(six ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
    show(fd, 100);
    close(fd);
}

// What waits, which takes nothing away.
static void waiting(void) {
    int count = -1, one = socket(AF_INET, SOCK_DGRAM, 0);
    nobody(0);
    connect(one, &place.any, length);
    send(one, "x", 1, 0);
    refused(one);
    printf("refused: %d", ioctl(one, FIONREAD, &count));
    printf(" %d, error %d\n", count, taken(one));
    close(one);
    int listens = socket(AF_INET, SOCK_STREAM, 0), other = socket(AF_INET, SOCK_STREAM, 0);
    place.four.sin_port = 0;
    bind(listens, &place.any, length);
    listen(listens, 1);
    getsockname(listens, &place.any, &length);
    connect(other, &place.any, length);
    one = accept(listens, NULL, NULL);
    send(other, "hello", 5, 0);
    struct pollfd there = {one, POLLIN, 0};
    poll(&there, 1, 30000);
    printf("stream: %d", ioctl(one, FIONREAD, &count));
    printf(" %d\n", count);
    for (int i = 0; i < 30000 && (ioctl(other, TIOCOUTQ, &count) || count); i++) usleep(1000);
    printf("unsent: %d", ioctl(other, TIOCOUTQ, &count));
    printf(" %d\n", count);
    printf("at a mark: %d", ioctl(one, SIOCATMARK, &count));
    printf(" %d\n", count);
    int result = ioctl(listens, FIONREAD, &count);
    printf("one that listens: %d %d\n", result, errno);
    close(one);
    close(other);
    close(listens);
}

static void when(int fd, const char *what) {
    char bytes[16], control[256];
    struct iovec vector = {bytes, sizeof bytes};
    struct msghdr message = {NULL, 0, &vector, 1, control, sizeof control, 0};
    ssize_t count = recvmsg(fd, &message, 0);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    printf("%s: %zd\n", what, count);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
        if (c->cmsg_level != SOL_SOCKET) {
            printf("  level %d, type %d\n", c->cmsg_level, c->cmsg_type);
            continue;
        }
        printf("  type %d, %d bytes\n", c->cmsg_type, (int)(c->cmsg_len - CMSG_LEN(0)));
        int64_t *told = (void *)CMSG_DATA(c);
        if (c->cmsg_type == SCM_CREDENTIALS) continue;
        int micros = c->cmsg_type == 29 || c->cmsg_type == 63;
        int64_t then = told[0] * 1000000000 + told[1] * (micros ? 1000 : 1);
        int64_t ago = now.tv_sec * 1000000000LL + now.tv_nsec - then;
        printf("  ago %d %d\n", ago >= 0, ago < 20000000000LL);
    }
}

static void stamps(void) {
    int option[] = {29, 35, 63, 64};
    for (int kind = 0; kind < 2; kind++) {
        int two[2];
        if (kind == 0) {
            two[0] = socket(AF_INET, SOCK_DGRAM, 0);
            two[1] = socket(AF_INET, SOCK_DGRAM, 0);
            nobody(0);
            place.four.sin_port = 0;
            bind(two[0], &place.any, length);
            getsockname(two[0], &place.any, &length);
            connect(two[1], &place.any, length);
        } else {
            socketpair(AF_UNIX, SOCK_DGRAM, 0, two);
        }
        send(two[1], "x", 1, 0);
        when(two[0], "none");
        for (int i = 0; i < 4; i++) {
            int on = 1, off = 0, got[4];
            printf("set %d\n", setsockopt(two[0], SOL_SOCKET, option[i], &on, sizeof on));
            for (int j = 0; j < 4; j++) {
                socklen_t size = sizeof *got;
                getsockopt(two[0], SOL_SOCKET, option[j], &got[j], &size);
            }
            printf("now %d %d %d %d\n", got[0], got[1], got[2], got[3]);
            send(two[1], "xy", 2, 0);
            when(two[0], "stamped");
            setsockopt(two[0], SOL_SOCKET, option[i], &off, sizeof off);
        }
        send(two[1], "x", 1, 0);
        when(two[0], "off");
        int on = 1;
        setsockopt(two[0], SOL_SOCKET, SO_TIMESTAMP, &on, sizeof on);
        if (kind == 0) setsockopt(two[0], IPPROTO_IP, IP_RECVTTL, &on, sizeof on);
        else setsockopt(two[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
        send(two[1], "z", 1, 0);
        when(two[0], "with others");
        close(two[0]);
        close(two[1]);
    }
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    lost(0);
    lost(1);
    waiting();
    stamps();
    puts("done");
}
