#!/bin/bash
# forms: whole; seconds: 120
# gdb inside: breakpoints, steps, watchpoints by stepping (there are no debug registers
# inside), threads, a process that runs already.
set -eu
exec 2>&1
mkdir /desk && cd /desk
cat >work.c <<'END'
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
int counted;
int twice(int n) { counted += n; return 2 * n; }
static void *thread(void *at) { pause(); return at; }
int main(int argc, char **argv) {
    if (argc > 1) { pthread_t t[2]; for (int i = 0; i < 2; i++) pthread_create(t + i, 0, thread, 0); pause(); }
    int sum = 0;
    for (int i = 1; i <= 3; i++) sum += twice(i);
    printf("sum %d\n", sum);
    return sum;
}
END
gcc -g -O0 -pthread -o work work.c
export DEBUGINFOD_URLS=
g() { gdb -q -nx -batch "$@" 2>&1 | grep -v -e 'libthread_db' -e 'debuginfod' -e '^$' -e 'warning: Error disabling address' -e '^Using host' | sed 's/0x[0-9a-f]*/P/g; s/process [0-9]*/process N/; s/LWP [0-9]*/LWP N/g; s/([a-z]*, *pid [0-9]*)//'; }
g -ex 'break twice' -ex run -ex bt -ex 'print n' -ex finish -ex 'delete' -ex 'next' -ex 'print sum' -ex 'set var sum = 100' -ex continue ./work
g -ex 'set can-use-hw-watchpoints 0' -ex 'break main' -ex run -ex 'watch counted' -ex continue -ex continue -ex 'info breakpoints' -ex 'kill' ./work | grep -v 'breakpoint already' 
g -ex 'catch syscall write' -ex run -ex 'print $orig_rax' -ex 'stepi' -ex 'kill' ./work | head -n 8
./work wait & worker=$!
until [ "$(ls /proc/$worker/task | wc -l)" = 3 ]; do sleep 0.05; done; sleep 0.3
g -p $worker -ex 'thread apply all bt' -ex 'print counted' -ex detach | grep -o -e 'in thread ' -e 'in main ' -e '^\$1 = .*' -e detached | sort | uniq -c
kill $worker; wait $worker || echo "worker $?"
