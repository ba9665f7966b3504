// When what is mounted can be taken away.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void fresh(void) {
    if (mount("none", "/tmp/m", "tmpfs", 0, 0))
        printf("mount: %d\n", errno);
    close(open("/tmp/m/f", O_CREAT | O_WRONLY, 0755));
    truncate("/tmp/m/f", 4096);
    mkdir("/tmp/m/d", 0755);
}

static void leave(const char *what, const char *where, int flags) {
    int result = umount2(where, flags);
    printf("%s: %d errno %d\n", what, result, result ? errno : 0);
}

// How often a path is mounted.
static int there(const char *path) {
    char line[512], point[256];
    int count = 0;
    FILE *list = fopen("/proc/self/mountinfo", "r");
    while (fgets(line, sizeof line, list))
        if (sscanf(line, "%*d %*d %*s %*s %255s", point) == 1)
            count += !strcmp(point, path);
    fclose(list);
    return count;
}

static pid_t child(int how) {
    int ready[2];
    pipe(ready);
    pid_t pid = fork();
    if (!pid) {
        if (how == 0)
            chdir("/tmp/m/d");
        else if (how == 1)
            chroot("/tmp/m"), chdir("/");
        close(ready[0]);
        fcntl(ready[1], F_SETFD, FD_CLOEXEC);
        if (how == 2)
            execl("/tmp/m/f", "f", "sleep", (char *)0);
        close(ready[1]);
        for (;;)
            pause();
    }
    close(ready[1]);
    char byte;
    read(ready[0], &byte, 1);
    close(ready[0]);
    return pid;
}

static void done_with(pid_t pid) {
    kill(pid, SIGKILL);
    waitpid(pid, 0, 0);
}

int main(int argc, char **argv) {
    if (argc > 1)
        for (;;)
            pause();
    setvbuf(stdout, 0, _IOLBF, 0);
    mkdir("/tmp/m", 0755);
    fresh();
    int fd = open("/tmp/m/f", O_RDONLY);
    leave("open", "/tmp/m", 0);
    leave("open, by force", "/tmp/m", MNT_FORCE);
    leave("open, expiring", "/tmp/m", MNT_EXPIRE);
    char *mapped = mmap(0, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    leave("mapped", "/tmp/m", 0);
    munmap(mapped, 2048);
    leave("unmapped", "/tmp/m", 0);
    fresh();
    fd = open("/tmp/m/d", O_PATH);
    leave("path", "/tmp/m", 0);
    int pair[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    char byte = 'x', control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec one = {&byte, 1};
    struct msghdr message = {.msg_iov = &one, .msg_iovlen = 1, .msg_control = control,
                             .msg_controllen = sizeof control};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET, head->cmsg_type = SCM_RIGHTS, head->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(head), &fd, sizeof fd);
    sendmsg(pair[0], &message, 0);
    close(fd);
    leave("on its way", "/tmp/m", 0);
    close(pair[0]), close(pair[1]);
    chdir("/tmp/m/d");
    leave("here", ".", 0);
    leave("here", "/tmp/m", 0);
    chdir("/");
    pid_t pid = child(0);
    leave("a child's directory", "/tmp/m", 0);
    done_with(pid);
    pid = child(1);
    leave("a child's root", "/tmp/m", 0);
    done_with(pid);
    int self = open("/proc/self/exe", O_RDONLY);
    fd = open("/tmp/m/f", O_WRONLY);
    static char part[1 << 16];
    long count;
    while ((count = read(self, part, sizeof part)) > 0)
        write(fd, part, count);
    close(self), close(fd);
    pid = child(2);
    leave("a child's program", "/tmp/m", 0);
    done_with(pid);
    int socket_fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un address = {AF_UNIX, "/tmp/m/s"};
    bind(socket_fd, (void *)&address, sizeof address);
    leave("a socket's name", "/tmp/m", 0);
    close(socket_fd);
    mount("none", "/tmp/m/d", "tmpfs", 0, 0);
    leave("something in it", "/tmp/m", 0);
    leave("something in it, expiring", "/tmp/m", MNT_EXPIRE);
    leave("that", "/tmp/m/d", 0);
    mkdir("/tmp/n", 0755);
    mount("/tmp/m", "/tmp/n", 0, MS_BIND, 0);
    int watches = inotify_init();
    inotify_add_watch(watches, "/tmp/m", IN_ALL_EVENTS);
    fd = open("/tmp/n/f", O_RDONLY);
    leave("bound and watched", "/tmp/m", 0);
    leave("bound and open", "/tmp/n", 0);
    close(fd);
    leave("closed", "/tmp/n", 0);
    close(watches);

    fresh();
    leave("expiring", "/tmp/m", MNT_EXPIRE);
    struct stat what;
    stat("/tmp/m/f", &what);
    leave("used since", "/tmp/m", MNT_EXPIRE);
    leave("expiring and detached", "/tmp/m", MNT_EXPIRE | MNT_DETACH);
    leave("expiring by force", "/tmp/m", MNT_EXPIRE | MNT_FORCE);
    leave("unknown", "/tmp/m", 16);
    leave("not used since", "/tmp/m", MNT_EXPIRE);
    leave("nothing there", "/tmp/m", MNT_EXPIRE);
    fresh();
    fd = open("/tmp/m/f", O_RDWR);
    leave("open, detached", "/tmp/m", MNT_DETACH);
    printf("writes %zd, mounted %d\n", write(fd, "x", 1), there("/tmp/m"));
    close(fd);

    // Copies in peers.
    mkdir("/tmp/a", 0755), mkdir("/tmp/b", 0755);
    mount("none", "/tmp/a", "tmpfs", 0, 0);
    mount(0, "/tmp/a", 0, MS_SHARED, 0);
    mount("/tmp/a", "/tmp/b", 0, MS_BIND, 0);
    mkdir("/tmp/a/x", 0755);
    for (int i = 0; i < 3; i++) {
        mount("none", "/tmp/a/x", "tmpfs", 0, 0);
        mkdir("/tmp/a/x/y", 0755);
        printf("copies %d %d\n", there("/tmp/a/x"), there("/tmp/b/x"));
        if (i == 0) {
            fd = open("/tmp/b/x/y", O_RDONLY);
            leave("open in a peer", "/tmp/a/x", 0);
            printf("copies %d %d\n", there("/tmp/a/x"), there("/tmp/b/x"));
            close(fd);
            leave("closed", "/tmp/a/x", 0);
        } else if (i == 1) {
            fd = open("/tmp/b/x/y", O_RDONLY);
            leave("open in a peer, detached", "/tmp/a/x", MNT_DETACH);
            close(fd);
        } else {
            mount(0, "/tmp/b/x", 0, MS_PRIVATE, 0);
            mount("none", "/tmp/b/x/y", "tmpfs", 0, 0);
            fd = open("/tmp/b/x/y", O_RDONLY);
            leave("something in a peer", "/tmp/a/x", 0);
            printf("copies %d %d %d\n", there("/tmp/a/x"), there("/tmp/b/x"), there("/tmp/b/x/y"));
            close(fd);
            leave("that", "/tmp/b/x/y", 0);
            leave("its place", "/tmp/b/x", 0);
        }
        printf("copies %d %d\n", there("/tmp/a/x"), there("/tmp/b/x"));
    }
    leave("b", "/tmp/b", 0);
    leave("a", "/tmp/a", 0);
    printf("done\n");
}
