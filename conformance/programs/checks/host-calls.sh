# shellcheck shell=bash
# forms: short whole; seconds: 120
# Calls that the kernel process and its broker make on the host while programs run, as strace
# sees them: which, how often, and that all are in their tables, host_calls.rs and
# broker_calls.rs of crates/isolators/sentry/src/platform.
: "${scratch:?}" "${repo:?}" "${native:?}" "${sentry:?}" "${below:?}"
# What one of them called: names and times, the most first; adds to `wrong` what it may not.
calls_of() { # sentry or broker, its table, names that its filter refuses
    local counted=$scratch/host-calls.$1.counted unlisted
    # What is refused, so that the C library does without, is no call made.
    sed -n 's/^[0-9]* *\([a-z0-9_]*\)(.*/\1/p' "$scratch/host-calls.$1.trace" |
        grep -vx -e none "${@:3}" | sort | uniq -c | sort -rn >"$counted"
    # A row may take several lines.
    unlisted=$(comm -23 <(awk '{print $2}' "$counted" | sort) <(tr '\n' ' ' <"$repo/crates/isolators/sentry/src/platform/$2" |
        grep -o ' row( *[0-9]*, *"[a-z0-9_]*"' | sed 's/.*"\(.*\)"/\1/' | sort) | tr '\n' ' ')
    [[ -z $unlisted ]] || wrong+="not in the table of the $1: $unlisted; "
    awk -v who="$1" '{ sum += $1; list = list (NR > 1 ? ", " : "") $2 " " $1 }
        END { printf "%s, %d calls of %d kinds: %s\n", who, sum, NR, list }' "$counted" | fold -s -w 110 | sed 's/^/    /; s/ *$//'
}
host_calls_check() {
    local from=$SECONDS bundle=$scratch/host-calls id=programs-host-calls pid broker='' child who tracers=() wrong='' figures _
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
    # Of its children the broker alone has descriptors, and always this one (`OWN`).
    for child in $(cat /proc/"$pid"/task/*/children); do
        [[ ! -L /proc/$child/fd/100 ]] || broker=$child
    done
    [[ -n $broker ]] || wrong="no broker was found; "
    for who in "sentry $pid" "broker $broker"; do
        # All its threads, and those that it makes; it makes no processes.
        timeout 120 strace -qq -f -e trace=all -e signal=none -e abbrev=all -o "$scratch/host-calls.${who% *}.trace" -p "${who#* }" &
        tracers+=($!)
        for _ in {1..300}; do
            [[ $(grep TracerPid "/proc/${who#* }/status") == *[1-9]* ]] && break
            sleep 0.1
        done
    done
    touch "$bundle/rootfs/go"
    for _ in {1..900}; do
        [[ ! -e $bundle/rootfs/done ]] || break
        sleep 0.1
    done
    [[ -e $bundle/rootfs/done ]] || wrong+="the programs did not end under strace; "
    timeout 60 "${runtime[@]}" delete --force $id >/dev/null 2>&1
    kill "${tracers[@]}" 2>/dev/null
    wait "${tracers[@]}" 2>/dev/null
    calls_of sentry host_calls.rs -e clone3 -e open -e openat >"$scratch/host-calls.list"
    calls_of broker broker_calls.rs >>"$scratch/host-calls.list"
    figures=$(sed -n 's/^    \([a-z]*, [0-9]* calls\).*/\1/p' "$scratch/host-calls.list" | paste -sd ';' | sed 's/;/; /')
    [[ $(wc -l <"$scratch/host-calls.sentry.counted") -gt 10 && $(wc -l <"$scratch/host-calls.sentry.trace") -gt 10000 &&
        $(wc -l <"$scratch/host-calls.broker.counted") -gt 5 && $(wc -l <"$scratch/host-calls.broker.trace") -gt 500 ]] ||
        wrong+="strace saw too little: $figures"
    result "$([[ -z $wrong ]] && echo ok || echo FAIL)" host-calls 0 $((SECONDS - from)) "${wrong:-$figures: all of them in the tables}"
    cat "$scratch/host-calls.list"
    umount "$bundle/rootfs"
    rm -rf "$bundle"
}
host_calls_check
