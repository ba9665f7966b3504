/* System V shared memory and semaphores. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#define P(...) do { printf(__VA_ARGS__); fflush(stdout); } while (0)
#define R(call) ({ errno = 0; long r_ = (long)(call); r_ == -1 ? -errno : r_ >= 0 && r_ < 65536 ? r_ : 1 << 20; })
union arg { int val; struct semid_ds *buf; unsigned short *array; };
static void nap(int ms) { nanosleep(&(struct timespec){0, ms * 1000000L}, 0); }
static void caught(int s) { (void)s; }

static void memory(void) {
    key_t key = 0x43000000 | (getpid() & 0xffff);
    int id = shmget(key, 10000, IPC_CREAT | IPC_EXCL | 0640);
    P("made %d again %ld too large %ld found %d none %ld\n", id >= 0, R(shmget(key, 1, IPC_CREAT | IPC_EXCL)),
      R(shmget(key, 10001, 0)), shmget(key, 0, 0) == id, R(shmget(key + 0x10000, 1, 0)));
    P("sizes %ld %ld\n", R(shmget(IPC_PRIVATE, 0, 0600)), R(shmget(key + 0x20000, -1, IPC_CREAT)));
    char *a = shmat(id, 0, 0), *b = shmat(id, 0, SHM_RDONLY);
    strcpy(a, "hello");
    P("shared %s apart %d\n", b, a != b);
    struct shmid_ds d;
    shmctl(id, IPC_STAT, &d);
    P("attached %ld size %ld mode %o own %d last %d key %d\n", (long)d.shm_nattch, (long)d.shm_segsz, d.shm_perm.mode,
      d.shm_cpid == getpid(), d.shm_lpid == getpid(), d.shm_perm.__key == key);
    pid_t p = fork();
    if (!p) {
        struct shmid_ds e;
        shmctl(id, IPC_STAT, &e);
        P("child attached %ld sees %s\n", (long)e.shm_nattch, a);
        strcpy(a, "from the child");
        shmdt(b);
        _exit(0);
    }
    waitpid(p, 0, 0);
    shmctl(id, IPC_STAT, &d);
    P("then %s attached %ld last %d\n", a, (long)d.shm_nattch, d.shm_lpid == p);
    P("bad %ld %ld %ld %ld\n", R(shmdt(a + 4096)), R(shmdt((char *)a + 1)), R(shmat(id, a, 0)), R(shmat(id, a + 1, 0)));
    P("over itself %d rounded %ld\n", shmat(id, a, SHM_REMAP) == a, R(shmat(id, a + 100, SHM_RND)));
    P("write to read-only %ld\n", R(pipe((int *)b)));
    P("detached %ld %ld\n", R(shmdt(b)), R(shmdt(b)));
    P("removed %ld\n", R(shmctl(id, IPC_RMID, 0)));
    P("by key %ld\n", R(shmget(key, 1, 0)));
    shmctl(id, IPC_STAT, &d);
    P("still %ld mode %o\n", (long)d.shm_nattch, d.shm_perm.mode);
    char *c = shmat(id, 0, 0);
    P("again %s\n", c);
    P("detached %ld %ld gone %ld\n", R(shmdt(a)), R(shmdt(c)), R(shmctl(id, IPC_STAT, &d)));
    id = shmget(IPC_PRIVATE, 4096, 0600);
    p = fork();
    if (!p) { *(char *)shmat(id, 0, 0) = 'x'; shmctl(id, IPC_RMID, 0); _exit(0); }
    waitpid(p, 0, 0);
    P("died with it %ld\n", R(shmctl(id, IPC_STAT, &d)));
    id = shmget(IPC_PRIVATE, 4096, 0600);
    d.shm_perm.uid = 12, d.shm_perm.gid = 13, d.shm_perm.mode = 0444;
    P("set %ld\n", R(shmctl(id, IPC_SET, &d)));
    p = fork();
    if (!p) {
        setgid(9), setuid(9);
        P("other: read %d write %ld remove %ld\n", shmat(id, 0, SHM_RDONLY) != (void *)-1, R(shmat(id, 0, 0)), R(shmctl(id, IPC_RMID, 0)));
        _exit(0);
    }
    waitpid(p, 0, 0);
    shmctl(id, IPC_RMID, 0);
}

static int set;
static long op(int n, int add, int flags) { struct sembuf s = {n, add, flags}; return R(semop(set, &s, 1)); }
static long get(int n, int what) { return R(semctl(set, n, what)); }

static void semaphores(void) {
    key_t key = 0x44000000 | (getpid() & 0xffff);
    set = semget(key, 3, IPC_CREAT | IPC_EXCL | 0600);
    P("made %d again %ld more %ld found %d\n", set >= 0, R(semget(key, 3, IPC_CREAT | IPC_EXCL)), R(semget(key, 4, 0)), semget(key, 0, 0) == set);
    P("none %ld many %ld\n", R(semget(IPC_PRIVATE, 0, 0600)), R(semget(IPC_PRIVATE, 40000, 0600)));
    P("add %ld\n", op(0, 3, 0));
    P("value %ld\n", get(0, GETVAL));
    P("pid %d\n", get(0, GETPID) == R(getpid()));
    P("take %ld\n", op(0, -3, 0));
    P("empty %ld\n", op(0, -1, IPC_NOWAIT));
    P("zero %ld\n", op(0, 0, IPC_NOWAIT));
    P("one more %ld\n", op(1, 1, 0));
    P("not zero %ld\n", op(1, 0, IPC_NOWAIT));
    P("no such %ld %ld\n", op(3, 1, 0), get(3, GETVAL));
    P("most %ld\n", op(0, 32767, 0));
    P("more %ld\n", op(0, 1, 0));
    unsigned short v[3] = {1, 2, 3};
    P("all %ld", R(semctl(set, 0, SETALL, (union arg){.array = v})));
    memset(v, 0, sizeof v);
    semctl(set, 0, GETALL, (union arg){.array = v});
    P(" %d %d %d range %ld\n", v[0], v[1], v[2], R(semctl(set, 0, SETVAL, (union arg){.val = 40000})));
    struct sembuf both[2] = {{0, -1, 0}, {1, -9, IPC_NOWAIT}};
    P("none or all %ld %ld\n", R(semop(set, both, 2)), get(0, GETVAL));
    /* one waits, another lets it go */
    pid_t p = fork();
    if (!p) _exit(op(0, -5, 0) == 0 ? 4 : 5);
    while (get(0, GETNCNT) != 1) nap(1);
    int st;
    P("waits %ld %ld still %d\n", get(0, GETNCNT), get(0, GETZCNT), waitpid(p, &st, WNOHANG));
    op(0, 4, 0);
    waitpid(p, &st, 0);
    P("went on %d value %ld\n", WEXITSTATUS(st), get(0, GETVAL));
    /* what an end takes back */
    p = fork();
    if (!p) { op(1, -1, SEM_UNDO); op(2, 7, SEM_UNDO); _exit(0); }
    waitpid(p, &st, 0);
    P("taken back %ld %ld\n", get(1, GETVAL), get(2, GETVAL));
    struct sembuf s = {0, -1, 0};
    P("time %ld", R(semtimedop(set, &s, 1, &(struct timespec){0, 20000000})));
    P(" bad time %ld\n", R(semtimedop(set, &s, 1, &(struct timespec){0, -1})));
    p = fork();
    if (!p) {
        sigaction(SIGALRM, &(struct sigaction){.sa_handler = caught, .sa_flags = SA_RESTART}, 0);
        setitimer(ITIMER_REAL, &(struct itimerval){{1}, {1}}, 0);
        P("signal %ld\n", op(0, -1, 0));
        _exit(0);
    }
    waitpid(p, &st, 0);
    p = fork();
    if (!p) { P("removed meanwhile %ld\n", op(0, -1, 0)); _exit(0); }
    while (get(0, GETNCNT) != 1) nap(1);
    struct semid_ds d;
    semctl(set, 0, IPC_STAT, (union arg){.buf = &d});
    P("sems %ld mode %o\n", (long)d.sem_nsems, d.sem_perm.mode);
    long removed = R(semctl(set, 0, IPC_RMID));
    waitpid(p, &st, 0);
    P("remove %ld\n", removed);
    P("gone %ld %ld\n", get(0, GETVAL), op(0, 1, 0));
}

int main(void) {
    memory();
    semaphores();
    P("done\n");
    return 0;
}
