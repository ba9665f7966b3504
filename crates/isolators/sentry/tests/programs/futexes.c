/* Waiting on words: wakes, times, requeues, signals between; private and shared; and
   a thousand threads that wait at once. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "asleep.h"
static long futex(void *word, int op, unsigned value, void *time, void *other, unsigned bits) {
    return syscall(SYS_futex, word, op, value, time, other, bits) < 0 ? -errno : 0;
}
static long wake(void *word, int op, unsigned count) { return syscall(SYS_futex, word, op, count, 0, 0, 0); }
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec / 1e9; }
static struct timespec in(clockid_t id, double s) {
    struct timespec t;
    clock_gettime(id, &t);
    long n = t.tv_nsec + (long)(s * 1e9);
    return (struct timespec){t.tv_sec + n / 1000000000, n % 1000000000};
}
static int word, other, kind;
static volatile int caught, result, ready, leave;
static void handler(int s) { (void)s; caught++; }
static struct timespec until;
static void *waits(void *op) {
    ready = gettid();
    result = futex(&word, (intptr_t)op, 0, until.tv_sec ? &until : 0, 0, -1);
    leave = 1;
    return 0;
}
/* Signals a waiting thread until it was caught, then lets it go. */
static void interrupt(const char *name, int op, int flags, double seconds) {
    struct sigaction a = {.sa_handler = handler, .sa_flags = flags};
    sigaction(SIGUSR1, &a, 0);
    pthread_t t;
    caught = ready = leave = 0;
    result = 99;
    memset(&until, 0, sizeof until);
    if (seconds) until = (op & 127) == FUTEX_WAIT_BITSET ? in(CLOCK_MONOTONIC, seconds) : (struct timespec){(long)seconds, 0};
    pthread_create(&t, 0, waits, (void *)(intptr_t)op);
    while (!ready) usleep(100);
    until_asleep(getpid(), ready);
    pthread_kill(t, SIGUSR1);
    while (!caught) usleep(100);
    while (!leave && wake(&word, FUTEX_WAKE | (op & FUTEX_PRIVATE_FLAG), 1) == 0) usleep(1000);
    pthread_join(t, 0);
    printf("%s %d\n", name, result);
}
static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t c = PTHREAD_COND_INITIALIZER;
static int parked, go;
static void *park(void *a) {
    pthread_mutex_lock(&m);
    parked++;
    while (!go) pthread_cond_wait(&c, &m);
    pthread_mutex_unlock(&m);
    return a;
}
/* Of a shared word the memory is looked for, though nobody waits; of a private one only its place. */
static void nowhere(void) {
    char *gone = mmap(0, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *closed = mmap(0, 4096, 0, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    FILE *file = tmpfile();
    ftruncate(fileno(file), 4096);
    char *cut = mmap(0, 4096, 3, MAP_SHARED, fileno(file), 0);
    ftruncate(fileno(file), 0);
    munmap(gone, 4096);
    char *all[] = {gone, closed, cut, (char *)&word};
    for (int i = 0; i < 4; i++) {
        printf("word %d:", i);
        for (int p = 0; p <= FUTEX_PRIVATE_FLAG; p += FUTEX_PRIVATE_FLAG) {
            printf(" wake %ld", futex(all[i], FUTEX_WAKE | p, 1, 0, 0, 0));
            printf(" bits %ld", futex(all[i], FUTEX_WAKE_BITSET | p, 1, 0, 0, 4));
            printf(" moved %ld", futex(all[i], FUTEX_REQUEUE | p, 1, (void *)1, &other, 0));
            printf(" there %ld", futex(&word, FUTEX_CMP_REQUEUE | p, 1, (void *)1, all[i], 0));
            printf(" odd %ld", futex(&word, FUTEX_CMP_REQUEUE | p, 1, (void *)1, all[i] + 2, 0));
        }
        puts("");
    }
    munmap(closed, 4096), munmap(cut, 4096), fclose(file);
}
int main(void) {
    setvbuf(stdout, 0, _IOLBF, 0);
    for (int p = 0; p <= FUTEX_PRIVATE_FLAG; p += FUTEX_PRIVATE_FLAG) {
        printf("other value %ld\n", futex(&word, FUTEX_WAIT | p, 1, 0, 0, 0));
        printf("bad address %ld\n", futex((void *)4096, FUTEX_WAIT | p, 1, 0, 0, 0));
        printf("odd address %ld\n", futex((char *)&word + 1, FUTEX_WAIT | p, 1, 0, 0, 0));
        printf("no bits %ld\n", futex(&word, FUTEX_WAIT_BITSET | p, 0, 0, 0, 0));
        double start = now();
        struct timespec t = {0, 30000000};
        printf("time %ld", futex(&word, FUTEX_WAIT | p, 0, &t, 0, 0));
        printf(" %d\n", now() - start >= 0.03);
        t = in(CLOCK_MONOTONIC, 0.03);
        printf("until %ld", futex(&word, FUTEX_WAIT_BITSET | p, 0, &t, 0, -1));
        printf(" %d\n", now() - start >= 0.06);
        t = in(CLOCK_REALTIME, 0.03);
        printf("until %ld\n", futex(&word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME | p, 0, &t, 0, -1));
        t = (struct timespec){0, -1};
        printf("bad time %ld\n", futex(&word, FUTEX_WAIT | p, 0, &t, 0, 0));
        printf("nobody %ld\n", wake(&word, FUTEX_WAKE | p, 1));
        interrupt("restarts", FUTEX_WAIT | p, SA_RESTART, 0);
        interrupt("interrupted", FUTEX_WAIT | p, 0, 0);
        interrupt("timed", FUTEX_WAIT_BITSET | p, SA_RESTART, 5);
        interrupt("relative", FUTEX_WAIT | p, 0, 5);
        /* Two wait; both go to another word, where they are woken. */
        pthread_t a, b;
        memset(&until, 0, sizeof until);
        pthread_create(&a, 0, waits, (void *)(intptr_t)(FUTEX_WAIT | p));
        pthread_create(&b, 0, waits, (void *)(intptr_t)(FUTEX_WAIT | p));
        int moved = 0, woken = 0;
        while (moved < 2) {
            long n = syscall(SYS_futex, &word, FUTEX_CMP_REQUEUE | p, 0, (void *)10L, &other, 0);
            if (n > 0) moved += n; else usleep(1000);
        }
        while (woken < 2) woken += wake(&other, FUTEX_WAKE | p, 1);
        pthread_join(a, 0);
        pthread_join(b, 0);
        printf("requeued %d %d\n", moved, result);
    }
    nowhere();
    /* Between processes. */
    int *shared = mmap(0, 4096, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0), status;
    pid_t pid = fork();
    if (!pid) { while (!*shared) futex(shared, FUTEX_WAIT, 0, 0, 0, 0); _exit(7); }
    usleep(10000);
    *shared = 1;
    wake(shared, FUTEX_WAKE, 1);
    waitpid(pid, &status, 0);
    printf("shared %d\n", WEXITSTATUS(status));
    /* One that waits is killed. */
    pid = fork();
    if (!pid) { futex(&word, FUTEX_WAIT_PRIVATE, 0, 0, 0, 0); _exit(1); }
    usleep(10000);
    kill(pid, SIGTERM);
    waitpid(pid, &status, 0);
    printf("killed %d\n", WTERMSIG(status));
    static pthread_t threads[1000];
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    int made = 0;
    for (; made < 1000; made++) if (pthread_create(&threads[made], &small, park, 0)) break;
    for (int all = 0; !all; usleep(1000)) { pthread_mutex_lock(&m); all = parked == made; pthread_mutex_unlock(&m); }
    pthread_mutex_lock(&m);
    go = 1;
    pthread_cond_broadcast(&c);
    pthread_mutex_unlock(&m);
    for (int i = 0; i < made; i++) pthread_join(threads[i], 0);
    printf("parked %d\n", made);
    puts("done");
}
