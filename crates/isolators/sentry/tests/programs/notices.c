// SECCOMP_RET_USER_NOTIF: a listener that answers, lets be, gives descriptors; what ends it.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *name(long r) { return r >= 0 ? "ok" : strerrorname_np(errno); }
#define TRY(call) printf("%s: %s\n", #call, name(call))
#define NR BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
#define RET(x) BPF_STMT(BPF_RET | BPF_K, (x))
static long on(int nr, unsigned verdict, int flags) {
    struct sock_filter f[] = {NR, BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), RET(verdict), RET(SECCOMP_RET_ALLOW)};
    struct sock_fprog p = {4, f};
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &p);
}
static int pair[2];
static void give(int fd) {
    char c = 0, room[CMSG_SPACE(sizeof fd)] = {0};
    struct iovec v = {&c, 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    h->cmsg_level = SOL_SOCKET, h->cmsg_type = SCM_RIGHTS, h->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(h), &fd, sizeof fd);
    sendmsg(pair[0], &m, 0);
    close(fd);
}
static int get(void) {
    char c, room[CMSG_SPACE(sizeof(int))];
    int fd;
    struct iovec v = {&c, 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    if (recvmsg(pair[1], &m, 0) < 1) return -1;
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof fd);
    return fd;
}
/* Starts a child that is listened to; returns the listener. */
static pid_t pid;
static int start(int nr, int flags, void (*f)(void)) {
    fflush(stdout);
    socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int fd = on(nr, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER | flags);
        give(fd);
        f();
        fflush(stdout);
        _exit(0);
    }
    int fd = get();
    close(pair[0]);
    close(pair[1]);
    return fd;
}
static void end(int fd) {
    int status;
    waitpid(pid, &status, 0);
    struct pollfd p = {fd, POLLIN, 0};
    for (int i = 0; i < 1000 && !(p.revents & POLLHUP); i++) poll(&p, 1, 30);
    printf("ended %x %x\n", status, p.revents);
    close(fd);
}
static struct seccomp_notif notif;
static void hear(int fd) {
    memset(&notif, 0, sizeof notif);
    int r = ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &notif);
    printf("heard %s of %d flags %x arch %x here %d\n", name(r), notif.data.nr, notif.flags, notif.data.arch,
           notif.data.instruction_pointer != 0);
}
static long say(int fd, long val, int error, unsigned flags) {
    struct seccomp_notif_resp r = {notif.id, val, error, flags};
    return ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &r);
}
static void asks(void) {
    printf("got %ld\n", syscall(SYS_getppid, 1, 2, 3, 4, 5, 6));
    TRY(syscall(SYS_getppid));
    printf("real %d\n", syscall(SYS_getppid) > 1);
    TRY(on(SYS_getpgrp, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER));
    TRY(on(SYS_getpgrp, SECCOMP_RET_USER_NOTIF, 0));
    TRY(syscall(SYS_getpgrp));
    fflush(stdout);
    if (fork() == 0) _exit(syscall(SYS_getppid));
    int s;
    wait(&s);
    printf("child's %x\n", s);
}
static void answers(void) {
    int fd = start(SYS_getppid, 0, asks);
    struct pollfd p = {fd, POLLIN | POLLOUT, 0};
    poll(&p, 1, -1);
    printf("ready %x\n", p.revents);
    hear(fd);
    printf("whose %d args %llx %llx\n", notif.pid == pid, notif.data.args[0], notif.data.args[5]);
    poll(&p, 1, 0);
    printf("ready %x\n", p.revents);
    TRY(ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &notif.id));
    __u64 none = notif.id + 77;
    TRY(ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &none));
    TRY(say(fd, 4711, 0, 2));
    TRY(say(fd, 4711, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE));
    TRY(say(fd, 4711, 0, 0));
    hear(fd);
    TRY(say(fd, 0, -EXDEV, 0));
    hear(fd);
    TRY(say(fd, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE));
    hear(fd);
    printf("another's %d\n", notif.pid != pid);
    TRY(say(fd, 9, 0, 0));
    end(fd);
}
static void maps(void) {
    char *p = mmap(0, 8192, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    printf("mapped %d %d\n", p != MAP_FAILED, p != MAP_FAILED && (*p = 1));
    int fd = open("/proc/self/exe", O_RDONLY);
    printf("file %d\n", mmap(0, 4096, 1, MAP_PRIVATE, fd, 0) != MAP_FAILED);
    printf("none %d\n", mmap(0, 4096, 1, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? errno : 0);
}
static void lets_be(void) {
    int fd = start(SYS_mmap, 0, maps);
    hear(fd);
    say(fd, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
    hear(fd);
    say(fd, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
    hear(fd);
    say(fd, 0, -ENOMEM, 0);
    end(fd);
}
static void descriptors(void) {
    for (int i = 0; i < 3; i++) {
        int fd = syscall(SYS_getppid);
        char text[8] = {0};
        int flags = fcntl(fd, F_GETFD);
        printf("given %d flags %d text %zd %s\n", fd > 2, flags, read(fd, text, 3), text);
    }
}
static void gives(void) {
    int fd = start(SYS_getppid, 0, descriptors), p[2];
    pipe(p);
    write(p[1], "abcdefghi", 9);
    hear(fd);
    struct seccomp_notif_addfd a = {notif.id, 0, p[0], 0, O_CLOEXEC};
    int given = ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &a);
    TRY(say(fd, given, 0, 0));
    hear(fd);
    a = (struct seccomp_notif_addfd){notif.id, SECCOMP_ADDFD_FLAG_SETFD, p[0], 77, 0};
    printf("at %d\n", ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &a));
    a.srcfd = 500;
    TRY(ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &a));
    a = (struct seccomp_notif_addfd){notif.id, 0, p[0], 5, 0};
    TRY(ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &a));
    a = (struct seccomp_notif_addfd){notif.id + 9, 0, p[0], 0, 0};
    TRY(ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &a));
    a = (struct seccomp_notif_addfd){notif.id, 0, p[0], 0, 1};
    TRY(ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &a));
    TRY(say(fd, 77, 0, 0));
    hear(fd);
    a = (struct seccomp_notif_addfd){notif.id, SECCOMP_ADDFD_FLAG_SEND, p[0], 0, 0};
    TRY(ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &a));
    printf("answered once %d\n", say(fd, 77, 0, 0) < 0);
    end(fd);
}
static void alone(void) { TRY(syscall(SYS_getppid)); TRY(syscall(SYS_getppid)); }
static void closes(void) {
    int fd = start(SYS_getppid, 0, alone), status;
    hear(fd);
    close(fd);
    waitpid(pid, &status, 0);
    printf("ended %x\n", status);
}
static void on_signal(int n) {}
static void interrupted(void) {
    struct sigaction a = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &a, 0);
    TRY(syscall(SYS_getppid));
    a.sa_flags = SA_RESTART;
    sigaction(SIGUSR1, &a, 0);
    printf("second %ld\n", syscall(SYS_getppid));
}
static void signals(void) {
    int fd = start(SYS_getppid, 0, interrupted);
    hear(fd);
    kill(pid, SIGUSR1);
    __u64 first = notif.id;
    hear(fd);
    printf("the first is gone %d\n", ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &first) < 0 && errno == ENOENT);
    kill(pid, SIGUSR1);
    hear(fd);
    TRY(say(fd, 5, 0, 0));
    end(fd);
}
static void killable(void) {
    int fd = start(SYS_getppid, 32, interrupted);
    hear(fd);
    kill(pid, SIGUSR1);
    usleep(20000);
    TRY(ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &notif.id));
    TRY(say(fd, 6, 0, 0));
    hear(fd);
    kill(pid, SIGKILL);
    end(fd);
}
// A descriptor that is given with the answer is there if the call returned it, and only
// then: what it replaces, which takes a while to close, tells.
static int pieces[2];
static void often(void) {
    struct sigaction a = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &a, 0);
    int got = 0, lost = 0;
    for (long fd = 0; fd != 1 << 20;) {
        dup2(syscall(SYS_memfd_create, "big", MFD_ALLOW_SEALING), 77);
        for (int i = 3; i < 77; i++) if (i != pieces[1]) close(i);
        posix_fallocate(77, 0, 16 << 20);
        fd = syscall(SYS_getppid);
        got += fd == 77;
        lost += fd < 0 && fcntl(77, F_GET_SEALS) < 0;
    }
    printf("lost %d\n", lost);
    write(pieces[1], &got, sizeof got);
}
static void races(void) {
    int count = 0, given = 0, status;
    pipe(pieces);
    int fd = start(SYS_getppid, 0, often);
    pid_t noise = fork();
    if (noise == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(fd);
        /* Further and further apart: where others run, too, a turn may take longer than 3 ms. */
        for (int i = 0;; i += 37) kill(pid, SIGUSR1), usleep(i % (3000 + i / 8));
    }
    while (given < 40) {
        memset(&notif, 0, sizeof notif);
        if (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &notif)) continue;
        struct seccomp_notif_addfd a = {notif.id, SECCOMP_ADDFD_FLAG_SETFD | SECCOMP_ADDFD_FLAG_SEND, fd, 77, 0};
        given += ioctl(fd, SECCOMP_IOCTL_NOTIF_ADDFD, &a) > 0;
    }
    kill(noise, SIGKILL);
    waitpid(noise, &status, 0);
    do {
        memset(&notif, 0, sizeof notif);
        ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &notif);
    } while (say(fd, 1 << 20, 0, 0));
    read(pieces[0], &count, sizeof count);
    printf("given %d got %d\n", given, count);
    end(fd);
}
static void *threads(void *p) { return (void *)syscall(SYS_getppid); }
static void several(void) {
    pthread_t t[4];
    long sum = 0;
    for (int i = 0; i < 4; i++) pthread_create(&t[i], 0, threads, 0);
    for (int i = 0; i < 4; i++) {
        void *r;
        pthread_join(t[i], &r);
        sum += (long)r;
    }
    printf("sum %ld\n", sum);
}
static void many(void) {
    int fd = start(SYS_getppid, 0, several);
    for (int i = 0; i < 4; i++) {
        hear(fd);
        TRY(say(fd, 1 << i, 0, 0));
    }
    end(fd);
}
static void refused(void) {
    unsigned action = SECCOMP_RET_USER_NOTIF;
    TRY(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action));
    struct seccomp_notif_sizes s;
    TRY(syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &s));
    printf("%d %d %d\n", s.seccomp_notif, s.seccomp_notif_resp, s.seccomp_data);
    TRY(syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 1, &s));
    TRY(on(SYS_getppid, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_TSYNC));
    TRY(on(SYS_getppid, SECCOMP_RET_USER_NOTIF, 32));
    TRY(on(SYS_getppid, SECCOMP_RET_USER_NOTIF, 0));
    TRY(syscall(SYS_getppid));
    int fd = on(SYS_getpgrp, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_TSYNC | 16);
    printf("all threads %d %d\n", fd >= 0, fcntl(fd, F_GETFD));
    char link[64] = {0}, path[32];
    sprintf(path, "/proc/self/fd/%d", fd);
    readlink(path, link, 63);
    puts(link);
    notif.flags = 1;
    TRY(ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &notif));
    TRY(ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, 8));
    TRY(ioctl(fd, _IO('!', 9), 8));
    TRY(read(fd, link, 8));
}
static void run(const char *what, void (*f)(void)) {
    puts(what);
    fflush(stdout);
    pid_t p = fork();
    if (p == 0) {
        alarm(100);
        f();
        fflush(stdout);
        _exit(0);
    }
    int s;
    waitpid(p, &s, 0);
    printf("%s %x\n", what, s);
}
static char room[1 << 16];
int main(void) {
    setvbuf(stdout, room, _IOFBF, sizeof room);
    run("answers", answers);
    run("lets be", lets_be);
    run("gives", gives);
    run("closes", closes);
    run("signals", signals);
    run("killable", killable);
    run("races", races);
    run("many", many);
    run("refused", refused);
    puts("done");
}
