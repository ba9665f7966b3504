// What is known of files and names stays true, whoever changes them and by whatever name.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *what, long result) {
    printf("%s %ld %s\n", what, result, result < 0 ? strerrorname_np(errno) : "");
}

static void about(const char *path) {
    struct stat s;
    if (stat(path, &s)) {
        printf("%s: %s\n", path, strerrorname_np(errno));
        return;
    }
    printf("%s: %o size %ld links %ld owner %d\n", path, s.st_mode, S_ISDIR(s.st_mode) ? 0 : (long)s.st_size,
           (long)s.st_nlink, s.st_uid);
}

static struct timespec modified(const char *path) {
    struct stat s = {0};
    stat(path, &s);
    return s.st_mtim;
}

static int later(struct timespec a, struct timespec b) {
    return b.tv_sec > a.tv_sec || (b.tv_sec == a.tv_sec && b.tv_nsec > a.tv_nsec);
}

static void put(const char *path, const char *text, int flags) {
    int fd = open(path, flags, 0644);
    write(fd, text, strlen(text));
    close(fd);
}

static void text(const char *path) {
    char buffer[64] = "";
    int fd = open(path, O_RDONLY);
    long count = read(fd, buffer, sizeof buffer - 1);
    printf("%s [%s] %ld\n", path, buffer, count);
    close(fd);
}

static int order(const void *a, const void *b) { return strcmp(*(char **)a, *(char **)b); }
static void names(const char *path) {
    char *all[64];
    int count = 0;
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d)) && count < 64;) {
        if (asprintf(&all[count], "%s/%d", e->d_name, e->d_type) > 0) count++;
    }
    if (d) closedir(d);
    qsort(all, count, sizeof *all, order);
    printf("%s:", path);
    for (int i = 0; i < count; i++) printf(" %s", all[i]);
    printf("\n");
}

static void sizes(void) {
    put("f", "one", O_WRONLY | O_CREAT);
    about("f");
    int fd = open("f", O_RDWR);
    for (int i = 0; i < 3; i++) {
        pwrite(fd, "x", 1, 10 * (i + 1));
        about("f");
    }
    ftruncate(fd, 2);
    about("f");
    say("link", link("f", "g"));
    about("f");
    pwrite(fd, "abcdef", 6, 0);
    about("g");
    close(fd);
    put("g", "longer than that", O_WRONLY | O_TRUNC);
    about("f");
    text("f");
    chmod("g", 0600);
    chown("g", 7, 8);
    about("f");
    truncate("f", 4);
    about("g");
    text("g");
    int reader = open("f", O_RDONLY);
    put("f", "again", O_WRONLY | O_TRUNC);
    char buffer[8] = "";
    say("reader", pread(reader, buffer, 7, 0));
    puts(buffer);
    unlink("f");
    about("f");
    about("g");
    struct stat s;
    fstat(reader, &s);
    printf("open %ld\n", (long)s.st_nlink);
    unlink("g");
    fstat(reader, &s);
    printf("open %ld size %ld\n", (long)s.st_nlink, (long)s.st_size);
    put("f", "other", O_WRONLY | O_CREAT);
    say("old", pread(reader, buffer, 7, 0));
    puts(buffer);
    text("f");
    close(reader);
    if (!fork()) {
        put("f", " child", O_WRONLY | O_APPEND);
        _exit(0);
    }
    wait(0);
    about("f");
    text("f");
}

static void mapped(void) {
    put("m", "0123456789", O_WRONLY | O_CREAT);
    text("m");
    int fd = open("m", O_RDWR);
    char *at = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    struct timespec before = modified("m");
    usleep(20000);
    at[0] = 'X';
    msync(at, 4096, MS_SYNC);
    text("m");
    printf("mapped write seen %d\n", later(before, modified("m")));
    truncate("m", 3);
    about("m");
    text("m");
    munmap(at, 4096);
    unlink("m");
}

static void missing(void) {
    mkdir("d", 0755);
    for (int i = 0; i < 2; i++) {
        about("d/a");
        about("d/b");
        about("d/sub/c");
        names("d");
        put("d/a", "a", O_WRONLY | O_CREAT);
        about("d/a");
        symlink("a", "d/b");
        about("d/b");
        mkdir("d/sub", 0700);
        put("d/sub/c", "c", O_WRONLY | O_CREAT);
        about("d/sub/c");
        about("d");
        names("d");
        mkfifo("d/p", 0600);
        link("d/a", "d/l");
        about("d/l");
        rename("d/a", "d/n");
        about("d/a");
        about("d/b");
        text("d/n");
        names("d");
        renameat2(AT_FDCWD, "d/n", AT_FDCWD, "d/sub", RENAME_EXCHANGE);
        about("d/n");
        about("d/sub");
        about("d/n/c");
        names("d");
        rename("d/n", "d/moved");
        about("d/moved/c");
        about("d/n/c");
        unlink("d/moved/c");
        about("d/moved/c");
        say("rmdir", rmdir("d/moved"));
        about("d/moved");
        put("d/new", "12", O_WRONLY | O_CREAT);
        about("d/l");
        rename("d/new", "d/l");
        about("d/l");
        about("d/sub");
        unlink("d/sub"), unlink("d/l"), unlink("d/b"), unlink("d/p");
        names("d");
    }
    int fd = open("d", O_RDONLY | O_DIRECTORY);
    say("rmdir", rmdir("d"));
    about("d");
    struct stat s;
    fstat(fd, &s);
    say("in what is gone", openat(fd, "x", O_CREAT | O_WRONLY, 0644));
    mkdir("d", 0755);
    names("d");
    about("d/a");
    close(fd);
    rmdir("d");
}

static void held(void) {
    // A name that was only listed, and is taken away while somebody stands on it.
    mkdir("h", 0755);
    mkdir("h/in", 0755);
    put("h/in/f", "held", O_WRONLY | O_CREAT);
    names("h/in");
    about("h/in/f");
    int at = open("h/in/f", O_PATH), fd;
    char path[64], buffer[8] = "";
    unlink("h/in/f");
    sprintf(path, "/proc/self/fd/%d", at);
    fd = open(path, O_RDONLY);
    say("by its descriptor", read(fd, buffer, 7));
    puts(buffer);
    chdir("h/in");
    rename("../in", "../out");
    put("f", "moved", O_WRONLY | O_CREAT);
    about("../out/f");
    about("../in");
    chdir("../..");
    unlink("h/out/f");
    rmdir("h/out");
    rmdir("h");
}

static void many(void) {
    // More names than one request tells of, looked at after a listing and changed in between.
    char path[64];
    mkdir("many", 0755);
    for (int i = 0; i < 400; i++) {
        sprintf(path, "many/%03d", i);
        put(path, path, O_WRONLY | O_CREAT);
    }
    DIR *d = opendir("many");
    long size = 0, seen = 0;
    for (struct dirent *e; (e = readdir(d));) {
        struct stat s;
        if (e->d_name[0] == '.') continue;
        sprintf(path, "many/%s", e->d_name);
        if (seen % 5 == 0) put(path, "+", O_WRONLY | O_APPEND);
        if (lstat(path, &s) == 0) size += s.st_size;
        seen++;
    }
    printf("seen %ld size %ld\n", seen, size);
    rewinddir(d);
    seen = 0;
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] == '.') continue;
        sprintf(path, "many/%s", e->d_name);
        seen += unlink(path) == 0;
    }
    closedir(d);
    printf("removed %ld\n", seen);
    names("many");
    say("rmdir", rmdir("many"));
}

int main(void) {
    umask(022);
    mkdir("/tmp/names", 0755);
    chdir("/tmp/names");
    sizes();
    mapped();
    missing();
    held();
    many();
    unlink("f");
    chdir("/");
    say("rmdir", rmdir("/tmp/names"));
    puts("done");
    return 0;
}
