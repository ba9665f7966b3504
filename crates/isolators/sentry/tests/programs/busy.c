/* What is executed is not written, and what may be written is not executed. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "itself.h"
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(r) ({ long r_ = (r); r_ < 0 ? -errno : r_; })
static char f[256], script[256];
static int opened(int flags) { int fd = open(f, flags), e = errno; if (fd >= 0) close(fd); return fd < 0 ? -e : 0; }
/* What executing a file comes to. */
static int executed(const char *path) {
    pid_t p = vfork();
    if (!p) { execl(path, path, "end", NULL); _exit(errno); }
    int st;
    waitpid(p, &st, 0);
    return -WEXITSTATUS(st);
}
/* Starts a program, and returns once it runs. */
static pid_t start(const char *path, int fd) {
    int ready[2];
    pipe2(ready, O_CLOEXEC);
    pid_t p = fork();
    if (!p) {
        if (fd >= 0) syscall(SYS_execveat, fd, "", (char *[]){"f", "stay", 0}, (char *[]){0}, AT_EMPTY_PATH);
        else execl(path, path, "stay", NULL);
        _exit(1);
    }
    close(ready[1]);
    char c;
    read(ready[0], &c, 1);
    close(ready[0]);
    return p;
}
static void stop(pid_t p) { kill(p, SIGKILL); waitpid(p, 0, 0); }
static void *mapped(int how, int prot, int flags) {
    int fd = open(f, how);
    void *m = mmap(0, 8192, prot, flags, fd, 0);
    close(fd);
    return m;
}
static void written(void) {
    int fd = open(f, O_WRONLY), other = dup(fd);
    P("written %d", executed(f));
    close(fd), P(" dup %d", executed(f));
    int p[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, p);
    char space[CMSG_SPACE(4)] = {0}, c = 0;
    struct iovec v = {&c, 1};
    struct msghdr h = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    struct cmsghdr *m = CMSG_FIRSTHDR(&h);
    m->cmsg_level = SOL_SOCKET, m->cmsg_type = SCM_RIGHTS, m->cmsg_len = CMSG_LEN(4);
    memcpy(CMSG_DATA(m), &other, 4);
    sendmsg(p[0], &h, 0);
    close(other), P(" sent %d", executed(f));
    close(p[0]), close(p[1]), P(" closed %d", executed(f));
    fd = open(f, O_PATH), P(" path %d", executed(f)), close(fd);
    fd = open(f, O_RDONLY), P(" read %d\n", executed(f)), close(fd);
}
static void maps(void) {
    char *m = mapped(O_RDWR, 3, MAP_SHARED);
    P("shared %d", executed(f));
    munmap(m, 4096), P(" half %d", executed(f));
    char *n = mremap(m + 4096, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, m);
    mprotect(n, 4096, 0), P(" moved %d", executed(f));
    fflush(stdout);
    pid_t p = fork();
    if (!p) { pause(); _exit(0); }
    munmap(n, 4096), P(" inherited %d", executed(f));
    stop(p), P(" none %d\n", executed(f));
    m = mapped(O_RDWR, 1, MAP_SHARED), P("to read %d", executed(f)), munmap(m, 8192);
    m = mapped(O_RDWR, 3, MAP_PRIVATE), P(" private %d", executed(f)), munmap(m, 8192);
    m = mapped(O_RDONLY, 3, MAP_PRIVATE), P(" never %d", executed(f));
    n = mapped(O_RDWR, 3, MAP_PRIVATE), mmap(m, 8192, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    P(" over %d", executed(f)), mmap(n, 8192, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    P(" gone %d", executed(f)), munmap(m, 8192), munmap(n, 8192);
    m = mapped(O_RDWR, 3, MAP_SHARED);
    p = start("/bin/busy", -1);
    munmap(m, 8192), P(" executes another %d\n", executed(f));
    stop(p);
}
static void runs(void) {
    pid_t p = start(f, -1);
    P("runs: %d %d %d %d %ld %ld %d", opened(O_WRONLY), opened(O_RDWR), opened(O_RDONLY), opened(O_RDONLY | O_TRUNC), E(truncate(f, 0)), E(chmod(f, 0700)), executed(f));
    char exe[64];
    sprintf(exe, "/proc/%d/exe", p);
    P(" %ld %d", E(open(exe, O_WRONLY)), opened(O_PATH));
    pid_t q = start(f, -1);
    stop(p), P(" another %d", opened(O_WRONLY));
    stop(q), P(" none %d\n", opened(O_WRONLY));
    int ends[2], st;
    pipe(ends), fflush(stdout);
    p = fork();
    if (!p) { execl(f, f, "fork", f, NULL); _exit(1); }
    waitpid(p, &st, 0), close(ends[1]);
    /* Once that has ended, it is at the pipe's end. */
    P("its child %d", opened(O_WRONLY)), read(ends[0], &st, 1), P(" no more %d\n", opened(O_WRONLY));
    close(ends[0]);
}
static void scripts(void) {
    int fd = open(script, O_CREAT | O_WRONLY, 0755);
    dprintf(fd, "#!%s stay\n", f);
    P("script %d", executed(script)), close(fd);
    int w = open(f, O_WRONLY);
    P(" interpreter %d", executed(script)), close(w);
    pid_t p = start(script, -1);
    fd = open(script, O_WRONLY);
    P(" runs %d %d\n", fd > 0, opened(O_WRONLY)), stop(p), close(fd), unlink(script);
}
static void nameless(void) {
    int fd = memfd_create("m", MFD_CLOEXEC), in = open(f, O_RDONLY);
    while (sendfile(fd, in, 0, 1 << 20) > 0);
    close(in);
    pid_t p = start(0, fd);
    char own[64];
    sprintf(own, "/proc/self/fd/%d", fd);
    P("memfd %d %ld", p > 0, E(open(own, O_RDWR)));
    stop(p), in = open(own, O_RDWR), P(" %d", in > 0);
    p = start(0, fd), P(" %ld", E(kill(p, 0))), stop(p), close(in);
    int again = open(own, O_RDONLY);
    p = start(0, again), P(" again %d\n", waitpid(p, 0, WNOHANG)), stop(p), close(again), close(fd);
}
static struct { volatile int writes, bad, opens, runs; } *s;
static void race(void) {
    int fd = open("/tmp/state", O_CREAT | O_RDWR | O_TRUNC, 0600), bad = 0;
    ftruncate(fd, 4096);
    s = mmap(0, 4096, 3, MAP_SHARED, fd, 0);
    close(fd), fflush(stdout);
    pid_t p = fork();
    if (!p) for (;;) {
        int w = open(f, O_WRONLY);
        if (w < 0) continue;
        s->writes = 1, s->opens++;
        for (volatile int i = 0; i < 2000; i++);
        s->writes = 0, close(w);
    }
    for (int i = 0; i < 3000 && (i < 100 || !s->opens || s->runs < 20); i++) {
        pid_t q = vfork();
        if (!q) { execl(f, f, "race", f, NULL); _exit(errno); }
        int st;
        waitpid(q, &st, 0);
        bad += WEXITSTATUS(st) && WEXITSTATUS(st) != ETXTBSY;
    }
    stop(p);
    P("race %d %d both %d\n", bad, s->bad, s->opens && s->runs);
    munmap(s, 4096);
}
static void all(const char *where) {
    sprintf(f, "%s/f", where), sprintf(script, "%s/s", where);
    P("in %s\n", where);
    written(), maps(), runs(), scripts(), nameless(), race();
}
int main(int n, char **a) {
    alarm(60);
    if (n > 1 && !strcmp(a[1], "end")) return 0;
    if (n > 1 && !strcmp(a[1], "stay")) { for (int i = 3; i < 20; i++) close(i); alarm(20); for (;;) pause(); }
    if (n > 1 && !strcmp(a[1], "fork")) { if (!fork()) usleep(500000); return 0; }
    if (n > 1 && !strcmp(a[1], "race")) {
        int fd = open("/tmp/state", O_RDWR);
        s = mmap(0, 4096, 3, MAP_SHARED, fd, 0);
        s->runs++;
        s->bad += s->writes != 0;
        int w = open(a[2], O_WRONLY);
        s->bad += w >= 0 || errno != ETXTBSY || s->writes;
        return 0;
    }
    mkdir("/tmp/h", 0755), copy_itself("/tmp/h/f", O_EXCL, 0755), all("/tmp/h");
    int names[2] = {open("/tmp/h", O_TMPFILE | O_RDWR, 0755), open("/tmp/h/f", O_RDONLY)};
    while (sendfile(names[0], names[1], 0, 1 << 20) > 0);
    char own[64];
    sprintf(own, "/proc/self/fd/%d", names[0]);
    P("O_TMPFILE %ld", E(linkat(AT_FDCWD, own, AT_FDCWD, "/tmp/h/t", AT_SYMLINK_FOLLOW)));
    P(" %d", executed("/tmp/h/t")), close(names[0]), P(" %d\n", executed("/tmp/h/t"));
    link("/tmp/h/f", "/tmp/h/g");
    names[0] = open("/tmp/h/g", O_WRONLY), P("other name %d", executed("/tmp/h/f")), close(names[0]);
    pid_t p = start("/tmp/h/g", -1);
    P(" %d %ld\n", opened(O_WRONLY), E(unlink("/tmp/h/g"))), stop(p);
    mkdir("/tmp/m", 0755), mount("none", "/tmp/m", "tmpfs", 0, 0), copy_itself("/tmp/m/f", O_EXCL, 0755), all("/tmp/m");
    mkdir("/tmp/m/l", 0755), mkdir("/tmp/m/u", 0755), mkdir("/tmp/m/w", 0755), mkdir("/tmp/m/o", 0755), copy_itself("/tmp/m/l/f", O_EXCL, 0755);
    P("overlay %ld\n", E(mount("none", "/tmp/m/o", "overlay", 0, "lowerdir=/tmp/m/l,upperdir=/tmp/m/u,workdir=/tmp/m/w")));
    sprintf(f, "/tmp/m/o/f");
    p = start(f, -1);
    P("below %d %ld", opened(O_WRONLY), E(chmod(f, 0700)));
    P(" copied up %d", opened(O_WRONLY)), stop(p), P(" %d\n", opened(O_WRONLY));
    all("/tmp/m/o");
    umount("/tmp/m/o"), umount("/tmp/m");
    unlink("/tmp/state"), unlink("/tmp/h/f"), unlink("/tmp/h/t"), rmdir("/tmp/h"), rmdir("/tmp/m");
    P("done\n");
}
