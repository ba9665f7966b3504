/* Processes that are killed while they fork, make threads, wait for locks, stop; what they leave. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
/* A result, or the error as a negative number. */
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
static volatile long *shared;
static void nap(long us) { nanosleep(&(struct timespec){us / 1000000, us % 1000000 * 1000}, 0); }
static void *count(void *p) { for (;;) __atomic_add_fetch(&shared[0], 1, __ATOMIC_SEQ_CST); }
static void *leave(void *p) { return 0; }
static void *idle(void *p) { for (;;) pause(); }
/* Whether all who have the other end of a pipe end before long. */
static int closes(int fd) {
    struct pollfd p = {fd, POLLIN};
    char c;
    return poll(&p, 1, 20000) == 1 && read(fd, &c, 1) == 0;
}
static volatile int second, first_in, second_in;
static void on_second(int s) { second_in = gettid(); second = 1; }
static void on_first(int s) { first_in = gettid(); while (!second); }
static void *spin(void *p) { while (!second); return 0; }
/* What a process has that is killed: it is free once its parent is told. */
static int held_pipe[2], never[2];
static void *reads(void *p) { char c; read(never[0], &c, 1); return 0; }
static void *polls(void *p) { poll(&(struct pollfd){never[0], POLLIN}, 1, -1); return 0; }
static void *transfers(void *p) { splice(never[0], 0, held_pipe[1], 0, 4096, 0); return 0; }
static void *waits(void *p) {
    int set = epoll_create1(0);
    epoll_ctl(set, EPOLL_CTL_ADD, never[0], &(struct epoll_event){EPOLLIN});
    struct epoll_event e;
    epoll_pwait2(set, &e, 1, &(struct timespec){50}, 0);
    return 0;
}
static void *syncs(void *p) { for (;;) close(open("/tmp/held/x", O_RDWR | O_CREAT, 0600)); }
static void hold(int way) {
    char c;
    void *(*ways[])(void *) = {reads, polls, transfers, waits, syncs};
    pthread_t t;
    int fd = open("/tmp/held/file", O_RDWR | O_CREAT, 0600), big = open("/tmp/held/big", O_RDWR | O_CREAT, 0600);
    flock(fd, LOCK_EX);
    fcntl(fd, F_SETLK, &(struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET});
    posix_fallocate(big, 0, 1 << 20);
    memset(mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, big, 0), 'x', 1 << 20);
    unlink("/tmp/held/big"), close(big);
    /* what takes a while to be taken down */
    memset(mmap(0, 32 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 'x', 32 << 20);
    close(held_pipe[0]);
    for (int i = 0; i < 5; i++) if (way == 5 || way == i) pthread_create(&t, 0, ways[i], 0);
    write(60, "x", 1), close(60);
    if (way == 6) syncs(0);
    for (;;) pause();
}
static int freed(void) {
    int bad = 0, st;
    mkdir("/tmp/held", 0700);
    if (mount("held", "/tmp/held", "tmpfs", 0, "size=16m")) return -1;
    for (int i = 0; i < 70; i++) {
        struct statfs before, after;
        int ready[2];
        pipe(never), pipe(held_pipe), pipe(ready);
        dup2(ready[1], 60);
        int fd = open("/tmp/held/file", O_RDWR | O_CREAT, 0600);
        close(open("/tmp/held/x", O_RDWR | O_CREAT, 0600));
        statfs("/tmp/held", &before);
        pid_t p = fork();
        if (!p) hold(i % 7);
        char c;
        close(held_pipe[1]);
        read(ready[0], &c, 1);
        nap(i * 97 % 700);
        kill(p, SIGKILL);
        waitpid(p, &st, 0);
        statfs("/tmp/held", &after);
        if (before.f_bfree != after.f_bfree) bad |= 1;
        if (flock(fd, LOCK_EX | LOCK_NB)) bad |= 2;
        if (fcntl(fd, F_SETLK, &(struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET})) bad |= 4;
        fcntl(held_pipe[0], F_SETFL, O_NONBLOCK);
        if (read(held_pipe[0], &c, 1)) bad |= 8;
        for (int k = 3; k < 61; k++) close(k);
    }
    return bad;
}
int main(void) {
    int st, bad = 0, ends[2];
    shared = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    alarm(170);
    /* no child of a fork that was not made is left */
    for (int i = 0; i < 25; i++) {
        pipe(ends);
        pid_t p = fork();
        if (!p) for (;;) { if (!fork()) _exit(0); wait(0); }
        close(ends[1]);
        nap(i * 397 % 3000);
        kill(p, SIGKILL);
        bad += waitpid(p, &st, 0) != p || !closes(ends[0]);
        close(ends[0]);
    }
    P("forking: bad %d\n", bad), bad = 0;
    /* nor of one while another thread executes a program */
    for (int i = 0; i < 10; i++) {
        pipe(ends);
        pid_t p = fork();
        if (!p) {
            pthread_t t;
            void *forks(void *p) { for (;;) { pid_t q = fork(); if (!q) _exit(0); waitpid(q, 0, 0); } }
            pthread_create(&t, 0, forks, 0);
            nap(i * 397 % 3000);
            fcntl(ends[1], F_SETFD, FD_CLOEXEC);
            execl("/bin/true", "true", (char *)0);
        }
        close(ends[1]);
        bad += waitpid(p, &st, 0) != p || !closes(ends[0]);
        close(ends[0]);
    }
    P("executing: bad %d\n", bad), bad = 0;
    /* no thread is left of one that was killed while it made it */
    for (int i = 0; i < 25; i++) {
        pid_t p = fork();
        if (!p) {
            pthread_t t;
            for (int k = 0; k < 3; k++) pthread_create(&t, 0, count, 0);
            for (;;) if (!pthread_create(&t, 0, leave, 0)) pthread_join(t, 0);
        }
        nap(500 + i * 397 % 3000);
        if (i % 2) kill(p, SIGKILL); else kill(p, SIGTERM);
        waitpid(p, &st, 0);
        long before, tries = 0;
        do { before = shared[0]; nap(3000); } while (before != shared[0] && ++tries < 3000);
        bad += tries == 3000;
    }
    P("threads: bad %d\n", bad), bad = 0;
    /* nobody takes a lock when he is dead */
    int fd = open("/tmp/ends", O_RDWR | O_CREAT, 0600);
    struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET}, held;
    for (int i = 0; i < 12; i++) {
        pipe(ends);
        pid_t p = fork();
        if (!p) {
            setpgid(0, 0);
            fcntl(fd, F_SETLKW, &all);
            for (int k = 0; k < 3; k++) if (!fork()) { write(ends[1], "x", 1); fcntl(fd, F_SETLKW, &all); for (;;) pause(); }
            for (;;) pause();
        }
        char c;
        close(ends[1]);
        for (int k = 0; k < 3; k++) read(ends[0], &c, 1);
        nap(i * 97 % 2000);
        kill(-p, SIGKILL);
        waitpid(p, &st, 0);
        bad += !closes(ends[0]);
        held = all;
        int tries = 0;
        while (fcntl(fd, F_SETLK, &held) && ++tries < 3000) nap(3000);
        bad += tries == 3000;
        held.l_type = F_UNLCK;
        fcntl(fd, F_SETLK, &held);
        close(ends[0]);
    }
    close(fd), unlink("/tmp/ends");
    P("locks: bad %d\n", bad), bad = 0;
    /* one end that leads to many */
    pipe(ends);
    pid_t p = fork();
    for (int i = 0; i < 400 && !p; i++) {
        prctl(PR_SET_PDEATHSIG, i ? SIGKILL : 0);
        p = fork();
        if (p) for (;;) pause();
        if (i == 399) { prctl(PR_SET_PDEATHSIG, SIGKILL); write(ends[1], "x", 1); for (;;) pause(); }
    }
    char c;
    close(ends[1]);
    read(ends[0], &c, 1);
    kill(p, SIGKILL);
    waitpid(p, &st, 0);
    P("chain %d\n", closes(ends[0]));
    close(ends[0]);
    /* a stop of which SIGCONT comes at once */
    p = fork();
    if (!p) for (;;) { shared[1]++; nap(50); }
    for (int i = 0; i < 150 && !bad; i++) {
        kill(p, SIGSTOP);
        if (i % 3) nap(i % 7 * 10);
        kill(p, SIGCONT);
        long before = shared[1], tries = 0;
        while (shared[1] == before && ++tries < 200000) nap(50);
        bad += tries == 200000;
    }
    kill(p, SIGKILL);
    waitpid(p, &st, 0);
    P("continued: bad %d\n", bad), bad = 0;
    /* a stop while threads leave */
    p = fork();
    if (!p) {
        pthread_t t;
        pthread_create(&t, 0, idle, 0);
        for (;;) if (!pthread_create(&t, 0, leave, 0)) pthread_join(t, 0);
    }
    for (int i = 0; i < 40; i++) {
        nap(i * 97 % 700);
        kill(p, SIGSTOP);
        bad += waitpid(p, &st, WUNTRACED) != p || !WIFSTOPPED(st);
        kill(p, SIGCONT);
        bad += waitpid(p, &st, WCONTINUED) != p || !WIFCONTINUED(st);
    }
    kill(p, SIGKILL);
    waitpid(p, &st, 0);
    P("stopped: bad %d\n", bad);
    /* a signal for any thread is not kept from the others by one that holds it back */
    p = fork();
    if (!p) {
        pthread_t t;
        struct sigaction a = {.sa_handler = on_first};
        sigaddset(&a.sa_mask, SIGUSR2);
        sigaction(SIGUSR1, &a, 0);
        signal(SIGUSR2, on_second);
        pthread_create(&t, 0, spin, 0);
        pid_t own = getpid(), q = vfork();
        if (!q) { syscall(SYS_kill, own, SIGUSR1); syscall(SYS_kill, own, SIGUSR2); _exit(0); }
        pthread_join(t, 0);
        while (!first_in);
        /* Which one is which is not said. */
        _exit(first_in != second_in);
    }
    waitpid(p, &st, 0);
    P("elsewhere %d\n", WIFEXITED(st) ? WEXITSTATUS(st) : -WTERMSIG(st));
    /* who ignores his children has no dead ones, not even those of others */
    while (wait(&st) > 0);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    signal(SIGCHLD, SIG_IGN);
    p = fork();
    if (!p) {
        siginfo_t i;
        signal(SIGCHLD, SIG_DFL);
        if (!fork()) _exit(0);
        waitid(P_ALL, 0, &i, WEXITED | WNOWAIT);
        _exit(0);
    }
    P("inherited %ld\n", E(wait(&st)));
    signal(SIGCHLD, SIG_DFL);
    P("held: bad %d\ndone\n", freed());
}
