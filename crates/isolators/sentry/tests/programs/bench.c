/* Times of single calls, in microseconds: the median of several rounds. */
#define _GNU_SOURCE
#include <fcntl.h>
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
int main(int argc, char **argv) {
    static char buf[65536];
    int fd = open("/tmp/bench", O_RDWR | O_CREAT, 0600), st;
    if (write(fd, buf, sizeof buf) != sizeof buf) return 1;
    struct stat info;
    struct timespec t;
    MEASURE("getpid", 3000, syscall(SYS_getpid));
    MEASURE("clock_gettime", 3000, syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t));
    MEASURE("pread 4 KiB", 2000, if (pread(fd, buf, 4096, 0) != 4096) return 1);
    MEASURE("pread 64 KiB", 500, if (pread(fd, buf, 65536, 0) != 65536) return 1);
    MEASURE("pwrite 4 KiB", 2000, if (pwrite(fd, buf, 4096, 0) != 4096) return 1);
    MEASURE("stat", 2000, if (stat("/bin/sh", &info)) return 1);
    MEASURE("open+close", 1000, close(open("/bin/sh", O_RDONLY)));
    MEASURE("mmap+munmap 64 KiB", 500, munmap(mmap(0, 65536, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 65536));
    int a[2], b[2];
    if (pipe(a) || pipe(b)) return 1;
    pid_t p = fork();
    if (!p) { close(a[1]); while (read(a[0], buf, 1) == 1) if (write(b[1], buf, 1) != 1) break; _exit(0); }
    close(a[0]);
    MEASURE("pipe ping-pong", 500, if (write(a[1], buf, 1) != 1 || read(b[0], buf, 1) != 1) return 1);
    close(a[1]);
    waitpid(p, &st, 0);
    pthread_t th;
    MEASURE("thread create+join", 100, pthread_create(&th, 0, nothing, 0); pthread_join(th, 0));
    MEASURE("fork+exit", 50, p = fork(); if (!p) _exit(0); waitpid(p, &st, 0));
    MEASURE("fork+exec", 50, p = fork(); if (!p) { execl("/bin/true", "true", (char *)0); _exit(1); } waitpid(p, &st, 0));
    MEASURE("vfork+exec", 50, p = vfork(); if (!p) { execl("/bin/true", "true", (char *)0); _exit(1); } waitpid(p, &st, 0));
    unlink("/tmp/bench");
    return 0;
}
