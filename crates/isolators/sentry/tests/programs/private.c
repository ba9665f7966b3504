// What of a process others see in /proc, and what they get by its open files.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *name(int e) { return e == 0 ? "ok" : strerrorname_np(e); }
#define TRY(call) printf("%s: %s\n", #call, name((call) < 0 ? errno : 0))

static const char *ALL[] = {
    "",    "auxv", "cgroup", "cmdline", "cwd",      "environ", "exe",    "fd",           "fd/9", "fdinfo",
    "io",  "maps", "mem",    "limits",  "fdinfo/9", "ns",      "ns/uts", "personality",  "root", "smaps",  "smaps_rollup",
    "stat", "status", "task",    "uid_map",  "statm",   "wchan",  "mountinfo",
};

static void as_user(int user) {
    setgroups(0, NULL);
    setresgid(user, user, user);
    setresuid(user, user, user);
}
static int try(const char *path, int flags) {
    int fd = open(path, flags | O_CLOEXEC);
    if (fd >= 0) close(fd);
    return fd < 0 ? errno : 0;
}
static void see(const char *of) {
    char path[64], text[256], below[80];
    for (int i = 0; i < sizeof ALL / sizeof *ALL; i++) {
        struct stat s = {0};
        snprintf(path, sizeof path, "/proc/%s/%s", of, ALL[i]);
        int e = lstat(path, &s) < 0 ? errno : 0;
        printf("  %s: %s %o %d %d", ALL[i], name(e), s.st_mode, s.st_uid, s.st_gid);
        if (S_ISLNK(s.st_mode)) {
            printf(" link %s", name(readlink(path, text, sizeof text) < 0 ? errno : 0));
            if (strncmp(ALL[i], "ns", 2)) printf(" to %s", name(stat(path, &s) < 0 ? errno : 0));
        } else {
            printf(" open %s path %s", name(try(path, O_RDONLY)), name(try(path, O_PATH)));
            if (S_ISDIR(s.st_mode)) {
                snprintf(below, sizeof below, "%s/.", path);
                printf(" in %s", name(stat(below, &s) < 0 ? errno : 0));
            }
        }
        puts("");
    }
    snprintf(path, sizeof path, "/proc/%s/fd/9", of);
    printf("  fd/9 open %s write %s path %s link %s\n", name(try(path, O_RDONLY)), name(try(path, O_WRONLY)),
           name(try(path, O_PATH)), name(try(path, O_PATH | O_NOFOLLOW)));
    snprintf(path, sizeof path, "/proc/%s/fd/8", of);
    printf("  fd/8 open %s\n", name(try(path, O_RDONLY)));
    fflush(stdout);
}
// One that `user` runs, and is as he wants to be.
static pid_t start(int user, int dumpable) {
    int ends[2], gate[2];
    char c;
    fflush(stdout);
    pipe(gate);
    pid_t pid = fork();
    if (pid) {
        read(gate[0], &c, 1);
        close(gate[0]);
        close(gate[1]);
        return pid;
    }
    if (user) as_user(user);
    pipe(ends);
    dup2(ends[0], 9);
    dup2(socket(AF_UNIX, SOCK_STREAM, 0), 8);
    prctl(PR_SET_DUMPABLE, dumpable);
    write(gate[1], "", 1);
    for (;;) pause();
}
static void observe(const char *what, pid_t pid, int user, int dumpable) {
    printf("%s by %d, dumpable %d\n", what, user, dumpable);
    fflush(stdout);
    if (fork() == 0) {
        char of[16];
        if (user) as_user(user);
        prctl(PR_SET_DUMPABLE, dumpable);
        snprintf(of, sizeof of, "%d", pid);
        see(pid ? of : "self");
        _exit(0);
    }
    wait(NULL);
}
static void end(pid_t pid) {
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}
static void again(const char *what, int fd) {
    char path[64], c = 0;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    printf("%s: read %s write %s both %s path %s\n", what, name(try(path, O_RDONLY)), name(try(path, O_WRONLY)),
           name(try(path, O_RDWR)), name(try(path, O_PATH)));
    int held = open(path, O_PATH);
    printf("  held: read %s", name(read(held, &c, 1) < 0 ? errno : 0));
    snprintf(path, sizeof path, "/proc/self/fd/%d", held);
    printf(" again %s %s\n", name(try(path, O_RDONLY)), name(try(path, O_RDWR)));
    close(held);
}
// Open files, opened again by who has them.
static void files(int user) {
    char c = 0, path[64];
    int old[2], pair[2], ends[2];
    int made = memfd_create("old", 0), ro = open("/tmp/file", O_CREAT | O_RDONLY, 0400);
    pipe(old);
    if (user) as_user(user);
    pipe(ends);
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    again("old pipe", old[0]);
    again("old memory", made);
    again("file", ro);
    again("pipe", ends[0]);
    again("pipe to write", ends[1]);
    again("socket", pair[0]);
    again("event", eventfd(0, 0));
    again("timer", timerfd_create(CLOCK_MONOTONIC, 0));
    again("epoll", epoll_create1(0));
    again("null", open("/dev/null", O_RDONLY));
    again("directory", open("/tmp", O_RDONLY));
    int memory = memfd_create("new", 0);
    write(memory, "text", 4);
    snprintf(path, sizeof path, "/proc/self/fd/%d", memory);
    int only = open(path, O_RDONLY);
    TRY(write(only, "x", 1));
    TRY(ftruncate(only, 0));
    printf("reads %zd at %ld\n", read(only, &c, 1), (long)lseek(memory, 0, SEEK_CUR));
    // The other end of a pipe, by this one.
    snprintf(path, sizeof path, "/proc/self/fd/%d", ends[1]);
    int in = open(path, O_RDONLY | O_NONBLOCK);
    snprintf(path, sizeof path, "/proc/self/fd/%d", ends[0]);
    int out = open(path, O_WRONLY);
    TRY(read(in, &c, 1));
    TRY(write(out, "a", 1));
    TRY(read(out, &c, 1));
    close(ends[1]);
    printf("read %zd %c\n", read(ends[0], &c, 1), c);
    TRY(read(in, &c, 1));
    close(out);
    printf("end %zd\n", read(ends[0], &c, 1));
    fflush(stdout);
}
static int put(int fd, const char *text) { return write(fd, text, strlen(text)) < 0 ? errno : 0; }
// Maps of a user namespace, opened by who may write them, and written by who may not.
static void maps(void) {
    char path[64];
    int gate[2];
    char c;
    pipe(gate);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        as_user(1000);
        prctl(PR_SET_DUMPABLE, 1);
        if (unshare(CLONE_NEWUSER)) perror("unshare");
        write(gate[1], "", 1);
        for (;;) pause();
    }
    read(gate[0], &c, 1);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "/proc/%d/%s", pid, i ? "gid_map" : "uid_map");
        int fd = open(path, O_RDWR);
        fflush(stdout);
        if (fork() == 0) {
            as_user(1000);
            printf("%s: others %s root %s\n", i ? "groups" : "users", name(put(fd, "0 5 1")), name(put(fd, "0 0 1")));
            fflush(stdout);
            _exit(0);
        }
        wait(NULL);
        close(fd);
        fd = open(path, O_RDWR);
        printf("by root: %s\n", name(put(fd, "0 5 1")));
        close(fd);
    }
    end(pid);
}

int main(void) {
    mount("none", "/tmp", "tmpfs", 0, "mode=1777");
    int users[] = {0, 1000};
    for (int i = 0; i < 2; i++)
        for (int dumpable = 0; dumpable < 2; dumpable++) {
            char what[32];
            pid_t pid = start(users[i], dumpable);
            snprintf(what, sizeof what, "of %d, dumpable %d", users[i], dumpable);
            observe(what, pid, 0, 1);
            observe(what, pid, 1000, 1);
            observe(what, pid, 1001, 1);
            end(pid);
            observe("self", 0, users[i], dumpable);
        }
    for (int i = 0; i < 2; i++) {
        fflush(stdout);
        if (fork() == 0) {
            printf("files of %d\n", users[i]);
            files(users[i]);
            _exit(0);
        }
        wait(NULL);
    }
    maps();
    umount2("/tmp", MNT_DETACH);
    puts("done");
}
