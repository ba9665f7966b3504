/* What a container's sysctls say: ports without a capability, shared memory that goes with
   its last user, longer POSIX queues; and its memory. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
static void show(const char *name) {
    char path[100], b[64] = "";
    snprintf(path, sizeof path, "/proc/sys/%s", name);
    int fd = open(path, O_RDONLY);
    long n = read(fd, b, sizeof b - 1);
    close(fd);
    printf("%s %s", name, n > 0 ? b : "none\n");
}
static long bound(int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    int s = socket(AF_INET, SOCK_STREAM, 0);
    long r = E(bind(s, (struct sockaddr *)&a, sizeof a));
    close(s);
    return r;
}
int main(void) {
    setvbuf(stdout, 0, _IONBF, 0);
    show("net/ipv4/ip_unprivileged_port_start");
    show("kernel/shm_rmid_forced");
    show("fs/mqueue/msg_max");
    struct sysinfo info;
    sysinfo(&info);
    FILE *told = fopen("/proc/meminfo", "r");
    long total = 0;
    fscanf(told, "MemTotal: %ld kB", &total);
    fclose(told);
    printf("memory %ld %ld\n", total, (long)(info.totalram * info.mem_unit >> 20));
    setgid(5);
    setuid(5);
    printf("ports %ld %ld\n", bound(79), bound(80));
    struct mq_attr long_ = {.mq_maxmsg = 20, .mq_msgsize = 10}, longer = {.mq_maxmsg = 21, .mq_msgsize = 10};
    printf("queues %d %ld\n", mq_open("/a", O_CREAT | O_RDWR, 0600, &long_) >= 0, E(mq_open("/b", O_CREAT | O_RDWR, 0600, &longer)));
    int id = shmget(IPC_PRIVATE, 4096, 0600);
    struct shmid_ds d;
    printf("segment: made %ld", E(shmctl(id, IPC_STAT, &d)));
    void *p = shmat(id, 0, 0);
    printf(" attached %ld", E(shmctl(id, IPC_STAT, &d)));
    shmdt(p);
    printf(" detached %ld\n", E(shmctl(id, IPC_STAT, &d)));
    int pipes[2];
    pipe(pipes);
    if (!fork()) { id = shmget(IPC_PRIVATE, 4096, 0600); write(pipes[1], &id, sizeof id); _exit(0); }
    read(pipes[0], &id, sizeof id);
    wait(0);
    printf("a child's %ld\n", E(shmctl(id, IPC_STAT, &d)));
}
