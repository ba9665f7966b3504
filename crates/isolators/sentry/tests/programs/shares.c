/* What tasks share, and what single threads have for themselves: clone(2), unshare(2), setns(2). */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/sem.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
static char stack[65536] __attribute__((aligned(64)));
static const char *where(void) { static char t[256]; return getcwd(t, 256) ? t : "none"; }
static const char *node(void) { static struct utsname u; uname(&u); return u.nodename; }
static unsigned long number(const char *path) {
    char text[64] = "";
    if (readlink(path, text, 63) < 0) return errno;
    return strtoul(strchr(text, '[') + 1, NULL, 10);
}
static int moves(void *p) { chdir("/tmp"); umask(077); _exit(0); }
static volatile int seen;
static void on(int s) { seen = s; }
static int handles(void *p) { signal(SIGUSR1, on); _exit(0); }
static int executes(void *p) { execl("/bin/shares", "shares", "executed", (char *)0); _exit(1); }
static int stays(void *p) { chdir("/"); _exit(0); }
static int ended(pid_t p) { int s; waitpid(p, &s, __WALL); return s; }
static pthread_barrier_t bar;
static char task[64], file[64];
static int old_net, old_uts;
static void *one(void *p) {
    P("thread: unshare users %ld sighand %ld\n", E(unshare(CLONE_NEWUSER)), E(unshare(CLONE_SIGHAND)));
    P("names %ld", E(unshare(CLONE_NEWUTS)));
    P(" set %ld %s\n", E(sethostname("thread", 6)), node());
    unsigned long n = number("/proc/thread-self/ns/net");
    P("net %ld", E(unshare(CLONE_NEWNET)));
    P(" other %d process %d\n", number("/proc/thread-self/ns/net") != n, number("/proc/self/ns/net") == n);
    P("mounts by setns %ld", E(setns(open("/proc/self/ns/mnt", O_RDONLY), CLONE_NEWNS)));
    P(" fs %ld", E(unshare(CLONE_FS)));
    P(" now %ld\n", E(setns(open("/proc/self/ns/mnt", O_RDONLY), CLONE_NEWNS)));
    P("mounts %ld", E(unshare(CLONE_NEWNS)));
    mount(0, "/", 0, MS_REC | MS_PRIVATE, 0);
    P(" mount %ld", E(mount("t", "/tmp", "tmpfs", 0, 0)));
    P(" make %ld\n", E(close(open("/tmp/only-thread", O_CREAT | O_RDWR, 0600))));
    P("cwd %ld %s", E(chdir("/tmp")), where());
    umask(027);
    sprintf(task, "/proc/%d/task/%d", getpid(), gettid());
    char path[80], to[80] = "";
    sprintf(path, "%s/cwd", task);
    readlink(path, to, 79);
    P(" %s\n", to);
    P("ipc %ld cgroup %ld\n", E(unshare(CLONE_NEWIPC)), E(unshare(CLONE_NEWCGROUP)));
    P("pid %ld", E(unshare(CLONE_NEWPID)));
    P(" thread then %d\n", pthread_create(&(pthread_t){0}, 0, one, 0));
    pid_t c = fork();
    if (!c) {
        P("child %d %s %s\n", getpid(), node(), where());
        _exit(0);
    }
    ended(c);
    pthread_barrier_wait(&bar);
    pthread_barrier_wait(&bar);
    P("back: net %ld names %ld %s\n", E(setns(old_net, CLONE_NEWNET)), E(setns(old_uts, 0)), node());
    return 0;
}
static void *ends(void *p) { execl("/bin/shares", "shares", "thread", (char *)0); return 0; }
static void *own(void *p) {
    unshare(CLONE_FS | CLONE_NEWUTS);
    sethostname("executes", 8);
    chdir("/bin");
    return ends(p);
}
/* What a file says from its beginning: whether it has that in it, or the error. */
static int says(int fd, const char *what) {
    static char text[65536];
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    if (n < 0) return -errno;
    text[n] = 0;
    return !!strstr(text, what);
}
static int opens(const char *name) {
    char path[80];
    sprintf(path, "%s/%s", task, name);
    return open(path, O_RDONLY);
}
static int sets = -1;
static void *tells(void *p) {
    unshare(CLONE_FS | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS);
    sethostname("gone", 4);
    mount(0, "/", 0, MS_REC | MS_PRIVATE, 0);
    mount("only", "/tmp", "tmpfs", 0, 0);
    mkdir("/tmp/root", 0755), mount("below", "/tmp/root", "tmpfs", 0, 0), chroot("/tmp/root");
    umask(013);
    semget(0x7e115, 3, IPC_CREAT | 0600);
    sprintf(task, "/proc/%d/task/%d", getpid(), gettid());
    return 0;
}
static void *tells_and_waits(void *p) {
    int proc = open("/proc", O_RDONLY), own = openat(proc, "thread-self/mountinfo", O_RDONLY);
    P("own before %d\n", says(own, "only"));
    sets = openat(proc, "sysvipc/sem", O_RDONLY);
    tells(p);
    P("own since %d", says(openat(proc, "thread-self/mountinfo", O_RDONLY), "below"));
    P(" as before %d sets %d", says(own, "only"), says(sets, "516373"));
    sets = openat(proc, "sysvipc/sem", O_RDONLY);
    P(" %d\n", says(sets, "516373"));
    pthread_barrier_wait(&bar);
    pthread_barrier_wait(&bar);
    return 0;
}
static void told(void) {
    const char *names[] = {"mountinfo", "mounts", "mountstats"};
    int of[3], own[3], status;
    pthread_t t;
    pthread_create(&t, 0, tells_and_waits, 0);
    pthread_barrier_wait(&bar);
    for (int i = 0; i < 3; i++) {
        char path[80];
        sprintf(path, "/proc/self/%s", names[i]);
        of[i] = opens(names[i]), own[i] = open(path, O_RDONLY);
        P("%s: below %d only %d, process's %d\n", names[i], says(of[i], "below"), says(of[i], "only"), says(own[i], "below"));
    }
    status = opens("status");
    P("root %d umask %d %d\n", says(of[1], "below / "), says(status, "Umask:\t0013"), says(open("/proc/self/status", O_RDONLY), "Umask:\t0013"));
    pthread_barrier_wait(&bar);
    pthread_join(t, 0);
    while (!access(task, F_OK)) usleep(1000);
    for (int i = 0; i < 3; i++) P("%s: below %d\n", names[i], says(of[i], "below"));
    P("sets %d status %d mounts %ld\n", says(sets, "516373"), says(status, "Umask"), E(opens("mounts")));
}
/* Operations of semaphores that are taken back: with the last who shares the list of them. */
static int ready[2], over[2];
static long value(int set) { return E(semctl(set, 0, GETVAL)); }
/* The same, once it is what it becomes when a thread has ended. */
static long settled(int set, long wanted) {
    for (int i = 0; i < 20000 && value(set) != wanted; i++) usleep(1000);
    return value(set);
}
static void operate(int set, int by) { semop(set, &(struct sembuf){0, by, SEM_UNDO}, 1); }
static void *operates(void *p) {
    char c;
    int old = *(int *)p;
    operate(old, 1);
    unshare(CLONE_NEWIPC);
    int own = semget(0x7e115, 1, IPC_CREAT | 0600);
    semctl(own, 0, SETVAL, 5);
    operate(own, -2);
    P("operated: own %ld\n", value(own));
    if (!fork()) {
        write(ready[1], "x", 1), read(over[0], &c, 1);
        P("own list: %ld", settled(own, 5));
        _exit(0);
    }
    return 0;
}
static void *once(void *p) { operate(*(int *)p, 1); return 0; }
static void *detaches(void *p) {
    operate(*(int *)p, 1);
    P("detach %ld:", E(unshare(CLONE_SYSVSEM)));
    P(" %ld", value(*(int *)p));
    operate(*(int *)p, 1);
    return 0;
}
static int shares_undo(void *p) { operate(*(int *)p, 1); _exit(0); }
static void undone(void) {
    char c;
    pthread_t t;
    int set = semget(IPC_PRIVATE, 1, 0600);
    pipe(ready), pipe(over);
    pthread_create(&t, 0, operates, &set);
    pthread_join(t, 0), read(ready[0], &c, 1);
    write(over[1], "x", 1), wait(0);
    P(" shared: %ld\n", value(set));
    semctl(set, 0, SETVAL, 0);
    pid_t p = fork();
    if (!p) {
        pthread_create(&t, 0, once, &set), pthread_join(t, 0);
        P("of a thread: %ld", value(set));
        pthread_create(&t, 0, detaches, &set), pthread_join(t, 0);
        P(" then %ld", settled(set, 2));
        _exit(0);
    }
    ended(p);
    P(" ended: %ld\n", value(set));
    /* with another process */
    p = clone(shares_undo, stack + sizeof stack, CLONE_SYSVSEM | SIGCHLD, &set), ended(p);
    P("another's: %ld same %ld", value(set), E(syscall(SYS_kcmp, getpid(), getpid(), 6, 0, 0)));
    P(" left %ld:", E(unshare(CLONE_SYSVSEM)));
    P(" %ld\n", value(set));
    if (!(p = fork())) {
        operate(set, 3);
        execl("/bin/sh", "sh", "-c", "exit 0", (char *)0);
    }
    ended(p);
    P("executed: %ld\n", value(set));
    semctl(set, 0, IPC_RMID);
}
/* What is left of who has ended, until it is waited for. */
static void left(const char *who, pid_t p) {
    const char *names[] = {"ns/mnt", "ns/net", "ns/uts", "ns/ipc", "ns/cgroup", "ns/pid", "ns/pid_for_children", "ns/user", "cwd", "root", "exe", "mounts", "mountinfo", "mountstats", "fd/1"};
    P("%s:", who);
    for (int i = 0; i < 15; i++) {
        char path[80], to[256];
        struct stat s;
        sprintf(path, "/proc/%d/%s", p, names[i]);
        long r = E(i < 11 ? readlink(path, to, 255) : i < 14 ? open(path, O_RDONLY) : lstat(path, &s));
        P(" %s %ld", names[i], r < 0 ? r : 0);
    }
    P("\n");
}
static void *pauses(void *p) { for (;;) pause(); }
static void ends_first(void) {
    pthread_t t;
    pid_t p = fork();
    if (!p) _exit(0);
    siginfo_t i;
    waitid(P_PID, p, &i, WEXITED | WNOWAIT);
    left("zombie", p), ended(p);
    if (!(p = fork())) {
        unshare(CLONE_NEWUTS | CLONE_NEWNS);
        pthread_create(&t, 0, pauses, 0);
        pthread_exit(0);
    }
    char path[64], text[4096];
    sprintf(path, "/proc/%d/status", p);
    for (int k = 0; k < 5000; k++) {
        int fd = open(path, O_RDONLY), n = read(fd, text, 4095);
        close(fd);
        text[n < 0 ? 0 : n] = 0;
        if (strstr(text, "State:\tZ")) break;
        usleep(1000);
    }
    left("first thread", p);
    kill(p, SIGKILL), ended(p);
}
static int sleeps(void *p) { for (;;) pause(); }
static int leaves(void *p) { _exit(0); }
/* Who has the memory, or what signals do, as long as he has not ended, and not a moment longer. */
static void others(void) {
    pid_t p = clone(sleeps, stack + sizeof stack, CLONE_VM | SIGCHLD, 0);
    P("others: memory %ld actions %ld", E(unshare(CLONE_VM)), E(unshare(CLONE_SIGHAND)));
    kill(p, SIGKILL), ended(p);
    p = clone(sleeps, stack + sizeof stack, CLONE_VM | CLONE_SIGHAND | SIGCHLD, 0);
    P(" both %ld %ld", E(unshare(CLONE_VM)), E(unshare(CLONE_SIGHAND)));
    kill(p, SIGKILL), ended(p);
    int bad = 0;
    for (int i = 0; i < 300; i++) {
        int flags = CLONE_VM | (i & 1 ? CLONE_SIGHAND : 0) | (i & 2 ? CLONE_VFORK : 0) | SIGCHLD;
        p = clone(i & 4 ? sleeps : leaves, stack + sizeof stack, i & 4 ? flags & ~CLONE_VFORK : flags, 0);
        if (i & 4) kill(p, SIGKILL);
        ended(p);
        bad += !!unshare(CLONE_VM) + !!unshare(CLONE_SIGHAND);
    }
    P(" after them %d\n", bad);
}
int main(int argc, char **argv) {
    struct stat s;
    pid_t p;
    if (argc > 1) {
        P("%s: at %s of %s\n", argv[1], where(), node());
        return 0;
    }
    sethostname("box", 3);
    chdir("/"), umask(022);
    p = clone(moves, stack + sizeof stack, CLONE_FS | SIGCHLD, 0);
    ended(p);
    P("shared: %s %o\n", where(), umask(022));
    chdir("/");
    p = clone(moves, stack + sizeof stack, SIGCHLD, 0);
    ended(p);
    P("own: %s %o\n", where(), umask(022));
    p = clone(handles, stack + sizeof stack, CLONE_VM | CLONE_SIGHAND | SIGCHLD, 0);
    ended(p);
    raise(SIGUSR1);
    P("handler: %d\n", seen == SIGUSR1);
    signal(SIGUSR2, on);
    p = clone(executes, stack + sizeof stack, CLONE_VM | CLONE_VFORK | CLONE_SIGHAND | CLONE_FS | SIGCHLD, 0);
    ended(p);
    raise(SIGUSR2);
    P("kept: %d\n", seen == SIGUSR2);
    P("flags %ld %ld %ld\n", E(unshare(CLONE_SIGHAND)), E(unshare(CLONE_VM)), E(unshare(CLONE_SYSVSEM | CLONE_FS | CLONE_FILES)));
    others();
    sethostname("box", 3);
    old_net = open("/proc/self/ns/net", O_RDONLY), old_uts = open("/proc/self/ns/uts", O_RDONLY);
    pthread_barrier_init(&bar, 0, 2);
    pthread_t t;
    pthread_create(&t, 0, one, 0);
    pthread_barrier_wait(&bar);
    P("main: %s at %s mask %o stat %ld\n", node(), where(), umask(022), E(stat("/tmp/only-thread", &s)));
    char a[80], b[80];
    const char *kinds[] = {"net", "uts", "mnt", "ipc", "cgroup", "user", "pid"};
    for (int i = 0; i < 7; i++) {
        sprintf(a, "%s/ns/%s", task, kinds[i]), sprintf(b, "/proc/self/ns/%s", kinds[i]);
        P("%s %d ", kinds[i], number(a) == number(b));
    }
    P("\n");
    sprintf(a, "%s/mounts", task);
    P("mounts differ %d\n", !!strcmp(a, "/proc/self/mounts"));
    pthread_barrier_wait(&bar);
    pthread_join(t, 0);
    P("still %s\n", node());
    told();
    ends_first();
    undone();
    /* a child that is traced although its tracer does not ask for it, and one that is not */
    for (int way = 0; way < 3; way++) {
        if (!(p = fork())) {
            ptrace(PTRACE_TRACEME, 0, 0, 0);
            raise(SIGSTOP);
            int flags = way == 0 ? CLONE_PTRACE : way == 1 ? CLONE_UNTRACED : 0;
            pid_t c = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
            if (!c) _exit(7);
            _exit(ended(c) >> 8);
        }
        P("way %d: stop %x", way, ended(p));
        if (way == 1) ptrace(PTRACE_SETOPTIONS, p, 0, PTRACE_O_TRACEFORK | PTRACE_O_TRACECLONE);
        ptrace(PTRACE_CONT, p, 0, 0);
        int st, n = 0;
        pid_t q;
        while ((q = waitpid(-1, &st, __WALL)) > 0) {
            if (q == p && WIFEXITED(st)) { P(" ended %x others %d\n", st, n); break; }
            if (q != p) n++;
            if (WIFSTOPPED(st)) ptrace(PTRACE_CONT, q, 0, WSTOPSIG(st) == SIGSTOP || WSTOPSIG(st) == SIGTRAP ? 0 : WSTOPSIG(st));
        }
        while (waitpid(-1, &st, __WALL | WNOHANG) > 0);
    }
    if (!(p = fork())) {
        pthread_create(&t, 0, own, 0);
        for (;;) pause();
    }
    P("%x\n", ended(p));
    P("done\n");
}
