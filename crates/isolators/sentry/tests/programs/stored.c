// Files as programs use them, whose content lies wherever the file system keeps it: says what
// happened, the same on every file system with holes.
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
#include <sys/wait.h>
#include <unistd.h>

static sigjmp_buf back;

static void caught(int signal) { siglongjmp(back, signal); }

static unsigned char pattern(int file, long at) { return (unsigned char)(file * 31 + at * 7 + at / 4096 + 1); }

static void fill(int file, unsigned char *bytes, long length) {
    for (long at = 0; at < length; at++)
        bytes[at] = pattern(file, at);
}

static int zeros(const unsigned char *bytes, long length) {
    for (long at = 0; at < length; at++)
        if (bytes[at])
            return 0;
    return 1;
}

static unsigned char buffer[1 << 20], other[1 << 20];

static void small(void) {
    int fd = open("/tmp/small", O_RDWR | O_CREAT | O_TRUNC, 0644);
    memset(buffer, 'x', sizeof buffer);
    printf("write %zd\n", write(fd, buffer, 10));
    printf("gap %zd\n", pwrite(fd, buffer, 5, 5000));
    memset(buffer, 1, sizeof buffer);
    printf("read %zd\n", pread(fd, buffer, sizeof buffer, 0));
    printf("between %d %c %c\n", zeros(buffer + 10, 4990), buffer[9], buffer[5000]);
    printf("cut %d grown %d\n", ftruncate(fd, 3), ftruncate(fd, 4000));
    memset(buffer, 1, sizeof buffer);
    long count = pread(fd, buffer, sizeof buffer, 0);
    printf("read %ld %c %d\n", count, buffer[2], zeros(buffer + 3, count - 3));
    lseek(fd, 0, SEEK_END);
    for (int i = 0; i < 10; i++) {
        memset(buffer, 'a' + i, 9000);
        if (write(fd, buffer, 9000) != 9000)
            printf("short\n");
    }
    count = pread(fd, buffer, sizeof buffer, 0);
    printf("grown %ld %c %c\n", count, buffer[4000], buffer[count - 1]);
    printf("emptied %d\n", ftruncate(fd, 0));
    memset(buffer, 'y', 100);
    printf("again %zd read %zd at end %zd\n", write(fd, buffer, 100), pread(fd, buffer, 200, 0),
           pread(fd, buffer, 200, 94100));
    close(fd);
}

// Files that others take the place of: each has its own content and nobody else's.
static void several(void) {
    char name[32];
    int bad = 0;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 120; i++) {
            if (round && i % 2 == round % 2)
                continue;
            long length = (i * 1201L + round * 333) % 90000;
            snprintf(name, sizeof name, "/tmp/s%d", i);
            unlink(name);
            int fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
            fill(i + round, buffer, length);
            // A part, the end, and then the rest.
            long part = length / 3;
            if (pwrite(fd, buffer, part, 0) != part)
                bad++;
            if (ftruncate(fd, part + 100) || pread(fd, other, sizeof other, 0) != part + 100 ||
                !zeros(other + part, 100))
                bad++;
            if (pwrite(fd, buffer + part, length - part, part) != length - part || ftruncate(fd, length))
                bad++;
            close(fd);
        }
    }
    for (int i = 0; i < 120; i++) {
        int round = i % 2 ? 2 : 1;
        long length = (i * 1201L + round * 333) % 90000;
        snprintf(name, sizeof name, "/tmp/s%d", i);
        int fd = open(name, O_RDONLY);
        struct stat is;
        fstat(fd, &is);
        fill(i + round, buffer, length);
        if (is.st_size != length || pread(fd, other, sizeof other, 0) != length || memcmp(buffer, other, length))
            bad++;
        close(fd);
        if (i % 3)
            unlink(name);
    }
    printf("several: %d bad\n", bad);
}

static void mapped(void) {
    int fd = open("/tmp/mapped", O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (write(fd, "hello", 5) != 5)
        printf("short\n");
    char *map = mmap(0, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *same = mmap(0, 4096, PROT_READ, MAP_SHARED, fd, 0);
    memcpy(map, "J", 1);
    char text[8] = "";
    printf("read %zd", pread(fd, text, 5, 0));
    printf(" %s", text);
    pwrite(fd, "y", 1, 4);
    printf(" mapped %.5s\n", same);
    if (!(errno = sigsetjmp(back, 1)))
        map[4096] = 1;
    printf("behind the end: %s\n", errno == SIGBUS ? "SIGBUS" : "nothing");
    ftruncate(fd, 3 * 4096);
    if (!sigsetjmp(back, 1))
        map[2 * 4096] = 'z';
    if (!fork()) {
        map[1] = 'U';
        pwrite(fd, "P", 1, 2);
        _exit(map[2 * 4096] == 'z' ? 0 : 1);
    }
    int status;
    wait(&status);
    printf("child %d: %.5s", WEXITSTATUS(status), map);
    int late = open("/tmp/mapped", O_RDONLY);
    pread(late, text, 1, 2 * 4096);
    printf(" %c\n", text[0]);
    char *mine = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, late, 0);
    mine[0] = 'M';
    printf("private %.5s %.5s\n", mine, map);
    char *read_only = mmap(0, 4096, PROT_READ, MAP_SHARED, late, 0);
    map[3] = 'V';
    printf("read-only %.5s, to be written %d\n", read_only, mprotect(read_only, 4096, PROT_WRITE | PROT_READ));
    ftruncate(fd, 0);
    if (!(errno = sigsetjmp(back, 1)))
        printf("%d\n", map[0]);
    printf("cut: %s\n", errno == SIGBUS ? "SIGBUS" : "nothing");
    unlink("/tmp/mapped");
    printf("without a name: %zd\n", pwrite(fd, "more", 4, 1 << 20));
}

static void holes(void) {
    int fd = open("/tmp/holes", O_RDWR | O_CREAT | O_TRUNC, 0644);
    memset(buffer, 'h', 4096);
    pwrite(fd, buffer, 4096, 0);
    pwrite(fd, buffer, 4096, 1 << 20);
    printf("hole %ld data %ld end %ld\n", (long)lseek(fd, 0, SEEK_HOLE), (long)lseek(fd, 4096, SEEK_DATA),
           (long)lseek(fd, (1 << 20) + 1, SEEK_HOLE));
    printf("punched %d\n", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
    printf("data %ld first %d\n", (long)lseek(fd, 0, SEEK_DATA), (int)(pread(fd, other, 4096, 0) == 4096 && zeros(other, 4096)));
    struct stat is;
    printf("reserved %d", fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 2 << 20));
    fstat(fd, &is);
    printf(" size %ld blocks %d\n", (long)is.st_size, is.st_blocks * 512 >= 2 << 20);
    printf("longer %d", fallocate(fd, 0, 0, 3 << 20));
    fstat(fd, &is);
    printf(" size %ld\n", (long)is.st_size);
    int nameless = open("/tmp", O_TMPFILE | O_RDWR, 0600);
    write(nameless, "nameless", 8);
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", nameless);
    printf("link %d", linkat(AT_FDCWD, path, AT_FDCWD, "/tmp/named", AT_SYMLINK_FOLLOW));
    int named = open("/tmp/named", O_RDONLY);
    memset(other, 0, 16);
    printf(" read %zd %s\n", read(named, other, 16), other);
}

// A file that is there already, below.
static void lower(void) {
    int reads = open("/etc/lower", O_RDONLY), writes;
    char *before = mmap(0, 4096, PROT_READ, MAP_PRIVATE, reads, 0);
    struct stat was, is;
    fstat(reads, &was);
    printf("lower %ld %.4s\n", (long)was.st_size, before);
    writes = open("/etc/lower", O_RDWR);
    pwrite(writes, "UP", 2, 70000);
    printf("read %zd", pread(reads, other, 2, 70000));
    printf(" %.2s\n", other);
    fstat(reads, &is);
    char *map = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, writes, 0);
    map[0] = 'Z';
    pread(reads, other, 4, 0);
    printf("same %d size %ld %.4s\n", was.st_ino == is.st_ino, (long)is.st_size, other);
    int cut = open("/etc/tiny", O_WRONLY | O_TRUNC);
    printf("cut %zd\n", write(cut, "new", 3));
}

int main(void) {
    signal(SIGBUS, caught);
    setvbuf(stdout, 0, _IOLBF, 0);
    small();
    several();
    mapped();
    holes();
    lower();
    printf("done\n");
}
