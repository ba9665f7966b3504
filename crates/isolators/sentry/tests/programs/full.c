// Fills the disk that it writes to, again and again.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static sigjmp_buf back;
static char buffer[64 << 10];

static void caught(int signal) { siglongjmp(back, signal); }

static void large(void) {
    int fd = open("/tmp/large", O_RDWR | O_CREAT, 0644);
    long sum = 0, count;
    while ((count = write(fd, buffer, sizeof buffer)) > 0)
        sum += count;
    printf("large: %s after %s", strerrorname_np(errno), sum > 1 << 20 ? "much" : "little");
    struct stat is;
    fstat(fd, &is);
    printf(", size %s\n", is.st_size == sum ? "as written" : "another");
    printf("emptied %d", ftruncate(fd, 0));
    printf(", room again: %d\n", pwrite(fd, buffer, sizeof buffer, 0) == sizeof buffer);
    close(fd);
    unlink("/tmp/large");
}

static void mapped(void) {
    int fd = open("/tmp/mapped", O_RDWR | O_CREAT, 0644);
    volatile long at = 0;
    ftruncate(fd, 64 << 20);
    char *map = mmap(0, 64 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    int signal = sigsetjmp(back, 1);
    if (!signal)
        for (; at < 64 << 20; at += 4096)
            map[at] = 1;
    printf("mapped: %s after %s\n", signal ? sigabbrev_np(signal) : "nothing", at > 1 << 20 ? "much" : "little");
    munmap(map, 64 << 20);
    close(fd);
    unlink("/tmp/mapped");
}

static void many(void) {
    char name[32];
    int n, failed = 0;
    for (n = 0; n < 100000; n++) {
        snprintf(name, sizeof name, "/tmp/m%d", n);
        int fd = open(name, O_WRONLY | O_CREAT, 0644);
        if (fd < 0 || write(fd, buffer, 4096) != 4096) {
            failed = errno;
            break;
        }
        close(fd);
    }
    printf("many: %s after %s\n", failed ? strerrorname_np(failed) : "nothing", n > 256 ? "many" : "few");
    // One that is there is written over.
    int fd = open("/tmp/m0", O_WRONLY);
    printf("in place: %zd", pwrite(fd, buffer, 4096, 0));
    printf(", more: %zd\n", pwrite(fd, buffer, 4096, 4096));
    for (; n >= 0; n--) {
        snprintf(name, sizeof name, "/tmp/m%d", n);
        unlink(name);
    }
}

int main(void) {
    signal(SIGBUS, caught);
    setvbuf(stdout, 0, _IOLBF, 0);
    memset(buffer, 'f', sizeof buffer);
    for (int round = 0; round < 2; round++) {
        large();
        mapped();
        many();
    }
    printf("done\n");
}
