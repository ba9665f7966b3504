// A user who wants what others have: by programs that he may execute, and by what is open.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>
#include "itself.h"

static volatile long secret = 0x7465726365732e2e;

static const char *name(int e) { return e == 0 ? "ok" : strerrorname_np(e); }
static void as_user(void) {
    setgroups(0, NULL);
    setresgid(1000, 1000, 1000);
    setresuid(1000, 1000, 1000);
    prctl(PR_SET_DUMPABLE, 1);
}
static int opens(pid_t pid, const char *what, int flags) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, what);
    int fd = open(path, flags);
    if (fd >= 0) close(fd);
    return fd < 0 ? errno : 0;
}
static void look(pid_t pid) {
    long got = 0;
    struct iovec here = {&got, 8}, there = {(void *)&secret, 8};
    ssize_t n = process_vm_readv(pid, &here, 1, &there, 1, 0);
    printf("  read %s %d", name(n < 0 ? errno : 0), got == secret);
    printf(" write %s", name(process_vm_writev(pid, &here, 1, &there, 1, 0) < 0 ? errno : 0));
    printf(" mem %s maps %s environ %s fd %s", name(opens(pid, "mem", O_RDONLY)), name(opens(pid, "maps", O_RDONLY)),
           name(opens(pid, "environ", O_RDONLY)), name(opens(pid, "fd/9", O_WRONLY)));
    printf(" exe %s", name(opens(pid, "exe", O_RDONLY)));
    printf(" attach %s\n", name(ptrace(PTRACE_SEIZE, pid, 0, 0) < 0 ? errno : 0));
    fflush(stdout);
}
// `path` in a user namespace of its own, or not.
static void owner(const char *path, int space) {
    int gate[2];
    char c;
    printf("%s %d\n", path, space);
    fflush(stdout);
    pipe(gate);
    pid_t pid = fork();
    if (pid == 0) {
        if (space && unshare(CLONE_NEWUSER)) _exit(9);
        dup2(gate[1], 9);
        execl(path, path, "wait", NULL);
        _exit(8);
    }
    close(gate[1]);
    if (read(gate[0], &c, 1) != 1) puts("never ran");
    look(pid);
    close(gate[0]);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}
// Has what it executes make calls.
static void tracer(const char *path) {
    int status;
    printf("traced %s:", path);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        execl(path, path, "end", NULL);
        _exit(8);
    }
    waitpid(pid, &status, 0);
    struct user_regs_struct r;
    ptrace(PTRACE_GETREGS, pid, 0, &r);
    long got = 0;
    printf(" peek %s", name(syscall(SYS_ptrace, PTRACE_PEEKDATA, pid, &secret, &got) < 0 ? errno : 0));
    printf(" %d", got == secret);
    // syscall; int3
    int poked = ptrace(PTRACE_POKETEXT, pid, r.rip, 0xcc050fL);
    printf(" poke %s", name(poked < 0 ? errno : 0));
    if (poked == 0) {
        r.rax = SYS_geteuid;
        ptrace(PTRACE_SETREGS, pid, 0, &r);
        ptrace(PTRACE_CONT, pid, 0, 0);
        waitpid(pid, &status, 0);
        ptrace(PTRACE_GETREGS, pid, 0, &r);
        printf(" user %lld", r.rax);
    }
    puts("");
    fflush(stdout);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

int main(int argc, char **argv) {
    if (argc > 1) {
        if (!strcmp(argv[1], "wait")) {
            write(9, "", 1);
            pause();
        }
        return 0;
    }
    mount("none", "/tmp", "tmpfs", 0, "mode=1777");
    copy_itself("/tmp/plain", O_TRUNC, 0755);
    copy_itself("/tmp/hidden", O_TRUNC, 0711);
    copy_itself("/tmp/setuid", O_TRUNC, 04755);
    copy_itself("/tmp/both", O_TRUNC, 04711);
    copy_itself("/tmp/group", O_TRUNC, 0750);
    chown("/tmp/group", 0, 1000);
    const char *all[] = {"/tmp/plain", "/tmp/hidden", "/tmp/setuid", "/tmp/both", "/tmp/group"};
    fflush(stdout);
    if (fork() == 0) {
        as_user();
        for (int i = 0; i < 5; i++) {
            owner(all[i], 0);
            owner(all[i], 1);
            tracer(all[i]);
        }
        puts("of root");
        look(1);
        _exit(0);
    }
    wait(NULL);
    umount2("/tmp", MNT_DETACH);
    puts("done");
}
