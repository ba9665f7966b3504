/* Urgent data (MSG_OOB) of UNIX stream sockets. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
static int s[2], inline_;
static void state(const char *what) {
    struct pollfd p = {s[1], POLLIN | POLLPRI | POLLRDHUP, 0};
    int m = -1, n = -1;
    poll(&p, 1, 0);
    ioctl(s[1], SIOCATMARK, &m), ioctl(s[1], FIONREAD, &n);
    /* Some kernels count bytes that nobody wanted. */
    P("%s: ready %x mark %d waiting %d\n", what, p.revents, m, inline_ ? n : 0);
}
static void gets_(size_t most, int flags) {
    char b[64] = {0};
    long r = E(recv(s[1], b, most, flags | MSG_DONTWAIT));
    P("  %ld '%s'", r, r > 0 ? b : "");
}
static void put(const char *text, int flags) {
    long r = E(send(s[0], text, strlen(text), flags | MSG_NOSIGNAL));
    if (r != (long)strlen(text)) P("sent %ld\n", r);
}
static void renew(void) {
    if (s[0] > 0) close(s[0]);
    if (s[1] > 0) close(s[1]);
    socketpair(AF_UNIX, SOCK_STREAM, 0, s);
}
static volatile int urgent;
static void handler(int n) { urgent++; }
static void apart(int in) {
    renew(), inline_ = in;
    setsockopt(s[1], SOL_SOCKET, SO_OOBINLINE, &in, sizeof in);
    P("\ninline %d\n", in);
    state("nothing"), gets_(9, MSG_OOB), put("", MSG_OOB);
    put("abcX", MSG_OOB), state("before"), put("def", 0), state("more");
    gets_(9, MSG_PEEK), gets_(2, 0), gets_(9, 0), state("\nat");
    gets_(9, MSG_OOB | MSG_PEEK), gets_(9, MSG_PEEK), gets_(0, MSG_OOB), gets_(9, MSG_OOB), state("\ntaken");
    gets_(9, MSG_PEEK), gets_(2, 0), state("\nbehind"), gets_(9, 0), gets_(9, 0), P("\n");
    /* Nobody wants it. */
    put("1", MSG_OOB), state("alone"), gets_(9, MSG_PEEK), gets_(9, 0), state("\nread"), gets_(9, MSG_OOB), P("\n");
    put("2", MSG_OOB), put("x", 0), put("3", MSG_OOB), state("two"), gets_(9, 0), gets_(9, MSG_OOB), gets_(9, 0), P("\n");
    put("ab4", MSG_OOB), put("cd5", MSG_OOB), put("e", 0), state("three"), gets_(20, 0), gets_(20, 0), state("\nend");
    gets_(9, 0), P("\n");
    /* Places where they were. */
    put("ab6", MSG_OOB), gets_(1, MSG_OOB), put("cd", 0), put("7", MSG_OOB), state("places"), gets_(9, MSG_PEEK);
    gets_(9, 0), state("\nsecond"), gets_(9, MSG_OOB), gets_(9, MSG_OOB), state("\nplace"), gets_(9, 0), state("\nread");
    put("8", MSG_OOB), gets_(9, MSG_OOB), put("9", MSG_OOB), gets_(9, MSG_OOB), state("none"), put("gh", 0);
    gets_(9, MSG_PEEK), gets_(9, 0), gets_(9, 0), state("\nnone");
    put("ij0", MSG_OOB), gets_(9, MSG_OOB), put("kl", 0), gets_(9, MSG_PEEK), gets_(4, MSG_WAITALL);
    gets_(9, MSG_PEEK), gets_(9, 0), state("\nstopped");
    put("mn1", MSG_OOB), gets_(9, MSG_OOB), put("op2", MSG_OOB), put("q", 0), gets_(9, MSG_PEEK), gets_(9, 0);
    gets_(9, MSG_PEEK), gets_(9, 0), gets_(9, 0), state("\nover");
    put("rs3", MSG_OOB), close(s[0]), s[0] = -1, state("closed"), gets_(20, 0), gets_(20, 0), gets_(20, 0), P("\n");
}
int main(void) {
    int on = 1, none = -1, kind[] = {SOCK_DGRAM, SOCK_SEQPACKET};
    char b[9];
    signal(SIGURG, handler), signal(SIGPIPE, SIG_IGN);
    apart(0), apart(1);
    /* What it is not for. */
    for (int i = 0; i < 2; i++) {
        socketpair(AF_UNIX, kind[i], 0, s);
        P("kind %ld %ld", E(send(s[0], "x", 1, MSG_OOB)), E(recv(s[1], b, 1, MSG_OOB | MSG_DONTWAIT)));
        close(s[0]), close(s[1]), s[0] = s[1] = -1;
        int alone = socket(AF_UNIX, kind[i], 0);
        P(" %ld %ld\n", E(send(alone, "x", 1, MSG_OOB)), E(recv(alone, b, 1, MSG_OOB | MSG_DONTWAIT)));
        close(alone);
    }
    int alone = socket(AF_UNIX, SOCK_STREAM, 0);
    P("alone %ld %ld %ld\n", E(send(alone, "x", 1, MSG_OOB)), E(recv(alone, b, 1, MSG_OOB)), E(ioctl(alone, SIOCATMARK, &on)));
    renew();
    P("fault %ld", E(send(s[0], (void *)1, 1, MSG_OOB)));
    put("x", MSG_OOB), P(" %ld", E(recv(s[1], (void *)1, 1, MSG_OOB))), gets_(1, MSG_OOB), P("\n");
    /* Descriptors come with it, but not apart. */
    for (int in = 0; in < 2; in++) {
        renew(), setsockopt(s[1], SOL_SOCKET, SO_OOBINLINE, &in, sizeof in);
        union { char room[CMSG_SPACE(4)]; struct cmsghdr h; } c = {.h = {CMSG_LEN(4), SOL_SOCKET, SCM_RIGHTS}};
        memcpy(CMSG_DATA(&c.h), &alone, 4);
        struct iovec v = {"y", 1};
        struct msghdr m = {0, 0, &v, 1, &c, sizeof c, 0};
        P("rights %ld", E(sendmsg(s[0], &m, MSG_OOB)));
        v.iov_base = b, memset(&c, 0, sizeof c), m.msg_controllen = sizeof c;
        P(" %ld", E(recvmsg(s[1], &m, (in ? 0 : MSG_OOB) | MSG_DONTWAIT)));
        P(" flags %x control %ld name %d\n", m.msg_flags, (long)m.msg_controllen, m.msg_namelen);
    }
    /* The last descriptor of the other end goes with what nobody wanted, taken apart or not. */
    for (int apart = 0; apart < 2; apart++) {
        renew();
        union { char room[CMSG_SPACE(4)]; struct cmsghdr h; } c = {.h = {CMSG_LEN(4), SOL_SOCKET, SCM_RIGHTS}};
        memcpy(CMSG_DATA(&c.h), &s[0], 4);
        struct iovec v = {"y", 1};
        struct msghdr m = {0, 0, &v, 1, &c, sizeof c, 0};
        P("itself %ld", E(sendmsg(s[0], &m, MSG_OOB)));
        close(s[0]), s[0] = -1;
        if (apart) P(" %ld", E(recv(s[1], b, 1, MSG_OOB | MSG_DONTWAIT)));
        recv(s[1], b, 1, MSG_DONTWAIT);
        P(" then %ld\n", E(recv(s[1], b, 1, MSG_DONTWAIT)));
    }
    /* Closed with what was taken, and with what was not. */
    for (int way = 0; way < 3; way++) {
        renew(), put("x", MSG_OOB);
        if (way) recv(s[1], b, 1, MSG_OOB);
        if (way == 2) put("y", 0);
        close(s[1]), s[1] = none;
        P("reset %ld", E(recv(s[0], b, 1, 0))), P(" %ld\n", E(send(s[0], "z", 1, MSG_OOB | MSG_NOSIGNAL)));
    }
    /* Room. */
    renew();
    static char big[1 << 20];
    long sent = E(send(s[0], big, sizeof big, MSG_OOB | MSG_DONTWAIT));
    P("full %d %ld", sent > 0 && sent < (long)sizeof big, E(send(s[0], "x", 1, MSG_OOB | MSG_DONTWAIT)));
    gets_(9, MSG_OOB), P("\n");
    renew();
    P("owner %ld", E(fcntl(s[1], F_SETOWN, getpid())));
    put("x", MSG_OOB), P(" %d", urgent), put("y", 0), P(" %d", urgent), put("zz", MSG_OOB), P(" %d\n", urgent);
    int set = epoll_create1(0);
    struct epoll_event e = {EPOLLPRI | EPOLLET, {0}}, got = {0};
    renew(), epoll_ctl(set, EPOLL_CTL_ADD, s[1], &e);
    P("epoll %d", epoll_wait(set, &got, 1, 0)), put("x", MSG_OOB), P(" %d", epoll_wait(set, &got, 1, 0));
    P(" %x", got.events), P(" %d\n", epoll_wait(set, &got, 1, 0));
    P("done\n");
}
