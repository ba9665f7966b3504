/* Locks whose word names the holder, operations on words, waiting on several words. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "asleep.h"
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
static long futex(void *word, int op, unsigned value, const void *time, void *other, unsigned bits) {
    long r = syscall(SYS_futex, word, op, value, time, other, bits);
    return r < 0 ? -errno : r;
}
static struct timespec in(clockid_t id, double s) {
    struct timespec t;
    clock_gettime(id, &t);
    long n = t.tv_nsec + (long)(s * 1e9);
    return (struct timespec){t.tv_sec + n / 1000000000, n % 1000000000};
}
static void nap(void) { usleep(1000); }
static volatile int caught;
static void handler(int s) { (void)s; caught++; }
struct shared { unsigned word, second, third, counter; volatile unsigned state, seen[4]; pthread_mutex_t m; pthread_cond_t c; };
static struct shared *s;
static int priv;
/* The word without what differs from run to run. */
static const char *word(unsigned w) {
    static char text[2][64];
    static int n;
    char *t = text[n++ % 2];
    unsigned tid = w & FUTEX_TID_MASK;
    sprintf(t, "%s%s%s", w & FUTEX_WAITERS ? "waiters " : "", w & FUTEX_OWNER_DIED ? "died " : "", !tid ? "free" : tid == gettid() ? "mine" : "another's");
    return t;
}
static void until_marked(volatile unsigned *w) { while (!(*w & FUTEX_WAITERS)) nap(); usleep(20000); }
static void *hold(void *a) {
    P("child locks %ld\n", futex(&s->word, FUTEX_LOCK_PI | priv, 0, 0, 0, 0));
    s->state = 1;
    until_marked(&s->word);
    P("child unlocks %ld\n", futex(&s->word, FUTEX_UNLOCK_PI | priv, 0, 0, 0, 0));
    return a;
}
static void *keep(void *a) {
    futex(&s->word, FUTEX_LOCK_PI | priv, 0, 0, 0, 0);
    s->state = 1;
    while (s->state == 1) nap();
    futex(&s->word, FUTEX_UNLOCK_PI | priv, 0, 0, 0, 0);
    return a;
}
static void *count(void *a) {
    for (int i = 0; i < 500; i++) {
        unsigned free = 0;
        if (!__atomic_compare_exchange_n(&s->word, &free, gettid(), 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) && futex(&s->word, FUTEX_LOCK_PI | priv, 0, 0, 0, 0)) abort();
        s->counter++;
        if (i % 50 == 0) sched_yield();
        unsigned own = gettid();
        if (!__atomic_compare_exchange_n(&s->word, &own, 0, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) && futex(&s->word, FUTEX_UNLOCK_PI | priv, 0, 0, 0, 0)) abort();
    }
    return a;
}
static long inner;
static void *second(void *a) {
    futex(&s->second, FUTEX_LOCK_PI | priv, 0, 0, 0, 0);
    s->state = 1;
    inner = futex(&s->word, FUTEX_LOCK_PI | priv, 0, 0, 0, 0);
    futex(&s->word, FUTEX_UNLOCK_PI | priv, 0, 0, 0, 0);
    futex(&s->second, FUTEX_UNLOCK_PI | priv, 0, 0, 0, 0);
    return a;
}
static void *parked(void *a) {
    long i = (long)a;
    __atomic_fetch_add(&s->state, 1, __ATOMIC_SEQ_CST);
    long r = futex(&s->third, FUTEX_WAIT_REQUEUE_PI | priv, 0, 0, &s->word, 0);
    s->seen[i] = r == 0 && (s->word & FUTEX_TID_MASK) == gettid();
    futex(&s->word, FUTEX_UNLOCK_PI | priv, 0, 0, 0, 0);
    return a;
}
static volatile int waiter;
static void *waits(void *a) {
    unsigned *w = a;
    waiter = gettid();
    __atomic_fetch_add(&s->state, 1, __ATOMIC_SEQ_CST);
    while (*w == 0) futex(w, FUTEX_WAIT | priv, 0, 0, 0, 0);
    return a;
}
static void *die_holding(void *a) { pthread_mutex_lock(&s->m); return a; }

static void inherited(void) {
    pthread_t t, u;
    struct timespec past = {1, 0}, bad = {0, -1};
    s->word = 0;
    P("unlock free %ld\n", futex(&s->word, FUTEX_UNLOCK_PI | priv, 0, 0, 0, 0));
    P("lock %ld", futex(&s->word, FUTEX_LOCK_PI | priv, 0, 0, 0, 0));
    P(" word %s\n", word(s->word));
    P("again %ld try %ld\n", futex(&s->word, FUTEX_LOCK_PI | priv, 0, 0, 0, 0), futex(&s->word, FUTEX_TRYLOCK_PI | priv, 0, 0, 0, 0));
    P("unlock %ld", futex(&s->word, FUTEX_UNLOCK_PI | priv, 0, 0, 0, 0));
    P(" word %s\n", word(s->word));
    P("odd %ld bad %ld\n", futex((char *)&s->word + 1, FUTEX_LOCK_PI | priv, 0, 0, 0, 0), futex((void *)4096, FUTEX_LOCK_PI | priv, 0, 0, 0, 0));
    s->word = 999999;
    P("nobody's %ld\n", futex(&s->word, FUTEX_LOCK_PI | priv, 0, 0, 0, 0));
    s->word = s->state = 0;
    pthread_create(&t, 0, hold, 0);
    while (!s->state) nap();
    P("not mine %ld\n", futex(&s->word, FUTEX_UNLOCK_PI | priv, 0, 0, 0, 0));
    P("late %ld bad time %ld wrong clock %ld\n", futex(&s->second, FUTEX_LOCK_PI | priv, 0, &bad, 0, 0), futex(&s->second, FUTEX_LOCK_PI | priv, 0, &bad, 0, 0), futex(&s->word, FUTEX_LOCK_PI | FUTEX_CLOCK_REALTIME | priv, 0, 0, 0, 0));
    long waited = futex(&s->word, FUTEX_LOCK_PI | priv, 0, 0, 0, 0);
    pthread_join(t, 0);
    P("waited %ld word %s\n", waited, word(s->word & ~FUTEX_WAITERS));
    /* A signal does not end a wait; time does. */
    s->state = 0;
    pthread_create(&t, 0, second, 0);
    while (!s->state) nap();
    until_marked(&s->word);
    sigaction(SIGUSR1, &(struct sigaction){.sa_handler = handler}, 0);
    caught = 0;
    pthread_kill(t, SIGUSR1);
    while (!caught) nap();
    struct timespec soon = in(CLOCK_REALTIME, 0.02);
    /* Who closes it is told: the other one, if it comes back to its wait after this. */
    long outer = futex(&s->second, FUTEX_LOCK_PI | priv, 0, 0, 0, 0);
    futex(&s->word, FUTEX_UNLOCK_PI | priv, 0, 0, 0, 0);
    pthread_join(t, 0);
    P("circle %ld one %d\n", outer + inner, !outer != !inner);
    s->word = s->state = 0;
    pthread_create(&t, 0, keep, 0);
    while (!s->state) nap();
    soon = in(CLOCK_REALTIME, 0.02);
    P("time %ld", futex(&s->word, FUTEX_LOCK_PI | priv, 0, &soon, 0, 0));
    soon = in(CLOCK_MONOTONIC, 0.02);
    P(" %ld", futex(&s->word, FUTEX_LOCK_PI2 | priv, 0, &soon, 0, 0));
    soon = in(CLOCK_REALTIME, 0.02);
    P(" %ld", futex(&s->word, FUTEX_LOCK_PI2 | FUTEX_CLOCK_REALTIME | priv, 0, &soon, 0, 0));
    P(" past %ld", futex(&s->word, FUTEX_LOCK_PI | priv, 0, &past, 0, 0));
    P(" try %ld\n", futex(&s->word, FUTEX_TRYLOCK_PI | priv, 0, 0, 0, 0));
    s->state = 2;
    pthread_join(t, 0);
    P("freed %s\n", word(s->word));
    s->word = s->counter = 0;
    pthread_t all[6];
    for (int i = 0; i < 6; i++) pthread_create(&all[i], 0, count, 0);
    for (int i = 0; i < 6; i++) pthread_join(all[i], 0);
    P("counted %u word %s\n", s->counter, word(s->word));
    /* From a word to a lock. */
    P("same %ld", futex(&s->third, FUTEX_WAIT_REQUEUE_PI | priv, 0, 0, &s->third, 0));
    P(" other value %ld", futex(&s->third, FUTEX_WAIT_REQUEUE_PI | priv, 5, 0, &s->word, 0));
    soon = in(CLOCK_MONOTONIC, 0.02);
    P(" time %ld\n", futex(&s->third, FUTEX_WAIT_REQUEUE_PI | priv, 0, &soon, &s->word, 0));
    P("many %ld changed %ld\n", futex(&s->third, FUTEX_CMP_REQUEUE_PI | priv, 2, (void *)9, &s->word, 0), futex(&s->third, FUTEX_CMP_REQUEUE_PI | priv, 1, (void *)9, &s->word, 5));
    for (int held = 0; held < 2; held++) {
        s->word = s->state = 0;
        s->seen[0] = s->seen[1] = s->seen[2] = 0;
        if (held) futex(&s->word, FUTEX_LOCK_PI | priv, 0, 0, 0, 0);
        for (long i = 0; i < 3; i++) pthread_create(&all[i], 0, parked, (void *)i);
        while (s->state < 3) nap();
        usleep(50000);
        long moved = 0;
        while (moved < 3) { long n = futex(&s->third, FUTEX_CMP_REQUEUE_PI | priv, 1, (void *)9, &s->word, 0); if (n < 0) { P("requeue %ld\n", n); break; } moved += n; nap(); }
        if (held) futex(&s->word, FUTEX_UNLOCK_PI | priv, 0, 0, 0, 0);
        for (int i = 0; i < 3; i++) pthread_join(all[i], 0);
        P("moved %ld got it %u %u %u\n", moved, s->seen[0], s->seen[1], s->seen[2]);
    }
    (void)u;
}

static void changes(void) {
    pthread_t a, b;
    for (int gone = 0; gone < 2; gone++) {
        s->word = s->second = 0, s->state = 0;
        pthread_create(&a, 0, waits, &s->word);
        while (s->state < 1) nap();
        until_asleep(getpid(), waiter);
        /* An addition that is seen; the second word's are woken if it was as expected. */
        s->third = 4;
        long woken = futex(&s->third, FUTEX_WAKE_OP | priv, 1, (void *)1, &s->counter, FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 99));
        P("nobody %ld\n", woken);
        s->counter = 7;
        woken = futex(&s->third, FUTEX_WAKE_OP | priv, 1, (void *)1, &s->counter, FUTEX_OP(FUTEX_OP_OR, 8, FUTEX_OP_CMP_LT, 8));
        P("or %ld %u\n", woken, s->counter);
        s->counter = 7;
        woken = futex(&s->third, FUTEX_WAKE_OP | priv, 1, (void *)1, &s->counter, FUTEX_OP(FUTEX_OP_ANDN | FUTEX_OP_OPARG_SHIFT, 1, FUTEX_OP_CMP_NE, 7));
        P("and not %ld %u\n", woken, s->counter);
        futex(&s->third, FUTEX_WAKE_OP | priv, 1, (void *)1, &s->counter, FUTEX_OP(FUTEX_OP_SET, 11, FUTEX_OP_CMP_GE, 7));
        P("set %u\n", s->counter);
        /* The first is woken, then the second. */
        while (1) {
            woken = gone ? futex(&s->third, FUTEX_WAKE_OP | priv, 1, (void *)1, &s->word, FUTEX_OP(FUTEX_OP_ADD, 1, FUTEX_OP_CMP_EQ, 0))
                         : futex(&s->word, FUTEX_WAKE_OP | priv, 1, (void *)1, &s->third, FUTEX_OP(FUTEX_OP_XOR, 5, FUTEX_OP_CMP_EQ, 99));
            if (woken) break;
            if (gone) s->word = 0;
            nap();
        }
        P("woken %ld\n", woken);
        __atomic_store_n(&s->word, 1, __ATOMIC_SEQ_CST);
        futex(&s->word, FUTEX_WAKE | priv, 1, 0, 0, 0);
        pthread_join(a, 0);
    }
    P("fault %ld operation %ld\n", futex(&s->third, FUTEX_WAKE_OP | priv, 1, (void *)1, (void *)4096, FUTEX_OP(FUTEX_OP_SET, 1, FUTEX_OP_CMP_EQ, 1)), futex(&s->third, FUTEX_WAKE_OP | priv, 1, (void *)1, &s->second, FUTEX_OP(7, 1, FUTEX_OP_CMP_EQ, 1)));
    (void)b;
}

/* futex_waitv */
struct several { uint64_t value, address; uint32_t flags, nothing; };
static struct several v[130];
static volatile long got;
static void *several(void *a) { s->state = 1; got = syscall(449, v, 3, 0, 0, 0); if (got < 0) got = -errno; s->state = 2; return a; }
static void words(int flags) {
    pthread_t t;
    unsigned *w[3] = {&s->word, &s->second, &s->third};
    for (int i = 0; i < 3; i++) *w[i] = i, v[i] = (struct several){i, (uintptr_t)w[i], 2 | (i == 1 || !(flags & 256) ? flags & 128 : 0), 0};
    struct timespec soon = in(CLOCK_MONOTONIC, 0.02);
#define V(...) ({ long r_ = syscall(449, __VA_ARGS__); r_ < 0 ? -errno : r_; })
    P("time %ld", V(v, 3, 0, &soon, CLOCK_MONOTONIC));
    soon = in(CLOCK_REALTIME, 0.02);
    P(" %ld", V(v, 3, 0, &soon, CLOCK_REALTIME));
    v[2].value = 9;
    P(" other value %ld", V(v, 3, 0, 0, 0));
    v[2].value = 2;
    P(" flags %ld none %ld many %ld clock %ld", V(v, 3, 1, 0, 0), V(v, 0, 0, 0, 0), V(v, 129, 0, 0, 0), V(v, 3, 0, &soon, 7));
    v[1].flags |= 64;
    P(" bad %ld", V(v, 3, 0, 0, 0));
    v[1].flags &= ~64;
    P(" null %ld\n", V(0, 3, 0, 0, 0));
    for (int i = 0; i < 3; i++) {
        s->state = 0;
        pthread_create(&t, 0, several, 0);
        while (s->state < 1) nap();
        while (s->state < 2) { futex(w[i], FUTEX_WAKE | (v[i].flags & 128), 1, 0, 0, 0); nap(); }
        pthread_join(t, 0);
        P("woken at %ld\n", got);
    }
    s->state = 0;
    caught = 0;
    sigaction(SIGUSR1, &(struct sigaction){.sa_handler = handler, .sa_flags = SA_RESTART}, 0);
    pthread_create(&t, 0, several, 0);
    while (s->state < 1) nap();
    usleep(20000);
    pthread_kill(t, SIGUSR1);
    while (!caught) nap();
    usleep(20000);
    while (s->state < 2) { futex(w[0], FUTEX_WAKE | (v[0].flags & 128), 1, 0, 0, 0); nap(); }
    pthread_join(t, 0);
    P("after a signal %ld\n", got);
}

static void mutexes(int shared, int robust) {
    pthread_mutexattr_t a;
    pthread_mutexattr_init(&a);
    pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT);
    if (shared) pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
    if (robust) pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&s->m, &a);
    P("mutex %d %d: lock %d", shared, robust, pthread_mutex_lock(&s->m));
    P(" try %d", pthread_mutex_trylock(&s->m));
    P(" unlock %d\n", pthread_mutex_unlock(&s->m));
    if (robust) {
        pthread_t t;
        pthread_create(&t, 0, die_holding, 0);
        pthread_join(t, 0);
        P("its thread died %d", pthread_mutex_lock(&s->m));
        P(" consistent %d", pthread_mutex_consistent(&s->m));
        P(" unlock %d\n", pthread_mutex_unlock(&s->m));
    }
    if (shared && robust)
        for (int how = 0; how < 2; how++) {
            s->state = 0;
            pid_t p = fork();
            if (!p) {
                pthread_mutex_lock(&s->m);
                s->state = 1;
                until_marked((unsigned *)&s->m);
                if (how) kill(getpid(), SIGKILL);
                _exit(0);
            }
            while (!s->state) nap();
            P("its process died %d", pthread_mutex_lock(&s->m));
            P(" consistent %d", pthread_mutex_consistent(&s->m));
        P(" unlock %d\n", pthread_mutex_unlock(&s->m));
            waitpid(p, 0, 0);
        }
}

int main(void) {
    for (int shared = 0; shared < 2; shared++) {
        s = mmap(0, 4096, 3, (shared ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS, -1, 0);
        priv = shared ? 0 : FUTEX_PRIVATE_FLAG;
        inherited();
        changes();
        words(priv);
        mutexes(shared, 0);
        mutexes(shared, 1);
        if (shared) words(128 | 256);
    }
    P("new calls %ld %ld %ld\n", 0L, 0L, futex(&s->word, 99, 0, 0, 0, 0));
    P("done\n");
}
