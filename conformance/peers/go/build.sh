#!/bin/bash
# Builds programs of this module, which pins what others wrote in Go and the
# suites drive or compare with: build.sh NAME... They end up in
# .cache/peers/go; what is there for the same go.mod and Go is not built again.
#
#   critest crictl     the CRI's validation suite and client (about 1.5 minutes of processor time)
#   cribench           our client that measures; little more
#   cricontract        prints the contract, and calls a runtime as Go does; little more
#   containerd         with containerd-shim-runc-v2 and ctr (1.5 minutes)
#   kubelet kube-apiserver kubectl
#                      (10 minutes)
set -euo pipefail
cd "$(dirname "$0")"
out=$(cd ../../.. && pwd)/.cache/peers/go
export PATH=$PATH:/usr/local/go/bin GOFLAGS=-buildvcs=false CGO_ENABLED=0
mkdir -p "$out"
exec 9>"$out/lock"
flock 9

flags=(-trimpath -ldflags '-s -w' -p "$(nproc)")
for name; do
    sources=(go.mod go.sum build.sh)
    [[ ! -d $name ]] || sources+=("$name"/*.go)
    stamp=$(cat "${sources[@]}" <(go env GOVERSION) | sha256sum | cut -d' ' -f1)
    if [[ -x $out/$name && $(cat "$out/$name.stamp" 2>/dev/null) == "$stamp" ]]; then continue; fi
    from=$SECONDS
    case $name in
        critest) go test -c "${flags[@]}" -o "$out/critest" sigs.k8s.io/cri-tools/cmd/critest ;;
        crictl) go build "${flags[@]}" -o "$out/" sigs.k8s.io/cri-tools/cmd/crictl ;;
        containerd)
            go build "${flags[@]}" -tags 'no_btrfs no_zfs no_devmapper' -o "$out/" \
                github.com/containerd/containerd/v2/cmd/{containerd,containerd-shim-runc-v2,ctr}
            ;;
        kubelet | kube-apiserver | kubectl)
            go build "${flags[@]}" -o "$out/" "k8s.io/kubernetes/cmd/$name"
            ;;
        cribench | cricontract) go build "${flags[@]}" -o "$out/" "./$name" ;;
        *)
            echo "peers: unknown program $name" >&2
            exit 2
            ;;
    esac
    echo "$stamp" >"$out/$name.stamp"
    echo "peers: built $name in $((SECONDS - from)) s"
done
