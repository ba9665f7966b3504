# shellcheck shell=bash
# The check list of the caisson command, with root and without. Sourced after
# suite.sh; `rootless` is 0 or 1, `caisson_` and `caisson_words` run it.
busybox=localhost/busybox:latest
debian=localhost/debian:latest
nginx=localhost/nginx:latest
python3=localhost/python3:latest

run() { caisson_ run --rm --network none "$@"; }
field() { caisson_ inspect --format json "$1" 2>&1 | jq -r ".[0] | $2" 2>&1; }
terminal() { timeout 60 "$repo/conformance/cli/terminal.py" "${caisson_words[@]}" "$@" 2>&1; }
get() { curl -s --max-time 5 "http://127.0.0.1:$1${2:-/}" 2>&1; }
container_status() { caisson_ inspect --format json "$1" 2>/dev/null | jq -r '.[0].State.Status'; }
is_status() { [[ $(container_status "$1") == "$2" ]]; }

load_images() {
    local name
    for name; do
        # The user of a rootless run reaches neither this repository nor its cache.
        cp -rL "$repo/.cache/images/$name" "$scratch/images-$name"
        chmod -R a+rX "$scratch/images-$name"
        succeeds "load the $name image" caisson_ load -i "$scratch/images-$name"
        rm -rf "$scratch/images-$name"
    done
}

run_checks() {
    is "run: output" "hello from bookworm" \
        "$(run $debian sh -c 'echo hello from $(. /etc/os-release; echo $VERSION_CODENAME)' 2>&1)"
    exits "run: exit code" 42 run $busybox sh -c 'exit 42'
    exits "run: death by signal" 137 run $busybox sh -c 'kill -KILL $$ & sh -c "kill -KILL 1"; exit 137'
    exits "run: missing command is 127" 127 run $busybox /no/such/command
    exits "run: command without x bit is 126" 126 run $busybox /etc/passwd
    exits "run: an unknown option is 125" 125 caisson_ run --no-such-option $busybox true
    is "run: environment, directory, user" "v /tmp 33:1000" \
        "$(run -e K=v -w /tmp -u 33:1000 $busybox sh -c 'echo $K $(pwd) $(id -u):$(id -g)' 2>&1)"
    printf 'A=from a file\n# no\nB=2\n' >"$scratch/env"
    chmod a+r "$scratch/env"
    is "run: --env-file" "from a file 2" "$(run --env-file "$scratch/env" $busybox sh -c 'echo $A $B' 2>&1)"
    is "run: --entrypoint" "-c" "$(run --entrypoint echo $busybox -c 2>&1)"
    is "run: standard input" "abc" "$(echo abc | run -i $busybox cat 2>&1)"
    is "run: no standard input without -i" "" "$(echo abc | run $busybox cat 2>&1)"
    is "run: streams stay apart" "out" "$(run $busybox sh -c 'echo out; echo err >&2' 2>/dev/null)"
    is "run: a megabyte" "1048576" "$(run $busybox sh -c 'head -c 1048576 /dev/zero' 2>/dev/null | wc -c)"
    is "run -t: a terminal" "/dev/pts/0 or console" \
        "$(in_pty "${caisson_words[@]}" run --rm --network none -t $busybox tty | sed 's,^/dev/\(pts/0\|console\)$,/dev/pts/0 or console,')"
    is "run: hostname" "box" "$(run --hostname box $busybox hostname 2>&1)"
    is "run: /etc/hosts has it, and what was added" "1 10.1.2.3" \
        "$(run --hostname box --add-host other:10.1.2.3 $busybox sh -c 'echo $(grep -cw box /etc/hosts) $(grep -w other /etc/hosts | cut -f1 | cut -d" " -f1)' 2>&1)"
    is "run: PID 1" "1" "$(run $busybox sh -c 'echo $$' 2>&1)"
    is "run: seccomp filter" "Seccomp: 2" "$(run $busybox grep Seccomp: /proc/self/status 2>&1 | tr '\t' ' ')"
    is "run: seccomp unconfined" "Seccomp: 0" \
        "$(run --security-opt seccomp=unconfined $busybox grep Seccomp: /proc/self/status 2>&1 | tr '\t' ' ')"
    is "run: no-new-privileges" "NoNewPrivs: 1" \
        "$(run --security-opt no-new-privileges $busybox grep NoNewPrivs: /proc/self/status 2>&1 | tr '\t' ' ')"
    is "run: docker's capabilities" "CapBnd: 00000000a80425fb" \
        "$(run $busybox grep CapBnd: /proc/self/status 2>&1 | tr '\t' ' ')"
    is "run: capabilities dropped" "CapEff: 0000000000000000" \
        "$(run --cap-drop all $busybox grep CapEff: /proc/self/status 2>&1 | tr '\t' ' ')"
    is "run: one capability" "CapEff: 0000000000000400" \
        "$(run --cap-drop all --cap-add net_bind_service $busybox grep CapEff: /proc/self/status 2>&1 | tr '\t' ' ')"
    is "run: a user without capabilities" "CapEff: 0000000000000000" \
        "$(run -u 1000 $busybox grep CapEff: /proc/self/status 2>&1 | tr '\t' ' ')"
    is "run: ulimit" "512" "$(run --ulimit nofile=512:512 $busybox sh -c 'ulimit -n' 2>&1)"
    like "run: read-only root" 'Read-only file system' "$(run --read-only $busybox touch /x 2>&1)"
    like "run: tmpfs size" '1024 +' "$(run --tmpfs /t:size=1m $busybox df -k /t 2>&1)"
    like "run: /dev/shm size" '2048 +' "$(run --shm-size 2m $busybox df -k /dev/shm 2>&1)"
    mkdir -p "$scratch/volume"
    echo shared >"$scratch/volume/file"
    chmod -R a+rX "$scratch/volume"
    is "run: -v" "shared" "$(run -v "$scratch/volume:/v:ro" $busybox cat /v/file 2>&1)"
    like "run: -v is read-only" 'Read-only file system' "$(run -v "$scratch/volume:/v:ro" $busybox touch /v/other 2>&1)"
    is "run: --mount" "shared" \
        "$(run --mount "type=bind,source=$scratch/volume,target=/v,readonly" $busybox cat /v/file 2>&1)"
    is "run: masked path" "0" "$(run $busybox sh -c 'cat /proc/kcore /proc/keys 2>/dev/null | wc -c' 2>&1)"
    like "run: read-only proc" 'Read-only file system|Permission denied|nonexistent' \
        "$(run $busybox sh -c 'echo 1 > /proc/sys/kernel/panic' 2>&1)"
    is "run --init: the command is not PID 1" "yes" "$(run --init $busybox sh -c '[ $$ != 1 ] && echo yes' 2>&1)"
    is "run: sysctl" "1" "$(run --sysctl net.ipv4.ip_forward=1 $busybox cat /proc/sys/net/ipv4/ip_forward 2>&1)"
    is "run: no network but loopback" "lo" "$(run $busybox ls /sys/class/net 2>&1 | tr '\n' ' ' | sed 's/ $//')"
    succeeds "run: device" run --device /dev/full:/dev/mine $busybox test -c /dev/mine
    is "run: what is written is gone" "gone" \
        "$(run $busybox touch /written; run $busybox sh -c 'test -e /written || echo gone' 2>&1)"
    like "run: an unknown image suggests the near miss" 'localhost/busybox' "$(caisson_ run --pull never --rm localhost/busibox true 2>&1)"
}

limit_checks() {
    local out
    out=$(run --memory 64m --memory-swap 64m --pids-limit 50 --cpus 0.5 $busybox \
        sh -c 'cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes pids/pids.max cpu/cpu.cfs_quota_us 2>/dev/null || cat memory.max pids.max cpu.max' 2>&1)
    like "limits: memory, pids, cpu in the cgroup" $'^67108864\n50\n50000' "$out"
    exits "limits: out of memory kills" 137 run --memory 16m --memory-swap 16m $busybox tail /dev/zero
    like "limits: too many processes" 'Resource temporarily unavailable|[Cc]an.t fork|fork' \
        "$(run --pids-limit 5 $busybox sh -c 'for i in 1 2 3 4 5 6 7; do sleep 1 & done; wait' 2>&1)"
    succeeds "a privileged container" run --privileged $busybox sh -c 'mount -t tmpfs t /tmp && umount /tmp'
}

terminal_checks() { # container, its shell
    local seen
    seen=$(terminal exec -it "$@")
    is "exec -it: in a pseudo-terminal" $'size 30 100\nresized 41 121\nterminal /dev/pts/0\ninterrupted yes\nstatus 7' \
        "$(sed 's,/dev/pts/[0-9]*,/dev/pts/0,' <<<"$seen")"
}

# Runs a command in tmux and prints what its window shows after some keys.
in_tmux() { # keys, command...
    local keys=$1 tmux=(tmux -f /dev/null -L "$mark")
    shift
    "${tmux[@]}" new-session -d -x 80 -y 24 "$(printf '%q ' "$@")"
    sleep 1.5
    "${tmux[@]}" send-keys "$keys" Enter
    sleep 1
    "${tmux[@]}" capture-pane -p 2>/dev/null
    "${tmux[@]}" kill-server
}

nginx_checks() {
    local c=web seen
    succeeds "run -d -p" caisson_ run -d --name $c -p 8080:80 $nginx
    eventually "curl answers" 60 curl -sf --max-time 5 http://127.0.0.1:8080/
    like "curl: nginx's page" 'nginx of a Debian package' "$(get 8080)"
    is "curl: a hundred times" "100" "$(for _ in {1..100}; do get 8080; done | grep -c nginx)"
    like "ps" 'web' "$(caisson_ ps 2>&1)"
    like "ps: ports" '8080->80/tcp' "$(caisson_ ps 2>&1)"
    like "port" '(0\.0\.0\.0|127\.0\.0\.1|\[::\]):8080' "$(caisson_ port $c 80 2>&1)"
    is "exec: output" "root" "$(caisson_ exec $c id -un 2>&1)"
    exits "exec: exit code" 9 caisson_ exec $c sh -c 'exit 9'
    exits "exec: missing command" 127 caisson_ exec $c /no/such/command
    is "exec: environment, directory, user" "v /tmp 33" \
        "$(caisson_ exec -e K=v -w /tmp -u 33 $c sh -c 'echo $K $(pwd) $(id -u)' 2>&1)"
    is "exec: standard input" "abc" "$(echo abc | caisson_ exec -i $c cat 2>&1)"
    is "exec: seccomp filter" "Seccomp: 2" "$(caisson_ exec $c grep Seccomp: /proc/self/status 2>&1 | tr '\t' ' ')"
    terminal_checks $c bash
    like "exec -it: in tmux" 'sum 42' "$(in_tmux 'echo sum $((40+2))' "${caisson_words[@]}" exec -it $c sh)"
    succeeds "exec -d" caisson_ exec -d $c touch /from-exec
    eventually "exec -d: has run" 60 caisson_ exec $c test -e /from-exec
    like "logs: the requests" 'GET / HTTP/1.1" 200' "$(caisson_ logs $c 2>/dev/null)"
    is "logs --tail" "2" "$(caisson_ logs --tail 2 $c 2>/dev/null | wc -l)"
    like "top" 'nginx: worker' "$(caisson_ top $c 2>&1)"
    like "stats" '[0-9.]+ ?[kKM]i?B' "$(caisson_ stats --no-stream $c 2>&1)"
    like "inspect: address" '^[0-9]+\.[0-9]+\.' "$(caisson_ inspect --format json $c 2>/dev/null | jq -r '.. | .IPAddress? // empty' | head -n 1)"
    like "a port that is in use names the holder" '8080.*(web|caisson|pasta|slirp|in use)' \
        "$(caisson_ run -d --rm -p 8080:80 $nginx 2>&1 | tr '\n' ' ')"
    printf '<p>copied in</p>' >"$scratch/copied.html"
    chmod a+r "$scratch/copied.html"
    succeeds "cp: into the container" caisson_ cp "$scratch/copied.html" $c:/var/www/html/copied.html
    is "cp: nginx serves it" "<p>copied in</p>" "$(get 8080 /copied.html)"
    is "cp: out of the container" "<p>copied in</p>" "$(caisson_ cp $c:/var/www/html/copied.html - 2>/dev/null | tar -xO 2>/dev/null)"
    if ((!rootless)); then
        succeeds "pause" caisson_ pause $c
        is "paused" "paused" "$(container_status $c)"
        is "paused: no answer" "" "$(curl -s --max-time 1 http://127.0.0.1:8080/)"
        succeeds "unpause" caisson_ unpause $c
        like "unpaused: answers" nginx "$(get 8080)"
        succeeds "update --memory" caisson_ update --memory 48m --memory-swap 48m $c
        is "update: cgroup has it" "50331648" \
            "$(caisson_ exec $c sh -c 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max' 2>&1)"
    fi
    succeeds "stop" caisson_ stop $c
    is "stop: nginx ended by itself" "0" "$(field $c .State.ExitCode)"
    is "stop: the port is free" "" "$(get 8080)"
    succeeds "start again" caisson_ start $c
    eventually "start again: curl answers" 60 curl -sf --max-time 5 http://127.0.0.1:8080/
    is "start again: its files are there" "<p>copied in</p>" "$(get 8080 /copied.html)"
    succeeds "restart" caisson_ restart $c
    eventually "restart: curl answers" 60 curl -sf --max-time 5 http://127.0.0.1:8080/
    like "rm of what runs is refused" 'running|stop|-f' "$(caisson_ rm $c 2>&1)"
    succeeds "rm -f" caisson_ rm -f $c
    is "ps -a: none" "" "$(caisson_ ps -aq 2>&1)"
    is "rm: the port is free" "" "$(get 8080)"
}

lifecycle_checks() {
    local c=life out
    out=$(caisson_ create --name $c --network none -i $busybox cat 2>&1)
    like "create prints the id" '^[0-9a-f]{64}$' "$out"
    is "create: state" "created" "$(container_status $c)"
    is "start -a -i" "echoed" "$(echo echoed | caisson_ start -a -i $c 2>&1)"
    is "ended: state" "exited" "$(container_status $c)"
    succeeds "rm" caisson_ rm $c
    succeeds "run -d" caisson_ run -d --name $c --network none $busybox \
        sh -c 'echo out; echo err >&2; trap "echo usr1" USR1; trap "exit 7" TERM; while :; do sleep 0.1; done'
    sleep 0.5
    succeeds "kill -s USR1" caisson_ kill -s USR1 $c
    sleep 0.5
    is "logs: standard output" $'out\nusr1' "$(caisson_ logs $c 2>/dev/null)"
    is "logs: standard error" "err" "$(caisson_ logs $c 2>&1 >/dev/null)"
    caisson_ attach --no-stdin $c >"$scratch/attached" 2>&1 &
    sleep 0.5
    caisson_ kill -s USR1 $c >/dev/null 2>&1
    sleep 0.5
    like "attach" 'usr1' "$(cat "$scratch/attached")"
    caisson_ logs -f $c >"$scratch/followed" 2>/dev/null &
    caisson_ wait $c >"$scratch/waited" 2>&1 &
    sleep 0.3
    succeeds "stop" caisson_ stop -t 5 $c
    is "stop: exit code of the SIGTERM handler" "7" "$(field $c .State.ExitCode)"
    wait %% 2>/dev/null
    sleep 0.5
    is "wait" "7" "$(cat "$scratch/waited")"
    is "logs -f: to the end" $'out\nusr1\nusr1' "$(cat "$scratch/followed")"
    succeeds "start again" caisson_ start $c
    is "start again: runs" "running" "$(container_status $c)"
    succeeds "kill" caisson_ kill $c
    eventually "kill: ended" 60 is_status $c exited
    is "kill: exit code" "137" "$(field $c .State.ExitCode)"
    succeeds "rm" caisson_ rm $c
    succeeds "run -d, deaf to SIGTERM" caisson_ run -d --name $c --network none $busybox \
        sh -c 'trap "" TERM; while :; do sleep 0.1; done'
    sleep 0.3
    succeeds "stop kills after its time" caisson_ stop -t 1 $c
    is "stop: exit code of the kill" "137" "$(field $c .State.ExitCode)"
    succeeds "rm" caisson_ rm $c
    succeeds "run -d --restart on-failure:2" caisson_ run -d --name $c --network none --restart on-failure:2 $busybox \
        sh -c 'echo again; exit 3'
    eventually "restart: gives up" 20 is_status $c exited
    is "restart: three runs" "3" "$(caisson_ logs $c 2>/dev/null | grep -c again)"
    succeeds "rm" caisson_ rm $c
    succeeds "run -d --rm" caisson_ run -d --rm --name $c --network none $busybox sleep 0.3
    eventually "run -d --rm: removed when it ends" 60 none_there
    succeeds "run: the same name again" caisson_ run -d --name $c --network none $busybox sleep 1000
    like "a name that is in use" "$c" "$(caisson_ run -d --name $c --network none $busybox true 2>&1)"
    succeeds "rm -f of what runs" caisson_ rm -f $c
    like "events: the story of it" 'start.*(die|exit)' \
        "$(caisson_ events --since 10m --until 0s 2>&1 | tr '\n' ' ')"
    is "ps -a: none" "" "$(caisson_ ps -aq 2>&1)"
}
none_there() { [[ -z $(caisson_ ps -aq) ]]; }

network_checks() {
    succeeds "python3 serves" caisson_ run -d --name server -p 127.0.0.1:0:8000 $python3 python3 -m http.server 8000
    local port
    port=$(caisson_ port server 8000 2>/dev/null | sed 's/.*://' | head -n 1)
    eventually "a port that was chosen for us: curl answers" 15 curl -sf --max-time 5 "http://127.0.0.1:$port/"
    is "the way out has an address" "1" \
        "$(caisson_ run --rm $busybox sh -c 'ip -4 -o address show scope global | wc -l' 2>&1)"
    like "a default route" 'default via' "$(caisson_ run --rm $busybox ip route 2>&1)"
    is "another container's network" "works" \
        "$(caisson_ run --rm --network container:server $busybox sh -c 'wget -q -O /dev/null http://127.0.0.1:8000/ && echo works' 2>&1)"
    is "host network" "uplink" "$(caisson_ run --rm --network host $busybox sh -c 'ip link | grep -o uplink | head -n 1' 2>&1)"
    like "resolv.conf" '198\.51\.100\.1|10\.0\.2\.3|169\.254' "$(caisson_ run --rm $busybox cat /etc/resolv.conf 2>&1)"
    is "--dns" "nameserver 192.0.2.53" "$(caisson_ run --rm --dns 192.0.2.53 $busybox grep nameserver /etc/resolv.conf 2>&1)"
    succeeds "rm -f" caisson_ rm -f server
}
