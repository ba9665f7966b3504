/* Numbers that clone3(2) is asked for. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
static int ended(pid_t p) { int s = -1; waitpid(p, &s, 0); return s; }
/* The child stays until it is killed, or says who it is. */
static long make(uint64_t flags, int *wanted, unsigned count, int stays) {
    struct clone_args a = {.flags = flags, .exit_signal = SIGCHLD, .set_tid = (uint64_t)wanted, .set_tid_size = count};
    long p = syscall(SYS_clone3, &a, sizeof a);
    if (!p) {
        if (stays) pause();
        P("[I am %d]", getpid());
        _exit(0);
    }
    if (p < 0) return -errno;
    if (!stays) ended(p);
    return p;
}
int main(void) {
    int n[40] = {300};
    P("chosen %ld", make(0, n, 1, 0));
    P(" again %ld", make(0, n, 1, 0));
    long p = make(0, n, 1, 1);
    P(" stays %ld", p);
    P(" taken %ld\n", make(0, n, 1, 0));
    kill(p, SIGKILL);
    siginfo_t i;
    waitid(P_PID, p, &i, WEXITED | WNOWAIT);
    P("zombie %ld", make(0, n, 1, 0));
    ended(p);
    P(" after it %ld\n", make(0, n, 1, 0));
    int bad[] = {0, -1, 1, getpid(), 1 << 30};
    for (int k = 0; k < 5; k++) n[0] = bad[k], P("bad %d: %ld\n", k, make(0, n, 1, 0));
    n[0] = 300;
    P("none %ld no list %ld far %ld levels %ld many %ld\n", make(0, n, 0, 0), make(0, 0, 1, 0), make(0, (int *)16, 1, 0), make(0, n, 12, 0), make(0, n, 33, 0));
    /* groups hold their number */
    n[0] = 310;
    p = fork();
    if (!p) { setpgid(0, 0); if (!fork()) { pause(); } _exit(0); }
    setpgid(p, p), ended(p);
    n[0] = p;
    P("number of a group %ld\n", make(0, n, 1, 0)), kill(-p, SIGKILL);
    /* namespaces of processes */
    n[0] = 1;
    P("first %d\n", make(CLONE_NEWPID, n, 1, 0) > 0);
    n[0] = 2;
    P("not first %ld\n", make(CLONE_NEWPID, n, 1, 0));
    n[0] = 1, n[1] = 320;
    P("both %ld\n", make(CLONE_NEWPID, n, 2, 0));
    p = fork();
    if (!p) {
        unshare(CLONE_NEWPID);
        n[0] = 1;
        long first = make(0, n, 1, 1);
        n[0] = 50, n[1] = 330;
        P("beside %ld", make(0, n, 2, 0));
        n[0] = 1;
        P(" first again %ld\n", make(0, n, 1, 0));
        kill(first, SIGKILL), ended(first);
        n[0] = 51;
        P("after the end %ld\n", make(0, n, 1, 0));
        _exit(0);
    }
    ended(p);
    /* capabilities */
    p = fork();
    if (!p) {
        setgid(1000), setuid(1000);
        n[0] = 340;
        P("user %ld", make(0, n, 1, 0));
        n[0] = 1;
        P(" own %d", make(CLONE_NEWUSER | CLONE_NEWPID, n, 1, 0) > 0);
        n[1] = 341;
        P(" above %ld\n", make(CLONE_NEWUSER | CLONE_NEWPID, n, 2, 0));
        _exit(0);
    }
    ended(p);
    P("done\n");
}
