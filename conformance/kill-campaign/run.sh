#!/bin/bash
# SIGKILL at random moments of pulls, loads, runs and removes, and a census of
# what is left after each: KILLS (60) and SEED may be set.
# shellcheck disable=SC2034  # read by suite.sh
images=(busybox nginx)
# shellcheck source=../suite.sh
. "$(dirname "$0")/../suite.sh"
for name in busybox nginx; do
    cp -rL "$repo/.cache/images/$name" "$scratch/$name"
done
start_registry 5000 "$scratch/storage" plain || die "no registry"
plain_http 127.0.0.1:5000
fill nginx 127.0.0.1:5000/kill/nginx:1 || die "can't fill the registry"
/usr/bin/python3 "$here/campaign.py" --caisson "$CAISSON" --registry 127.0.0.1:5000 --layouts "$scratch" \
    --kills "${KILLS:-60}" ${SEED:+--seed "$SEED"}
status=$?
end_servers
exit $status
