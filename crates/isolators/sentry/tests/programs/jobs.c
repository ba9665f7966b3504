/* Stopped and continued processes, what waits tell of them, orphaned groups, heirs. */
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
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
static volatile int hits, last_code, last_status;
static void on(int s, siginfo_t *i, void *c) { (void)s; (void)c; last_code = i->si_code; last_status = i->si_status; hits++; }
static void set(int s, int flags) {
    struct sigaction a = {.sa_sigaction = on, .sa_flags = SA_SIGINFO | flags};
    sigemptyset(&a.sa_mask);
    sigaction(s, &a, 0);
}
static void nap(int ms) { nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, 0); }
static volatile long *shared;
static void *count(void *p) { for (;;) __atomic_add_fetch(&shared[(long)p], 1, __ATOMIC_SEQ_CST); }
static void tell(const char *what, int st) {
    P("%s stopped %d by %d continued %d exited %d killed %d by %d\n", what, WIFSTOPPED(st), WIFSTOPPED(st) ? WSTOPSIG(st) : 0,
      !!WIFCONTINUED(st), WIFEXITED(st), WIFSIGNALED(st), WIFSIGNALED(st) ? WTERMSIG(st) : 0);
}
int main(void) {
    int st;
    siginfo_t si;
    /* A group that somebody controls: else the terminal's signals stop nobody. */
    pid_t controlled = fork();
    if (controlled) {
        setpgid(controlled, controlled);
        waitpid(controlled, &st, 0);
        return st != 0;
    }
    setpgid(0, 0);
    shared = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    set(SIGCHLD, 0);
    pid_t p = fork();
    if (!p) {
        pthread_t t;
        for (long i = 1; i < 3; i++) pthread_create(&t, 0, count, (void *)i);
        count(0);
    }
    while (!shared[0] || !shared[1] || !shared[2]) nap(1);
    P("none %d\n", waitpid(p, &st, WNOHANG | WUNTRACED | WCONTINUED));
    kill(p, SIGSTOP);
    while (waitpid(p, &st, WUNTRACED) < 0);
    tell("stop", st);
    P("signal code %d status %d\n", last_code, last_status);
    long at = shared[0] + shared[1] + shared[2];
    nap(30);
    P("still %d once %d\n", at == shared[0] + shared[1] + shared[2], waitpid(p, &st, WUNTRACED | WNOHANG));
    kill(p, SIGUSR1);
    nap(10);
    P("pending %d\n", waitpid(p, &st, WUNTRACED | WNOHANG));
    kill(p, SIGCONT);
    while (waitpid(p, &st, WCONTINUED | WUNTRACED) < 0);
    P("either %d\n", WIFCONTINUED(st) || (WIFSIGNALED(st) && WTERMSIG(st) == SIGUSR1));
    while (waitpid(p, &st, 0) < 0 && errno == EINTR);
    tell("end", st);
    /* each signal; what waitid tells and keeps */
    int signals[] = {SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU};
    for (int i = 0; i < 4; i++) {
        int gate[2];
        pipe(gate);
        p = fork();
        if (!p) { raise(signals[i]); read(gate[0], &st, 1); _exit(5); }
        memset(&si, 0, sizeof si);
        while (waitid(P_PID, p, &si, WSTOPPED | WNOWAIT) < 0);
        P("waitid %d %d %d uid %d", si.si_signo, si.si_code, si.si_status, si.si_uid);
        P(" kept %ld", E(waitid(P_PID, p, &si, WSTOPPED | WNOHANG)));
        P(" %d", si.si_pid == p);
        P(" told %ld", E(waitid(P_PID, p, &si, WSTOPPED | WNOHANG)));
        P(" %d %d", si.si_pid, si.si_signo);
        kill(p, SIGCONT);
        while (waitid(P_ALL, 0, &si, WCONTINUED | WNOWAIT) < 0 && errno == EINTR);
        P(" continued %d %d", si.si_code, si.si_status);
        write(gate[1], "", 1);
        while (waitid(P_PID, p, &si, WEXITED) < 0 && errno == EINTR);
        P(" exited %d %d gone %ld\n", si.si_code, si.si_status, E(waitid(P_PID, p, &si, WEXITED)));
    }
    P("bad %ld %ld %ld\n", E(waitid(P_PID, 1, &si, 0)), E(waitid(9, 1, &si, WEXITED)), E(waitpid(-1, &st, 0x100)));
    /* no signal for stops, if so asked */
    set(SIGCHLD, SA_NOCLDSTOP | SA_RESTART);
    hits = 0;
    p = fork();
    if (!p) { raise(SIGSTOP); _exit(0); }
    waitpid(p, &st, WUNTRACED);
    P("quiet %d", hits);
    kill(p, SIGKILL);
    waitpid(p, &st, 0);
    P(" killed while stopped %d\n", WTERMSIG(st));
    /* a wait finds the child whose end interrupts it */
    set(SIGCHLD, 0);
    int lost = 0;
    for (int i = 0; i < 30; i++) {
        p = fork();
        if (!p) { nap(i % 4); _exit(3); }
        while (waitpid(p, &st, 0) != p) lost++;
    }
    P("lost %d\n", lost);
    signal(SIGCHLD, SIG_DFL);
    /* SIGCONT wakes whoever ignores it, and takes stops back */
    p = fork();
    if (!p) {
        signal(SIGCONT, SIG_IGN);
        sigset_t m;
        sigemptyset(&m); sigaddset(&m, SIGTSTP);
        sigprocmask(SIG_BLOCK, &m, 0);
        raise(SIGTSTP);
        raise(SIGCONT);
        sigprocmask(SIG_UNBLOCK, &m, 0);
        raise(SIGSTOP);
        _exit(6);
    }
    waitpid(p, &st, WUNTRACED);
    tell("taken back", st);
    kill(p, SIGCONT);
    waitpid(p, &st, 0);
    tell("ignored", st);
    /* a stopped sleeper sleeps on */
    p = fork();
    if (!p) {
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        int r = nanosleep(&(struct timespec){0, 100000000}, 0);
        clock_gettime(CLOCK_MONOTONIC, &b);
        _exit(r == 0 && (b.tv_sec - a.tv_sec) * 1000000000L + b.tv_nsec - a.tv_nsec >= 100000000L ? 0 : 1);
    }
    nap(20);
    kill(p, SIGSTOP);
    waitpid(p, &st, WUNTRACED);
    kill(p, SIGCONT);
    waitpid(p, &st, 0);
    tell("sleeper", st);
    /* an orphaned group is hung up, and does not stop by the terminal's signals */
    int pipes[2];
    pipe(pipes);
    p = fork();
    if (!p) {
        setsid();
        pid_t q = fork();
        if (!q) {
            setpgid(0, 0);
            set(SIGHUP, 0);
            char c = 'r';
            write(pipes[1], &c, 1);
            raise(SIGTSTP);
            nap(20);
            c = '0' + hits;
            write(pipes[1], &c, 1);
            raise(SIGTSTP);
            write(pipes[1], "o", 1);
            _exit(0);
        }
        waitpid(q, &st, WUNTRACED);
        P("grandchild stopped %d\n", WIFSTOPPED(st));
        _exit(0);
    }
    waitpid(p, &st, 0);
    char text[4] = "";
    for (int i = 0; i < 3; i++) while (read(pipes[0], text + i, 1) != 1);
    P("orphan %s\n", text);
    /* heirs and last wills */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    int on_;
    prctl(PR_GET_CHILD_SUBREAPER, &on_);
    p = fork();
    if (!p) {
        if (!fork()) { nap(30); _exit(9); }
        _exit(0);
    }
    waitpid(p, &st, 0);
    pid_t heired = waitpid(-1, &st, 0);
    P("heir %d %d\n", on_, WIFEXITED(st) ? WEXITSTATUS(st) : -WTERMSIG(st));
    p = fork();
    if (!p) {
        if (!fork()) { prctl(PR_SET_PDEATHSIG, SIGKILL); write(pipes[1], "x", 1); pause(); }
        read(pipes[0], text, 1);
        _exit(0);
    }
    waitpid(p, &st, 0);
    waitpid(-1, &st, 0);
    tell("last will", st);
    /* processes by descriptor */
    p = fork();
    if (!p) { pause(); _exit(0); }
    int pf = syscall(SYS_pidfd_open, p, 0), none = syscall(SYS_pidfd_open, p, O_NONBLOCK);
    struct pollfd po = {pf, POLLIN};
    char folder[32];
    sprintf(folder, "/proc/%d", p);
    int named = open(folder, O_RDONLY | O_DIRECTORY), other = open("/proc", O_RDONLY | O_DIRECTORY);
    P("folder %ld other %ld ", E(syscall(SYS_pidfd_send_signal, named, 0, 0, 0)), E(syscall(SYS_pidfd_send_signal, other, 0, 0, 0)));
    close(named), close(other);
    P("pidfd %d poll %d", pf >= 0, poll(&po, 1, 10));
    P(" bad %ld %ld", E(syscall(SYS_pidfd_open, -1, 0)), E(syscall(SYS_pidfd_open, 1234567, 0)));
    P(" not yet %ld", E(waitid(P_PIDFD, none, &si, WEXITED)));
    P(" copy %d", syscall(SYS_pidfd_getfd, pf, 1, 0) >= 0);
    P(" signal %ld %ld", E(syscall(SYS_pidfd_send_signal, pf, 0, 0, 0)), E(syscall(SYS_pidfd_send_signal, pf, 99, 0, 0)));
    P(" %ld", E(syscall(SYS_pidfd_send_signal, pf, SIGTERM, 0, 0)));
    P(" ended %d", poll(&po, 1, 20000));
    P(" waitid %ld", E(waitid(P_PIDFD, pf, &si, WEXITED)));
    P(" %d %d", si.si_code, si.si_status);
    P(" gone %ld %ld\n", E(syscall(SYS_pidfd_send_signal, pf, SIGTERM, 0, 0)), E(waitid(P_PIDFD, pf, &si, WEXITED)));
    P("children %ld\n", E(waitpid(-1, &st, __WALL)));
    P("done\n");
}
