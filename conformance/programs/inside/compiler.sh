#!/bin/bash
# forms: short whole; seconds: 120
# gcc and make: programs are compiled, linked both ways, and run.
set -eu
mkdir /desk && cd /desk
cat >one.c <<'END'
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <math.h>
int two(int);
static void *sum(void *at) { long n = (long)at, s = 0; for (long i = 0; i < 1000000; i++) s += i ^ n; return (void *)s; }
int main(int argc, char **argv) {
    pthread_t t[8]; void *r; long all = 0;
    for (long i = 0; i < 8; i++) pthread_create(t + i, 0, sum, (void *)i);
    for (int i = 0; i < 8; i++) { pthread_join(t[i], &r); all ^= (long)r; }
    printf("%d %ld %.6f %s\n", two(argc), all, sqrt(argc), argv[0]);
    return 0;
}
END
echo 'int two(int x) { return 2 * x + NUMBER; }' >two.c
cat >Makefile <<'END'
CFLAGS = -O2 -Wall -pthread -DNUMBER=40
all: dynamic static shared
%.o: %.c ; $(CC) $(CFLAGS) -fPIC -c -o $@ $<
dynamic: one.o two.o ; $(CC) $(CFLAGS) -o $@ $^ -lm
static: one.o two.o ; $(CC) $(CFLAGS) -static -o $@ $^ -lm
libtwo.so: two.o ; $(CC) -shared -o $@ $^
shared: one.o libtwo.so ; $(CC) $(CFLAGS) -o $@ one.o -L. -ltwo -lm -Wl,-rpath,'$$ORIGIN'
END
make -s -j2
for program in dynamic static shared; do ./$program; done
make -s && make -q && echo "up to date"
for i in $(seq 1 $((2 + SCALE / 5))); do
    { echo "#include <stdio.h>"; for f in $(seq 200); do echo "int f$f(int x) { for (int i = 0; i < $f; i++) x = x * 31 + $i; return x; }"; done
      echo "int main(void) { int x = 1;"; for f in $(seq 200); do echo "x = f$f(x);"; done; echo 'printf("%d\n", x); }'; } >big$i.c
done
printf '%s\n' big*.c | xargs -P 2 -I{} gcc -O2 -o {}.out {}
for program in big*.out; do ./$program; done
gcc -g -O0 -o no none.c 2>&1 || echo "exit $?"; objdump -d dynamic | grep -c call; nm static | md5sum; readelf -h dynamic | grep Type; strip static && ./static; ar rcs lib.a two.o && ar t lib.a
