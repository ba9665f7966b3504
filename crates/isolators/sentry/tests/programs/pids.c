// PID namespaces of programs' own.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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
static void ended(pid_t pid) {
    int s = 0;
    pid_t got = waitpid(pid, &s, 0);
    printf("ended %d %x\n", got == pid, s);
    fflush(stdout);
}
static void who(const char *what) {
    printf("%s: pid %d parent %d tid %ld\n", what, getpid(), getppid(), syscall(SYS_gettid));
    fflush(stdout);
}
static void lines(const char *path) {
    FILE *f = fopen(path, "r");
    char line[256];
    const char *wanted[] = {"Tgid", "Pid", "PPid", "NS", "TracerPid"};
    while (f && fgets(line, sizeof line, f))
        for (int i = 0; i < 5; i++)
            if (!strncmp(line, wanted[i], strlen(wanted[i]))) printf("%s", line);
    printf("%s %d\n", path, f != NULL);
    if (f) fclose(f);
}
static void list(const char *path) {
    DIR *d = opendir(path);
    struct dirent *e;
    int all[64], n = 0;
    while (d && (e = readdir(d)))
        if (e->d_name[0] > '0' && e->d_name[0] <= '9') all[n++] = atoi(e->d_name);
    if (d) closedir(d);
    printf("%s:", path);
    for (int i = 1; i < 64; i++)
        for (int j = 0; j < n; j++)
            if (all[j] == i) printf(" %d", i);
    printf(" of %d\n", n);
    fflush(stdout);
}
static long number(const char *link) {
    char text[64] = "";
    if (readlink(link, text, 63) < 0) return -1;
    return atol(strchr(text, '[') + 1);
}
static volatile int from = -2;
static void took(int sig, siginfo_t *info, void *c) { from = info->si_pid; }
static void *thread(void *p) {
    who("thread");
    return NULL;
}
static int ends[2], gate[2];
static void say(int end) {
    char c = 'x', room[64];
    struct iovec v = {&c, 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    sendmsg(end, &m, 0);
}
static int hear(int end) {
    char c, room[64];
    struct iovec v = {&c, 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    struct ucred u = {-1, -1, -1};
    recvmsg(end, &m, 0);
    if (CMSG_FIRSTHDR(&m)) memcpy(&u, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof u);
    return u.pid;
}
// The first process of a namespace.
static void first(void) {
    who("first");
    printf("group %d session %d\n", getpgid(0), getsid(0));
    printf("heard %d\n", hear(ends[1]));
    say(ends[1]);
    struct sigaction a = {.sa_sigaction = took, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGUSR1, &a, NULL);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        who("second");
        TRY(kill(1, SIGTERM));
        TRY(kill(1, SIGKILL));
        TRY(kill(1, SIGSTOP));
        TRY(kill(1, SIGUSR1));
        TRY(kill(77, 0));
        TRY(kill(-1, 0));
        TRY(syscall(SYS_tgkill, 1, 1, 0));
        TRY(getpgid(1));
        TRY(setsid());
        printf("group %d session %d\n", getpgid(0), getsid(0));
        pthread_t t;
        pthread_create(&t, NULL, thread, NULL);
        pthread_join(t, NULL);
        fflush(stdout);
        // Its child outlives it, and is the first one's then.
        if (fork() == 0) {
            char c;
            read(gate[0], &c, 1);
            who("orphan");
            _exit(5);
        }
        _exit(4);
    }
    ended(pid);
    printf("child %d\n", pid);
    printf("signal from %d\n", from);
    write(gate[1], "x", 1);
    int s;
    pid = wait(&s);
    printf("orphan %d %x\n", pid, s);
    // One's own procfs.
    TRY(unshare(CLONE_NEWNS));
    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    TRY(mount("proc", "/proc", "proc", 0, NULL));
    list("/proc");
    lines("/proc/self/status");
    lines("/proc/1/status");
    list("/proc/1/task");
    printf("children %d\n", number("/proc/self/ns/pid") == number("/proc/self/ns/pid_for_children"));
    // Another level.
    TRY(unshare(CLONE_NEWPID));
    TRY(unshare(CLONE_NEWPID));
    TRY(number("/proc/self/ns/pid_for_children"));
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        who("deep");
        lines("/proc/self/status");
        fflush(stdout);
        if (fork() == 0) {
            who("deeper");
            write(gate[1], "x", 1);
            pause();
        }
        char c;
        read(gate[0], &c, 1);
        _exit(6);
    }
    int there = pid;
    ended(pid);
    printf("deep %d\n", there);
    printf("children %d\n", number("/proc/self/ns/pid") != number("/proc/self/ns/pid_for_children"));
    list("/proc");
    TRY(fork());
    // Left behind: killed with the first.
    fflush(stdout);
    _exit(7);
}
static void user(void) {
    setresgid(1000, 1000, 1000);
    setresuid(1000, 1000, 1000);
    prctl(PR_SET_DUMPABLE, 1);
    TRY(unshare(CLONE_NEWPID));
    TRY(unshare(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS));
    TRY(put("/proc/self/setgroups", "deny"));
    TRY(put("/proc/self/uid_map", "0 1000 1"));
    TRY(put("/proc/self/gid_map", "0 1000 1"));
    TRY(mount("proc", "/proc", "proc", 0, NULL));
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        who("first");
        TRY(mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL));
        list("/proc");
        fflush(stdout);
        _exit(0);
    }
    ended(pid);
}
static char stack[65536];
static int waits(void *p) {
    char c;
    if (fork() == 0) {
        read(ends[1], &c, 1);
        _exit(0);
    }
    write(gate[1], "x", 1);
    pause();
    return 0;
}
int main(void) {
    int on = 1;
    char c;
    socketpair(AF_UNIX, SOCK_DGRAM, 0, ends);
    setsockopt(ends[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    setsockopt(ends[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    pipe(gate);
    who("outside");
    fflush(stdout);
    pid_t outer = fork();
    if (outer == 0) {
        alarm(100);
        TRY(unshare(CLONE_NEWPID));
        printf("still %d\n", getpid() > 1);
        TRY(pthread_create((pthread_t[1]){0}, NULL, thread, NULL) == 0 ? 0 : -1);
        fflush(stdout);
        say(ends[0]);
        pid_t pid = fork();
        if (pid == 0) {
            first();
        }
        int heard = hear(ends[0]);
        ended(pid);
        printf("heard the child %d\n", heard == pid);
        TRY(fork());
        fflush(stdout);
        _exit(0);
    }
    ended(outer);
    fflush(stdout);
    outer = fork();
    if (outer == 0) {
        alarm(100);
        user();
        fflush(stdout);
        _exit(0);
    }
    ended(outer);
    // Killed from outside, with all in it.
    TRY(clone(waits, stack + sizeof stack, CLONE_NEWPID | CLONE_THREAD | CLONE_VM | CLONE_SIGHAND, NULL));
    pid_t pid = clone(waits, stack + sizeof stack, CLONE_NEWPID | SIGCHLD, NULL);
    read(gate[0], &c, 1);
    TRY(kill(pid, SIGTERM));
    TRY(kill(pid, SIGUSR1));
    TRY(kill(pid, SIGSTOP));
    int s;
    printf("stopped %d %x\n", waitpid(pid, &s, WUNTRACED) == pid, s);
    TRY(kill(pid, SIGCONT));
    TRY(kill(pid, SIGKILL));
    ended(pid);
    puts("done");
}
