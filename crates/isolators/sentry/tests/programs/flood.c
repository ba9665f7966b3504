/* Descriptors in sockets in sockets; addresses and messages that lie. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>
static long give(int s, int fd) {
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec v = {"x", 1};
    struct msghdr m = {0, 0, &v, 1, control, sizeof control, 0};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    return sendmsg(s, &m, MSG_DONTWAIT) < 0 ? -errno : 1;
}
int main(void) {
    /* Each in the inbox of the next one: a chain as long as it may be, then closed. */
    int last = -1, s[2];
    long sent = 0, r = 1;
    for (int i = 0; i < 10000 && r > 0; i++) {
        if (socketpair(AF_UNIX, SOCK_DGRAM, 0, s)) return 1;
        if (last >= 0) {
            if ((r = give(s[0], last)) > 0) sent++;
            close(last);
        }
        close(s[0]);
        last = s[1];
    }
    printf("chain ends with %ld, long %d\n", r, sent > 100);
    close(last);
    /* Closed: there is room again. */
    socketpair(AF_UNIX, SOCK_STREAM, 0, s);
    printf("again %ld\n", give(s[0], 0));
    close(s[0]), close(s[1]);
    /* Circles stay, and are limited. */
    for (int i = 0, r = 1; i < 10000 && r > 0; i++) {
        socketpair(AF_UNIX, SOCK_STREAM, 0, s);
        if (give(s[0], s[1]) < 0) r = 0;
        close(s[0]), close(s[1]);
    }
    /* Whatever is in the arguments, an answer comes. */
    srand(1);
    static const int calls[] = {SYS_connect, SYS_accept, SYS_sendto, SYS_recvfrom, SYS_sendmsg, SYS_recvmsg, SYS_bind, SYS_listen, SYS_getsockname, SYS_getpeername, SYS_setsockopt, SYS_getsockopt, SYS_shutdown, SYS_accept4, SYS_recvmmsg, SYS_sendmmsg};
    static const int families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};
    static char area[4096];
    for (int i = 0; i < 60000; i++) {
        int f = socket(families[rand() % 4], (rand() % 3 + 1) | SOCK_NONBLOCK, 0);
        for (int k = 0; k < 64; k++) area[rand() % sizeof area] = rand();
        long a[5];
        for (int k = 0; k < 5; k++) {
            switch (rand() % 5) {
            case 0: a[k] = rand() % 64; break;
            case 1: a[k] = (long)area + rand() % 64; break;
            case 2: a[k] = (long)area + sizeof area - rand() % 64; break;
            case 3: a[k] = -1L << (rand() % 63); break;
            default: a[k] = 0;
            }
        }
        if (f < 0) continue;
        int n = calls[rand() % (sizeof calls / sizeof *calls)];
        if (n == SYS_sendto || n == SYS_recvfrom || n == SYS_recvmmsg || n == SYS_sendmmsg) a[2] |= MSG_DONTWAIT;
        syscall(n, f, a[0], a[1], a[2], a[3], a[4]);
        close(f);
    }
    puts("alive");
}
