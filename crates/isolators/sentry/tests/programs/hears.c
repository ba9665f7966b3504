/* A filter's listener that is another container's: `asks` sends it to an abstract name and
   makes calls that it is asked about, `hears` takes it and answers. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
static const struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0hears"};
static const socklen_t length = sizeof(sa_family_t) + 6;
static char room[CMSG_SPACE(sizeof(int))], byte = 'x';
static struct iovec v = {&byte, 1};
static struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
static int asks(void) {
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    for (int i = 0; connect(s, (void *)&name, length) && i < 2000; i++) usleep(10000);
    struct sock_filter f[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                              BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
                              BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog p = {4, f};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    int fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &p);
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    *h = (struct cmsghdr){CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(h), &fd, sizeof fd);
    sendmsg(s, &m, 0);
    close(fd);
    char text[8] = "";
    int given = syscall(SYS_getppid);
    printf("given %d", given > 2);
    long n = pread(given, text, 7, 0);
    printf(" %ld %s", n, text);
    /* Its folder leads where it leads for who gave it. */
    printf(" %ld\n", E(openat(syscall(SYS_getppid), "file", O_RDONLY)) > 0);
    pid_t pid = fork();
    if (pid == 0) {
        syscall(SYS_getppid);
        _exit(3);
    }
    int status;
    waitpid(pid, &status, 0);
    printf("child %x\n", status);
    printf("alone %ld\n", E(syscall(SYS_getppid)));
    return 0;
}
static int hears(void) {
    int s = socket(AF_UNIX, SOCK_STREAM, 0), fd, status;
    if (bind(s, (void *)&name, length) || listen(s, 1)) return 1;
    s = accept(s, 0, 0);
    recvmsg(s, &m, 0);
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof fd);
    mkdir("/folder", 0755);
    int file = open("/folder/file", O_CREAT | O_RDWR, 0644), folder = open("/folder", O_RDONLY | O_DIRECTORY);
    write(file, "theirs", 6);
    for (int i = 0; i < 2; i++) {
        struct seccomp_notif n = {0};
        printf("heard %ld", E(ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &n)));
        /* Nobody here has its number. */
        printf(" of %d\n", n.pid);
        struct seccomp_notif_addfd a = {n.id, SECCOMP_ADDFD_FLAG_SEND, i ? folder : file, 0, 0};
        printf("gave %d\n", E(ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &a)) > 0);
        printf("over %d\n", E(ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &a)) < 0);
    }
    struct seccomp_notif n = {0};
    printf("heard %ld\n", E(ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &n)));
    struct seccomp_notif_resp r = {n.id, 0, -EPERM, 0};
    printf("answered %ld\n", E(ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &r)));
    return 0;
}
int main(int argc, char **argv) {
    setvbuf(stdout, 0, _IONBF, 0);
    alarm(60);
    return argc > 1 && !strcmp(argv[1], "asks") ? asks() : hears();
}
