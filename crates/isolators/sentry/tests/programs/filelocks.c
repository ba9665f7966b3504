/* Locks of files: whose they are across fork and exec, and who waits for whom. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "asleep.h"
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(r) ({ long r_ = (r); r_ < 0 ? -errno : r_; })
static long lock(int fd, int how, int type, long start, long length) {
    struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
    return E(fcntl(fd, how, &l));
}
/* What a child that opens the file anew finds in its way. */
static void seen(const char *what, const char *file) {
    fflush(stdout);
    pid_t me = getpid(), p = fork();
    if (!p) {
        int fd = open(file, O_RDWR);
        P("%s:", what);
        for (long at = 0; at < 100;) {
            struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
            if (fcntl(fd, F_GETLK, &l)) { P(" error"); break; }
            if (l.l_type != F_UNLCK) P(" %ld+%ld %s by %s", (long)l.l_start, (long)l.l_len, l.l_type == F_RDLCK ? "read" : "write", l.l_pid == me ? "parent" : l.l_pid == -1 ? "none" : "other");
            at = l.l_type != F_UNLCK && l.l_len ? l.l_start + l.l_len : l.l_type != F_UNLCK ? 100 : at + 10;
        }
        P(" flock %ld\n", E(flock(fd, LOCK_EX | LOCK_NB)));
        _exit(0);
    }
    waitpid(p, 0, 0);
}
static char *self;
static void again(const char *step, const char *a, const char *b) { execl(self, self, step, a, b, NULL); P("exec %d\n", errno); _exit(1); }
static void *waits(void *a) { pause(); return a; }
static int other(void *step) {
    execl(self, self, step, "x", "x", NULL);
    _exit(1);
}
static char stack[65536] __attribute__((aligned(16)));
static void child(void (*f)(void)) {
    fflush(stdout);
    pid_t p = fork();
    if (!p) { alarm(100); f(); _exit(0); }
    int st;
    waitpid(p, &st, 0);
    P("end %x\n", st);
}

static void kept(void) {
    int fd = open("/tmp/l", O_CREAT | O_RDWR, 0600), gone = open("/tmp/m", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    P("lock %ld %ld %ld\n", lock(fd, F_SETLK, F_WRLCK, 0, 10), lock(fd, F_SETLK, F_RDLCK, 20, 5), lock(gone, F_SETLK, F_WRLCK, 0, 0));
    seen("before", "/tmp/l");
    seen("before", "/tmp/m");
    char number[16];
    sprintf(number, "%d", fd);
    again("kept", number, "");
}
static void threads(void) {
    int fd = open("/tmp/l", O_CREAT | O_RDWR, 0600);
    lock(fd, F_SETLK, F_WRLCK, 30, 5);
    pthread_t t;
    for (int i = 0; i < 3; i++) pthread_create(&t, 0, waits, 0);
    again("threads", "", "");
}
/* Descriptors that another process has, too: the locks are of those. */
static void shared(void) {
    int fd = open("/tmp/l", O_CREAT | O_RDWR, 0600);
    lock(fd, F_SETLK, F_WRLCK, 40, 5);
    fflush(stdout);
    pid_t p = clone(other, stack + sizeof stack, CLONE_FILES | SIGCHLD, "shared");
    waitpid(p, 0, 0);
    seen("shared after", "/tmp/l");
    p = clone(waits, stack + sizeof stack, CLONE_FILES | SIGCHLD, 0);
    seen("shared by both", "/tmp/l");
    kill(p, SIGKILL);
    waitpid(p, 0, 0);
    P("unshare %ld\n", E(unshare(CLONE_FILES)));
    seen("unshared", "/tmp/l");
    P("close_range %ld\n", E(syscall(SYS_close_range, 100, 200, 2)));
    seen("closed others", "/tmp/l");
    close(dup(fd));
    seen("closed one", "/tmp/l");
}
static void open_files(void) {
    int fd = open("/tmp/l", O_CREAT | O_RDWR, 0600), gone = open("/tmp/m", O_RDWR | O_CLOEXEC);
    P("ofd %ld %ld\n", lock(fd, F_OFD_SETLK, F_WRLCK, 0, 10), lock(gone, F_OFD_SETLK, F_RDLCK, 5, 10));
    P("flock %ld %ld\n", E(flock(fd, LOCK_SH)), E(flock(gone, LOCK_EX)));
    seen("ofd", "/tmp/l");
    fflush(stdout);
    pid_t p = fork();
    if (!p) { P("of the same %ld\n", lock(fd, F_OFD_SETLK, F_WRLCK, 5, 10)); close(fd); _exit(0); }
    waitpid(p, 0, 0);
    seen("after a child", "/tmp/l");
    p = fork();
    if (!p) { P("child frees %ld %ld\n", lock(fd, F_OFD_SETLK, F_UNLCK, 12, 100), E(flock(fd, LOCK_UN))); _exit(0); }
    waitpid(p, 0, 0);
    seen("freed", "/tmp/l");
    P("flock %ld\n", E(flock(fd, LOCK_EX)));
    p = fork();
    if (!p) { close(gone); sleep(5); _exit(0); }
    close(fd);
    seen("only a child has it", "/tmp/l");
    kill(p, SIGKILL);
    waitpid(p, 0, 0);
    seen("nobody", "/tmp/l");
    fd = open("/tmp/l", O_RDWR);
    lock(fd, F_OFD_SETLK, F_WRLCK, 50, 10);
    flock(fd, LOCK_EX);
    char number[16];
    sprintf(number, "%d", fd);
    again("ofd", number, "");
}

static struct { volatile int state; } *s;
static void set(int n) { s->state = n; }
static void until(int n) { while (s->state != n) usleep(1000); }
static void deadlock(void) {
    int fd = open("/tmp/l", O_CREAT | O_RDWR, 0600);
    for (int n = 2; n <= 4; n++) {
        set(0);
        fflush(stdout);
        pid_t p[4];
        for (int i = 0; i < n; i++) if (!(p[i] = fork())) {
            alarm(100);
            until(i);
            lock(fd, F_SETLK, F_WRLCK, i * 10, 10);
            set(i + 1);
            until(n + i);
            /* The others wait before this one, which closes the circle. */
            if (i == n - 1) for (int k = 0; k < i; k++) until_asleep(p[k], p[k]);
            else set(n + i + 1);
            long r = lock(fd, F_SETLKW, F_WRLCK, (i + 1) % n * 10, 10);
            if (i == n - 1) P("circle of %d: %ld\n", n, r);
            else if (r) P("other %ld\n", r);
            _exit(0);
        }
        for (int i = 0; i < n; i++) waitpid(p[i], 0, 0);
    }
    /* Who waits for what an open file has can't be told. */
    lock(fd, F_SETLK, F_WRLCK, 0, 10);
    set(0);
    pid_t p = fork();
    if (!p) {
        alarm(100);
        int own = open("/tmp/l", O_RDWR);
        lock(own, F_OFD_SETLK, F_WRLCK, 10, 10);
        set(1);
        P("open file waits %ld\n", lock(own, F_OFD_SETLKW, F_WRLCK, 0, 10));
        close(own);
        _exit(0);
    }
    until(1);
    until_asleep(p, p);
    P("no circle %ld\n", lock(fd, F_SETLK, F_WRLCK, 10, 10));
    lock(fd, F_SETLK, F_UNLCK, 0, 10);
    P("then %ld\n", lock(fd, F_SETLKW, F_WRLCK, 10, 10));
    waitpid(p, 0, 0);
}
/* A lock that came after the table was another one goes with the old table. */
static int waited;
static volatile pid_t waiter;
static void *late(void *fd) { waiter = gettid(), s->state = 5; waited = lock(*(int *)fd, F_SETLKW, F_WRLCK, 0, 10); return 0; }
static void tables(void) {
    int fd = open("/tmp/l", O_CREAT | O_RDWR, 0600);
    set(0);
    fflush(stdout);
    pid_t p = fork();
    /* its parent looks at the first byte meanwhile */
    if (!p) { while (lock(fd, F_SETLK, F_WRLCK, 0, 10)) usleep(500); P("first\n"); until(6); _exit(0); }
    while (lock(fd, F_SETLK, F_WRLCK, 0, 1) == 0) { lock(fd, F_SETLK, F_UNLCK, 0, 1); usleep(1000); }
    pid_t q = clone(waits, stack + sizeof stack, CLONE_FILES | SIGCHLD, 0);
    pthread_t t;
    pthread_create(&t, 0, late, &fd);
    until(5);
    until_asleep(getpid(), waiter);
    P("unshared %ld\n", E(syscall(SYS_close_range, 600, 700, 2)));
    kill(q, SIGKILL);
    waitpid(q, 0, 0);
    set(6);
    waitpid(p, 0, 0);
    pthread_join(t, 0);
    P("waited %d\n", waited);
    fflush(stdout);
    if (!(p = fork())) {
        int own = open("/tmp/l", O_RDWR);
        for (int i = 0; i < 2000 && lock(own, F_SETLK, F_WRLCK, 0, 10); i++) usleep(1000);
        P("free %ld\n", lock(own, F_SETLK, F_WRLCK, 0, 10));
        _exit(0);
    }
    waitpid(p, 0, 0);
}
static void handler(int n) { (void)n; }
static void errors(void) {
    int fd = open("/tmp/l", O_CREAT | O_RDWR, 0600), r = open("/tmp/l", O_RDONLY), path = open("/tmp/l", O_PATH), p[2];
    pipe(p);
    P("reader %ld %ld\n", lock(r, F_SETLK, F_WRLCK, 0, 1), lock(r, F_SETLK, F_RDLCK, 0, 1));
    P("path %ld flock %ld\n", lock(path, F_SETLK, F_RDLCK, 0, 1), E(flock(path, LOCK_SH)));
    P("pipe %ld flock %ld\n", lock(p[0], F_SETLK, F_RDLCK, 0, 1), E(flock(p[0], LOCK_SH)));
    P("type %ld before %ld length %ld\n", lock(fd, F_SETLK, 7, 0, 1), lock(fd, F_SETLK, F_RDLCK, -1, 1), lock(fd, F_SETLK, F_RDLCK, 3, -5));
    P("back %ld\n", lock(fd, F_SETLK, F_WRLCK, 30, -5));
    seen("back", "/tmp/l");
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_pid = 5};
    P("pid %ld\n", E(fcntl(fd, F_OFD_SETLK, &l)));
    P("flock %ld %ld %ld\n", E(flock(fd, 0)), E(flock(fd, LOCK_SH | LOCK_EX)), E(flock(fd, LOCK_NB)));
    struct sigaction a = {.sa_handler = handler};
    sigaction(SIGALRM, &a, 0);
    pid_t c = fork();
    if (!c) { ualarm(100000, 100000); P("interrupted %ld\n", lock(fd, F_SETLKW, F_WRLCK, 26, 1)); _exit(0); }
    waitpid(c, 0, 0);
}

int main(int count, char **words) {
    self = "/proc/self/exe";
    if (count > 1) {
        const char *step = words[1];
        if (!strcmp(step, "kept")) {
            seen("kept", "/tmp/l");
            seen("of what was closed", "/tmp/m");
            P("own %ld\n", lock(atoi(words[2]), F_SETLK, F_WRLCK, 0, 100));
            seen("changed", "/tmp/l");
            close(atoi(words[2]));
            seen("closed", "/tmp/l");
        } else if (!strcmp(step, "ofd")) {
            seen("kept", "/tmp/l");
            seen("of what was closed", "/tmp/m");
            close(atoi(words[2]));
            seen("closed", "/tmp/l");
        } else seen(step, "/tmp/l");
        return 0;
    }
    s = mmap(0, 4096, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    child(kept);
    child(threads);
    child(shared);
    child(open_files);
    child(deadlock);
    child(errors);
    child(tables);
    unlink("/tmp/l"), unlink("/tmp/m");
    P("done\n");
}
