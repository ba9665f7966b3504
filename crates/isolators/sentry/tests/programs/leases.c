/* Leases of files: who gets one, who is told of its end, who waits for that. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "asleep.h"
#include "itself.h"
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(r) ({ long r_ = (r); r_ < 0 ? -errno : r_; })
static char f[64];
static struct { volatile int state, result; } *s;
static long set(int fd, int kind) { return E(fcntl(fd, F_SETLEASE, kind)); }
static long get(int fd) { return E(fcntl(fd, F_GETLEASE)); }
static int opened(int flags) { int fd = open(f, flags), e = errno; if (fd >= 0) close(fd); return fd < 0 ? -e : 0; }
/* The signal that came, if any does. */
static void signalled(int number, int fd) {
    sigset_t all;
    sigemptyset(&all), sigaddset(&all, SIGIO), sigaddset(&all, SIGRTMIN);
    siginfo_t i = {0};
    struct timespec t = {5, 0}, none = {0, 0};
    int n = sigtimedwait(&all, &i, number ? &t : &none);
    if (n < 0) P(" none");
    else P(" %s code %d band %lx fd %d", n == SIGIO ? "SIGIO" : n == SIGRTMIN ? "real" : "?", i.si_code, n == SIGIO ? 0 : i.si_band, n == SIGIO ? 0 : i.si_fd == fd);
}
static void nothing(int n) { }
static pid_t started;
/* A child that does something to the file, which may wait. */
static pid_t child(long (*what)(void)) {
    sigset_t all;
    sigemptyset(&all), sigaddset(&all, SIGIO), sigaddset(&all, SIGRTMIN);
    struct timespec none = {0, 0};
    while (sigtimedwait(&all, 0, &none) > 0);
    s->state = 0, fflush(stdout);
    pid_t p = started = fork();
    if (!p) { for (int i = 3; i < 20; i++) close(i); prctl(PR_SET_PDEATHSIG, SIGKILL), alarm(20); s->state = 1; s->result = what(); s->state = 2; _exit(0); }
    while (!s->state) usleep(100);
    return p;
}
/* Once it sleeps, however busy the machine is. */
static void waits(void) {
    char how = until_asleep(started, started);
    P(" waits %d %c", s->state == 1, how);
}
static void end(pid_t p) { waitpid(p, 0, 0); P(" then %d\n", s->result); }
static long reads(void) { return opened(O_RDONLY); }
static long writes(void) { return opened(O_WRONLY); }
static long cuts(void) { return E(truncate(f, 100)); }
static long executes(void) {
    pid_t p = fork();
    if (!p) { execl(f, f, "end", NULL); _exit(errno); }
    int st;
    waitpid(p, &st, 0);
    return WEXITSTATUS(st);
}
static long interrupted(void) {
    struct sigaction a = {.sa_handler = nothing};
    sigaction(SIGALRM, &a, 0), ualarm(100000, 0);
    return opened(O_WRONLY);
}
static long restarted(void) {
    struct sigaction a = {.sa_handler = nothing, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &a, 0), ualarm(20000, 0);
    return opened(O_WRONLY);
}
static void taken(void) {
    int r = open(f, O_RDONLY), d = dup(r), other;
    P("none %ld end %ld", get(r), set(r, F_UNLCK));
    P(" read %ld %ld dup %ld %ld", set(r, F_RDLCK), get(r), get(d), set(d, F_RDLCK));
    other = open(f, O_RDONLY);
    P(" other %ld %ld %ld", get(other), set(other, F_RDLCK), set(r, F_WRLCK));
    close(r), P(" closed %ld", get(d)), P(" ended %ld %ld\n", set(d, F_UNLCK), get(d)), close(d), close(other);
    r = open(f, O_RDONLY), P("write %ld %ld %ld %ld", set(r, F_WRLCK), get(r), set(r, F_RDLCK), set(r, F_WRLCK)), set(r, F_UNLCK);
    other = open(f, O_RDONLY), P(" another %ld", set(r, F_WRLCK)), close(other);
    other = open(f, O_PATH), P(" path %ld %ld", set(r, F_WRLCK), set(other, F_RDLCK)), close(other), set(r, F_UNLCK);
    other = open(f, O_WRONLY), P(" writer %ld %ld", set(r, F_RDLCK), set(other, F_WRLCK)), close(r);
    P(" alone %ld %ld %ld\n", set(other, F_WRLCK), set(other, F_RDLCK), get(other)), close(other);
    r = open(f, O_RDWR), P("both %ld %ld %ld", set(r, F_RDLCK), set(r, F_WRLCK), get(r));
    void *m = mmap(0, 4096, 1, MAP_SHARED, r, 0);
    close(r);
    r = open(f, O_RDONLY | O_NONBLOCK), P(" mapped %d", r < 0 ? -errno : 0);
    munmap(m, 4096), r = open(f, O_RDONLY | O_NONBLOCK), P(" unmapped %d", r > 0);
    other = open(f, O_RDONLY), m = mmap(0, 4096, 1, MAP_PRIVATE, other, 0), close(other);
    P(" by a mapping %ld %ld", set(r, F_WRLCK), set(r, F_RDLCK)), munmap(m, 4096), P(" gone %ld\n", set(r, F_WRLCK)), close(r);
    signalled(0, 0), P(" left\n");
}
static void refused(void) {
    int r = open(f, O_RDONLY), dir = open("/tmp", O_RDONLY), p[2], m = memfd_create("m", 0);
    pipe(p);
    P("bad %ld %ld directory %ld pipe %ld %ld null %ld memfd %ld %ld", set(r, 3), set(r, -1), set(dir, F_RDLCK), set(p[0], F_RDLCK), get(p[0]), set(open("/dev/null", O_RDONLY), F_RDLCK), set(m, F_RDLCK), set(m, F_WRLCK));
    fflush(stdout);
    pid_t c = fork();
    if (!c) {
        P(" owner %ld", (chown(f, 7, 7), seteuid(7), set(r, F_RDLCK))), set(r, F_UNLCK);
        P(" mine %ld", (seteuid(0), chown(f, 0, 0), setresuid(7, 7, 7), set(r, F_RDLCK)));
        P(" bad %ld end %ld get %ld pipe %ld\n", set(r, 9), set(r, F_UNLCK), get(r), set(p[0], F_RDLCK)), _exit(0);
    }
    waitpid(c, 0, 0);
    int self = open("/proc/self/exe", O_RDONLY);
    P("executed %ld %ld\n", set(self, F_WRLCK), set(self, F_RDLCK));
    close(self), close(r), close(dir), close(p[0]), close(p[1]), close(m);
}
static void owners(void) {
    int r = open(f, O_RDONLY);
    P("owner %d", fcntl(r, F_GETOWN) == 0), set(r, F_RDLCK), P(" %d", fcntl(r, F_GETOWN) == getpid());
    fcntl(r, F_SETSIG, SIGRTMIN), P(" %d", fcntl(r, F_GETSIG) == SIGRTMIN), set(r, F_UNLCK), P(" %d %d", fcntl(r, F_GETOWN), fcntl(r, F_GETSIG));
    fcntl(r, F_SETOWN, -getpgrp()), set(r, F_RDLCK), P(" group %d\n", fcntl(r, F_GETOWN) == -getpgrp());
    fcntl(r, F_SETOWN, 0), P("nobody %d", opened(O_WRONLY | O_NONBLOCK)), signalled(0, 0), P(" %ld\n", get(r)), close(r);
}
static void broken(void) {
    int r = open(f, O_RDONLY), other = open(f, O_RDONLY), w;
    set(r, F_RDLCK), set(other, F_RDLCK), fcntl(r, F_SETSIG, SIGRTMIN);
    P("read: %d", opened(O_RDONLY | O_NONBLOCK)), signalled(0, r);
    P(" write %d", opened(O_WRONLY | O_NONBLOCK)), signalled(1, r), signalled(1, other);
    P(" are %ld %ld", get(r), get(other));
    P(" again %d", opened(O_RDWR | O_NONBLOCK)), signalled(0, r);
    P(" new %ld %ld %ld", set(r, F_WRLCK), set(r, F_RDLCK), get(r)), close(other), P(" %ld %ld", set(r, F_RDLCK), get(r));
    P(" cut %d", opened(O_RDONLY | O_TRUNC | O_NONBLOCK)), set(r, F_UNLCK), P(" %d\n", opened(O_WRONLY | O_NONBLOCK));
    set(r, F_WRLCK), fcntl(r, F_SETSIG, SIGRTMIN);
    P("write: read %d", opened(O_RDONLY | O_NONBLOCK)), signalled(1, r), P(" is %ld", get(r));
    P(" again %d", opened(O_RDONLY | O_NONBLOCK)), signalled(0, r);
    P(" write %d", opened(O_WRONLY | O_NONBLOCK)), signalled(1, r), P(" is %ld", get(r));
    P(" kept %ld %ld", set(r, F_RDLCK), get(r)), set(r, F_UNLCK), set(r, F_WRLCK), P(" %ld\n", get(r));
    P("not by:"), chmod(f, 0755), rename(f, "/tmp/other"), rename("/tmp/other", f), link(f, "/tmp/more"), unlink("/tmp/more"), utimensat(AT_FDCWD, f, 0, 0);
    struct stat st;
    stat(f, &st), signalled(0, r), P(" %ld", get(r)), close(r);
    w = open(f, O_RDWR), set(w, F_WRLCK), ftruncate(w, st.st_size), signalled(0, w), P(" %ld\n", get(w)), close(w);
}
static void waited(void) {
    int r = open(f, O_RDONLY);
    set(r, F_RDLCK);
    pid_t p = child(writes);
    P("write:"), signalled(1, r), waits(), P(" %ld %ld", get(r), set(r, F_RDLCK)), set(r, F_UNLCK), end(p);
    set(r, F_WRLCK), p = child(reads);
    P("read:"), signalled(1, r), waits(), P(" %ld", get(r)), P(" %ld", set(r, F_WRLCK)), P(" %ld", set(r, F_RDLCK)), P(" %ld", get(r)), end(p);
    set(r, F_WRLCK), p = child(writes);
    P("write:"), signalled(1, r), waits(), P(" %ld", get(r)), close(r), end(p);
    r = open(f, O_RDONLY), set(r, F_WRLCK), p = child(executes);
    P("execute:"), signalled(1, r), waits(), P(" %ld", get(r)), set(r, F_RDLCK), end(p);
    p = child(cuts), P("cut:"), signalled(1, r), waits(), P(" %ld", get(r)), set(r, F_UNLCK), end(p);
    set(r, F_RDLCK), p = child(interrupted), P("interrupted:"), signalled(1, r), end(p);
    P("still %ld", get(r)), set(r, F_UNLCK), set(r, F_RDLCK), P(" %ld\n", get(r));
    p = child(restarted), P("restarted:"), signalled(1, r), waits(), signalled(0, r), set(r, F_UNLCK), end(p);
    set(r, F_RDLCK), p = child(writes), P("killed:"), signalled(1, r), waits(), kill(p, SIGKILL), waitpid(p, 0, 0);
    P(" %ld %ld\n", get(r), set(r, F_UNLCK)), close(r);
    /* Whose process ends has none. */
    fflush(stdout);
    int ready[2];
    char c;
    pipe(ready);
    pid_t q = fork();
    if (!q) { r = open(f, O_RDONLY), set(r, F_WRLCK), write(ready[1], "", 1), pause(); _exit(0); }
    read(ready[0], &c, 1), p = child(reads), P("ends:"), waits(), kill(q, SIGKILL), waitpid(q, 0, 0), end(p);
    close(ready[0]), close(ready[1]);
    /* Its own process waits, too. */
    r = open(f, O_RDONLY), set(r, F_RDLCK), P("own %d", opened(O_WRONLY | O_NONBLOCK)), signalled(1, r), P("\n"), close(r);
}
static void told(void) {
    int r = open(f, O_RDONLY);
    char line[256];
    set(r, F_RDLCK);
    for (int i = 0; i < 2; i++) {
        FILE *l = fopen("/proc/locks", "r");
        while (fgets(line, sizeof line, l)) {
            int n, pid;
            char a[16], b[16], c[16];
            if (sscanf(line, "%d: %15s %15s %15s %d", &n, a, b, c, &pid) == 5 && !strcmp(a, "LEASE")) P("%s %s %s %d %s", a, b, c, pid == getpid(), strstr(line, " 0 EOF"));
        }
        fclose(l), opened(O_WRONLY | O_NONBLOCK);
    }
    signalled(1, r), P("\n"), close(r);
}
static void all(const char *where) {
    sprintf(f, "%s/f", where);
    P("in %s\n", where), copy_itself(f, O_TRUNC, 0755);
    taken(), refused(), owners(), copy_itself(f, O_TRUNC, 0755), broken(), copy_itself(f, O_TRUNC, 0755), waited(), told();
    unlink(f);
}
/* Whose time is up has none: not on a host, whose setting it would be. */
static void timed(void) {
    int t = open("/proc/sys/fs/lease-break-time", O_RDWR);
    char b[16] = {0};
    read(t, b, 15), P("%s", b), P("%ld %ld", E(pwrite(t, "x\n", 2, 0)), E(pwrite(t, "1\n", 2, 0)));
    memset(b, 0, 16), pread(t, b, 15, 0), P(" %s", b), close(t);
    sprintf(f, "/tmp/t"), copy_itself(f, O_TRUNC, 0755);
    struct timespec from, to;
    for (int i = 0; i < 2; i++) {
        int r = open(f, O_RDONLY);
        set(r, F_WRLCK), clock_gettime(CLOCK_MONOTONIC, &from);
        pid_t p = child(i ? writes : reads);
        signalled(1, r), waits(), waitpid(p, 0, 0), clock_gettime(CLOCK_MONOTONIC, &to);
        long ms = (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000;
        P(" then %d in time %d left %ld owner %d\n", s->result, ms >= 900 && ms < 5000, get(r), fcntl(r, F_GETOWN) == getpid()), close(r);
    }
    unlink(f);
}
int main(int n, char **a) {
    if (n > 1 && !strcmp(a[1], "end")) return 0;
    alarm(60);
    setpgid(0, 0);
    s = mmap(0, 4096, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    sigset_t mask;
    sigemptyset(&mask), sigaddset(&mask, SIGIO), sigaddset(&mask, SIGRTMIN), sigprocmask(SIG_BLOCK, &mask, 0);
    if (n > 1) timed(), exit(0);
    mkdir("/tmp/h", 0755), all("/tmp/h"), rmdir("/tmp/h");
    mkdir("/tmp/m", 0755), mount("none", "/tmp/m", "tmpfs", 0, 0), all("/tmp/m"), umount("/tmp/m"), rmdir("/tmp/m");
    P("done\n");
}
