#!/bin/bash
# The caisson command against Debian's docker-registry on loopback (HTTP, HTTPS
# with an authority of its own, basic and token authentication), and beside
# skopeo, podman, buildah and docker: each reads what the other has pushed or
# saved.
# shellcheck disable=SC2034  # read by suite.sh
images=(busybox nginx python3 redis postgres large)
# shellcheck source=../suite.sh
. "$(dirname "$0")/../suite.sh"
made=$repo/.cache/images
daemon=
# shellcheck disable=SC2329  # called by trap
cleanup() {
    [[ -z $daemon ]] || end_daemon "$daemon"
    podman_ rm -af -t 0 >/dev/null 2>&1
    end_servers
}
trap cleanup EXIT
# podman takes 50 characters.
podman_run=/run/podman-suite
podman_() {
    timeout --foreground 60 podman --root "$scratch/podman" --runroot "$podman_run" --tmpdir "$scratch/podman-tmp" \
        --storage-driver overlay --cgroup-manager cgroupfs --runtime /usr/sbin/runc "$@"
}
buildah_() {
    timeout --foreground 60 buildah --root "$scratch/podman" --runroot "$podman_run" --storage-driver overlay "$@"
}
docker_() { timeout --foreground 60 /usr/bin/docker --host "unix://$scratch/docker.sock" "$@"; }
run() { caisson_ run --rm --network none "$@"; }
digest_of() { skopeo inspect --tls-verify=false --authfile "$DOCKER_CONFIG/config.json" --format '{{.Digest}}' "docker://$1" 2>&1; }

echo '127.0.0.1 registry.test' >>/etc/hosts
make_certificates registry.test
http=127.0.0.1:5000 https=registry.test:5443 basic=127.0.0.1:5001 token=127.0.0.1:5002
start_registry 5000 "$scratch/plain" plain || die "no registry"
start_registry 5443 "$scratch/tls-storage" tls || die "no registry with TLS"
start_registry 5001 "$scratch/basic" basic || die "no registry with basic authentication"
start_registry 5002 "$scratch/token" token 5003 || die "no registry with token authentication"
log_out
fill busybox $http/public/busybox:1
log_in $https $basic $token
for host in $https $basic $token; do
    skopeo copy -q --dest-tls-verify=false --dest-authfile "$DOCKER_CONFIG/config.json" \
        "oci:$made/busybox:latest" "docker://$host/public/busybox:1" || die "can't fill $host"
done
for name in nginx python3 redis postgres large; do fill $name $http/debian/$name:12 || die "can't fill $http"; done
plain_http $http
plain_http $basic
plain_http $token

echo "# What is refused before it is allowed"
log_out
like "https: an unknown authority is refused" 'certificate|authority|issuer' "$(caisson_ pull $https/public/busybox:1 2>&1)"
# caisson honours these too, so they come after.
for engine in containers docker; do
    mkdir -p "/etc/$engine/certs.d/$https"
    cp "$scratch/tls/ca.pem" "/etc/$engine/certs.d/$https/ca.crt"
done
mkdir -p "/etc/caisson/certs.d/$https"
cp "$scratch/tls/ca.pem" "/etc/caisson/certs.d/$https/ca.pem"
printf 'server = "https://%s"\n[host."https://%s"]\n  capabilities = ["pull", "resolve", "push"]\n  ca = "ca.pem"\n' \
    $https $https >"/etc/caisson/certs.d/$https/hosts.toml"
like "basic: no credentials" '401|[Uu]nauthorized|credentials|log ?in' "$(caisson_ pull $basic/public/busybox:1 2>&1)"
succeeds "token: anybody may pull what is public" caisson_ pull $token/public/busybox:1
like "token: nobody may pull what is not" '40[13]|denied|[Uu]nauthorized|credentials' "$(caisson_ pull $token/private/busybox:1 2>&1)"
caisson_ rmi $token/public/busybox:1 >/dev/null 2>&1
printf '{"auths": {"%s": {"auth": "%s"}}}\n' $basic "$(printf alice:wrong | base64)" >"$DOCKER_CONFIG/config.json"
like "basic: a wrong password" '401|[Uu]nauthorized|credentials|log ?in' "$(caisson_ pull $basic/public/busybox:1 2>&1)"
log_in $https $basic $token
like "an unknown tag is named" 'busybox:none' "$(caisson_ pull $http/public/busybox:none 2>&1)"
like "an unknown repository is named" 'no/such' "$(caisson_ pull $http/no/such:1 2>&1)"
like "nobody listens: the address is named" '127.0.0.1:9' "$(caisson_ pull 127.0.0.1:9/x/y:1 2>&1)"

echo "# Four registries"
for kind in http https basic token; do
    host=${!kind}
    succeeds "$kind: pull" caisson_ pull "$host/public/busybox:1"
    is "$kind: run" "hello" "$(run "$host/public/busybox:1" echo hello 2>&1)"
    succeeds "$kind: tag" caisson_ tag "$host/public/busybox:1" "$host/private/pushed:2"
    succeeds "$kind: push" caisson_ push "$host/private/pushed:2"
    digest=$(digest_of "$host/private/pushed:2")
    is "$kind: the pushed manifest is the pulled one" "$(digest_of "$host/public/busybox:1")" "$digest"
    succeeds "$kind: rmi" caisson_ rmi "$host/private/pushed:2" "$host/public/busybox:1"
    succeeds "$kind: pull by digest" caisson_ pull "$host/private/pushed@$digest"
    is "$kind: run by digest" "again" "$(run "$host/private/pushed@$digest" echo again 2>&1)"
    is "$kind: podman runs what we pushed" "from podman" \
        "$(podman_ run --rm --network none -q --tls-verify=false --authfile "$DOCKER_CONFIG/config.json" \
            "$host/private/pushed:2" echo from podman 2>&1)"
    podman_ rmi "$host/private/pushed:2" >/dev/null 2>&1
    caisson_ rmi "$host/private/pushed@$digest" >/dev/null 2>&1
done
is "nothing is left of them" "" "$(caisson_ images -q 2>&1)"

echo "# Real images"
succeeds "nginx: pull" caisson_ pull $http/debian/nginx:12
like "nginx: run" 'syntax is ok' "$(run $http/debian/nginx:12 nginx -t 2>&1)"
succeeds "python3: pull" caisson_ pull $http/debian/python3:12
is "python3: run" "4950" "$(run $http/debian/python3:12 python3 -c 'import json; print(sum(range(100)))' 2>&1)"
succeeds "redis: pull" caisson_ pull $http/debian/redis:12
is "redis: run" "PONG" "$(run $http/debian/redis:12 sh -c \
    'redis-server --port 0 --unixsocket /tmp/s --daemonize yes >/dev/null; sleep 1; redis-cli -s /tmp/s ping' 2>&1)"
succeeds "postgres: pull" caisson_ pull $http/debian/postgres:12
is "postgres: run" "1 42" "$(run $http/debian/postgres:12 sh -c \
    '/usr/lib/postgresql/15/bin/pg_ctl start -s -w -D /var/lib/postgresql/15/main -l /tmp/log \
        -o "-c config_file=/etc/postgresql/15/main/postgresql.conf" && psql -At -F " " -c "select 1, 42"' 2>&1)"
PATIENCE=180 succeeds "large, nine layers of three compressions: pull" caisson_ pull $http/debian/large:12
like "large: run" 'openjdk' "$(run $http/debian/large:12 ls /usr/lib/jvm /etc/java-17-openjdk 2>&1)"
caisson_ tag $http/debian/large:12 $http/pushed/large:1
PATIENCE=180 succeeds "large: push" caisson_ push $http/pushed/large:1
is "large: the pushed manifest is the pulled one" "$(digest_of $http/debian/large:12)" "$(digest_of $http/pushed/large:1)"
PATIENCE=180 succeeds "image verify" caisson_ image verify

echo "# skopeo, podman and buildah: what they wrote"
caisson_ rmi -f $http/debian/large:12 $http/pushed/large:1 >/dev/null 2>&1
for form in oci oci-archive docker-archive dir2s2; do
    case $form in
        dir2s2)
            skopeo copy -q --format v2s2 --dest-tls-verify=false "oci:$made/nginx:latest" docker://$http/from/skopeo-v2s2:1
            succeeds "skopeo: pull of a Docker schema 2 image" caisson_ pull $http/from/skopeo-v2s2:1
            like "skopeo: run of it" 'successful' "$(run $http/from/skopeo-v2s2:1 nginx -t 2>&1)"
            ;;
        *)
            target=$scratch/skopeo-$form
            skopeo copy -q "oci:$made/busybox:latest" "$form:$target:example.test/skopeo/$form:1" || fail "skopeo $form" "can't write"
            succeeds "skopeo: load of $form" caisson_ load -i "$target"
            is "skopeo: run of $form" "loaded" "$(run example.test/skopeo/$form:1 echo loaded 2>&1)"
            ;;
    esac
done
podman_ pull -q --tls-verify=false $http/public/busybox:1 >/dev/null 2>&1
container=$(buildah_ from --pull-never $http/public/busybox:1 2>"$scratch/buildah.log")
buildah_ run --isolation chroot "$container" sh -c 'echo by buildah >/made; rm /bin/vi; rm -r /var/www' >>"$scratch/buildah.log" 2>&1
buildah_ config --env MADE=yes --label who=buildah --user 7:8 "$container" >>"$scratch/buildah.log" 2>&1
buildah_ commit -q --squash=false "$container" $http/from/buildah:1 >>"$scratch/buildah.log" 2>&1
succeeds "buildah: push" buildah_ push -q --tls-verify=false $http/from/buildah:1
succeeds "buildah: pull" caisson_ pull $http/from/buildah:1
is "buildah: file, whiteouts, environment, user" "by buildah yes 7:8 gone" \
    "$(run $http/from/buildah:1 sh -c 'echo $(cat /made) $MADE $(id -u):$(id -g) $(test -e /bin/vi -o -e /var/www || echo gone)' 2>&1)"
podman_ run --name made --network none $http/public/busybox:1 sh -c 'echo by podman >/made' >/dev/null 2>&1
podman_ commit -q made $http/from/podman:1 >/dev/null 2>&1
succeeds "podman: push" podman_ push -q --tls-verify=false --compression-format zstd $http/from/podman:1
succeeds "podman: pull of what it pushed, zstd" caisson_ pull $http/from/podman:1
is "podman: run of it" "by podman" "$(run $http/from/podman:1 cat /made 2>&1)"
caisson_ rmi $http/from/podman:1 >/dev/null 2>&1
for form in docker-archive oci-archive; do
    podman_ save -q --format $form -o "$scratch/podman-$form.tar" $http/from/podman:1 >/dev/null 2>&1
    succeeds "podman: load of $form" caisson_ load -i "$scratch/podman-$form.tar"
    is "podman: run of $form" "by podman" "$(run $http/from/podman:1 cat /made 2>&1)"
    caisson_ rmi $http/from/podman:1 >/dev/null 2>&1
done
podman_ manifest create $http/from/list:1 >/dev/null 2>&1
podman_ manifest add --arch arm64 --variant v8 $http/from/list:1 containers-storage:$http/from/buildah:1 >/dev/null 2>&1
podman_ manifest add --arch "$(dpkg --print-architecture)" $http/from/list:1 containers-storage:$http/from/podman:1 >/dev/null 2>&1
succeeds "podman: push of an index" podman_ manifest push --tls-verify=false --all $http/from/list:1 docker://$http/from/list:1
succeeds "an index: pull" caisson_ pull $http/from/list:1
is "an index: this machine's image was taken" "by podman" "$(run $http/from/list:1 cat /made 2>&1)"

echo "# docker"
unshare --mount --propagation private /usr/sbin/dockerd --host "unix://$scratch/docker.sock" --data-root "$scratch/docker" \
    --exec-root "$scratch/docker-exec" --pidfile "$scratch/docker.pid" --config-file <(echo '{}') --group root \
    --exec-opt native.cgroupdriver=cgroupfs --iptables=false --ip6tables=false --bridge=none --oom-score-adjust 0 \
    --default-ulimit "nofile=$(ulimit -Hn):$(ulimit -Hn)" \
    --storage-driver overlay2 >"$scratch/dockerd.log" 2>&1 &
daemon=$!
eventually "docker: starts" 30 docker_ version
caisson_ tag $http/debian/redis:12 $http/from/caisson:1
caisson_ push -q $http/from/caisson:1 >/dev/null 2>&1
succeeds "docker: pull of what we pushed" docker_ pull -q $http/from/caisson:1
like "docker: run of it" 'Redis server' "$(docker_ run --rm --network none $http/from/caisson:1 redis-server --version 2>&1)"
docker_ run --name made --network none $http/from/caisson:1 sh -c 'echo by docker >/tmp/made; rm /usr/bin/redis-cli' >/dev/null 2>&1
# redis may not remove root's program: as root.
docker_ rm made >/dev/null 2>&1
docker_ run --name made --user 0 --network none $http/from/caisson:1 sh -c 'echo by docker >/made; rm /usr/bin/redis-cli' >/dev/null 2>&1
docker_ commit made $http/from/docker:1 >/dev/null 2>&1
succeeds "docker: push" docker_ push -q $http/from/docker:1
succeeds "docker: pull of what it pushed" caisson_ pull $http/from/docker:1
is "docker: run of it" "by docker gone" \
    "$(run $http/from/docker:1 sh -c 'echo $(cat /made) $(test -e /usr/bin/redis-cli || echo gone)' 2>&1)"
caisson_ rmi $http/from/docker:1 >/dev/null 2>&1
docker_ save -o "$scratch/docker.tar" $http/from/docker:1
succeeds "docker: load of what it saved" caisson_ load -i "$scratch/docker.tar"
is "docker: run of what it saved" "by docker" "$(run $http/from/docker:1 cat /made 2>&1)"
gzip -1 <"$scratch/docker.tar" >"$scratch/docker.tar.gz"
caisson_ rmi $http/from/docker:1 >/dev/null 2>&1
is "docker: load of it, packed, from standard input" "by docker" \
    "$(caisson_ load <"$scratch/docker.tar.gz" >/dev/null 2>&1; run $http/from/docker:1 cat /made 2>&1)"
large=$http/from/docker-large:1 base=$http/public/busybox:1 sums=
docker_ pull -q $base >/dev/null 2>&1
for n in 1 2 3; do
    docker_ run --name large --network none $base sh -c "yes 'layer $n of a large image' | head -c 350000000 >/large-$n" >/dev/null 2>&1
    docker_ commit large $large >/dev/null 2>&1
    docker_ rm large >/dev/null 2>&1
    base=$large sums+=$(yes "layer $n of a large image" | head -c 350000000 | sha256sum | cut -d' ' -f1)' '
done
succeeds "docker: push of a gigabyte in layers" timeout --foreground 180 /usr/bin/docker --host "unix://$scratch/docker.sock" push -q $large
PATIENCE=180 succeeds "docker: pull of that gigabyte" caisson_ pull $large
is "docker: its layers are whole" "${sums% }" \
    "$(run $large sh -c 'sha256sum /large-*' 2>&1 | cut -d' ' -f1 | tr '\n' ' ' | sed 's/ $//')"
caisson_ rmi $large >/dev/null 2>&1
docker_ rmi -f $large >/dev/null 2>&1

echo "# What we saved"
saved=$http/public/busybox:1
caisson_ pull -q $saved >/dev/null 2>&1
succeeds "save: docker archive" caisson_ save --format docker-archive -o "$scratch/ours-docker.tar" $saved
succeeds "save: OCI archive" caisson_ save --format oci-archive -o "$scratch/ours-oci.tar" $saved
succeeds "save: OCI layout" caisson_ save --format oci-dir -o "$scratch/ours-oci" $saved
succeeds "skopeo reads our docker archive" skopeo copy -q "docker-archive:$scratch/ours-docker.tar" "dir:$scratch/a"
succeeds "skopeo reads our OCI archive" skopeo copy -q "oci-archive:$scratch/ours-oci.tar" "dir:$scratch/b"
succeeds "skopeo reads our OCI layout" skopeo copy -q "oci:$scratch/ours-oci" "dir:$scratch/c"
docker_ load -q -i "$scratch/ours-docker.tar" >/dev/null 2>&1
is "docker runs our archive" "in docker" "$(docker_ run --rm --network none $saved echo in docker 2>&1)"
for form in docker oci; do
    podman_ rmi -f $saved >/dev/null 2>&1
    podman_ load -q -i "$scratch/ours-$form.tar" >/dev/null 2>&1
    name=$(podman_ images -q | head -n 1)
    is "podman runs our $form archive" "in podman" "$(podman_ run --rm --network none "$name" echo in podman 2>&1)"
done
succeeds "image verify, at the end" caisson_ image verify
end_daemon "$daemon"
daemon=
finish
