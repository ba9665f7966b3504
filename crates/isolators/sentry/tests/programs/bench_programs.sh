#!/bin/bash
# Programs that scripts/bench-sentry.sh times inside: microseconds each. What is not installed
# says so and has no row.
set -u
files=${1:?how many files the tree has}
# `writes`: only what makes, writes and removes files.
only=${2:-all}
place=/tmp/bench-$$
mkdir -p "$place" && cd "$place" || exit 1
trap 'cd /; rm -rf "$place"' EXIT

# timed NAME COMMAND...
timed() {
    local name=$1 from=${EPOCHREALTIME/./} to
    shift
    if "$@" >/dev/null 2>"$place/error"; then
        to=${EPOCHREALTIME/./}
        printf '%s\t%d\n' "$name" $((to - from))
    else
        echo "$name: $(head -n 1 "$place/error")" >&2
    fi
}
has() {
    command -v "$1" >/dev/null || {
        echo "$1 is not installed" >&2
        return 1
    }
}

if [[ $only = all ]]; then
    timed "find -size over $files files" find /bench/tree -size +1k
    timed "the same again" find /bench/tree -size +1k
    timed "ls -lR of them" ls -lR /bench/tree
    timed "tar of them through a pipe" sh -c 'tar cf - /bench/tree | wc -c'
fi
timed "tar x of 1,000 files" tar xf /bench/small.tar
timed "rm -r of them" sh -c 'rm -r e* again-*'
if has gcc; then
    timed "C compile" gcc -w -O1 -c /bench/bench.c -o a.o
    timed "C compile and link, again" gcc -w -O1 -pthread /bench/bench.c -o a
fi
if [[ $only = all ]]; then
    # shellcheck disable=SC2016  # for the shell that is timed
    timed "100 times /bin/true by a shell" sh -c 'for i in $(seq 100); do /bin/true; done'
fi
if has sqlite3; then
    {
        echo 'PRAGMA synchronous=OFF; CREATE TABLE t (a, b);'
        for i in $(seq 500); do echo "INSERT INTO t VALUES ($i, 'text');"; done
    } >inserts.sql
    timed "sqlite, 500 transactions" sh -c 'sqlite3 db <inserts.sql'
fi
[[ $only = all ]] || exit 0
# The server is the same program as this one, by its name (package redis-tools).
if has redis-check-rdb && has redis-benchmark; then
    ln -s "$(command -v redis-check-rdb)" redis-server
    ./redis-server --port 6390 --save '' --daemonize no >/dev/null 2>&1 &
    server=$!
    for _ in $(seq 300); do
        redis-cli -p 6390 ping >/dev/null 2>&1 && break
        sleep 0.1
    done
    redis-benchmark -p 6390 -n 20000 -c 20 -t set,get --csv 2>/dev/null |
        awk -F'"' '$4 + 0 > 0 { printf "redis %s, a request\t%.2f\n", $2, 1000000 / $4 }'
    kill "$server"
    wait "$server"
fi
exit 0
