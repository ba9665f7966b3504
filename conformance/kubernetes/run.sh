#!/bin/bash
# A real kubelet on `caisson serve`: first alone, with a static pod, then in a
# cluster of one node with kube-apiserver, etcd and kubectl, then there with a
# RuntimeClass of the sentry's. PART is standalone, cluster or sandboxed;
# PEER=containerd runs the first two on containerd. Needs Go, which builds
# Kubernetes (10 minutes of processor time, once).
# shellcheck disable=SC2034,SC2154  # read, and set, by suite.sh
images=()
if [[ ${PEER:-caisson} == caisson ]] && ! "${CAISSON:-$(dirname "${RUNTIME:-${1:-/}}")/caisson}" serve --help >/dev/null 2>&1; then
    echo "kubernetes: this caisson has no daemon"
    exit 77
fi
if [[ -z ${CAISSON_SUITE_SCRATCH:-} ]]; then
    own=$(cd "$(dirname "$0")" && pwd)
    "$own/../../scripts/packages.sh" etcd-server curl jq iptables || exit 2
    "$own/../peers/go/build.sh" ${KUBE_PROGRAMS:-crictl kubelet kube-apiserver kubectl} ${PEER:+$([[ $PEER == caisson ]] || echo "$PEER")} || exit 2
    "$own/../critest/images.sh" >/dev/null || exit 2
fi
# shellcheck source=../suite.sh
. "$(dirname "$0")/../suite.sh"
# shellcheck source=../cri.sh
. "$here/../cri.sh"
# shellcheck source=servers.sh
. "$here/servers.sh"
# shellcheck source=standalone.sh
. "$here/standalone.sh"
# shellcheck source=cluster.sh
. "$here/cluster.sh"
# shellcheck source=sandboxed.sh
. "$here/sandboxed.sh"
# shellcheck disable=SC2329  # called by trap
cleanup() {
    stop_kubelet
    stop_cluster
    stop_cri
    end_servers
    mkdir -p "$cache/conformance/kubernetes-$PEER"
    cp "$scratch"/*.log "$cache/conformance/kubernetes-$PEER/"
}
trap cleanup EXIT

start_registry 5000 "$scratch/registry" plain || die "no registry"
mirror_registries 5000 registry.k8s.io gcr.io
"$here/../critest/images.sh" | grep -E '/(busybox|nginx|sandbox) ' | while read -r layout name _; do
    skopeo copy -q --dest-tls-verify=false "oci:$layout:latest" "docker://127.0.0.1:5000/$name" || exit 1
done || die "can't fill the registry"
prepare_node
start_cri || exit 1
census >"$scratch/before"
case ${PART:-all} in all | standalone) standalone_checks ;; esac
case ${PART:-all} in all | cluster) cluster_checks ;; esac
if [[ $PEER == caisson ]]; then
    case ${PART:-all} in all | sandboxed) sandboxed_checks ;; esac
fi
stop_kubelet
# The kubelet's own: its directory, its firewall, cgroups of the classes of service.
since "$scratch/before" >"$scratch/left"
is "nothing is left: mounts, cgroups, processes, links" "" \
    "$(grep -vE '^nft |^mount [^ ]*/suite/kubelet |(link|address) cni-suite|cgroup [^ ]*/kubepods(/(burstable|besteffort))?$' "$scratch/left")"
finish
