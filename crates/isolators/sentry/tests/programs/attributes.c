/* Descriptors of children from clone, attributes of scheduling, priorities of input and output. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
struct attributes { uint32_t size, policy; uint64_t flags; int32_t nice; uint32_t priority; uint64_t times[3]; uint32_t least, most; };
static void ends(const char *name, pid_t p, int fd) {
    siginfo_t i = {0};
    struct pollfd f = {fd, POLLIN};
    P("%s: closed on exec %ld", name, E(fcntl(fd, F_GETFD)));
    P(" runs %d", poll(&f, 1, 0));
    P(" signal %ld", E(syscall(SYS_pidfd_send_signal, fd, SIGKILL, 0, 0)));
    P(" ended %d", poll(&f, 1, 30000));
    P(" waited %ld", E(waitid(P_PIDFD, fd, &i, WEXITED)));
    P(" %d %d\n", i.si_pid == p, i.si_status);
    close(fd);
}
/* A read of a device that never ends gets all that it asks for. */
static void endless(const char *name) {
    size_t size = 3 << 20;
    char *b = malloc(size);
    int fd = open(name, O_RDONLY);
    P("%s: %ld %ld\n", name, E(read(fd, b, size)), E(pread(fd, b, size, 5)));
    close(fd);
    free(b);
}
static void domain(void) {
    struct utsname names;
    P("domain %x", personality(0xffffffff));
    P(" %x", personality(PER_LINUX32));
    uname(&names);
    P(" %x %s", personality(PER_LINUX | ADDR_NO_RANDOMIZE), names.machine);
    int st;
    pid_t p = fork();
    if (!p) _exit(personality(0xffffffff) == (int)(PER_LINUX | ADDR_NO_RANDOMIZE));
    waitpid(p, &st, 0);
    uname(&names);
    P(" inherited %d %s %x\n", WEXITSTATUS(st), names.machine, personality(0));
}
/* What /proc shows is what the program has where its arguments were. */
static void title(const char *what, char **argv, const char *text, size_t most) {
    char b[256];
    memset(argv[0], 0, most);
    memcpy(argv[0], text, strlen(text));
    int fd = open("/proc/self/cmdline", O_RDONLY);
    long n = read(fd, b, sizeof b);
    close(fd);
    P("%s %ld:", what, n);
    for (long i = 0; i < n; i++) P("%c", b[i] ? b[i] : '|');
    P("\n");
}
static int titles(char **argv, char **variables) {
    /* The first one as it is, then shorter, then longer than the arguments were. */
    size_t own = strlen(argv[0]) + strlen(argv[1]) + 2, more = strlen(variables[0]) + strlen(variables[1]) + 2;
    title("as it is", argv, "", 0);
    title("short", argv, "short", own);
    char text[64];
    memset(text, 'x', own + 5);
    text[own + 5] = 0;
    title("long", argv, text, own + more);
    return 0;
}
int main(int argc, char **argv, char **variables) {
    if (argc == 2) return titles(argv, variables);
    /* Whoever runs the tests may be nice. */
    setpriority(PRIO_PROCESS, 0, 0);
    endless("/dev/zero");
    endless("/dev/urandom");
    endless("/dev/full");
    endless("/dev/null");
    domain();
    pid_t titled = fork();
    if (!titled) execve("/proc/self/exe", (char *[]){"titled", "one", 0}, (char *[]){"A=123456", "B=2", 0});
    waitpid(titled, 0, 0);
    int fd = -1;
    pid_t p = syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, 0, &fd, 0, 0);
    if (!p) { pause(); _exit(0); }
    ends("clone", p, fd);
    uint64_t own = 0;
    struct clone_args a = {.flags = CLONE_PIDFD | CLONE_PARENT_SETTID, .pidfd = (uintptr_t)&fd, .parent_tid = (uintptr_t)&own, .exit_signal = SIGCHLD};
    fd = -1;
    p = syscall(SYS_clone3, &a, sizeof a);
    if (!p) { pause(); _exit(0); }
    P("number %d\n", (pid_t)own == p);
    ends("clone3", p, fd);
    int pipes[2];
    pipe(pipes);
    p = syscall(SYS_clone3, &a, sizeof a);
    if (!p) { char c = fcntl(pipes[1] + 1, F_GETFD) >= 0; write(pipes[1], &c, 1); _exit(0); }
    char c = 9;
    read(pipes[0], &c, 1);
    P("the child has it %d, the parent %d\n", c, fd == pipes[1] + 1);
    waitpid(p, 0, 0);
    close(fd);
    P("both %ld\n", E(syscall(SYS_clone, CLONE_PIDFD | CLONE_PARENT_SETTID | SIGCHLD, 0, &fd, 0, 0)));
    struct attributes s;
    memset(&s, 9, sizeof s);
    P("get %ld", E(syscall(SYS_sched_getattr, 0, &s, sizeof s, 0)));
    P(" %u %u %u %d %u", s.size, s.policy, (unsigned)s.flags, s.nice, s.priority);
    P(" small %ld flags %ld none %ld nobody %ld", E(syscall(SYS_sched_getattr, 0, &s, 40, 0)), E(syscall(SYS_sched_getattr, 0, &s, 48, 1)), E(syscall(SYS_sched_getattr, 0, 0, 48, 0)), E(syscall(SYS_sched_getattr, 1234567, &s, 48, 0)));
    P(" first form %ld", E(syscall(SYS_sched_getattr, 0, &s, 48, 0)));
    P(" %u\n", s.size);
    s = (struct attributes){.size = 48, .policy = 3, .nice = 4, .flags = 1};
    P("set %ld", E(syscall(SYS_sched_setattr, 0, &s, 0)));
    P(" now %d nice %d", sched_getscheduler(0), getpriority(PRIO_PROCESS, 0));
    s.policy = 99;
    P(" policy %ld", E(syscall(SYS_sched_setattr, 0, &s, 0)));
    s.policy = 0, s.size = 20;
    P(" size %ld", E(syscall(SYS_sched_setattr, 0, &s, 0)));
    P(" told %u", s.size);
    s.size = 48, s.priority = 5;
    P(" priority %ld flags %ld\n", E(syscall(SYS_sched_setattr, 0, &s, 0)), E(syscall(SYS_sched_setattr, 0, &s, 1)));
    P("io %lx", E(syscall(SYS_ioprio_get, 1, 0)));
    P(" set %ld", E(syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 6)));
    P(" %lx", E(syscall(SYS_ioprio_get, 1, getpid())));
    P(" idle %ld", E(syscall(SYS_ioprio_set, 1, 0, 3 << 13)));
    P(" class %ld which %ld nobody %ld\n", E(syscall(SYS_ioprio_set, 1, 0, 5 << 13)), E(syscall(SYS_ioprio_get, 7, 0)), E(syscall(SYS_ioprio_get, 1, 1234567)));
    P("done\n");
}
