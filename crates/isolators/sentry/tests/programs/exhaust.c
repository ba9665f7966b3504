/* Takes of one thing as much as there is; says with which errors it ended, and that things
   still work afterwards. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
static char bytes[65536];

static void all_files(void) {
    struct rlimit r;
    getrlimit(RLIMIT_NOFILE, &r);
    r.rlim_cur = r.rlim_max;
    setrlimit(RLIMIT_NOFILE, &r);
}

static void descriptors(void) {
    all_files();
    int n = 0, fd;
    while ((fd = open("/tmp/f", O_CREAT | O_RDWR, 0600)) >= 0 && n < 100000) n++;
    P("files: many %d error %s\n", n > 1000, strerrorname_np(errno));
    for (int i = 3; i < n + 3; i++) close(i);
    n = 0;
    while (n < 1500 && (fd = memfd_create("m", 0)) >= 0) { n++; if (write(fd, bytes, 32768) < 0) break; }
    P("memory files: many %d\n", n > 500);
    for (int i = 3; i < n + 3; i++) close(i);
    n = 0;
    while ((fd = eventfd(0, 0)) >= 0 && n < 100000) n++;
    P("events: many %d error %s\n", n > 1000, strerrorname_np(errno));
    for (int i = 3; i < n + 3; i++) close(i);
    n = 0;
    int p[2];
    while (n < 600 && pipe2(p, O_NONBLOCK) == 0) { while (write(p[1], bytes, 65536) > 0); n++; }
    P("pipes: many %d\n", n > 500);
    for (int i = 3; i < 2 * n + 3; i++) close(i);
    n = 0;
    while (n < 300 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p) == 0) { while (write(p[1], bytes, 65536) > 0); n++; }
    P("sockets: many %d\n", n > 200);
    for (int i = 3; i < 2 * n + 3; i++) close(i);
    unlink("/tmp/f");
}

static void watches(void) {
    int fd = -1, n = 0, sets = 0;
    while (sets < 1000) { int next = inotify_init1(IN_NONBLOCK); if (next < 0) break; fd = next; sets++; }
    P("sets: %d error %s\n", sets > 100, strerrorname_np(errno));
    mkdir("/tmp/w", 0700);
    while (n < 100000) {
        char name[64];
        sprintf(name, "/tmp/w/%d", n);
        close(open(name, O_CREAT | O_WRONLY, 0600));
        if (inotify_add_watch(fd, name, IN_ALL_EVENTS) < 0) break;
        n++;
        if (n == 1000) break;
    }
    P("watches %d\n", n);
    inotify_add_watch(fd, "/tmp/w/0", IN_MODIFY | IN_ACCESS);
    inotify_add_watch(fd, "/tmp/w/1", IN_MODIFY | IN_ACCESS);
    int a = open("/tmp/w/0", O_RDWR), b = open("/tmp/w/1", O_RDWR), overflow = 0;
    for (int i = 0; i < 9000; i++) { pwrite(a, "x", 1, 0); pwrite(b, "x", 1, 0); }
    for (int r; (r = read(fd, bytes, sizeof bytes)) > 0;)
        for (char *e = bytes; e < bytes + r; e += sizeof(struct inotify_event) + ((struct inotify_event *)e)->len)
            overflow |= !!(((struct inotify_event *)e)->mask & IN_Q_OVERFLOW);
    P("overflow %d\n", overflow);
    for (int i = 0; i <= n; i++) { char name[64]; sprintf(name, "/tmp/w/%d", i); unlink(name); }
    rmdir("/tmp/w");
}

static void nesting(void) {
    int last = epoll_create1(0), n = 0;
    for (; n < 3000; n++) {
        int next = epoll_create1(0);
        struct epoll_event e = {EPOLLIN};
        if (next < 0 || epoll_ctl(next, EPOLL_CTL_ADD, last, &e)) break;
        last = next;
    }
    P("sets in sets end %d\n", n < 3000);
    char path[64];
    int depth = 0;
    mkdir("/tmp/n", 0700);
    chdir("/tmp/n");
    while (depth < 3000 && mkdir("d", 0700) == 0 && chdir("d") == 0) depth++;
    P("folders %d\n", depth > 1000);
    while (depth-- > 0) { chdir(".."); if (rmdir("d")) { P("rmdir %s\n", strerrorname_np(errno)); break; } }
    chdir("/");
    rmdir("/tmp/n");
}

static void objects(void) {
    int n = 0, id, first = -1;
    while ((id = shmget(IPC_PRIVATE, 4096, 0600)) >= 0 && n < 100000) { if (first < 0) first = id; n++; }
    P("segments: many %d error %s\n", n > 500, strerrorname_np(errno));
    struct shmid_ds d;
    for (int i = 0; i <= n; i++) { id = shmctl(i, SHM_STAT, &d); if (id >= 0) shmctl(id, IPC_RMID, 0); }
    n = 0;
    while ((id = semget(IPC_PRIVATE, 1000, 0600)) >= 0 && n < 100000) n++;
    P("semaphores: many %d error %s\n", n > 500, strerrorname_np(errno));
    for (int i = 0; i <= n; i++) { id = semctl(i, 0, SEM_STAT, bytes); if (id >= 0) semctl(id, 0, IPC_RMID); }
    n = 0;
    struct { long kind; char text[8192]; } m = {1};
    while ((id = msgget(IPC_PRIVATE, 0600)) >= 0 && n < 100000) {
        n++;
        while (msgsnd(id, &m, 8192, IPC_NOWAIT) == 0);
        if (errno != EAGAIN) { P("message %s\n", strerrorname_np(errno)); break; }
    }
    P("message queues: many %d\n", n > 500);
    struct msqid_ds q;
    for (int i = 0; i <= n; i++) { id = msgctl(i, MSG_STAT, &q); if (id >= 0) msgctl(id, IPC_RMID, 0); }
    n = 0;
    for (; n < 1000; n++) {
        char name[32];
        sprintf(name, "/q%d", n);
        int f = mq_open(name, O_RDWR | O_CREAT, 0600, 0);
        if (f < 0) break;
        close(f);
    }
    P("named queues: some %d error %s\n", n > 5, strerrorname_np(errno));
    for (int i = 0; i <= n; i++) { char name[32]; sprintf(name, "/q%d", i); mq_unlink(name); }
}

static void mounts(void) {
    mkdir("/tmp/m", 0700);
    int n = 0;
    while (n < 200000 && mount("t", "/tmp/m", "tmpfs", 0, "size=4k") == 0) n++;
    P("mounts: many %d error %s\n", n > 1000, strerrorname_np(errno));
    struct stat s;
    P("stat %d\n", stat("/tmp/m", &s));
    for (int i = 0; i < 20; i++) if (umount("/tmp/m")) P("umount %s\n", strerrorname_np(errno));
    P("again %d\n", mount("t", "/tmp/m", "tmpfs", 0, "size=4k"));
}

static void areas(void) {
    int n = 0;
    char *p = mmap(0, 200000 * 8192UL, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    while (n < 200000 && mprotect(p + n * 8192UL, 4096, PROT_READ) == 0) n++;
    P("areas: many %d error %s\n", n > 10000, strerrorname_np(errno));
    P("unmap %d\n", munmap(p, 200000 * 8192UL));
    p = mmap(0, 1UL << 40, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    P("huge %d\n", p != MAP_FAILED);
    P("part %d\n", mprotect(p + (1UL << 39), 8192, PROT_READ | PROT_WRITE));
    p[1UL << 39] = 1;
    munmap(p, 1UL << 40);
}

static void signals(void) {
    sigset_t s;
    sigemptyset(&s);
    sigaddset(&s, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &s, 0);
    int n = 0;
    while (n < 20000 && sigqueue(getpid(), SIGRTMIN, (union sigval){n}) == 0) n++;
    P("signals: many %d error %s\n", n > 100, strerrorname_np(errno));
    siginfo_t i;
    int got = 0;
    struct timespec none = {0, 0};
    while (sigtimedwait(&s, &i, &none) > 0) got++;
    P("got %d\n", got == n);
    timer_t t;
    n = 0;
    struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
    while (n < 500000 && timer_create(CLOCK_MONOTONIC, &e, &t) == 0) {
        struct itimerspec when = {{0, 1000000}, {0, 1000000}};
        timer_settime(t, 0, &when, 0);
        n++;
    }
    P("timers: some %d error %s\n", n > 30, strerrorname_np(errno));
    int all_of = 0;
    while (all_of < 100 && sigtimedwait(&s, &i, &(struct timespec){5, 0}) > 0) all_of++;
    P("fired %d\n", all_of);
}

static void *sleeps(void *fd) { char c; read((intptr_t)fd, &c, 1); return 0; }
static void threads(void) {
    int p[2], n = 0;
    pipe(p);
    pthread_attr_t a;
    pthread_attr_init(&a);
    pthread_attr_setstacksize(&a, 16384);
    static pthread_t t[1500];
    while (n < 1500 && pthread_create(&t[n], &a, sleeps, (void *)(intptr_t)p[0]) == 0) n++;
    P("threads %d\n", n > 100);
    close(p[1]);
    for (int i = 0; i < n; i++) pthread_join(t[i], 0);
    P("joined\n");
}

/* Under a limit of processes. */
static void bomb(void) {
    int n = 0, failed = 0;
    for (; n < 5000; n++) {
        pid_t p = fork();
        if (p < 0) { failed = errno; break; }
        if (!p) { fork(); pause(); _exit(0); }
    }
    P("processes: some %d error %s\n", n > 3, strerrorname_np(failed));
    signal(SIGTERM, SIG_IGN);
    kill(-1, SIGKILL);
    while (wait(0) > 0 || errno == EINTR);
    P("gone\n");
    pid_t p = fork();
    if (!p) _exit(3);
    int st = 0;
    waitpid(p, &st, 0);
    P("again %d\n", WEXITSTATUS(st));
}

static void memory(void) {
    pid_t p = fork();
    if (!p) {
        for (;;) { char *m = mmap(0, 1 << 20, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); if (m == MAP_FAILED) _exit(2); memset(m, 1, 1 << 20); }
    }
    int st;
    waitpid(p, &st, 0);
    P("killed %d\n", WIFSIGNALED(st) ? WTERMSIG(st) : -WEXITSTATUS(st));
}

int main(int count, char **words) {
    struct { const char *name; void (*f)(void); } all[] = {
        {"descriptors", descriptors}, {"watches", watches}, {"nesting", nesting}, {"objects", objects},
        {"mounts", mounts}, {"areas", areas}, {"signals", signals}, {"threads", threads}, {"bomb", bomb}, {"memory", memory}};
    for (int i = 0; i < sizeof all / sizeof *all; i++)
        if (!strcmp(words[1], all[i].name)) all[i].f();
    P("done\n");
}
