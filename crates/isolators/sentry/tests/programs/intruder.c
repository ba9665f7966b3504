/* Tries to get more than it was given by namespaces, filters and listeners of its own. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))

static long put(const char *path, const char *text) {
    int fd = open(path, O_WRONLY);
    long r = fd < 0 ? -1 : write(fd, text, strlen(text));
    if (fd >= 0) close(fd);
    return r;
}
static int reads(const char *path) {
    char c;
    int fd = open(path, O_RDONLY), r = fd < 0 ? -1 : read(fd, &c, 1);
    if (fd >= 0) close(fd);
    return r;
}
static int enter(int user) {
    if (user) {
        setresgid(user, user, user);
        setresuid(user, user, user);
        prctl(PR_SET_DUMPABLE, 1);
    }
    char text[64];
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS)) return -1;
    put("/proc/self/setgroups", "deny");
    sprintf(text, "0 %d 1", user);
    put("/proc/self/uid_map", text);
    put("/proc/self/gid_map", text);
    return 0;
}
/* What is hidden at /hidden/secret, and read-only at /fixed, stays so. */
static void hidden(int user) {
    P("enter %d\n", enter(user));
    P("umount %d %d\n", umount2("/hidden", 0), umount2("/hidden", MNT_DETACH));
    P("move %d\n", mount("/hidden", "/tmp", NULL, MS_MOVE, NULL));
    P("below %d\n", mount("/", "/tmp", NULL, MS_BIND, NULL));
    P("all %d\n", mount("/", "/tmp", NULL, MS_BIND | MS_REC, NULL));
    P("there %d %d\n", umount2("/tmp/hidden", MNT_DETACH), reads("/tmp/hidden/secret"));
    P("write %d\n", mount(NULL, "/fixed", NULL, MS_REMOUNT | MS_BIND, NULL));
    P("write there %d\n", mount(NULL, "/tmp/fixed", NULL, MS_REMOUNT | MS_BIND, NULL));
    P("whole %d\n", mount(NULL, "/fixed", NULL, MS_REMOUNT, NULL));
    P("made %d\n", mknod("/fixed/x", S_IFREG | 0600, 0));
    P("proc %d\n", mount("proc", "/tmp", "proc", 0, NULL));
    mount("t", "/tmp", "tmpfs", 0, NULL);
    P("device %d\n", mknod("/tmp/null", S_IFCHR | 0666, 0x103));
    P("secret %d\n", reads("/hidden/secret"));
    /* By way of another's root. */
    P("roots %d\n", chroot("/proc/1/root/hidden"));
    int fd = open("/", O_PATH);
    P("again %d\n", unshare(CLONE_NEWUSER | CLONE_NEWNS));
    fchdir(fd);
    P("umount %d\n", umount2("hidden", MNT_DETACH));
    P("secret %d\n", reads("hidden/secret"));
}
/* Changes what others see, by way of descriptors that are older than the namespace. */
static void strangers(int user) {
    int root = open("/", O_PATH), fixed = open("/fixed", O_PATH);
    if (fork() == 0) {
        P("enter %d\n", enter(user));
        int own = open("/", O_PATH), proc = open("/proc", O_PATH);
        fchdir(fixed);
        int r = mount(NULL, ".", NULL, MS_REMOUNT | MS_BIND, NULL);
        P("remount %d %s\n", r, strerrorname_np(errno));
        P("tmpfs %d\n", mount("t", "/tmp", "tmpfs", 0, NULL));
        mkdir("/tmp/old", 0755);
        int new = open("/tmp", O_PATH);
        fchdir(root);
        P("root %d\n", chroot("."));
        fchdir(new);
        r = syscall(SYS_pivot_root, ".", "old");
        P("pivot %d %s\n", r, strerrorname_np(errno));
        /* What is above the root would be mounted in itself. */
        fchdir(own);
        chroot(".");
        mkdir("/tmp/in", 0755);
        mount("t", "/tmp/in", "tmpfs", 0, NULL);
        chroot("/tmp/in");
        fchdir(new);
        r = syscall(SYS_pivot_root, ".", ".");
        P("above %d %s\n", r, strerrorname_np(errno));
        fchdir(proc);
        P("mounts %d\n", reads("self/mountinfo"));
        _exit(0);
    }
    wait(NULL);
    P("there %d %d\n", access("/bin/intruder", X_OK), access("/old", F_OK));
    int r = mknod("/fixed/x", S_IFREG | 0600, 0);
    P("made %d %s\n", r, strerrorname_np(errno));
}
static long filter(unsigned verdict, int nr, int flags) {
    struct sock_filter f[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
                              BPF_STMT(BPF_RET | BPF_K, verdict), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog p = {4, f};
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &p);
}
/* As many as there can be; they all go at once. */
static void filters(void) {
    struct sock_filter one = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog p = {1, &one};
    if (fork() == 0) {
        int n = 0;
        while (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &p) == 0) n++;
        P("filters %d %s\n", n, strerrorname_np(errno));
        _exit(0);
    }
    int s;
    wait(&s);
    P("ended %x\n", s);
}
/* The same by many processes, and contexts of asynchronous input: there is an end to both. */
static void many(void) {
    struct sock_filter all[4096];
    for (int i = 0; i < 4096; i++) all[i] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog p = {4096, all};
    int n = 0, up[2], hold[2];
    pipe(up), pipe(hold);
    for (int round = 0; round < 400; round++) {
        if (fork() == 0) {
            char made = 0;
            close(hold[1]);
            while (made < 7 && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &p) == 0) made++;
            write(up[1], &made, 1);
            read(hold[0], &made, 1);
            _exit(0);
        }
        char made = 0;
        read(up[0], &made, 1);
        n += made;
        if (made == 0) break;
    }
    P("filters of all %d\n", n > 500 && n < 2000);
    close(hold[1]);
    while (wait(NULL) > 0);
    /* They go a moment after their processes. */
    long again = -1;
    for (int i = 0; i < 2000 && again; i++) {
        again = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &p);
        if (again) usleep(10000);
    }
    P("again %ld\n", again);
    unsigned long context;
    for (n = 0; n < 100000; n++) {
        context = 0;
        if (syscall(SYS_io_setup, 1, &context)) break;
    }
    P("contexts %d %s\n", n, strerrorname_np(errno));
}
static int listener;
static void *asks(void *p) { syscall(SYS_getppid); return 0; }
/* A program that asks itself, and never answers. */
static void itself(void) {
    if (fork() == 0) {
        listener = filter(SECCOMP_RET_USER_NOTIF, SYS_getppid, SECCOMP_FILTER_FLAG_NEW_LISTENER);
        pthread_t t;
        for (int i = 0; i < 20; i++) pthread_create(&t, 0, asks, 0);
        alarm(1);
        syscall(SYS_getppid);
    }
    int s;
    wait(&s);
    P("ended %x\n", s);
    /* Its listener outlives it, and a filter its listener. */
    if (fork() == 0) {
        listener = filter(SECCOMP_RET_USER_NOTIF, SYS_getppid, SECCOMP_FILTER_FLAG_NEW_LISTENER);
        close(listener);
        for (int i = 0; i < 1000; i++) syscall(SYS_getppid);
        _exit(errno == ENOSYS ? 0 : 1);
    }
    wait(&s);
    P("ended %x\n", s);
}
/* Namespaces again and again, each with mounts of its own. */
static void namespaces(void) {
    int n = 0;
    for (int round = 0; round < 10; round++) {
        if (fork() == 0) {
            int made = 0;
            for (int i = 0; i < 30; i++) {
                if (unshare(CLONE_NEWNS | CLONE_NEWUTS)) break;
                for (int k = 0; k < 3; k++) mount("t", "/tmp", "tmpfs", 0, NULL);
                made += reads("/proc/self/mounts") > 0;
            }
            _exit(made);
        }
        int s;
        wait(&s);
        n += WEXITSTATUS(s);
    }
    P("namespaces %d\n", n);
    for (n = 0; n < 100 && unshare(CLONE_NEWUSER) == 0; n++) {
        put("/proc/self/setgroups", "deny");
        put("/proc/self/uid_map", "0 0 1");
        put("/proc/self/gid_map", "0 0 1");
    }
    P("nested %d %s\n", n, strerrorname_np(errno));
}
int main(int count, char **words) {
    if (!strcmp(words[1], "hidden")) hidden(atoi(words[2]));
    if (!strcmp(words[1], "strangers")) strangers(atoi(words[2]));
    if (!strcmp(words[1], "filters")) filters();
    if (!strcmp(words[1], "many")) many();
    if (!strcmp(words[1], "itself")) itself();
    if (!strcmp(words[1], "namespaces")) namespaces();
    P("done\n");
}
