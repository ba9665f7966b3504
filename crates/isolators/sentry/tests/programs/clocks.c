/* The vDSO: found as small C libraries find it, and its clocks agree with the
   calls', from several threads, over the renewal of its parameters. */
#define _GNU_SOURCE
#include <elf.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static void *find(const char *name) {
    const char *base = (const char *)getauxval(AT_SYSINFO_EHDR);
    const Elf64_Ehdr *head = (const void *)base;
    if (!base || memcmp(head->e_ident, ELFMAG, SELFMAG)) return 0;
    const Elf64_Phdr *part = (const void *)(base + head->e_phoff);
    const Elf64_Dyn *dynamic = 0;
    uintptr_t bias = 0;
    for (int i = 0; i < head->e_phnum; i++) {
        if (part[i].p_type == PT_LOAD) bias = (uintptr_t)base + part[i].p_offset - part[i].p_vaddr;
        if (part[i].p_type == PT_DYNAMIC) dynamic = (const void *)(base + part[i].p_offset);
    }
    const char *strings = 0;
    const Elf64_Sym *symbols = 0;
    const uint32_t *hashes = 0;
    const uint16_t *versions = 0;
    const Elf64_Verdef *first = 0;
    for (; dynamic->d_tag; dynamic++) {
        void *at = (void *)(bias + dynamic->d_un.d_ptr);
        if (dynamic->d_tag == DT_STRTAB) strings = at;
        if (dynamic->d_tag == DT_SYMTAB) symbols = at;
        if (dynamic->d_tag == DT_HASH) hashes = at;
        if (dynamic->d_tag == DT_VERSYM) versions = at;
        if (dynamic->d_tag == DT_VERDEF) first = at;
    }
    if (!hashes) return 0;
    for (uint32_t i = 1; i < hashes[1]; i++) {
        if (strcmp(strings + symbols[i].st_name, name) || !symbols[i].st_shndx) continue;
        const Elf64_Verdef *d = first;
        while ((d->vd_ndx & 0x7fff) != (versions[i] & 0x7fff) && d->vd_next) d = (const void *)((const char *)d + d->vd_next);
        const Elf64_Verdaux *aux = (const void *)((const char *)d + d->vd_aux);
        if (strcmp(strings + aux->vda_name, "LINUX_2.6")) continue;
        return (void *)(bias + symbols[i].st_value);
    }
    return 0;
}
static int (*gettime)(clockid_t, struct timespec *);
static int64_t of(struct timespec t) { return t.tv_sec * 1000000000LL + t.tv_nsec; }
static int64_t fast(clockid_t id) { struct timespec t = {0}; return gettime(id, &t) ? -1 : of(t); }
static int64_t call(clockid_t id) { struct timespec t = {0}; return syscall(SYS_clock_gettime, id, &t) ? -1 : of(t); }
static void *order(void *bad) {
    static const clockid_t clocks[] = {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME, CLOCK_MONOTONIC_COARSE};
    int64_t last[4] = {0};
    for (int round = 0; round < 130; round++) {
        for (int i = 0; i < 4; i++)
            for (int k = 0; k < 40; k++) {
                int64_t now = k % 8 ? fast(clocks[i]) : call(clocks[i]);
                if (now < last[i]) ++*(long *)bad;
                last[i] = now;
            }
        usleep(10000);
    }
    return 0;
}
int main(void) {
    static const char *names[] = {"clock_gettime", "gettimeofday", "time", "clock_getres", "getcpu"};
    char name[64];
    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "__vdso_%s", names[i]);
        printf("%s %d\n", name, find(name) != 0);
    }
    gettime = find("__vdso_clock_gettime");
    long (*gettimeofday_)(struct timeval *, struct timezone *) = find("__vdso_gettimeofday");
    time_t (*time_)(time_t *) = find("__vdso_time");
    int (*getres)(clockid_t, struct timespec *) = find("__vdso_clock_getres");
    int (*getcpu_)(unsigned *, unsigned *, void *) = find("__vdso_getcpu");
    long bad[4] = {0};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], 0, order, &bad[i]);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], 0);
    printf("backwards %ld\n", bad[0] + bad[1] + bad[2] + bad[3]);
    struct timeval v = {0};
    struct timezone z = {9, 9};
    time_t seconds = 0, now = call(CLOCK_REALTIME) / 1000000000;
    printf("gettimeofday %ld %d\n", gettimeofday_(&v, &z), z.tz_dsttime);
    printf("time %d %d\n", time_(&seconds) - now <= 30, seconds >= now && v.tv_sec >= now && v.tv_usec < 1000000);
    for (int id = -1; id < 8; id++) {
        struct timespec t = {5, 5}, u = {5, 5};
        int fastly = getres(id, &t), really = clock_getres(id, &u);
        printf("getres %d %d %d\n", id, fastly == 0, of(t) == of(u));
        printf("gettime %d %d %d\n", id, gettime(id, &t) == 0, really == 0);
    }
    unsigned cpu = 99, node = 99;
    printf("getcpu %d %d %d\n", getcpu_(&cpu, &node, 0), cpu < sysconf(_SC_NPROCESSORS_CONF), node);
    printf("bad clock %d\n", gettime(77, &(struct timespec){0}) != 0);
    puts("done");
}
