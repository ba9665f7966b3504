// What can't be taken away or moved stays what it was, whoever is in it and whatever is mounted
// below it.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *name(long r) { return r >= 0 ? "ok" : strerrorname_np(errno); }
#define TRY(call) printf("%s: %s\n", #call, name(call))

static void put(const char *path) {
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    printf("put %s: %s\n", path, name(fd));
    close(fd);
}

static void mounted(void) {
    mkdir("app", 0755), mkdir("app/data", 0755), mkdir("other", 0755), mkdir("way", 0755);
    TRY(mount("none", "app/data", "tmpfs", 0, 0));
    put("app/data/f");
    TRY(rmdir("app"));
    TRY(access("app/data/f", F_OK));
    TRY(rename("other", "app"));
    TRY(access("app/data/f", F_OK));
    TRY(rmdir("app/data"));
    TRY(rename("app/data", "other/data"));
    TRY(access("app/data/f", F_OK));
    TRY(rename("app", "way/moved"));
    TRY(access("way/moved/data/f", F_OK));
    TRY(renameat2(AT_FDCWD, "way/moved", AT_FDCWD, "other", RENAME_EXCHANGE));
    TRY(access("other/data/f", F_OK));
    TRY(umount("other/data"));
    TRY(rmdir("other/data"));
    TRY(rmdir("other"));
    TRY(rmdir("way/moved"));
    TRY(rmdir("way"));
}

/* Who stands in a directory, and who comes to it by its path. */
static void held(void) {
    char own[] = "0";
    mkdir("d", 0755), mkdir("d/sub", 0755), mkdir("e", 0755), mkdir("e/full", 0755);
    chdir("d");
    for (; *own < '9'; ++*own) {
        char by_path[] = "../d/_";
        by_path[5] = *own;
        /* Known to be missing, in both ways. */
        access(by_path, F_OK), access(own, F_OK);
        if (rmdir("../d") == 0 || rename("../d", "../e") == 0) puts("gone");
        put(*own % 2 ? by_path : own);
        TRY(access(by_path, F_OK));
        TRY(access(own, F_OK));
        if (unlink(*own % 3 ? own : by_path)) puts("still there");
        TRY(access(by_path, F_OK));
        TRY(access(own, F_OK));
    }
    TRY(rmdir("sub"));
    TRY(rename("../d", "../e"));
    chdir("..");
    rmdir("e/full"), rmdir("e"), rmdir("d");
}

int main(void) {
    char at[64];
    mkdir("/tmp/refused", 0755), mkdir("/tmp/refused/memory", 0755);
    TRY(mount("none", "/tmp/refused/memory", "tmpfs", 0, 0));
    for (int memory = 0; memory < 2; memory++) {
        chdir(memory ? "/tmp/refused/memory" : "/tmp/refused");
        mounted();
        held();
        printf("at %s\n", getcwd(at, sizeof at));
    }
    chdir("/");
    TRY(umount("/tmp/refused/memory"));
    TRY(rmdir("/tmp/refused/memory"));
    TRY(rmdir("/tmp/refused"));
    puts("done");
}
