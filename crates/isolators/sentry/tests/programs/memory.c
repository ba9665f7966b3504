/* Mappings, copy-on-write, protections. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static sigjmp_buf back;
static volatile int code;
static void *volatile where;
static void fault(int s, siginfo_t *i, void *c) { (void)s; (void)c; code = i->si_code; where = i->si_addr; siglongjmp(back, s); }
static int touch(volatile char *p, int write) {
    int s = sigsetjmp(back, 1);
    if (s) return s;
    if (write) *p = 1; else (void)*p;
    return 0;
}
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
/* A result, or the error as a negative number. */
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })

int main(void) {
    struct sigaction a = {.sa_sigaction = fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &a, 0);
    sigaction(SIGBUS, &a, 0);
    char *p = mmap(0, 65536, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    P("map %d zero %d\n", p != MAP_FAILED, p[100]);
    memset(p, 7, 65536);
    P("protect %d\n", mprotect(p + 4096, 4096, PROT_READ));
    P("read %d", touch(p + 4096, 0));
    P(" write %d", touch(p + 4096, 1));
    P(" code %d at %ld\n", code, (long)((char *)where - p));
    P("unmap %d", munmap(p + 8192, 4096));
    P(" read %d", touch(p + 8192, 0));
    P(" code %d neighbour %d\n", code, touch(p + 12288, 1));
    P("hole %ld\n", E(mprotect(p, 65536, 1)));
    char *q = mremap(p + 16384, 8192, 262144, MREMAP_MAYMOVE);
    P("moved %d %d %d\n", q != MAP_FAILED, q[0], q[8192]);
    P("dontneed %d", madvise(q, 4096, MADV_DONTNEED));
    P(" %d\n", q[0]);
    P("noreplace %ld\n", E(mmap(q, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0)));
    char *big = mmap(0, 1UL << 42, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    P("sparse %d\n", big != MAP_FAILED);
    P("commit %d\n", mprotect(big + (1UL << 41), 4096, 3));
    big[1UL << 41] = 5;
    P("bad length %ld\n", E(mmap(0, 0, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
    P("bad fd %ld\n", E(mmap(0, 4096, 3, MAP_PRIVATE, 99, 0)));
    char *brk0 = sbrk(0);
    P("brk %d", sbrk(1 << 20) == brk0);
    memset(brk0, 1, 1 << 20);
    P(" %d", brk0[(1 << 20) - 1]);
    P(" %d\n", sbrk(-(1 << 20)) == brk0 + (1 << 20));

    int fd = open("/tmp/map", O_RDWR | O_CREAT | O_TRUNC, 0600);
    P("write %ld\n", (long)write(fd, "0123456789", 10));
    char *s = mmap(0, 4096, 3, MAP_SHARED, fd, 0);
    char *c = mmap(0, 4096, 3, MAP_PRIVATE, fd, 0);
    s[0] = 'S'; c[1] = 'C';
    char text[11] = {0};
    P("shared %ld", (long)pread(fd, text, 10, 0));
    P(" %s", text);
    P(" private %.10s\n", c);
    P("pwrite %ld", (long)pwrite(fd, "x", 1, 5));
    P(" %c\n", s[5]);
    P("beyond %d\n", touch(mmap(0, 8192, 3, MAP_SHARED, fd, 0) + 4096, 0));
    int ro = open("/tmp/map", O_RDONLY);
    P("read only %ld\n", E(mmap(0, 4096, 3, MAP_SHARED, ro, 0)));
    char *r = mmap(0, 4096, 1, MAP_SHARED, ro, 0);
    P("upgrade %ld\n", E(mprotect(r, 4096, 3)));
    unlink("/tmp/map");

    volatile int *shared = mmap(0, 4096, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    volatile int mine = 1;
    pid_t pid = fork();
    if (!pid) { mine = 2; *shared = 42; _exit(mine); }
    int st;
    waitpid(pid, &st, 0);
    P("fork %d %d %d\n", WEXITSTATUS(st), mine, *shared);

    unsigned char code_[] = {0xb8, 42, 0, 0, 0, 0xc3};
    void *x = mmap(0, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(x, code_, sizeof code_);
    mprotect(x, 4096, 5);
    P("execute %d\n", ((int (*)(void))x)());
    P("bad pointers %ld", E(read(fd, (void *)8, 1)));
    P(" %ld\n", E(open((char *)-1L, 0)));
    P("done\n");
}
