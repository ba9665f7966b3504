/* Files that are read again and again: what reads return while the file is written, cut, mapped,
 * removed, closed, or read by several. With an argument: "seen": whether anything was
 * copied from where files are mapped; "gone": what of that is left afterwards; "forge": answers
 * that lie. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SIZE (5L << 20)
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec / 1e9; }
static void say(const char *what, long value) { printf("%s %ld\n", what, value); fflush(stdout); }
static unsigned char at(long place, int turn) { return place * 7 + (place >> 8) + turn * 31; }
static unsigned char block[256 << 10];
static void fill(long place, long size, int turn) { for (long i = 0; i < size; i++) block[i] = at(place + i, turn); }
static long differs(unsigned char *buf, long place, long size, int turn) {
    long wrong = 0;
    for (long i = 0; i < size; i += i < 64 || i > size - 64 ? 1 : 509) wrong += buf[i] != at(place + i, turn);
    return wrong;
}
static void put(int fd, long place, long size, int turn) {
    for (long done = 0; done < size; done += sizeof block) {
        long part = size - done < sizeof block ? size - done : sizeof block;
        fill(place + done, part, turn);
        if (pwrite(fd, block, part, place + done) != part) say("pwrite", errno);
    }
}

/* So much that it is in view afterwards, where that is possible. */
static long keep_reading(int fd, int turn, long size) {
    static __thread unsigned char buf[64 << 10];
    long wrong = 0;
    for (int i = 0; i < 300; i++) {
        long place = i * 12345L % (size - (long)sizeof buf);
        wrong += pread(fd, buf, sizeof buf, place) != sizeof buf || differs(buf, place, sizeof buf, turn);
    }
    return wrong;
}

/* The page in which calls are posted: where the last answer was copied from. */
#define DESKS ((volatile unsigned char *)0x7ffe80000000)
#define VIEWS 0x7ffec0000000
static int null;
static int readable(uint64_t place) { return write(null, (void *)place, 8) == 8; }
static int copied(int i) {
    if (!readable((uint64_t)DESKS)) return 0;
    return *(volatile uint64_t *)(DESKS + 128 * i + 96) >= VIEWS;
}
/* /dev/null does not look at what is written to it. */
static void open_null(void) { null = open("/tmp/nothing", O_RDWR | O_CREAT | O_APPEND, 0600); }
static int in_view(void) {
    int seen = 0;
    for (int i = 0; i < 8; i++) {
        lseek(null, 0, SEEK_SET), ftruncate(null, 0);
        seen += readable(VIEWS + i * (64L << 20));
    }
    return seen;
}

static volatile sig_atomic_t hits;
static void handler(int number) { hits++; }

static long sizes(int fd, int turn) {
    static unsigned char buf[300 << 10];
    long wrong = 0, size, place = 0;
    for (int round = 0; round < 40; round++) {
        for (size = 1; size <= 256 << 10; size = size * 3 + round % 3) {
            place = (place * 31 + 4099 * round) % SIZE;
            long there = SIZE - place < size ? SIZE - place : size;
            buf[size] = 77;
            wrong += pread(fd, buf, size, place) != there || differs(buf, place, there, turn) || buf[size] != 77;
            wrong += lseek(fd, place, SEEK_SET) != place;
            wrong += read(fd, buf, size) != there || differs(buf, place, there, turn) || buf[size] != 77;
            wrong += lseek(fd, 0, SEEK_CUR) != place + there;
        }
        wrong += pread(fd, buf, 65536, SIZE) != 0 || pread(fd, buf, 65536, SIZE + 5000) != 0;
        wrong += pread(fd, buf, 65536, -1) != -1 || errno != EINVAL;
    }
    return wrong;
}

/* To the end, and from the start again. */
static long through(int fd, int turn, long piece) {
    unsigned char *buf = malloc(piece);
    long wrong = 0, count;
    for (int round = 0; round < 3; round++) {
        long place = 0;
        lseek(fd, 0, SEEK_SET);
        while ((count = read(fd, buf, piece)) > 0) wrong += differs(buf, place, count, turn), place += count;
        wrong += count != 0 || place != SIZE;
    }
    free(buf);
    return wrong;
}

static long bad_places(int fd, int turn) {
    long wrong = 0;
    unsigned char *two = mmap(0, 3 * 65536, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(two + 65536, 65536);
    mprotect(two + 2 * 65536, 65536, PROT_READ);
    for (int i = 0; i < 20; i++) {
        wrong += pread(fd, two + 65536, 65536, 4096) != -1 || errno != EFAULT;
        wrong += pread(fd, two + 2 * 65536, 65536, 4096) != -1 || errno != EFAULT;
        wrong += pread(fd, (void *)8, 65536, 0) != -1 || errno != EFAULT;
        /* A part is there. */
        long got = pread(fd, two + 61440, 65536, 8192);
        wrong += got != 4096 || differs(two + 61440, 8192, 4096, turn);
        wrong += lseek(fd, 1000, SEEK_SET) != 1000;
        got = read(fd, two + 61440, 65536);
        wrong += got != 4096 || differs(two + 61440, 1000, 4096, turn) || lseek(fd, 0, SEEK_CUR) != 1000 + got;
        wrong += read(fd, two + 65536, 65536) != -1 || errno != EFAULT || lseek(fd, 0, SEEK_CUR) != 1000 + got;
    }
    munmap(two, 3 * 65536);
    return wrong;
}
static long on_stack(int fd, int turn) {
    unsigned char buf[200 << 10];
    lseek(fd, 100, SEEK_SET);
    long got = read(fd, buf, sizeof buf);
    return got != sizeof buf || differs(buf, 100, got, turn);
}

static long changes(int fd, const char *name, int *turn) {
    static unsigned char buf[128 << 10];
    long wrong = 0;
    int other = open(name, O_RDWR);
    unsigned char *map = mmap(0, SIZE, 3, MAP_SHARED, other, 0);
    for (int round = 0; round < 12; round++) {
        keep_reading(fd, *turn, SIZE);
        put(other, 0, SIZE, ++*turn);
        wrong += pread(fd, buf, 65536, 70000) != 65536 || differs(buf, 70000, 65536, *turn);
        for (long i = 0; i < 65536; i++) map[4096 + i] = at(4096 + i, *turn + 1);
        wrong += pread(fd, buf, 65536, 4096) != 65536 || differs(buf, 4096, 65536, *turn + 1);
        put(fd, 4096, 65536, *turn);
        wrong += map[5000] != at(5000, *turn);
        /* Cut in the midst of a page, and of what is read. */
        ftruncate(other, 100001);
        wrong += pread(fd, buf, 65536, 90000) != 10001 || differs(buf, 90000, 10001, *turn);
        wrong += pread(fd, buf, 65536, 100001) != 0 || pread(fd, buf, 65536, 200000) != 0;
        ftruncate(fd, 0);
        wrong += pread(fd, buf, 65536, 0) != 0;
        /* A hole, and what is behind it. */
        put(other, 1 << 20, 65536, *turn);
        wrong += pread(fd, buf, 65536, 4096) != 65536 || buf[0] || buf[65535];
        wrong += pread(fd, buf, 131072, 1 << 20) != 65536 || differs(buf, 1 << 20, 65536, *turn);
        put(fd, 0, SIZE, *turn);
    }
    munmap(map, SIZE);
    close(other);
    return wrong;
}

static long closed(const char *name, int turn) {
    static unsigned char buf[65536];
    long wrong = 0;
    char path[100];
    for (int round = 0; round < 15; round++) {
        int fd = open(name, round % 2 ? O_RDONLY : O_RDWR);
        wrong += keep_reading(fd, turn, SIZE);
        sprintf(path, "%s.%d", name, round);
        int other = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
        put(other, 0, 1 << 20, 100 + round);
        if (round % 3) dup2(other, fd);
        else close(fd), wrong += dup(other) != fd;
        wrong += pread(fd, buf, 65536, 4096) != 65536 || differs(buf, 4096, 65536, 100 + round);
        unlink(path);
        wrong += keep_reading(fd, 100 + round, 1 << 20);
        close(other);
        wrong += keep_reading(fd, 100 + round, 1 << 20);
        close(fd);
        wrong += pread(fd, buf, 65536, 0) != -1 || errno != EBADF;
        int lone = open(name, O_WRONLY);
        wrong += pread(lone, buf, 65536, 0) != -1 || errno != EBADF;
        close(lone);
    }
    return wrong;
}

static int shared_fd, shared_turn;
static void *reader(void *seconds) {
    long wrong = 0;
    for (double end = now() + *(double *)seconds; now() < end;) wrong += keep_reading(shared_fd, shared_turn, SIZE);
    return (void *)wrong;
}
static void *opener(void *name) {
    long wrong = 0;
    for (int i = 0; i < 12; i++) {
        int fd = open(name, O_RDONLY);
        wrong += keep_reading(fd, shared_turn, SIZE);
        close(fd);
    }
    return (void *)wrong;
}
/* Of one file, by one position: each piece once. */
static volatile unsigned char had[SIZE / 65536];
static void *taker(void *unused) {
    unsigned char *buf = malloc(65536);
    long wrong = 0;
    while (read(shared_fd, buf, 65536) == 65536) {
        long piece = *(uint32_t *)buf;
        wrong += piece >= SIZE / 65536;
        if (piece < SIZE / 65536) __sync_fetch_and_add(&had[piece], 1);
    }
    free(buf);
    return (void *)wrong;
}
static long in_turns(void) {
    long wrong = 0;
    void *bad;
    pthread_t threads[3];
    for (uint32_t piece = 0; piece < SIZE / 65536; piece++) pwrite(shared_fd, &piece, 4, piece * 65536L);
    for (int round = 0; round < 30; round++) {
        memset((void *)had, 0, sizeof had);
        lseek(shared_fd, 0, SEEK_SET);
        for (int i = 0; i < 3; i++) pthread_create(&threads[i], 0, taker, 0);
        for (int i = 0; i < 3; i++) pthread_join(threads[i], &bad), wrong += (long)bad;
        for (int i = 0; i < SIZE / 65536; i++) wrong += had[i] != 1;
    }
    return wrong;
}

static void honest(const char *name, double seconds, int is_memory) {
    int turn = 1, status;
    long wrong = 0;
    void *bad;
    int fd = is_memory ? memfd_create("file", 0) : open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    char link[64];
    sprintf(link, "/proc/%d/fd/%d", getpid(), fd);
    if (is_memory) name = link;
    put(fd, 0, SIZE, turn);
    say("again", keep_reading(fd, turn, SIZE));
    say("sizes", sizes(fd, turn));
    say("through", through(fd, turn, 1000) + through(fd, turn, 4096) + through(fd, turn, 65536) + through(fd, turn, 200001));
    say("bad places", bad_places(fd, turn));
    say("on a stack", on_stack(fd, turn));
    say("changes", changes(fd, name, &turn));
    if (!is_memory) say("closed", closed(name, turn));
    shared_fd = fd, shared_turn = turn;
    /* A child has its own. */
    keep_reading(fd, turn, SIZE);
    for (int i = 0; i < 4; i++) {
        pid_t child = i % 2 ? fork() : vfork();
        if (!child) _exit(keep_reading(fd, turn, SIZE) != 0);
        wrong += keep_reading(fd, turn, SIZE);
        waitpid(child, &status, 0);
        wrong += status;
    }
    pid_t child = fork();
    if (!child) { char n[12], t[12]; sprintf(n, "%d", fd), sprintf(t, "%d", turn); execl("/proc/self/exe", "inview", "child", n, t, (char *)0); }
    waitpid(child, &status, 0);
    say("forks", wrong + status);
    wrong = 0;
    pthread_t threads[4];
    struct itimerval often = {{0, 700}, {0, 700}}, never = {{0}};
    signal(SIGALRM, handler);
    setitimer(ITIMER_REAL, &often, 0);
    say("signals", keep_reading(fd, turn, SIZE) + sizes(fd, turn) + through(fd, turn, 65536));
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], 0, i < 2 ? reader : opener, i < 2 ? (void *)&seconds : (void *)name);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], &bad), wrong += (long)bad;
    say("threads", wrong);
    /* What memfd_create(2) makes has no position that is each one's own for a moment. */
    if (!is_memory) say("in turns", in_turns());
    setitimer(ITIMER_REAL, &never, 0);
    close(fd);
    if (!is_memory) unlink(name);
}

/* Ours alone: what is there to be seen. */
static long seen(const char *name) {
    long wrong = 0;
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    put(fd, 0, SIZE, 1);
    /* A file that is older than its last read. */
    usleep(50000);
    for (double end = now() + 5; now() < end && !copied(0);) wrong += keep_reading(fd, 1, SIZE);
    say("wrong", wrong);
    say("copied", copied(0));
    say("in view", in_view());
    int status;
    pid_t child = fork();
    if (!child) _exit(in_view());
    waitpid(child, &status, 0);
    say("in a child's", status);
    /* Not to be changed. */
    say("mmap", (long)mmap((void *)VIEWS, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
    say("mprotect", mprotect((void *)VIEWS, 4096, 3));
    say("munmap", munmap((void *)VIEWS, 32 << 20));
    say("written", pread(fd, (void *)VIEWS, 4096, 8192));
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[300];
    int told = 0;
    while (fgets(line, sizeof line, maps)) told += strtoul(line, 0, 16) >= 0x7ffe00000000 && !strstr(line, "[v");
    fclose(maps);
    say("in maps", told);
    say("in view", in_view());
    /* However it is closed, and whoever else has it open. */
    for (int how = 0; how < 3; how++) {
        if (how) fd = open(name, O_RDWR);
        if (!(child = fork())) for (;;) pause();
        for (double end = now() + 20; now() < end && !in_view();) keep_reading(fd, 1, SIZE);
        int before = in_view();
        if (how == 0) dup2(null, fd);
        if (how == 1) close_range(fd, fd, 0);
        if (how < 2) say("closed", before * 10 + in_view());
        kill(child, SIGKILL), waitpid(child, &status, 0);
    }
    unlink(name);
    close(fd);
    say("in view", in_view());
    return 0;
}

static volatile int stop;
static void *liar(void *unused) {
    uint64_t s = 88172645463325252;
    while (!stop) {
        s ^= s << 13, s ^= s >> 7, s ^= s << 17;
        volatile uint64_t *word = (void *)(DESKS + 128 * (s >> 60 & 3));
        switch (s & 7) {
        case 0: word[12] = VIEWS + (s >> 20 & 0x1ffffff); break;
        case 1: word[12] = s; break;
        case 2: word[11] = s >> 40; break;
        case 3: word[10] = s; break;
        case 4: *(volatile uint32_t *)word = 16; break;
        default: word[12] = (uint64_t)block; word[11] = 4096;
        }
    }
    return 0;
}
static void forge(const char *name) {
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600), status;
    put(fd, 0, SIZE, 1);
    for (int i = 0; i < 6; i++) {
        pid_t child = fork();
        if (!child) {
            alarm(20);
            pthread_t one, two;
            shared_fd = fd, shared_turn = 1;
            double seconds = 1;
            keep_reading(fd, 1, SIZE);
            pthread_create(&one, 0, liar, 0);
            pthread_create(&two, 0, reader, &seconds);
            struct itimerval often = {{0, 700}, {0, 700}};
            signal(SIGVTALRM, handler);
            setitimer(ITIMER_VIRTUAL, &often, 0);
            for (double end = now() + 1; now() < end;) keep_reading(fd, 1, SIZE), ftruncate(fd, i % 2 ? SIZE : 70000), ftruncate(fd, SIZE);
            _exit(0);
        }
        waitpid(child, &status, 0);
    }
    put(fd, 0, SIZE, 1);
    say("unharmed", keep_reading(fd, 1, SIZE));
}

int main(int count, char **words) {
    if (count > 3 && !strcmp(words[1], "child")) {
        int fd = atoi(words[2]), turn = atoi(words[3]);
        return keep_reading(fd, turn, SIZE) || through(fd, turn, 65536);
    }
    open_null();
    if (count > 2 && !strcmp(words[1], "seen")) seen(words[2]);
    else if (count > 2 && !strcmp(words[1], "forge")) forge(words[2]);
    else {
        honest("/tmp/inview", 0.5, 0);
        honest(0, 0.3, 1);
    }
    puts("done");
    return 0;
}
