// IPC namespaces of programs' own.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *name(long r) { return r >= 0 ? "ok" : strerrorname_np(errno); }
#define TRY(call) printf("%s: %s\n", #call, name(call))
static int lines(const char *path) {
    char text[4096] = "";
    int fd = open(path, O_RDONLY), n = 0;
    read(fd, text, sizeof text - 1);
    close(fd);
    for (char *p = text; (p = strchr(p, '\n')); p++) n++;
    return n - 1;
}
static void count(const char *what) {
    printf("%s: shm %d sem %d msg %d\n", what, lines("/proc/sysvipc/shm"), lines("/proc/sysvipc/sem"), lines("/proc/sysvipc/msg"));
    fflush(stdout);
}
static long put(const char *path, const char *text) {
    int fd = open(path, O_WRONLY);
    long r = fd < 0 ? -1 : write(fd, text, strlen(text));
    close(fd);
    return r;
}
static int number(const char *link) {
    char text[64] = "";
    readlink(link, text, 63);
    return atoi(strchr(text, '[') + 1);
}
static char stack[65536];
static int nothing(void *p) { return 0; }
static void wait_for(pid_t pid) {
    int s = 0;
    waitpid(pid, &s, 0);
    printf("ended %x\n", s);
    fflush(stdout);
}
int main(void) {
    chmod("/tmp", 01777);
    int shm = shmget(77, 8192, IPC_CREAT | 0600), sem = semget(78, 2, IPC_CREAT | 0666), msg = msgget(79, IPC_CREAT | 0600);
    char *at = shmat(shm, NULL, 0);
    strcpy(at, "before");
    TRY(mq_open("/queue", O_CREAT | O_RDWR, 0600, NULL));
    count("first");
    struct sembuf up = {0, 3, SEM_UNDO};
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        semop(sem, &up, 1);
        printf("value %d\n", semctl(sem, 0, GETVAL));
        int outer = number("/proc/self/ns/ipc");
        TRY(unshare(CLONE_NEWIPC));
        printf("other %d\n", number("/proc/self/ns/ipc") != outer);
        printf("still %s\n", at);
        count("inside");
        TRY(shmget(77, 8192, 0600));
        TRY(semget(78, 2, 0));
        TRY(msgget(79, 0));
        TRY(semop(sem, &up, 1));
        TRY(mq_open("/queue", O_RDWR));
        TRY(shmctl(shm, IPC_RMID, NULL));
        int own = shmget(77, 4096, IPC_CREAT | 0600);
        char *there = shmat(own, NULL, 0);
        printf("empty %d\n", *there);
        strcpy(there, "inside");
        TRY(msgget(79, IPC_CREAT));
        TRY(mq_open("/queue", O_CREAT | O_RDWR, 0600, NULL));
        TRY(shmdt(at));
        count("inside");
        if (fork() == 0) {
            printf("child %s\n", (char *)shmat(shmget(77, 1, 0), NULL, 0));
            count("child");
            _exit(0);
        }
        wait(NULL);
        fflush(stdout);
        _exit(0);
    }
    wait_for(pid);
    printf("value %d %s\n", semctl(sem, 0, GETVAL), at);
    count("outside");
    TRY(mq_open("/queue", O_RDWR));
    // Of a user's own: what takes capabilities is his there.
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        setresgid(1000, 1000, 1000);
        setresuid(1000, 1000, 1000);
        prctl(PR_SET_DUMPABLE, 1);
        TRY(unshare(CLONE_NEWIPC));
        TRY(unshare(CLONE_NEWUSER | CLONE_NEWIPC | CLONE_NEWNS));
        TRY(put("/proc/self/setgroups", "deny"));
        TRY(put("/proc/self/uid_map", "0 1000 1"));
        TRY(put("/proc/self/gid_map", "5 1000 1"));
        mkdir("/tmp/mq", 0777);
        TRY(mount("mqueue", "/tmp/mq", "mqueue", 0, NULL));
        TRY(mq_open("/here", O_CREAT | O_RDWR, 0600, NULL));
        TRY(access("/tmp/mq/here", F_OK));
        TRY(access("/tmp/mq/queue", F_OK));
        int id = shmget(IPC_PRIVATE, 4096, 0000);
        printf("attached %d\n", shmat(id, NULL, 0) != (void *)-1);
        struct shmid_ds ds;
        TRY(shmctl(id, IPC_STAT, &ds));
        printf("owner %d %d\n", ds.shm_perm.uid, ds.shm_perm.gid);
        TRY(shmctl(shm, IPC_RMID, NULL));
        fflush(stdout);
        _exit(0);
    }
    wait_for(pid);
    rmdir("/tmp/mq");
    TRY(clone(nothing, stack + sizeof stack, CLONE_NEWIPC | CLONE_SYSVSEM | SIGCHLD, NULL));
    TRY(clone(nothing, stack + sizeof stack, CLONE_NEWIPC | SIGCHLD, NULL));
    wait(NULL);
    TRY(shmctl(shm, IPC_RMID, NULL));
    TRY(semctl(sem, 0, IPC_RMID));
    TRY(msgctl(msg, IPC_RMID, NULL));
    TRY(mq_unlink("/queue"));
    count("last");
    puts("done");
}
