/* Names that leave a mark, links to links, what statx(2) tells, sizes of pipes. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <dirent.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(r) ({ long r_ = (r); r_ < 0 ? -errno : r_; })
int lstat(const char *, void *);
static long statx_of(int fd, const char *path, int flags, struct statx *s) { return E(syscall(SYS_statx, fd, path, flags, 0xfff, s)); }
static void told(const char *path) {
    struct statx s;
    long r = statx_of(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, &s);
    if (r) P("%s %ld\n", path, r);
    else P("%s %o links %d number %d:%d owner %d:%d\n", path, s.stx_mode, s.stx_nlink, s.stx_rdev_major, s.stx_rdev_minor, s.stx_uid, s.stx_gid);
}
static long renames(const char *a, const char *b, int flags) { return E(syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, flags)); }
static void made(const char *path) { close(open(path, O_CREAT | O_WRONLY, 0644)); }
static void whiteouts(void) {
    made("/tmp/t/a"), made("/tmp/t/b"), mkdir("/tmp/t/d", 0700);
    P("mark %ld\n", renames("/tmp/t/a", "/tmp/t/c", 4));
    told("/tmp/t/a"), told("/tmp/t/c");
    P("over %ld\n", renames("/tmp/t/b", "/tmp/t/c", 4));
    told("/tmp/t/b"), told("/tmp/t/c");
    P("folder %ld\n", renames("/tmp/t/d", "/tmp/t/e", 4));
    told("/tmp/t/d"), told("/tmp/t/e"), told("/tmp/t");
    P("opens %ld\n", E(open("/tmp/t/d", O_RDONLY)));
    P("flags %ld %ld %ld\n", renames("/tmp/t/c", "/tmp/t/x", 4 | 2), renames("/tmp/t/c", "/tmp/t/e", 4 | 1), renames("/tmp/t/c", "/tmp/t/x", 8));
    P("mark of a mark %ld\n", renames("/tmp/t/a", "/tmp/t/m", 4));
    told("/tmp/t/a"), told("/tmp/t/m");
    P("same %ld\n", renames("/tmp/t/c", "/tmp/t/c", 4));
    fflush(stdout);
    pid_t p = fork();
    if (!p) {
        setgid(1000), setuid(1000);
        made("/tmp/t/own");
        P("of a user %ld\n", renames("/tmp/t/own", "/tmp/t/other", 4));
        told("/tmp/t/own");
        _exit(0);
    }
    waitpid(p, 0, 0);
    /* Each is a file. */
    int n = 0;
    for (;; n++) { char name[32]; sprintf(name, "/tmp/t/n%d", n); if (open(name, O_CREAT | O_WRONLY, 0600) < 0) break; }
    P("full %ld\n", renames("/tmp/t/c", "/tmp/t/y", 4));
    told("/tmp/t/c");
    DIR *d = opendir("/tmp/t");
    int marks = 0;
    for (struct dirent *e; (e = readdir(d));) marks += e->d_type == DT_CHR;
    closedir(d);
    P("marks %d\n", marks);
}
static void links(const char *at) {
    char a[64], b[64], c[64];
    sprintf(a, "%s/s", at), sprintf(b, "%s/h", at), sprintf(c, "%s/f", at);
    P("symlink %ld\n", E(symlink("/nowhere", a)));
    P("link %ld\n", E(link(a, b)));
    told(a), told(b);
    P("followed %ld\n", E(linkat(AT_FDCWD, a, AT_FDCWD, c, AT_SYMLINK_FOLLOW)));
    int fd = open(a, O_PATH | O_NOFOLLOW);
    P("of a name %ld\n", E(linkat(fd, "", AT_FDCWD, c, AT_EMPTY_PATH)));
    told(c);
    char text[64] = "";
    readlink(b, text, 63);
    P("leads %s\n", text);
    unlink(a), unlink(b), unlink(c);
}
static void extended(void) {
    struct statx s;
    struct timeval now;
    made("/tmp/t/z");
    gettimeofday(&now, 0);
    const char *paths[] = {"/tmp/t", "/tmp/t/z"};
    for (int i = 0; i < 2; i++) {
        P("statx %ld\n", statx_of(AT_FDCWD, paths[i], 0, &s));
        P("made %d %d attributes %lx of %lx\n", !!(s.stx_mask & STATX_BTIME), now.tv_sec - s.stx_btime.tv_sec < 60, (long)s.stx_attributes, (long)s.stx_attributes_mask);
    }
    struct timespec t[2] = {{5, 0}, {6, 0}};
    int64_t before = s.stx_btime.tv_nsec;
    utimensat(AT_FDCWD, "/tmp/t/z", t, 0);
    statx_of(AT_FDCWD, "/tmp/t/z", 0, &s);
    P("stays %d times %ld %ld\n", before == s.stx_btime.tv_nsec, (long)s.stx_atime.tv_sec, (long)s.stx_mtime.tv_sec);
    int fd = memfd_create("m", 0);
    P("memory %ld made %d\n", statx_of(fd, "", AT_EMPTY_PATH, &s), !!(s.stx_mask & STATX_BTIME));
    P("errors %ld %ld %ld\n", statx_of(AT_FDCWD, "/tmp/t/z", 0x6000, &s), statx_of(AT_FDCWD, "", 0, &s), E(syscall(SYS_statx, AT_FDCWD, "/tmp", 0, 1 << 31, &s)));
}
static void pipes(void) {
    int p[2];
    char bytes[65536] = "";
    pipe(p);
    P("size %ld\n", E(fcntl(p[0], F_GETPIPE_SZ)));
    static const long sizes[] = {0, 1, 4096, 4097, 65536, 100000, 1 << 20, (1L << 31) + 1};
    for (int i = 0; i < sizeof sizes / sizeof *sizes; i++) P("%ld: %ld now %ld\n", sizes[i], E(fcntl(p[1], F_SETPIPE_SZ, sizes[i])), E(fcntl(p[0], F_GETPIPE_SZ)));
    fcntl(p[1], F_SETFL, O_NONBLOCK);
    long n = 0, r;
    while ((r = write(p[1], bytes, 4096)) > 0) n += r;
    P("holds %ld\n", n);
    P("busy %ld %ld\n", E(fcntl(p[1], F_SETPIPE_SZ, 4096)), E(fcntl(p[1], F_SETPIPE_SZ, 1 << 20)));
    read(p[0], bytes, 65536);
    P("less %ld\n", E(fcntl(p[1], F_SETPIPE_SZ, 1 << 19)));
    fcntl(p[1], F_SETPIPE_SZ, 4096);
    int fd = open("/tmp/t/q", O_CREAT | O_RDWR, 0600);
    P("file %ld %ld\n", E(fcntl(fd, F_GETPIPE_SZ)), E(fcntl(fd, F_SETPIPE_SZ, 4096)));
    fflush(stdout);
    pid_t c = fork();
    if (!c) { setuid(1000); int q[2]; pipe(q); P("user %ld %ld\n", E(fcntl(q[0], F_SETPIPE_SZ, 1 << 20)), E(fcntl(q[0], F_SETPIPE_SZ, 1 << 21))); _exit(0); }
    waitpid(c, 0, 0);
}
/* Trees of mounts that no namespace has, by whatever leads to them. */
static void trees(void) {
    mkdir("/tmp/t/at", 0755), mkdir("/tmp/t/from", 0755), mkdir("/tmp/t/from/in", 0755);
    made("/tmp/t/from/in/x");
    for (int way = 0; way < 4; way++) {
        char path[64];
        int tree = syscall(428, AT_FDCWD, "/tmp/t/from", 1), dot = openat(tree, ".", O_PATH), in = openat(tree, "in", O_PATH);
        sprintf(path, "/proc/self/fd/%d", tree);
        long r = -1;
        if (way == 0) r = E(syscall(429, tree, "", AT_FDCWD, "/tmp/t/at", 4));
        if (way == 1) r = E(syscall(429, dot, "", AT_FDCWD, "/tmp/t/at", 4));
        if (way == 2) r = E(syscall(429, AT_FDCWD, path, AT_FDCWD, "/tmp/t/at", 1));
        if (way == 3) r = E(syscall(429, tree, ".", AT_FDCWD, "/tmp/t/at", 0));
        P("way %d: %ld there %ld", way, r, E(access("/tmp/t/at/in/x", F_OK)));
        P(" again %ld inner %ld\n", E(syscall(429, tree, "", AT_FDCWD, "/tmp/t/at", 4)), E(syscall(429, in, "", AT_FDCWD, "/tmp/t/at", 4)));
        while (!umount2("/tmp/t/at", MNT_DETACH));
        close(tree), close(dot), close(in);
    }
    int tree = syscall(428, AT_FDCWD, "/tmp/t/from", 1), dot = openat(tree, ".", O_PATH);
    uint64_t set[4] = {1};
    P("read-only %ld", E(syscall(442, dot, "", AT_EMPTY_PATH, set, sizeof set)));
    P(" %ld\n", E(openat(tree, "y", O_CREAT | O_WRONLY, 0600)));
    close(tree);
    P("gone %ld\n", E(syscall(429, dot, "", AT_FDCWD, "/tmp/t/at", 4)));
    close(dot);
    unlink("/tmp/t/from/in/x"), rmdir("/tmp/t/from/in"), rmdir("/tmp/t/from"), rmdir("/tmp/t/at");
}
int main(void) {
    umask(022);
    mkdir("/tmp/t", 0777);
    links("/tmp");
    mount("t", "/tmp/t", "tmpfs", 0, "nr_inodes=30");
    links("/tmp/t");
    extended();
    trees();
    pipes();
    umount("/tmp/t");
    mount("t", "/tmp/t", "tmpfs", 0, "nr_inodes=30,mode=777");
    whiteouts();
    umount("/tmp/t");
    rmdir("/tmp/t");
    P("done\n");
}
