# Starts Debian's docker-registry on loopback, in the ways that registries are
# met. Sourced, in namespaces of one's own or where the ports are free. Needs
# $scratch; adds to `servers` the processes to end.
servers=()

# A certificate authority, and a certificate of the name for servers.
make_certificates() { # name
    local dir=$scratch/tls
    [[ ! -d $dir ]] || return 0
    mkdir "$dir"
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=caisson test authority" \
        -keyout "$dir/ca.key" -out "$dir/ca.pem" 2>/dev/null
    openssl req -newkey rsa:2048 -nodes -subj "/CN=$1" -keyout "$dir/server.key" -out "$dir/server.csr" 2>/dev/null
    openssl x509 -req -in "$dir/server.csr" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -CAcreateserial -days 2 \
        -extfile <(printf 'subjectAltName=DNS:%s\n' "$1") -out "$dir/server.pem" 2>/dev/null
}

answers() { # port: whether somebody listens
    (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}
wait_for_port() {
    local i
    for i in {1..100}; do
        answers "$1" && return
        sleep 0.05
    done
    echo "nobody listens on port $1" >&2
    return 1
}

# start_registry PORT STORAGE plain|tls|basic|token [TOKEN-PORT]. `basic` knows
# alice with the word `secret`; `token` sends its clients to a token server.
start_registry() {
    local port=$1 config=$scratch/registry-$1.yml
    mkdir -p "$2"
    cat >"$config" <<CONF
version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $2}, delete: {enabled: true}, maintenance: {uploadpurging: {enabled: false}}}
http:
  addr: 127.0.0.1:$port
  secret: only-for-tests
CONF
    case $3 in
        plain) ;;
        tls) printf '  tls: {certificate: %s, key: %s}\n' "$scratch/tls/server.pem" "$scratch/tls/server.key" >>"$config" ;;
        basic)
            /usr/bin/python3 -Wignore -c 'import crypt
print("alice:" + crypt.crypt("secret", crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16)).replace("$2b$", "$2y$"))' \
                >"$scratch/htpasswd"
            printf 'auth: {htpasswd: {realm: test, path: %s}}\n' "$scratch/htpasswd" >>"$config"
            ;;
        token)
            printf 'auth: {token: {realm: "http://127.0.0.1:%s/token", service: test, issuer: caisson-test, rootcertbundle: %s}}\n' \
                "$4" "$scratch/tls/server.pem" >>"$config"
            /usr/bin/python3 "$repo/conformance/registry/token_server.py" "$4" "$scratch/tls/server.key" \
                "$scratch/tls/server.pem" "$scratch/tokens.log" </dev/null >/dev/null 2>"$scratch/token-server.log" &
            servers+=($!)
            wait_for_port "$4" || return
            ;;
    esac
    docker-registry serve "$config" </dev/null >"$scratch/registry-$port.log" 2>&1 &
    servers+=($!)
    wait_for_port "$port" || { tail -n 5 "$scratch/registry-$port.log" >&2; return 1; }
}

end_servers() {
    local pid
    for pid in "${servers[@]}"; do
        kill -TERM "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null
    done
    servers=()
}

# Puts an image of conformance/images into a registry, with skopeo.
fill() { # image, host:port/repository:tag
    skopeo copy -q --dest-tls-verify=false "oci:$repo/.cache/images/$1:latest" "docker://$2" >/dev/null
}
