/* Urgent data (MSG_OOB), and signals that tell of files: F_SETOWN, O_ASYNC. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
#ifndef FIOSETOWN
#define FIOSETOWN 0x8901
#define FIOGETOWN 0x8903
#endif
static int l;
static struct sockaddr_in at;
static int from;
static void pair(int s[2]) {
    socklen_t n = sizeof at;
    from = s[0] = socket(AF_INET, SOCK_STREAM, 0);
    connect(s[0], (void *)&at, n);
    s[1] = accept(l, 0, 0);
}
static int ready(int fd) {
    struct pollfd p = {fd, POLLIN | POLLPRI | POLLRDBAND, 0}, end = {fd, POLLRDHUP, 0};
    int n, open = 1;
    /* All that was sent has come, and that it was the last. */
    for (int i = 0; i < 20000 && (open = !ioctl(from, TIOCOUTQ, &n)) && n; i++) usleep(1000);
    if (!open) poll(&end, 1, 20000);
    poll(&p, 1, 0);
    return p.revents;
}
static int mark(int fd) {
    int m = -1;
    ioctl(fd, SIOCATMARK, &m);
    return m;
}
static int waiting(int fd) {
    int n = -1;
    ioctl(fd, FIONREAD, &n);
    return n;
}
static void state(const char *what, int fd) { P("%s: ready %x mark %d waiting %d\n", what, ready(fd), mark(fd), waiting(fd)); }
static void gets_(int fd, size_t most, int flags) {
    char b[64] = {0};
    long r = E(recv(fd, b, most, flags | MSG_DONTWAIT));
    P("  %ld '%s'", r, r > 0 ? b : "");
}
static void apart(int peeks) {
    int s[2];
    pair(s);
    state("nothing", s[1]);
    gets_(s[1], 9, MSG_OOB), P("\n");
    P("sent %ld\n", E(send(s[0], "abcX", 4, MSG_OOB)));
    state("before", s[1]);
    send(s[0], "def", 3, 0);
    state("more", s[1]);
    gets_(s[1], 9, MSG_PEEK), gets_(s[1], 2, 0), gets_(s[1], 9, 0);
    state("\nat", s[1]);
    gets_(s[1], 9, MSG_OOB | MSG_PEEK);
    if (peeks) gets_(s[1], 9, MSG_PEEK);
    gets_(s[1], 9, MSG_OOB), gets_(s[1], 9, MSG_OOB);
    state("\ntaken", s[1]);
    gets_(s[1], 9, MSG_PEEK), gets_(s[1], 2, 0);
    state("\nbehind", s[1]);
    gets_(s[1], 9, 0), gets_(s[1], 9, 0), gets_(s[1], 9, MSG_OOB), P("\n");
    /* Only the byte, and one after the other. */
    send(s[0], "1", 1, MSG_OOB);
    state("alone", s[1]);
    gets_(s[1], 9, 0);
    state("\nread", s[1]);
    send(s[0], "2", 1, MSG_OOB), send(s[0], "x", 1, 0), send(s[0], "3", 1, MSG_OOB);
    state("two", s[1]);
    gets_(s[1], 9, 0), gets_(s[1], 9, MSG_OOB), gets_(s[1], 9, 0), P("\n");
    send(s[0], "ab4", 3, MSG_OOB), send(s[0], "cd5", 3, MSG_OOB), send(s[0], "e", 1, 0);
    state("three", s[1]);
    gets_(s[1], 20, 0), gets_(s[1], 20, 0), gets_(s[1], 9, MSG_OOB), P("\n");
    send(s[0], "skipped6", 8, MSG_OOB), send(s[0], "z", 1, 0), close(s[0]);
    state("closed", s[1]);
    gets_(s[1], 20, MSG_WAITALL), gets_(s[1], 20, 0), gets_(s[1], 20, 0), gets_(s[1], 9, MSG_OOB), P("\n");
    close(s[1]);
}
static void inline_(void) {
    int s[2], one = 1, zero = 0;
    pair(s);
    setsockopt(s[1], SOL_SOCKET, SO_OOBINLINE, &one, sizeof one);
    send(s[0], "abX", 3, MSG_OOB), send(s[0], "cd", 2, 0);
    state("inline", s[1]);
    gets_(s[1], 9, MSG_OOB), gets_(s[1], 9, 0);
    state("\nat", s[1]);
    gets_(s[1], 9, 0);
    state("\nafter", s[1]);
    send(s[0], "Y", 1, MSG_OOB);
    setsockopt(s[1], SOL_SOCKET, SO_OOBINLINE, &zero, sizeof zero);
    state("not inline", s[1]);
    gets_(s[1], 9, MSG_OOB), P("\n");
    int set = epoll_create1(0);
    struct epoll_event e = {EPOLLPRI | EPOLLET, {0}}, got;
    epoll_ctl(set, EPOLL_CTL_ADD, s[1], &e);
    P("epoll %d", epoll_wait(set, &got, 1, 0));
    send(s[0], "Z", 1, MSG_OOB);
    P(" %d", epoll_wait(set, &got, 1, 20000));
    P(" %x\n", got.events);
    close(s[0]), close(s[1]), close(set);
}
static volatile int count[65], code, band, fd_;
static void handler(int n, siginfo_t *i, void *c) { count[n]++, code = i->si_code, band = i->si_band, fd_ = i->si_fd; }
/* So many are to come; for a moment, whether more do. */
static void said(const char *what, int least) {
    for (int i = 0; i < 20000 && count[SIGURG] + count[SIGIO] + count[SIGRTMIN + 1] < least; i++) usleep(1000);
    usleep(20000);
    P("%s: urgent %d io %d other %d", what, count[SIGURG], count[SIGIO], count[SIGRTMIN + 1]);
    if (count[SIGRTMIN + 1]) P(" code %d band %x fd %d", code, band, fd_ > 0);
    else if (count[SIGIO] || count[SIGURG]) P(" code %x", code);
    P("\n");
    memset((void *)count, 0, sizeof count);
}
static void owners(int fd) {
    struct f_owner_ex x = {-1, -1};
    int n = -7;
    P("none %ld", E(fcntl(fd, F_GETOWN)));
    P(" set %ld", E(syscall(SYS_fcntl, fd, F_SETOWN, getpid())));
    P(" is %d", syscall(SYS_fcntl, fd, F_GETOWN) == getpid());
    P(" %ld %d %d", E(fcntl(fd, F_GETOWN_EX, &x)), x.type, x.pid == getpid());
    P(" group %ld %d", E(syscall(SYS_fcntl, fd, F_SETOWN, -getpgrp())), syscall(SYS_fcntl, fd, F_GETOWN) == -getpgrp());
    P(" %ld %d", E(fcntl(fd, F_GETOWN_EX, &x)), x.type);
    P(" kept %d", E(fcntl(fd, F_GETOWN)) == -getpgrp());
    P(" nobody %ld", E(fcntl(fd, F_SETOWN, 0)));
    P(" %ld", E(fcntl(fd, F_GETOWN)));
    P(" missing %ld %ld", E(fcntl(fd, F_SETOWN, 999999)), E(fcntl(fd, F_SETOWN, -999999)));
    P(" least %ld", E(fcntl(fd, F_SETOWN, 0x80000000)));
    for (int type = -1; type < 4; type++) {
        x.type = type, x.pid = getpid();
        P(" %ld", E(fcntl(fd, F_SETOWN_EX, &x)));
    }
    x.type = F_OWNER_TID, x.pid = syscall(SYS_gettid);
    P(" thread %ld", E(fcntl(fd, F_SETOWN_EX, &x)));
    x.type = x.pid = 0, fcntl(fd, F_GETOWN_EX, &x);
    P(" %d %d", x.type, x.pid == syscall(SYS_gettid));
    P(" signal %ld %ld %ld %ld %ld\n", E(fcntl(fd, F_GETSIG)), E(fcntl(fd, F_SETSIG, 40)), E(fcntl(fd, F_GETSIG)),
        E(fcntl(fd, F_SETSIG, 65)), E(fcntl(fd, F_SETSIG, 0)));
    P("ioctl %ld", E(ioctl(fd, FIOSETOWN, &(int){getpid()})));
    P(" %ld %d", E(ioctl(fd, FIOGETOWN, &n)), n == getpid());
    P(" %ld", E(ioctl(fd, SIOCSPGRP, &(int){-getpgrp()})));
    P(" %ld %d", E(ioctl(fd, SIOCGPGRP, &n)), n == -getpgrp());
    int on = 1;
    P(" async %ld", E(ioctl(fd, FIOASYNC, &on)));
    P(" %lx", E(fcntl(fd, F_GETFL) & O_ASYNC));
    P(" %ld %lx\n", E(fcntl(fd, F_SETFL, O_NONBLOCK)), E(fcntl(fd, F_GETFL) & O_ASYNC));
    fcntl(fd, F_SETOWN, 0), fcntl(fd, F_SETSIG, 0), fcntl(fd, F_SETFL, O_NONBLOCK);
}
static void own(int fd) { fcntl(fd, F_SETOWN, getpid()), fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK); }
int main(void) {
    if (getpid() != getpgrp()) setpgid(0, 0);
    socklen_t n = sizeof at;
    struct sigaction a = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGURG, &a, 0), sigaction(SIGIO, &a, 0), sigaction(SIGRTMIN + 1, &a, 0);
    l = socket(AF_INET, SOCK_STREAM, 0);
    at.sin_family = AF_INET, at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bind(l, (void *)&at, n), listen(l, 9), getsockname(l, (void *)&at, &n);
    apart(0), apart(1), inline_();
    int s[2], p[2], u[2], d[2], e = eventfd(0, 0);
    char b[9];
    pair(s);
    owners(s[1]);
    pipe(p), owners(p[0]);
    owners(e);
    said("so far", 0);
    send(s[0], "x", 1, MSG_OOB), said("nobody's", 0);
    fcntl(s[1], F_SETOWN, getpid());
    send(s[0], "x", 1, MSG_OOB), said("urgent", 1);
    send(s[0], "x", 1, 0), said("not asked", 0);
    recv(s[1], b, 9, 0), recv(s[1], b, 9, 0), recv(s[1], b, 9, 0);
    own(s[1]);
    send(s[0], "x", 1, 0), said("data", 1);
    send(s[0], "x", 1, 0), said("more data", 1);
    recv(s[1], b, 9, 0), said("read", 0);
    send(s[0], "x", 1, MSG_OOB), said("both", 2);
    fcntl(s[1], F_SETSIG, SIGRTMIN + 1);
    recv(s[1], b, 9, 0);
    send(s[0], "x", 1, 0), said("with a signal", 1);
    fcntl(s[1], F_SETFL, O_NONBLOCK);
    send(s[0], "x", 1, 0), said("no more", 0);
    own(p[0]);
    write(p[1], "x", 1), said("pipe", 1);
    read(p[0], b, 9), said("pipe read", 0);
    write(p[1], "x", 1), said("pipe again", 1);
    fcntl(p[0], F_SETFL, O_NONBLOCK), read(p[0], b, 9);
    own(p[1]);
    while (write(p[1], b, 9) == 9) {}
    said("full", 0);
    static char big[1 << 17];
    read(p[0], big, sizeof big), said("room", 1);
    close(p[0]), said("reader gone", 1);
    pipe(p), own(p[0]), close(p[1]), said("writer gone", 1);
    socketpair(AF_UNIX, SOCK_STREAM, 0, u), own(u[1]);
    write(u[0], "x", 1), said("unix", 1), write(u[0], "x", 1), said("unix more", 1);
    close(u[0]), said("unix end", 1);
    socketpair(AF_UNIX, SOCK_DGRAM, 0, d), own(d[1]);
    write(d[0], "x", 1), said("datagram", 1), write(d[0], "x", 1), said("datagram more", 1);
    int c = socket(AF_INET, SOCK_STREAM, 0);
    own(l), connect(c, (void *)&at, n), said("connection", 1);
    int udp = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in to = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}};
    bind(udp, (void *)&to, sizeof to), getsockname(udp, (void *)&to, &n), own(udp);
    sendto(c = socket(AF_INET, SOCK_DGRAM, 0), "x", 1, 0, (void *)&to, sizeof to), said("udp", 1);
    int master, slave;
    struct termios t;
    openpty(&master, &slave, 0, 0, 0);
    tcgetattr(slave, &t), cfmakeraw(&t), tcsetattr(slave, TCSANOW, &t);
    own(slave), write(master, "x", 1), said("terminal", 1);
    read(slave, b, 9), own(master), said("terminal read", 0);
    char in[] = "/tmp/urgentXXXXXX", name[64];
    int i = inotify_init1(IN_NONBLOCK);
    inotify_add_watch(i, mkdtemp(in), IN_CREATE | IN_DELETE), own(i);
    snprintf(name, sizeof name, "%s/x", in);
    mkdir(name, 0700), said("watched", 1), rmdir(name), said("watched more", 1), rmdir(in), close(i);
    struct nlmsghdr ask = {16, NLMSG_NOOP, NLM_F_REQUEST | NLM_F_ACK, 1, 0};
    own(i = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
    send(i, &ask, 16, 0), said("answer", 2), send(i, &ask, 16, 0), said("answer more", 1), close(i);
    int on = 1, f = open("/tmp", O_RDONLY);
    P("directory %ld %ld", E(ioctl(f, FIOASYNC, &on)), E(fcntl(f, F_SETFL, O_ASYNC)));
    P(" eventfd %ld\n", E(ioctl(e, FIOASYNC, &on)));
    /* To a thread, and to another process. */
    pid_t child = fork();
    if (!child) {
        for (;;) pause();
    }
    pair(s), own(s[1]), fcntl(s[1], F_SETOWN, child);
    usleep(50000);
    send(s[0], "x", 1, 0), said("another's", 1);
    struct f_owner_ex x = {F_OWNER_TID, syscall(SYS_gettid)};
    fcntl(s[1], F_SETOWN_EX, &x), send(s[0], "x", 1, 0), said("thread's", 0);
    kill(child, SIGKILL), waitpid(child, 0, 0);
    /* A reader that only signals tell of is told although the writer waits. */
    child = fork();
    if (!child) {
        pipe(p);
        sigset_t io;
        sigemptyset(&io), sigaddset(&io, SIGIO), sigprocmask(SIG_BLOCK, &io, 0);
        own(p[0]);
        if (!fork()) close(p[0]), _exit(write(p[1], big, sizeof big) == sizeof big);
        int got, sum = 0;
        alarm(100);
        while (sum < (int)sizeof big && sigwait(&io, &got) == 0)
            while ((got = read(p[0], big, 5000)) > 0) sum += got;
        P("all %d\n", sum == sizeof big);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    /* Room of a pipe that was full. */
    pipe(p), own(p[1]);
    while (write(p[1], big, 4096) > 0);
    said("full", 0);
    read(p[0], big, 4096), said("room", 1), read(p[0], big, 4096);
    while (write(p[1], big, 4096) > 0);
    memset((void *)count, 0, sizeof count);
    read(p[0], big, 4096), said("room again", 1), close(p[0]), close(p[1]);
    memset((void *)count, 0, sizeof count);
    /* A group that is gone; a capability does not let tell others. */
    pair(s);
    child = fork();
    if (!child) setpgid(0, 0), pause();
    while (getpgid(child) != child) usleep(1000);
    P("group %ld", E(fcntl(s[1], F_SETOWN, -child)));
    P(" there %d", syscall(SYS_fcntl, s[1], F_GETOWN) == -child);
    kill(child, SIGKILL), waitpid(child, 0, 0);
    P(" gone %ld\n", E(syscall(SYS_fcntl, s[1], F_GETOWN)));
    for (int way = 0; way < 3 && !geteuid(); way++) {
        pair(s);
        child = fork();
        if (!child) {
            prctl(PR_SET_KEEPCAPS, 1);
            if (way) setresuid(1000, way == 1 ? 1000 : 0, 1000);
            if (way == 1) {
                struct { unsigned v; int pid; } h = {0x20080522, 0};
                unsigned caps[6] = {1 << 5, 1 << 5};
                syscall(SYS_capset, &h, caps);
            }
            P("able %ld ", E(kill(getppid(), 0)));
            fcntl(s[1], F_SETOWN, getppid()), fcntl(s[1], F_SETFL, O_ASYNC | O_NONBLOCK);
            _exit(0);
        }
        waitpid(child, 0, 0);
        send(s[0], "x", 1, 0), said(way ? way == 1 ? "by a capability" : "as root in effect" : "by root", way ? 1 : 2);
    }
    P("status %x\ndone\n", status);
}
