#!/bin/bash
# The streaming server against the clients of Kubernetes' own Go library:
# exec and attach by SPDY and WebSocket in every version of the protocol,
# port-forward by SPDY, by SPDY in WebSocket and by channels. The server is
# the example of crates/streaming, whose programs and ports are made for this;
# it needs no root and no container.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../.." && pwd)
cache=$repo/.cache/streaming
mkdir -p "$cache"
PATH=$PATH:$HOME/.cargo/bin:/usr/local/go/bin
for program in go cargo; do
    if ! command -v "$program" >/dev/null; then
        echo "streaming: there is no $program"
        exit 77
    fi
done
echo "streaming: building the server and the client"
# shellcheck disable=SC2086
server=$(cd "$repo" && cargo build ${CARGO_FLAGS:-} -p caisson-streaming --example streaming-server --message-format json 2>"$cache/cargo.log" \
    | sed -n 's/.*"executable":"\([^"]*\/streaming-server\)".*/\1/p')
if [[ ! -x $server ]]; then
    tail -n 20 "$cache/cargo.log"
    echo "streaming: the server can't be built"
    exit 1
fi
if ! (cd "$here/client" && go build -o "$cache/client" .) >"$cache/go.log" 2>&1; then
    tail -n 20 "$cache/go.log"
    echo "streaming: the client can't be built"
    exit 1
fi
exec "$cache/client" "$server"
