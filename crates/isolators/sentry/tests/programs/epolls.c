/* Sets of epoll(7): whose turn it is, what closing leaves, who is woken; and waits that a
 * stop interrupts. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "asleep.h"
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
/* A result, or the error as a negative number. */
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
#define EXCLUSIVE (1u << 28)
static long control(int set, int how, int fd, unsigned events, int data) {
    struct epoll_event e = {events, {.u32 = data}};
    return E(epoll_ctl(set, how, fd, &e));
}
static void show(int set, int most, int times) {
    while (times--) {
        struct epoll_event e[16];
        int n = epoll_wait(set, e, most, 0);
        P("(");
        for (int i = 0; i < n; i++) P(" %d:%x", e[i].data.u32, e[i].events);
        P(") ");
    }
    P("\n");
}
static void turns(void) {
    int set = epoll_create1(0), p[6][2];
    for (int i = 0; i < 6; i++) pipe(p[i]), control(set, EPOLL_CTL_ADD, p[i][0], EPOLLIN, i);
    write(p[4][1], "x", 1), write(p[1][1], "x", 1), write(p[5][1], "x", 1), write(p[0][1], "x", 1);
    show(set, 1, 6);
    show(set, 3, 4);
    show(set, 9, 2);
    char c;
    read(p[5][0], &c, 1);
    show(set, 2, 3);
    write(p[3][1], "x", 1);
    show(set, 1, 6);
    /* Changed ones that are ready have had their turn or not. */
    P("change %ld\n", control(set, EPOLL_CTL_MOD, p[0][0], EPOLLIN | EPOLLONESHOT, 10));
    show(set, 1, 4);
    P("again %ld\n", control(set, EPOLL_CTL_MOD, p[0][0], EPOLLIN | EPOLLET, 20));
    show(set, 9, 2);
    write(p[0][1], "x", 1);
    show(set, 9, 2);
    for (int i = 0; i < 6; i++) close(p[i][1]);
    show(set, 9, 1);
    for (int i = 0; i < 6; i++) close(p[i][0]);
    show(set, 9, 1), close(set);
}
static void numbers(void) {
    int set = epoll_create1(0), a = eventfd(1, 0), b = eventfd(1, 0);
    P("add %ld %ld", control(set, EPOLL_CTL_ADD, a, EPOLLIN, 1), control(set, EPOLL_CTL_ADD, a, EPOLLIN, 2));
    int kept = dup(a);
    P(" dup %ld", control(set, EPOLL_CTL_ADD, kept, EPOLLIN, 3));
    /* The number is another's, but the file is open still. */
    dup2(b, a);
    P(" none %ld %ld", control(set, EPOLL_CTL_MOD, a, EPOLLIN, 4), control(set, EPOLL_CTL_DEL, a, 0, 0));
    P(" new %ld\n", control(set, EPOLL_CTL_ADD, a, EPOLLIN, 5));
    show(set, 9, 1);
    close(kept);
    show(set, 9, 1);
    close(a);
    show(set, 9, 1);
    close(b);
    show(set, 9, 1);
    P("closed %ld\n", control(set, EPOLL_CTL_ADD, b, EPOLLIN, 1));
    close(set);
}
static void exclusively(void) {
    int set = epoll_create1(0), other = epoll_create1(0), a = eventfd(0, 0);
    P("exclusive %ld", control(set, EPOLL_CTL_ADD, a, EPOLLIN | EXCLUSIVE, 1));
    P(" change %ld %ld", control(set, EPOLL_CTL_MOD, a, EPOLLIN, 1), control(set, EPOLL_CTL_MOD, a, EPOLLIN | EXCLUSIVE, 1));
    P(" set %ld", control(set, EPOLL_CTL_ADD, other, EPOLLIN | EXCLUSIVE, 1));
    P(" delete %ld", control(set, EPOLL_CTL_DEL, a, 0, 0));
    for (int i = 0; i < 31; i++)
        P(" %ld", control(set, EPOLL_CTL_ADD, a, 1u << i | EXCLUSIVE, 1)), control(set, EPOLL_CTL_DEL, a, 0, 0);
    P("\n");
    close(set), close(other), close(a);
}
/* Processes that each wait with a set of their own, as servers do: how many wake, of which so
 * many are waited for. */
static int woken_by(unsigned flags, int most) {
    int a = eventfd(0, EFD_NONBLOCK), up[2], woke[2], woken = 0;
    pid_t children[4];
    char c;
    pipe(up), pipe2(woke, O_NONBLOCK);
    for (int i = 0; i < 4; i++) {
        if ((children[i] = fork())) continue;
        int set = epoll_create1(0);
        struct epoll_event e;
        control(set, EPOLL_CTL_ADD, a, EPOLLIN | flags, 1);
        write(up[1], "x", 1);
        if (epoll_wait(set, &e, 1, -1) == 1) write(woke[1], "x", 1);
        for (;;) pause();
    }
    for (int i = 0; i < 4; i++) read(up[0], &c, 1);
    for (int i = 0; i < 4; i++) until_asleep(children[i], children[i]);
    unsigned long long one = 1;
    write(a, &one, 8);
    for (int i = 0; i < 20000 && woken < most; i++) if (read(woke[0], &c, 1) == 1) woken++; else usleep(1000);
    usleep(300000);
    while (read(woke[0], &c, 1) == 1) woken++;
    for (int i = 0; i < 4; i++) kill(children[i], SIGKILL), waitpid(children[i], 0, 0);
    close(a), close(up[0]), close(up[1]), close(woke[0]), close(woke[1]);
    return woken;
}
static void many(void) {
    struct rlimit most;
    getrlimit(RLIMIT_NOFILE, &most);
    most.rlim_cur = most.rlim_max;
    setrlimit(RLIMIT_NOFILE, &most);
    int set = epoll_create1(0), n = 0, first = -1, one = eventfd(0, 0), last = -1;
    for (; n < 3000 && (last = dup(one)) >= 0; n++) {
        if (first < 0) first = last;
        control(set, EPOLL_CTL_ADD, last, EPOLLIN, n);
    }
    /* The time of a look does not grow with their number. */
    struct timespec begin, end;
    int p[2];
    pipe(p), control(set, EPOLL_CTL_ADD, p[0], EPOLLIN, -1), write(p[1], "x", 1);
    struct epoll_event e;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    int right = 0;
    for (int i = 0; i < 2000; i++) right += epoll_wait(set, &e, 1, 0) == 1 && e.data.u32 == -1u;
    clock_gettime(CLOCK_MONOTONIC, &end);
    double took = end.tv_sec - begin.tv_sec + (end.tv_nsec - begin.tv_nsec) / 1e9;
    P("many %d right %d soon %d\n", n == 3000, right, took < 3);
    for (int i = first; i <= last; i++) close(i);
    close(p[0]), close(p[1]), close(one), close(set);
}
static int set, reader, listener;
static sigset_t usr;
static long w_epoll(void) { struct epoll_event e; return E(epoll_wait(set, &e, 1, 1500)); }
static long w_forever(void) { struct epoll_event e; alarm(15); return E(epoll_wait(set, &e, 1, -1)); }
static long w_poll(void) { struct pollfd p = {reader, POLLIN, 0}; return E(poll(&p, 1, 1500)); }
static long w_select(void) {
    fd_set s;
    FD_ZERO(&s);
    FD_SET(reader, &s);
    struct timeval t = {1, 500000};
    return E(select(reader + 1, &s, 0, 0, &t));
}
static long w_signal(void) { struct timespec t = {1, 500000000}; return E(sigtimedwait(&usr, 0, &t)); }
static long w_semaphore(void) {
    int id = semget(IPC_PRIVATE, 1, 0600);
    struct sembuf b = {0, -1, 0};
    struct timespec t = {1, 500000000};
    long r = E(semtimedop(id, &b, 1, &t));
    semctl(id, 0, IPC_RMID);
    return r;
}
static long w_socket(void) {
    int s[2];
    struct timeval t = {1, 500000};
    char c;
    socketpair(AF_UNIX, SOCK_STREAM, 0, s);
    setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
    return E(read(s[0], &c, 1));
}
static long w_accept(void) {
    struct timeval t = {1, 500000};
    setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
    return E(accept(listener, 0, 0));
}
static long w_sleep(void) { struct timespec t = {1, 500000000}; return E(nanosleep(&t, 0)); }
/* A wait that its process is stopped in, and continued. */
static void stopped(const char *name, long (*wait_for)(void)) {
    pid_t child = fork();
    if (!child) {
        struct timespec begin, end;
        clock_gettime(CLOCK_MONOTONIC, &begin);
        long r = wait_for();
        clock_gettime(CLOCK_MONOTONIC, &end);
        double took = end.tv_sec - begin.tv_sec + (end.tv_nsec - begin.tv_nsec) / 1e9;
        P("%s %ld %s\n", name, r, took < 1.3 ? "early" : took < 20 ? "in time" : "late");
        _exit(0);
    }
    until_asleep(child, child);
    kill(child, SIGSTOP);
    waitpid(child, 0, WUNTRACED);
    usleep(300000);
    kill(child, SIGCONT);
    int status;
    waitpid(child, &status, 0);
    if (status) P("%s status %x\n", name, status);
}
/* What could not be told is not lost: edges, one-shots. */
static void untold(void) {
    int set = epoll_create1(0), p[4][2];
    unsigned how[] = {EPOLLET, EPOLLONESHOT, 0, EPOLLET};
    for (int i = 0; i < 4; i++) {
        pipe(p[i]), control(set, EPOLL_CTL_ADD, p[i][0], EPOLLIN | how[i], i);
        write(p[i][1], "x", 1);
    }
    char *pages = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(pages + 4096, 4096);
    P("nowhere %ld", E(epoll_wait(set, (void *)(pages + 4096), 4, 0)));
    struct epoll_event *e = (void *)(pages + 4096 - 2 * sizeof *e);
    int n = epoll_wait(set, e, 4, 0);
    P(" some %d: %d %d, then ", n, e[0].data.u32, e[1].data.u32);
    show(set, 9, 3);
}
int main(void) {
    turns();
    untold();
    numbers();
    exclusively();
    P("woken %d exclusively %d edges %d\n", woken_by(0, 4), woken_by(EXCLUSIVE, 1), woken_by(EXCLUSIVE | EPOLLET, 1));
    many();
    int p[2];
    pipe(p), reader = p[0], set = epoll_create1(0);
    control(set, EPOLL_CTL_ADD, reader, EPOLLIN, 1);
    listener = socket(AF_INET, SOCK_STREAM, 0), listen(listener, 1);
    sigemptyset(&usr), sigaddset(&usr, SIGUSR1), sigprocmask(SIG_BLOCK, &usr, 0);
    stopped("epoll", w_epoll);
    stopped("epoll forever", w_forever);
    stopped("poll", w_poll);
    stopped("select", w_select);
    stopped("sigtimedwait", w_signal);
    stopped("semtimedop", w_semaphore);
    stopped("read", w_socket);
    stopped("accept", w_accept);
    stopped("nanosleep", w_sleep);
    P("done\n");
}
