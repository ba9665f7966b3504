/* fork, vfork, exec, wait, groups. */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
extern char **environ;
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
/* A result, or the error as a negative number. */
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })

static int vm_child(void *arg) { *(volatile int *)arg = 77; return 5; }

int main(int argc, char **argv) {
    if (argc > 1) { P("executed %s %s %d\n", argv[0], argv[1], getenv("X") ? atoi(getenv("X")) : -1); return argc; }
    int st;
    P("no child %ld\n", E(wait(&st)));
    pid_t p = fork();
    if (!p) _exit(3);
    P("nohang later %d\n", waitpid(p, &st, 0) == p && WIFEXITED(st) && WEXITSTATUS(st) == 3);
    p = vfork();
    if (!p) _exit(4);
    P("vfork %d\n", waitpid(p, &st, 0) == p && WEXITSTATUS(st) == 4);
    p = vfork();
    if (!p) { char *v[] = {"name", "one", 0}, *e[] = {"X=9", 0}; execve("/bin/processes", v, e); _exit(99); }
    waitpid(p, &st, 0);
    P("vfork exec %d\n", WEXITSTATUS(st));
    char *v[] = {"spawned", "two", "three", 0};
    int spawned = posix_spawn(&p, "/bin/processes", 0, 0, v, environ);
    int waited = waitpid(p, &st, 0) == p;
    P("spawn %d %d", spawned, waited);
    P(" %d\n", WEXITSTATUS(st));
    P("spawn none %d\n", posix_spawn(&p, "/bin/none", 0, 0, v, environ));
    static char stack[65536];
    volatile int seen = 0;
    p = clone(vm_child, stack + 65536, CLONE_VM | SIGCHLD, (void *)&seen);
    waitpid(p, &st, 0);
    P("clone vm %d %d\n", seen, WEXITSTATUS(st));
    p = fork();
    if (!p) { volatile int *z = 0; *z = 1; }
    waitpid(p, &st, 0);
    P("segv %d %d\n", WIFSIGNALED(st), WTERMSIG(st));
    p = fork();
    if (!p) { asm volatile("ud2"); }
    waitpid(p, &st, 0);
    P("ill %d\n", WTERMSIG(st));
    p = fork();
    if (!p) abort();
    waitpid(p, &st, 0);
    P("abort %d\n", WTERMSIG(st));
    p = fork();
    if (!p) { pause(); _exit(0); }
    P("running %d\n", waitpid(p, &st, WNOHANG));
    kill(p, SIGKILL);
    siginfo_t i;
    P("waitid %d", waitid(P_PID, p, &i, WEXITED | WNOWAIT));
    P(" %d %d %d", i.si_signo, i.si_code, i.si_status);
    P(" again %d", waitpid(p, &st, 0) == p);
    P(" %d\n", WTERMSIG(st));
    P("gone %ld\n", E(kill(p, 0)));
    p = fork();
    if (!p) {
        P("group %d", setpgid(0, 0));
        P(" %d", getpgid(0) == getpid());
        P(" session %ld\n", E(setsid()));
        pid_t g = fork();
        if (!g) { P("setsid %d\n", setsid() == getpid() && getsid(0) == getpid()); _exit(0); }
        waitpid(g, &st, 0);
        _exit(0);
    }
    waitpid(p, &st, 0);
    int fds[2];
    P("pipe %d", pipe(fds));
    p = fork();
    if (!p) { close(fds[0]); for (int k = 0; k < 1000; k++) if (write(fds[1], "0123456789", 10) != 10) _exit(1); _exit(0); }
    close(fds[1]);
    long total = 0, n; char buf[777];
    while ((n = read(fds[0], buf, sizeof buf)) > 0) total += n;
    waitpid(p, &st, 0);
    P(" %ld %d\n", total, WEXITSTATUS(st));
    signal(SIGCHLD, SIG_IGN);
    p = fork();
    if (!p) _exit(0);
    P("reaped by itself %ld\n", E(waitpid(p, &st, 0)));
    signal(SIGCHLD, SIG_DFL);
    for (int k = 0; k < 50; k++) { p = fork(); if (!p) { if (fork() == 0) _exit(0); _exit(0); } waitpid(p, &st, 0); }
    P("orphans\n");
    P("exec none %ld\n", E(execl("/bin/none", "x", (char *)0)));
    P("exec dir %ld\n", E(execl("/tmp", "x", (char *)0)));
    P("bad clone %ld\n", E(syscall(SYS_clone, CLONE_THREAD, 0, 0, 0, 0)));
    P("done\n");
}
