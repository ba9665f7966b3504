/* Files without names: their attributes are changed as those of others, and they are executed. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(r) ({ long r_ = (r); r_ < 0 ? -errno : r_; })
#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif
static void told(const char *what, int fd) {
    struct stat s;
    fstat(fd, &s);
    P("%s: %o %d:%d %d times %ld.%ld %ld\n", what, s.st_mode, s.st_uid, s.st_gid, (int)s.st_nlink, (long)s.st_atim.tv_sec, (long)s.st_atim.tv_nsec, (long)s.st_mtim.tv_sec);
}
static void attributes(const char *what, int fd) {
    char path[64];
    sprintf(path, "/proc/self/fd/%d", fd);
    struct timespec t[2] = {{1000, 5}, {2000, 6}};
    P("%s: chmod %ld", what, E(fchmod(fd, 04751)));
    P(" times %ld\n", E(futimens(fd, t)));
    told(what, fd);
    P("%s: chown %ld", what, E(fchown(fd, 5, 6)));
    P(" by path %ld", E(chmod(path, 0640)));
    P(" %ld", E(chown(path, -1, 7)));
    t[0].tv_sec = 3000;
    P(" %ld", E(utimensat(AT_FDCWD, path, t, 0)));
    P(" empty %ld %ld\n", E(syscall(452, fd, "", 0644, AT_EMPTY_PATH)), E(fchownat(fd, "", 8, -1, AT_EMPTY_PATH)));
    told(what, fd);
    fflush(stdout);
    pid_t p = fork();
    if (!p) {
        setuid(1000);
        P("%s: others %ld %ld %ld\n", what, E(fchmod(fd, 0600)), E(fchown(fd, 1000, -1)), E(futimens(fd, t)));
        _exit(0);
    }
    waitpid(p, 0, 0);
}
static void all(void) {
    int p[2], s[2];
    pipe(p);
    socketpair(AF_UNIX, SOCK_STREAM, 0, s);
    attributes("memory", memfd_create("m", 0));
    attributes("pipe", p[0]);
    told("other end", p[1]);
    attributes("pair", s[0]);
    attributes("tcp", socket(AF_INET, SOCK_STREAM, 0));
    int other[] = {eventfd(0, 0), epoll_create1(0)};
    for (int i = 0; i < 2; i++) P("%d: %ld %ld %ld\n", i, E(fchmod(other[i], 0600)), E(fchown(other[i], 1, 1)), E(futimens(other[i], 0)));
    mkfifo("/tmp/fifo", 0600);
    attributes("fifo", open("/tmp/fifo", O_RDWR));
    unlink("/tmp/fifo");
    int path = open("/tmp", O_PATH);
    P("path %ld %ld\n", E(fchmod(path, 0755)), E(fchown(path, 0, 0)));
}
static void seals(void) {
    static const int flags[] = {0, 1, 2, 8, 10, 16, 18, 24, 32, 4, 4 | 21 << 26, 21 << 26};
    for (int i = 0; i < sizeof flags / sizeof *flags; i++) {
        int fd = syscall(SYS_memfd_create, "s", flags[i]);
        if (flags[i] & 4) { close(fd); continue; }
        if (fd < 0) { P("create %x: %ld\n", flags[i], E(fd)); continue; }
        struct stat s;
        fstat(fd, &s);
        P("create %x: mode %o seals %ld write %ld", flags[i], s.st_mode, E(fcntl(fd, F_GET_SEALS)), E(write(fd, "abc", 3)));
        P(" exec %ld chmod %ld", E(fcntl(fd, F_ADD_SEALS, 0x20)), E(fchmod(fd, 0711)));
        P(" then %ld write %ld chmod %ld shrink %ld\n", E(fcntl(fd, F_GET_SEALS)), E(write(fd, "abc", 3)), E(fchmod(fd, 0600)), E(ftruncate(fd, 0)));
        P(" more %ld %ld %ld\n", E(fcntl(fd, F_ADD_SEALS, 0x40)), E(fcntl(fd, F_ADD_SEALS, 8)), E(fcntl(fd, F_ADD_SEALS, 1)));
        P(" last %ld\n", E(fcntl(fd, F_ADD_SEALS, 2)));
    }
    int fd = memfd_create("r", MFD_ALLOW_SEALING);
    char path[64], text[128] = "";
    sprintf(path, "/proc/self/fd/%d", fd);
    write(fd, "content", 7);
    int r = open(path, O_RDONLY), w = open(path, O_RDWR | O_APPEND);
    P("again %ld %ld\n", E(fcntl(r, F_ADD_SEALS, 2)), E(fcntl(w, F_ADD_SEALS, F_SEAL_SHRINK)));
    P("seals %ld cut %ld open %ld\n", E(fcntl(r, F_GET_SEALS)), E(ftruncate(fd, 3)), E(open(path, O_RDWR | O_TRUNC)));
    P("append %ld\n", E(write(w, "x", 1)));
    readlink(path, text, sizeof text);
    P("link %s\n", text);
    struct statfs f;
    fstatfs(fd, &f);
    P("file system %lx\n", (long)f.f_type);
    P("attribute %ld %ld\n", E(fsetxattr(fd, "trusted.a", "v", 1, 0)), E(fgetxattr(r, "trusted.a", text, 10)));
    P("name it %ld %ld\n", E(linkat(fd, "", AT_FDCWD, "/tmp/named", AT_EMPTY_PATH)), E(linkat(AT_FDCWD, path, AT_FDCWD, "/tmp/named", AT_SYMLINK_FOLLOW)));
    P("long name %ld %ld\n", E(memfd_create("0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789", 0)) > 0, E(memfd_create("01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890", 0)));
    void *m = mmap(0, 4096, PROT_READ, MAP_SHARED, r, 0);
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    while (fgets(line, sizeof line, maps)) if (strstr(line, "memfd")) P("%s", strchr(line, '/'));
    fclose(maps);
}
static char *arguments[] = {"again", "told", NULL}, *variables[] = {NULL};
static int in_memory(const char *name, const void *bytes, size_t n, int flags) {
    int fd = memfd_create(name, flags);
    write(fd, bytes, n);
    return fd;
}
static void runs(const char *what, int fd, const char *path, int flags) {
    fflush(stdout);
    pid_t p = fork();
    if (!p) {
        execveat(fd, path, arguments, variables, flags);
        P("%s: %s\n", what, strerrorname_np(errno));
        _exit(9);
    }
    int st;
    waitpid(p, &st, 0);
    P("%s ends %x\n", what, st);
}
static void executes(void) {
    static char bytes[4 << 20];
    int self = open("/proc/self/exe", O_RDONLY);
    long n = read(self, bytes, sizeof bytes);
    int fd = in_memory("program", bytes, n, 0), closing = in_memory("program", bytes, n, MFD_CLOEXEC);
    char path[64];
    runs("memory", fd, "", AT_EMPTY_PATH);
    runs("memory, closed", closing, "", AT_EMPTY_PATH);
    sprintf(path, "/proc/self/fd/%d", fd);
    runs("memory by path", AT_FDCWD, path, 0);
    int script = in_memory("script", "#!/bin/sh\necho script ${0%/*}\n", 29, 0);
    mkdir("/tmp/e", 0700);
    fchmod(script, 0700);
    int place = open("/tmp/e/p", O_CREAT | O_RDWR, 0700);
    write(place, bytes, n);
    close(place);
    place = open("/tmp/e/p", O_PATH);
    runs("name", place, "", AT_EMPTY_PATH);
    int dir = open("/tmp/e", O_RDONLY | O_DIRECTORY);
    symlink("p", "/tmp/e/l");
    runs("in a folder", dir, "p", 0);
    runs("by a link", dir, "l", 0);
    runs("not by a link", dir, "l", AT_SYMLINK_NOFOLLOW);
    runs("not a link", dir, "p", AT_SYMLINK_NOFOLLOW);
    int link = open("/tmp/e/l", O_PATH | O_NOFOLLOW);
    runs("a link itself", link, "", AT_EMPTY_PATH);
    runs("the same", link, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);
    unlink("/tmp/e/p");
    runs("removed", place, "", AT_EMPTY_PATH);
    runs("folder", dir, "", AT_EMPTY_PATH);
    runs("nothing", dir, "", 0);
    runs("flags", dir, "p", 1);
    runs("closed", 77, "", AT_EMPTY_PATH);
    runs("script, kept", script, "", AT_EMPTY_PATH);
    fcntl(script, F_SETFD, FD_CLOEXEC);
    runs("script, closed", script, "", AT_EMPTY_PATH);
    fchmod(fd, 0600);
    runs("no program", fd, "", AT_EMPTY_PATH);
    unlink("/tmp/e/l"), rmdir("/tmp/e");
}
static void held(const char *folder, int flags) {
    char path[64];
    int at = open("/tmp", O_PATH);
    for (int i = 0; i < 20000; i++) {
        sprintf(path, "/proc/self/%s/%d", folder, at);
        int next = open(path, flags);
        close(at);
        at = next;
    }
    P("%s %d\n", folder, at > 0);
    close(at);
}
static void links(void) {
    static char bytes[4 << 20];
    char path[64], text[64] = "";
    int p[2];
    pipe(p);
    sprintf(path, "/proc/self/fd/%d", p[0]);
    int followed = open(path, O_PATH), link = open(path, O_PATH | O_NOFOLLOW);
    P("followed %ld %ld\n", E(syscall(452, followed, "", 0640, AT_EMPTY_PATH)), E(fchownat(followed, "", 8, 9, AT_EMPTY_PATH)));
    struct stat s;
    fstat(p[0], &s);
    P("pipe %o %d:%d\n", s.st_mode, s.st_uid, s.st_gid);
    fstat(link, &s);
    P("link %o %d", s.st_mode, readlinkat(link, "", text, sizeof text) > 0);
    P(" %.5s\n", text);
    sprintf(path, "/proc/self/fd/%d", link);
    P("again %ld %d\n", E(open(path, O_RDONLY)), open(path, O_PATH) > 0);
    sprintf(path, "/proc/self/fd/%d", followed);
    P("the pipe again %d\n", open(path, O_RDONLY) > 0);
    close(p[1]);
    close(p[0]);
    P("gone %ld\n", E(readlinkat(link, "", text, sizeof text)));
    int self = open("/proc/self/exe", O_RDONLY);
    int fd = in_memory("program", bytes, read(self, bytes, sizeof bytes), 0);
    sprintf(path, "/proc/self/fd/%d", fd);
    runs("a link", open(path, O_PATH | O_NOFOLLOW), "", AT_EMPTY_PATH);
    runs("a link by path", AT_FDCWD, path, AT_SYMLINK_NOFOLLOW);
    int space = open("/proc/self/ns/uts", O_PATH | O_NOFOLLOW);
    P("namespace %d", readlinkat(space, "", text, sizeof text) > 0);
    P(" %.4s\n", text);
    held("fd", O_PATH | O_NOFOLLOW);
    held("fdinfo", O_PATH);
    held("fdinfo", O_RDONLY);
}
int main(int count, char **words) {
    if (count > 1) {
        char link[256] = "", head[4] = "";
        readlink("/proc/self/exe", link, sizeof link - 1);
        int fd = open("/proc/self/exe", O_RDONLY);
        read(fd, head, 4);
        P("%s: %s opens %d %c%c\n", words[1], link, fd > 0, head[1], head[2]);
        if (!strcmp(words[1], "told")) { arguments[1] = "second"; execve("/proc/self/exe", arguments, variables); P("%s\n", strerrorname_np(errno)); }
        return 0;
    }
    umask(022);
    all();
    seals();
    executes();
    links();
    P("done\n");
}
