/* epoll, eventfd, poll, select. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
/* A result, or the error as a negative number. */
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
static int out[2];
static void *later(void *a) { usleep(20000); if (write(out[1], "x", 1) != 1) P("write\n"); return a; }
static int handled;
static void handler(int s) { (void)s, handled++; }
static int readers;
static void *idle(void *a) { read(*(int *)a, &readers, 1); return a; }
/* Has a signal come again and again until it is told not to. */
static void alarms(int on) {
    struct itimerval t = {{0, on * 20000}, {0, on * 20000}};
    setitimer(ITIMER_REAL, &t, 0);
}
/* A call that waits is ended by a signal, also where poll(2) says that it need not wait. */
static void waits(void) {
    struct sigaction a = {.sa_handler = handler};
    sigaction(SIGALRM, &a, 0);
    int event = eventfd(1, 0), out[2];
    uint64_t n = 0xfffffffffffffffe;
    alarms(1);
    P("counter %ld\n", E(write(event, &n, 8)));
    alarms(0);
    /* Signals of another thread are not this one's. */
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGUSR2), sigaddset(&set, SIGRTMIN);
    pthread_sigmask(SIG_BLOCK, &set, 0);
    int file = signalfd(-1, &set, 0);
    struct signalfd_siginfo got[4];
    struct iovec v = {got, sizeof got[0]};
    pthread_t t;
    pipe(out);
    pthread_create(&t, 0, idle, out);
    pthread_kill(t, SIGUSR2);
    struct pollfd p = {file, POLLIN};
    P("another's %ld", E(poll(&p, 1, 0)));
    alarms(1);
    P(" %ld\n", E(read(file, got, sizeof got)));
    alarms(0);
    write(out[1], "x", 1), pthread_join(t, 0);
    raise(SIGUSR2);
    P("pieces %ld", E(readv(file, &v, 1)));
    P(" signal %d\n", got[0].ssi_signo == SIGUSR2);
    /* What is not read stays. */
    for (int i = 0; i < 3; i++) raise(SIGRTMIN);
    P("one of three %ld", E(read(file, got, sizeof got[0])));
    close(file);
    file = signalfd(-1, &set, SFD_NONBLOCK);
    P(" rest %ld", E(read(file, got, sizeof got)) / (long)sizeof got[0]);
    P(" none %ld\n", E(read(file, got, sizeof got)));
    /* Who asks is told of his own. */
    fflush(stdout);
    if (!fork()) {
        struct epoll_event e = {EPOLLIN, {.u32 = 1}};
        int own = epoll_create1(0);
        epoll_ctl(own, EPOLL_CTL_ADD, file, &e);
        P("child's %ld", E(epoll_wait(own, &e, 1, 0)));
        raise(SIGUSR2);
        p.fd = file;
        P(" %ld", E(poll(&p, 1, -1)));
        P(" %ld\n", E(epoll_wait(own, &e, 1, -1)));
        _exit(0);
    }
    wait(0);
    p.fd = file;
    P("parent's %ld\n", E(poll(&p, 1, 0)));
    close(file), close(event), close(out[0]), close(out[1]);
}
int main(void) {
    int in[2];
    char c;
    if (pipe(in) || pipe(out)) return 1;
    int set = epoll_create1(EPOLL_CLOEXEC), event = eventfd(3, EFD_NONBLOCK);
    struct epoll_event e = {EPOLLIN, {.u64 = 0x1122334455667788}}, got[8];
    P("add %ld", E(epoll_ctl(set, EPOLL_CTL_ADD, in[0], &e)));
    P(" twice %ld", E(epoll_ctl(set, EPOLL_CTL_ADD, in[0], &e)));
    int file = open("/tmp/regular", O_CREAT | O_RDWR, 0600);
    P(" file %ld", E(epoll_ctl(set, EPOLL_CTL_ADD, file, &e)));
    unlink("/tmp/regular");
    P(" none %ld", E(epoll_ctl(set, EPOLL_CTL_DEL, out[0], 0)));
    P(" bad %ld\n", E(epoll_ctl(set, EPOLL_CTL_ADD, 99, &e)));
    P("nothing %ld\n", E(epoll_wait(set, got, 8, 0)));
    if (write(in[1], "ab", 2) != 2) return 1;
    P("level %ld %x %d", E(epoll_wait(set, got, 8, -1)), got[0].events, got[0].data.u64 == 0x1122334455667788);
    P(" again %ld\n", E(epoll_wait(set, got, 8, -1)));
    e.events = EPOLLIN | EPOLLET;
    P("edge %ld", E(epoll_ctl(set, EPOLL_CTL_MOD, in[0], &e)));
    P(" %ld", E(epoll_wait(set, got, 8, 0)));
    P(" %ld", E(epoll_wait(set, got, 8, 0)));
    if (write(in[1], "c", 1) != 1) return 1;
    P(" new %ld\n", E(epoll_wait(set, got, 8, 0)));
    e.events = EPOLLIN | EPOLLONESHOT;
    epoll_ctl(set, EPOLL_CTL_MOD, in[0], &e);
    P("once %ld", E(epoll_wait(set, got, 8, 0)));
    P(" %ld\n", E(epoll_wait(set, got, 8, 0)));
    e.events = EPOLLOUT;
    P("event add %ld", E(epoll_ctl(set, EPOLL_CTL_ADD, event, &e)));
    P(" wait %ld %x\n", E(epoll_wait(set, got, 8, 0)), got[0].events);
    uint64_t n;
    P("count %ld", E(read(event, &n, 8)));
    P(" %d", (int)n);
    P(" empty %ld", E(read(event, &n, 8)));
    n = ~0ULL;
    P(" full %ld\n", E(write(event, &n, 8)));
    pthread_t t;
    e.events = EPOLLIN;
    epoll_ctl(set, EPOLL_CTL_DEL, event, 0);
    epoll_ctl(set, EPOLL_CTL_ADD, out[0], &e);
    pthread_create(&t, 0, later, 0);
    P("woken %ld\n", E(epoll_wait(set, got, 8, 10000)));
    pthread_join(t, 0);
    struct pollfd p[3] = {{out[0], POLLIN}, {in[1], POLLOUT}, {77, POLLIN}};
    P("poll %ld %x %x %x\n", E(poll(p, 3, -1)), p[0].revents, p[1].revents, p[2].revents);
    fd_set r;
    FD_ZERO(&r);
    FD_SET(out[0], &r);
    FD_SET(set, &r);
    struct timeval soon = {0, 1000};
    P("select %ld", E(select(64, &r, 0, 0, &soon)));
    P(" %d %d\n", FD_ISSET(out[0], &r) != 0, FD_ISSET(set, &r) != 0);
    if (read(out[0], &c, 1) != 1) return 1;
    P("empty %ld\n", E(poll(p, 1, 5)));
    close(out[1]);
    P("hang up %ld", E(poll(p, 1, -1)));
    P(" %x", p[0].revents);
    P(" read %ld\n", E(read(out[0], &c, 1)));
    signal(SIGUSR1, handler);
    sigset_t block, none;
    sigemptyset(&none);
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    sigprocmask(SIG_BLOCK, &block, 0);
    raise(SIGUSR1);
    P("pwait %ld\n", E(epoll_pwait(set, got, 0 + 8, 0, &none)) >= -EINTR);
    epoll_ctl(set, EPOLL_CTL_DEL, out[0], 0);
    raise(SIGUSR1);
    handled = 0;
    P("pwait interrupted %ld", E(epoll_pwait(set, got, 8, 5000, &none)));
    P(" handled %d", handled);
    P(" then %ld\n", E(epoll_pwait(set, got, 8, 1, &none)));
    raise(SIGUSR1);
    struct timespec long_ = {5, 0};
    P("ppoll interrupted %ld\n", E(ppoll(0, 0, &long_, &none)));
    waits();
    P("done\n");
}
