# shellcheck shell=bash
# A kubelet in a cluster of one node, used with kubectl. Sourced by run.sh.
in_pty_kubectl() { in_pty "$go_programs/kubectl" --cache-dir "$scratch/kubectl" "$@"; }
phase() { kubectl_ get pod "$1" -o "jsonpath={$2}" 2>/dev/null; }
phase_is() { [[ $(phase "$1" "$2") == "$3" ]]; }

cluster_checks() {
    local forward from id
    echo "# A cluster of one node"
    starts "etcd and kube-apiserver start" start_cluster
    go_on_if_passing
    rm -rf "$scratch/evidence/ends"
    starts "the kubelet starts" start_kubelet --kubeconfig "$KUBECONFIG"
    go_on_if_passing
    eventually "the node is ready" 60 kubectl_ wait --for=condition=Ready "node/$node" --timeout=5s
    like "the node tells its runtime" "^$PEER://" "$(kubectl_ get node $node -o 'jsonpath={.status.nodeInfo.containerRuntimeVersion}')"
    static_pod >"$scratch/pod.yaml"
    succeeds "apply" kubectl_ apply -f "$scratch/pod.yaml"
    succeeds "the pod is ready" kubectl_ wait --for=condition=Ready pod/web --timeout=60s
    go_on_if_passing

    echo "# exec, logs, port-forward, attach, cp, debug"
    is "exec: output" "hello" "$(kubectl_ exec web -c worker -- echo hello 2>&1)"
    exits "exec: exit code" 42 kubectl_ exec web -c worker -- sh -c 'exit 42'
    is "exec: stdin" "3" "$(seq 3 | kubectl_ exec -i web -c worker -- wc -l 2>&1)"
    is "exec: half-closed, 4 MB both ways" "4194304" "$(head -c 4194304 /dev/zero | kubectl_ exec -i web -c worker -- cat 2>/dev/null | wc -c)"
    like "exec -it: a terminal" '/dev/pts/' "$(in_pty_kubectl exec -it web -c worker -- tty)"
    like "exec: missing command" 'not found|no such file' "$(kubectl_ exec web -c worker -- /no/such 2>&1)"
    is "logs" "worker runs" "$(kubectl_ logs web -c worker 2>&1)"
    is "logs of init" "init is done" "$(kubectl_ logs web -c page 2>&1)"
    kubectl_ port-forward pod/web 18080:80 </dev/null >"$scratch/forward.log" 2>&1 &
    forward=$!
    eventually "port-forward" 20 curl -sSf --max-time 5 http://127.0.0.1:18080/
    is "port-forward: ten connections" "written by init 10" \
        "$(for _ in {1..10}; do curl -sS --max-time 5 http://127.0.0.1:18080/; done | sort | uniq -c | awk '{print $2, $3, $4, $1}')"
    end_daemon $forward
    head -c 3000000 /dev/urandom >"$scratch/random"
    succeeds "cp: to the pod" kubectl_ cp "$scratch/random" web:/tmp/random -c worker
    succeeds "cp: from the pod" kubectl_ cp web:/tmp/random "$scratch/random.back" -c worker
    succeeds "cp: the same" cmp "$scratch/random" "$scratch/random.back"
    succeeds "run, for attach" kubectl_ run shell --image registry.k8s.io/e2e-test-images/busybox:1.29-2 --restart Never \
        --stdin --attach=false --overrides "{\"spec\": {\"nodeName\": \"$node\"}}" -- sh -c 'read line; echo got $line; read line; echo end $line; exit 4'
    eventually "it runs" 60 phase_is shell .status.phase Running
    like "attach: stdin and output" 'got one' "$(printf 'one\ntwo\n' | kubectl_ attach -i shell 2>&1)"
    eventually "it ends by itself" 30 phase_is shell .status.phase Failed
    is "its exit code" "4" "$(phase shell '.status.containerStatuses[0].state.terminated.exitCode')"
    is "its log" "got one end two" "$(kubectl_ logs shell 2>&1 | xargs)"
    like "debug: sees the processes of its target" 'nginx: master' \
        "$(kubectl_ debug web --image registry.k8s.io/e2e-test-images/busybox:1.29-2 --target nginx --profile general --attach=true -- \
            sh -c 'sleep 4; tr "\0" " " </proc/1/cmdline; sleep 1' 2>&1)"

    echo "# In place"
    succeeds "resize" kubectl_ patch pod web --subresource resize --patch \
        '{"spec": {"containers": [{"name": "nginx", "resources": {"limits": {"memory": "96Mi", "cpu": "600m"}}}]}}'
    eventually "resize: the limit in the cgroup is new" 60 limit_is 100663296
    is "resize: no restart" "0" "$(phase web '.status.containerStatuses[?(@.name=="nginx")].restartCount')"
    id=$(crictl_id worker)
    succeeds "set image" kubectl_ set image pod/web worker=registry.k8s.io/e2e-test-images/nginx:1.14-2
    eventually "set image: only that container is another" 60 phase_is web '.status.containerStatuses[?(@.name=="worker")].restartCount' 1
    is "set image: the other goes on" "0" "$(phase web '.status.containerStatuses[?(@.name=="nginx")].restartCount')"
    succeeds "ready again" kubectl_ wait --for=condition=Ready pod/web --timeout=60s
    is "logs --previous" "worker runs" "$(kubectl_ logs web -c worker --previous 2>&1)"

    echo "# delete"
    from=$(date +%s%N)
    succeeds "delete" kubectl_ delete pod web --timeout=40s
    like "delete: within the grace period" '^[0-9]$|^1[0-9]$' "$((($(date +%s%N) - from) / 1000000000))"
    is "delete: what ran before ended in order" "prestop worker sidecar" "$(tail -n 3 "$scratch/evidence/ends" | xargs)"
    succeeds "delete: the other" kubectl_ delete pod shell --timeout=40s
    # The kubelet collects what is dead once a minute.
    eventually "no pod is left" 100 no_pods
    is "no container is left" "" "$(crictl_ ps -aq)"
    stop_kubelet
    stop_cluster
}
limit_is() { [[ $(kubectl_ exec web -c nginx -- sh -c 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max') == "$1" ]]; }
