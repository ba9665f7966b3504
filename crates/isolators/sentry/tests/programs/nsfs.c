/* What is asked of descriptors of namespaces (ioctl_nsfs(2)), and numbers of processes of another namespace. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <mqueue.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/ptrace.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
static int ended(pid_t p) { int s; waitpid(p, &s, 0); return s; }
static int ns(const char *kind) {
    char path[64];
    sprintf(path, "/proc/self/ns/%s", kind);
    return open(path, O_RDONLY);
}
static unsigned long inode(int fd) { struct stat s; return fstat(fd, &s) ? 0 : s.st_ino; }
static void ask(void) {
    const char *kinds[] = {"user", "pid", "net", "uts", "mnt", "ipc", "cgroup"};
    for (int i = 0; i < 7; i++) {
        int fd = ns(kinds[i]), user = ioctl(fd, NS_GET_USERNS), e = errno;
        unsigned uid = 99;
        P("%s: type %lx users %s", kinds[i], E(ioctl(fd, NS_GET_NSTYPE)), user < 0 ? strerrorname_np(e) : inode(user) == inode(ns("user")) ? "own" : "other");
        int parent = ioctl(fd, NS_GET_PARENT);
        P(" parent %s", parent < 0 ? strerrorname_np(errno) : inode(parent) == inode(fd) ? "same" : "other");
        long r = E(ioctl(fd, NS_GET_OWNER_UID, &uid));
        P(" owner %ld", r);
        P(" %u other %ld\n", uid, E(ioctl(fd, 0xb7ff)));
        if (parent >= 0) P("  above it: type %lx parent %ld\n", E(ioctl(parent, NS_GET_NSTYPE)), E(ioctl(parent, NS_GET_PARENT)));
    }
}
static volatile int from[2], code[2];
/* Which of the two comes last is not said. */
static void on(int s, siginfo_t *i, void *c) { from[s == SIGUSR2] = i->si_pid, code[s == SIGUSR2] = i->si_code; }
static void child(int q, int sem, int shm, mqd_t mq) {
    struct { long t; char x; } m = {1, 'x'};
    msgsnd(q, &m, 1, 0);
    semop(sem, &(struct sembuf){0, 1, 0}, 1);
    shmdt(shmat(shm, 0, 0));
    mq_send(mq, "x", 1, 0);
    struct msqid_ds d;
    msgctl(q, IPC_STAT, &d);
    P("inside: pid %d sender %d receiver %d", getpid(), d.msg_lspid, d.msg_lrpid);
    struct shmid_ds s;
    shmctl(shm, IPC_STAT, &s);
    P(" maker %d last %d sem %ld\n", s.shm_cpid, s.shm_lpid, E(semctl(sem, 0, GETPID)));
}
static void *executes(void *p) { execl("/bin/true", "true", (char *)0); return p; }
int main(void) {
    pid_t p;
    P("first\n"), ask();
    if (!(p = fork())) {
        setgid(1000), setuid(1000);
        int first = ns("cgroup");
        P("unshare %ld\n", E(unshare(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWCGROUP)));
        ask();
        P("cgroups: first %ld own %ld\n", E(setns(first, CLONE_NEWCGROUP)), E(setns(ns("cgroup"), CLONE_NEWCGROUP)));
        if (!(p = fork())) { P("inside\n"), ask(); _exit(0); }
        _exit(ended(p));
    }
    P("ended %x\n", ended(p));
    struct sigaction a = {.sa_sigaction = on, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &a, 0), sigaction(SIGUSR2, &a, 0);
    int q = msgget(IPC_PRIVATE, 0600), sem = semget(IPC_PRIVATE, 1, 0600), shm = shmget(IPC_PRIVATE, 4096, 0600);
    struct { long t; char x; } m = {1, 'x'};
    msgsnd(q, &m, 1, 0), msgrcv(q, &m, 1, 0, 0);
    mqd_t mq = mq_open("/numbers", O_CREAT | O_RDWR, 0600, 0);
    mq_notify(mq, &(struct sigevent){.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2});
    p = syscall(SYS_clone, CLONE_NEWPID | SIGUSR1, 0, 0, 0, 0);
    if (!p) { child(q, sem, shm, mq); _exit(0); }
    while (waitpid(p, 0, __WALL) != p);
    P("exit signal %d code %d\n", from[0] == p, code[0]);
    P("notified %d code %d\n", from[1] == p, code[1]);
    struct msqid_ds d;
    msgctl(q, IPC_STAT, &d);
    struct shmid_ds s;
    shmctl(shm, IPC_STAT, &s);
    P("outside: sender %d receiver %d last %d sem %d\n", d.msg_lspid == p, d.msg_lrpid == getpid(), s.shm_lpid == p, semctl(sem, 0, GETPID) == p);
    msgctl(q, IPC_RMID, 0), semctl(sem, 0, IPC_RMID), shmctl(shm, IPC_RMID, 0), mq_unlink("/numbers");
    /* who is in another namespace tells that of its fork by its tracer's numbers */
    int to[2];
    pipe(to);
    p = syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
    if (!p) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        pid_t c = fork();
        if (!c) _exit(0);
        ended(c);
        _exit(0);
    }
    int st;
    waitpid(p, &st, 0);
    ptrace(PTRACE_SETOPTIONS, p, 0, PTRACE_O_TRACEFORK);
    ptrace(PTRACE_CONT, p, 0, 0);
    unsigned long told = 0;
    pid_t c = 0;
    for (int i = 0; i < 8; i++) {
        pid_t w = waitpid(-1, &st, __WALL);
        if (w < 0) break;
        if (w == p && st >> 8 == (SIGTRAP | PTRACE_EVENT_FORK << 8)) ptrace(PTRACE_GETEVENTMSG, p, 0, &told);
        else if (w != p) c = w;
        if (WIFSTOPPED(st)) ptrace(PTRACE_CONT, w, 0, WSTOPSIG(st) == SIGCHLD ? SIGCHLD : 0);
    }
    P("forked %d %d\n", told == c, c > 0);
    /* and that of its thread that executes a program */
    p = syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
    if (!p) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        pthread_t t;
        pthread_create(&t, 0, executes, 0);
        for (;;) pause();
    }
    waitpid(p, &st, 0);
    ptrace(PTRACE_SETOPTIONS, p, 0, PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC);
    ptrace(PTRACE_CONT, p, 0, 0);
    unsigned long thread = 0;
    told = 0;
    for (;;) {
        pid_t w = waitpid(-1, &st, __WALL);
        if (w < 0 || w == p && (WIFEXITED(st) || WIFSIGNALED(st))) break;
        if (st >> 8 == (SIGTRAP | PTRACE_EVENT_CLONE << 8)) ptrace(PTRACE_GETEVENTMSG, w, 0, &thread);
        if (st >> 8 == (SIGTRAP | PTRACE_EVENT_EXEC << 8)) ptrace(PTRACE_GETEVENTMSG, w, 0, &told);
        if (WIFSTOPPED(st)) ptrace(PTRACE_CONT, w, 0, 0);
    }
    P("executed %d %d\n", told == thread, thread > 0);
    /* the same for a tracer of that namespace */
    p = syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
    if (!p) {
        if (!(p = fork())) {
            ptrace(PTRACE_TRACEME, 0, 0, 0);
            execl("/bin/true", "true", (char *)0);
            _exit(1);
        }
        ended(p);
        ptrace(PTRACE_SETOPTIONS, p, 0, PTRACE_O_TRACEEXEC);
        ptrace(PTRACE_DETACH, p, 0, 0);
        ended(p);
        if (!(p = fork())) {
            ptrace(PTRACE_TRACEME, 0, 0, 0);
            raise(SIGSTOP);
            execl("/bin/true", "true", (char *)0);
            _exit(1);
        }
        ended(p);
        ptrace(PTRACE_SETOPTIONS, p, 0, PTRACE_O_TRACEEXEC);
        ptrace(PTRACE_CONT, p, 0, 0);
        ended(p);
        told = 0;
        ptrace(PTRACE_GETEVENTMSG, p, 0, &told);
        P("inside: executed %lu of %d\n", told, p);
        ptrace(PTRACE_DETACH, p, 0, 0);
        _exit(ended(p));
    }
    P("ended %x\n", ended(p));
    P("done\n");
}
