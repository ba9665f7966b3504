/* What is written reaches the disk: `syncs` says how much of the files is still to be written,
   before and after a call. Without arguments the writer; with a path, the one who looks. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(r) ({ long r_ = (r); r_ < 0 ? -errno : r_; })
static char bytes[1 << 20];
int main(int count, char **words) {
    if (count > 2) {
        /* Pages of a file that are in memory only; host's. */
        struct { unsigned long cached, dirty, writing, evicted, lately; } seen;
        struct { unsigned long start, length; } all = {0, strtoul(words[2], 0, 0)};
        int fd = open(words[1], O_RDONLY);
        if (syscall(451, fd, &all, &seen, 0)) return P("no cachestat %d\n", errno), 1;
        P("%lu\n", seen.dirty + seen.writing);
        return 0;
    }
    memset(bytes, 'x', sizeof bytes);
    int fd = open("/tmp/f", O_CREAT | O_RDWR | O_TRUNC, 0600), dir = open("/tmp", O_RDONLY), path = open("/tmp/f", O_PATH), p[2], s[2], empty = open("/proc/self/maps", O_RDONLY), null = open("/dev/null", O_RDWR);
    pipe(p);
    socketpair(AF_UNIX, SOCK_STREAM, 0, s);
    write(fd, bytes, sizeof bytes);
    const char *how = words[1];
    if (!strcmp(how, "sync")) { close(fd); sync(); }
    if (!strcmp(how, "syncfs")) { close(fd); P("%ld\n", E(syncfs(dir))); }
    if (!strcmp(how, "fsync")) P("%ld\n", E(fsync(fd)));
    if (!strcmp(how, "range")) P("%ld\n", E(sync_file_range(fd, 0, 1 << 19, SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER)));
    if (!strcmp(how, "fifo")) { close(fd); mkfifo("/tmp/p", 0600); fd = open("/tmp/p", O_RDWR); P("%ld\n", E(syncfs(fd))); unlink("/tmp/p"); }
    if (!strcmp(how, "errors")) {
        int all[] = {fd, dir, path, p[0], s[0], empty, null, 77};
        for (int i = 0; i < sizeof all / sizeof *all; i++)
            P("%d: %ld %ld %ld %ld %ld\n", i, E(syncfs(all[i])), E(fsync(all[i])), E(fdatasync(all[i])), E(sync_file_range(all[i], 0, 0, 2)), E(readahead(all[i], 0, 10)));
        P("%ld %ld %ld %ld\n", E(sync_file_range(fd, 0, 0, 8)), E(sync_file_range(fd, -1, 0, 2)), E(sync_file_range(fd, 0, -1, 2)), E(sync_file_range(fd, 1L << 62, 1L << 62, 2)));
        P("%ld %ld\n", E(sync_file_range(fd, 1 << 30, 1 << 20, 7)), E(sync_file_range(fd, 0, 0, 0)));
    }
    P("done\n");
}
