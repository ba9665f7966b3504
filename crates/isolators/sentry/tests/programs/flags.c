// Flags of preadv2(2) and pwritev2(2), and hints of fcntl(2).
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef F_GET_RW_HINT
#define F_GET_RW_HINT 1035
#define F_SET_RW_HINT 1036
#endif

static char data[100000];

static void say(const char *what, long result) {
    printf("%s: %ld errno %d\n", what, result, result < 0 ? errno : 0);
}

static long in(int fd, long count, long offset, int flags) {
    struct iovec one = {data, count};
    return preadv2(fd, &one, 1, offset, flags);
}

static long out(int fd, long count, long offset, int flags) {
    struct iovec one = {data, count};
    return pwritev2(fd, &one, 1, offset, flags);
}

static long size(int fd) {
    return lseek(fd, 0, SEEK_END);
}

int main(void) {
    setvbuf(stdout, 0, _IOLBF, 0);
    int fd = open("/tmp/flags", O_CREAT | O_RDWR | O_TRUNC, 0600);
    unlink("/tmp/flags");
    say("write", out(fd, 100, -1, 0));
    say("synced", out(fd, 100, -1, RWF_SYNC));
    say("data synced", out(fd, 100, 50, RWF_DSYNC | RWF_HIPRI));
    say("position", lseek(fd, 0, SEEK_CUR));
    lseek(fd, 10, SEEK_SET);
    say("appended", out(fd, 10, 0, RWF_APPEND));
    say("position", lseek(fd, 0, SEEK_CUR));
    say("size", size(fd));
    lseek(fd, 10, SEEK_SET);
    say("appended", out(fd, 10, -1, RWF_APPEND));
    say("position", lseek(fd, 0, SEEK_CUR));
    lseek(fd, 10, SEEK_SET);
    say("read", in(fd, 50, -1, RWF_HIPRI));
    say("position", lseek(fd, 0, SEEK_CUR));
    say("read", in(fd, 50, 200, RWF_SYNC));
    say("position", lseek(fd, 0, SEEK_CUR));
    say("negative", in(fd, 50, -2, 0));
    say("unknown", in(fd, 50, -1, 0x40000000));
    say("unknown, nothing", in(fd, 0, -1, 0x40000000));
    say("unknown", out(fd, 50, -1, 0x40000000));
    say("unknown, no file", out(99, 50, -1, 0x40000000));
    say("not ours", out(open("/dev/null", O_RDONLY), 50, -1, 0));

    int pair[2];
    pipe(pair);
    say("empty pipe", in(pair[0], 50, -1, RWF_NOWAIT));
    say("at a place", in(pair[0], 50, 0, RWF_NOWAIT));
    say("pipe", out(pair[1], 50, -1, RWF_NOWAIT));
    say("pipe", in(pair[0], 100, -1, RWF_NOWAIT));
    say("fills", out(pair[1], 100000, -1, RWF_NOWAIT));
    say("full", out(pair[1], 50, -1, RWF_NOWAIT));
    say("empties", in(pair[0], 100000, -1, RWF_NOWAIT));
    close(pair[1]);
    say("ended", in(pair[0], 50, -1, RWF_NOWAIT));
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    say("empty socket", in(pair[0], 50, -1, RWF_NOWAIT));
    say("socket", out(pair[1], 50, -1, RWF_NOWAIT));
    say("socket", in(pair[0], 100, -1, RWF_NOWAIT));
    say("at a place", in(pair[0], 100, 0, RWF_NOWAIT));
    for (long part; (part = out(pair[1], 10000, -1, RWF_NOWAIT)) > 0;)
        ;
    say("full", out(pair[1], 50, -1, RWF_NOWAIT));

    uint64_t hint = 9;
    say("hint", fcntl(fd, F_GET_RW_HINT, &hint));
    printf("%lu\n", hint);
    hint = 3;
    say("set", fcntl(fd, F_SET_RW_HINT, &hint));
    hint = 9;
    int again = open("/proc/self/fd/3", O_RDONLY);
    say("hint", fcntl(again, F_GET_RW_HINT, &hint));
    printf("%lu\n", hint);
    hint = 6;
    say("bad", fcntl(fd, F_SET_RW_HINT, &hint));
    say("bad", fcntl(fd, F_SET_RW_HINT, 8));
    say("bad", fcntl(fd, F_GET_RW_HINT, 8));
    say("of files", fcntl(fd, 1037, &hint));
    printf("done\n");
}
