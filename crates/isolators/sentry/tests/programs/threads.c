/* Threads, mutexes, conditions, thread-local storage. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
/* A result, or the error as a negative number. */
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn = PTHREAD_COND_INITIALIZER;
static long sum; static int whose;
static __thread int local;
static void *add(void *a) {
    local = (int)(long)a;
    for (int i = 0; i < 2000; i++) { pthread_mutex_lock(&lock); sum++; pthread_mutex_unlock(&lock); }
    return (void *)(long)local;
}
static void *pingpong(void *a) {
    int me = (int)(long)a;
    for (int i = 0; i < 500; i++) {
        pthread_mutex_lock(&lock);
        while (whose != me) pthread_cond_wait(&turn, &lock);
        whose = !me;
        pthread_cond_signal(&turn);
        pthread_mutex_unlock(&lock);
    }
    return 0;
}
static volatile int got; static volatile pid_t got_in;
static void handler(int s) { got = s; got_in = syscall(SYS_gettid); }
static void *sleeper(void *a) { sem_post(a); pause(); return 0; }
static void *leaver(void *a) { (void)a; usleep(20000); P("last thread\n"); return 0; }
static void *forever(void *a) { (void)a; for (;;) pause(); }
static void *spinner(void *a) { (void)a; for (;;) asm volatile(""); }
int main(void) {
    pthread_t t[8];
    for (long i = 0; i < 8; i++) if (pthread_create(&t[i], 0, add, (void *)i)) return 1;
    long results = 0; void *r;
    for (int i = 0; i < 8; i++) { pthread_join(t[i], &r); results += (long)r; }
    P("sum %ld %ld local %d\n", sum, results, local);
    for (long i = 0; i < 2; i++) pthread_create(&t[i], 0, pingpong, (void *)i);
    for (int i = 0; i < 2; i++) pthread_join(t[i], 0);
    P("ping pong %d\n", whose);
    for (int i = 0; i < 200; i++) { pthread_create(&t[0], 0, add, 0); pthread_join(t[0], 0); }
    P("many %ld\n", sum);
    struct timespec soon;
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_nsec += 20000000; if (soon.tv_nsec >= 1000000000) { soon.tv_nsec -= 1000000000; soon.tv_sec++; }
    pthread_mutex_lock(&lock);
    P("timed wait %d\n", pthread_cond_timedwait(&turn, &lock, &soon) == ETIMEDOUT);
    pthread_mutex_unlock(&lock);
    signal(SIGUSR1, handler);
    sem_t ready; sem_init(&ready, 0, 0);
    pthread_create(&t[0], 0, sleeper, &ready);
    sem_wait(&ready);
    usleep(10000);
    P("kill %d", pthread_kill(t[0], SIGUSR1));
    /* Again, if it came before the wait. */
    while (pthread_tryjoin_np(t[0], 0)) usleep(1000), pthread_kill(t[0], SIGUSR1);
    P(" got %d elsewhere %d\n", got, got_in != getpid());
    pid_t p = fork();
    int st;
    if (!p) {
        pthread_create(&t[0], 0, forever, 0);
        pthread_create(&t[1], 0, spinner, 0);
        usleep(10000);
        _exit(7);
    }
    waitpid(p, &st, 0);
    P("exit_group %d\n", WEXITSTATUS(st));
    p = fork();
    if (!p) {
        pthread_create(&t[0], 0, forever, 0);
        pthread_create(&t[1], 0, spinner, 0);
        usleep(10000);
        execl("/bin/true", "true", (char *)0);
        _exit(1);
    }
    waitpid(p, &st, 0);
    P("exec %d\n", st);
    p = fork();
    if (!p) { pthread_create(&t[0], 0, leaver, 0); pthread_exit(0); }
    waitpid(p, &st, 0);
    P("first thread leaves %d\n", st);
    P("done\n");
}
