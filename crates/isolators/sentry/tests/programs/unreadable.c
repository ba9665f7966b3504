// What becomes of what is read into memory that can't be written.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#define PAGE 4096

static char *good;  // Two pages; the one behind can't be written.
static char text[20000];

static void fill(int fd, int count) {
    if (write(fd, text, count) != count)
        printf("short write\n");
}

// Prints what a read said, and what is there afterwards.
static void rest(const char *what, int fd, long result) {
    int error = result < 0 ? errno : 0;
    char all[40000];
    long count = 0, part;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    while (count < (long)sizeof all && (part = read(fd, all + count, sizeof all - count)) > 0)
        count += part;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    int first = count > 0 ? (unsigned char)all[0] : -1;
    printf("%s: %ld errno %d, then %ld from %d\n", what, result, error, count, first);
    memset(good, 0, 2 * PAGE);
}

static void stream(const char *name, int in, int out) {
    char what[64];
#define SAY(...) (snprintf(what, sizeof what, __VA_ARGS__), what)
    fill(out, 100);
    rest(SAY("%s nowhere", name), in, read(in, (char *)8, 100));
    fill(out, 100);
    rest(SAY("%s in the middle", name), in, read(in, good + 2 * PAGE - 50, 100));
    // What comes in two pieces may be kept in one.
    if (strcmp(name, "unix")) {
        fill(out, 100);
        fill(out, 100);
        rest(SAY("%s behind the first write", name), in, read(in, good + 2 * PAGE - 100, 200));
    }
    fill(out, 6000);
    rest(SAY("%s one page of two", name), in, read(in, good + PAGE, 6000));
    fill(out, 6000);
    rest(SAY("%s a part of the second", name), in, read(in, good + 2 * PAGE - 5000, 6000));
    fill(out, 60);
    struct iovec two[2] = {{good, 20}, {(char *)8, 40}};
    rest(SAY("%s bad vector", name), in, readv(in, two, 2));
    fill(out, 60);
    struct iovec both[2] = {{good, 20}, {good + 100, 30}};
    rest(SAY("%s good vectors", name), in, readv(in, both, 2));
    fill(out, 60);
    rest(SAY("%s small", name), in, read(in, good, 10));
}

static void terminal(void) {
    int master, slave;
    if (openpty(&master, &slave, 0, 0, 0))
        return;
    struct termios modes;
    tcgetattr(slave, &modes);
    modes.c_lflag &= ~ECHO;
    tcsetattr(slave, TCSANOW, &modes);
    for (int raw = 0; raw < 2; raw++) {
        if (raw) {
            cfmakeraw(&modes);
            tcsetattr(slave, TCSANOW, &modes);
        }
        char line[201];
        for (int i = 0; i < 200; i++)
            line[i] = 'A' + i % 50;
        line[199] = '\n';
        char what[64];
        write(master, line, 200);
        rest(SAY("terminal %d nowhere", raw), slave, read(slave, (char *)8, 200));
        write(master, line, 200);
        rest(SAY("terminal %d in the middle", raw), slave, read(slave, good + 2 * PAGE - 100, 200));
        write(master, line, 200);
        rest(SAY("terminal %d 30 nowhere", raw), slave, read(slave, (char *)8, 30));
        write(slave, line, 199);
        rest(SAY("master %d nowhere", raw), master, read(master, (char *)8, 200));
        write(slave, line, 199);
        rest(SAY("master %d in the middle", raw), master, read(master, good + 2 * PAGE - 100, 200));
    }
}

int main(void) {
    setvbuf(stdout, 0, _IOLBF, 0);
    for (int i = 0; i < (int)sizeof text; i++)
        text[i] = 1 + i % 200;
    good = mmap(0, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(good + 2 * PAGE, PAGE, PROT_NONE);
    int pair[2];
    pipe(pair);
    stream("pipe", pair[0], pair[1]);
    mkfifo("/tmp/unreadable", 0600);
    int fifo = open("/tmp/unreadable", O_RDWR);
    unlink("/tmp/unreadable");
    stream("fifo", fifo, fifo);
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    stream("unix", pair[0], pair[1]);
    // Descriptors come back with the bytes.
    char byte = 'x', control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec one = {&byte, 1};
    struct msghdr message = {.msg_iov = &one, .msg_iovlen = 1, .msg_control = control,
                             .msg_controllen = sizeof control};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET, head->cmsg_type = SCM_RIGHTS, head->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(head), &fifo, sizeof fifo);
    sendmsg(pair[1], &message, 0);
    one.iov_base = (char *)8;
    long count = recvmsg(pair[0], &message, 0);
    printf("rights: %ld errno %d\n", count, errno);
    one.iov_base = &byte, message.msg_controllen = sizeof control;
    count = recvmsg(pair[0], &message, 0);
    printf("then %ld '%c' control %zu\n", count, byte, message.msg_controllen);

    int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    bind(listener, (void *)&address, length);
    listen(listener, 1);
    getsockname(listener, (void *)&address, &length);
    connect(client, (void *)&address, length);
    int server = accept(listener, 0, 0);
    stream("tcp", server, client);
    fill(client, 100);
    rest("tcp all", server, recv(server, good + 2 * PAGE - 50, 100, MSG_WAITALL));

    socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
    fill(pair[1], 100);
    rest("datagram", pair[0], read(pair[0], good + 2 * PAGE - 50, 100));
    int file = open("/tmp/unreadable", O_RDWR | O_CREAT, 0600);
    unlink("/tmp/unreadable");
    fill(file, 9000);
    lseek(file, 0, SEEK_SET);
    rest("file nowhere", file, read(file, (char *)8, 100));
    lseek(file, 0, SEEK_SET);
    rest("file in the middle", file, read(file, good + 2 * PAGE - 50, 100));
    lseek(file, 0, SEEK_SET);
    rest("file two pages", file, read(file, good + 2 * PAGE - 6000, 9000));
    terminal();
    printf("done\n");
}
