# shellcheck shell=bash
# Handlers of the programs of others, for a daemon of cri.sh. Sourced after it,
# in namespaces of one's own; sets `handlers` and `no_cgroups`.
handlers=()
# What looks like a directory of cgroups and is none.
no_cgroups=
# shellcheck disable=SC2154  # from suite.sh and cri.sh
add_handlers() {
    local runc=/usr/sbin/runc alone
    # crun refuses hosts that have both kinds of cgroups, and makes directories where
    # it looks for the second.
    if mountpoint -q /sys/fs/cgroup/unified; then
        no_cgroups=/sys/fs/cgroup/unified
        umount "$no_cgroups" && mount -t tmpfs none "$no_cgroups"
    fi
    mkdir -p "$scratch/shims"
    ln -s "$(dirname "$CAISSON")/caisson-shim" "$scratch/shims/containerd-shim-caisson-native-v2"
    handlers=(runc-oci crun-oci shim shim-caisson)
    cat >"$scratch/handlers.toml" <<TOML
[runtime.handlers.runc-oci]
kind = "oci"
runtime_path = "$runc"
[runtime.handlers.crun-oci]
kind = "oci"
runtime_path = "/usr/bin/crun"
[runtime.handlers.shim]
kind = "shim"
runtime_type = "io.containerd.runc.v2"
runtime_path = "/usr/bin/containerd-shim-runc-v2"
options = { BinaryName = "$runc" }
[runtime.handlers.shim-caisson]
kind = "shim"
runtime_type = "io.containerd.caisson-native.v2"
runtime_path = "$scratch/shims/containerd-shim-caisson-native-v2"
[runtime.handlers.missing]
kind = "shim"
runtime_type = "io.containerd.no-such-thing.v1"
TOML
    if [[ -x $go_programs/containerd-shim-runc-v2 ]]; then
        handlers+=(shim-new)
        cat >>"$scratch/handlers.toml" <<TOML
[runtime.handlers.shim-new]
kind = "shim"
runtime_type = "io.containerd.runc.v2"
runtime_path = "$go_programs/containerd-shim-runc-v2"
sandbox_container = true
options = { BinaryName = "$runc" }
TOML
    fi
    alone=$(declare -f configure_caisson)
    eval "configure_caisson_alone ${alone#configure_caisson}"
    # shellcheck disable=SC2317,SC2329  # by start_cri
    configure_caisson() {
        configure_caisson_alone
        cat "$scratch/handlers.toml" >>"$scratch/caisson.toml"
    }
}
