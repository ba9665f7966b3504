/* Descriptors that go from one container of a pod to another, whose files another broker
   opens: `give` listens at an abstract name and sends a file and a folder, `take` uses them. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
static const struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0passing"};
static const socklen_t length = sizeof(sa_family_t) + 8;
static void text(const char *what, int fd) {
    char b[64] = "";
    long n = E(pread(fd, b, sizeof b - 1, 0));
    printf("%s %ld %s\n", what, n, n > 0 ? b : "");
}
static int give(void) {
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(s, (void *)&name, length) || listen(s, 1)) return 1;
    mkdir("/folder", 0755);
    int inner = open("/folder/inner", O_CREAT | O_WRONLY, 0644);
    write(inner, "inner", 5);
    symlink("inner", "/folder/link");
    int fds[2] = {open("/file", O_CREAT | O_RDWR, 0644), open("/folder", O_RDONLY | O_DIRECTORY)};
    write(fds[0], "given", 5);
    printf("listens\n");
    int c = accept(s, 0, 0);
    char room[CMSG_SPACE(sizeof fds)] = "", byte = 'x';
    struct iovec v = {&byte, 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    *h = (struct cmsghdr){CMSG_LEN(sizeof fds), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(h), fds, sizeof fds);
    sendmsg(c, &m, 0);
    read(c, &byte, 1);
    text("back", fds[0]);
    text("made", open("/folder/new", O_RDONLY));
    printf("gone %ld\n", E(open("/folder/inner", O_RDONLY)));
    return 0;
}
static int take(void) {
    int s = socket(AF_UNIX, SOCK_STREAM, 0), fds[2];
    if (connect(s, (void *)&name, length)) return 1;
    char room[CMSG_SPACE(sizeof fds)], byte;
    struct iovec v = {&byte, 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    recvmsg(s, &m, 0);
    memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof fds);
    struct stat st;
    text("file", fds[0]);
    printf("stat %ld", E(fstat(fds[0], &st)));
    printf(" %ld\n", (long)st.st_size);
    char *p = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
    printf("mapped %.5s\n", p == MAP_FAILED ? "not" : p);
    if (p != MAP_FAILED) p[0] = 'G';
    printf("write %ld\n", E(pwrite(fds[0], " back", 5, 5)));
    char path[40];
    sprintf(path, "/proc/self/fd/%d", fds[0]);
    text("anew", open(path, O_RDONLY));
    text("inner", openat(fds[1], "inner", O_RDONLY));
    text("link", openat(fds[1], "link", O_RDONLY));
    printf("named %ld\n", E(fstatat(fds[1], "inner", &st, 0)));
    int made = openat(fds[1], "new", O_CREAT | O_WRONLY, 0600);
    printf("new %ld\n", E(write(made, "made", 4)));
    printf("mode %ld %ld\n", E(fchmod(made, 0640)), E(fchmodat(fds[1], "new", 0644, 0)));
    printf("unlink %ld\n", E(unlinkat(fds[1], "inner", 0)));
    int count = 0;
    DIR *d = fdopendir(dup(fds[1]));
    while (d && readdir(d)) count++;
    printf("names %d\n", count);
    printf("beyond %d\n", E(openat(fds[1], "../file", O_RDONLY)) >= 0);
    printf("enter %ld", E(fchdir(fds[1])));
    text(", and", open("new", O_RDONLY));
    write(s, "x", 1);
    return 0;
}
int main(int argc, char **argv) {
    setvbuf(stdout, 0, _IONBF, 0);
    return argc > 1 && !strcmp(argv[1], "give") ? give() : take();
}
