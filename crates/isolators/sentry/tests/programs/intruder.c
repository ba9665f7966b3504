/* Tries to get more than it was given by namespaces, filters and listeners of its own. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
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
#include <sys/statvfs.h>
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
static int reads_at(int fd, const char *path) {
    return fd >= 0 && fchdir(fd) == 0 ? reads(path) : -2;
}
/* The same by trees of mounts that are held by descriptors. */
static void detached(int user) {
    enum { open_tree_ = 428, move_mount_, fsconfig_ = 431, fspick_ = 433, setattr_ = 442 };
    unsigned long writable[4] = {0, 1};
    P("enter %d\n", enter(user));
    P("below %ld\n", syscall(open_tree_, AT_FDCWD, "/", 1));
    int fd = syscall(open_tree_, AT_FDCWD, "/", 0x8001);
    P("all %d\n", fd < 0), P("secret %d\n", reads_at(fd, "hidden/secret"));
    P("move %ld\n", syscall(move_mount_, fd, "hidden", AT_FDCWD, "/tmp", 0));
    P("write %ld\n", syscall(setattr_, fd, "fixed", 0, writable, 32L));
    P("write all %ld\n", syscall(setattr_, fd, "", 0x9000, writable, 32L));
    P("one %ld\n", syscall(open_tree_, fd, "deep", 1));
    int below = openat(fd, "deep", O_PATH), fixed = openat(fd, "fixed", O_PATH);
    chdir("/"), close(fd);
    P("closed %d %d\n", reads_at(below, "hidden/secret"), reads_at(below, "plain"));
    fchdir(fixed), P("made %d\n", mknod("x", S_IFREG | 0600, 0));
    fd = syscall(open_tree_, AT_FDCWD, "/", 0x8001);
    P("attach %ld\n", syscall(move_mount_, fd, "", AT_FDCWD, "/tmp", 4));
    P("umount %d\n", umount2("/tmp/hidden", MNT_DETACH));
    P("move %ld\n", syscall(move_mount_, AT_FDCWD, "/hidden", AT_FDCWD, "/tmp/own", 0));
    P("write %ld\n", syscall(setattr_, AT_FDCWD, "/tmp/fixed", 0, writable, 32L));
    int pick = syscall(fspick_, AT_FDCWD, "/fixed", 0);
    P("rw %ld\n", syscall(fsconfig_, pick, 0, "rw", NULL, 0));
    P("change %ld\n", syscall(fsconfig_, pick, 7, NULL, NULL, 0));
    P("made %d\n", mknod("/tmp/fixed/x", S_IFREG | 0600, 0));
    P("secret %d %d\n", reads("/hidden/secret"), reads("/tmp/deep/hidden/secret"));
}
/* Ways into what is hidden that are older than the end of the mounts that hide it. */
static void remains(int user) {
    P("enter %d\n", enter(user));
    int fd, fixed, below, own = open("/", O_PATH), pipes[2];
    P("all %d\n", mount("/", "/tmp", NULL, MS_BIND | MS_REC, NULL));
    fd = open("/tmp", O_PATH), fixed = open("/tmp/fixed", O_PATH), below = open("/tmp/deep", O_PATH);
    P("below %d %d\n", reads_at(fd, "hidden/secret"), reads_at(below, "hidden/secret"));
    P("umount %d\n", umount2("/tmp", MNT_DETACH));
    P("bind %d %d\n", reads_at(fd, "hidden/secret"), reads_at(below, "hidden/secret"));
    P("name %d\n", open("hidden/secret", O_RDONLY | O_CREAT, 0600));
    fchdir(fd);
    P("file %d %d\n", reads("secret"), open("secret", O_RDWR | O_CREAT, 0600));
    P("link %d %d\n", link("secret", "deep/x"), rename("hidden", "deep/x"));
    P("other %d %d\n", reads_at(fd, "deep/plain"), reads_at(below, "plain"));
    fchdir(fixed);
    P("made %d\n", mknod("x", S_IFREG | 0600, 0));
    /* The root that was. */
    fchdir(own);
    mount("t", "/tmp", "tmpfs", 0, NULL);
    mkdir("/tmp/old", 0755);
    P("pivot %d\n", syscall(SYS_pivot_root, "/tmp", "/tmp/old"));
    fd = open("/old", O_PATH);
    P("before %d\n", reads_at(fd, "hidden/secret"));
    P("umount %d\n", umount2("/old", MNT_DETACH));
    P("root %d %d\n", reads_at(fd, "hidden/secret"), reads_at(own, "hidden/secret"));
    P("up %d\n", reads_at(below, "../hidden/secret"));
}
/* The same of a namespace that ends, by a descriptor that was made in it. */
static int shared;
static int opens(void *user) {
    if (enter(*(int *)user) == 0) shared = open("/", O_PATH);
    return 0;
}
static void ends(int user) {
    static char stack[65536];
    pid_t pid = clone(opens, stack + sizeof stack, CLONE_FILES | CLONE_VM | SIGCHLD, &user);
    waitpid(pid, NULL, 0);
    P("ends %d\n", shared >= 0);
    /* It goes a moment after its process. */
    for (int i = 0; i < 200; i++) {
        int r = reads_at(shared, "hidden/secret");
        if (r != -1) P("secret %d\n", r);
        usleep(1000);
    }
    P("other %d\n", reads_at(shared, "deep/plain"));
}
/* A directory that is not searched meanwhile, and what is mounted in a tree. */
static void covers(int user) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct caps[2] = {};
    P("enter %d\n", enter(user));
    syscall(SYS_capget, &header, caps);
    caps[0].effective &= ~(1 << CAP_DAC_OVERRIDE | 1 << CAP_DAC_READ_SEARCH);
    P("caps %ld\n", syscall(SYS_capset, &header, caps));
    P("mode %d\n", chmod("/own", 0));
    P("all %d\n", mount("/", "/tmp", NULL, MS_BIND | MS_REC, NULL));
    P("again %d\n", unshare(CLONE_NEWNS));
    P("mode %d\n", chmod("/own", 0755));
    P("there %d %d\n", reads("/own/plain"), reads("/tmp/own/plain"));
    P("secret %d %d\n", reads("/own/hidden/secret"), reads("/tmp/own/hidden/secret"));
    P("proc %d %d ", reads("/proc/uptime"), reads("/proc/version"));
    P("%d %d\n", reads("/proc/loadavg"), reads("/proc/sys/kernel/ostype"));
    struct statvfs a, b;
    statvfs("/proc/sys/kernel", &a), statvfs("/proc/loadavg", &b);
    P("fixed %lu %lu\n", a.f_flag & ST_RDONLY, b.f_flag & ST_RDONLY);
}
/* One looks all the time, the other makes and takes away. */
static void *looks(void *p) {
    for (;;) {
        int fd = openat(100, "hidden/secret", O_RDONLY);
        if (fd >= 0 || reads("/tmp/hidden/secret") > 0) P("secret\n");
        close(fd);
    }
}
static void races(int user) {
    P("enter %d\n", enter(user));
    pthread_t t;
    pthread_create(&t, 0, looks, 0);
    for (int i = 0; i < 60; i++) {
        mount("/", "/tmp", NULL, MS_BIND | MS_REC, NULL);
        int fd = open("/tmp", O_PATH);
        dup2(fd, 100);
        close(fd);
        if (umount2("/tmp", MNT_DETACH)) P("umount %s\n", strerrorname_np(errno));
    }
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
                if (unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWNET)) break;
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
/* More mounts than there can be, one after the other, and directories nested without end. */
static void mounts(void) {
    int n = 0;
    mount("t", "/tmp", "tmpfs", 0, NULL);
    mkdir("/tmp/a", 0755), mkdir("/tmp/b", 0755);
    chdir("/tmp/a");
    for (int i = 0; i < 500; i++) {
        n += mkdir("x", 0755) == 0 && mount("t", "x", "tmpfs", 0, NULL) == 0;
        chdir("x");
    }
    P("mounts %d\n", n);
    for (n = 0; n < 110; n++) {
        if (mount("/tmp/a", "/tmp/b", NULL, MS_BIND | MS_REC, NULL)) break;
        int fd = open("/tmp/b/x", O_PATH);
        if (umount2("/tmp/b", MNT_DETACH)) break;
        /* Who is still in it makes no more of it stay. */
        reads_at(fd, "x/in"), mkdirat(fd, "in", 0755), reads_at(fd, "in/x");
        chdir("/"), close(fd);
    }
    P("again %d\n", n);
    chdir("/tmp/a/x");
    for (n = 0; n < 20000 && mkdir("d", 0755) == 0 && chdir("d") == 0; n++);
    int fd = open(".", O_PATH);
    chdir("/");
    P("nested %d %d\n", n, umount2("/tmp/a/x", MNT_DETACH));
    P("end %d\n", close(fd));
}
/* Namespaces of mounts, each held by a file in the one before only; then nobody is there. */
static void chain(void) {
    int depth = 0, go[2], end;
    char path[64];
    mount("c", "/tmp", "tmpfs", 0, 0);
    close(open("/tmp/x", O_CREAT | O_RDWR, 0600));
    pid_t first = fork();
    if (!first) {
        for (; depth < 2000; depth++) {
            char c = 0;
            int up[2], down[2];
            pipe(up), pipe(down);
            pid_t p = fork();
            if (!p) close(down[1]), unshare(CLONE_NEWNS) || write(up[1], &c, 1), read(down[0], &c, 1), _exit(0);
            close(up[1]), close(down[0]);
            if (read(up[0], &c, 1) != 1) break;
            sprintf(path, "/proc/%d/ns/mnt", p);
            if (mount(path, "/tmp/x", 0, MS_BIND, 0)) break;
            int fd = open(path, O_RDONLY);
            if (setns(fd, 0)) break;
            close(fd), close(up[0]), close(down[1]);
            waitpid(p, 0, 0);
        }
        P("chain %d\n", depth);
        _exit(0);
    }
    waitpid(first, &end, 0);
    struct stat s;
    stat("/tmp/x", &s);
    P("held %d of its root %ld umount %d\n", s.st_ino > 1000, (long)(umount2("/tmp", MNT_DETACH)), end);
    for (depth = 0; depth < 20 && !unshare(CLONE_NEWNS); depth++);
    P("again %d\n", depth);
}
/* What is mounted shows in more and more places, until there is no room. */
static void spreads(void) {
    int made = 0, doubled = 0, spaces = 0;
    mount("s", "/tmp", "tmpfs", 0, 0);
    mount(0, "/tmp", 0, MS_SHARED, 0);
    mkdir("/tmp/a", 0755), mkdir("/tmp/b", 0755);
    for (; doubled < 64 && !mount("/tmp", "/tmp/a", 0, MS_BIND | MS_REC, 0); doubled++);
    P("doubled %d %s\n", doubled, strerrorname_np(errno));
    for (; made < 20000 && !mount("x", "/tmp/b", "tmpfs", 0, "size=4k"); made++);
    P("more %d %s\n", made < 20000, strerrorname_np(errno));
    for (; spaces < 64 && !unshare(CLONE_NEWNS); spaces++);
    P("umount %d", umount2("/tmp", MNT_DETACH));
    mount("s", "/tmp", "tmpfs", 0, 0);
    P(" again %d\n", mount(0, "/tmp", 0, MS_SHARED, 0));
    mkdir("/tmp/a", 0755);
    for (made = 0; made < 1000 && !mount("/tmp", "/tmp/a", 0, MS_BIND, 0) && !umount("/tmp/a"); made++);
    P("again %d\n", made);
}
int main(int count, char **words) {
    if (!strcmp(words[1], "hidden")) hidden(atoi(words[2]));
    if (!strcmp(words[1], "detached")) detached(atoi(words[2]));
    if (!strcmp(words[1], "strangers")) strangers(atoi(words[2]));
    if (!strcmp(words[1], "remains")) remains(atoi(words[2]));
    if (!strcmp(words[1], "ends")) ends(atoi(words[2]));
    if (!strcmp(words[1], "covers")) covers(atoi(words[2]));
    if (!strcmp(words[1], "mounts")) mounts();
    if (!strcmp(words[1], "races")) races(atoi(words[2]));
    if (!strcmp(words[1], "filters")) filters();
    if (!strcmp(words[1], "many")) many();
    if (!strcmp(words[1], "itself")) itself();
    if (!strcmp(words[1], "namespaces")) namespaces();
    if (!strcmp(words[1], "chain")) chain();
    if (!strcmp(words[1], "spreads")) spreads();
    P("done\n");
}
