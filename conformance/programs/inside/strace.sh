#!/bin/bash
# forms: short whole; seconds: 60
# strace inside: what a program calls, its children, its signals, and one that runs already.
set -eu
exec 2>&1
mkdir /desk && cd /desk
echo text >file
strace -o log -e trace=openat,read,write,exit_group cat file; sed '/\.so\|locale\|ELF/d; s/"\.\.\./"/' log
strace -o log -f -e trace=execve,exit_group,kill -e signal=all sh -c 'cat file; sh -c "kill -USR1 \$\$"; exit 3' || echo "exit $?"
sed 's/^[0-9]* *//; s/0x[0-9a-f]*/P/; s/si_pid=[0-9]*/si_pid=N/; s/kill([0-9]*/kill(N/' log | sort
strace -c -o log true; awk '$NF ~ /execve|brk|exit_group/ { print $4, $NF }' log | sort
sleep 100 & sleeper=$!
strace -o log -p $sleeper & tracer=$!
until grep -q 'TracerPid:.*[1-9]' /proc/$sleeper/status; do sleep 0.05; done
kill -INT $tracer; wait $tracer || echo "strace $?"
kill -0 $sleeper && echo "it sleeps on"
strace -o log -p $sleeper & tracer=$!
until grep -q 'TracerPid:.*[1-9]' /proc/$sleeper/status; do sleep 0.05; done
kill $sleeper; wait $tracer || echo "strace $?"
tail -n 1 log; wait $sleeper || echo "sleeper $?"
strace -o log -e trace=mkdir -e inject=mkdir:error=EACCES mkdir made || echo "exit $?"; cat log
