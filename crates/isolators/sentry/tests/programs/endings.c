/* Sockets and FIFOs whose other side goes away, or has not come yet. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
/* A result, or the error as a negative number. */
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
static struct sockaddr_un at;
static socklen_t length;
static void called(const char *name) {
    memset(&at, 0, sizeof at);
    at.sun_family = AF_UNIX;
    strcpy(at.sun_path + 1, name);
    length = offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name);
}
static int events(int fd, int want) {
    struct pollfd p = {fd, want, 0};
    poll(&p, 1, 0);
    return p.revents;
}
static void *connects(void *a) { return (void *)E(connect(*(int *)a, (void *)&at, length)); }
static void *sends(void *a) { return (void *)E(sendto(*(int *)a, "x", 1, 0, (void *)&at, length)); }
static void *accepts(void *a) { return (void *)E(accept(*(int *)a, 0, 0)); }
/* What becomes of one that waits for a server when it is killed. */
static void killed(int type, void *(*waits)(void *)) {
    int ready[2], full = socket(AF_UNIX, type | SOCK_NONBLOCK, 0), s = socket(AF_UNIX, type, 0);
    char c;
    pipe(ready);
    called("killed");
    pid_t server = fork();
    if (!server) {
        int l = socket(AF_UNIX, type, 0);
        bind(l, (void *)&at, length);
        if (type == SOCK_STREAM) listen(l, 0);
        write(ready[1], "x", 1);
        for (;;) pause();
    }
    read(ready[0], &c, 1);
    if (type == SOCK_STREAM) connect(full, (void *)&at, length);
    else while (sendto(full, "x", 1, 0, (void *)&at, length) == 1) {}
    pthread_t t;
    pthread_create(&t, 0, waits, &s);
    usleep(100000);
    kill(server, SIGKILL);
    waitpid(server, 0, 0);
    void *result;
    pthread_join(t, &result);
    P("waited %ld", (long)result);
    if (type == SOCK_STREAM) P(" queued %ld", E(read(full, &c, 1)));
    close(s), s = socket(AF_UNIX, type, 0);
    P(" bind again %ld\n", E(bind(s, (void *)&at, length)));
    close(s), close(full), close(ready[0]), close(ready[1]);
}
static void shut(void) {
    int l = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0);
    called("shut");
    bind(l, (void *)&at, length), listen(l, 4);
    pthread_t t;
    void *result;
    pthread_create(&t, 0, accepts, &l);
    usleep(50000);
    P("shut %ld", E(shutdown(l, SHUT_RDWR)));
    pthread_join(t, &result);
    P(" accept %ld connect %ld", (long)result, E(connect(c, (void *)&at, length)));
    P(" events %x\n", events(l, POLLIN | POLLOUT | POLLRDHUP));
    close(l), close(c);
}
/* Without a descriptor, who connects stays in the queue. */
static void limited(void) {
    int l = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0), s;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof a;
    bind(l, (void *)&a, n), listen(l, 4), getsockname(l, (void *)&a, &n);
    struct rlimit old, none;
    getrlimit(RLIMIT_NOFILE, &old);
    none = old, none.rlim_cur = c + 1;
    setrlimit(RLIMIT_NOFILE, &none);
    P("nobody %ld", E(accept(l, 0, 0)));
    connect(c, (void *)&a, n);
    P(" somebody %ld", E(accept(l, 0, 0)));
    setrlimit(RLIMIT_NOFILE, &old);
    struct linger at_once = {1, 0};
    setsockopt(l, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    setsockopt(l, SOL_SOCKET, SO_OOBINLINE, &(int){1}, sizeof(int));
    P(" then %d", (s = accept(l, 0, 0)) >= 0);
    write(s, "x", 1);
    char b[2];
    P(" %ld\n", E(read(c, b, 1)));
    close(c);
    /* Options of the listener. */
    c = socket(AF_INET, SOCK_STREAM, 0);
    connect(c, (void *)&a, n);
    close(s), s = accept(l, 0, 0);
    send(c, "u", 1, MSG_OOB);
    P("inline %ld", E(read(s, b, 1)));
    close(s);
    struct pollfd p = {c, POLLIN};
    poll(&p, 1, 20000);
    P(" reset %ld\n", E(read(c, b, 1)));
    close(c), close(l);
    l = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0);
    int on = 1, value[2];
    struct timeval soon = {9, 0}, got;
    called("options");
    bind(l, (void *)&at, length), listen(l, 1);
    setsockopt(l, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon);
    setsockopt(l, SOL_SOCKET, SO_SNDBUF, &(int){9999}, sizeof(int));
    connect(c, (void *)&at, length);
    s = accept(l, 0, 0);
    n = sizeof(int), getsockopt(s, SOL_SOCKET, SO_PASSCRED, &value[0], &n);
    n = sizeof(int), getsockopt(s, SOL_SOCKET, SO_SNDBUF, &value[1], &n);
    n = sizeof got, getsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &got, &n);
    P("credentials %d buffer %d timeout %ld\n", value[0], value[1], (long)got.tv_sec);
    close(s), close(c), close(l);
}
static void fifos(void) {
    char c;
    mkfifo("/tmp/endings", 0600);
    int r = open("/tmp/endings", O_RDONLY | O_NONBLOCK);
    P("before %x read %ld", events(r, POLLIN), E(read(r, &c, 1)));
    int w = open("/tmp/endings", O_WRONLY);
    P(" open %x", events(r, POLLIN));
    write(w, "x", 1);
    P(" written %x", events(r, POLLIN));
    close(w);
    P(" closed %x", events(r, POLLIN));
    read(r, &c, 1);
    int second = open("/tmp/endings", O_RDONLY | O_NONBLOCK);
    P(" after %x second %x\n", events(r, POLLIN), events(second, POLLIN));
    close(r), close(second), unlink("/tmp/endings");
}
int main(void) {
    killed(SOCK_STREAM, connects);
    killed(SOCK_DGRAM, sends);
    shut();
    limited();
    fifos();
    P("done\n");
}
