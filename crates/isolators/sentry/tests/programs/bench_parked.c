/* Threads that wait: `bench_parked COUNT`. */
#define _GNU_SOURCE
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
static void *wait_for_it(void *a) { pthread_mutex_lock(&held); return a; }
int main(int count, char **words) {
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, PTHREAD_STACK_MIN);
    pthread_mutex_lock(&held);
    for (int i = count > 1 ? atoi(words[1]) : 0; i > 0; i--) {
        pthread_t thread;
        if (pthread_create(&thread, &small, wait_for_it, 0)) { perror("pthread_create"); return 1; }
    }
    puts("up");
    fflush(stdout);
    for (;;) pause();
}
