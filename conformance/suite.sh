# shellcheck shell=bash
# What suites of the `caisson` command share: namespaces of their own, the
# check list, a store of their own. Sourced by `run.sh`s, which are called as
# every suite is and name the `images` that they need; CAISSON names the
# command, else it is beside the runtime.
here=$(cd "$(dirname "$0")" && pwd)
CAISSON=${CAISSON:-$(dirname "${RUNTIME:-${1:-/}}")/caisson}
export CAISSON
if [[ ! -x $CAISSON ]]; then
    echo "$(basename "$here"): there is no caisson at $CAISSON"
    exit 77
fi
# Before the namespaces: from there no package can be fetched.
if [[ -z ${CAISSON_SUITE_SCRATCH:-} ]]; then
    ((${#images[@]} == 0)) || "$here/../images/build.sh" "${images[@]}" || exit 2
fi
# shellcheck source=namespaces.sh
. "$here/../namespaces.sh"
own_namespaces "$@"
RUNTIME=$CAISSON
# shellcheck source=clients/lib.sh
. "$here/../clients/lib.sh"
# All in one place: whatever becomes of this script, the outer one removes it.
rm -r "$scratch"
scratch=$CAISSON_SUITE_SCRATCH/suite
TMPDIR=$scratch/temporary
mkdir "$scratch"
mkdir -m 1777 "$TMPDIR"
here=$(cd "$(dirname "$0")" && pwd)
client=$(basename "$here")
# shellcheck source=registry/servers.sh
. "$repo/conformance/registry/servers.sh"

export CAISSON_ROOT=$scratch/store CAISSON_RUN_ROOT=/run/caisson-suite
export DOCKER_CONFIG=$scratch/credentials HOME=$scratch/home
mkdir -p "$DOCKER_CONFIG" "$HOME"
echo "{}" >"$DOCKER_CONFIG/config.json"
caisson_() { timeout --foreground "${PATIENCE:-60}" "$CAISSON" "$@"; }
in_pty_caisson() { in_pty "$CAISSON" "$@"; }

# Tells caisson to speak plain HTTP to a registry.
plain_http() { # host:port
    mkdir -p "/etc/caisson/certs.d/$1"
    printf 'server = "http://%s"\n[host."http://%s"]\n  capabilities = ["pull", "resolve", "push"]\n' "$1" "$1" \
        >"/etc/caisson/certs.d/$1/hosts.toml"
}

# Credentials of alice for registries, in docker's form.
log_in() { # host:port...
    local host sep='' text=''
    for host; do
        text+=$sep$(printf '"%s": {"auth": "%s"}' "$host" "$(printf alice:secret | base64)")
        sep=', '
    done
    printf '{"auths": {%s}}\n' "$text" >"$DOCKER_CONFIG/config.json"
}
log_out() { echo '{}' >"$DOCKER_CONFIG/config.json"; }

finish() {
    end_servers
    summary
}
