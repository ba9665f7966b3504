# shellcheck shell=bash
# Pods whose RuntimeClass is the sentry's, as gVisor's documentation makes them, in a
# cluster of one node. Sourced by run.sh.
sandboxed_checks() {
    local forward host
    echo "# A RuntimeClass with the handler runsc"
    host=$(uname -r)
    starts "etcd and kube-apiserver start" start_cluster
    go_on_if_passing
    starts "the kubelet starts" start_kubelet --kubeconfig "$KUBECONFIG"
    go_on_if_passing
    eventually "the node is ready" 60 kubectl_ wait --for=condition=Ready "node/$node" --timeout=5s
    like "the node tells of the handler" '(^| )runsc( |$)' "$(kubectl_ get node "$node" -o 'jsonpath={.status.runtimeHandlers[*].name}')"
    sed "s|NODE|$node|" "$here/sandboxed.yaml" >"$scratch/sandboxed.yaml"
    succeeds "apply" kubectl_ apply -f "$scratch/sandboxed.yaml"
    succeeds "the pod is ready" kubectl_ wait --for=condition=Ready pod/sandboxed-nginx --timeout=60s
    go_on_if_passing
    is "its class" "gvisor" "$(phase sandboxed-nginx .spec.runtimeClassName)"
    like "uname -r: a kernel" '^[0-9]+\.[0-9]+' "$(kubectl_ exec sandboxed-nginx -- uname -r)"
    is "uname -r: not the host's" "0" "$(kubectl_ exec sandboxed-nginx -- uname -r | grep -cxF "$host")"
    like "dmesg: our kernel's" "[Cc]aisson" "$(kubectl_ exec sandboxed-nginx -- dmesg)"
    is "a pod without a class has the host's kernel" "$host" "$(kubectl_ exec ordinary -- uname -r)"
    echo "# Its two containers"
    like "one network: each other's loopback" 'nginx of a Debian' "$(kubectl_ exec sandboxed-nginx -c beside -- wget -qO- http://127.0.0.1/)"
    exits "two root file systems" 1 kubectl_ exec sandboxed-nginx -c beside -- test -e /etc/nginx
    is "processes are seen by their own container alone" "0" "$(kubectl_ exec sandboxed-nginx -c beside -- ps | grep -c nginx)"
    is "a volume of both" "from beside" "$(kubectl_ exec sandboxed-nginx -c beside -- sh -c 'echo from beside >/both/page' && kubectl_ exec sandboxed-nginx -c nginx -- cat /both/page)"
    is "the volume: removed by one, gone for the other" "gone" "$(kubectl_ exec sandboxed-nginx -c nginx -- rm /both/page && kubectl_ exec sandboxed-nginx -c beside -- sh -c '[ -e /both/page ] || echo gone')"
    like "from the node" 'nginx of a Debian' "$(curl -sS --max-time 5 "http://$(phase sandboxed-nginx .status.podIP)/")"
    like "another pod comes in" 'nginx of a Debian' "$(kubectl_ exec ordinary -- wget -qO- "http://$(phase sandboxed-nginx .status.podIP)/")"
    kubectl_ port-forward pod/sandboxed-nginx 18081:80 </dev/null >"$scratch/forward.log" 2>&1 &
    forward=$!
    eventually "port-forward" 20 curl -sSf --max-time 5 http://127.0.0.1:18081/
    end_daemon $forward
    echo "# Work with it"
    exits "exec: exit code" 42 kubectl_ exec sandboxed-nginx -- sh -c 'exit 42'
    is "exec: stdin" "3" "$(seq 3 | kubectl_ exec -i sandboxed-nginx -c nginx -- wc -l 2>&1)"
    like "exec -it: a terminal" '/dev/pts/' "$(in_pty_kubectl exec -it sandboxed-nginx -- tty)"
    like "logs" 'GET / HTTP' "$(kubectl_ logs sandboxed-nginx -c nginx 2>&1)"
    is "logs of the other" "beside runs" "$(kubectl_ logs sandboxed-nginx -c beside 2>&1)"
    kubectl_ exec sandboxed-nginx -c beside -- kill 1 >/dev/null 2>&1
    eventually "one container ends, and is started again" 60 phase_is sandboxed-nginx '.status.containerStatuses[?(@.name=="beside")].restartCount' 1
    is "the other goes on" "0" "$(phase sandboxed-nginx '.status.containerStatuses[?(@.name=="nginx")].restartCount')"
    succeeds "ready again" kubectl_ wait --for=condition=Ready pod/sandboxed-nginx --timeout=60s
    succeeds "delete" kubectl_ delete pod sandboxed-nginx ordinary --timeout=50s
    eventually "no pod is left" 100 no_pods
    is "no container is left" "" "$(crictl_ ps -aq)"
    stop_kubelet
    stop_cluster
}
