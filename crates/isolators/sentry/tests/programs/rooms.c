/* Calls that are made so often that they are posted, with memory that is as it should be, or
 * is not, or is changed meanwhile. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec / 1e9; }
static void say(const char *what, long value) { printf("%s %ld\n", what, value); fflush(stdout); }
#define PAGE 4096
#define FAILS(call, error) wrong += (errno = 0, (call) != -1 || errno != (error))
static int file, folder, large;
static char *ro, *none, *edge; /* a page that is read only, none, a page before none */
static char text[8192];

/* The direction flag, and registers that string instructions use. */
static long backwards(int fd, void *to, long size) {
    register long result asm("rax");
    register long a asm("rdi") = fd, b asm("rsi") = (long)to, c asm("rdx") = size;
    register long d asm("r10") = 0;
    uint64_t flags;
    asm volatile("std\n\t mov $17, %%eax\n\t syscall\n\t pushfq\n\t popq %5\n\t cld"
                 : "=a"(result), "+r"(a), "+r"(b), "+r"(c), "+r"(d), "=r"(flags) : : "rcx", "r11", "memory", "cc");
    return result != size || a != fd || b != (long)to || c != size || !(flags & 0x400);
}

static long paths(unsigned seed) {
    long wrong = 0;
    struct stat s, other;
    char name[300], *at_end = edge + PAGE - sizeof "/tmp/rooms/a-file";
    strcpy(at_end, "/tmp/rooms/a-file");
    wrong += stat(at_end, &s) || s.st_size != 8192 || fstat(file, &other) || s.st_ino != other.st_ino || s.st_mode != other.st_mode || s.st_size != other.st_size;
    wrong += fstatat(folder, "a-file", &other, 0) || other.st_ino != s.st_ino;
    wrong += lstat("/tmp/rooms/link", &other) || !S_ISLNK(other.st_mode);
    memset(edge + PAGE - 20, 'x', 20);
    FAILS(stat(edge + PAGE - 20, &s), EFAULT);
    FAILS(stat(none, &s), EFAULT);
    FAILS(stat((char *)-20L, &s), EFAULT);
    FAILS(stat((char *)0x8000000000001234, &s), EFAULT);
    strcpy(at_end, "/tmp/rooms/a-file");
    FAILS(stat(at_end, (struct stat *)ro), EFAULT);
    FAILS(stat(at_end, (struct stat *)(edge + PAGE - 100)), EFAULT);
    strcpy(at_end, "/tmp/rooms/a-file");
    FAILS(fstat(file, (struct stat *)none), EFAULT);
    FAILS(access("/tmp/rooms/none", F_OK), ENOENT);
    FAILS(access("", F_OK), ENOENT);
    wrong += access(at_end, R_OK) != 0;
    /* Longer than a piece that is copied, and over a page's end. */
    strcpy(name, "/tmp/rooms");
    while (strlen(name) < 270) strcat(name, "/.");
    strcat(name, "/a-file");
    wrong += stat(name, &s) || s.st_size != 8192;
    char *across = text + PAGE - (uintptr_t)text % PAGE - 1 - seed % 12;
    strcpy(across, "/tmp/rooms/a-file");
    int fd = open(across, O_RDONLY);
    wrong += fd < 0 || fcntl(fd, F_GETFL) & O_ACCMODE || close(fd);
    FAILS(open(none, O_RDONLY), EFAULT);
    char where[16] = {0};
    wrong += readlink("/tmp/rooms/link", where, sizeof where) != 6 || strcmp(where, "a-file");
    FAILS(readlink("/tmp/rooms/link", ro, 16), EFAULT);
    return wrong;
}

static long bytes(unsigned seed) {
    long wrong = 0, place = seed * 2654435761u % 4000, size = 1 + seed % 4096;
    static __thread char buf[8192];
    lseek(file, place, SEEK_SET);
    /* What fails moves nothing. */
    FAILS(syscall(SYS_read, file, ro, size), EFAULT);
    FAILS(read(file, none, size), EFAULT);
    FAILS(write(file, none, size), EFAULT);
    FAILS(pread(file, ro, 1, 0), EFAULT);
    /* What is read before is told. */
    static char *big;
    if (!big) big = mmap(0, 17 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), munmap(big + 16 * PAGE, PAGE);
    wrong += seed % 64 == 0 && pread(large, big, 16 * PAGE + 99, 0) != 16 * PAGE;
    FAILS(pwrite(file, none + PAGE - 1, 1, 0), EFAULT);
    wrong += read(file, none, 0) != 0 || pwrite(file, none, 0, 0) != 0;
    wrong += lseek(file, 0, SEEK_CUR) != place;
    char *to = buf + seed % 4000;
    wrong += read(file, to, size) != size;
    for (long i = 0; i < size; i += 37) wrong += to[i] != (char)(place + i);
    wrong += lseek(file, 0, SEEK_CUR) != place + size;
    wrong += pwrite(file, to, size, place) != size;
    wrong += backwards(file, to, size);
    for (long i = 0; i < size; i += 37) wrong += to[i] != (char)i;
    /* The file's end. */
    to[5] = 'e';
    wrong += pread(file, to, 4096, 8192 - 5) != 5 || to[5] != 'e' || to[4] != (char)8191;
    struct timespec t[2] = {{0}, {7, 7}};
    wrong += syscall(SYS_clock_gettime, CLOCK_REALTIME, t) || t[0].tv_sec == 0 || t[1].tv_sec != 7;
    FAILS(syscall(SYS_clock_gettime, CLOCK_REALTIME, none), EFAULT);
    FAILS(syscall(SYS_clock_gettime, 99, t), EINVAL);
    return wrong;
}

static long others(unsigned seed) {
    long wrong = 0, count = 0;
    static __thread char list[4096];
    int pair[2];
    lseek(folder, 0, SEEK_SET);
    FAILS(syscall(SYS_getdents64, folder, ro, sizeof list), EFAULT);
    FAILS(syscall(SYS_getdents64, folder, list, 3), EINVAL);
    for (long n; (n = syscall(SYS_getdents64, folder, list, sizeof list)) > 0;)
        for (long at = 0; at < n; at += ((struct dirent64 *)(list + at))->d_reclen) count++;
    wrong += count != 4;
    if (socketpair(AF_UNIX, seed % 2 ? SOCK_STREAM : SOCK_DGRAM, 0, pair)) return 1;
    wrong += send(pair[0], "some text", 9, 0) != 9;
    wrong += recv(pair[1], list, sizeof list, 0) != 9 || memcmp(list, "some text", 9);
    FAILS(send(pair[0], none, 9, 0), EFAULT);
    FAILS(recv(pair[1], list, 9, MSG_DONTWAIT), EAGAIN);
    close(pair[0]), close(pair[1]);
    FAILS(close(pair[0]), EBADF);
    char name[40];
    sprintf(name, "/tmp/rooms/new-%u-%d", seed % 7, gettid());
    wrong += close(open(name, O_CREAT | O_EXCL | O_WRONLY, 0600)) || unlink(name);
    FAILS(unlink(name), ENOENT);
    return wrong;
}

static volatile sig_atomic_t hits, faults;
static void handler(int number) { hits++; if (number != SIGALRM) faults++; }
static long rounds(double seconds) {
    long wrong = 0;
    double end = now() + seconds;
    for (unsigned i = 1; now() < end; i++) {
        for (int k = 0; k < 20; k++) wrong += paths(i * 20 + k);
        for (int k = 0; k < 20; k++) wrong += bytes(i * 20 + k);
        for (int k = 0; k < 5; k++) wrong += others(i * 20 + k);
    }
    return wrong;
}

/* Another thread takes the memory away and gives it back: an error, a part or all, and no signal. */
static int odd(long moved, long size) { return moved == -1 ? errno != EFAULT : moved < 1 || moved > size; }
static char *shaky;
static volatile int stop;
static void *shake(void *unused) {
    while (!stop) mprotect(shaky, PAGE, PROT_NONE), mprotect(shaky, PAGE, PROT_READ | PROT_WRITE), usleep(20);
    return 0;
}
static long shaken(double seconds) {
    long wrong = 0;
    pthread_t t;
    struct stat s;
    shaky = mmap(0, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_create(&t, 0, shake, 0);
    for (double end = now() + seconds; now() < end;)
        for (int i = 0; i < 200; i++) {
            wrong += odd(pread(file, shaky, 512, 0), 512);
            wrong += odd(pread(file, shaky + 99, 64, 0), 64);
            wrong += fstat(file, (struct stat *)shaky) && errno != EFAULT;
            wrong += odd(pwrite(file, shaky, 512, 9000), 512);
            wrong += stat(shaky + 7, &s) != -1 || (errno != EFAULT && errno != ENOENT);
        }
    stop = 1;
    pthread_join(t, 0);
    ftruncate(file, 8192);
    return wrong;
}

/* An open(2) that waits is no end for others to see. */
static void fifo(void) {
    int status, said[2];
    char c, count = 0;
    mkfifo("/tmp/rooms/fifo", 0600);
    pipe(said);
    pid_t child = fork();
    if (!child) {
        for (int i = 0; i < 200; i++) {
            for (int k = 0; k < 100; k++) access("/tmp/rooms/none", F_OK);
            int fd = open("/tmp/rooms/fifo", O_RDONLY);
            char c = 0;
            if (read(fd, &c, 1) != 1 || c != (char)i || read(fd, &c, 1) || close(fd)) _exit(1);
            write(said[1], &c, 1);
        }
        _exit(0);
    }
    close(said[1]);
    for (int i = 0; i < 200; i++) {
        usleep(i * 5);
        int fd = open("/tmp/rooms/fifo", O_WRONLY);
        c = i;
        if (write(fd, &c, 1) != 1) break;
        close(fd);
        if (read(said[0], &c, 1) != 1) break;
        count++;
    }
    waitpid(child, &status, 0);
    unlink("/tmp/rooms/fifo");
    say("fifo", status);
    say("told", (unsigned char)count);
}

int main(int argc, char **argv) {
    double seconds = argc > 1 ? atof(argv[1]) : 0.5;
    mkdir("/tmp/rooms", 0755);
    unlink("/tmp/rooms/link");
    symlink("a-file", "/tmp/rooms/link");
    file = open("/tmp/rooms/a-file", O_RDWR | O_CREAT | O_TRUNC, 0644);
    folder = open("/tmp/rooms", O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < 8192; i++) text[i] = i;
    if (write(file, text, sizeof text) != sizeof text) return 1;
    large = open("/tmp/rooms.large", O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (ftruncate(large, 20 * PAGE)) return 1;
    unlink("/tmp/rooms.large");
    ro = mmap(0, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    none = mmap(0, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    edge = mmap(0, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(edge + PAGE, PAGE);
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, 0), sigaction(SIGSEGV, &action, 0), sigaction(SIGBUS, &action, 0);
    say("alone", rounds(seconds));
    struct itimerval often = {{0, 700}, {0, 700}}, never = {{0}};
    setitimer(ITIMER_REAL, &often, 0);
    say("signals", rounds(seconds));
    say("shaken", shaken(seconds));
    setitimer(ITIMER_REAL, &never, 0);
    say("faults", faults);
    fifo();
    unlink("/tmp/rooms/link"), unlink("/tmp/rooms/a-file"), rmdir("/tmp/rooms");
    puts("done");
}
