/* Times of single calls, in microseconds: the median of several rounds. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
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
static void faults(char *p, long pages) { for (long i = 0; i < pages; i++) p[i * 4096] = 1; madvise(p, pages * 4096, MADV_DONTNEED); }
int main(int argc, char **argv) {
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
    MEASURE("list a folder", 100, list("/bin"));
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
    unlink("/tmp/bench");
    return 0;
}
