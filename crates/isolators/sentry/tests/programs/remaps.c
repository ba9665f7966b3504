// Calls that change what is mapped, made quickly: alone, while signals come, beside other
// threads that change the same places, and beside forks.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096
#define LENGTH (16 * PAGE)
#define ROUNDS 1000

static void *map(void *at, size_t length, int more) {
    return mmap(at, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | more, -1, 0);
}

static volatile sig_atomic_t faults, ticks;
static char *volatile allowed;

// Makes what could not be touched accessible.
static void fault(int number, siginfo_t *info, void *context) {
    char *page = (char *)((unsigned long)info->si_addr & -PAGE);
    faults++;
    if (page != allowed || mprotect(page, PAGE, PROT_READ | PROT_WRITE))
        _exit(9);
}

static void tick(int number) {
    // Its own changes, in between those that it interrupts.
    char *page = map(0, PAGE, 0);
    if (page == MAP_FAILED)
        _exit(8);
    page[1] = 1;
    munmap(page, PAGE);
    ticks++;
}

// What each call has done can be seen at once. How often that was not so.
static int rounds(int count) {
    int wrong = 0;
    for (int i = 0; i < count; i++) {
        char *at = map(0, LENGTH, i & 1 ? MAP_NORESERVE : 0);
        wrong += at == MAP_FAILED || at[0] || at[LENGTH - 1];
        memset(at, 7, LENGTH);
        wrong += madvise(at + PAGE, PAGE, MADV_DONTNEED) || at[PAGE] || at[0] != 7;
        wrong += mprotect(at + 2 * PAGE, PAGE, PROT_READ) != 0;
        allowed = at + 2 * PAGE;
        at[2 * PAGE] = 8; // faults
        wrong += at[2 * PAGE] != 8 || at[2 * PAGE + 1] != 7;
        wrong += munmap(at + 4 * PAGE, PAGE) != 0;
        wrong += mincore(at + 4 * PAGE, PAGE, (void *)&(char){0}) != -1 || errno != ENOMEM;
        char *again = map(at + 4 * PAGE, PAGE, MAP_FIXED);
        wrong += again != at + 4 * PAGE || again[0];
        char *hinted = map(at + LENGTH / 2, PAGE, 0);
        wrong += hinted == MAP_FAILED || (hinted >= at && hinted < at + LENGTH) || hinted[0];
        wrong += munmap(hinted, PAGE) != 0;
        wrong += munmap(at, LENGTH) != 0;
    }
    return wrong;
}

static void refusals(void) {
    char *at = map(0, LENGTH, 0);
    for (int i = 0; i < 2000; i++)
        mprotect(at, LENGTH, i & 1 ? PROT_READ : PROT_READ | PROT_WRITE);
    munmap(at + PAGE, PAGE);
    int calls[] = {
        mprotect(at, LENGTH, PROT_READ) ? errno : 0, mprotect(at + 1, PAGE, 0) ? errno : 0,
        mprotect(at, PAGE, 64) ? errno : 0,          munmap(at + 1, PAGE) ? errno : 0,
        munmap(at, 0) ? errno : 0,                   munmap((void *)-PAGE, PAGE) ? errno : 0,
        madvise(at, LENGTH, MADV_DONTNEED) ? errno : 0,
        madvise(at, PAGE, 77) ? errno : 0,           map(0, 0, 0) == MAP_FAILED ? errno : 0,
        map(0, -1, 0) == MAP_FAILED ? errno : 0,     mmap(0, PAGE, 1, 0, -1, 0) == MAP_FAILED ? errno : 0,
    };
    for (unsigned i = 0; i < sizeof calls / sizeof *calls; i++)
        printf("refused %u: %s\n", i, strerrorname_np(calls[i]) ?: "0");
    munmap(at, LENGTH);
    // A limit of address space holds however many there were before.
    struct rlimit before, little;
    getrlimit(RLIMIT_AS, &before);
    little = before;
    little.rlim_cur = 64 << 20;
    setrlimit(RLIMIT_AS, &little);
    char *kept[64];
    int count = 0;
    while (count < 64 && (kept[count] = map(0, 4 << 20, 0)) != MAP_FAILED)
        count++;
    printf("limit: %s\n", count < 64 && errno == ENOMEM ? "ENOMEM" : "none");
    while (count)
        munmap(kept[--count], 4 << 20);
    setrlimit(RLIMIT_AS, &before);
}

// A file at a place of one's own, in between quick calls of the other kind: it is the file.
static void of_files(void) {
    char name[] = "/tmp/remapsXXXXXX", page[PAGE];
    int file = mkstemp(name), bad = 0;
    unlink(name);
    memset(page, 'x', PAGE);
    bad += write(file, page, PAGE) != PAGE;
    for (int i = 0; i < 3000; i++) {
        char *at = map(0, 2 * PAGE, 0);
        char *placed = mmap(at, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, file, 0);
        bad += placed != at || at[0] != 'x' || at[PAGE] != 0;
        at[0] = 'y';
        bad += mmap(at, PAGE, PROT_READ, MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED || errno != EINVAL;
        bad += mmap(at, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, -1, 0) != MAP_FAILED || errno != EBADF;
        bad += at[0] != 'y';
        bad += munmap(at, PAGE) || munmap(at + PAGE, PAGE);
        at = mmap(0, PAGE, PROT_READ, MAP_SHARED, file, 0);
        bad += at == MAP_FAILED || at[1] != 'x' || munmap(at, PAGE);
    }
    printf("of files: %d wrong\n", bad);
    close(file);
}

static atomic_int done, wrong;
static char *shared;

// Four of these change one place, each its own page of it, and all of it.
static void *change(void *number) {
    char *own = shared + (long)number * PAGE;
    for (int i = 0; i < ROUNDS; i++) {
        if (map(own, PAGE, MAP_FIXED) != own || own[0])
            wrong++;
        own[0] = 1;
        if (mprotect(own, PAGE, PROT_READ) || own[0] != 1)
            wrong++;
        if (madvise(own, PAGE, MADV_DONTNEED) || own[0])
            wrong++;
        if (i % 7 == 0 && munmap(own, PAGE))
            wrong++;
    }
    done++;
    return NULL;
}

// What a mapping between others' gets is nobody else's.
static void *place(void *number) {
    char byte = 1 + (long)number;
    for (int i = 0; i < ROUNDS; i++) {
        char *at = map(0, 2 * PAGE, 0);
        if (at == MAP_FAILED || at[0] || at[PAGE])
            wrong++;
        at[0] = at[PAGE] = byte;
        if (at[0] != byte || at[PAGE] != byte || munmap(at, 2 * PAGE))
            wrong++;
    }
    done++;
    return NULL;
}

static void threads(const char *what, void *(*body)(void *), int forks) {
    pthread_t all[4];
    done = wrong = 0;
    shared = map(0, LENGTH, 0);
    for (long i = 0; i < 4; i++)
        pthread_create(&all[i], NULL, body, (void *)i);
    int children = 0;
    while (forks && done < 4) {
        pid_t child = fork();
        if (!child) {
            // A whole copy: it can be read and changed.
            char *at = map(0, LENGTH, 0);
            at[0] = 1;
            _exit(at == MAP_FAILED || munmap(at, LENGTH));
        }
        int status;
        waitpid(child, &status, 0);
        wrong += status != 0;
        children++;
    }
    for (int i = 0; i < 4; i++)
        pthread_join(all[i], NULL);
    munmap(shared, LENGTH);
    printf("%s: %d wrong%s\n", what, wrong, forks && children ? ", with forks" : "");
}

int main(void) {
    struct sigaction on_fault = {.sa_sigaction = fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGSEGV, &on_fault, NULL);
    printf("alone: %d wrong", rounds(ROUNDS));
    printf(", %d faults\n", faults);
    struct sigaction on_tick = {.sa_handler = tick, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &on_tick, NULL);
    struct itimerval often = {{0, 700}, {0, 700}}, never = {{0}};
    setitimer(ITIMER_REAL, &often, NULL);
    int bad = 0, more = 0;
    // As many as it takes for some to come.
    do {
        bad += rounds(ROUNDS);
    } while (ticks < 20 && more++ < 200);
    setitimer(ITIMER_REAL, &never, NULL);
    printf("with signals: %d wrong, %s\n", bad, ticks >= 20 ? "some" : "none");
    refusals();
    of_files();
    threads("one place", change, 0);
    threads("any place", place, 0);
    threads("one place", change, 1);
    threads("any place", place, 1);
    printf("done\n");
    return 0;
}
