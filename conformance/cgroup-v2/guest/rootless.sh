# shellcheck shell=bash disable=SC2086,SC2046,SC2206,SC2154  # no blanks in paths; variables of others
# A user's own container in a scope of the user's own systemd. Sourced.
systemctl start user@1000.service
is "the user's systemd runs" "active" "$(systemctl is-active user@1000.service)"
as_user() { timeout 150 setpriv --reuid 1000 --regid 1000 --clear-groups env XDG_RUNTIME_DIR=/run/user/1000 HOME=/home/user "$@"; }
b=/home/user/bundle
caps='' bundle $b "$sleeper" '{"memory": {"limit": 67108864}, "pids": {"limit": 40}}' "" \
    '"uidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}], "gidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}]'
sed -i 's/{"type": "pid"},/{"type": "user"}, &/' $b/config.json
chown -R 1000:1000 $b
cat >/home/user/rootless <<END
#!/bin/bash
# Runs in a service of the user's: a process of the user's own cgroups.
step() { local name=\$1; shift; if "\$@" </dev/null >/home/user/out 2>&1; then echo "ok \$name"; else echo "not \$name: \$(tr '\n' ' ' </home/user/out)"; fi; }
r="$runtime --systemd-cgroup --root /run/user/1000/state"
step create \$r create --bundle $b mine
step start \$r start mine
echo "slice \$(systemctl --user show -P Slice caisson-mine.scope) \$(systemctl --user show -P MemoryMax caisson-mine.scope) \$(systemctl --user show -P TasksMax caisson-mine.scope)"
dir=$cg\$(systemctl --user show -P ControlGroup caisson-mine.scope)
echo "files \$(<\$dir/memory.max) \$(<\$dir/pids.max)"
step exec \$r exec mine true
step update \$r update --pids-limit 30 mine
echo "update \$(<\$dir/pids.max)"
step pause \$r pause mine
echo "frozen \$(<\$dir/cgroup.freeze)"
step resume \$r resume mine
step kill \$r kill mine KILL
sleep 1
step delete \$r delete --force mine
echo "after \$(systemctl --user show -P LoadState caisson-mine.scope) \$([[ -d \$dir ]] || echo gone)"
END
chmod 755 /home/user/rootless
as_user systemd-run --user --quiet --collect --wait --pipe /home/user/rootless >$scratch/rootless 2>&1
for step in create start exec update pause resume kill delete; do
    is "rootless: $step" "ok $step" "$(grep -E "^(ok|not) $step" $scratch/rootless)"
done
is "rootless: slice and limits" "slice user.slice 67108864 40" "$(grep ^slice $scratch/rootless)"
is "rootless: files" "files 67108864 40" "$(grep ^files $scratch/rootless)"
is "rootless: updated file" "update 30" "$(grep '^update ' $scratch/rootless)"
is "rootless: frozen" "frozen 1" "$(grep ^frozen $scratch/rootless)"
is "rootless: nothing is left" "after not-found gone" "$(grep ^after $scratch/rootless)"
systemctl stop user@1000.service
