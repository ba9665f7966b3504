/* remap_file_pages(2) */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
#define PAGE 4096L
static long remap(void *at, long size, long protection, long page, long flags) {
    return E(syscall(SYS_remap_file_pages, at, size, protection, page, flags));
}
static void shows(const char *what, char *at, int pages) {
    P("%s:", what);
    for (int i = 0; i < pages; i++) P(" %d", at[i * PAGE]);
    P("\n");
}
static void all(int f) {
    static char pages[64 * PAGE];
    for (int i = 0; i < 64; i++) memset(pages + i * PAGE, i + 1, PAGE);
    P("written %ld\n", E(pwrite(f, pages, sizeof pages, 0)));
    char *m = mmap((void *)0x48000000, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, f, 0);
    for (int again = 0; again < 2; again++) {
        for (int i = 0; i < 16; i += 2) P("%ld ", remap(m + i * PAGE, 2 * PAGE, 0, 14 - i, 0));
        shows("turned", m, 16);
    }
    P("far %ld ", remap(m, PAGE, 0, 60, 0x10000)), shows("", m, 3);
    P("one %ld ", remap(m + 100, 2 * PAGE - 1, 0, 30, 0xfffff)), shows("", m, 3);
    m[0] = 99, P("through %ld", E(pread(f, pages, 1, 30 * PAGE))), P(" %d", pages[0]);
    P(" kept %d\n", mprotect(m, PAGE, PROT_NONE));
    P("rights %ld", remap(m, PAGE, 0, 5, 0)), mprotect(m, PAGE, PROT_READ | PROT_WRITE), P(" %d", m[0]);
    P(" read-only %d", mprotect(m + PAGE, PAGE, PROT_READ)), P(" %ld", remap(m + PAGE, PAGE, 0, 6, 0));
    P(" %ld %d\n", E(read(open("/dev/zero", O_RDONLY), m + PAGE, 1)), m[PAGE]);
    P("mixed %ld", remap(m, 4 * PAGE, 0, 0, 0)), mprotect(m, 16 * PAGE, PROT_READ | PROT_WRITE);
    P(" even %ld ", remap(m, 4 * PAGE, 0, 20, 0)), shows("", m, 5);
    munmap(m + 3 * PAGE, PAGE);
    P("hole %ld %ld\n", remap(m + 2 * PAGE, 3 * PAGE, 0, 0, 0), remap(m + 3 * PAGE, PAGE, 0, 0, 0));
    P("beyond %ld ", remap(m, PAGE, 0, 1000, 0)), fflush(stdout);
    pid_t child = fork();
    int status;
    if (!child) m[0] = 1, _exit(0);
    waitpid(child, &status, 0), P("status %x\n", status);
    P("bad %ld", remap(m, PAGE, PROT_READ, 0, 0)), P(" %ld", remap(m, 0, 0, 0, 0)), P(" %ld", remap(m, PAGE - 1, 0, 0, 0));
    P(" %ld", remap(m, -PAGE, 0, 0, 0)), P(" %ld", remap(m, 2 * PAGE, 0, -1, 0)), P(" %ld", remap(m, PAGE, 0, 1L << 52, 0));
    P(" %ld", remap((void *)0x1000, PAGE, 0, 0, 0));
    char *private = mmap(0, 2 * PAGE, PROT_READ, MAP_PRIVATE, f, 0), *none = mmap(0, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    P(" private %ld %ld\n", remap(private, PAGE, 0, 1, 0), remap(none, PAGE, 0, 1, 0));
    munmap(m, 16 * PAGE);
}
int main(void) {
    all(open("/bin/remapped", O_CREAT | O_RDWR | O_TRUNC, 0600)), unlink("/bin/remapped");
    all(memfd_create("remapped", 0));
    P("done\n");
}
