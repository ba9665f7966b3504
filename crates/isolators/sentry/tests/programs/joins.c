// setns(2): namespaces of others.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *name(long r) { return r >= 0 ? "ok" : strerrorname_np(errno); }
#define TRY(call) printf("%s: %s\n", #call, name(call))
static long put(const char *path, const char *text) {
    int fd = open(path, O_WRONLY);
    long r = fd < 0 ? -1 : write(fd, text, strlen(text));
    close(fd);
    return r;
}
static int of(pid_t pid, const char *kind) {
    char path[64];
    sprintf(path, "/proc/%d/ns/%s", pid, kind);
    return open(path, O_RDONLY | O_CLOEXEC);
}
static unsigned long number(pid_t pid, const char *kind) {
    char path[64], text[64] = "";
    struct stat s;
    sprintf(path, "/proc/%d/ns/%s", pid, kind);
    if (readlink(path, text, 63) < 0 || stat(path, &s)) return 0;
    unsigned long n = strtoul(strchr(text, '[') + 1, NULL, 10);
    return n == s.st_ino ? n : 1;
}
static int to[2], back[2];
static pid_t other;
static void there(int user) {
    if (user) {
        setresgid(1000, 1000, 1000);
        setresuid(1000, 1000, 1000);
        prctl(PR_SET_DUMPABLE, 1);
        unshare(CLONE_NEWUSER);
        put("/proc/self/setgroups", "deny");
        put("/proc/self/uid_map", "0 1000 1");
        put("/proc/self/gid_map", "0 1000 1");
    }
    unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP | CLONE_NEWPID);
    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    mount("none", "/tmp", "tmpfs", 0, NULL);
    mkdir("/tmp/there", 0755);
    sethostname("there", 5);
    msgget(5, IPC_CREAT | 0666);
    pid_t pid = fork();
    if (pid == 0) {
        char c;
        mount("proc", "/proc", "proc", 0, NULL);
        write(back[1], &(pid_t){0}, sizeof(pid_t));
        read(to[0], &c, 1);
        _exit(0);
    }
    write(back[1], &pid, sizeof pid);
    int s;
    waitpid(pid, &s, 0);
    _exit(0);
}
static void look(const char *what) {
    struct utsname u;
    uname(&u);
    printf("%s: host %d tmp %d queue %d self %d\n", what, !strcmp(u.nodename, "there"), access("/tmp/there", F_OK), msgget(5, 0) >= 0,
           access("/proc/self", F_OK));
    fflush(stdout);
}
static void child(const char *what) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        printf("%s: pid %d parent %d\n", what, getppid() ? 0 : getpid(), getppid() != 0);
        look(what);
        _exit(0);
    }
    int s;
    pid_t got = waitpid(pid, &s, 0);
    printf("%s: ended %d %x\n", what, got == pid, s);
}
static void one_by_one(void) {
    const char *kinds[] = {"uts", "ipc", "cgroup", "pid", "mnt"};
    int fds[5];
    for (int i = 0; i < 5; i++) fds[i] = of(other, kinds[i]);
    for (int i = 0; i < 5; i++) printf("%s: %d\n", kinds[i], number(other, kinds[i]) != number(getpid(), kinds[i]));
    printf("type %d\n", ioctl(fds[0], 0xb703) == CLONE_NEWUTS);
    TRY(setns(fds[0], CLONE_NEWIPC));
    TRY(setns(fds[0], CLONE_NEWUTS));
    look("uts");
    TRY(setns(fds[1], 0));
    look("ipc");
    TRY(setns(fds[2], CLONE_NEWCGROUP));
    TRY(setns(fds[3], CLONE_NEWPID));
    printf("pid %d\n", getpid() > 1);
    child("in pid");
    int own = of(getpid(), "pid"), mounts = of(getpid(), "mnt");
    TRY(setns(fds[4], CLONE_NEWNS));
    look("mnt");
    child("in all");
    TRY(setns(own, 0));
    child("in own");
    TRY(setns(mounts, 0));
    look("back");
    TRY(setns(0, 0));
    TRY(setns(-1, 0));
    TRY(setns(of(getpid(), "user"), 0));
    TRY(write(own, "x", 1));
    char c;
    TRY(read(own, &c, 1));
}
static void by_pidfd(void) {
    int fd = syscall(SYS_pidfd_open, other, 0);
    TRY(setns(fd, 0));
    TRY(setns(fd, 0x40));
    TRY(setns(fd, CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID));
    look("pidfd");
    child("in pidfd");
}
static void as_user(void) {
    setresgid(1000, 1000, 1000);
    setresuid(1000, 1000, 1000);
    prctl(PR_SET_DUMPABLE, 1);
    int own = of(getpid(), "user");
    TRY(setns(of(other, "uts"), 0));
    TRY(setns(own, 0));
    TRY(setns(of(other, "user"), 0));
    printf("user %d\n", getuid());
    TRY(setns(own, 0));
    TRY(setns(of(other, "uts"), 0));
    TRY(setns(of(other, "ipc"), 0));
    TRY(setns(of(other, "pid"), 0));
    TRY(setns(of(other, "mnt"), 0));
    TRY(sethostname("other", 5));
    child("in user's");
}
static void none(void) {
    setresgid(1001, 1001, 1001);
    setresuid(1001, 1001, 1001);
    TRY(of(other, "user"));
    TRY(setns(syscall(SYS_pidfd_open, other, 0), CLONE_NEWUSER));
}
static void with(int user, void (*f)(void)) {
    pipe(to), pipe(back);
    fflush(stdout);
    pid_t maker = fork(), pid;
    if (maker == 0) there(user);
    other = 0;
    for (int i = 0; i < 2; i++) {
        read(back[0], &pid, sizeof pid);
        if (pid) other = pid;
    }
    pid = fork();
    if (pid == 0) {
        alarm(100);
        f();
        fflush(stdout);
        _exit(0);
    }
    int s;
    waitpid(pid, &s, 0);
    printf("-- %x\n", s);
    write(to[1], "x", 1);
    waitpid(maker, &s, 0);
    close(to[0]), close(to[1]), close(back[0]), close(back[1]);
}
int main(void) {
    with(0, one_by_one);
    with(0, by_pidfd);
    with(1, as_user);
    with(1, by_pidfd);
    with(1, none);
    puts("done");
}
