/* /proc/<pid>/pagemap */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
#define PAGE 4096L
static int map;
static void shows(const char *what, volatile char *at, int pages) {
    uint64_t words[16] = {0};
    P("%s: %ld", what, E(pread(map, words, pages * 8, (uint64_t)at / PAGE * 8)));
    /* There, swapped, of a file or shared, mapped once. */
    for (int i = 0; i < pages; i++) P(" %d%d%d%d", (int)(words[i] >> 63), (int)(words[i] >> 62 & 1), (int)(words[i] >> 61 & 1), (int)(words[i] >> 56 & 1));
    P("\n");
}
int main(void) {
    struct stat t;
    uint64_t words[4];
    stat("/proc/self/pagemap", &t);
    map = open("/proc/self/pagemap", O_RDONLY);
    P("open %d mode %o write %d\n", map > 0, t.st_mode, open("/proc/self/pagemap", O_WRONLY) < 0);
    char *m = mmap(0, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    madvise(m, 8 * PAGE, MADV_NOHUGEPAGE);
    shows("untouched", m, 4);
    m[0] = m[2 * PAGE] = 1, shows("written", m, 4);
    madvise(m, PAGE, MADV_DONTNEED), shows("given back", m, 4);
    char *s = mmap(0, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    s[PAGE] = 1, shows("shared", s, 4);
    int f = open("/bin/pagemap.file", O_CREAT | O_RDWR | O_TRUNC, 0600);
    ftruncate(f, 4 * PAGE);
    char *p = mmap(0, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_POPULATE, f, 0);
    for (int i = 0; i < 4; i++) (void)*(volatile char *)(p + i * PAGE);
    p[0] = 1, shows("file", p, 4), unlink("/bin/pagemap.file");
    munmap(s, 4 * PAGE), shows("unmapped", s, 2);
    P("askew %ld %ld %ld", E(pread(map, words, 8, 1)), E(pread(map, words, 9, 0)), E(pread(map, words, 0, 0)));
    P(" end %ld %ld\n", E(pread(map, words, 32, 0x7ffffffff000 / PAGE * 8)), E(pread(map, words, 8, 0x7fffffffe000 / PAGE * 8)));
    P("sequence %ld", E(lseek(map, (uint64_t)(m + 2 * PAGE) / PAGE * 8, SEEK_SET)) > 0);
    P(" %ld", E(read(map, words, 8))), P(" %d\n", (int)(words[0] >> 63));
    pid_t child = fork();
    if (!child) {
        shows("parent's", m, 4);
        m[2 * PAGE] = 2;
        int own = open("/proc/self/pagemap", O_RDONLY);
        pread(own, words, 8, (uint64_t)(m + 2 * PAGE) / PAGE * 8), P("own %d once %d\n", (int)(words[0] >> 63), (int)(words[0] >> 56 & 1));
        _exit(0);
    }
    waitpid(child, 0, 0);
    child = fork();
    if (!child) {
        if (setresuid(1000, 1000, 1000)) _exit(1);
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/pagemap", getppid());
        P("other's %ld\n", E(open(path, O_RDONLY)));
        _exit(0);
    }
    waitpid(child, 0, 0);
    P("done\n");
}
