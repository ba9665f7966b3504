// Names of memory (PR_SET_VMA).
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SET_VMA 0x53564d41
#define PAGE 4096ul

static char *base;

static void show(const char *file) {
    char line[512];
    FILE *maps = fopen(file, "r");
    while (fgets(line, sizeof line, maps)) {
        unsigned long start, end;
        if (sscanf(line, "%lx-%lx", &start, &end) != 2)
            continue;
        if (start < (unsigned long)base || start >= (unsigned long)base + 32 * PAGE)
            continue;
        char *name = strchr(line, '[');
        printf("  %2ld-%2ld %s", (start - (long)base) / PAGE, (end - (long)base) / PAGE, name ? name : "\n");
    }
    fclose(maps);
}

static void name(const char *what, long first, long size, const char *text) {
    errno = 0;
    int result = prctl(SET_VMA, 0, base + first, size, text);
    printf("%s: %d errno %d\n", what, result, errno);
}

int main(void) {
    setvbuf(stdout, 0, _IOLBF, 0);
    base = mmap(0, 40 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(base, 40 * PAGE);
    mmap(base, 10 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    name("one", PAGE, PAGE, "one");
    name("odd size", 2 * PAGE, 5000, "the other: a.b-c/d(e)");
    show("/proc/self/maps");
    name("same", 2 * PAGE, PAGE, "one");
    show("/proc/self/maps");
    name("odd place", 100, PAGE, "x");
    name("nothing", 5 * PAGE, 0, "x");
    name("too much", 5 * PAGE, -1, "x");
    name("beyond", 5 * PAGE, -2 * PAGE, "x");
    name("bad", 5 * PAGE, PAGE, "a[b");
    name("bad", 5 * PAGE, PAGE, "a$b");
    name("bad", 5 * PAGE, PAGE, "a\\b");
    name("bad", 5 * PAGE, PAGE, "a\nb");
    name("bad", 5 * PAGE, PAGE, "a\x7f");
    name("nowhere", 5 * PAGE, PAGE, (char *)8);
    char text[100];
    memset(text, 'n', sizeof text);
    text[80] = 0;
    name("long", 5 * PAGE, PAGE, text);
    text[79] = 0;
    name("longest", 5 * PAGE, PAGE, text);
    name("empty", 6 * PAGE, PAGE, "");
    show("/proc/self/maps");
    printf("other %d\n", prctl(SET_VMA, 1, base, PAGE, "x") < 0 ? errno : 0);
    int fd = open("/proc/self/exe", O_RDONLY);
    mmap(base + 12 * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0);
    name("with a hole", 8 * PAGE, 4 * PAGE, "hole");
    name("with a file", 9 * PAGE, 4 * PAGE, "file");
    name("a file", 12 * PAGE, PAGE, "file");
    show("/proc/self/maps");
    mremap(base + PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, base + 20 * PAGE);
    mprotect(base + 20 * PAGE, PAGE, PROT_READ);
    show("/proc/self/maps");
    if (!fork()) {
        name("child's", 3 * PAGE, PAGE, "child");
        show("/proc/self/maps");
        _exit(0);
    }
    wait(0);
    name("none", 0, 10 * PAGE, 0);
    show("/proc/self/maps");
    char *heap = sbrk(0x10000);
    printf("heap %d\n", prctl(SET_VMA, 0, ((unsigned long)heap + PAGE) & -PAGE, PAGE, "heap"));
    printf("done\n");
}
