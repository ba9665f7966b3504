/* Handlers, masks, restarts, stacks, queues. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#include "asleep.h"
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
/* A result, or the error as a negative number. */
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
static volatile int count, order[16], values[16], on_stack;
static char alt[65536];
static void handler(int s) { order[count++ & 15] = s; }
static void info(int s, siginfo_t *i, void *c) {
    (void)c;
    char here;
    on_stack = &here >= alt && &here < alt + sizeof alt;
    values[count & 15] = i->si_value.sival_int;
    order[count++ & 15] = s;
}
static void skip(int s, siginfo_t *i, void *c) { (void)s; (void)i; ucontext_t *u = c; u->uc_mcontext.gregs[REG_RIP] += 2; count++; }
static void set(int s, void *f, int flags) {
    struct sigaction a = {.sa_flags = flags};
    if (flags & SA_SIGINFO) a.sa_sigaction = f; else a.sa_handler = f;
    sigemptyset(&a.sa_mask);
    sigaction(s, &a, 0);
}
/* Once the parent waits. */
static pid_t later(int s) {
    pid_t parent = getpid(), p = fork();
    if (!p) { until_asleep(parent, parent); kill(parent, s); _exit(0); }
    return p;
}
/* What /proc tells of three signals. */
static void told(void) {
    char line[200], name[20];
    unsigned long mask, these = 1UL << (SIGUSR1 - 1) | 1UL << (SIGUSR2 - 1) | 1UL << SIGRTMIN;
    FILE *f = fopen("/proc/self/status", "r");
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "%19[A-Za-z]: %lx", name, &mask) == 2 && (!strncmp(name, "Sig", 3) || !strncmp(name, "Shd", 3)) && strcmp(name, "SigQ"))
            P("%s %lx\n", name, mask & these);
    fclose(f);
}
int main(void) {
    int st;
    set(SIGUSR1, handler, 0);
    raise(SIGUSR1);
    P("raise %d %d\n", count, order[0]);
    sigset_t m, old, pend;
    sigemptyset(&m); sigaddset(&m, SIGUSR1); sigaddset(&m, SIGRTMIN + 1);
    sigprocmask(SIG_BLOCK, &m, &old);
    raise(SIGUSR1); raise(SIGUSR1);
    sigpending(&pend);
    P("blocked %d pending %d\n", count, sigismember(&pend, SIGUSR1));
    set(SIGUSR2, SIG_IGN, 0);
    kill(getpid(), SIGRTMIN + 1);
    told();
    set(SIGUSR2, SIG_DFL, 0);
    set(SIGRTMIN + 1, SIG_IGN, 0);
    set(SIGRTMIN + 1, SIG_DFL, 0);
    sigprocmask(SIG_SETMASK, &old, 0);
    P("once %d\n", count);
    set(SIGRTMIN + 1, info, SA_SIGINFO);
    sigprocmask(SIG_BLOCK, &m, 0);
    count = 0;
    for (int i = 0; i < 3; i++) sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 10 + i});
    sigprocmask(SIG_SETMASK, &old, 0);
    P("queued %d: %d %d %d\n", count, values[0], values[1], values[2]);
    stack_t ss = {.ss_sp = alt, .ss_size = sizeof alt}, os;
    P("altstack %d", sigaltstack(&ss, &os));
    P(" %d\n", os.ss_flags == SS_DISABLE);
    set(SIGUSR2, info, SA_SIGINFO | SA_ONSTACK);
    raise(SIGUSR2);
    P("on stack %d\n", on_stack);
    set(SIGUSR2, info, SA_SIGINFO);
    raise(SIGUSR2);
    P("off stack %d\n", on_stack);
    set(SIGILL, skip, SA_SIGINFO);
    count = 0;
    asm volatile("ud2");
    P("skipped %d\n", count);
    double x = 1.5, y;
    asm volatile("movsd %1, %%xmm7\n ud2\n movsd %%xmm7, %0" : "=m"(y) : "m"(x) : "xmm7");
    P("fp kept %d\n", y == 1.5);
    int fds[2]; char c;
    if (pipe(fds)) return 1;
    set(SIGUSR1, handler, 0);
    pid_t p = later(SIGUSR1);
    long r = read(fds[0], &c, 1);
    P("eintr %ld %d\n", r, errno == EINTR);
    waitpid(p, &st, 0);
    set(SIGUSR1, handler, SA_RESTART);
    p = later(SIGUSR1);
    pid_t w = fork();
    if (!w) { struct timespec t = {0, 120000000}; nanosleep(&t, 0); _exit(write(fds[1], "z", 1) != 1); }
    r = read(fds[0], &c, 1);
    P("restart %ld %c\n", r, c);
    waitpid(p, &st, 0); waitpid(w, &st, 0);
    p = later(SIGUSR1);
    struct timespec t = {100, 0}, left = {0, 0};
    r = nanosleep(&t, &left);
    P("nanosleep %ld %d left %d\n", r, errno == EINTR, left.tv_sec >= 50 && left.tv_sec < 100);
    waitpid(p, &st, 0);
    sigprocmask(SIG_BLOCK, &m, &old);
    count = 0;
    p = later(SIGUSR1);
    sigset_t none; sigemptyset(&none);
    r = sigsuspend(&none);
    sigprocmask(SIG_BLOCK, 0, &pend);
    P("suspend %ld %d handled %d mask back %d\n", r, errno == EINTR, count, sigismember(&pend, SIGUSR1));
    waitpid(p, &st, 0);
    p = later(SIGUSR1);
    siginfo_t i;
    r = sigwaitinfo(&m, &i);
    P("sigwait %ld from child %d code %d\n", r, i.si_pid == p, i.si_code);
    waitpid(p, &st, 0);
    struct timespec soon = {0, 10000000};
    r = sigtimedwait(&m, &i, &soon);
    P("timed %ld %d\n", r, errno == EAGAIN);
    sigprocmask(SIG_SETMASK, &old, 0);
    set(SIGUSR1, handler, SA_RESETHAND);
    raise(SIGUSR1);
    struct sigaction now;
    sigaction(SIGUSR1, 0, &now);
    P("reset %d\n", now.sa_handler == SIG_DFL);
    set(SIGCHLD, info, SA_SIGINFO);
    count = 0;
    p = fork();
    if (!p) _exit(6);
    while (!count) usleep(1000);
    waitpid(p, &st, 0);
    P("chld %d\n", order[0] == SIGCHLD);
    set(SIGPIPE, handler, 0);
    count = 0;
    close(fds[0]);
    r = write(fds[1], "x", 1);
    P("pipe %ld %d %d\n", r, errno == EPIPE, order[0] == SIGPIPE);
    P("kill action %ld\n", E(sigaction(SIGKILL, &(struct sigaction){.sa_handler = handler}, 0)));
    P("bad number %ld\n", E(kill(getpid(), 65)));
    for (int k = 0; k < 2000; k++) { set(SIGUSR1, handler, 0); raise(SIGUSR1); }
    P("many\ndone\n");
}
