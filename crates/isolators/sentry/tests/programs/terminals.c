/* Pseudo-terminals: modes, lines, signals, sessions, hangups. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#define P(...) (printf(__VA_ARGS__), fflush(stdout))
#define E(x) ({ errno = 0; long r_ = (long)(x); r_ == -1 ? -(long)errno : r_; })
static int m, s;
static struct termios start;
static volatile sig_atomic_t hits[65];
static void on(int n) { hits[n]++; }
static void set(int n, int flags) { struct sigaction a = {.sa_handler = on, .sa_flags = flags}; sigemptyset(&a.sa_mask); sigaction(n, &a, 0); }
static void nap(int ms) { nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, 0); }
static void show(const char *what, const char *p, long n) {
    P("%s %ld:", what, n);
    for (long i = 0; i < n; i++) P(p[i] < 32 || p[i] > 126 ? "\\%03o" : "%c", (unsigned char)p[i]);
    P("\n");
}
/* What the master shows: at least so much, once nothing more comes. */
static void shown(const char *what, int least) {
    char b[4096];
    long n = 0;
    struct pollfd p = {m, POLLIN};
    while (poll(&p, 1, n < least ? 20000 : 10) > 0 && (p.revents & POLLIN)) { long r = read(m, b + n, sizeof b - n); if (r <= 0) break; n += r; }
    show(what, b, n);
}
static void typed(const char *t) { write(m, t, strlen(t)); }
static void got(const char *what) { char b[256]; long n = E(read(s, b, sizeof b)); show(what, b, n < 0 ? 0 : n); if (n < 0) P("  error %ld\n", n); }
/* Until there is room to write, or none. */
static void room(int some) { struct pollfd p = {s, POLLOUT}; for (int i = 0; i < 20000 && poll(&p, 1, 0) != some; i++) nap(1); }
static void modes(int in, int out, int local) { struct termios t = start; t.c_iflag = in; t.c_oflag = out; t.c_lflag = local; tcsetattr(s, TCSANOW, &t); }
int main(void) {
    int st, n;
    char b[300];
    /* Not a session's leader. */
    pid_t child = fork();
    if (child) { waitpid(child, &st, 0); return st != 0; }
    signal(SIGHUP, SIG_IGN);
    P("open %d\n", openpty(&m, &s, 0, 0, 0) == 0);
    struct stat sb;
    fstat(s, &sb);
    P("slave char %d major %d pts %d tty %d %d\n", S_ISCHR(sb.st_mode), (int)(sb.st_rdev >> 8), !strncmp(ttyname(s), "/dev/pts/", 9), isatty(s), isatty(m));
    P("same %d\n", !strcmp(ptsname(m), ttyname(s)));
    tcgetattr(s, &start);
    P("modes %o %o %o %o speed %d\n", start.c_iflag, start.c_oflag, start.c_cflag, start.c_lflag, cfgetospeed(&start) == B38400);
    for (int i = 0; i < 17; i++) P("%d ", start.c_cc[i]);
    int discipline = 99, other = -1;
    P("\ndiscipline %ld %d", E(ioctl(s, TIOCGETD, &discipline)), discipline);
    P(" set %ld %ld %ld", E(ioctl(s, TIOCSETD, &discipline)), E(ioctl(s, TIOCSETD, &other)), E(ioctl(s, TIOCSETD, 8)));
    struct winsize w;
    ioctl(s, TIOCGWINSZ, &w);
    P("\nsize %d %d\n", w.ws_row, w.ws_col);
    /* lines */
    typed("hello\n");
    got("line"); shown("echo", 7);
    typed("abc\177d\rtwo\n");
    got("erased"); got("second"); shown("echo", 14);
    typed("one two\027three\n"); got("word"); shown("echo", 23);
    typed("kill\025new\n"); got("kill"); shown("echo", 21);
    typed("\026\003\001\n"); got("literal"); shown("echo", 8);
    typed("end\004"); got("eof"); typed("\004"); got("nothing"); shown("echo", 3);
    typed("a\tb\177\177\177\n"); got("tab"); shown("echo", 15);
    typed("redo\022!\n"); got("reprint"); shown("echo", 15);
    typed("part\n"); n = read(s, b, 2); show("two of it", b, n); got("rest"); shown("echo", 6);
    fcntl(s, F_SETFL, O_NONBLOCK);
    got("none"); typed("unfinished"); got("unfinished"); typed("\n"); fcntl(s, F_SETFL, 0); got("finished"); shown("echo", 12);
    ioctl(s, FIONREAD, &n); P("waiting %d", n); typed("xy\n"); while (!n) ioctl(s, FIONREAD, &n); P(" %d\n", n);
    tcflush(s, TCIFLUSH); fcntl(s, F_SETFL, O_NONBLOCK); got("flushed"); shown("echo", 4);
    fcntl(s, F_SETFL, 0);
    /* output */
    write(s, "a\nb\tc\r\n", 7); shown("out", 9);
    modes(start.c_iflag, OPOST | XTABS | OCRNL, start.c_lflag); write(s, "a\tb\rc\n", 6); shown("expanded", 12);
    modes(start.c_iflag, 0, start.c_lflag); write(s, "a\n", 2); shown("plain", 2);
    /* raw */
    modes(0, 0, 0); typed("\003\004\r\n"); got("raw"); shown("no echo", 0);
    modes(ICRNL, 0, ECHO); typed("x\r"); got("mapped"); shown("echo", 2);
    struct termios t = start;
    cfmakeraw(&t);
    t.c_cc[VMIN] = 3; t.c_cc[VTIME] = 0; tcsetattr(s, TCSANOW, &t);
    typed("12");
    struct pollfd p = {s, POLLIN};
    P("few %d", poll(&p, 1, 20)); typed("3"); P(" enough %d\n", poll(&p, 1, 10000)); got("three");
    t.c_cc[VMIN] = 0; tcsetattr(s, TCSANOW, &t); got("at once");
    t.c_cc[VTIME] = 1; tcsetattr(s, TCSANOW, &t); got("a moment");
    t.c_cc[VMIN] = 5; typed("ab"); tcsetattr(s, TCSANOW, &t); got("gap");
    tcsetattr(s, TCSANOW, &start);
    /* flow control */
    typed("\023"); room(0); fcntl(s, F_SETFL, O_NONBLOCK); P("stopped %ld", E(write(s, "x", 1))); typed("\021"); room(1); P(" going %ld\n", E(write(s, "x", 1))); fcntl(s, F_SETFL, 0); shown("after", 1);
    /* sessions */
    P("no terminal %ld", E(tcgetpgrp(s)));
    P(" %ld\n", E(ioctl(s, TIOCSCTTY, 0)));
    pid_t c = fork();
    if (!c) {
        setsid();
        P("tty %ld", E(open("/dev/tty", O_RDWR)));
        P(" control %ld", E(ioctl(s, TIOCSCTTY, 0)));
        P(" again %ld", E(ioctl(s, TIOCSCTTY, 0)));
        P(" group %d session %d tty %d\n", tcgetpgrp(s) == getpid(), tcgetsid(s) == getpid(), open("/dev/tty", O_RDWR) >= 0);
        set(SIGINT, 0); set(SIGQUIT, 0); set(SIGWINCH, 0); set(SIGTTOU, 0); set(SIGTTIN, 0); set(SIGHUP, 0); set(SIGCONT, 0);
        typed("lost\003");
        while (!hits[SIGINT]) nap(1);
        /* The next one throws away what the host has not shown yet. */
        shown("echo", 2);
        typed("\034");
        while (!hits[SIGQUIT]) nap(1);
        shown("echo", 2);
        w.ws_row = 33; w.ws_col = 99;
        ioctl(m, TIOCSWINSZ, &w);
        while (!hits[SIGWINCH]) nap(1);
        ioctl(s, TIOCGWINSZ, &w);
        ioctl(m, TIOCSWINSZ, &w);
        P("size %d %d once %d\n", w.ws_row, w.ws_col, hits[SIGWINCH]);
        typed("kept\n"); got("after flush"); shown("echo", 6);
        /* the background stops */
        pid_t d = fork();
        if (!d) { setpgid(0, 0); signal(SIGTTIN, SIG_DFL); char x; long r = E(read(s, &x, 1)); _exit(r == 1 ? x : 99); }
        setpgid(d, d);
        waitpid(d, &st, WUNTRACED);
        P("reader stopped %d by %d", WIFSTOPPED(st), WSTOPSIG(st));
        P(" foreground %ld", E(tcsetpgrp(s, d)));
        kill(d, SIGCONT);
        typed("q\n");
        waitpid(d, &st, 0);
        P(" read %c", WEXITSTATUS(st));
        signal(SIGTTOU, SIG_IGN);
        P(" back %ld", E(tcsetpgrp(s, getpid())));
        P(" bad %ld %ld\n", E(tcsetpgrp(s, 1)), E(tcsetpgrp(s, 99999)));
        shown("echo", 3);
        d = fork();
        if (!d) { setpgid(0, 0); signal(SIGTTOU, SIG_DFL); signal(SIGCONT, SIG_DFL); write(s, "bg\n", 3); t = start; t.c_lflag |= TOSTOP; tcsetattr(s, TCSANOW, &t); write(s, "again\n", 6); _exit(7); }
        setpgid(d, d);
        waitpid(d, &st, WUNTRACED);
        P("writer stopped %d by %d\n", WIFSTOPPED(st), WSTOPSIG(st));
        tcsetpgrp(s, d);
        kill(d, SIGCONT);
        waitpid(d, &st, 0);
        P("wrote %d\n", WEXITSTATUS(st));
        tcsetpgrp(s, getpid());
        P("stops writers %d\n", tcgetattr(s, &t) == 0 && (t.c_lflag & TOSTOP));
        d = fork();
        if (!d) { setpgid(0, 0); signal(SIGTTOU, SIG_DFL); write(s, "third\n", 6); _exit(8); }
        setpgid(d, d);
        waitpid(d, &st, WUNTRACED);
        P("writer stopped %d by %d\n", WIFSTOPPED(st), WSTOPSIG(st));
        kill(d, SIGKILL); waitpid(d, &st, 0);
        shown("screen", 11);
        tcsetpgrp(s, getpid());
        /* ^Z stops the foreground */
        tcsetattr(s, TCSANOW, &start);
        d = fork();
        if (!d) { setpgid(0, 0); write(s, "up\n", 3); tcsetpgrp(s, getpid()); pause(); }
        while (tcgetpgrp(s) != d) nap(1);
        typed("\032");
        waitpid(d, &st, WUNTRACED);
        P("suspended %d by %d\n", WIFSTOPPED(st), WSTOPSIG(st));
        kill(d, SIGKILL); waitpid(d, &st, 0);
        tcsetpgrp(s, getpid());
        shown("screen", 6);
        /* hangup */
        close(m);
        while (!hits[SIGHUP]) nap(1);
        P("hung up read %ld", E(read(s, b, 1)));
        P(" write %ld", E(write(s, "x", 1)));
        P(" ioctl %ld", E(tcgetattr(s, &t)));
        p = (struct pollfd){s, POLLIN | POLLOUT};
        P(" poll %d", poll(&p, 1, 0));
        P(" %x\n", p.revents);
        _exit(3);
    }
    close(m);
    waitpid(c, &st, 0);
    P("child %d\n", WIFEXITED(st) ? WEXITSTATUS(st) : -WTERMSIG(st));
    /* the last slave is closed */
    openpty(&m, &s, 0, 0, 0);
    write(s, "bye", 3);
    close(s);
    n = E(read(m, b, sizeof b)); show("left", b, n);
    P("end %ld", E(read(m, b, 1)));
    p = (struct pollfd){m, POLLIN};
    P(" poll %d", poll(&p, 1, 0)); P(" %x\n", p.revents);
    s = open(ptsname(m), O_RDWR | O_NOCTTY);
    P("again %d", s >= 0); p = (struct pollfd){m, POLLIN}; P(" poll %d\n", poll(&p, 1, 0));
    /* a session's leader ends */
    int gate[2];
    pipe(gate);
    c = fork();
    if (!c) {
        setsid(); ioctl(s, TIOCSCTTY, 0); set(SIGHUP, 0);
        if (!fork()) { while (!hits[SIGHUP]) nap(1); struct stat sb2; P("member hung up %ld\n", E(write(s, "x", 1))); write(gate[1], "", 1); _exit(0); }
        _exit(0);
    }
    waitpid(c, &st, 0);
    read(gate[0], b, 1);
    P("dead %ld", E(write(s, "x", 1)));
    close(s);
    s = open(ptsname(m), O_RDWR | O_NOCTTY);
    P(" alive %ld\n", E(write(s, "y", 1)));
    close(s); close(m);
    /* locks and numbers */
    m = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    P("locked %ld", E(open(ptsname(m), O_RDWR | O_NOCTTY)));
    P(" peer %ld", E(ioctl(m, TIOCGPTPEER, O_RDWR | O_NOCTTY)));
    n = 0; ioctl(m, TIOCSPTLCK, &n);
    s = open(ptsname(m), O_RDWR | O_NOCTTY);
    P(" open %d packet %ld", s >= 0, E(ioctl(m, TIOCPKT, &(int){1})));
    write(s, "p", 1); n = read(m, b, 9); P(" %d %d %c\n", n, b[0], b[1]);
    int peer = ioctl(m, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    P("peer %d same %d", peer >= 0, !strcmp(ttyname(peer), ptsname(m)));
    P(" closes %d flags %o none %ld", fcntl(peer, F_GETFD), fcntl(peer, F_GETFL) & ~0100000, E(ioctl(s, TIOCGPTPEER, O_RDWR)));
    P(" %ld\n", E(read(peer, b, 1)));
    close(peer);
    strcpy(b, ptsname(m));
    close(s); close(m);
    P("gone %ld\n", E(open(b, O_RDWR)));
    /* nobody reads what is typed: it waits, until a signal comes */
    m = posix_openpt(O_RDWR | O_NOCTTY), unlockpt(m);
    s = open(ptsname(m), O_RDWR | O_NOCTTY);
    struct termios raw;
    tcgetattr(s, &raw), cfmakeraw(&raw), tcsetattr(s, TCSANOW, &raw);
    close(s);
    struct itimerval often = {{0, 20000}, {0, 20000}}, never = {{0, 0}, {0, 0}};
    set(SIGALRM, 0);
    setitimer(ITIMER_REAL, &often, 0);
    do n = E(write(m, b, sizeof b));
    while (n > 0);
    P("nobody reads %d\n", n);
    setitimer(ITIMER_REAL, &never, 0);
    close(m);
    int pid = forkpty(&m, 0, 0, 0);
    if (!pid) { printf("in %d\n", isatty(0)); exit(0); }
    waitpid(pid, &st, 0);
    shown("forkpty", 6);
    P("done\n");
}
