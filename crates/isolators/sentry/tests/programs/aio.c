// io_setup(2) and its relatives: files, pipes, counters, waits.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *name(long r) { return r >= 0 ? "ok" : strerrorname_np(errno); }
#define TRY(call) printf("%s: %s\n", #call, name(call))
static aio_context_t c;
static long setup(unsigned n, aio_context_t *p) { return syscall(SYS_io_setup, n, p); }
static long submit(long n, struct iocb **p) { return syscall(SYS_io_submit, c, n, p); }
static long one(struct iocb *b) { return submit(1, &b); }
static struct iocb block(int code, int fd, void *buf, long n, long at) {
    return (struct iocb){.aio_data = code * 100000 + n, .aio_key = 77, .aio_lio_opcode = code, .aio_fildes = fd,
                         .aio_buf = (long)buf, .aio_nbytes = n, .aio_offset = at};
}
static struct io_event events[64];
static long get(long least, long most, long ms) {
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    return syscall(SYS_io_getevents, c, least, most, events, ms < 0 ? NULL : &t);
}
static void say(long n) {
    printf("got %ld", n);
    for (long i = 0; i < n; i++) {
        /* Who is woken hears of the kind of data, too. */
        int poll = events[i].data == 500000 && events[i].res > 0 ? POLLRDNORM | POLLWRNORM : 0;
        printf(" [%lld %lld %lld]", events[i].data, events[i].res & ~poll, events[i].res2);
    }
    puts("");
}
static void *later(void *p) {
    struct timespec t = {0, 20000000};
    nanosleep(&t, NULL);
    write((long)p, "x", 1);
    return NULL;
}
static void nothing(int n) {}
int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    char buf[8192], back[8192] = {0};
    for (int i = 0; i < 8192; i++) buf[i] = 'a' + i % 26;
    c = 5;
    TRY(setup(8, &c));
    c = 0;
    TRY(setup(0, &c));
    TRY(setup(1 << 30, &c));
    TRY(setup(100000, &c));
    TRY(setup(8, (void *)8));
    TRY(setup(8, &c));
    printf("named %d\n", c != 0);
    int fd = open("/tmp/file", O_RDWR | O_CREAT | O_TRUNC, 0600), ro = open("/tmp/file", O_RDONLY);
    struct iocb w = block(IOCB_CMD_PWRITE, fd, buf, 5000, 100), r = block(IOCB_CMD_PREAD, fd, back, 5000, 200);
    struct iocb s = block(IOCB_CMD_FSYNC, fd, 0, 0, 0), d = block(IOCB_CMD_FDSYNC, fd, 0, 0, 0);
    struct iocb *all[] = {&w, &r, &s, &d};
    printf("put %ld\n", submit(4, all));
    printf("key %u\n", w.aio_key);
    long n = 0;
    while (n < 4) n += get(1, 4, -1);
    printf("all %ld same %d\n", n, !memcmp(back, buf + 100, 4900));
    TRY(one(&r)), say(get(1, 1, -1));
    struct iovec v[2] = {{buf, 10}, {buf + 20, 30}};
    w = block(IOCB_CMD_PWRITEV, fd, v, 2, 0);
    TRY(one(&w)), say(get(1, 1, -1));
    v[0].iov_base = back;
    v[1].iov_base = back + 10;
    r = block(IOCB_CMD_PREADV, fd, v, 2, 5);
    TRY(one(&r)), say(get(1, 1, -1));
    printf("%.12s\n", back);
    r = block(IOCB_CMD_PREAD, fd, back, 10, 1 << 20);
    TRY(one(&r)), say(get(1, 1, -1));
    r = block(IOCB_CMD_PREAD, fd, (void *)8, 10, 0);
    TRY(one(&r)), say(get(1, 1, -1));
    say(get(0, 4, 0));
    say(get(1, 4, 1));
    w = block(IOCB_CMD_PWRITE, ro, buf, 5, 0);
    TRY(one(&w));
    w = block(IOCB_CMD_PWRITE, 99, buf, 5, 0);
    TRY(one(&w));
    w = block(IOCB_CMD_NOOP, fd, buf, 5, 0);
    TRY(one(&w));
    w = block(IOCB_CMD_PWRITE, fd, buf, -5, 0);
    TRY(one(&w));
    w = block(IOCB_CMD_PWRITE, fd, buf, 5, 0);
    w.aio_reserved2 = 1;
    TRY(one(&w));
    struct iocb *half[] = {&r, (void *)8};
    r = block(IOCB_CMD_PREAD, fd, back, 3, 0);
    printf("half %ld\n", submit(2, half)), say(get(1, 4, -1));
    TRY(submit(-1, half));
    TRY(submit(0, half));
    TRY(submit(1, (void *)8));
    TRY(get(2, 1, 0));
    TRY(get(-1, 1, 0));
    /* Told by a counter, and by a wait for one. */
    int e = eventfd(0, EFD_NONBLOCK), p[2];
    pipe(p);
    r = block(IOCB_CMD_PREAD, fd, back, 7, 0);
    r.aio_flags = IOCB_FLAG_RESFD;
    r.aio_resfd = e;
    TRY(one(&r));
    struct pollfd q = {e, POLLIN, 0};
    poll(&q, 1, -1);
    long count = 0;
    read(e, &count, 8);
    printf("count %ld\n", count), say(get(1, 4, 0));
    r.aio_resfd = fd;
    TRY(one(&r));
    write(p[1], "abc", 3);
    r = block(IOCB_CMD_PREAD, p[0], back, 10, 0);
    TRY(one(&r)), say(get(1, 1, -1));
    w = block(IOCB_CMD_PWRITE, p[1], buf, 10, 0);
    TRY(one(&w)), say(get(1, 1, -1));
    read(p[0], back, 10);
    struct iocb o = block(IOCB_CMD_POLL, p[0], (void *)POLLIN, 0, 0);
    o.aio_flags = IOCB_FLAG_RESFD;
    o.aio_resfd = e;
    TRY(one(&o)), say(get(0, 4, 0));
    pthread_t t;
    pthread_create(&t, NULL, later, (void *)(long)p[1]);
    say(get(1, 4, -1));
    pthread_join(t, NULL);
    poll(&q, 1, -1);
    read(e, &count, 8);
    printf("count %ld\n", count);
    TRY(one(&o)), say(get(1, 4, -1));
    read(p[0], back, 10);
    read(e, &count, 8);
    TRY(one(&o));
    TRY(syscall(SYS_io_cancel, c, &o, events)), say(get(1, 4, -1));
    TRY(syscall(SYS_io_cancel, c, &o, events));
    o.aio_nbytes = 1;
    TRY(one(&o));
    o = block(IOCB_CMD_POLL, p[1], (void *)(POLLOUT | POLLIN), 0, 0);
    TRY(one(&o)), say(get(1, 4, -1));
    s = block(IOCB_CMD_FSYNC, p[0], 0, 0, 0);
    TRY(one(&s));
    /* A signal; a mask for the wait. */
    struct sigaction a = {.sa_handler = nothing};
    sigaction(SIGALRM, &a, 0);
    struct itimerspec when = {{0, 5000000}, {0, 5000000}};
    timer_t timer;
    timer_create(CLOCK_MONOTONIC, NULL, &timer);
    timer_settime(timer, 0, &when, NULL);
    TRY(get(1, 4, -1));
    sigset_t mask;
    sigfillset(&mask);
    struct { sigset_t *m; size_t n; } given = {&mask, 8};
    struct timespec short_time = {0, 30000000};
    printf("masked %ld\n", syscall(SYS_io_pgetevents, c, 1, 4, events, &short_time, &given));
    when = (struct itimerspec){{0}};
    timer_settime(timer, 0, &when, NULL);
    /* Not the child's; gone with exec and with itself. */
    fflush(stdout);
    if (fork() == 0) {
        TRY(get(0, 1, 0));
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    o = block(IOCB_CMD_POLL, p[0], (void *)POLLIN, 0, 0);
    TRY(one(&o));
    TRY(syscall(SYS_io_destroy, c));
    TRY(syscall(SYS_io_destroy, c));
    TRY(get(0, 1, 0));
    TRY(one(&r));
    aio_context_t many[40] = {0};
    n = 0;
    for (int i = 0; i < 40; i++) n += setup(16, &many[i]) == 0;
    printf("many %ld\n", n);
    unlink("/tmp/file");
    puts("done");
}
