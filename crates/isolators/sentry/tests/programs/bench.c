/* Times of single calls, in microseconds: the median of several rounds. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1e6 + t.tv_nsec / 1e3; }
static int order(const void *a, const void *b) { double x = *(double *)a - *(double *)b; return x < 0 ? -1 : x > 0; }
#define ROUNDS 7
#define MEASURE(name, times, body) do { \
    double r[ROUNDS]; \
    for (int k = 0; k < ROUNDS; k++) { double s = now(); for (int i = 0; i < (times); i++) { body; } r[k] = (now() - s) / (times); } \
    qsort(r, ROUNDS, sizeof *r, order); printf("%s\t%.2f\n", name, r[ROUNDS / 2]); fflush(stdout); } while (0)
static void *nothing(void *a) { return a; }
static int ball;
static void until(int value) {
    int seen;
    while ((seen = __atomic_load_n(&ball, __ATOMIC_SEQ_CST)) != value && seen != 2) syscall(SYS_futex, &ball, FUTEX_WAIT_PRIVATE, seen, 0, 0, 0);
}
static void put(int value) { __atomic_store_n(&ball, value, __ATOMIC_SEQ_CST); syscall(SYS_futex, &ball, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0); }
static void *partner(void *a) {
    for (;;) { until(1); if (__atomic_load_n(&ball, __ATOMIC_SEQ_CST) == 2) return a; put(0); }
}
static void list(const char *path) { DIR *d = opendir(path); while (d && readdir(d)); if (d) closedir(d); }
/* A folder of 1,000 small files: made, looked at, listed, taken away. */
#define NAMES 1000
static char *path(int i) { static char p[64]; sprintf(p, "/tmp/bench-names/a-file-%d", i); return p; }
static void make(void) { for (int i = 0; i < NAMES; i++) { int fd = open(path(i), O_WRONLY | O_CREAT | O_EXCL, 0644); write(fd, "text", 4); close(fd); } }
static void look(void) { struct stat s; for (int i = 0; i < NAMES; i++) stat(path(i), &s); }
static void take(void) { for (int i = 0; i < NAMES; i++) unlink(path(i)); }
static void names(void) {
    double r[4] = {0}, s;
    mkdir("/tmp/bench-names", 0755);
    s = now(); make(); r[0] = now() - s;
    s = now(); list("/tmp/bench-names"); r[1] = now() - s;
    s = now(); look(); r[2] = now() - s;
    s = now(); take(); r[3] = now() - s;
    rmdir("/tmp/bench-names");
    printf("create+write+close, of 1,000 files\t%.2f\nlist 1,000 names\t%.2f\nstat, of 1,000 names\t%.2f\nunlink, of 1,000 files\t%.2f\n",
           r[0] / NAMES, r[1], r[2] / NAMES, r[3] / NAMES);
}
/* TCP over loopback: a byte there and back, and 64 MiB one way. */
static void tcp(void) {
    static char block[65536];
    struct ifreq up = {.ifr_flags = IFF_UP | IFF_RUNNING | IFF_LOOPBACK};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    strcpy(up.ifr_name, "lo");
    ioctl(listener, SIOCSIFFLAGS, &up);
    if (bind(listener, (void *)&at, sizeof at) || listen(listener, 1) || getsockname(listener, (void *)&at, &size)) { perror("tcp"); return; }
    pid_t p = fork();
    if (!p) {
        int c = accept(listener, 0, 0);
        setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        for (int i = 0; i < 7 * 500; i++) if (read(c, block, 1) != 1 || write(c, block, 1) != 1) _exit(1);
        for (int k = 0; k < 3; k++) {
            for (long left = 64 << 20; left > 0;) { long n = read(c, block, sizeof block); if (n <= 0) _exit(1); left -= n; }
            if (write(c, block, 1) != 1) _exit(1);
        }
        _exit(0);
    }
    int c = socket(AF_INET, SOCK_STREAM, 0), st;
    if (connect(c, (void *)&at, sizeof at)) { perror("tcp"); return; }
    setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    MEASURE("TCP loopback, a byte there and back", 500, if (write(c, block, 1) != 1 || read(c, block, 1) != 1) return);
    double r[3];
    for (int k = 0; k < 3; k++) {
        double s = now();
        for (long left = 64 << 20; left > 0;) { long n = write(c, block, sizeof block); if (n <= 0) return; left -= n; }
        if (read(c, block, 1) != 1) return;
        r[k] = now() - s;
    }
    qsort(r, 3, sizeof *r, order);
    printf("TCP loopback, 64 MiB\t%.2f\n", r[1]);
    close(c);
    waitpid(p, &st, 0);
}
static void faults(char *p, long pages) { for (long i = 0; i < pages; i++) p[i * 4096] = 1; madvise(p, pages * 4096, MADV_DONTNEED); }
int main(int argc, char **argv) {
    // What is written alone.
    if (argc > 1) {
        names();
        return 0;
    }
    static char buf[65536];
    int fd = open("/tmp/bench", O_RDWR | O_CREAT, 0600), st;
    if (write(fd, buf, sizeof buf) != sizeof buf) return 1;
    struct stat info;
    struct timespec t;
    MEASURE("getpid", 3000, syscall(SYS_getpid));
    MEASURE("clock_gettime, the call", 3000, syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t));
    MEASURE("clock_gettime", 100000, clock_gettime(CLOCK_MONOTONIC, &t));
    MEASURE("pread 4 KiB", 2000, if (pread(fd, buf, 4096, 0) != 4096) return 1);
    MEASURE("pread 64 KiB", 500, if (pread(fd, buf, 65536, 0) != 65536) return 1);
    MEASURE("pwrite 4 KiB", 2000, if (pwrite(fd, buf, 4096, 0) != 4096) return 1);
    MEASURE("pwrite 64 KiB", 500, if (pwrite(fd, buf, 65536, 0) != 65536) return 1);
    MEASURE("stat", 2000, if (stat("/bin/sh", &info)) return 1);
    MEASURE("open+close", 1000, close(open("/bin/sh", O_RDONLY)));
    MEASURE("mmap+munmap 64 KiB", 500, munmap(mmap(0, 65536, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 65536));
    char *fixed = mmap(0, 65536, 0, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MEASURE("mmap at a place 64 KiB", 500, mmap(fixed, 65536, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
    MEASURE("mprotect 64 KiB", 500, mprotect(fixed, 65536, i % 2 ? 1 : 3));
    char *pages = mmap(0, 4 << 20, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MEASURE("1,024 page faults", 5, faults(pages, 1024));
    MEASURE("open+read+close", 1000, int f = open("/bin/sh", O_RDONLY); if (read(f, buf, 4096) != 4096) return 1; close(f));
    MEASURE("list a folder", 20, list("/bin"));
    names();
    int a[2], b[2];
    if (pipe(a) || pipe(b)) return 1;
    pid_t p = fork();
    if (!p) { close(a[1]); while (read(a[0], buf, 1) == 1) if (write(b[1], buf, 1) != 1) break; _exit(0); }
    close(a[0]);
    MEASURE("pipe ping-pong", 500, if (write(a[1], buf, 1) != 1 || read(b[0], buf, 1) != 1) return 1);
    close(a[1]);
    waitpid(p, &st, 0);
    pthread_t th;
    pthread_create(&th, 0, partner, 0);
    MEASURE("futex ping-pong", 500, put(1); until(0));
    put(2);
    pthread_join(th, 0);
    MEASURE("thread create+join", 100, pthread_create(&th, 0, nothing, 0); pthread_join(th, 0));
    MEASURE("fork+exit", 50, p = fork(); if (!p) _exit(0); waitpid(p, &st, 0));
    MEASURE("fork+exec", 50, p = fork(); if (!p) { execl("/bin/true", "true", (char *)0); _exit(1); } waitpid(p, &st, 0));
    MEASURE("vfork+exec", 50, p = vfork(); if (!p) { execl("/bin/true", "true", (char *)0); _exit(1); } waitpid(p, &st, 0));
    tcp();
    unlink("/tmp/bench");
    return 0;
}
