# shellcheck shell=bash
# A kubelet without an API server. Sourced by run.sh.

# Of the pods that the kubelet tells of: what a jq expression makes of `web`.
web() { kubelet_ pods | jq -r "[.items[]? | select(.metadata.name | startswith(\"web\"))][0] | $1" 2>/dev/null; }
container() { web "[.status.containerStatuses[]?, .status.initContainerStatuses[]?] | map(select(.name == \"$1\"))[0] | $2"; }
web_is() { [[ $(web "$1") == "$2" ]]; }
container_is() { [[ $(container "$1" "$2") == "$3" ]]; }
crictl_id() { crictl_ ps -q --name "^$1\$" --state running 2>/dev/null | head -n 1; }
in_container() { # name, command...
    local id
    id=$(crictl_id "$1")
    shift
    crictl_ exec "$id" "$@"
}
is_ready='[.status.conditions[]? | select(.type == "Ready")][0].status'

static_pod() { sed "s|NODE|$node|; s|EVIDENCE|$scratch/evidence|" "$here/web.yaml"; }

standalone_checks() {
    local address before id
    echo "# A kubelet alone, with a static pod"
    static_pod >"$scratch/web.yaml"
    starts "the kubelet starts" start_kubelet
    go_on_if_passing
    cp "$scratch/web.yaml" "$scratch/manifests/"
    eventually "the pod is ready" 60 web_is "$is_ready" True
    go_on_if_passing
    address=$(web .status.podIP)
    is "the init container has ended well" "Completed 0" \
        "$(container page '.state.terminated | "\(.reason) \(.exitCode)"')"
    is "the sidecar runs" "true" "$(container sidecar .started)"
    is "what init wrote is served" "written by init" "$(curl -sS --max-time 5 "http://$address/")"
    is "no container was restarted" "0 0 0" "$(container nginx .restartCount) $(container worker .restartCount) $(container sidecar .restartCount)"
    is "log of init" "init is done" "$(curl -sSk --max-time 5 "https://127.0.0.1:10250/containerLogs/default/web-$node/page")"
    is "the downward API" "$address" "$(in_container worker sh -c 'echo $POD_IP' 2>&1)"
    is "capabilities" "0000000000000002" "$(in_container worker awk '/CapEff/ {print $2}' /proc/self/status 2>&1)"
    is "seccomp" "2" "$(in_container worker awk '/^Seccomp:/ {print $2}' /proc/self/status 2>&1)"
    is "crictl: one pod, three running containers" "1 3" "$(crictl_ pods -q | wc -l) $(crictl_ ps -q | wc -l)"

    echo "# What fails is restarted"
    in_container worker touch /tmp/crash
    eventually "a crash: restarted" 60 container_is worker .restartCount 1
    eventually "a crash: runs again" 30 container_is worker '.state.running != null' true
    is "a crash: exit code" "7 Error" "$(container worker '.lastState.terminated | "\(.exitCode) \(.reason)"')"
    eventually "ready again" 30 web_is "$is_ready" True
    in_container worker rm /healthy
    eventually "a liveness probe by exec: restarted" 90 container_is worker .restartCount 2
    is "its SIGTERM handler ran, after preStop" "prestop worker" "$(tail -n 2 "$scratch/evidence/ends" | xargs)"
    id=$(crictl_id sidecar)
    succeeds "a sidecar that is stopped" crictl_ stop "$id"
    eventually "is started again" 60 container_is sidecar .restartCount 1
    in_container nginx rm /var/www/html/index.html
    eventually "a liveness probe by HTTP: restarted" 60 container_is nginx .restartCount 1
    in_container nginx sh -c 'echo again >/var/www/html/index.html'
    eventually "ready again, after all" 60 web_is "$is_ready" True

    echo "# Figures"
    eventually "stats: working set of each container" 30 has_stats
    eventually "metrics: cAdvisor's page names the containers" 30 has_metrics

    echo "# The daemon is killed"
    before=$(crictl_ ps -q | sort)
    kill -KILL "$cri_pid"
    wait "$cri_pid" 2>/dev/null
    is "the page is served meanwhile" "again" "$(curl -sS --max-time 5 "http://$address/")"
    starts "it starts again" start_cri
    is "and finds the same containers" "$before" "$(crictl_ ps -q | sort)"
    sleep 3
    eventually "the pod is ready, still" 30 web_is "$is_ready" True
    is "and was not made again" "$address" "$(web .status.podIP)"

    echo "# Another manifest, and none"
    rm -f "$scratch/evidence/ends"
    id=$(web '.metadata.annotations["kubernetes.io/config.hash"]')
    sed 's/written by init/second version/' "$scratch/web.yaml" >"$scratch/manifests/web.yaml"
    eventually "the pod is another" 90 other_pod "$id"
    eventually "and gets ready" 60 web_is "$is_ready" True
    is "the new page is served" "second version" "$(curl -sS --max-time 5 "http://$(web .status.podIP)/")"
    is "the old one ended in order: containers, then the sidecar" "prestop worker sidecar" "$(xargs <"$scratch/evidence/ends")"
    rm "$scratch/manifests/web.yaml"
    eventually "without a manifest: no pod" 60 no_pods
    is "no container" "" "$(crictl_ ps -aq)"
    is "no log" "" "$(find "$scratch/pod-logs" -type f)"
    stop_kubelet
}
other_pod() { [[ $(web '.metadata.annotations["kubernetes.io/config.hash"]') != "$1" && $(crictl_ pods -q | wc -l) == 1 ]]; }
no_pods() { [[ -z $(crictl_ pods -q) ]]; }
has_stats() {
    [[ $(kubelet_ stats/summary | jq '[.pods[0].containers[] | select(.memory.workingSetBytes > 0 and .cpu.usageCoreNanoSeconds > 0)] | length') == 3 ]]
}
has_metrics() { [[ $(kubelet_ metrics/cadvisor | grep -c '^container_memory_working_set_bytes{container="\(nginx\|worker\|sidecar\)"') == 3 ]]; }
