/* Sets of epoll in sets of epoll. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static int add(int set, int fd, unsigned events) {
    struct epoll_event e = {.events = events, .data.u64 = 1000 + fd};
    return epoll_ctl(set, EPOLL_CTL_ADD, fd, &e) ? -errno : 0;
}

static void look(const char *what, int set, int wait) {
    struct epoll_event e[4];
    memset(e, 0, sizeof e);
    int n = epoll_wait(set, e, 4, wait);
    printf("%s %d %x\n", what, n, n > 0 ? e[0].events : 0);
}

static void said(const char *what, int result) { printf("%s %d\n", what, result); }

static int pipes[2];
static void *later(void *x) {
    usleep(30000);
    write(pipes[1], "x", 1);
    return x;
}

int main(void) {
    char c;
    pthread_t t;
    int inner = epoll_create1(0), outer = epoll_create1(0), top = epoll_create1(0);
    pipe(pipes);
    said("add", add(inner, pipes[0], EPOLLIN));
    said("add", add(outer, inner, EPOLLIN));
    said("add", add(top, outer, EPOLLIN | EPOLLET));
    said("again", add(outer, inner, EPOLLIN));
    said("itself", add(inner, inner, EPOLLIN));
    said("exclusive", add(top, inner, EPOLLIN | EPOLLEXCLUSIVE));
    said("circle", add(inner, outer, EPOLLIN));
    said("circle", add(inner, top, EPOLLIN));
    look("empty", outer, 0);
    struct pollfd p = {outer, POLLIN};
    printf("poll %d\n", poll(&p, 1, 0));
    pthread_create(&t, 0, later, 0);
    look("outer", outer, 10000);
    pthread_join(t, 0);
    look("level", outer, 0);
    look("edge", top, 10000);
    look("once", top, 0);
    printf("poll %d %x\n", poll(&p, 1, 0), p.revents);
    look("inner", inner, 0);
    read(pipes[0], &c, 1);
    look("read", outer, 0);
    pthread_create(&t, 0, later, 0);
    look("edge", top, 10000);
    pthread_join(t, 0);
    /* As deep as it goes. */
    int chain[5], n;
    for (n = 0; n < 5; n++) chain[n] = epoll_create1(0);
    for (n = 3; n >= 0; n--) said("deeper", add(chain[n], chain[n + 1], EPOLLIN));
    add(chain[4], pipes[0], EPOLLIN);
    write(pipes[1], "x", 1);
    look("deepest", chain[0], 10000);
    said("too deep", add(top, chain[0], EPOLLIN));
    read(pipes[0], &c, 1);
    look("deepest", chain[0], 0);
    struct epoll_event e = {.events = EPOLLOUT};
    said("modify", epoll_ctl(outer, EPOLL_CTL_MOD, inner, &e));
    said("delete", epoll_ctl(outer, EPOLL_CTL_DEL, inner, 0));
    said("gone", epoll_ctl(outer, EPOLL_CTL_DEL, inner, 0) ? -errno : 0);
    look("without", outer, 0);
    said("turned", add(inner, outer, EPOLLIN));
    said("circle", add(outer, inner, EPOLLIN));
    close(outer);
    puts("done");
}
