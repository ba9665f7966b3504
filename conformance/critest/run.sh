#!/bin/bash
# critest, the CRI's validation suite, against `caisson serve`, or with
# PEER=containerd against containerd and runc. Its images are ours
# (images.sh), served on loopback. FOCUS names specs by a regular expression,
# HANDLER one of cri-handlers/handlers.sh that is to run the pods, or `runsc`; what
# can't pass with it has rows of that name in expected.tsv.
# shellcheck disable=SC2034,SC2154  # read, and set, by suite.sh
images=()
if [[ ${PEER:-caisson} == caisson ]] && ! "${CAISSON:-$(dirname "${RUNTIME:-${1:-/}}")/caisson}" serve --help >/dev/null 2>&1; then
    echo "critest: this caisson has no daemon"
    exit 77
fi
if [[ -z ${CAISSON_SUITE_SCRATCH:-} ]]; then
    own=$(cd "$(dirname "$0")" && pwd)
    "$own/../peers/go/build.sh" critest crictl ${PEER:+$([[ $PEER == caisson ]] || echo "$PEER")} || exit 2
    "$own/images.sh" >/dev/null || exit 2
fi
# shellcheck source=../suite.sh
. "$(dirname "$0")/../suite.sh"
# shellcheck source=../cri.sh
. "$here/../cri.sh"
# shellcheck disable=SC2329  # called by trap
cleanup() {
    stop_cri
    end_servers
}
trap cleanup EXIT

start_registry 5000 "$scratch/registry" plain || die "no registry"
mirror_registries 5000 registry.k8s.io gcr.io k8s.gcr.io
while read -r layout names; do
    for name in $names; do
        skopeo copy -q --dest-tls-verify=false "oci:$layout:latest" "docker://127.0.0.1:5000/$name" || die "can't fill the registry"
    done
done < <("$here/images.sh")

# The suite pulls one image by the digest of what is published; ours has another.
published=$(grep -ao 'test-image-digest@sha256:[0-9a-f]\{64\}' "$go_programs/critest" | sort -u | grep -v win- | cut -d: -f2)
ours=$(skopeo inspect --tls-verify=false --format '{{.Digest}}' docker://127.0.0.1:5000/k8s-staging-cri-tools/test-image-digest:latest)
sed "s/$published/${ours#sha256:}/g" "$go_programs/critest" >"$scratch/critest"
chmod +x "$scratch/critest"

whose=${HANDLER:-$PEER}
if [[ -n ${HANDLER:-} && $HANDLER != runsc ]]; then
    # shellcheck source=../cri-handlers/handlers.sh
    . "$here/../cri-handlers/handlers.sh"
    add_handlers
fi
census >"$scratch/before"
start_cri || exit 1
export TMPDIR=$scratch/tmp
mkdir "$TMPDIR"
echo "# critest against $(crictl_ version | awk '/^Runtime(Name|Version)/ {printf "%s ", $2}')"
(
    cd "$scratch" && timeout -k 10 "${SUITE_TIMEOUT:-1100}" ./critest -runtime-endpoint "unix://$cri_socket" \
        -ginkgo.junit-report "$scratch/report.xml" -ginkgo.no-color -ginkgo.timeout 1h ${FOCUS:+-ginkgo.focus "$FOCUS"} \
        ${HANDLER:+-runtime-handler "$HANDLER"}
) >"$scratch/critest.log" 2>&1
status=$?
# Specs that fail leave pods that the suite does not know.
[[ -z ${HANDLER:-} ]] || crictl_ rmp -f -a >/dev/null 2>&1
logs=$cache/conformance/critest-$whose
rm -rf "$logs"
mkdir -p "$logs"
stop_cri
cp "$scratch/critest.log" "$scratch/$PEER.log" "$scratch/info.json" "$scratch/report.xml" "$logs/" 2>/dev/null
if [[ ! -s $logs/report.xml ]]; then
    tail -n 40 "$logs/critest.log"
    die "critest ended with $status and left no report; its log is in ${logs#"$repo/"}"
fi
/usr/bin/python3 "$here/report.py" "$here/expected.tsv" "$whose" "$logs/report.xml" ${FOCUS:+--part}
status=$?
if [[ $PEER == caisson ]]; then
    since "$scratch/before" >"$scratch/left"
    # iptables keeps its tables, and portmap the chains that all pods share; the
    # rules and chains of pods are to go.
    is "nothing is left: mounts, cgroups, processes, links, rules of pods" "" \
        "$(grep -vE '(link|address) cni-suite|CNI-HOSTPORT-(DNAT|MASQ|SETMARK)( \{)?$' "$scratch/left" | grep -E '^(mount|cgroup|process|link|address|netns) |CNI-' | head -n 20)"
    ((failed == 0)) || status=1
fi
exit $status
