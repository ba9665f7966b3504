// What set-id programs and file capabilities give to who is traced.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "itself.h"

// Not every host has all: what a test does not need is not shown.
#define SHOWN (1ULL << CAP_NET_RAW | 1ULL << CAP_SETUID | 1ULL << CAP_DAC_OVERRIDE)

static const char *name(int e) { return e == 0 ? "ok" : strerrorname_np(e); }
#define TRY(call) printf("%s: %s\n", #call, name((call) < 0 ? errno : 0))

static void show(const char *what) {
    struct __user_cap_header_struct h = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct d[2];
    syscall(SYS_capget, &h, d);
    uint64_t e = d[0].effective | (uint64_t)d[1].effective << 32;
    uint64_t p = d[0].permitted | (uint64_t)d[1].permitted << 32;
    unsigned r, u, s, gr, ge, gs;
    getresuid(&r, &u, &s);
    getresgid(&gr, &ge, &gs);
    printf("%s: e %lx p %lx uid %u %u %u gid %u %u %u aux %lu %lu %lu dumpable %d\n", what, e & SHOWN, p & SHOWN, r, u,
           s, gr, ge, gs, getauxval(AT_SECURE), getauxval(AT_EUID), getauxval(AT_EGID), prctl(PR_GET_DUMPABLE));
    fflush(stdout);
}
static int tracer_of_own(void) {
    char text[4096] = "";
    int fd = open("/proc/self/status", O_RDONLY);
    read(fd, text, sizeof text - 1);
    close(fd);
    return atoi(strstr(text, "TracerPid:") + 10);
}
static void as_user(void) {
    setgroups(0, NULL);
    setresgid(1000, 1000, 1000);
    setresuid(1000, 1000, 1000);
    prctl(PR_SET_DUMPABLE, 1);
}
// Lets a tracee go on until it ends; its children, too.
static void follow(void) {
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, __WALL)) > 0) {
        if (!WIFSTOPPED(status)) continue;
        int signal = WSTOPSIG(status);
        ptrace(PTRACE_CONT, pid, 0, signal == SIGTRAP || signal == SIGSTOP ? 0 : signal);
    }
}
static void run(const char *path, const char *word) {
    fflush(stdout);
    execl(path, path, word, NULL);
    printf("exec %s: %s\n", path, name(errno));
    fflush(stdout);
    _exit(1);
}
// Who traces: `user` or root, by which way.
static void traced(const char *path, int user, int way) {
    printf("%s by %s, way %d\n", path + 5, user ? "user" : "root", way);
    fflush(stdout);
    if (fork() == 0) {
        if (user) as_user();
        int gate[2];
        pipe(gate);
        pid_t pid = fork();
        if (pid == 0) {
            char c;
            if (way == 0) TRY(ptrace(PTRACE_TRACEME, 0, 0, 0));
            if (way > 0) read(gate[0], &c, 1);
            if (!user) as_user();
            if (way == 2 && fork() > 0) {
                wait(NULL);
                _exit(0);
            }
            run(path, "show");
        }
        if (way > 0) {
            TRY(ptrace(PTRACE_SEIZE, pid, 0, way == 2 ? PTRACE_O_TRACEFORK : 0));
            fflush(stdout);
            write(gate[1], "", 1);
        }
        follow();
        _exit(0);
    }
    wait(NULL);
}
// A tracer that comes while the program is executed.
static void late(void) {
    int bad = 0;
    for (int i = 0; i < 100; i++) {
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) run("/tmp/setuid", "late");
        for (int tries = 0; tries < i * 5; tries++)
            if (ptrace(PTRACE_SEIZE, pid, 0, 0) == 0) break;
        int status = 0;
        for (;;) {
            if (waitpid(pid, &status, __WALL) != pid) break;
            if (!WIFSTOPPED(status)) break;
            ptrace(PTRACE_CONT, pid, 0, 0);
        }
        bad += status != 0;
    }
    printf("late %d\n", bad);
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "show")) {
        show(argv[0]);
        return 0;
    }
    if (argc > 1 && !strcmp(argv[1], "late")) return geteuid() == 0 && tracer_of_own() != 0;
    if (argc > 1) {
        TRY(ptrace(PTRACE_TRACEME, 0, 0, 0));
        fflush(stdout);
        return 0;
    }
    mount("none", "/tmp", "tmpfs", 0, "mode=1777");
    copy_itself("/tmp/plain", O_TRUNC, 0755);
    copy_itself("/tmp/setuid", O_TRUNC, 04755);
    copy_itself("/tmp/setgid", O_TRUNC, 02755);
    copy_itself("/tmp/caps", O_TRUNC, 0755);
    struct vfs_cap_data data = {VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE, {{1 << CAP_NET_RAW, 0}, {0, 0}}};
    TRY(setxattr("/tmp/caps", "security.capability", &data, sizeof data, 0));
    const char *all[] = {"/tmp/plain", "/tmp/setuid", "/tmp/setgid", "/tmp/caps"};
    for (int i = 0; i < 4; i++)
        for (int way = 0; way < 3; way++) {
            traced(all[i], 1, way);
            traced(all[i], 0, way);
        }
    fflush(stdout);
    if (fork() == 0) {
        as_user();
        late();
        fflush(stdout);
        // What is set-id is not traced by its parent, who is not.
        if (fork() == 0) run("/tmp/setuid", "me");
        follow();
        // Not traced, it gains.
        if (fork() == 0) run("/tmp/setuid", "show");
        follow();
        _exit(0);
    }
    wait(NULL);
    // As another user for now.
    if (fork() == 0) {
        setresuid(1000, 0, 0);
        run("/tmp/plain", "show");
    }
    wait(NULL);
    umount2("/tmp", MNT_DETACH);
    puts("done");
}
