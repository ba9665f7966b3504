# shellcheck shell=bash
# shellcheck disable=SC2154  # set by run.sh, suite.sh and cri.sh
# What is asked of every handler. Sourced by run.sh.

# A pod of two containers with a shared PID namespace: `main` writes, traps
# SIGTERM, and `reader` reads what is sent to it.
write_requests() {
    cat >"$scratch/pod.json" <<JSON
{"metadata": {"name": "pod-$handler", "namespace": "suite", "uid": "uid-$handler", "attempt": 1},
 "hostname": "$handler", "log_directory": "$scratch/logs/$handler", "linux": {}}
JSON
    cat >"$scratch/main.json" <<JSON
{"metadata": {"name": "main", "attempt": 1}, "image": {"image": "$image"}, "log_path": "main.log",
 "command": ["sh", "-c", "echo out; echo err >&2; trap 'echo bye; exit 7' TERM; while :; do sleep 0.05; done"],
 "linux": {"resources": {"memory_limit_in_bytes": 134217728, "cpu_period": 100000, "cpu_quota": 50000}}}
JSON
    cat >"$scratch/reader.json" <<JSON
{"metadata": {"name": "reader", "attempt": 1}, "image": {"image": "$image"}, "log_path": "reader.log",
 "command": ["sh"], "stdin": true, "stdin_once": false, "tty": true, "linux": {}}
JSON
    cat >"$scratch/short.json" <<JSON
{"metadata": {"name": "short", "attempt": 1}, "image": {"image": "$image"}, "log_path": "short.log",
 "command": ["sh", "-c", "read line; echo got \$line; sleep 1; exit 9"], "stdin": true, "linux": {}}
JSON
    cat >"$scratch/wrong.json" <<JSON
{"metadata": {"name": "wrong", "attempt": 1}, "image": {"image": "$image"}, "log_path": "wrong.log",
 "command": ["no-such-program"], "linux": {}}
JSON
}
make_container() { crictl_ create "$pod" "$scratch/$1.json" "$scratch/pod.json" 2>"$scratch/said"; }
state() { crictl_ inspect "$1" 2>/dev/null | jq -r '"\(.status.state) \(.status.exitCode)"'; }
state_is() { [[ $(state "$1") == "$2" ]]; }
log_of() { cut -d' ' -f2,4- "$scratch/logs/$handler/$1.log" 2>/dev/null; }
log_has() { log_of "$1" | grep -qF -- "$2"; }
limit_is() { [[ $(cat "$(find /sys/fs/cgroup -path "*$1*" \( -name memory.limit_in_bytes -o -name memory.max \) | head -n 1)") == "$2" ]]; }
# The processes of a pod's foreign shim: they were told of its socket for events.
# The guard of ours is no shim.
shims_of_pod() { # pod
    local pid
    for pid in /proc/[0-9]*; do
        tr '\0' '\n' 2>/dev/null <"$pid/environ" | grep -q "^TTRPC_ADDRESS=.*$1" || continue
        [[ $(cat "$pid/comm" 2>/dev/null) == caisson-guard ]] || printf '%s ' "${pid#/proc/}"
    done
}

report_checks() {
    echo "# What the daemon says of handlers"
    local rows
    rows=$("$CAISSON" --config "$scratch/caisson.toml" handlers --format json)
    is "kinds" "crun-oci oci,runc-oci oci,shim shim" \
        "$(jq -rs 'flatten | map(select(.name == "crun-oci" or .name == "runc-oci" or .name == "shim") | "\(.name) \(.kind)") | join(",")' <<<"$rows")"
    is "runc says what it can do" "true true" "$(jq -rs 'flatten[] | select(.name == "runc-oci")
        | "\(.version | startswith("runc version")) \(.features | contains(["seccomp", "recursive-read-only-mounts"]))"' <<<"$rows")"
    is "so does our own engine" "seccomp user-namespaces recursive-read-only-mounts" \
        "$(jq -rs 'flatten[] | select(.name == "native").features | join(" ")' <<<"$rows")"
    is "and our own as a shim" "seccomp user-namespaces recursive-read-only-mounts" \
        "$(jq -rs 'flatten[] | select(.name == "shim-caisson").features | join(" ")' <<<"$rows")"
    is "an older shim says its version" "true null" \
        "$(jq -rs 'flatten[] | select(.name == "shim") | "\(.version != null) \(.features)"' <<<"$rows")"
    is "Status says the same" "native true true,runc-oci true false,shim false false" \
        "$(crictl_ info 2>/dev/null | jq -r '[.runtimeHandlers[] | select(.name == "native" or .name == "runc-oci" or .name == "shim")
            | "\(.name) \(.features.recursive_read_only_mounts // false) \(.features.user_namespaces // false)"] | sort | join(",")')"
    like "a shim that is missing is named" 'containerd-shim-no-such-thing-v1' \
        "$(jq -rs 'flatten[] | select(.name == "missing").problem' <<<"$rows")"
    handler=missing
    write_requests
    like "and refused by name" 'containerd-shim-no-such-thing-v1' "$(crictl_ runp --runtime missing "$scratch/pod.json" 2>&1)"
}

handler_checks() { # handler
    handler=$1
    local pod main reader short out
    echo "# $handler"
    write_requests
    mkdir -p "$scratch/logs/$handler"
    pod=$(crictl_ runp --runtime "$handler" "$scratch/pod.json" 2>"$scratch/said") || { fail "run a pod" "$(cat "$scratch/said")"; return; }
    main=$(make_container main) || { fail "make a container" "$(cat "$scratch/said")"; return; }
    succeeds "start it" crictl_ start "$main"
    reader=$(make_container reader) || { fail "make another" "$(cat "$scratch/said")"; return; }
    succeeds "start that" crictl_ start "$reader"
    eventually "both run" 60 state_is "$reader" "CONTAINER_RUNNING 0"
    is "what a pod costs is measured" "true" "$("$CAISSON" --config "$scratch/caisson.toml" handlers --format json |
        jq -s "flatten[] | select(.name == \"$handler\").overhead > 100000")"
    is "its handler" "$handler" "$(crictl_ inspectp "$pod" | jq -r .status.runtimeHandler)"
    eventually "standard output is kept" 60 log_has main "stdout out"
    eventually "standard error is kept" 60 log_has main "stderr err"

    is "exec: output" "hello" "$(crictl_ exec "$main" echo hello 2>&1)"
    is "exec: input" "passed on" "$(echo passed on | crictl_ exec -i "$main" cat 2>&1)"
    exits "exec: exit code" 1 crictl_ exec "$main" sh -c 'exit 3'
    like "exec: exit code by name" 'exit code 3' "$(crictl_ exec "$main" sh -c 'exit 3' 2>&1)"
    is "exec in one go: both streams" "o e" "$(crictl_ exec -s "$main" sh -c 'echo o; echo e >&2' 2>&1 | xargs)"
    like "exec in one go: exit code" 'exited with 4' "$(crictl_ exec -s "$main" sh -c 'exit 4' 2>&1)"
    like "exec in one go: too long" '[Tt]imed? ?out|DeadlineExceeded|deadline' "$(crictl_ exec -s --timeout 1 "$main" sleep 60 2>&1)"
    eventually "and what was too long is ended" 60 no_sleeper
    like "exec: no such program" 'no-such-program' "$(crictl_ exec "$main" no-such-program 2>&1)"
    like "exec with a terminal" '/dev/(pts/)?[0-9a-z]+' "$(in_pty "$go_programs/crictl" exec -it "$main" tty)"
    is "the pod's processes see each other" "yes" "$(crictl_ exec "$main" sh -c 'ps | grep -q "[s]h$" && echo yes' 2>&1)"
    is "host name" "$handler" "$(crictl_ exec "$main" hostname 2>&1)"

    attach_to_terminal "$reader"
    like "attach with a terminal" 'answer 42' "$(cat "$scratch/attached")"
    eventually "and what it showed is kept" 60 log_has reader "answer 42"
    eventually "its exit code" 60 state_is "$reader" "CONTAINER_EXITED 5"

    out=$(crictl_ stats -o json "$main" 2>/dev/null | jq -r '.stats[0] | (.memory.workingSetBytes.value | tonumber) > 0, (.cpu.usageCoreNanoSeconds.value | tonumber) > 0' | xargs)
    is "stats: memory, processor" "true true" "$out"
    succeeds "update" crictl_ update --memory 67108864 "$main"
    succeeds "the limit is the new one" limit_is "$main" 67108864

    short=$(make_container short) || fail "make a third" "$(cat "$scratch/said")"
    succeeds "start a third" crictl_ start "$short"
    kill -KILL "$cri_pid"
    wait "$cri_pid" 2>/dev/null
    start_cri || die "the daemon does not come back"
    is "after kill -9 of the daemon: it runs" "CONTAINER_RUNNING 0" "$(state "$main")"
    is "exec in it" "again" "$(crictl_ exec "$main" echo again 2>&1)"
    echo line | crictl_ attach -i "$short" >/dev/null 2>&1
    eventually "attach: input arrives" 60 log_has short "got line"
    kill -KILL "$cri_pid"
    wait "$cri_pid" 2>/dev/null
    sleep 1.5
    start_cri || die "the daemon does not come back"
    is "the exit code of what ended meanwhile" "CONTAINER_EXITED 9" "$(state "$short")"

    short=$(make_container wrong) && crictl_ start "$short" >"$scratch/wrong" 2>&1 && fail "a program that is missing" "started"
    like "a program that is missing is told" 'no-such-program' "$(cat "$scratch/said" "$scratch/wrong" 2>/dev/null)"

    succeeds "stop with grace" crictl_ stop -t 10 "$main"
    is "the exit code of its handler of SIGTERM" "CONTAINER_EXITED 7" "$(state "$main")"
    succeeds "its last words are kept" log_has main "stdout bye"
    succeeds "remove it" crictl_ rm "$main"

    if [[ $handler == shim* ]]; then
        main=$(make_container main) || fail "make it again" "$(cat "$scratch/said")"
        succeeds "start it again" crictl_ start "$main"
        out=$(shims_of_pod "$pod")
        is "one shim has all of the pod" "1" "$(wc -w <<<"$out")"
        # shellcheck disable=SC2086  # numbers
        kill -KILL $out
        eventually "after kill -9 of the shim: it has ended" 20 state_is "$main" "CONTAINER_EXITED 137"
        succeeds "remove what has ended" crictl_ rm "$reader"
        reader=$(make_container reader) || fail "make one more" "$(cat "$scratch/said")"
        succeeds "and another one starts" crictl_ start "$reader"
        is "in which a program runs" "fine" "$(crictl_ exec "$reader" echo fine 2>&1)"
    fi
    succeeds "stop the pod" crictl_ stopp "$pod"
    succeeds "remove the pod" crictl_ rmp "$pod"
    since "$scratch/before" >"$scratch/left"
    is "nothing is left" "" "$(grep -vE "(link|address) cni-suite|^nft |^mount [^ ]*/suite/store${no_cgroups:+|^cgroup $no_cgroups/}" "$scratch/left" | head -n 20)"
}

no_sleeper() { ! pgrep -fx 'sleep 60'; }
# Types into an attached terminal.
attach_to_terminal() {
    # shellcheck disable=SC2016  # the container's shell expands it
    { sleep 0.5; echo 'echo answer $((6*7))'; sleep 0.5; echo 'exit 5'; sleep 0.5; } |
        timeout 20 script -qefc "$go_programs/crictl attach -it $1" /dev/null >"$scratch/attached" 2>&1
}
