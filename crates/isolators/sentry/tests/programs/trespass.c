/* Two containers of a sandbox: one keeps things, the other one looks for them. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stddef.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define KEY 0x7357
static struct sockaddr_un name(const char *path, socklen_t *n) {
    struct sockaddr_un a = {AF_UNIX};
    strcpy(a.sun_path + (*path == '@'), path + (*path == '@'));
    *n = offsetof(struct sockaddr_un, sun_path) + strlen(path) + (*path != '@');
    return a;
}
static void keep(void) {
    char *m = shmat(shmget(KEY, 4096, IPC_CREAT | 0666), 0, 0);
    strcpy(m, "kept");
    msgget(KEY, IPC_CREAT | 0666);
    semget(KEY, 1, IPC_CREAT | 0666);
    mq_open("/kept", O_RDWR | O_CREAT, 0666, 0);
    close(open("/kept", O_CREAT | O_WRONLY, 0666));
    socklen_t n;
    struct sockaddr_un a = name("/tmp/kept", &n), b = name("@kept", &n);
    int s = socket(AF_UNIX, SOCK_STREAM, 0), t = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    bind(s, (void *)&a, sizeof a);
    listen(s, 5);
    bind(t, (void *)&b, n);
    listen(t, 5);
    close(open("/ready", O_CREAT | O_WRONLY, 0666));
    /* Whoever comes gets this container's root. */
    int c = accept(t, 0, 0), root = open("/", O_RDONLY | O_DIRECTORY);
    char x = 0, room[CMSG_SPACE(sizeof root)] = {0};
    struct iovec v = {&x, 1};
    struct msghdr h = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    struct cmsghdr *q = CMSG_FIRSTHDR(&h);
    q->cmsg_level = SOL_SOCKET, q->cmsg_type = SCM_RIGHTS, q->cmsg_len = CMSG_LEN(sizeof root);
    memcpy(CMSG_DATA(q), &root, sizeof root);
    sendmsg(c, &h, 0);
    read(c, &x, 1);
    P("kept %s\n", m);
}
static void look(void) {
    P("segment %d queue %d set %d named %d\n", shmget(KEY, 0, 0) >= 0, msgget(KEY, 0) >= 0, semget(KEY, 0, 0) >= 0,
      mq_open("/kept", O_RDWR) >= 0);
    int seen = 0;
    struct shmid_ds d;
    for (int i = 0; i < 100; i++) seen += shmctl(i, SHM_STAT_ANY, &d) >= 0;
    P("segments seen %d file %d\n", seen, access("/kept", F_OK) == 0);
    socklen_t n;
    struct sockaddr_un a = name("/tmp/kept", &n), b = name("@kept", &n);
    P("socket %d\n", connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&a, sizeof a) == 0);
    /* Processes: whoever is not an ancestor of this one, or itself. */
    int signals = 0, traces = 0, reads = 0, opens = 0, limits = 0, folders = 0, others = 0;
    for (int pid = 1; pid < 400; pid++) {
        char path[64], buf[8];
        sprintf(path, "/proc/%d/cmdline", pid);
        int fd = open(path, O_RDONLY);
        char line[256] = {0};
        if (fd >= 0) {
            read(fd, line, 255);
            close(fd);
            folders++;
        }
        if (strstr(line, "trespass") && pid != getpid()) others++;
        if (fd >= 0) continue;
        signals += kill(pid, 0) == 0 || errno == EPERM;
        traces += ptrace(PTRACE_SEIZE, pid, 0, 0) == 0;
        struct iovec l = {buf, 8}, r = {(void *)0x400000, 8};
        reads += process_vm_readv(pid, &l, 1, &r, 1, 0) > 0;
        opens += syscall(SYS_pidfd_open, pid, 0) >= 0;
        struct rlimit64 rl;
        limits += syscall(SYS_prlimit64, pid, 7, NULL, &rl) == 0;
        sprintf(path, "/proc/%d/root/kept", pid);
        opens += access(path, F_OK) == 0;
    }
    P("signals %d traces %d reads %d opens %d limits %d others %d own %d\n", signals, traces, reads, opens, limits, others,
      folders > 1 && folders < 10);
    P("all %d\n", kill(-1, SIGCONT) == 0 || errno == ESRCH);
    /* What it is given through the network that both have is a descriptor of the other's. */
    int t = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    P("given %d\n", connect(t, (void *)&b, n));
    char x, room[CMSG_SPACE(sizeof(int))];
    struct iovec v = {&x, 1};
    struct msghdr h = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    recvmsg(t, &h, 0);
    int root;
    memcpy(&root, CMSG_DATA(CMSG_FIRSTHDR(&h)), sizeof root);
    /* It leads to what is below the other's root, as on Linux, and its root is its top. */
    int fd = openat(root, "kept", O_RDWR);
    P("through it %d\n", fd >= 0);
    P("made %d\n", openat(root, "made", O_CREAT | O_WRONLY, 0666) >= 0 || mkdirat(root, "made", 0777) == 0);
    P("linked %d\n", linkat(root, "kept", AT_FDCWD, "/linked", 0) == 0);
    fchdir(root);
    P("from there %d\n", open("../kept", O_RDWR) >= 0);
    write(t, "x", 1);
}
int main(int count, char **words) {
    if (words[1][0] == 'k') keep();
    else look();
    P("done\n");
}
