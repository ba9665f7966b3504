#!/bin/bash
# forms: short whole; seconds: 120
# tmux, vim, less and bash at terminals: what is typed, what the screen shows, sizes, job control.
set -eu
exec 2>&1
export TERM=xterm-256color LANG=C.UTF-8
mkdir /desk && cd /desk
seq 1 200 >numbers
T() { tmux -f /dev/null -L suite "$@"; }
shows() { # pattern: waits until the pane shows it
    for _ in $(seq 300); do T capture-pane -p | grep -q -e "$1" && return; sleep 0.1; done
    echo "never shown: $1"; T capture-pane -p
}
T new-session -d -x 80 -y 24 'exec bash --norc --noprofile'
T send-keys 'PS1="ready> "' Enter; shows '^ready>$'
T send-keys 'tty | cut -d/ -f1-3; stty size; echo $TERM' Enter; shows '^24 80$'
T send-keys 'vim.tiny -u NONE text' Enter; shows '"text"'
T send-keys 'ione' Enter 'two' Enter 'three' Escape ':2d' Enter 'GA more' Escape ':wq' Enter
for _ in $(seq 300); do [ -s text ] && break; sleep 0.1; done; cat text; T send-keys clear Enter; shows '^ready>$'
T send-keys clear Enter 'less numbers' Enter; shows '^numbers'; T send-keys G; shows '^200$'; T send-keys /77 Enter; T send-keys q clear Enter; shows '^ready>$'
# What is typed before a program reads is the shell's still: each says when it is there.
T send-keys clear Enter 'sh -c "echo sleeps; exec sleep 100"' Enter; shows '^sleeps$'; T send-keys C-z; shows 'Stopped'
T send-keys clear Enter 'jobs' Enter; shows 'Stopped.*sleep 100'; T send-keys 'fg && echo' Enter; shows '^sh -c'; T send-keys C-c
shows '^\^C$'; T send-keys 'echo "status $?"' Enter; shows 'status 130'
T send-keys clear Enter 'sh -c "echo types; exec cat"' Enter; shows '^types$'; T send-keys 'typ' BSpace 'ped' Enter; shows '^typed$'; T send-keys C-d; shows '^ready>$'
T split-window -v 'exec sh -c "stty size; cat"'; sleep 0.3; T list-panes -F '#{pane_index} #{pane_width}x#{pane_height}'
T resize-pane -t 1 -y 5; T list-panes -F '#{pane_height}'; T kill-pane -t 1
T send-keys 'trap "stty size" WINCH' Enter; T send-keys clear Enter; shows '^ready>$'; T resize-window -x 100 -y 30; shows '30 100$'
T send-keys C-d; for _ in $(seq 100); do T ls >/dev/null 2>&1 || break; sleep 0.1; done; T ls 2>&1 | sed 's/ .*//'
script -qec 'tty | cut -d/ -f1-3; stty -a | sed -n 1p; test -t 0 && echo terminal' /dev/null </dev/null | tr -d '\r' | sed 's/speed.*//'
python3 - <<'END'
import os, pty, time, signal
pid, fd = pty.fork()
if pid == 0:
    os.execvp('bash', ['bash', '--norc', '--noprofile', '-c', 'trap "echo int" INT; echo up; read x; echo "got $x"; sleep 100; echo after; kill -STOP $$; echo resumed'])
seen = b''
def until(what):
    global seen
    end = time.time() + 30
    while what not in seen:
        assert time.time() < end, seen
        seen += os.read(fd, 1000)
    print(what); seen = seen.split(what, 1)[1]
until(b'up'); os.write(fd, b'abc\n'); until(b'got abc'); time.sleep(0.3); os.write(fd, b'\x03'); until(b'int'); until(b'after')
print(os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1])); os.kill(pid, signal.SIGCONT); until(b'resumed')
print(os.waitpid(pid, 0)[1])
END
