/* UNIX sockets: names, streams, datagrams, records, descriptors, credentials. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
/* A result, or the error as a negative number. */
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
static int events(int fd, int want) {
    struct pollfd p = {fd, want, 0};
    poll(&p, 1, 0);
    return p.revents;
}
#define ALL (POLLIN | POLLOUT | POLLRDHUP | POLLPRI | POLLRDNORM | POLLWRNORM)
static socklen_t name(struct sockaddr_un *a, const char *path) {
    memset(a, 0, sizeof *a);
    a->sun_family = AF_UNIX;
    if (*path == '@') {
        memcpy(a->sun_path + 1, path + 1, strlen(path) - 1);
        return offsetof(struct sockaddr_un, sun_path) + strlen(path);
    }
    strcpy(a->sun_path, path);
    return offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1;
}
static void show(const char *what, int fd, int peer) {
    struct sockaddr_un a;
    socklen_t n = sizeof a;
    memset(&a, 0, sizeof a);
    long r = E((peer ? getpeername : getsockname)(fd, (struct sockaddr *)&a, &n));
    P("%s %ld len %d '%c%s'\n", what, r, r ? 0 : n, a.sun_path[0] ? a.sun_path[0] : '@', a.sun_path + 1);
}
static int handled;
static void handler(int s) { handled = s; }
static long send_fds(int s, const char *text, int *fds, int count, int flags) {
    char control[512] = {0};
    struct iovec v = {(void *)text, strlen(text)};
    struct msghdr m = {0, 0, &v, 1, control, CMSG_SPACE(count * sizeof(int)), 0};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(c), fds, count * sizeof(int));
    return E(sendmsg(s, &m, flags));
}
static long receive(int s, size_t room, size_t control_room, int flags, int *first) {
    char text[128] = {0}, control[512];
    struct iovec v = {text, room};
    struct msghdr m = {0, 0, &v, 1, control, control_room, 0};
    long r = E(recvmsg(s, &m, flags));
    P("recvmsg %ld '%s' flags %x", r, r > 0 ? text : "", r < 0 ? 0 : m.msg_flags & ~MSG_CMSG_CLOEXEC);
    if (r >= 0)
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
            P(" [%d %d", c->cmsg_type, (int)(c->cmsg_len - CMSG_LEN(0)));
            if (c->cmsg_type == SCM_RIGHTS) {
                int n = (c->cmsg_len - CMSG_LEN(0)) / 4;
                for (int i = 0; i < n; i++) {
                    int fd = ((int *)CMSG_DATA(c))[i];
                    P(" cloexec %d", fcntl(fd, F_GETFD));
                    if (first && i == 0) *first = fd; else close(fd);
                }
            } else if (c->cmsg_type == SCM_CREDENTIALS) {
                struct ucred *u = (void *)CMSG_DATA(c);
                P(" pid %d uid %d gid %d", u->pid == getpid(), u->uid, u->gid);
            }
            P("]");
        }
    P("\n");
    return r;
}
static void streams(void) {
    int s[2], n = 0;
    char b[64] = {0};
    P("pair %ld", E(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s)));
    P(" fd %d ev %x\n", fcntl(s[0], F_GETFD), events(s[0], ALL));
    P("write %ld %ld", E(write(s[0], "hello", 5)), E(send(s[0], " world", 6, 0)));
    ioctl(s[1], FIONREAD, &n);
    P(" waiting %d ev %x\n", n, events(s[1], ALL));
    P("peek %ld %.4s", E(recv(s[1], b, 4, MSG_PEEK)), b);
    P(" all %ld %.11s", E(recv(s[1], b, 11, MSG_WAITALL)), b);
    P(" none %ld", E(recv(s[1], b, 4, MSG_DONTWAIT)));
    P(" zero %ld\n", E(write(s[0], "", 0)));
    show("name", s[0], 0);
    show("peer", s[0], 1);
    P("connected again %ld", E(connect(s[0], (void *)b, 0)));
    P(" listen %ld accept %ld\n", E(listen(s[0], 1)), E(accept(s[0], 0, 0)));
    write(s[0], "tail", 4);
    P("shutdown %ld", E(shutdown(s[0], SHUT_WR)));
    P(" write %ld", E(send(s[0], "x", 1, MSG_NOSIGNAL)));
    P(" ev %x %x", events(s[0], ALL), events(s[1], ALL));
    P(" read %ld", E(read(s[1], b, 9)));
    P(" end %ld ev %x\n", E(read(s[1], b, 9)), events(s[1], ALL));
    P("back %ld", E(write(s[1], "y", 1)));
    close(s[1]);
    P(" ev %x read %ld", events(s[0], ALL), E(read(s[0], b, 9)));
    P(" %ld\n", E(read(s[0], b, 9)));
    close(s[0]);
    socketpair(AF_UNIX, SOCK_STREAM, 0, s);
    write(s[0], "unread", 6);
    close(s[1]);
    P("unread: ev %x", events(s[0], ALL));
    P(" read %ld", E(read(s[0], b, 9)));
    P(" %ld", E(read(s[0], b, 9)));
    handled = 0;
    P(" write %ld signal %d", E(write(s[0], "x", 1)), handled);
    handled = 0;
    P(" %ld signal %d\n", E(send(s[0], "x", 1, MSG_NOSIGNAL)), handled);
    close(s[0]);
    /* Limits. */
    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s);
    static char big[1 << 16];
    long total = 0, r;
    while ((r = write(s[0], big, sizeof big)) > 0) total += r;
    P("full %d %ld ev %x", errno, (long)(total > 65536 && total < (1 << 22)), events(s[0], ALL));
    while ((r = read(s[1], big, sizeof big)) > 0) total -= r;
    P(" left %ld ev %x\n", total, events(s[0], ALL));
    struct timeval t = {0, 20000};
    fcntl(s[1], F_SETFL, 0);
    P("timeout %ld", E(setsockopt(s[1], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t)));
    P(" read %ld\n", E(read(s[1], b, 1)));
    close(s[0]), close(s[1]);
}
static void *client(void *path) {
    struct sockaddr_un a;
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    socklen_t n = name(&a, path);
    connect(s, (void *)&a, n);
    static char big[300000];
    memset(big, 'z', sizeof big);
    long done = write(s, big, sizeof big);
    close(s);
    return (void *)done;
}
static void names(const char *path) {
    struct sockaddr_un a;
    socklen_t n = name(&a, path);
    int l = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0), v;
    char b[64];
    P("-- %s\nlisten unbound %ld", path, E(listen(l, 5)));
    P(" refused %ld", E(connect(c, (void *)&a, n)));
    P(" bind %ld again %ld", E(bind(l, (void *)&a, n)), E(bind(l, (void *)&a, n)));
    P(" other %ld", E(bind(c, (void *)&a, n)));
    P(" not yet %ld", E(connect(c, (void *)&a, n)));
    P(" accept %ld\n", E(accept(l, 0, 0)));
    if (*path == '/') {
        struct stat st;
        P("stat %ld %o open %ld\n", E(stat(path, &st)), st.st_mode, E(open(path, O_RDWR)));
    }
    show("bound", l, 0);
    P("listen %ld ev %x", E(listen(l, 1)), events(l, ALL));
    socklen_t vn = sizeof v;
    getsockopt(l, SOL_SOCKET, SO_ACCEPTCONN, &v, &vn);
    P(" accepts %d", v);
    P(" connect %ld ev %x %x\n", E(connect(c, (void *)&a, n)), events(c, ALL), events(l, ALL));
    show("peer", c, 1);
    int c2 = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), c3 = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    P("more %ld", E(connect(c2, (void *)&a, n)));
    P(" full %ld\n", E(connect(c3, (void *)&a, n)));
    write(c, "early", 5);
    vn = sizeof a;
    int s = accept4(l, (void *)&a, &vn, SOCK_CLOEXEC);
    P("accepted %d len %d cloexec %d", s > 0, vn, fcntl(s, F_GETFD));
    P(" read %ld\n", E(read(s, b, 64)));
    show("accepted", s, 0);
    show("its peer", s, 1);
    struct ucred u;
    vn = sizeof u;
    P("cred %ld", E(getsockopt(s, SOL_SOCKET, SO_PEERCRED, &u, &vn)));
    P(" %d %d %d\n", u.pid == getpid(), u.uid, u.gid);
    close(l);
    P("pending reset %ld ev %x", E(read(c2, b, 1)), events(c2, ALL));
    name(&a, path);
    P(" gone %ld\n", E(connect(c3, (void *)&a, n)));
    close(s), close(c), close(c2), close(c3);
    unlink(path);
    l = socket(AF_UNIX, SOCK_STREAM, 0);
    bind(l, (void *)&a, n), listen(l, 5);
    pthread_t t;
    void *sent;
    pthread_create(&t, 0, client, (void *)path);
    s = accept(l, 0, 0);
    long total = 0, r;
    static char big[70000];
    while ((r = read(s, big, sizeof big)) > 0) total += r;
    pthread_join(t, &sent);
    P("through %ld of %ld\n", total, (long)sent);
    int d = socket(AF_UNIX, SOCK_DGRAM, 0);
    P("other type %ld\n", E(connect(d, (void *)&a, n)));
    close(d), close(s), close(l);
    unlink(path);
}
static void datagrams(int type) {
    int s[2], n;
    char b[64] = {0};
    P("-- type %d\n", type);
    socketpair(AF_UNIX, type, 0, s);
    P("send %ld %ld empty %ld", E(send(s[0], "one", 3, 0)), E(send(s[0], "second", 6, 0)), E(send(s[0], "", 0, 0)));
    ioctl(s[1], FIONREAD, &n);
    P(" waiting %d ev %x %x\n", n, events(s[0], ALL), events(s[1], ALL));
    P("short %ld", E(recv(s[1], b, 2, 0)));
    P(" trunc %ld", E(recv(s[1], b, 2, MSG_TRUNC)));
    P(" empty %ld", E(recv(s[1], b, 9, 0)));
    P(" none %ld\n", E(recv(s[1], b, 9, MSG_DONTWAIT)));
    send(s[0], "truncated", 9, 0);
    receive(s[1], 4, 0, 0, 0);
    struct iovec v[2] = {{"ab", 2}, {"cd", 2}};
    P("writev %ld", E(writev(s[0], v, 2)));
    P(" read %ld", E(read(s[1], b, 9)));
    char *big = calloc(1, 1 << 20);
    P(" big %ld\n", E(send(s[0], big, 1 << 20, 0)));
    struct mmsghdr m[3];
    struct iovec w[3] = {{"1", 1}, {"22", 2}, {"333", 3}};
    memset(m, 0, sizeof m);
    for (int i = 0; i < 3; i++) m[i].msg_hdr.msg_iov = w + i, m[i].msg_hdr.msg_iovlen = 1;
    P("sendmmsg %ld %d", E(sendmmsg(s[0], m, 3, 0)), m[2].msg_len);
    char r[3][8];
    for (int i = 0; i < 3; i++) w[i] = (struct iovec){r[i], 8}, m[i].msg_len = 0;
    P(" recvmmsg %ld", E(recvmmsg(s[1], m, 3, MSG_WAITFORONE, 0)));
    P(" %d %d %d\n", m[0].msg_len, m[1].msg_len, m[2].msg_len);
    for (n = 0; send(s[0], "x", 1, MSG_DONTWAIT) == 1;) n++;
    P("full %d ev %x", errno, events(s[0], ALL) & POLLOUT);
    while (recv(s[1], b, 9, MSG_DONTWAIT) == 1) n--;
    P(" left %d ev %x\n", n, events(s[0], ALL));
    P("shutdown %ld", E(shutdown(s[0], SHUT_WR)));
    handled = 0;
    P(" send %ld signal %d ev %x %x", E(send(s[0], "x", 1, 0)), handled, events(s[0], ALL), events(s[1], ALL));
    P(" back %ld\n", E(send(s[1], "x", 1, 0)));
    close(s[1]);
    P("closed: recv %ld ev %x send %ld\n", E(recv(s[0], b, 9, MSG_DONTWAIT)), events(s[0], ALL), E(send(s[0], "x", 1, MSG_NOSIGNAL)));
    close(s[0]);
    free(big);
}
static void addressed(void) {
    struct sockaddr_un a, from;
    socklen_t n = name(&a, "@datagrams"), m;
    int s = socket(AF_UNIX, SOCK_DGRAM, 0), c = socket(AF_UNIX, SOCK_DGRAM, 0);
    char b[64];
    P("-- addressed\nbind %ld", E(bind(s, (void *)&a, n)));
    P(" nowhere %ld", E(send(c, "x", 1, 0)));
    P(" unbound %ld", E(sendto(c, "x", 1, 0, (void *)&a, n)));
    m = sizeof from;
    P(" from %ld", E(recvfrom(s, b, 9, 0, (void *)&from, &m)));
    P(" len %d", m);
    struct sockaddr_un any = {AF_UNIX};
    P(" autobind %ld", E(bind(c, (void *)&any, 2)));
    m = sizeof from;
    getsockname(c, (void *)&from, &m);
    P(" len %d", m);
    sendto(c, "x", 1, 0, (void *)&a, n);
    m = sizeof from;
    recvfrom(s, b, 9, 0, (void *)&from, &m);
    P(" len %d answer %ld", m, E(sendto(s, "answer", 6, 0, (void *)&from, m)));
    P(" %ld\n", E(recv(c, b, 64, 0)));
    P("connect %ld", E(connect(c, (void *)&a, n)));
    P(" send %ld", E(send(c, "x", 1, 0)));
    m = sizeof from;
    P(" peer %ld", E(getpeername(c, (void *)&from, &m)));
    P(" pick %ld", E(connect(s, (void *)&from, m)));
    int o = socket(AF_UNIX, SOCK_DGRAM, 0);
    close(s);
    P(" gone %ld", E(send(c, "x", 1, 0)));
    any.sun_family = AF_UNSPEC;
    P(" unspec %ld %ld", E(connect(c, (void *)&any, 2)), E(send(c, "x", 1, 0)));
    P(" other family %ld\n", E(sendto(c, "x", 1, 0, (void *)&any, 2)));
    close(c), close(o);
}
static void rights(void) {
    int s[2], p[2], got = -1, on = 1;
    char b[9];
    P("-- rights\n");
    socketpair(AF_UNIX, SOCK_STREAM, 0, s);
    pipe(p);
    write(s[0], "before", 6);
    P("send %ld\n", send_fds(s[0], "with", p, 2, 0));
    write(s[0], "after", 5);
    receive(s[1], 100, 200, 0, &got);
    write(p[1], "pipe", 4);
    P("read %ld\n", E(read(got, b, 4)));
    close(got);
    receive(s[1], 100, 200, 0, 0);
    send_fds(s[0], "cloexec", p, 1, 0);
    receive(s[1], 100, 200, MSG_CMSG_CLOEXEC, 0);
    send_fds(s[0], "little room", p, 2, 0);
    receive(s[1], 100, CMSG_LEN(4), 0, 0);
    send_fds(s[0], "none", p, 2, 0);
    receive(s[1], 100, 0, 0, 0);
    send_fds(s[0], "lost", p, 1, 0);
    P("plain %ld\n", E(read(s[1], b, 9)));
    int bad[] = {p[0], 77};
    P("bad %ld\n", send_fds(s[0], "bad", bad, 2, 0));
    P("pass %ld\n", E(setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on)));
    write(s[0], "who", 3);
    receive(s[1], 100, 200, 0, 0);
    /* Into each other's inbox, and a chain of them. */
    int c[2];
    socketpair(AF_UNIX, SOCK_DGRAM, 0, c);
    P("own inbox %ld", send_fds(c[0], "self", c, 2, 0));
    close(c[0]), close(c[1]);
    int chain[2], last = -1;
    long sent = 0;
    for (int i = 0; i < 3; i++) {
        socketpair(AF_UNIX, SOCK_DGRAM, 0, chain);
        if (last >= 0) sent += send_fds(chain[0], "c", &last, 1, 0), close(last);
        close(chain[0]);
        last = chain[1];
    }
    close(last);
    P(" chain %ld\n", sent);
    close(s[0]), close(s[1]), close(p[0]), close(p[1]);
}
static void edges(void) {
    int s[2], e = epoll_create1(0);
    struct epoll_event v = {EPOLLIN | EPOLLOUT | EPOLLET | EPOLLRDHUP, {.u32 = 1}}, g[4];
    char b[9];
    P("-- edges\n");
    socketpair(AF_UNIX, SOCK_STREAM, 0, s);
    epoll_ctl(e, EPOLL_CTL_ADD, s[0], &v);
    P("%ld %x", E(epoll_wait(e, g, 4, 0)), g[0].events);
    P(" %ld", E(epoll_wait(e, g, 4, 0)));
    write(s[1], "ab", 2);
    P(" %ld %x", E(epoll_wait(e, g, 4, 0)), g[0].events);
    P(" %ld", E(epoll_wait(e, g, 4, 0)));
    write(s[1], "c", 1);
    P(" %ld\n", E(epoll_wait(e, g, 4, 0)));
    read(s[0], b, 9);
    close(s[1]);
    P("closed %ld %x\n", E(epoll_wait(e, g, 4, 0)), g[0].events);
    close(s[0]), close(e);
}
static void forked(void) {
    int s[2];
    char b[64] = {0};
    socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s);
    if (!fork()) {
        close(s[0]);
        while (recv(s[1], b, 64, 0) > 0) send(s[1], b, strlen(b), 0);
        _exit(0);
    }
    close(s[1]);
    for (int i = 0; i < 100; i++) {
        int n = sprintf(b, "message %d", i);
        send(s[0], b, n + 1, 0);
        if (recv(s[0], b, 64, 0) != n) P("lost %d\n", i);
    }
    close(s[0]);
    wait(0);
    P("forked ok\n");
    int f = socket(AF_UNIX, SOCK_STREAM, 0), v;
    socklen_t n = sizeof v;
    P("type %ld %d", E(getsockopt(f, SOL_SOCKET, SO_TYPE, &v, &n)), v);
    getsockopt(f, SOL_SOCKET, SO_DOMAIN, &v, &n);
    P(" domain %d ev %x read %ld write %ld", v, events(f, ALL), E(read(f, b, 1)), E(write(f, b, 1)));
    P(" bad family %ld type %ld protocol %ld\n", E(socket(99, 1, 0)), E(socket(AF_UNIX, 9, 0)), E(socket(AF_UNIX, 1, 17)));
    P("not a socket %ld %ld %ld\n", E(listen(1, 1)), E(send(0, "x", 1, 0)), E(accept(99, 0, 0)));
    struct stat st;
    P("stat %ld %o option %ld %ld\n", E(fstat(f, &st)), st.st_mode, E(setsockopt(f, SOL_SOCKET, 999, &v, 4)), E(getsockopt(f, SOL_SOCKET, 999, &v, &n)));
    close(f);
}
int main(void) {
    signal(SIGPIPE, handler);
    umask(022);
    streams();
    names("/tmp/unix-socket");
    names("@abstract name");
    datagrams(SOCK_DGRAM);
    datagrams(SOCK_SEQPACKET);
    addressed();
    rights();
    edges();
    forked();
    P("done\n");
}
