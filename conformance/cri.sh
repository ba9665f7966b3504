# shellcheck shell=bash
# A CRI runtime for a suite: `caisson serve`, or with PEER=containerd the
# containerd that peers/go builds, with runc. Sourced by `run.sh`s after
# suite.sh, in their own namespaces; needs $scratch and $repo. Pods get Debian's
# CNI plugins: bridge, host-local, portmap; images come from `start_registry`.
PEER=${PEER:-caisson}
# As on every node with systemd; nothing of it leaves these namespaces.
mount --make-rshared /
cri_pid=
# A directory in cgroupfs for the daemon, if it is to have one of its own.
cri_cgroup=
go_programs=$repo/.cache/peers/go
use_peer() { # caisson|containerd
    PEER=$1
    cri_socket=/run/$PEER-suite/cri.sock
    export CONTAINER_RUNTIME_ENDPOINT=unix://$cri_socket IMAGE_SERVICE_ENDPOINT=unix://$cri_socket
}
use_peer "$PEER"
crictl_() { timeout --foreground 60 "$go_programs/crictl" --timeout 30s "$@"; }

# The mirrors of registries: all of them are the one on loopback.
mirror_registries() { # port, registries...
    local port=$1 directory name
    shift
    for name; do
        for directory in /etc/caisson/certs.d /etc/containerd/certs.d; do
            mkdir -p "$directory/$name"
            cat >"$directory/$name/hosts.toml" <<TOML
server = "https://$name"
[host."http://127.0.0.1:$port"]
  capabilities = ["pull", "resolve"]
TOML
        done
    done
}

pod_network() {
    mkdir -p "$scratch/cni"
    cat >"$scratch/cni/10-suite.conflist" <<JSON
{
  "cniVersion": "1.0.0",
  "name": "suite",
  "plugins": [
    {
      "type": "bridge", "bridge": "cni-suite", "isGateway": true, "ipMasq": true, "hairpinMode": true,
      "ipam": {
        "type": "host-local", "dataDir": "$scratch/cni-addresses",
        "ranges": [[{"subnet": "10.88.0.0/16"}]], "routes": [{"dst": "0.0.0.0/0"}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
JSON
}

start_cri() {
    local i
    mkdir -p "${cri_socket%/*}"
    # The one in these namespaces, which keeps crictl from saying that it misses it.
    echo 'timeout: 30' >/etc/crictl.yaml
    pod_network
    "configure_$PEER"
    {
        [[ -z $cri_cgroup ]] || echo $BASHPID >"$cri_cgroup/cgroup.procs"
        "serve_$PEER"
    } </dev/null >>"$scratch/$PEER.log" 2>&1 &
    cri_pid=$!
    for i in {1..100}; do
        if crictl_ info >"$scratch/info.json" 2>"$scratch/info.log" &&
            jq -e '[.status.conditions[] | select(.type == "NetworkReady").status] == [true]' "$scratch/info.json" >/dev/null; then
            return 0
        fi
        kill -0 $cri_pid 2>/dev/null || break
        sleep 0.2
    done
    echo "$PEER does not serve; the end of its log, and what crictl says:"
    tail -n 20 "$scratch/$PEER.log" "$scratch/info.log"
    return 1
}

stop_cri() {
    [[ -z $cri_pid ]] || end_daemon "$cri_pid"
    cri_pid=
}

configure_containerd() {
    local runc=$repo/.cache/peers/bin/runc
    [[ -x $runc ]] || runc=/usr/sbin/runc
    cat >"$scratch/containerd.toml" <<TOML
version = 3
root = "$scratch/containerd"
state = "/run/containerd-suite/state"
oom_score = 0
[grpc]
  address = "$cri_socket"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["/usr/lib/cni"]
  conf_dir = "$scratch/cni"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  BinaryName = "$runc"
[plugins.'io.containerd.cri.v1.images'.registry]
  config_path = "/etc/containerd/certs.d"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "registry.k8s.io/pause:caisson"
TOML
}
serve_containerd() { PATH=$go_programs:$PATH exec "$go_programs/containerd" --config "$scratch/containerd.toml"; }

configure_caisson() {
    cat >"$scratch/caisson.toml" <<TOML
[storage]
root = "$scratch/store"
run_root = "/run/caisson-suite/state"
certs_dirs = ["/etc/caisson/certs.d"]
[network]
cni_conf_dirs = ["$scratch/cni"]
cni_bin_dirs = ["/usr/lib/cni"]
TOML
}
serve_caisson() { exec "$CAISSON" --config "$scratch/caisson.toml" serve --socket "$cri_socket"; }
