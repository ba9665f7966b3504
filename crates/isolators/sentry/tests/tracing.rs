//! Debian's strace and gdb inside: what they say is what they say on the host.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should fail")]

mod sandbox;

use std::path::Path;

use sandbox::{Ended, Sandbox};

fn there(program: &str) -> bool {
    let found = Path::new("/usr/bin").join(program).exists();
    if !found {
        eprintln!("left out: no {program} here (make test-sentry installs it)");
    }
    found && sandbox::possible()
}

/// Runs a script of the host's bash inside, and on the host.
fn both(script: &str) -> (Ended, Ended) {
    let words = ["/usr/bin/bash", "-c", script];
    let inside = sandbox::run_in(Path::new("/"), &words);
    (inside, sandbox::run_plain(&words))
}

/// Numbers of processes and addresses are others; they are replaced by a mark.
fn same(script: &str) {
    let (inside, host) = both(script);
    assert_eq!(inside, host, "{script}");
    assert!(inside.stdout.lines().count() > 2, "{script}: says little: {inside:?}");
}

#[test]
#[ignore = "needs strace: make test-sentry"]
fn strace_sees_what_it_sees_on_the_host() {
    if !there("strace") {
        return;
    }
    let scratch = Sandbox::new();
    let place = scratch.path("tmp");
    let place = place.display();
    // Only what does not depend on where memory is, or on who is faster.
    let mask = r"sed -E 's/0x[0-9a-f]+/PLACE/g; s/^[0-9]+ +/PID /; s/(pid=|kill\()[0-9]+/\1PID/g; s/ = [1-9][0-9]*$/ = N/; s/ +=/ =/'";
    same(&format!(
        "cd {place}; strace -o out -e trace=openat,read,write,close,exit_group /bin/echo text; \
         tail -n 4 out | {mask}; strace -o out /bin/false; echo $?; tail -n 2 out"
    ));
    same(&format!(
        "cd {place}; rm -f each.*; strace -ff -qq -o each -e trace=execve,wait4,exit_group,kill -e signal=SIGTERM \
         /bin/sh -c '/bin/true; kill -TERM $$'; echo $?; cat each.* | {mask} | sort"
    ));
    same(&format!(
        "cd {place}; strace -f -c -o out /bin/sh -c 'ls /etc/passwd | wc -l'; \
         awk '/execve|wait4|pipe/ {{ print $NF, $(NF-1) }}' out | sort; grep -c total out; echo end"
    ));
    same(
        "sleep 30 & pid=$!; strace -qq -o /dev/null -p $pid & tracer=$!; \
         until grep -q 'TracerPid:.*[1-9]' /proc/$pid/status; do sleep 0.01; done; echo traced; \
         kill -INT $tracer; wait $tracer; grep TracerPid /proc/$pid/status; kill $pid; wait $pid; echo $?",
    );
}

const DEBUGGED: &str = "
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static int sum;
int add(int a, int b) {
    int c = a + b;
    return c;
}
static void *work(void *p) {
    sum = add(sum, 1);
    return p;
}
int main(int argc, char **argv) {
    pthread_t t;
    for (int i = 0; i < 3; i++) {
        pthread_create(&t, 0, work, 0);
        pthread_join(t, 0);
    }
    printf(\"sum %d\\n\", sum);
    fflush(stdout);
    while (argc > 1) usleep(1000);
    return sum;
}
";

#[test]
#[ignore = "needs gdb: make test-sentry"]
fn gdb_debugs_as_on_the_host() {
    if !there("gdb") {
        return;
    }
    let scratch = Sandbox::new();
    std::fs::write(scratch.path("tmp/p.c"), DEBUGGED).unwrap();
    let place = scratch.path("tmp");
    let place = place.display();
    let mask = r"sed -E 's/0x[0-9a-f]+/PLACE/g; s/(LWP|process) [0-9]+/\1 PID/g; /debuginfod|libthread_db|warning:|No such file|^\[(New|Thread|Switching|Inf)/d; /^$/d'";
    same(&format!(
        "cd {place} && gcc -g -O0 -pthread p.c -o p && HOME={place} gdb -nx -batch \
         -ex 'break add' -ex run -ex bt -ex 'print a' -ex next -ex 'print c' -ex 'set var c = 40' \
         -ex finish -ex 'info breakpoints' -ex 'delete' -ex stepi \
         -ex 'print $pc != 0' -ex 'info threads' -ex continue -ex 'print $_exitcode' p 2>&1 | {mask} | \
         grep -vE 'clone3|start_thread|futex|LWP|Target Id'"
    ));
    same(&format!(
        "cd {place}; gcc -g -O0 -pthread p.c -o p; ./p stay >out & pid=$!; \
         until grep -q sum out; do sleep 0.01; done; \
         HOME={place} gdb -nx -batch -p $pid -ex 'print sum' -ex 'print sum = 9' -ex 'tbreak usleep' \
         -ex continue -ex 'up' -ex detach 2>&1 | grep -E '^\\$|main' | {mask}; \
         HOME={place} gdb -nx -batch -p $pid -ex 'print sum' 2>&1 | grep '^\\$'; \
         kill -TERM $pid; wait $pid; echo $?"
    ));
}
