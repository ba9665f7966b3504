# A containerd of the suite's own, and ctr to drive it. Sourced after lib.sh;
# expects `with`, options of `ctr run` that choose the runtime.
# shellcheck shell=bash

[[ -x /usr/bin/containerd && -x /usr/bin/ctr ]] || die "no containerd: run conformance/peers/install.sh apt"
image=docker.io/caisson-test/debian:latest
daemon=
n=0
ctr_() { timeout --foreground 30 /usr/bin/ctr --address "$scratch/containerd.sock" --namespace "$mark" "$@"; }
in_pty_ctr() { in_pty /usr/bin/ctr --address "$scratch/containerd.sock" --namespace "$mark" "$@"; }
# Options of ctr, image, the command.
run() {
    local options=()
    while [[ $1 != "$image" ]]; do
        options+=("$1")
        shift
    done
    shift
    n=$((n + 1))
    ctr_ run --rm "${with[@]}" --env CAISSON_MARK="$mark" "${options[@]}" "$image" "$mark-$n-$BASHPID" "$@"
}
status() { ctr_ task ls 2>/dev/null | awk -v id="$1" '$1 == id {print $3}'; }
stopped() { [[ $(status "$1") == STOPPED ]]; }
# Shims are looked for in the suite's own bin first.
serve() {
    CAISSON_MARK=$mark PATH=$scratch/bin:$PATH unshare --mount --propagation private /usr/bin/containerd \
        --config "$scratch/config.toml" >>"$scratch/containerd.log" 2>&1 &
    daemon=$!
    eventually "containerd starts" 30 ctr_ version
}
end_containerd() {
    [[ -n $daemon ]] || return 0
    ctr_ task ls -q 2>/dev/null | while read -r id; do ctr_ task rm -f "$id" >/dev/null 2>&1; done
    end_daemon "$daemon"
}

cat >"$scratch/config.toml" <<CONF
version = 2
root = "$scratch/root"
state = "$scratch/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
oom_score = 0
[grpc]
  address = "$scratch/containerd.sock"
[ttrpc]
  address = "$scratch/containerd.sock.ttrpc"
CONF
