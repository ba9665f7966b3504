#!/bin/bash
# Runs a runtime on cgroup v2 and under a real systemd, in virtual machines of
# its own: run.sh RUNTIME. Hosts on cgroup v1, or without systemd, have neither.
#
# Two guests at once, emulated by QEMU (no KVM is needed): one has nothing but
# a v2 hierarchy, the other boots systemd. What each checks is in guest/. Needs
# root, Debian's apt, and cargo for the project's own test programs. Fetched
# packages are unpacked in .cache/cgroup-v2, not installed; disks are never
# written to. CAISSON names the command, else it is beside the runtime; crictl
# drives its daemon, where Go is there to build it. Exit status: 0 all passed, 77 can't run here, 1 something failed.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../.." && pwd)
runtime=$(realpath -e "${1:-${RUNTIME:?usage: run.sh RUNTIME}}") || exit 2
caisson=${CAISSON:-$(dirname "$runtime")/caisson}
cache=$repo/.cache/cgroup-v2
# Only ends what hangs: an idle machine takes about 150 s, a busy one twice that.
guest_timeout=600

left_out() {
    echo "$1"
    exit 77
}
((EUID == 0)) || left_out "unpacking the guest's packages needs root"
[[ $(uname -m) == x86_64 ]] || left_out "the guest is x86_64, this machine is not"
command -v apt-get >/dev/null || left_out "no apt to get QEMU and the guest's packages with"
command -v cargo >/dev/null || left_out "no cargo to build the test programs with"
mkdir -p "$cache"
scratch=$(mktemp -d "${TMPDIR:-/tmp}/cgroup-v2.XXXXXX")
declare -a guests=()
# shellcheck disable=SC2329  # called by trap
cleanup() {
    ((${#guests[@]} == 0)) || kill -KILL "${guests[@]}" 2>/dev/null
    rm -rf "$scratch"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

need=()
command -v qemu-system-x86_64 >/dev/null || need+=(qemu-system-x86)
command -v mke2fs >/dev/null || need+=(e2fsprogs)
command -v busybox >/dev/null || need+=(busybox-static)
if ((${#need[@]})); then
    echo "cgroup-v2: installing ${need[*]}"
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${need[@]}"; } \
        >"$cache/apt.log" 2>&1 || left_out "apt could not install ${need[*]}: $(tail -n1 "$cache/apt.log")"
fi
PATH=$PATH:/usr/sbin:/sbin
if ! "$here/image.sh" "$cache"; then
    { apt-get update && "$here/image.sh" "$cache"; } >"$cache/apt.log" 2>&1 \
        || left_out "the guest's packages can't be had: $(tail -n1 "$cache/apt.log")"
fi

# Test programs run in the guests as they are: they are static.
native=(lifecycle churn fields_{devices,hooks,names,namespaces,resources,terminal})
tests=(--lib --test host --test clone_into)
for name in "${native[@]}" fields_mounts fields_process; do tests+=(--test "$name"); done
echo "cgroup-v2: building test programs"
(cd "$repo" && cargo test --quiet --no-run --message-format json -p caisson-cgroup -p caisson-native "${tests[@]}") \
    >"$scratch/built.json" || { echo "cgroup-v2: cargo can't build the test programs"; exit 1; }
payload=$scratch/payload
mkdir -p "$payload/tests"
cp -r "$here/guest" "$payload/guest"
chmod 755 "$payload"/guest/*.sh
cp "$runtime" "$payload/caisson-native"
mkdir "$payload/bin"
cp "$runtime" "$caisson" "$(dirname "$caisson")"/{caisson-shim,caisson-init,caisson-sentry} "$repo/scripts/caisson.service" "$payload/bin/" || exit 1
if command -v go >/dev/null || [[ -x /usr/local/go/bin/go ]]; then
    "$here/../peers/go/build.sh" crictl || exit 1
    cp "$repo/.cache/peers/go/crictl" "$payload/bin/"
else
    echo "cgroup-v2: no Go to build crictl with: pods are left out"
fi
# Prints name and path of every program; the runtime's own path is the one
# that tests will call.
sed -n 's/.*"kind":\["\([a-z]*\)"\].*"name":"\([a-z_-]*\)","src_path.*"test":\(true\|false\)}.*"executable":"\([^"]*\)".*/\1 \2 \3 \4/p' \
    "$scratch/built.json" >"$scratch/programs"
while read -r kind name is_test path; do
    if [[ $is_test == false ]]; then
        [[ $kind == bin ]] && echo "$path" >"$payload/tests/runtime-path"
    elif [[ $name != caisson_native && $kind != bin ]]; then
        strip -o "$payload/tests/$name" "$path" 2>/dev/null || cp "$path" "$payload/tests/$name"
    fi
done <"$scratch/programs"
[[ -s $payload/tests/runtime-path ]] || { echo "cgroup-v2: cargo named no programs"; exit 1; }

# boot NAME: a guest in the background.
boot() {
    local name=$1 init programs
    case $name in
        # Left out: the guest's Linux 6.1 has no idmapped mounts of tmpfs (6.3).
        unified)
            init=/payload/guest/unified.sh
            programs=$(printf '%s\\n' caisson_cgroup host clone_into "${native[@]}" \
                'fields_mounts --skip ridmap_maps_submounts_and_idmap_does_not')
            set --
            ;;
        systemd)
            init=/lib/systemd/systemd programs="clone_into\nhost\nfields_process\n"
            set -- systemd.unit=conformance.service systemd.show_status=0 TERM=dumb
            ;;
    esac
    printf '%b' "$programs" >"$payload/tests/list"
    mke2fs -q -t ext4 -O ^has_journal -m 0 -d "$payload" "$scratch/$name.ext4" 400M >/dev/null || exit 1
    timeout -k 5 $guest_timeout qemu-system-x86_64 -M q35 -accel tcg,thread=multi -cpu max,-cx16 -smp 2 -m 1500 \
        -nodefaults -nographic -no-reboot -kernel "$cache/vmlinuz" -initrd "$scratch/initrd" \
        -drive "file=$cache/root.ext4,if=virtio,format=raw,snapshot=on" \
        -drive "file=$scratch/$name.ext4,if=virtio,format=raw,snapshot=on" \
        -serial "file:$scratch/$name.console" -serial "file:$scratch/$name.checks" \
        -append "console=ttyS0 panic=-1 quiet mitigations=off nokaslr no_timer_check audit=0 then=$init $*" \
        </dev/null >"$scratch/$name.qemu" 2>&1 &
    guests+=($!)
}
mkdir "$scratch/first"
cp "$here/guest/init" "$scratch/first/init"
chmod 755 "$scratch/first/init"
# Archives follow one another in an initramfs.
{ cat "$cache/modules.cpio" && (cd "$scratch/first" && echo init | busybox cpio -o -H newc 2>/dev/null); } >"$scratch/initrd"

ended() { grep -aq '^end' "$scratch/$1.checks"; }
unfinished=(unified systemd)
# QEMU itself may hang: a guest that does not come to its end has one more go.
for attempt in first second; do
    echo "cgroup-v2: booting ${unfinished[*]}"
    for name in "${unfinished[@]}"; do boot "$name"; done
    began=$SECONDS
    wait "${guests[@]}"
    guests=()
    echo "cgroup-v2: guests took $((SECONDS - began)) s"
    left=()
    for name in "${unfinished[@]}"; do
        ended "$name" && continue
        left+=("$name")
        echo "note: $name did not come to its end within $guest_timeout s, the $attempt time; last check and console:"
        tail -n 2 "$scratch/$name.checks"
        tail -n 25 "$scratch/$name.console" "$scratch/$name.qemu"
    done
    unfinished=("${left[@]}")
    ((${#unfinished[@]})) || break
done

passed=0 failed=0
for name in unified systemd; do
    echo "--- $name"
    tr -d '\r' <"$scratch/$name.checks" | grep -v '^end$'
    passed=$((passed + $(grep -c '^ok ' "$scratch/$name.checks")))
    failed=$((failed + $(grep -c '^not ok ' "$scratch/$name.checks")))
    if ! ended "$name"; then
        failed=$((failed + 1))
        echo "not ok $name: the guest did not come to its end, twice; it came to: $(tail -n 1 "$scratch/$name.checks")"
    fi
    [[ -z ${KEEP_CONSOLE:-} ]] || cp "$scratch/$name.console" "$cache/"
done
echo "$passed passed, $failed failed"
((failed == 0 && passed > 0))
