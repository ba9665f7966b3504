/* Calls that wait: what ends them, and which file they wait on. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1e3 + t.tv_nsec / 1e6; }
static int ends[2], given;
static void *read_one(void *result) {
    char byte = 0;
    long n = read(ends[0], &byte, 1);
    __atomic_add_fetch(&given, n == 1 ? byte : 1000, __ATOMIC_SEQ_CST);
    *(long *)result = n;
    return 0;
}
/* The descriptor becomes another file's while somebody waits on it. */
static void replaced(void) {
    int other[2];
    long n = 0;
    pthread_t thread;
    /* Again, if the thread did not come to wait before. */
    for (given = 0; given != 7;) {
        if (pipe(ends) || pipe(other)) exit(1);
        given = 0;
        pthread_create(&thread, 0, read_one, &n);
        usleep(100000);
        int kept = dup(ends[0]);
        dup2(other[0], ends[0]);
        write(other[1], "\5", 1);
        write(ends[1], "\7", 1);
        pthread_join(thread, 0);
        close(kept), close(ends[0]), close(ends[1]), close(other[0]), close(other[1]);
    }
    P("replaced: %ld bytes, %d\n", n, given);
}
/* Each of many gets one byte. */
static void crowd(void) {
    enum { MANY = 100 };
    pthread_t threads[MANY];
    long n[MANY] = {0}, sum = 0;
    char bytes[MANY];
    if (pipe(ends)) exit(1);
    given = 0;
    memset(bytes, 1, MANY);
    for (int i = 0; i < MANY; i++) pthread_create(&threads[i], 0, read_one, &n[i]);
    for (int i = 0; i < MANY; i += 10) write(ends[1], bytes, 10);
    for (int i = 0; i < MANY; i++) pthread_join(threads[i], 0), sum += n[i];
    P("crowd: %ld bytes, %d\n", sum, given);
    close(ends[0]), close(ends[1]);
}
/* Times that are longer and shorter than those before; none ends early. */
static void times(void) {
    static const int millis[] = {40, 200, 15, 3, 1, 30, 0, 60, 5};
    int early = 0, set = epoll_create1(0);
    struct epoll_event event = {EPOLLIN, {0}};
    if (pipe(ends)) exit(1);
    epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &event);
    for (unsigned i = 0; i < sizeof millis / sizeof *millis; i++) {
        struct pollfd p = {ends[0], POLLIN, 0};
        double start = now();
        int found = poll(&p, 1, millis[i]);
        early += found != 0 || now() - start < millis[i];
        start = now();
        found = epoll_wait(set, &event, 1, millis[i]);
        early += found != 0 || now() - start < millis[i];
    }
    P("times: %d early\n", early);
    /* And what is there ends the wait long before. */
    pid_t child = fork();
    if (!child) { usleep(50000); write(ends[1], "a", 1); _exit(0); }
    double start = now();
    int found = epoll_wait(set, &event, 1, 100000);
    P("found %d in time %d\n", found, now() - start < 60000);
    waitpid(child, 0, 0);
    close(set), close(ends[0]), close(ends[1]);
}
static volatile int hits;
static void handler(int signal) { (void)signal; hits++; }
/* A signal ends a wait, or it goes on. */
static void signals(int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    char byte;
    int pair[2], status, sent[2];
    sigaction(SIGUSR1, &action, 0);
    if (pipe(ends) || pipe(sent) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) exit(1);
    pid_t parent = getpid(), child = fork();
    if (!child) {
        for (int i = 0; i < 4; i++) {
            struct pollfd heard = {sent[0], POLLIN, 0};
            /* Again, if it came before the wait. */
            do {
                usleep(30000);
                kill(parent, SIGUSR1);
                /* What goes on has its byte only then. */
                usleep(30000);
                if (flags && i == 0) write(ends[1], "r", 1);
                if (flags && i == 1) write(pair[1], "s", 1);
            } while (poll(&heard, 1, flags && i < 2 ? -1 : 1000) == 0);
            read(sent[0], &byte, 1);
        }
        _exit(7);
    }
    hits = 0;
    long n = read(ends[0], &byte, 1);
    P("read %ld %d hit %d\n", n, n < 0 ? errno : byte, hits > 0);
    hits = 0, write(sent[1], "a", 1);
    n = recv(pair[0], &byte, 1, 0);
    P("recv %ld %d hit %d\n", n, n < 0 ? errno : byte, hits > 0);
    hits = 0, write(sent[1], "a", 1);
    struct pollfd p = {ends[0], POLLIN, 0};
    n = poll(&p, 1, 100000);
    P("poll %ld %d hit %d\n", n, errno, hits > 0);
    hits = 0, write(sent[1], "a", 1);
    errno = 0;
    n = epoll_wait(epoll_create1(0), (struct epoll_event[1]){}, 1, -1);
    P("epoll %ld %d hit %d\n", n, errno, hits > 0);
    write(sent[1], "a", 1);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR);
    P("child %x\n", status);
    close(ends[0]), close(ends[1]), close(pair[0]), close(pair[1]), close(sent[0]), close(sent[1]);
}
/* It is stopped, goes on and is killed while it waits. */
static void ended(void) {
    int status;
    char byte;
    if (pipe(ends)) exit(1);
    pid_t child = fork();
    if (!child) { read(ends[0], &byte, 1); _exit(byte); }
    usleep(30000);
    kill(child, SIGSTOP);
    waitpid(child, &status, WUNTRACED);
    P("stopped %x\n", status);
    write(ends[1], "\11", 1);
    usleep(20000);
    P("still %d\n", waitpid(child, &status, WNOHANG));
    kill(child, SIGCONT);
    waitpid(child, &status, 0);
    P("went on %x\n", status);
    child = fork();
    if (!child) { read(ends[0], &byte, 1); _exit(1); }
    usleep(30000);
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    P("killed %x\n", status);
}
int main(void) {
    replaced();
    crowd();
    times();
    signals(0);
    signals(SA_RESTART);
    ended();
    printf("done\n");
    return 0;
}
