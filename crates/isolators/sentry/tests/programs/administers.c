/* Who administers a network of his own, and how: netlink(7), settings, addresses. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
struct message { struct nlmsghdr h; union { struct ifinfomsg link; struct { struct ifaddrmsg a; char rest[24]; } address; }; };
static const struct sockaddr_nl kernel = {AF_NETLINK};
/* What has come: kinds, flags and errors, sorted, as a list may come before or behind. */
static int by_kind(const void *a, const void *b) { return *(int *)a - *(int *)b; }
static void answers(int s) {
    static char answer[600000];
    int all[64], count = 0;
    for (long n; (n = recv(s, answer, sizeof answer, MSG_DONTWAIT)) > 0;)
        for (struct nlmsghdr *h = (void *)answer; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
            int e = h->nlmsg_type == NLMSG_ERROR ? -((struct nlmsgerr *)NLMSG_DATA(h))->error : 0;
            if (count < 64) all[count++] = h->nlmsg_type << 24 | (h->nlmsg_flags & 0xfff) << 12 | e;
        }
    qsort(all, count, sizeof *all, by_kind);
    for (int i = 0; i < count; i++) P(" %d/%x/%d", all[i] >> 24, all[i] >> 12 & 0xfff, all[i] & 0xfff);
}
static struct message up(int flags) {
    struct message m = {{NLMSG_LENGTH(sizeof m.link), RTM_NEWLINK, flags, 1}};
    m.link.ifi_index = 1, m.link.ifi_flags = m.link.ifi_change = IFF_UP;
    return m;
}
static int is_up(void) {
    struct ifreq r = {"lo"};
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    ioctl(s, SIOCGIFFLAGS, &r);
    close(s);
    return r.ifr_flags & IFF_UP;
}
static void netlink(void) {
    struct message m = up(NLM_F_ACK);
    seteuid(1000);
    int theirs = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    struct sockaddr_nl other = {AF_NETLINK, 0, 12345}, wrong = {AF_INET};
    P("to another, as nobody %ld", E(sendto(theirs, &m, m.h.nlmsg_len, 0, (void *)&other, sizeof other)));
    seteuid(0);
    int own = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    P(" as root %ld wrong %ld short %ld", E(sendto(own, &m, m.h.nlmsg_len, 0, (void *)&other, sizeof other)),
      E(sendto(own, &m, m.h.nlmsg_len, 0, (void *)&wrong, sizeof wrong)), E(sendto(own, &m, m.h.nlmsg_len, 0, (void *)&kernel, 4)));
    P(" empty %ld\n", E(send(own, &m, 0, 0)));
    P("no request %ld", E(send(own, &m, m.h.nlmsg_len, 0)));
    answers(own), P(" up %d\n", is_up());
    m = up(NLM_F_REQUEST | NLM_F_ACK);
    P("another's socket: write %ld", E(write(theirs, &m, m.h.nlmsg_len)));
    answers(theirs), P(" up %d sendmsg", is_up());
    struct iovec v = {&m, m.h.nlmsg_len};
    struct msghdr h = {0, 0, &v, 1};
    P(" %ld", E(sendmsg(theirs, &h, 0)));
    answers(theirs), P(" up %d sendto %ld", is_up(), E(sendto(theirs, &m, m.h.nlmsg_len, 0, (void *)&kernel, sizeof kernel)));
    answers(theirs), P(" up %d\n", is_up());
    seteuid(1000);
    P("as nobody: %ld", E(write(own, &m, m.h.nlmsg_len))), answers(own);
    P(" named %ld", E(sendto(own, &m, m.h.nlmsg_len, 0, (void *)&kernel, sizeof kernel))), answers(own);
    seteuid(0);
    P("\n");
    static char large[16 << 20];
    int sizes[] = {212960, 212961, 1 << 20, 16 << 20};
    for (int i = 0; i < 4; i++) P("%d bytes: %ld\n", sizes[i], E(send(own, large, sizes[i], 0)));
    int size = 10000;
    setsockopt(own, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    P("less room: %ld %ld\n", E(send(own, large, 19968, 0)), E(send(own, large, 19969, 0)));
    /* Two lists at once. */
    struct message *list = (void *)large;
    for (int i = 0; i < 2; i++) list[i] = up(NLM_F_REQUEST | NLM_F_DUMP), list[i].h.nlmsg_type = RTM_GETLINK, list[i].h.nlmsg_len = sizeof *list;
    P("lists %ld", E(send(own, large, 2 * sizeof *list, 0))), answers(own);
    P("\nagain %ld", E(send(own, large, sizeof *list, 0))), answers(own);
    /* An error tells all of the request. */
    m = up(NLM_F_REQUEST), m.link.ifi_index = 77;
    P("\nnone %ld", E(send(own, &m, m.h.nlmsg_len, 0)));
    P(" of %ld\n", E(recv(own, large, sizeof large, 0)));
    close(own), close(theirs);
}
static void ended(void) {
    const char *names[] = {"ns/net", "ns/mnt", "ns/uts", "ns/ipc", "ns/cgroup", "ns/pid", "ns/user"};
    pid_t p = fork();
    if (!p) _exit(unshare(CLONE_NEWNET | CLONE_NEWUTS));
    siginfo_t i;
    P("ended %ld\n", E(waitid(P_PID, p, &i, WEXITED | WNOWAIT)));
    char path[64], text[64];
    for (int n = 0; n < 7; n++) {
        sprintf(path, "/proc/%d/%s", p, names[n]);
        long there = E(readlink(path, text, sizeof text)) > 0 ? 1 : -errno;
        P("%s %ld %d\n", names[n], there, open(path, O_RDONLY) < 0 ? errno : 0);
    }
    sprintf(path, "/proc/%d/net/tcp", p);
    P("tcp %ld\n", E(open(path, O_RDONLY)));
    int fd = syscall(SYS_pidfd_open, p, 0);
    P("setns %ld %ld %ld\n", E(setns(fd, CLONE_NEWNET)), E(setns(fd, CLONE_NEWUTS)), E(setns(fd, CLONE_NEWNET | CLONE_NEWUTS)));
    waitpid(p, NULL, 0);
}
int main(void) {
    P("own %ld\n", E(unshare(CLONE_NEWNET)));
    netlink();
    ended();
    P("done\n");
}
