// What a tracer makes of a call about which a filter asks it is judged like any other.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define NR BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
#define ARG(n) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[n]))
#define RET(x) BPF_STMT(BPF_RET | BPF_K, (x))
#define ON(nr, verdict) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), RET(verdict)
static long filter(struct sock_filter *f, unsigned short n, int flags) {
    struct sock_fprog p = {n, f};
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &p);
}
#define FILTER(flags, ...) ({ struct sock_filter f[] = {__VA_ARGS__}; filter(f, sizeof f / sizeof *f, flags); })

static int *listener;
static void tracee(void) {
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    *listener = FILTER(SECCOMP_FILTER_FLAG_NEW_LISTENER, NR, ON(SYS_getsid, SECCOMP_RET_USER_NOTIF), RET(SECCOMP_RET_ALLOW));
    FILTER(0, NR, ON(SYS_unshare, SECCOMP_RET_ERRNO | 91), ON(SYS_getpgrp, SECCOMP_RET_TRAP),
           ON(SYS_setpgid, SECCOMP_RET_KILL_PROCESS), ON(SYS_clone3, SECCOMP_RET_ERRNO | 92), ON(SYS_clone, SECCOMP_RET_ERRNO | 93),
           ON(SYS_execve, SECCOMP_RET_ERRNO | 94), ON(SYS_munmap, SECCOMP_RET_ERRNO | 95), ON(SYS_fork, SECCOMP_RET_KILL_PROCESS),
           ON(SYS_mmap, SECCOMP_RET_KILL_PROCESS), ON(SYS_futex, SECCOMP_RET_TRAP),
           BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_personality, 0, 3), ARG(0), ON(4711, SECCOMP_RET_KILL_PROCESS), RET(SECCOMP_RET_ALLOW));
    FILTER(0, NR, ON(SYS_getppid, SECCOMP_RET_TRACE | 5), ON(SYS_getuid, SECCOMP_RET_TRACE | 6), RET(SECCOMP_RET_ALLOW));
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    errno = 0;
    long r = syscall(SYS_getppid, 0, 0, 0, 0, 0, 0);
    _exit(r == -1 ? errno : r > 0);
}
static void turn(const char *name, long number, long first) {
    int status, asked = 0, stops = 0;
    *listener = -1;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) tracee();
    waitpid(pid, &status, 0);
    int own = -1, handle = syscall(SYS_pidfd_open, pid, 0);
    if (*listener >= 0) own = syscall(SYS_pidfd_getfd, handle, *listener, 0);
    ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL);
    ptrace(PTRACE_CONT, pid, 0, 0);
    struct user_regs_struct r;
    while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
        if (status >> 8 == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8) && !stops++) {
            ptrace(PTRACE_GETREGS, pid, 0, &r);
            r.orig_rax = number, r.rdi = first;
            ptrace(PTRACE_SETREGS, pid, 0, &r);
            ptrace(PTRACE_CONT, pid, 0, 0);
            struct pollfd p = {own, POLLIN, 0};
            if (number == SYS_getsid && poll(&p, 1, 5000) == 1) {
                struct seccomp_notif n = {0};
                ioctl(own, SECCOMP_IOCTL_NOTIF_RECV, &n);
                asked = n.data.nr == SYS_getsid;
                struct seccomp_notif_resp a = {n.id, 0, -96, 0};
                ioctl(own, SECCOMP_IOCTL_NOTIF_SEND, &a);
            }
        } else {
            ptrace(PTRACE_CONT, pid, 0, status >> 16 ? 0 : WSTOPSIG(status));
        }
    }
    printf("%s %ld: ended %x stops %d asked %d\n", name, first, status, stops, asked);
    if (own >= 0) close(own);
    close(handle);
}
#define TURN(number, first) turn(#number, number, first)
int main(void) {
    listener = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    TURN(SYS_getppid, 0);
    TURN(SYS_getuid, 0);
    TURN(-1, 0);
    TURN(SYS_unshare, CLONE_NEWUSER);
    TURN(SYS_getpgrp, 0);
    TURN(SYS_setpgid, 0);
    TURN(SYS_clone, CLONE_NEWUSER | SIGCHLD);
    TURN(SYS_clone3, 0);
    TURN(SYS_execve, 0);
    TURN(SYS_munmap, 0);
    TURN(SYS_fork, 0);
    TURN(SYS_mmap, 0);
    TURN(SYS_futex, 0);
    TURN(SYS_personality, 0);
    TURN(SYS_personality, 4711);
    TURN(SYS_getsid, 0);
    puts("done");
}
