/* Message queues of System V and of POSIX. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "asleep.h"
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
struct message { long kind; char text[9000]; } m;
static int q;
static long send_(long kind, int length, int flags) { m.kind = kind; memset(m.text, 'a' + kind % 20, length > 0 ? length : 0); return E(msgsnd(q, &m, length, flags)); }
static long take(long kind, int room, int flags) { m.kind = -1; return E(msgrcv(q, &m, room, kind, flags)); }
static void nap(void) { nanosleep(&(struct timespec){0, 1000000}, 0); }
static void show(const char *what, long got) { P("%s %ld type %ld '%c'\n", what, got, m.kind, got > 0 ? m.text[0] : '-'); }
static volatile sig_atomic_t hits;
static int code, value;
static void on(int s) { (void)s; hits++; }
static void informed(int s, siginfo_t *i, void *c) { (void)s; (void)c; code = i->si_code, value = i->si_value.sival_int; hits++; }
static void text_of(const char *path, const char *start) {
    static char text[65536];
    int fd = open(path, O_RDONLY), n = 0, r;
    while ((r = read(fd, text + n, sizeof text - 1 - n)) > 0) n += r;
    close(fd);
    text[n] = 0;
    char *end = strchr(text, '\n');
    P("%s: %.*s\n", path, (int)(end ? end - text : 0), text);
    for (char *l = end; l; l = strchr(l + 1, '\n'))
        if (*start != 'n' && atol(l + 1) == atol(start)) { char *e = strchr(l + 1, '\n'); P("row of %d, mode %.5s\n", (int)(e - l), l + 23); }
}

static void system_v(void) {
    key_t key = 0x45000000 | (getpid() & 0xffff);
    P("none %ld", E(msgget(key, 0)));
    q = msgget(key, IPC_CREAT | IPC_EXCL | 0640);
    P(" made %d again %ld found %d\n", q >= 0, E(msgget(key, IPC_CREAT | IPC_EXCL | 0600)), msgget(key, 0) == q);
    P("empty %ld %ld\n", take(0, 10, IPC_NOWAIT), take(5, 10, IPC_NOWAIT));
    P("bad type %ld %ld long %ld bad queue %ld fault %ld\n", send_(0, 1, 0), send_(-1, 1, 0), send_(1, 8193, 0), E(msgsnd(-1, &m, 1, 0)), E(msgsnd(q, (void *)8, 1, 0)));
    for (int i = 0; i < 6; i++) send_((int[]){7, 3, 9, 3, 2, 8}[i], 10 + i, 0);
    show("lowest to 4", take(-4, 100, 0));
    show("lowest to 4", take(-4, 100, 0));
    show("not 7", take(7, 100, MSG_EXCEPT));
    show("copy 1", take(1, 100, MSG_COPY | IPC_NOWAIT));
    show("copy 9", take(9, 100, MSG_COPY | IPC_NOWAIT));
    P("copy that waits %ld except %ld\n", take(0, 100, MSG_COPY), take(0, 100, MSG_COPY | IPC_NOWAIT | MSG_EXCEPT));
    show("3", take(3, 100, 0));
    show("3 again", take(3, 100, IPC_NOWAIT));
    show("short", take(0, 2, 0));
    show("cut", take(0, 2, MSG_NOERROR));
    struct msqid_ds d;
    P("stat %ld", E(msgctl(q, IPC_STAT, &d)));
    P(" %ld messages %ld bytes room %ld mode %o pids %d %d times %d %d\n", (long)d.msg_qnum, (long)d.__msg_cbytes, (long)d.msg_qbytes, d.msg_perm.mode, d.msg_lspid == getpid(), d.msg_lrpid == getpid(), d.msg_stime > 0, d.msg_rtime > 0);
    show("last", take(0, 100, 0));
    send_(4, 0, 0);
    show("without text", take(0, 0, 0));
    /* room */
    int n = 0;
    while (send_(1, 8000, IPC_NOWAIT) == 0) n++;
    P("fits %d %ld", n, send_(1, 8000, IPC_NOWAIT));
    P(" small %ld\n", send_(1, 384, IPC_NOWAIT));
    P("none %ld\n", send_(1, 1, IPC_NOWAIT));
    pid_t p = fork();
    if (!p) _exit(send_(5, 100, 0) == 0 ? 3 : 4);
    until_asleep(p, p);
    int st;
    P("waits %d\n", waitpid(p, &st, WNOHANG));
    take(0, 9000, 0);
    waitpid(p, &st, 0);
    P("went on %d\n", WEXITSTATUS(st));
    show("what it sent", take(5, 9000, 0));
    while (take(0, 9000, IPC_NOWAIT) > 0);
    p = fork();
    if (!p) { long got = take(6, 100, 0); _exit(got == 12 && m.text[0] == 'g' ? 5 : 6); }
    until_asleep(p, p);
    send_(5, 9, 0);
    send_(6, 12, 0);
    waitpid(p, &st, 0);
    P("received %d rest %ld\n", WEXITSTATUS(st), take(0, 100, IPC_NOWAIT));
    p = fork();
    if (!p) {
        sigaction(SIGALRM, &(struct sigaction){.sa_handler = on, .sa_flags = SA_RESTART}, 0);
        setitimer(ITIMER_REAL, &(struct itimerval){{1}, {1}}, 0);
        P("signal %ld\n", take(0, 100, 0));
        _exit(0);
    }
    waitpid(p, &st, 0);
    d.msg_perm.mode = 0600, d.msg_perm.uid = 7, d.msg_perm.gid = 8, d.msg_qbytes = 100;
    P("set %ld", E(msgctl(q, IPC_SET, &d)));
    P(" small %ld", send_(1, 90, IPC_NOWAIT));
    P(" %ld\n", send_(1, 90, IPC_NOWAIT));
    char start[16];
    sprintf(start, "%d", key);
    text_of("/proc/sysvipc/msg", start);
    text_of("/proc/sysvipc/sem", "none");
    text_of("/proc/sysvipc/shm", "none");
    p = fork();
    if (!p) {
        setgid(9), setuid(9);
        P("other: send %ld receive %ld stat %ld set %ld remove %ld get %ld\n", send_(1, 1, IPC_NOWAIT), take(0, 9, IPC_NOWAIT), E(msgctl(q, IPC_STAT, &d)), E(msgctl(q, IPC_SET, &d)), E(msgctl(q, IPC_RMID, 0)), E(msgget(key, 0600)));
        _exit(0);
    }
    waitpid(p, &st, 0);
    p = fork();
    if (!p) {
        setgid(8), setuid(7);
        struct msqid_ds more = d;
        more.msg_qbytes = 1 << 20;
        P("owner: send %ld more %ld", send_(1, 1, IPC_NOWAIT), E(msgctl(q, IPC_SET, &more)));
        more.msg_qbytes = 1000;
        P(" less %ld\n", E(msgctl(q, IPC_SET, &more)));
        _exit(0);
    }
    waitpid(p, &st, 0);
    struct msginfo i;
    P("info %d", E(msgctl(0, IPC_INFO, (void *)&i)) >= 0);
    P(" %d %d %d %d %d %d %d %d", i.msgpool, i.msgmap, i.msgmax, i.msgmnb, i.msgmni, i.msgssz, i.msgtql, i.msgseg);
    P(" use %d", E(msgctl(0, MSG_INFO, (void *)&i)) >= 0);
    P(" %d %d %d\n", i.msgpool, i.msgmap, i.msgtql);
    P("at 0 %d bad %ld %ld\n", E(msgctl(0, MSG_STAT, &d)) == q, E(msgctl(9, MSG_STAT, &d)), E(msgctl(q, 99, &d)));
    while (take(0, 100, IPC_NOWAIT) >= 0);
    p = fork();
    if (!p) { P("removed meanwhile %ld\n", take(0, 9, 0)); _exit(0); }
    until_asleep(p, p);
    long removed = E(msgctl(q, IPC_RMID, 0));
    waitpid(p, &st, 0);
    P("remove %ld gone %ld %ld %ld\n", removed, send_(1, 1, 0), take(0, 1, 0), E(msgctl(q, IPC_RMID, 0)));
    text_of("/proc/sysvipc/msg", start);
}

static void told(union sigval v) { hits = v.sival_int; }

static void posix(void) {
    char text[8192];
    struct mq_attr a;
    unsigned priority;
    mkdir("/tmp/queues", 0755);
    P("mount %ld\n", E(mount("mqueue", "/tmp/queues", "mqueue", 0, 0)));
    mqd_t d = mq_open("/one", O_RDWR);
    P("none %d %d\n", (int)d, errno);
    P("names %ld %ld %ld\n", E(syscall(SYS_mq_open, "a/b", O_RDWR, 0, 0)), E(syscall(SYS_mq_open, "", O_RDWR | O_CREAT, 0600, 0)), E(syscall(SYS_mq_open, ".", O_RDWR, 0600, 0)));
    d = mq_open("/one", O_RDWR | O_CREAT | O_EXCL, 0640, 0);
    P("made %d again %ld", d >= 0, E(mq_open("/one", O_RDWR | O_CREAT | O_EXCL, 0640, 0)));
    mq_getattr(d, &a);
    P(" %ld %ld %ld %ld cloexec %ld\n", a.mq_flags, a.mq_maxmsg, a.mq_msgsize, a.mq_curmsgs, E(fcntl(d, F_GETFD)));
    struct stat s;
    P("file %ld", E(stat("/tmp/queues/one", &s)));
    P(" %o %ld links %ld\n", s.st_mode, (long)s.st_size, (long)s.st_nlink);
    struct pollfd pf = {d, POLLIN | POLLOUT};
    P("poll %d", poll(&pf, 1, 0));
    P(" %x send %ld", pf.revents, E(mq_send(d, "low", 3, 1)));
    P(" %ld", E(mq_send(d, "high", 4, 9)));
    P(" %ld", E(mq_send(d, "", 0, 1)));
    P(" poll %d", poll(&pf, 1, 0));
    P(" %x\n", pf.revents);
    int fd = open("/tmp/queues/one", O_RDONLY);
    memset(text, 0, sizeof text);
    P("read %ld %s", E(read(fd, text, 200)), text);
    P("write %ld %ld\n", E(write(fd, "x", 1)), E(write(d, "x", 1)));
    close(fd);
    P("long %ld priority %ld room %ld file %ld\n", E(mq_send(d, text, 8193, 0)), E(mq_send(d, text, 1, 32768)), E(mq_receive(d, text, 8191, 0)), E(mq_send(1, "", 0, 0)));
    for (int i = 0; i < 3; i++) { long n = E(mq_receive(d, text, 8192, &priority)); P("got %ld %.*s of %u\n", n, (int)n, text, priority); }
    mqd_t r = mq_open("/one", O_RDONLY | O_NONBLOCK), w = mq_open("/one", O_WRONLY | O_NONBLOCK);
    P("empty %ld wrong way %ld %ld\n", E(mq_receive(r, text, 8192, 0)), E(mq_send(r, "", 0, 0)), E(mq_receive(w, text, 8192, 0)));
    int n = 0;
    while (mq_send(w, "xyz", 3, n) == 0) n++;
    P("full at %d %d poll ", n, errno);
    pf.fd = w;
    P("%d", poll(&pf, 1, 0));
    P(" %x\n", pf.revents);
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    P("time %ld", E(mq_timedsend(d, "", 0, 0, &t)));
    t.tv_nsec = -1;
    P(" bad %ld\n", E(mq_timedsend(d, "", 0, 0, &t)));
    while (mq_receive(r, text, 8192, 0) >= 0);
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_nsec += 20000000;
    if (t.tv_nsec > 999999999) t.tv_sec++, t.tv_nsec -= 1000000000;
    P("time %ld\n", E(mq_timedreceive(d, text, 8192, 0, &t)));
    struct mq_attr set = {.mq_flags = O_NONBLOCK}, old;
    P("set %ld", E(mq_setattr(d, &set, &old)));
    P(" %ld now %ld", old.mq_flags, E(mq_receive(d, text, 8192, 0)));
    P(" bad %ld", E(mq_setattr(d, &(struct mq_attr){.mq_flags = 3}, 0)));
    set.mq_flags = 0;
    mq_setattr(d, &set, &old);
    P(" old %d\n", old.mq_flags == O_NONBLOCK);
    pid_t p = fork();
    int st;
    if (!p) { long n = mq_receive(d, text, 8192, &priority); _exit(n == 4 && priority == 3 ? 8 : 9); }
    until_asleep(p, p);
    mq_send(d, "wake", 4, 3);
    waitpid(p, &st, 0);
    P("received %d\n", WEXITSTATUS(st));
    /* being told */
    sigaction(SIGUSR1, &(struct sigaction){.sa_sigaction = informed, .sa_flags = SA_SIGINFO | SA_RESTART}, 0);
    struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 77};
    P("notify %ld", E(mq_notify(d, &e)));
    P(" again %ld", E(mq_notify(r, &e)));
    p = fork();
    if (!p) { P(" other %ld", E(mq_notify(d, &e))); mq_send(d, "a", 1, 0); mq_send(d, "b", 1, 0); _exit(0); }
    waitpid(p, &st, 0);
    P(" told %d code %d value %d\n", hits, code, value);
    fd = open("/tmp/queues/one", O_RDONLY);
    e.sigev_notify = SIGEV_NONE;
    P("register %ld", E(mq_notify(d, &e)));
    n = read(fd, text, 200);
    text[33] = 0;
    P(" %s\n", text);
    close(fd);
    P("unregister %ld", E(mq_notify(d, 0)));
    P(" twice %ld\n", E(mq_notify(d, 0)));
    e.sigev_notify = 99;
    P("bad %ld", E(mq_notify(d, &e)));
    e.sigev_notify = SIGEV_SIGNAL, e.sigev_signo = 99;
    P(" signal %ld file %ld\n", E(mq_notify(d, &e)), E(syscall(SYS_mq_notify, 1, 0)));
    while (mq_receive(r, text, 8192, 0) >= 0);
    e = (struct sigevent){.sigev_notify = SIGEV_THREAD, .sigev_notify_function = told, .sigev_value.sival_int = 55};
    hits = 0;
    P("thread %ld", E(mq_notify(d, &e)));
    mq_send(d, "t", 1, 0);
    for (int i = 0; i < 10000 && hits != 55; i++) nap();
    P(" ran %d\n", hits);
    e = (struct sigevent){.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    mqd_t other = mq_open("/one", O_RDWR);
    mq_notify(d, &e);
    mq_close(other);
    P("closed: free again %ld\n", E(mq_notify(d, &e)));
    /* names */
    P("rename %ld link %ld mkdir %ld symlink %ld\n", E(rename("/tmp/queues/one", "/tmp/queues/two")), E(link("/tmp/queues/one", "/tmp/queues/two")), E(mkdir("/tmp/queues/d", 0700)), E(symlink("x", "/tmp/queues/l")));
    P("by file %d\n", close(creat("/tmp/queues/three", 0600)));
    mqd_t three = mq_open("/three", O_RDWR);
    P("opened %d send %ld\n", three >= 0, E(mq_send(three, "x", 1, 0)));
    P("unlink %ld", E(mq_unlink("/one")));
    P(" again %ld by file %ld\n", E(mq_unlink("/one")), E(unlink("/tmp/queues/three")));
    P("still there %ld\n", E(mq_send(d, "x", 1, 0)));
    p = fork();
    if (!p) {
        mqd_t mine = mq_open("/root", O_RDWR | O_CREAT, 0600, 0);
        setgid(9), setuid(9);
        P("other: open %ld unlink %ld", E(mq_open("/root", O_RDWR)), E(mq_unlink("/root")));
        P(" many %ld long %ld none %ld", E(mq_open("/x", O_RDWR | O_CREAT, 0600, &(struct mq_attr){.mq_maxmsg = 11, .mq_msgsize = 1})), E(mq_open("/x", O_RDWR | O_CREAT, 0600, &(struct mq_attr){.mq_maxmsg = 1, .mq_msgsize = 8193})), E(mq_open("/x", O_RDWR | O_CREAT, 0600, &(struct mq_attr){})));
        struct rlimit l = {20000, 20000};
        setrlimit(RLIMIT_MSGQUEUE, &l);
        P(" limit %ld", E(mq_open("/y", O_RDWR | O_CREAT, 0600, 0)));
        P(" small %d\n", mq_open("/z", O_RDWR | O_CREAT, 0600, &(struct mq_attr){.mq_maxmsg = 2, .mq_msgsize = 10}) >= 0);
        mq_unlink("/z");
        _exit(0);
    }
    waitpid(p, &st, 0);
    P("root's %ld\n", E(mq_unlink("/root")));
    P("umount %ld\n", E(umount("/tmp/queues")));
    rmdir("/tmp/queues");
}

int main(void) {
    system_v();
    posix();
    P("done\n");
    return 0;
}
