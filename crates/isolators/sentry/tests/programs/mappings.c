/* Several threads change one piece of the address space at once, and others fork:
   afterwards /proc/self/maps must tell what is there, in parent and children. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#define PAGES 64
/* Does not fit into a hole of the area. */
#define OWN (70 * 4096L)
static char *area;
static volatile int stop;
static uint64_t next(uint64_t *x) { *x ^= *x << 13; *x ^= *x >> 7; *x ^= *x << 17; return *x; }
static void *change(void *seed) {
    uint64_t x = 88172645463325252ULL * ((uintptr_t)seed + 1);
    void *own[16] = {0};
    for (int i = 0; i < 1500 && !stop; i++) {
        uint64_t r = next(&x);
        int first = r % PAGES, count = 1 + (r >> 8) % 8, prot = (int[]){0, 1, 3}[(r >> 16) % 3];
        if (first + count > PAGES) count = PAGES - first;
        char *at = area + first * 4096L;
        switch ((r >> 32) % 6) {
        case 0: munmap(at, count * 4096L); break;
        case 1: mmap(at, count * 4096L, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0); break;
        case 2: mprotect(at, count * 4096L, prot); break;
        case 3: madvise(at, count * 4096L, MADV_DONTNEED); break;
        default: {
            void **slot = &own[(r >> 40) % 16];
            if (*slot) { if (*(int *)*slot != (int)(uintptr_t)seed) abort(); munmap(*slot, OWN); }
            *slot = mmap(0, OWN, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (*slot == MAP_FAILED) abort();
            /* Whoever got the same place would overwrite it. */
            *(int *)*slot = (int)(uintptr_t)seed;
        }
        }
    }
    return 0;
}
/* Pages of the area that maps tells readable, and what a write from them says. */
static int differences(void) {
    static char text[1 << 20];
    int fd = open("/proc/self/maps", O_RDONLY), n = 0, bad = 0, p[2];
    for (int r; (r = read(fd, text + n, sizeof text - 1 - n)) > 0;) n += r;
    text[n] = 0;
    close(fd);
    char told[PAGES] = {0};
    for (char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : 0) {
        unsigned long from, to;
        char r;
        if (sscanf(line, "%lx-%lx %c", &from, &to, &r) != 3 || r != 'r') continue;
        for (int i = 0; i < PAGES; i++) {
            unsigned long at = (unsigned long)area + i * 4096UL;
            if (at >= from && at < to) told[i] = 1;
        }
    }
    if (pipe(p)) return -1;
    for (int i = 0; i < PAGES; i++) {
        char c;
        int there = write(p[1], area + i * 4096L, 1) == 1;
        if (there) read(p[0], &c, 1);
        bad += there != told[i];
    }
    close(p[0]); close(p[1]);
    return bad;
}
static void *forks(void *bad) {
    for (int i = 0; i < 12; i++) {
        int status;
        pid_t pid = fork();
        if (!pid) _exit(differences() != 0);
        if (waitpid(pid, &status, 0) != pid || status) ++*(int *)bad;
    }
    return 0;
}
static int flush(char *at, int how) { errno = 0; return msync(at, 8192, how) ? -errno : 0; }
/* What msync(2) has written changes the file's time. */
static void synced(void) {
    int fd = open("/tmp/synced", O_RDWR | O_CREAT | O_TRUNC, 0600);
    ftruncate(fd, 8192);
    char *p = mmap(0, 8192, 3, MAP_SHARED, fd, 0);
    struct timespec old[2] = {{1000, 0}, {1000, 0}};
    struct stat now;
    p[0] = 1;
    printf("synced %d", flush(p, MS_SYNC));
    futimens(fd, old);
    p[1] = 2;
    printf(" later %d %d", flush(p, MS_ASYNC), flush(p, MS_SYNC | MS_INVALIDATE));
    fstat(fd, &now);
    printf(" changed %d both %d", now.st_mtim.tv_sec > 1000, flush(p, MS_SYNC | MS_ASYNC));
    munmap(p + 4096, 4096);
    printf(" hole %d odd %d\n", flush(p, MS_SYNC), flush(p + 1, MS_SYNC));
    close(fd);
    unlink("/tmp/synced");
}
int main(void) {
    pthread_t t[4];
    int bad = 0;
    for (int round = 0; round < 3; round++) {
        area = mmap(0, (PAGES + 2) * 4096L, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        area += 4096;
        mprotect(area, PAGES * 4096L, 3);
        for (long i = 0; i < 3; i++) pthread_create(&t[i], 0, change, (void *)(i + 1 + round * 8));
        pthread_create(&t[3], 0, forks, &bad);
        pthread_join(t[3], 0);
        for (int i = 0; i < 3; i++) pthread_join(t[i], 0);
        printf("differences %d, in children %d\n", differences(), bad);
    }
    /* The heap: grown, used, shrunk. */
    char *old = sbrk(0);
    printf("grow %d\n", sbrk(1 << 20) == old);
    memset(old, 1, 1 << 20);
    printf("shrink %d ", sbrk(-(1 << 20)) == old + (1 << 20));
    printf("%d\n", sbrk(0) == (void *)old);
    printf("again %d ", sbrk(8192) == old);
    printf("%d\n", ((char *)(((uintptr_t)old + 4095) & -4096UL))[0]);
    /* Answers that the host gives itself. */
    char *p = mmap(0, 3 * 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(p + 4096, 4096);
    int r = madvise(p, 3 * 4096, MADV_DONTNEED);
    printf("hole %d %d\n", r, errno);
    r = mprotect(p + 4096, 4096, 1);
    printf("unmapped %d %d\n", r, errno);
    printf("odd %d\n", munmap(p + 1, 4096));
    r = mprotect(p + 1, 4096, 1);
    printf("odd %d %d\n", r, errno);
    r = munmap(p, 0);
    printf("none %d %d\n", r, errno);
    printf("none %d\n", mprotect(p, 0, 1));
    r = madvise(p, 4096, 77);
    printf("advice %d %d\n", r, errno);
    printf("kept %d\n", mmap(p, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED);
    printf("low %d\n", (long)mmap(0, 8192, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0) >> 31 == 0);
    void *huge = mmap(0, 1L << 42, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    printf("terabytes %d\n", huge != MAP_FAILED);
    char *in = mmap((char *)huge + (1L << 40), 1 << 20, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    in[5] = 6;
    printf("inside %d %d\n", in == (char *)huge + (1L << 40), in[5]);
    printf("protect %d\n", mprotect((char *)huge + (1L << 41), 1L << 33, 3));
    synced();
    puts("done");
}
