/* Forges handles of a hidden file, whose inode it was told. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
struct handle { unsigned bytes; int type; unsigned char data[128]; };
int main(void) {
    struct handle h = {128}, forged;
    unsigned long own, hidden, opened = 0, refused = 0;
    int mount, root = open("/", O_RDONLY | O_DIRECTORY);
    FILE *told = fopen("/plain", "r");
    if (fscanf(told, "%lu %lu", &own, &hidden) != 2) return 1;
    printf("made %ld\n", (long)syscall(SYS_name_to_handle_at, AT_FDCWD, "/plain", &h, &mount, 0));
    printf("own %d\n", (int)syscall(SYS_open_by_handle_at, root, &h, O_RDONLY) > 0);
    for (int at = 0; at <= (int)h.bytes - 4; at++) {
        if (memcmp(h.data + at, &own, 4)) continue;
        forged = h;
        memcpy(forged.data + at, &hidden, 4);
        /* Looked for by its name, so that something may be kept of it. */
        for (int i = 0; i < 3; i++, access("/hidden/secret", F_OK), access("/hidden", F_OK)) {
            int f = syscall(SYS_open_by_handle_at, root, &forged, i == 2 ? O_PATH : O_RDONLY);
            if (f >= 0) opened++;
            else if (errno == ESTALE) refused++;
        }
    }
    struct handle any = {20, h.type};
    for (int i = 0; i < 100000; i++) {
        for (int n = 0; n < 20; n++) any.data[n] = i * 31 + n * (i >> 3);
        any.bytes = i % 130;
        opened += syscall(SYS_open_by_handle_at, root, &any, O_RDONLY) >= 0;
    }
    printf("opened %lu refused %d\ndone\n", opened, refused > 0);
    return 0;
}
