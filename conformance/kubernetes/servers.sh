# shellcheck shell=bash
# A kubelet, and the servers of a cluster of one node, in a suite's namespaces.
# Sourced after cri.sh; everything they write is below $scratch.
kubelet_pid= apiserver_pid= etcd_pid=
node=node-1
export KUBECONFIG=$scratch/kubeconfig
kubectl_() { timeout --foreground 60 "$go_programs/kubectl" --cache-dir "$scratch/kubectl" "$@"; }
# As `succeeds`, in this shell: what it starts stays known.
starts() { # name function...
    local name=$1
    shift
    if "$@" >"$scratch/starts.log" 2>&1; then ok "$name"; else fail "$name" "$(tail -c 800 "$scratch/starts.log")"; fi
}
kubelet_() { curl -sS --max-time 20 "http://127.0.0.1:10255/$1"; }

# What a kubelet writes outside its directory, in this mount namespace only.
# The kernel's settings are the whole machine's: it finds what it wants to set.
prepare_node() {
    local setting
    mount -t tmpfs tmpfs /var/log
    mkdir -p "$scratch/settings"
    for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
        kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
        echo "${setting#*=}" >"$scratch/settings/$(basename "${setting%=*}")"
        mount --bind "$scratch/settings/$(basename "${setting%=*}")" "/proc/sys/${setting%=*}"
    done
    mkdir -p "$scratch/manifests" "$scratch/evidence"
    cat >"$scratch/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix://$cri_socket
staticPodPath: $scratch/manifests
podLogsDir: $scratch/pod-logs
volumePluginDir: $scratch/volume-plugins
fileCheckFrequency: 1s
syncFrequency: 5s
nodeStatusUpdateFrequency: 2s
volumeStatsAggPeriod: 5s
address: 0.0.0.0
readOnlyPort: 10255
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
failCgroupV1: false
featureGates: {PodAndContainerStatsFromCRI: true}
failSwapOn: false
oomScoreAdj: 0
evictionHard: {memory.available: 1Mi, nodefs.available: 1Mi, imagefs.available: 1Mi}
resolvConf: /etc/resolv.conf
registerNode: true
YAML
}

start_kubelet() { # more options
    local i
    PATH=$PATH:/usr/sbin "$go_programs/kubelet" --config "$scratch/kubelet.yaml" --root-dir "$scratch/kubelet" \
        --hostname-override $node --node-ip 198.51.100.2 "$@" </dev/null >>"$scratch/kubelet.log" 2>&1 &
    kubelet_pid=$!
    for i in {1..150}; do
        ! kubelet_ healthz 2>/dev/null | grep -qx ok || return 0
        kill -0 $kubelet_pid 2>/dev/null || break
        sleep 0.2
    done
    grep -E '^[EF]' "$scratch/kubelet.log" | tail -n 20
    return 1
}
stop_kubelet() {
    [[ -z $kubelet_pid ]] || end_daemon "$kubelet_pid"
    kubelet_pid=
}

start_cluster() {
    local i
    etcd --data-dir "$scratch/etcd" --log-level error --listen-client-urls http://127.0.0.1:2379 \
        --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380 \
        </dev/null >"$scratch/etcd.log" 2>&1 &
    etcd_pid=$!
    openssl genrsa -out "$scratch/accounts.key" 2048 2>/dev/null
    echo 'secret,admin,1,system:masters' >"$scratch/tokens.csv"
    "$go_programs/kube-apiserver" --etcd-servers http://127.0.0.1:2379 --cert-dir "$scratch/apiserver" \
        --bind-address 127.0.0.1 --secure-port 6443 --advertise-address 198.51.100.2 \
        --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$scratch/accounts.key" \
        --service-account-signing-key-file "$scratch/accounts.key" --service-cluster-ip-range 10.99.0.0/24 \
        --authorization-mode AlwaysAllow --token-auth-file "$scratch/tokens.csv" \
        --disable-admission-plugins ServiceAccount --kubelet-preferred-address-types InternalIP \
        --allow-privileged </dev/null >"$scratch/apiserver.log" 2>&1 &
    apiserver_pid=$!
    cat >"$KUBECONFIG" <<YAML
apiVersion: v1
kind: Config
clusters: [{name: suite, cluster: {server: "https://127.0.0.1:6443", insecure-skip-tls-verify: true}}]
users: [{name: admin, user: {token: secret}}]
contexts: [{name: suite, context: {cluster: suite, user: admin}}]
current-context: suite
YAML
    for i in {1..300}; do
        ! kubectl_ get --raw /readyz >/dev/null 2>&1 || return 0
        kill -0 $apiserver_pid 2>/dev/null || break
        sleep 0.2
    done
    tail -n 15 "$scratch/apiserver.log" "$scratch/etcd.log"
    return 1
}
stop_cluster() {
    [[ -z $apiserver_pid ]] || end_daemon "$apiserver_pid"
    [[ -z $etcd_pid ]] || end_daemon "$etcd_pid"
    apiserver_pid= etcd_pid=
}
