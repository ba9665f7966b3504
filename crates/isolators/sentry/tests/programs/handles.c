/* name_to_handle_at(2) and open_by_handle_at(2), of a folder and of a tmpfs. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
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
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
#define FID 0x200
struct handle { unsigned bytes; int type; unsigned char data[128]; };
static long name(int at, const char *path, struct handle *h, void *mount, int flags) {
    return E(syscall(SYS_name_to_handle_at, at, path, h, mount, flags));
}
static long by(int at, struct handle *h, int flags) {
    return E(syscall(SYS_open_by_handle_at, at, h, flags));
}
static void make(const char *path, const char *text) {
    int f = open(path, O_CREAT | O_RDWR, 0644);
    if (write(f, text, strlen(text)) < 0) P("write\n");
    close(f);
}
static struct handle of(const char *path) {
    struct handle h = {128};
    int mount;
    long r = name(AT_FDCWD, path, &h, &mount, 0);
    if (r) P("%s %ld\n", path, r);
    return h;
}
/* What a handle leads to. */
static void shows(const char *what, int at, struct handle *h, int flags) {
    long f = by(at, h, flags);
    char text[64] = {0}, link[64], path[300] = {0};
    if (f < 0) {
        P("%s: %ld\n", what, f);
        return;
    }
    long n = read(f, text, 60);
    snprintf(link, sizeof link, "/proc/self/fd/%ld", f);
    if (readlink(link, path, 299) < 0) P("link\n");
    char *end = strrchr(path, '/');
    P("%s: '%s' %ld %s flags %x cloexec %d\n", what, text, n < 0 ? -(long)errno : n, end ? end : path, fcntl(f, F_GETFL) & 3, fcntl(f, F_GETFD));
    close(f);
}
static void all(const char *folder) {
    struct handle h = {0}, i, j;
    int mount = -1;
    uint64_t unique = 0;
    P("\n%s %ld\n", folder[5] == 'a' ? "folder" : "tmpfs", E(chdir(folder)));
    make("file", "text"), mkdir("dir", 0755), make("dir/x", "in dir"), symlink("file", "link");
    P("small %ld", name(AT_FDCWD, "file", &h, &mount, 0)), P(" %d %d\n", h.bytes > 0, mount > 0);
    h.bytes = 129, P("large %ld", name(AT_FDCWD, "file", &h, &mount, 0));
    h.bytes = 128, P(" fits %ld", name(AT_FDCWD, "file", &h, &mount, 0)), P(" %d %d\n", h.bytes > 0 && h.bytes < 128, h.type > 0);
    P("again %ld", name(AT_FDCWD, "file", &h, &mount, 0));
    struct statx sx;
    statx(AT_FDCWD, "file", 0, STATX_MNT_ID, &sx), P(" mount %d", mount == (int)sx.stx_mnt_id);
    P(" unique %ld", name(AT_FDCWD, "file", &h, &unique, 1)), P(" %d\n", unique > 0);
    P("bad %ld", name(-1, "file", &h, &mount, 0)), P(" %ld", name(AT_FDCWD, 0, &h, &mount, 0));
    P(" %ld", name(AT_FDCWD, "file", (void *)8, &mount, 0)), P(" %ld", name(AT_FDCWD, "file", &h, (void *)8, 0));
    P(" %ld", name(AT_FDCWD, "file", &h, &mount, 0x8000)), P(" %ld", name(AT_FDCWD, "", &h, &mount, 0));
    P(" %ld", name(AT_FDCWD, "none", &h, &mount, 0)), P(" %ld\n", name(AT_FDCWD, "file", &h, &mount, FID | 2));
    i = of("file"), j = of("file"), P("same %d", !memcmp(&i, &j, 8 + i.bytes));
    j = of("dir/x"), P(" other %d", i.bytes == j.bytes && !memcmp(&i, &j, 8 + i.bytes));
    j = of("link"), P(" link %d", !memcmp(&i, &j, 8 + i.bytes));
    j.bytes = 128, P(" %ld", name(AT_FDCWD, "link", &j, &mount, AT_SYMLINK_FOLLOW)), P(" %d\n", !memcmp(&i, &j, 8 + i.bytes));
    int d = open("dir", O_RDONLY), p = open("dir", O_PATH), s = socket(AF_UNIX, SOCK_STREAM, 0);
    shows("opened", AT_FDCWD, &i, O_RDONLY), shows("writing", AT_FDCWD, &i, O_WRONLY), shows("both", d, &i, O_RDWR | O_CLOEXEC);
    P("dir %ld", name(d, "", &j, &mount, AT_EMPTY_PATH)), P(" %ld\n", name(d, "x", &j, &mount, AT_EMPTY_PATH));
    shows("in dir", d, &j, O_RDONLY);
    j = of("dir"), shows("directory", d, &j, O_RDONLY | O_DIRECTORY), shows("written", d, &j, O_RDWR), shows("not one", d, &i, O_DIRECTORY);
    j = of("link"), shows("link", AT_FDCWD, &j, O_RDONLY), shows("as a name", AT_FDCWD, &j, O_PATH);
    P("refused %ld", by(-1, &i, 0)), P(" %ld", by(p, &i, 0)), P(" %ld", by(s, &i, 0)), P(" %ld", by(AT_FDCWD, (void *)8, 0));
    h = i, h.bytes = 0, P(" %ld", by(AT_FDCWD, &h, 0)), h.bytes = 129, P(" %ld", by(AT_FDCWD, &h, 0));
    h = i, h.type = -1, P(" %ld", by(AT_FDCWD, &h, 0));
    h = i, h.bytes = 4, P(" %ld", by(AT_FDCWD, &h, 0)), h = i, memset(h.data, 0x55, 20), P(" %ld\n", by(AT_FDCWD, &h, 0));
    /* Other names of it. */
    rename("file", "moved"), shows("renamed", d, &i, O_RDONLY);
    link("moved", "second"), unlink("moved"), shows("linked", d, &i, O_RDONLY);
    j = of("dir/x"), rename("dir", "other"), shows("directory renamed", d, &j, O_RDONLY), rename("other", "dir");
    unlink("second"), shows("gone", d, &i, O_RDONLY);
    for (int n = 0; n < 20; n++) {
        char next[20];
        snprintf(next, sizeof next, "next%d", n), make(next, "another");
        h = of(next);
        if (!memcmp(&i, &h, 8 + i.bytes)) P("the same handle\n");
        unlink(next);
    }
    shows("still gone", d, &i, O_RDONLY);
    make("a", "first"), make("b", "second"), i = of("a"), j = of("b"), rename("b", "a");
    shows("replaced", d, &i, O_RDONLY), shows("in its place", d, &j, O_RDONLY);
    /* Who may. */
    pid_t child = fork();
    if (!child) {
        if (setresuid(1000, 1000, 1000)) _exit(1);
        P("user %ld", by(d, &j, 0)), h.bytes = 128, P(" %ld\n", name(AT_FDCWD, "a", &h, &mount, 0));
        _exit(0);
    }
    waitpid(child, 0, 0);
    child = fork();
    if (!child) {
        P("namespace %ld", E(unshare(CLONE_NEWUSER))), P(" %ld\n", by(d, &j, 0));
        _exit(0);
    }
    waitpid(child, 0, 0);
    close(d), close(p), close(s);
}
int main(void) {
    struct handle h = {128};
    char folder[] = "/bin/aXXXXXX", memory[] = "/dev/tXXXXXX";
    int id;
    memcpy(memory, "/tmp/t", 6);
    if (!mkdtemp(folder) || !mkdtemp(memory)) P("no folder %d\n", errno);
    P("tmpfs %ld\n", E(mount("none", memory, "tmpfs", 0, 0)));
    all(folder), all(memory);
    /* Another file system's. */
    h = of("a");
    int b = open(folder, O_RDONLY);
    P("elsewhere %ld\n", by(b, &h, 0));
    h.bytes = 128, P("proc %ld", name(AT_FDCWD, "/proc/filesystems", &h, &id, 0)), P(" %ld\n", name(AT_FDCWD, "/proc/filesystems", &h, &id, FID));
    P("read-only %ld", E(mount("none", memory, 0, MS_REMOUNT | MS_BIND | MS_RDONLY, 0)));
    b = open(memory, O_RDONLY), h = of(memory), P("\n"), P("root %d\n", by(b, &h, O_RDONLY | O_DIRECTORY) > 0);
    chdir(memory), h = of("a"), shows("writing", b, &h, O_RDWR), shows("reading", b, &h, O_RDONLY);
    P("done\n");
}
