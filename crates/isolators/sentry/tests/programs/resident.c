/* How much of a process's memory is there, by procfs and getrusage. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static long field(const char *file, const char *name) {
    FILE *f = fopen(file, "r");
    char line[512];
    long sum = 0, value, any = 0;
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, name, strlen(name)) && sscanf(line + strlen(name), " %ld", &value) == 1)
            sum += value, any = 1;
    if (f) fclose(f);
    return any ? sum : -1;
}

static void statm(const char *file, long *size, long *resident, long *shared) {
    FILE *f = fopen(file, "r");
    if (!f || fscanf(f, "%ld %ld %ld", size, resident, shared) != 3) puts("no statm");
    if (f) fclose(f);
}

/* The fields of stat behind the name: the first one is the state, field 3. */
static long stat_field(const char *file, int number) {
    FILE *f = fopen(file, "r");
    char text[1024] = "", *at;
    if (f) fread(text, 1, sizeof text - 1, f), fclose(f);
    at = strrchr(text, ')');
    if (!at) return -1;
    at = strtok(at + 2, " ");
    for (int i = 3; at && i < number; i++) at = strtok(0, " ");
    return at ? atol(at) : -1;
}

static int near(long value, long wanted) { return value >= wanted - 2048 && value < wanted + 2048; }

/* Kilobytes of the mapping that begins at `start`. */
static long of_area(const char *file, void *start, const char *name) {
    FILE *f = fopen(file, "r");
    char line[512], head[32];
    long value, found = -1, in = 0;
    snprintf(head, sizeof head, "%08lx-", (unsigned long)start);
    while (f && fgets(line, sizeof line, f)) {
        if (strstr(line, "-") && strspn(line, "0123456789abcdef") >= 8)
            in = !strncmp(line, head, strlen(head));
        else if (in && !strncmp(line, name, strlen(name)) &&
                 sscanf(line + strlen(name), " %ld", &value) == 1)
            found = value;
    }
    if (f) fclose(f);
    return found;
}

int main(void) {
    long size, resident, shared, size2, resident2, shared2;
    statm("/proc/self/statm", &size, &resident, &shared);
    long before = field("/proc/self/status", "VmRSS:"), own = field("/proc/self/status", "RssAnon:");
    long whole = field("/proc/self/smaps_rollup", "Rss:");
    char *p = mmap(0, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    /* So that nothing is merged with it. */
    mprotect(p + (48 << 20), 16 << 20, PROT_NONE);
    madvise(p, 64 << 20, MADV_NOHUGEPAGE);
    memset(p, 1, 32 << 20);
    char *s = mmap(0, 8 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memset(s, 1, 8 << 20);
    statm("/proc/self/statm", &size2, &resident2, &shared2);
    printf("statm %d %d %d\n", size2 - size == (72 << 20) / 4096,
           near((resident2 - resident) * 4, 40 << 10), near((shared2 - shared) * 4, 8 << 10));
    printf("status %d %d\n", near(field("/proc/self/status", "VmRSS:") - before, 40 << 10),
           near(field("/proc/self/status", "RssAnon:") - own, 32 << 10));
    printf("stat %d\n", near((stat_field("/proc/self/stat", 24) - resident) * 4, 40 << 10));
    printf("smaps %ld %ld %ld %ld\n", of_area("/proc/self/smaps", p, "Size:"),
           of_area("/proc/self/smaps", p, "Rss:"), of_area("/proc/self/smaps", p, "Private_Dirty:"),
           of_area("/proc/self/smaps", s, "Rss:"));
    printf("rollup %d\n", near(field("/proc/self/smaps_rollup", "Rss:") - whole, 40 << 10));
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    printf("rusage %d most %d\n", r.ru_maxrss >= 40 << 10,
           field("/proc/self/status", "VmHWM:") >= 40 << 10);
    /* Of another process, and what is given back. */
    int up[2], down[2];
    pipe(up), pipe(down);
    pid_t child = fork();
    if (!child) {
        char c;
        madvise(p, 32 << 20, MADV_DONTNEED);
        write(up[1], "x", 1);
        read(down[0], &c, 1);
        _exit(0);
    }
    char c, name[64];
    read(up[0], &c, 1);
    snprintf(name, sizeof name, "/proc/%d/statm", child);
    statm(name, &size2, &resident2, &shared2);
    printf("child %d %d\n", size2 - size == (72 << 20) / 4096, resident2 * 4 < 20 << 10);
    /* It began after us, and not long ago. */
    snprintf(name, sizeof name, "/proc/%d/stat", child);
    long later = stat_field(name, 22), mine = stat_field("/proc/self/stat", 22);
    double up_for = 0;
    FILE *f = fopen("/proc/uptime", "r");
    if (f && fscanf(f, "%lf", &up_for) == 1) fclose(f);
    long now = up_for * 100;
    printf("began %d %d\n", later >= mine, now - later >= -1 && now - later < 6000);
    write(down[1], "x", 1);
    waitpid(child, 0, 0);
    puts("done");
}
