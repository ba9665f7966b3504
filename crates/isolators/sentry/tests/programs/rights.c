// What files give to who executes them, and who may link and move what: compared with Linux.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static const char *name(long r) { return r >= 0 ? "ok" : strerrorname_np(errno); }
#define TRY(call) printf("%s: %s\n", #call, name(call))

static void mode(const char *what, const char *path) {
    struct stat s;
    if (lstat(path, &s)) printf("%s %s: %s\n", what, path, name(-1));
    else printf("%s %s: %o %d %d\n", what, path, s.st_mode, s.st_uid, s.st_gid);
}
static void become(unsigned user) { setgroups(0, 0), setresgid(user, user, user), setresuid(user, user, user); }
/* As somebody else. */
#define AS(user, ...) ({ fflush(stdout); if (!fork()) { become(user); __VA_ARGS__; fflush(stdout); _exit(0); } wait(0); })

static void made(void) {
    mkdir("s", 0777), chown("s", 0, 50), chmod("s", 02777);
    AS(1000, {
        close(open("s/program", O_CREAT | O_WRONLY, 02777));
        close(open("s/locks", O_CREAT | O_WRONLY, 02767));
        mknod("s/node", S_IFREG | 02770, 0);
        mkfifo("s/fifo", 02770);
        int fd = open("s", O_TMPFILE | O_WRONLY, 02770);
        char own[64];
        sprintf(own, "/proc/self/fd/%d", fd);
        TRY(linkat(AT_FDCWD, own, AT_FDCWD, "s/unnamed", AT_SYMLINK_FOLLOW));
        mkdir("s/below", 02770);
    });
    AS(50, close(open("s/member", O_CREAT | O_WRONLY, 02777)));
    close(open("s/root", O_CREAT | O_WRONLY, 02777));
    for (char **p = (char *[]){"s/program", "s/locks", "s/node", "s/unnamed", "s/below", "s/member", "s/root", 0}; *p; p++)
        mode("made", *p), remove(*p);
    remove("s/fifo");
    rmdir("s");
}

/* VFS_CAP_REVISION_2, permitted CAP_CHOWN. */
static const unsigned CAPS[5] = {0x2000000, 1, 0, 0, 0};
static void arm(unsigned bits) {
    unlink("f");
    int fd = open("f", O_CREAT | O_WRONLY | O_TRUNC, 0600);
    write(fd, "text", 4), close(fd);
    chmod("f", bits);
    printf("arm %s\n", name(setxattr("f", "security.capability", CAPS, sizeof CAPS, 0)));
}
static void armed(const char *what) {
    char value[64];
    long length = getxattr("f", "security.capability", value, sizeof value);
    printf("capability %ld ", length < 0 ? -1 : length);
    mode(what, "f");
}
static void written(void) {
    for (unsigned *bits = (unsigned[]){06777, 04711, 0}; *bits; bits++) {
        arm(*bits), AS(1000, { int fd = open("f", O_WRONLY); TRY(write(fd, "", 0)); });
        armed("nothing");
        AS(1000, { int fd = open("f", O_WRONLY); TRY(write(fd, "x", 1)); });
        armed("write");
        arm(*bits), AS(1000, TRY(open("f", O_WRONLY | O_TRUNC)));
        armed("open");
        arm(*bits), AS(1000, TRY(truncate("f", 2)));
        armed("truncate");
        arm(*bits), AS(1000, { int fd = open("f", O_WRONLY); TRY(ftruncate(fd, 2)); });
        armed("ftruncate");
    }
    arm(04755);
    int fd = open("f", O_WRONLY);
    TRY(write(fd, "root", 4));
    close(fd);
    armed("root");
    arm(06755);
    TRY(chown("f", 1000, -1));
    armed("chown");
    unlink("f");
}

static void moved(void) {
    mkdir("a", 0777), mkdir("b", 0777), chmod("a", 0777), chmod("b", 0777);
    AS(1000, {
        mkdir("a/mine", 0500), mkdir("b/other", 0500);
        TRY(rename("a/mine", "a/same"));
        TRY(rename("a/same", "b/mine"));
        TRY(renameat2(AT_FDCWD, "a/same", AT_FDCWD, "b/other", RENAME_EXCHANGE));
        chmod("a/same", 0700);
        TRY(renameat2(AT_FDCWD, "a/same", AT_FDCWD, "b/other", RENAME_EXCHANGE));
        TRY(rename("a/same", "b/mine"));
        mode("moved", "b/mine");
    });
    rmdir("a/same"), rmdir("b/mine"), rmdir("b/other"), rmdir("a"), rmdir("b");
}

static void linked(void) {
    close(open("f", O_CREAT | O_WRONLY, 0666));
    chown("f", 1000, 1000);
    int fd = open("f", O_RDONLY);
    AS(1000, {
        TRY(linkat(fd, "", AT_FDCWD, "g", AT_EMPTY_PATH));
    });
    TRY(linkat(fd, "", AT_FDCWD, "g", AT_EMPTY_PATH));
    close(fd), unlink("f"), unlink("g");
}

int main(void) {
    umask(0);
    mkdir("/tmp/rights", 0777), mkdir("/tmp/rights/memory", 0777);
    printf("mount %s\n", name(mount("none", "/tmp/rights/memory", "tmpfs", 0, "mode=777")));
    for (int memory = 0; memory < 2; memory++) {
        chdir(memory ? "/tmp/rights/memory" : "/tmp/rights");
        made();
        if (memory) written();
        moved();
        linked();
    }
    chdir("/");
    TRY(umount("/tmp/rights/memory"));
    TRY(rmdir("/tmp/rights/memory"));
    TRY(rmdir("/tmp/rights"));
    puts("done");
}
