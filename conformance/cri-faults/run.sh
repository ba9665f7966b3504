#!/bin/bash
# Faults against a real `caisson serve` with real supervisors, Debian's CNI
# plugins and a registry on loopback, driven as a kubelet drives it. SEED makes a
# run again (1, and with more rounds another one each time); ROUNDS multiplies its
# numbers (1; `make cri-faults`: 20); PARTS names some of its parts.
# shellcheck disable=SC2034,SC2154  # read, and set, by suite.sh
images=(busybox)
if [[ -z ${CAISSON_SUITE_SCRATCH:-} ]]; then
    "$(dirname "$0")/../../scripts/packages.sh" python3-grpcio python3-protobuf protobuf-compiler || exit 2
fi
# shellcheck source=../suite.sh
. "$(dirname "$0")/../suite.sh"
# As on every node with systemd; nothing of it leaves these namespaces.
mount --make-rshared /
# State is on a file system of its own, which can be filled; the machine's is
# read-only from here, so that no request reaches it, whatever it asks for.
state=$scratch/state
mkdir "$state"
mount -t tmpfs -o size=512m,mode=755 tmpfs "$state"
mount -t tmpfs -o mode=1777 tmpfs /tmp
mkdir -p "$state/contract" /run/caisson-suite
# Debian's protoc is older than one of the options.
cp -r "$repo/proto" "$state/proto"
sed -i 's/ \[debug_redact = true\]//' "$state"/proto/cri/*.proto
protoc -I "$state/proto" --python_out="$state/contract" "$state"/proto/cri.proto "$state"/proto/cri/*.proto || die "protoc failed"
cp -rL "$repo/.cache/images/busybox" "$state/busybox"
plain_http 127.0.0.1:5000
mount -o remount,bind,ro / || die "can't make the file system read-only"
unset CAISSON_ROOT CAISSON_RUN_ROOT
((${ROUNDS:-1} > 1)) || SEED=${SEED:-1}
TMPDIR=/tmp GRPC_ENABLE_FORK_SUPPORT=0 PYTHONDONTWRITEBYTECODE=1 \
    /usr/bin/python3 "$here/campaign.py" --caisson "$CAISSON" --state "$state" \
    --rounds "${ROUNDS:-1}" ${SEED:+--seed "$SEED"} ${PARTS:+--parts "$PARTS"}
