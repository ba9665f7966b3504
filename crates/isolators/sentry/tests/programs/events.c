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
#include <sys/wait.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
/* A result, or the error as a negative number. */
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
static int out[2];
static void *later(void *a) { usleep(20000); if (write(out[1], "x", 1) != 1) P("write\n"); return a; }
static void handler(int s) { (void)s; }
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
    P("pwait interrupted %ld\n", E(epoll_pwait(set, got, 8, 5000, &none)));
    raise(SIGUSR1);
    struct timespec long_ = {5, 0};
    P("ppoll interrupted %ld\n", E(ppoll(0, 0, &long_, &none)));
    P("done\n");
}
