/* A mount of message queues whose namespace of IPC has ended. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
static void look(const char *when, const char *folder) {
    char path[99], text[300] = {0};
    struct stat t;
    snprintf(path, sizeof path, "%s/one", folder);
    int f = open(path, O_RDONLY);
    P("%s: open %d", when, f > 0), P(" read %ld", E(read(f, text, 299)));
    P(" '%.6s' stat %ld", text, E(stat(path, &t))), P(" size %ld", (long)t.st_size);
    int n = 0;
    DIR *d = opendir(folder);
    while (d && readdir(d)) n++;
    if (d) closedir(d);
    P(" names %d", n);
    snprintf(path, sizeof path, "%s/new", folder);
    int c = open(path, O_CREAT | O_RDWR, 0600);
    P(" create %d", c < 0 ? -errno : 1), P(" mkdir %ld\n", E(mkdir(path, 0700)));
    close(f), close(c), unlink(path);
}
int main(void) {
    char folder[] = "/tmp/mqXXXXXX", path[99];
    int in[2], out[2];
    char c;
    pipe(in), pipe(out), mkdtemp(folder);
    pid_t child = fork();
    if (!child) {
        P("apart %ld", E(unshare(CLONE_NEWIPC))), P(" mount %ld", E(mount("none", folder, "mqueue", 0, 0)));
        struct mq_attr a = {0, 4, 16};
        mqd_t q = mq_open("/one", O_CREAT | O_RDWR, 0644, &a);
        P(" queue %d sent %ld\n", q > 0, E(mq_send(q, "hello", 5, 1)));
        write(out[1], "x", 1), read(in[0], &c, 1);
        _exit(0);
    }
    read(out[0], &c, 1);
    look("while it is there", folder);
    snprintf(path, sizeof path, "%s/one", folder);
    int kept = open(path, O_RDWR);
    write(in[1], "x", 1), waitpid(child, 0, 0), usleep(50000);
    look("ended", folder);
    char b[16];
    unsigned priority = 0;
    struct mq_attr a = {0};
    P("kept attributes %ld", E(mq_getattr(kept, &a))), P(" %ld", a.mq_curmsgs), P(" receive %ld", E(mq_receive(kept, b, 16, &priority))), P(" send %ld\n", E(mq_send(kept, "x", 1, 1)));
    look("again", folder);
    P("rename %ld link %ld", E(rename(path, "/tmp/x")), E(link(path, "/tmp/x"))), P(" chmod %ld", E(chmod(path, 0600)));
    P(" unlink %ld", E(unlink(path))), P(" umount %ld\n", E(umount(folder))), close(kept), P("umount %ld\n", E(umount(folder)));
    P("done\n");
}
