# shellcheck shell=bash
# forms: short whole; seconds: 120
# Calls that the kernel process makes on the host while programs run, as strace sees them: all
# are in its table, crates/isolators/sentry/src/platform/host_calls.rs.
: "${scratch:?}" "${repo:?}" "${native:?}" "${sentry:?}" "${below:?}"
host_calls_check() {
    local from=$SECONDS bundle=$scratch/host-calls id=programs-host-calls pid tracer wrong='' calls table count _
    local runtime=("$sentry" --root "$scratch/state-sentry")
    mkdir -p "$bundle"/{upper,work,rootfs}
    mount -t overlay overlay -o "lowerdir=$below,upperdir=$bundle/upper,workdir=$bundle/work" "$bundle/rootfs"
    # As much work in either form: strace makes it slow.
    # shellcheck disable=SC2016  # it is expanded inside
    configure "$bundle" bash -c 'export SCALE=4; until [ -e /go ]; do sleep 0.1; done
        bash /suite/inside/sqlite.sh && rm -rf /desk && bash /suite/inside/perl.sh && rm -rf /desk &&
        bash /suite/inside/shell.sh; touch /done; sleep 100'
    timeout 60 "${runtime[@]}" create --bundle "$bundle" $id </dev/null >"$scratch/host-calls.sentry" 2>&1
    timeout 60 "${runtime[@]}" start $id
    pid=$("${runtime[@]}" state $id | sed -n 's/.*"pid": *\([0-9]*\).*/\1/p')
    # All its threads, and those that it makes; it makes no processes.
    timeout 120 strace -qq -f -e trace=all -e signal=none -e abbrev=all -o "$scratch/host-calls.trace" -p "$pid" &
    tracer=$!
    for _ in {1..300}; do
        [[ $(grep TracerPid "/proc/$pid/status") == *[1-9]* ]] && break
        sleep 0.1
    done
    touch "$bundle/rootfs/go"
    for _ in {1..900}; do
        [[ ! -e $bundle/rootfs/done ]] || break
        sleep 0.1
    done
    [[ -e $bundle/rootfs/done ]] || wrong="the programs did not end under strace; "
    timeout 60 "${runtime[@]}" delete --force $id >/dev/null 2>&1
    kill $tracer 2>/dev/null
    wait $tracer 2>/dev/null
    # What is refused, so that the C library does without, is no call made.
    calls=$(sed -n 's/^[0-9]* *\([a-z0-9_]*\)(.*/\1/p' "$scratch/host-calls.trace" | grep -vx -e clone3 -e open -e openat | sort -u)
    # A row may take several lines.
    table=$(tr '\n' ' ' <"$repo/crates/isolators/sentry/src/platform/host_calls.rs" |
        grep -o ' row( *[0-9]*, *"[a-z0-9_]*"' | sed 's/.*"\(.*\)"/\1/' | sort -u)
    count=$(wc -l <"$scratch/host-calls.trace")
    ((count > 10000 && $(wc -l <<<"$calls") > 10)) || wrong+="strace saw too little: $count lines; "
    calls=$(comm -23 <(echo "$calls") <(echo "$table") | tr '\n' ' ')
    [[ -z $calls ]] || wrong+="not in the table: $calls"
    result "$([[ -z $wrong ]] && echo ok || echo FAIL)" host-calls 0 $((SECONDS - from)) "${wrong:-$count calls, all of them in the table}"
    umount "$bundle/rootfs"
    rm -rf "$bundle"
}
host_calls_check
