/* Locked memory, what is to come of it, and what is told of advice. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(r) ({ long r_ = (long)(r); r_ < 0 && r_ > -4096 ? -errno : r_; })
#define PAGE 4096UL
static void *map(size_t n, int flags) { return mmap(0, n, 3, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0); }
static long mapped(void *p) { return p == MAP_FAILED ? -errno : 0; }
static long field(const char *name) {
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    long n = -1;
    while (fgets(line, sizeof line, f)) if (!strncmp(line, name, strlen(name))) n = atol(line + strlen(name) + 1);
    fclose(f);
    return n;
}
/* Pieces of a range as they are listed: pages, kilobytes that are locked, flags. */
static void pieces(const char *what, char *at, size_t n) {
    static const char *known[] = {"lo", "lf", "sr", "rr", "dc", "wf", "dd", "hg", "nh", "gd"};
    FILE *f = fopen("/proc/self/smaps", "r");
    char line[1024];
    unsigned long from = 0, to = 0;
    int inside = 0;
    P("%s:", what);
    while (fgets(line, sizeof line, f)) {
        unsigned long a, b;
        if (sscanf(line, "%lx-%lx ", &a, &b) == 2 && strchr(line, '-') < strchr(line, ' ')) {
            from = a < (unsigned long)at ? (unsigned long)at : a, to = b > (unsigned long)at + n ? (unsigned long)at + n : b;
            inside = from < to;
            if (inside) P(" [%lu", (to - from) / PAGE);
        }
        if (inside && !strncmp(line, "Locked:", 7)) P(" %ldk", atol(line + 7));
        if (inside && !strncmp(line, "VmFlags:", 8)) {
            for (int i = 0; i < sizeof known / sizeof *known; i++) if (strstr(line, known[i])) P(" %s", known[i]);
            P("]");
        }
    }
    fclose(f);
}
static void listed(const char *what, char *at, size_t n) {
    pieces(what, at, n);
    P(" all %ld\n", field("VmLck:"));
}
static void limit(long n) { struct rlimit l = {n, n}; setrlimit(RLIMIT_MEMLOCK, &l); }
static void child(void (*f)(void)) {
    fflush(stdout);
    pid_t p = fork();
    if (!p) { f(); _exit(0); }
    int st;
    waitpid(p, &st, 0);
    P("end %x\n", st);
}
static void locks(void) {
    char *p = map(16 * PAGE, 0);
    memset(p, 1, 16 * PAGE);
    P("mlock %ld\n", E(mlock(p + 4 * PAGE, 4 * PAGE)));
    listed("middle", p, 16 * PAGE);
    P("mlock2 %ld %ld\n", E(syscall(SYS_mlock2, p + 10 * PAGE, PAGE, 1)), E(syscall(SYS_mlock2, p, PAGE, 2)));
    listed("on fault", p, 16 * PAGE);
    P("munlock %ld\n", E(munlock(p + 5 * PAGE, PAGE)));
    listed("unlocked", p, 16 * PAGE);
    P("munmap %ld\n", E(munmap(p + 6 * PAGE, PAGE)));
    P("hole %ld %ld\n", E(mlock(p + 5 * PAGE, 3 * PAGE)), E(munlock(p + 5 * PAGE, 3 * PAGE)));
    listed("hole", p, 16 * PAGE);
    pid_t c = fork();
    if (!c) { listed("child", p, 16 * PAGE); _exit(0); }
    waitpid(c, 0, 0);
    P("munlockall %ld\n", E(munlockall()));
    listed("none", p, 16 * PAGE);
    char *q = map(4 * PAGE, MAP_LOCKED);
    listed("MAP_LOCKED", q, 4 * PAGE);
    q = mremap(q, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE);
    memset(q, 1, 8 * PAGE);
    listed("moved", q, 8 * PAGE);
    q = mremap(q, 8 * PAGE, 2 * PAGE, 0);
    listed("shrunk", q, 8 * PAGE);
    unsigned char there[4];
    q = map(4 * PAGE, MAP_LOCKED);
    mincore(q, 4 * PAGE, there);
    P("there %d\n", (there[0] & there[1] & there[2] & there[3]) & 1);
}
static void future(void) {
    P("mlockall %ld %ld %ld\n", E(mlockall(0)), E(mlockall(4)), E(mlockall(8)));
    P("future %ld\n", E(mlockall(MCL_FUTURE)));
    char *p = map(4 * PAGE, 0);
    listed("new", p, 4 * PAGE);
    P("on fault %ld\n", E(mlockall(MCL_FUTURE | 4)));
    /* Else what is there would be told of both together. */
    mmap(0, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *q = map(4 * PAGE, 0);
    listed("on fault", q, 4 * PAGE);
    char *heap = sbrk(8 * PAGE);
    memset(heap, 1, 8 * PAGE);
    listed("heap", (char *)(((unsigned long)heap + PAGE - 1) & -PAGE), 4 * PAGE);
    char *fixed = mmap(q, PAGE, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    listed("fixed", q, 4 * PAGE);
    int fd = open("/tmp/x", O_CREAT | O_RDWR, 0600);
    ftruncate(fd, PAGE);
    char *file = mmap(0, PAGE, 3, MAP_SHARED, fd, 0);
    listed("file", file, PAGE);
    fflush(stdout);
    pid_t c = fork();
    if (!c) { char *n = map(PAGE, 0); listed("child", n, PAGE); _exit(0); }
    waitpid(c, 0, 0);
    P("munlockall %ld\n", E(munlockall()));
    char *r = map(4 * PAGE, 0);
    listed("after", r, 4 * PAGE);
    P("current %ld\n", E(mlockall(MCL_CURRENT)));
    P("grown %d\n", field("VmLck:") > 100);
    munlockall();
    unlink("/tmp/x");
}
static void limited(void) {
    limit(8 * PAGE);
    setuid(1000);
    char *p = map(16 * PAGE, 0);
    P("too much %ld\n", E(mlock(p, 9 * PAGE)));
    P("enough %ld %ld\n", E(mlock(p, 8 * PAGE)), E(mlock(p, 8 * PAGE)));
    P("one more %ld\n", E(mlock(p + 8 * PAGE, PAGE)));
    P("MAP_LOCKED %ld\n", mapped(map(PAGE, MAP_LOCKED)));
    P("in place of it %ld\n", mapped(mmap(p, PAGE, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_LOCKED, -1, 0)));
    P("grow %ld\n", mapped(mremap(p, 8 * PAGE, 12 * PAGE, MREMAP_MAYMOVE)));
    munlock(p, 16 * PAGE);
    P("all %ld\n", E(mlockall(MCL_CURRENT)));
    P("future %ld\n", E(mlockall(MCL_FUTURE)));
    P("within %ld beyond %ld\n", mapped(map(4 * PAGE, 0)), mapped(map(5 * PAGE, 0)));
    P("none %ld\n", mapped(mmap(0, 5 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
    void *end = sbrk(0);
    P("heap %ld\n", E(brk(end + 16 * PAGE)));
    int id = shmget(IPC_PRIVATE, 8 * PAGE, 0600);
    P("segment %ld\n", mapped(shmat(id, 0, 0)));
    shmctl(id, IPC_RMID, 0);
}
static void none(void) {
    limit(0);
    setuid(1000);
    char *p = map(PAGE, 0);
    P("none: %ld %ld %ld %ld %ld\n", E(mlock(p, PAGE)), mapped(map(PAGE, MAP_LOCKED)), E(mlockall(MCL_FUTURE)), E(mlockall(MCL_CURRENT)), E(munlockall()));
}
static void advice(void) {
    static const struct { const char *name; int set, clear; } all[] = {
        {"dump", 16, 17}, {"huge", 14, 15}, {"random", 1, 0}, {"sequential", 2, 0}, {"fork", 10, 11}, {"wipe", 18, 19}};
    for (int i = 0; i < sizeof all / sizeof *all; i++) {
        char *p = map(8 * PAGE, 0);
        P("%s %ld\n", all[i].name, E(madvise(p + 2 * PAGE, 4 * PAGE, all[i].set)));
        listed("set", p, 8 * PAGE);
        P("clear %ld\n", E(madvise(p + 3 * PAGE, PAGE, all[i].clear)));
        listed("cleared", p, 8 * PAGE);
        munmap(p + 4 * PAGE, PAGE);
        P("with a hole %ld\n", E(madvise(p, 8 * PAGE, all[i].set)));
        listed("all but", p, 8 * PAGE);
        munmap(p, 8 * PAGE);
    }
    char *s = mmap(0, PAGE, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    P("shared: wipe %ld dump %ld\n", E(madvise(s, PAGE, 18)), E(madvise(s, PAGE, 16)));
    listed("shared", s, PAGE);
    char *p = map(4 * PAGE, 0);
    unsigned char there[4];
    P("populate %ld\n", E(madvise(p, 2 * PAGE, 23)));
    mincore(p, 4 * PAGE, there);
    P("there %d %d %d\n", there[0] & 1, there[1] & 1, there[2] & 1);
    P("read %ld cold %ld out %ld\n", E(madvise(p + 2 * PAGE, PAGE, 22)), E(madvise(p, PAGE, 20)), E(madvise(p, PAGE, 21)));
    mlock(p, PAGE);
    P("locked: dontneed %ld locked too %ld free %ld cold %ld\n", E(madvise(p, PAGE, 4)), E(madvise(p, PAGE, 24)), E(madvise(p, PAGE, 8)), E(madvise(p, PAGE, 20)));
    P("unknown %ld none %ld\n", E(madvise(p, PAGE, 77)), E(madvise(p, 0, 77)));
}
/* Not what is locked of all: some of Linux count what stays there still. */
static void moved(void) {
    char *p = map(2 * PAGE, 0);
    memset(p, 1, 2 * PAGE);
    mlock(p, 2 * PAGE);
    char *to = mremap(p, 2 * PAGE, 2 * PAGE, 5, 0);
    P("moved %d\n", to != MAP_FAILED);
    pieces("stays", p, 2 * PAGE);
    pieces("moved", to, 2 * PAGE);
    P("\n");
}
static void many(void) {
    long n = 31000;
    char *p = mmap(0, 2 * n * PAGE, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    for (long i = 0; i < n; i++) mprotect(p + 2 * i * PAGE, PAGE, 1);
    P("many: huge %ld none %ld fork %ld dump %ld\n", E(madvise(p, PAGE, 14)), E(madvise(p, PAGE, 15)), E(madvise(p, PAGE, 10)), E(madvise(p, PAGE, 16)));
    munmap(p, 2 * n * PAGE);
}
static int present(char *p, int n) {
    unsigned char there[64];
    int all = 0;
    if (mincore(p, n * PAGE, there)) return -errno;
    for (int i = 0; i < n; i++) all += there[i] & 1;
    return all;
}
/* What is locked is there. */
static void there(void) {
    char *own = map(16 * PAGE, 0), *shared = mmap(0, 16 * PAGE, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    P("before %d %d\n", present(own, 16), present(shared, 16));
    mprotect(own + 4 * PAGE, 2 * PAGE, 1);
    P("mlock %ld %ld", E(mlock(own + PAGE, 8 * PAGE)), E(mlock(shared, 5 * PAGE)));
    P(" there %d %d\n", present(own, 16), present(shared, 16));
    P("on fault %ld", E(syscall(SYS_mlock2, own + 10 * PAGE, PAGE, 1)));
    P(" there %d\n", present(own, 16));
    P("mlock2 %ld", E(syscall(SYS_mlock2, own + 10 * PAGE, 2 * PAGE, 0)));
    P(" there %d\n", present(own, 16));
    char *none = mmap(0, 4 * PAGE, 0, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    P("no access %ld there %d\n", E(mlock(none, 4 * PAGE)), present(none, 4));
    char *put = mmap(0, 4 * PAGE, 2, MAP_SHARED | MAP_ANONYMOUS, -1, 0), *run = mmap(0, 4 * PAGE, 4, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    P("to be written %ld there %d", E(mlock(put, 4 * PAGE)), present(put, 4));
    P(" to be executed %ld\n", E(mlock(run, 4 * PAGE)));
    P("all %ld", E(mlockall(MCL_CURRENT)));
    P(" there %d %d %d\n", present(own, 16), present(shared, 16), present(none, 4));
    P("none %ld", E(munlockall()));
    P(" %ld\n", field("VmLck:"));
}
/* A small program fits into what everybody may lock. */
static void small(void) {
    limit(8 << 20);
    setuid(1);
    P("small: current %ld future %ld\n", E(mlockall(MCL_CURRENT)), E(mlockall(MCL_FUTURE)));
    P("%ld %ld\n", E(mlock(map(PAGE, 0), PAGE)), E(munlockall()));
}
int main(void) {
    child(there);
    child(small);
    child(locks);
    child(future);
    child(limited);
    child(none);
    child(advice);
    child(moved);
    child(many);
    P("done\n");
}
