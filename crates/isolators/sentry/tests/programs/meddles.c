/* A program of one container traces that of another one of its pod: `sits` waits to be traced,
   `traces PID` turns it on the kernel. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
#define CODE 0x7ffe00000000UL
static char name[64] = "/forged";
static int sits(void) {
    int fd = open("/sits.new", O_CREAT | O_WRONLY, 0644);
    dprintf(fd, "%d", getpid());
    rename("/sits.new", "/sits");
    for (int i = 0; i < 60000; i++) {
        syscall(SYS_getppid);
        usleep(1000);
    }
    return 7;
}
static int traces(pid_t pid) {
    int status = 0;
    char path[64];
    struct user_regs_struct r = {0};
    long attached = E(ptrace(PTRACE_ATTACH, pid, 0, 0));
    printf("attach %ld\n", attached);
    if (attached) return 0;
    waitpid(pid, &status, __WALL);
    printf("stopped %x\n", status);
    long got = E(ptrace(PTRACE_GETREGS, pid, 0, &r));
    printf("regs %ld %d\n", got, r.rip != 0);
    printf("code %ld\n", E(ptrace(PTRACE_POKETEXT, pid, CODE, -1L)));
    /* Its next getppid makes a file: in its own root. */
    do {
        ptrace(PTRACE_SYSCALL, pid, 0, 0);
        waitpid(pid, &status, __WALL);
        ptrace(PTRACE_GETREGS, pid, 0, &r);
    } while (WIFSTOPPED(status) && (r.orig_rax != SYS_getppid || (long)r.rax != -ENOSYS));
    r.orig_rax = SYS_openat, r.rdi = AT_FDCWD, r.rsi = (long)name, r.rdx = O_CREAT | O_WRONLY, r.r10 = 0644;
    ptrace(PTRACE_SETREGS, pid, 0, &r);
    ptrace(PTRACE_SYSCALL, pid, 0, 0);
    waitpid(pid, &status, __WALL);
    ptrace(PTRACE_GETREGS, pid, 0, &r);
    printf("forged %d\n", (long)r.rax >= 0);
    sprintf(path, "/proc/%d/root/forged", pid);
    printf("through its root %ld\n", E(access(path, F_OK)));
    /* Into the stub. */
    r.orig_rax = -1, r.rax = SYS_openat, r.rip = CODE + 24;
    strcpy(name, "/caisson-sentry-escaped");
    for (int i = 0; i < 24; i += 8) ptrace(PTRACE_POKEDATA, pid, name + i, *(long *)(name + i));
    ptrace(PTRACE_SETREGS, pid, 0, &r);
    ptrace(PTRACE_CONT, pid, 0, 0);
    waitpid(pid, &status, __WALL);
    if (WIFSTOPPED(status)) ptrace(PTRACE_CONT, pid, 0, (long)WSTOPSIG(status)), waitpid(pid, &status, __WALL);
    printf("ended %d\n", WIFSIGNALED(status));
    return 0;
}
int main(int argc, char **argv) {
    alarm(80);
    return argc > 2 ? traces(atoi(argv[2])) : sits();
}
