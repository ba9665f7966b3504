/* Pipes of packets (O_DIRECT): each write is read alone, what finds no room is lost, and each
 * takes a page. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define E(x) ({ long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })

static char bytes[1 << 17], back[1 << 17];

static int waiting(int fd) {
    int count = -1;
    ioctl(fd, FIONREAD, &count);
    return count;
}

static void all(int fd) {
    long n;
    while ((n = E(read(fd, back, sizeof back))) > 0) printf(" %ld", n);
    printf(" end %ld\n", n);
}

static int room(int fd) {
    struct pollfd p = {fd, POLLOUT};
    return poll(&p, 1, 0);
}

int main(void) {
    int p[2], count = 0;
    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < sizeof bytes; i++) bytes[i] = i * 7 + i / 4096;
    printf("bad %ld\n", E(pipe2(p, O_DIRECT | O_APPEND)));
    printf("made %ld", E(pipe2(p, O_DIRECT | O_NONBLOCK)));
    printf(" flags %d %d\n", fcntl(p[0], F_GETFL) & O_DIRECT, fcntl(p[1], F_GETFL) & O_DIRECT);
    write(p[1], "first", 5), write(p[1], "second", 6), write(p[1], "", 0), write(p[1], "third", 5);
    printf("waiting %d", waiting(p[0]));
    memset(back, 0, 16);
    printf(" read %ld '%s'", E(read(p[0], back, 3)), back);
    memset(back, 0, 16);
    printf(" read %ld '%s'", E(read(p[0], back, 100)), back);
    struct iovec two[2] = {{back, 2}, {back + 10, 10}};
    memset(back, 0, 16);
    printf(" read %ld '%s' '%s'", E(readv(p[0], two, 2)), back, back + 10);
    printf(" none %ld\n", E(read(p[0], back, 100)));
    /* Larger ones are several; those of a vector are one. */
    printf("large %ld:", E(write(p[1], bytes, 10000)));
    all(p[0]);
    struct iovec parts[2] = {{bytes, 100}, {bytes, 200}};
    printf("vector %ld:", E(writev(p[1], parts, 2)));
    all(p[0]);
    while (write(p[1], "x", 1) == 1) count++;
    printf("room for %d, waiting %d, room %d", count, waiting(p[0]), room(p[1]));
    read(p[0], back, 1);
    printf(" then %d %ld", room(p[1]), E(write(p[1], bytes, 8192)));
    printf(" %ld\n", E(write(p[1], bytes, 8192)));
    all(p[0]);
    printf("huge %ld:", E(write(p[1], bytes, sizeof bytes)));
    all(p[0]);
    printf("size %ld %ld", E(fcntl(p[1], F_SETPIPE_SZ, 8192)), E(write(p[1], "a", 1)));
    printf(" %ld %ld %ld\n", E(write(p[1], "b", 1)), E(write(p[1], "c", 1)), E(fcntl(p[1], F_SETPIPE_SZ, 4096)));
    /* Packets before, a stream behind, and packets again. */
    all(p[0]);
    fcntl(p[1], F_SETPIPE_SZ, 65536);
    write(p[1], "packet", 6);
    printf("changed %ld %d\n", E(fcntl(p[1], F_SETFL, O_NONBLOCK)), fcntl(p[1], F_GETFL) & O_DIRECT);
    write(p[1], "stream", 6), write(p[1], "stream", 6);
    printf("packet");
    all(p[0]);
    printf("changed %ld %d\n", E(fcntl(p[1], F_SETFL, O_NONBLOCK | O_DIRECT)), !!(fcntl(p[1], F_GETFL) & O_DIRECT));
    write(p[1], "packet", 6), write(p[1], "packet", 6);
    all(p[0]);
    /* Who waits for room goes on. */
    fcntl(p[1], F_SETFL, O_DIRECT), fcntl(p[0], F_SETFL, 0);
    pid_t child = fork();
    if (!child) {
        close(p[0]);
        for (int i = 1; i <= 100; i++) if (write(p[1], bytes, i) != i) _exit(1);
        _exit(write(p[1], bytes, sizeof bytes) != sizeof bytes);
    }
    close(p[1]);
    int bad = 0, status;
    for (int i = 1; i <= 100; i++) bad += read(p[0], back, sizeof back) != i || memcmp(back, bytes, i);
    for (int i = 0; i < sizeof bytes / 4096; i++)
        bad += read(p[0], back, sizeof back) != 4096 || memcmp(back, bytes + i * 4096, 4096);
    printf("followed: bad %d end %ld", bad, E(read(p[0], back, 1)));
    waitpid(child, &status, 0);
    printf(" status %d\n", status);
    /* Of one that has a name, and of sockets and files. */
    mkfifo("/tmp/packets", 0600);
    char again[64];
    snprintf(again, sizeof again, "/proc/self/fd/%d", p[0]);
    printf("open %ld %ld", E(open("/tmp/packets", O_RDWR | O_DIRECT)), E(open(again, O_RDONLY | O_DIRECT)));
    int both = open("/tmp/packets", O_RDWR | O_NONBLOCK);
    printf(" named %ld", E(fcntl(both, F_SETFL, O_NONBLOCK | O_DIRECT)));
    printf(" %ld %ld:", E(write(both, "ab", 2)), E(write(both, "cd", 2)));
    all(both);
    close(p[0]), close(both), unlink("/tmp/packets");
    pipe2(p, O_DIRECT), close(p[0]);
    printf("nobody %ld %ld\n", E(write(p[1], "x", 1)), E(write(p[1], "", 0)));
    puts("done");
}
