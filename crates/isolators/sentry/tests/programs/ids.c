/* Ids that there are in a container, and that there are not. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/wait.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
/* Maps of a namespace below: of ids that are there, as one. */
static void maps(void) {
    const char *maps[] = {"0 0 1001\n", "5 1000 1\n", "0 990 11\n", "0 0 4294967295\n", "0 0 10\n10 999 2\n", "5 100 900\n"};
    for (int i = 0; i < 6; i++) {
        int go[2], made[2];
        char path[64], c;
        pipe(go), pipe(made);
        pid_t p = fork();
        if (!p) {
            unshare(CLONE_NEWUSER);
            write(made[1], "x", 1), read(go[0], &c, 1);
            _exit(0);
        }
        read(made[0], &c, 1);
        long r[2];
        for (int k = 0; k < 2; k++) {
            sprintf(path, "/proc/%d/%cid_map", p, k ? 'g' : 'u');
            int fd = open(path, O_WRONLY);
            r[k] = E(write(fd, maps[i], strlen(maps[i])));
            close(fd);
        }
        P("%s%ld %ld", i ? ", " : "maps ", r[0], r[1]);
        write(go[1], "x", 1), waitpid(p, 0, 0);
        for (int k = 0; k < 2; k++) close(go[k]), close(made[k]);
    }
    P("\n");
}
int main(void) {
    maps();
    gid_t some[] = {5, 1000};
    P("setgid %ld %ld groups %ld %ld", E(setgid(1000)), E(setgid(999)), E(setgroups(2, some)), E(setgroups(1, some)));
    P(" fs %d %d", setfsuid(1000), setfsuid(3));
    setfsuid(0);
    P(" setuid %ld %ld\n", E(setresuid(-1, 1000, -1)), E(setuid(999)));
    P("ids %d %d open %ld %ld\n", getuid(), getegid(), E(open("/five", O_RDONLY)), E(open("/host", O_RDONLY)));
}
