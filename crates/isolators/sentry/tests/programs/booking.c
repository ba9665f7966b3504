/* Room of a tmpfs: what there is is there to the byte, whoever takes and gives at once. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(r) ({ long r_ = (r); r_ < 0 ? -errno : r_; })
static char bytes[1 << 20];
static void room(const char *what) {
    struct statfs s;
    statfs("/tmp/t", &s);
    P("%s: blocks %ld of %ld, files %ld of %ld\n", what, (long)(s.f_blocks - s.f_bfree), (long)s.f_blocks, (long)(s.f_files - s.f_ffree), (long)s.f_files);
}
static long blocks(int fd) { struct stat s; fstat(fd, &s); return s.st_blocks; }
static long size(int fd) { struct stat s; fstat(fd, &s); return s.st_size; }
static void mounted(const char *options) { umount("/tmp/t"); P("mount %ld\n", E(mount("t", "/tmp/t", "tmpfs", 0, options))); }

static void parts(void) {
    mounted("size=256k,nr_inodes=20");
    room("empty");
    int a = open("/tmp/t/a", O_CREAT | O_RDWR, 0600), b = open("/tmp/t/b", O_CREAT | O_RDWR, 0600);
    P("write %ld\n", E(write(a, bytes, 300000)));
    P("more %ld\n", E(write(a, bytes, 1)));
    P("other %ld\n", E(write(b, bytes, 1)));
    room("full");
    P("again %ld\n", E(pwrite(a, bytes, 200000, 0)));
    P("over the end %ld\n", E(pwrite(a, bytes, 10, 256 * 1024 - 5)));
    P("cut %ld\n", E(ftruncate(a, 250000)));
    room("cut");
    P("rest %ld\n", E(write(b, bytes, 10000)));
    P("append %ld %ld\n", E(pwrite(a, bytes, 20000, 250000)), size(a));
    P("punch %ld\n", E(fallocate(a, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8192, 16384)));
    room("punched");
    P("blocks %ld\n", blocks(a));
    P("fill %ld\n", E(pwrite(b, bytes, 100000, 10000)));
    P("holes %ld\n", E(pwrite(a, bytes, 100000, 0)));
    P("beside %ld\n", E(pwrite(a, bytes, 100000, 24576)));
    P("cut %ld\n", E(ftruncate(b, 4096)));
    P("sparse %ld %ld\n", E(ftruncate(b, 1 << 30)), blocks(b));
    room("sparse");
    P("far %ld %ld\n", E(pwrite(b, bytes, 100, 1 << 20)), blocks(b));
    P("allocate too much %ld\n", E(fallocate(b, 0, 0, 1 << 19)));
    P("allocate more than is left %ld %ld\n", E(fallocate(b, 0, 0, 200000)), blocks(b));
    room("not allocated");
    P("cut %ld\n", E(ftruncate(a, 8192)));
    P("allocate %ld %ld\n", E(fallocate(b, FALLOC_FL_KEEP_SIZE, 4096, 200000)), blocks(b));
    P("allocate again %ld %ld\n", E(fallocate(b, 0, 4096, 200000)), blocks(b));
    P("write it %ld\n", E(pwrite(b, bytes, 200000, 4096)));
    P("modes %ld %ld %ld\n", E(fallocate(b, FALLOC_FL_COLLAPSE_RANGE, 0, 4096)), E(fallocate(b, FALLOC_FL_ZERO_RANGE, 0, 4096)), E(fallocate(b, FALLOC_FL_PUNCH_HOLE, 0, 4096)));
    room("allocated");
    int c = open("/tmp/t/c", O_CREAT | O_RDWR, 0600);
    P("small and sparse %ld %ld\n", E(ftruncate(c, 20000)), blocks(c));
    unlink("/tmp/t/a");
    room("unlinked");
    close(a);
    room("closed");
    P("one page of it %ld %ld\n", E(pwrite(c, "x", 1, 9000)), blocks(c));
    close(b), close(c);
    unlink("/tmp/t/b"), unlink("/tmp/t/c");
    room("none");
    mounted("size=5000");
    room("not in pages");
}

/* What was allocated before a try that fails is there after it, and nothing else. */
static void tries(void) {
    for (int ahead = 0; ahead < 2; ahead++) {
        mounted("size=256k");
        int a = open("/tmp/t/a", O_CREAT | O_RDWR, 0600), b = open("/tmp/t/b", O_CREAT | O_RDWR, 0600);
        int how = ahead ? FALLOC_FL_KEEP_SIZE : 0;
        if (!ahead) ftruncate(a, 400000);
        P("some %ld %ld\n", E(fallocate(a, how, 16384, 32768)), blocks(a));
        P("written %ld %ld\n", E(pwrite(a, bytes, 5, 100000)), blocks(a));
        P("other %ld %ld\n", E(fallocate(b, 0, 0, 131072)), blocks(b));
        for (int i = 0; i < 2; i++) {
            P("too much %ld %ld\n", E(fallocate(a, how, 8192, 200000)), blocks(a));
            room("as before");
        }
        P("the same %ld %ld\n", E(fallocate(a, how, 16384, 32768)), blocks(a));
        P("holes %ld %ld %ld\n", E(lseek(a, 0, SEEK_DATA)), E(lseek(a, 16384, SEEK_HOLE)), E(lseek(a, 49152, SEEK_DATA)));
        P("rest %ld %ld %ld\n", E(fallocate(a, how, 0, 100000)), blocks(a), size(a));
        room("more");
        P("fill %ld\n", E(fallocate(b, FALLOC_FL_KEEP_SIZE, 131072, 24576)));
        P("in place %ld %ld\n", E(fallocate(a, how, 0, 100000)), E(pwrite(a, bytes, 90000, 1000)));
        room("full");
        /* Pages that are there need no room, also while there are holes elsewhere. */
        P("over them %ld\n", E(pwrite(a, bytes, 5000, 99000)));
        close(a), close(b);
    }
    /* Programs that have it mapped may have got more than there is: then still what needs nothing is done. */
    mounted("size=64k,nr_inodes=20");
    int a = open("/tmp/t/a", O_CREAT | O_RDWR, 0600);
    P("fill %ld\n", E(write(a, bytes, 65536)));
    P("file %ld directory %ld cut %ld\n", E(open("/tmp/t/c", O_CREAT | O_RDWR, 0600) > 0), E(mkdir("/tmp/t/d", 0700)), E(truncate("/tmp/t/c", 100)));
    close(a);
}

static void names(void) {
    mounted("size=64k,nr_inodes=8");
    char text[300], name[64];
    int n;
    close(open("/tmp/t/f", O_CREAT | O_RDWR, 0600));
    for (n = 0; n < 20; n++) { sprintf(name, "/tmp/t/l%d", n); if (link("/tmp/t/f", name)) break; }
    P("links %d %s\n", n, strerrorname_np(errno));
    P("file %ld\n", E(open("/tmp/t/g", O_CREAT | O_RDWR, 0600)));
    room("links");
    P("over another %ld\n", E(rename("/tmp/t/l0", "/tmp/t/l1")));
    room("renamed");
    P("over a file %ld %ld\n", E(mkdir("/tmp/t/d", 0700)), E(rename("/tmp/t/l2", "/tmp/t/l3")));
    unlink("/tmp/t/f");
    room("first");
    for (int i = 0; i < 20; i++) { sprintf(name, "/tmp/t/l%d", i); unlink(name); }
    rmdir("/tmp/t/d");
    room("gone");
    int fd = open("/tmp/t", O_TMPFILE | O_RDWR, 0600);
    room("unnamed");
    sprintf(name, "/proc/self/fd/%d", fd);
    P("named %ld\n", E(linkat(AT_FDCWD, name, AT_FDCWD, "/tmp/t/n", AT_SYMLINK_FOLLOW)));
    room("named");
    close(fd);
    unlink("/tmp/t/n");
    memset(text, 'x', sizeof text);
    for (int i = 126; i < 130; i++) {
        text[i] = 0;
        struct stat s = {0};
        P("link of %d: %ld", i, E(symlink(text, "/tmp/t/s")));
        lstat("/tmp/t/s", &s);
        P(" %ld %ld\n", (long)s.st_size, (long)s.st_blocks);
        room("link");
        unlink("/tmp/t/s");
        text[i] = 'x';
    }
    room("none");
}

static void attributes(void) {
    mounted("size=64k,nr_inodes=8");
    char name[64];
    int n;
    close(open("/tmp/t/f", O_CREAT | O_RDWR, 0600));
    for (int kind = 0; kind < 3; kind++) {
        for (n = 0; n < 100; n++) {
            sprintf(name, "%s.%d", (char *[]){"user", "trusted", "security"}[kind], n);
            if (setxattr("/tmp/t/f", name, bytes, 300, 0)) break;
        }
        P("attributes %d %s\n", n, strerrorname_np(errno));
        room("attributes");
        P("another %ld\n", E(setxattr("/tmp/t/f", name, bytes, 4000, 0)));
        P("in place %ld\n", E(setxattr("/tmp/t/f", kind ? kind == 1 ? "trusted.0" : "security.0" : "user.0", bytes, 301, 0)));
        room("the same");
        for (n = 0; n < 100; n++) {
            sprintf(name, "%s.%d", (char *[]){"user", "trusted", "security"}[kind], n);
            if (removexattr("/tmp/t/f", name)) break;
        }
        P("removed %d %s\n", n, strerrorname_np(errno));
        room("removed");
    }
    setxattr("/tmp/t/f", "user.x", bytes, 2000, 0);
    room("with one");
    unlink("/tmp/t/f");
    room("none");
}

/* What has ended gives its memory back in a moment. */
static void room_again(const char *what) {
    struct statfs s;
    for (int i = 0; i < 2000 && !statfs("/tmp/t", &s) && (s.f_blocks != s.f_bfree || s.f_files != s.f_ffree + 1); i++) usleep(1000);
    room(what);
}
/* What is mapped has its room until it no longer is. */
static char *kept(int how, int length) {
    int fd = open("/tmp/t/f", O_CREAT | O_RDWR, 0600);
    write(fd, bytes, length);
    char *at = mmap(0, length, PROT_READ | PROT_WRITE, how, fd, 0);
    close(fd);
    unlink("/tmp/t/f");
    return at;
}
static void mapped(void) {
    mounted("size=4m,nr_inodes=40");
    int size = 1 << 18, status;
    for (int private = 0; private < 2; private++) {
        char *at = kept(private ? MAP_PRIVATE : MAP_SHARED, size);
        room("mapped");
        P("content %d\n", at[size - 1]);
        munmap(at + size / 4, size / 4);
        room("in parts");
        at = mremap(at + size / 2, size / 2, size / 4, 0);
        room("cut");
        pid_t child = fork();
        if (!child) { room("child"); char *other = mremap(at, size / 4, size / 4, MREMAP_MAYMOVE | MREMAP_FIXED, at + size); P("moved %d\n", *other == 'b'); _exit(0); }
        waitpid(child, &status, 0);
        munmap(at, size / 4);
        munmap(at - size / 2, size / 4);
        room_again("parts gone");
    }
    for (int i = 0; i < 20; i++) if (kept(MAP_SHARED, size) == MAP_FAILED) { P("kept %d %d\n", i, errno); break; }
    room("many");
    pid_t child = fork();
    if (!child) {
        int from = open("/proc/self/exe", O_RDONLY), to = open("/tmp/t/program", O_CREAT | O_WRONLY, 0700);
        for (long n; (n = read(from, bytes, sizeof bytes)) > 0;) write(to, bytes, n);
        close(to);
        execl("/tmp/t/program", "program", "kept", NULL);
        _exit(1);
    }
    waitpid(child, &status, 0);
    P("ended %d\n", status);
}

static volatile int over;
static void *work(void *of) {
    unsigned seed = (long)of;
    char name[64];
    for (int i = 0; i < 3000; i++) {
        sprintf(name, "/tmp/t/%d", rand_r(&seed) % 4);
        int fd = open(name, O_CREAT | O_RDWR | (rand_r(&seed) % 2 ? O_APPEND : 0), 0600);
        if (fd < 0) continue;
        unsigned at = rand_r(&seed) % 400000, n = rand_r(&seed) % 90000;
        switch (rand_r(&seed) % 9) {
        case 0: case 1: case 2: pwrite(fd, bytes, n, at); break;
        case 3: ftruncate(fd, at); break;
        case 4: fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, n); break;
        case 5: fallocate(fd, rand_r(&seed) % 2 ? FALLOC_FL_KEEP_SIZE : 0, at, n + 1); break;
        case 6: unlink(name); break;
        case 7: fsetxattr(fd, "user.x", bytes, n % 3000, 0); break;
        case 8: sprintf(name + 20, "/tmp/t/%d", rand_r(&seed) % 4); if (rand_r(&seed) % 2) rename(name, name + 20); else link(name, name + 20); break;
        }
        struct statfs s;
        fstatfs(fd, &s);
        if (s.f_bfree > s.f_blocks || s.f_ffree > s.f_files) over = 1;
        struct stat t;
        fstat(fd, &t);
        if (t.st_blocks > 512000 / 512 + 8) over = 2;
        close(fd);
    }
    return 0;
}
static void together(void) {
    mounted("size=500k,nr_inodes=7");
    pthread_t t[6];
    for (long i = 0; i < 6; i++) pthread_create(&t[i], 0, work, (void *)i);
    for (int i = 0; i < 6; i++) pthread_join(t[i], 0);
    P("over %d\n", over);
    long sum = 0;
    struct statfs s;
    statfs("/tmp/t", &s);
    struct stat seen[4] = {0};
    for (int i = 0; i < 4; i++) {
        char name[64];
        sprintf(name, "/tmp/t/%d", i);
        if (stat(name, &seen[i])) continue;
        int first = 1;
        for (int j = 0; j < i; j++) first &= seen[j].st_ino != seen[i].st_ino;
        if (first) sum += seen[i].st_blocks / 8;
    }
    P("counted %d\n", sum == s.f_blocks - s.f_bfree);
    for (int i = 0; i < 4; i++) { char name[64]; sprintf(name, "/tmp/t/%d", i); unlink(name); }
    room("none");
}

int main(int count, char **words) {
    (void)words;
    if (count > 1) { P("unlinked %ld\n", E(unlink("/tmp/t/program"))); room("executed"); return 0; }
    memset(bytes, 'b', sizeof bytes);
    mkdir("/tmp/t", 0700);
    parts();
    tries();
    names();
    attributes();
    together();
    mounted("size=4m");
    pid_t child = fork();
    if (!child) { mapped(); _exit(0); }
    siginfo_t info;
    waitid(P_PID, child, &info, WEXITED | WNOWAIT);
    room_again("ended");
    waitpid(child, 0, 0);
    umount("/tmp/t");
    rmdir("/tmp/t");
    P("done\n");
}
