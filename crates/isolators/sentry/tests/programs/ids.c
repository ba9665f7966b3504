/* Ids that there are in a container, and that there are not. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <sys/fsuid.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
int main(void) {
    gid_t some[] = {5, 1000};
    P("setgid %ld %ld groups %ld %ld", E(setgid(1000)), E(setgid(999)), E(setgroups(2, some)), E(setgroups(1, some)));
    P(" fs %d %d", setfsuid(1000), setfsuid(3));
    setfsuid(0);
    P(" setuid %ld %ld\n", E(setresuid(-1, 1000, -1)), E(setuid(999)));
    P("ids %d %d open %ld %ld\n", getuid(), getegid(), E(open("/five", O_RDONLY)), E(open("/host", O_RDONLY)));
}
