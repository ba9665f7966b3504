// Calls that come quickly, from one place, and what signals do to them; calls on files.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t told;

static void handler(int number) { told++; }

static void handle(int number) {
    struct sigaction action = {.sa_handler = handler};
    sigaction(number, &action, NULL);
}

// A queue that is full: the writer waits, and the alarm ends that.
static void full_queue(void) {
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0posted"};
    socklen_t length = sizeof(sa_family_t) + 7;
    int reader = socket(AF_UNIX, SOCK_DGRAM, 0), writer = socket(AF_UNIX, SOCK_DGRAM, 0);
    bind(reader, (struct sockaddr *)&name, length);
    char bytes[64] = "";
    handle(SIGALRM);
    for (int round = 0; round < 3; round++) {
        // So that it is posted: many quick ones, each read again.
        for (int i = 0; i < 20000; i++) {
            sendto(writer, bytes, 64, 0, (struct sockaddr *)&name, length);
            read(reader, bytes, 64);
        }
        told = 0;
        /* Again and again: the first one may come before the wait. */
        struct itimerval often = {{1}, {1}}, never = {{0}};
        setitimer(ITIMER_REAL, &often, 0);
        long sent;
        while ((sent = sendto(writer, bytes, 64, 0, (struct sockaddr *)&name, length)) == 64) {
        }
        int error = errno;
        setitimer(ITIMER_REAL, &never, 0);
        printf("full: %ld %s told %d\n", sent, strerror(error), told > 0);
        while (recv(reader, bytes, 64, MSG_DONTWAIT) == 64) {
        }
    }
    close(reader);
    close(writer);
}

// Who owns a pipe is told before the call that fills it returns.
static void owner(void) {
    int ends[2], late = 0;
    pipe(ends);
    handle(SIGIO);
    fcntl(ends[0], F_SETOWN, getpid());
    fcntl(ends[0], F_SETFL, O_ASYNC);
    char byte = 0;
    for (int i = 0; i < 50000; i++) {
        int before = told;
        write(ends[1], &byte, 1);
        late += told == before;
        read(ends[0], &byte, 1);
    }
    printf("late: %d\n", late);
}

// A child goes on as its parent did.
static void child(void) {
    int fd = open("/proc/self/exe", O_RDONLY), wrong = 0;
    for (int who = 0; who < 2; who++) {
        for (int i = 0; i < 50000; i++)
            wrong += lseek(fd, i, SEEK_SET) != i;
        if (who == 0 && fork() > 0) {
            int status;
            wait(&status);
            printf("child: %d\n", WEXITSTATUS(status));
            return;
        }
    }
    _exit(wrong != 0);
}

// Locks that are another one's, that nobody has, and that are nowhere.
static void locks(int fd) {
    struct flock all = {.l_type = F_WRLCK}, lock;
    int ends[2], wrong = 0;
    pipe(ends);
    fflush(stdout);
    pid_t other = fork();
    if (!other) {
        fcntl(fd, F_SETLK, &all);
        write(ends[1], "x", 1);
        pause();
    }
    read(ends[0], &lock, 1);
    for (int i = 0; i < 3000; i++) {
        lock = all;
        wrong += fcntl(fd, F_SETLK, &lock) != -1 || errno != EAGAIN;
        wrong += fcntl(fd, F_GETLK, &lock) || lock.l_pid != other || lock.l_type != F_WRLCK;
        wrong += fcntl(fd, F_SETLK, (void *)8) != -1 || errno != EFAULT;
    }
    printf("another's: %d\n", wrong);
    kill(other, SIGKILL);
    waitpid(other, NULL, 0);
    wrong = 0;
    for (int i = 0; i < 6000; i++) {
        lock = all;
        lock.l_type = i % 2 ? F_UNLCK : F_RDLCK;
        wrong += fcntl(fd, F_SETLK, &lock) != 0;
        // Of an open file: in the way of its process's own.
        lock = all;
        wrong += i % 2 == 0 && (fcntl(fd, F_OFD_SETLK, &lock) != -1 || errno != EAGAIN);
    }
    printf("nobody's: %d\n", wrong);
}

// What changes files, by descriptors and by names.
static void changes(int fd) {
    struct stat now;
    int wrong = 0, before = umask(0);
    void *volatile nowhere = (void *)8;
    const char *file = "/tmp/posted-file", *link = "/tmp/posted-link", *moved = "/tmp/posted-moved";
    for (int i = 0; i < 1500; i++) {
        struct timespec times[2] = {{i, 5}, {i + 1, 6}};
        char byte;
        wrong += ftruncate(fd, i) || fstat(fd, &now) || now.st_size != i;
        wrong += ftruncate(fd, -1) != -1 || errno != EINVAL;
        wrong += fchmod(fd, 0600 + i % 8) || fstat(fd, &now) || (now.st_mode & 07777) != 0600 + i % 8;
        wrong += fchown(fd, -1, -1) != 0;
        wrong += umask(i % 8) != (i ? (i - 1) % 8 : 0);
        int copy = dup(fd);
        wrong += copy < 0 || close(copy);
        wrong += symlink("nowhere", link) || readlink(link, &byte, 1) != 1 || byte != 'n' || unlink(link);
        wrong += linkat(AT_FDCWD, file, AT_FDCWD, link, 0) || fstat(fd, &now) || now.st_nlink != 2;
        wrong += renameat(AT_FDCWD, link, AT_FDCWD, moved) || unlink(moved) || unlink(link) != -1;
        wrong += utimensat(AT_FDCWD, file, times, 0) || stat(file, &now) || now.st_mtim.tv_sec != i + 1;
        wrong += utimensat(AT_FDCWD, file, nowhere, 0) != -1 || errno != EFAULT;
        wrong += chmod(file, 0644) || mkdirat(AT_FDCWD, link, 0700) || rmdir(link);
        wrong += lgetxattr(file, "user.none", &now, sizeof now) != -1 || lgetxattr(link, "user.none", &now, sizeof now) != -1;
    }
    umask(before);
    printf("changed: %d\n", wrong);
}

int main(void) {
    int fd = open("/tmp/posted-file", O_RDWR | O_CREAT | O_TRUNC, 0644);
    full_queue();
    owner();
    locks(fd);
    changes(fd);
    unlink("/tmp/posted-file");
    fflush(stdout);
    child();
    puts("done");
}
