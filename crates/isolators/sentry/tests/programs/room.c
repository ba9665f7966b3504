/* Limits of memory, locked memory, what is in memory, moves that leave the old place. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
#define M (1UL << 20)
static long map(unsigned long size, int prot, int flags) { void *p = mmap(0, size, prot, flags | MAP_ANONYMOUS, -1, 0); return p == MAP_FAILED ? -errno : 0; }
static long total(void) {
    int fd = open("/proc/self/statm", O_RDONLY);
    char text[64] = {0};
    read(fd, text, 63);
    close(fd);
    return atol(text) * 4096;
}
static void child(void (*f)(void)) {
    pid_t p = fork();
    if (!p) { f(); _exit(0); }
    int st;
    waitpid(p, &st, 0);
    if (st) P("child %x\n", st);
}
static void address_space(void) {
    struct rlimit r = {total() + 20 * M, RLIM_INFINITY};
    P("as %ld", E(setrlimit(RLIMIT_AS, &r)));
    P(" small %ld", map(4 * M, 3, MAP_PRIVATE));
    P(" large %ld none %ld shared %ld", map(40 * M, 3, MAP_PRIVATE), map(40 * M, 0, MAP_PRIVATE), map(40 * M, 3, MAP_SHARED));
    char *p = mmap(0, 8 * M, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    P(" over itself %d", mmap(p, 8 * M, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p);
    P(" grow %ld", E(mremap(p, 8 * M, 40 * M, MREMAP_MAYMOVE)) == -ENOMEM);
    P(" brk %d\n", sbrk(40 * M) == (void *)-1);
    r.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_AS, &r);
    P("again %ld\n", map(40 * M, 3, MAP_PRIVATE));
}
static void data(void) {
    struct rlimit r = {10 * M, RLIM_INFINITY};
    P("data %ld", E(setrlimit(RLIMIT_DATA, &r)));
    P(" written %ld read %ld shared %ld small %ld", map(20 * M, 3, MAP_PRIVATE), map(20 * M, 1, MAP_PRIVATE), map(20 * M, 3, MAP_SHARED), map(2 * M, 3, MAP_PRIVATE));
    P(" brk %d %d\n", sbrk(20 * M) == (void *)-1, sbrk(M) != (void *)-1);
}
static char *pages;
static void locked(void) {
    struct rlimit r = {64 << 10, 64 << 10};
    setrlimit(RLIMIT_MEMLOCK, &r);
    setgid(9), setuid(9);
    P("lock %ld", E(mlock(pages + 100, 8192)));
    P(" again %ld", E(mlock(pages, 12288)));
    P(" rest %ld", E(mlock(pages + 12288, 52 << 10)));
    P(" more %ld", E(mlock(pages + (64 << 10), 4096)));
    P(" unlock %ld", E(munlock(pages, 4096)));
    P(" now %ld", E(mlock(pages + (64 << 10), 4096)));
    P(" all %ld", E(mlockall(MCL_CURRENT)));
    P(" none %ld %ld", E(mlock((void *)(16 * M), 4096)), E(munlock((void *)(16 * M), 4096)));
    P(" flags %ld %ld %ld %ld", E(mlockall(0)), E(mlockall(99)), E(mlock2(pages, 4096, 8)), E(mlock2(pages, 4096, 1)));
    P(" unlock all %ld", E(munlockall()));
    P(" unmapped frees %ld", E(mlock(pages, 64 << 10)));
    munmap(pages, 32 << 10);
    P(" %ld", E(mlock(pages + (64 << 10), 32 << 10)));
    pid_t p = fork();
    if (!p) { P(" child has none %ld\n", E(mlock(pages + (64 << 10), 64 << 10))); _exit(0); }
    waitpid(p, 0, 0);
    r = (struct rlimit){0, 0};
    setrlimit(RLIMIT_MEMLOCK, &r);
    P("without %ld\n", E(mlock(pages + (40 << 10), 4096)));
}
int main(void) {
    child(address_space);
    child(data);
    pages = mmap(0, 256 << 10, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    child(locked);
    P("root locks %ld", E(mlock(pages, 128 << 10)));
    P(" all %ld", E(mlockall(MCL_CURRENT)));
    P(" unlock %ld\n", E(munlockall()));
    /* What is there. */
    unsigned char there[64];
    char *p = mmap(0, 16 * 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    madvise(p, 16 * 4096, MADV_NOHUGEPAGE);
    p[0] = p[5 * 4096] = p[6 * 4096] = 1;
    P("mincore %ld ", E(mincore(p, 16 * 4096, there)));
    for (int i = 0; i < 16; i++) P("%d", there[i] & 1);
    madvise(p + 5 * 4096, 4096, MADV_DONTNEED);
    mincore(p, 16 * 4096, there);
    P(" %d%d none %ld odd %ld fault %ld\n", there[5] & 1, there[6] & 1, E(mincore((void *)(16 * M), 4096, there)), E(mincore(p + 1, 4096, there)), E(mincore(p, 4096, (void *)8)));
    /* Moves that leave the old place, empty. */
    strcpy(p, "moved");
    char *q = (char *)syscall(SYS_mremap, p, 16 * 4096, 16 * 4096, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0);
    P("mremap %ld ", q == MAP_FAILED ? -(long)errno : 0); P("moved %d '%s' left '%s'", q != MAP_FAILED && q != p, q, p);
    p[0] = 'x';
    P(" %c%c", p[0], q[0]);
    P(" other size %ld alone %ld\n", E(mremap(p, 4096, 8192, MREMAP_MAYMOVE | MREMAP_DONTUNMAP)), E(mremap(p, 4096, 4096, MREMAP_DONTUNMAP)));
    char *t = mmap(0, 16 * 4096, 0, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    P("to a place %d", mremap(q, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, t) == t);
    P(" %c\n", t[0]);
    /* Advice. */
    struct { const char *name; int advice; } all[] = {{"free", MADV_FREE}, {"cold", MADV_COLD}, {"pageout", MADV_PAGEOUT}, {"hugepage", MADV_HUGEPAGE}, {"populate", MADV_POPULATE_WRITE}, {"dump", MADV_DONTDUMP}, {"willneed", MADV_WILLNEED}};
    for (int i = 0; i < sizeof all / sizeof *all; i++) P("%s %ld ", all[i].name, E(madvise(p, 16 * 4096, all[i].advice)));
    P("bad %ld none %ld\n", E(madvise(p, 4096, 99)), E(madvise((void *)(16 * M), 4096, MADV_COLD)));
    mincore(p, 16 * 4096, there);
    int n = 0;
    for (int i = 0; i < 16; i++) n += there[i] & 1;
    P("populated %d\n", n);
    p[0] = 'w';
    P("wipe %ld", E(madvise(p, 4096, MADV_WIPEONFORK)));
    pid_t c = fork();
    if (!c) _exit(p[0]);
    int st;
    waitpid(c, &st, 0);
    P(" %d %c\n", WEXITSTATUS(st), p[0]);
    /* Files. */
    int fd = memfd_create("m", 0);
    ftruncate(fd, 8 * 4096);
    char *s = mmap(0, 8 * 4096, 3, MAP_SHARED, fd, 0);
    memset(s, 1, 8 * 4096);
    P("remove %ld", E(madvise(s + 4096, 4096, MADV_REMOVE)));
    P(" %d %d private %ld\n", s[4096], s[8192], E(madvise(p, 4096, MADV_REMOVE)));
    P("done\n");
}
