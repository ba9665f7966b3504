/* Memory that is shared and may be seen, but not changed. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

static void tries(const char *what, char *at) {
    printf("%s: protect %d", what, mprotect(at, 4096, PROT_READ | PROT_WRITE) ? errno : 0);
    printf(", remove %d", madvise(at, 4096, MADV_REMOVE) ? errno : 0);
    printf(": %.8s\n", at);
}

int main(void) {
    char name[64];
    int writer = memfd_create("seen", 0);
    if (write(writer, "original", 8) != 8 || ftruncate(writer, 1 << 16)) return 1;
    snprintf(name, sizeof name, "/proc/self/fd/%d", writer);
    int reader = open(name, O_RDONLY);
    tries("memory", mmap(0, 4096, PROT_READ, MAP_SHARED, reader, 0));
    char *at = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, writer, 0);
    at[0] = 'O';
    tries("its own", at);

    int file = open("/tmp/seen", O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (write(file, "original", 8) != 8 || ftruncate(file, 1 << 16)) return 1;
    tries("file", mmap(0, 4096, PROT_READ, MAP_SHARED, open("/tmp/seen", O_RDONLY), 0));
    unlink("/tmp/seen");

    int id = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
    char *whole = shmat(id, 0, 0);
    strcpy(whole, "original");
    tries("segment", shmat(id, 0, SHM_RDONLY));
    shmctl(id, IPC_RMID, 0);
    puts("done");
    return 0;
}
