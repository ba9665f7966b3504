/* Connections between machines at their ends: peers inside IP, peers outside IP. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#define MUCH (5 << 20)
#define SOME (400 << 10)
#define CLIENTS 8
static char buffer[65536];
static const char *error(void) { return errno == ECONNRESET ? "reset" : errno == ECONNREFUSED ? "refused" : strerror(errno); }
static int make(void) {
    int s = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval t = {100, 0};
    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
    setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    return s;
}
static int listener(int port, int backlog) {
    int s = make();
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (bind(s, (void *)&a, sizeof a) || listen(s, backlog)) perror("listen"), exit(1);
    return s;
}
static struct sockaddr_in address(const char *ip, int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, ip, &a.sin_addr);
    return a;
}
/* Until the other side listens. */
static int reach(const char *ip, int port) {
    struct sockaddr_in a = address(ip, port);
    for (int i = 0; i < 1000; i++) {
        int s = make();
        if (!connect(s, (void *)&a, sizeof a)) return s;
        close(s);
        usleep(100000);
    }
    perror("connect"), exit(1);
}
static void put(int s, long count) {
    while (count > 0) {
        ssize_t n = write(s, buffer, count < (long)sizeof buffer ? count : (long)sizeof buffer);
        if (n <= 0) perror("write"), exit(1);
        count -= n;
    }
}
/* Reads all, slowly. */
static void drain(int s, const char *what) {
    long all = 0, n;
    while ((n = read(s, buffer, 16384)) > 0) all += n, usleep(all % (1 << 20) < 16384 ? 50000 : 200);
    printf("%s: %ld %s\n", what, all, n ? error() : "end");
}
int main(int n, char **v) {
    if (n < 3) return 1;
    int s, l, many[CLIENTS];
    if (!strcmp(v[1], "inside")) {
        int room = listener(6002, 1), unread = listener(6003, 8);
        l = listener(6001, 8);
        /* We end first, and then much comes. */
        s = reach(v[2], 6000);
        shutdown(s, SHUT_WR);
        drain(s, "after our end");
        close(s);
        /* Both ends come before anything is read. */
        s = accept(l, 0, 0);
        for (int i = 0; i < 50 && read(s, buffer, 1) != 1; i++);
        shutdown(s, SHUT_WR);
        usleep(300000);
        drain(s, "after both ends");
        close(s);
        /* What was not read is answered by a reset. */
        s = accept(unread, 0, 0);
        recv(s, buffer, 1, MSG_PEEK);
        close(s);
        /* Who finds no room comes later. */
        usleep(500000);
        for (int i = 0; i < CLIENTS; i++) {
            s = accept(room, 0, 0);
            if (s < 0) perror("accept");
            if (write(s, "x", 1) != 1) perror("write");
            many[i] = s;
        }
        fflush(stdout);
        for (int i = 0; i < CLIENTS; i++) read(many[i], buffer, 1);
        return 0;
    }
    l = listener(6000, 8);
    s = accept(l, 0, 0);
    put(s, MUCH);
    close(s);
    s = reach(v[2], 6001);
    put(s, SOME);
    shutdown(s, SHUT_WR);
    read(s, buffer, 1);
    s = reach(v[2], 6003);
    put(s, 10);
    printf("unread: %s\n", read(s, buffer, 1) < 0 ? error() : "end");
    fflush(stdout);
    struct sockaddr_in a = address(v[2], 6002);
    for (int i = 0; i < CLIENTS; i++) {
        s = many[i] = make();
        fcntl(s, F_SETFL, O_NONBLOCK);
        connect(s, (void *)&a, sizeof a);
        /* The last ones find it full. */
        usleep(20000);
    }
    int served = 0;
    for (int i = 0; i < CLIENTS; i++) {
        struct pollfd p = {many[i], POLLIN};
        poll(&p, 1, 30000);
        if (read(many[i], buffer, 1) == 1) served++;
        else printf("client: %s\n", error());
    }
    printf("served: %d\n", served);
    return 0;
}
