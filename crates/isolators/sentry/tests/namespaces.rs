//! Namespaces that programs of Debian make, and what connects them: as on the host.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should fail")]

mod sandbox;

/// Programs of Debian that make namespaces, in the host's own root file system.
#[test]
fn programs_that_make_namespaces_do_the_same() {
    if !sandbox::possible() {
        return;
    }
    for text in [
        "unshare -Urpf --mount-proc sh -c 'echo $$; id -u; set -- /proc/[0-9]*; echo $#; \
         cat /proc/self/uid_map; readlink /proc/self; grep ^NS /proc/self/status'",
        "unshare -pf --mount-proc sh -c 'sleep 9 & x=$(ps -e -o pid= -o ppid=); echo $x'",
        "unshare -fp --kill-child sh -c 'echo $$ $PPID; kill -9 $$; echo alive; exit 3'; echo $?",
        "unshare -iu sh -c 'hostname x; hostname; ipcs -q | wc -l'",
        "unshare -Uriu sh -c 'hostname x; echo $$; exec sleep 20' | (read pid; \
         nsenter -t $pid -U -i -u sh -c 'hostname; id -u; ipcs -m | wc -l'; kill $pid)",
        // A procfs that may only be mounted to be read stays so.
        "export P='mount -t proc proc p 2>/dev/null; echo $?; mount -t proc -o ro proc p; \
         mount -o remount,rw,bind p 2>/dev/null; echo $?; mount -o remount,ro,bind,nosuid p; echo $?'; \
         export Q='>go; until [ -e done ]; do :; done; unshare -mpf sh -c \"$P\"'; \
         unshare -m --propagation private sh -c 'mount -t tmpfs x /mnt; cd /mnt; mkdir p; \
         (until [ -e go ]; do :; done; mount -o remount,ro,bind /proc; >done) & \
         unshare -Ur sh -c \"$Q\"'",
        // Namespaces that are bound to files.
        "unshare -m sh -c 'mount -t tmpfs t /run; ip netns add x; ip netns list; ip netns add x; \
         ip netns exec x ip -o link; ip -n x link set lo up; nsenter --net=/run/netns/x ip -o addr; \
         mkfifo /run/gate; ip netns exec x sh -c \"ip netns identify; >/run/up; read y </run/gate; \
         ls /sys >/dev/null; echo \\$?\" & until [ -e /run/up ]; do sleep 0.02; done; \
         ip netns pids x | wc -l; >/run/gate; wait; ip netns del x; ls /run/netns; ip netns del x; echo $?'",
        "unshare -m --propagation private sh -c 'mount -t tmpfs t /mnt; cd /mnt; mkdir a b; \
         mount -t tmpfs --make-shared s a; mkdir a/x; mount --bind a b; \
         unshare -m --propagation slave sh -c \"findmnt -n -o TARGET,PROPAGATION /mnt/a; \
         mount -t tmpfs u a/x; findmnt -n -o TARGET,PROPAGATION /mnt/a/x; ls -d /mnt/b/x\"; \
         unshare -m --propagation unchanged mount -t tmpfs v a/x; findmnt -n -o TARGET,SOURCE,PROPAGATION \
         -R /mnt; mount --make-rprivate /mnt; umount b/x; findmnt -n -o TARGET,PROPAGATION -R /mnt'",
        // Linux 6.18 knows which was made first of those that one processor makes.
        "taskset -c 0 unshare -m sh -c 'mount -t tmpfs t /mnt; cd /mnt; touch n u m; \
         unshare --net=n --uts=u --mount=m sh -c \"hostname kept; mount -t tmpfs t /srv; echo x >/srv/f\"; \
         nsenter --net=n --uts=u --mount=m sh -c \"hostname; cat /srv/f; ip -o link | wc -l\"; \
         ls /srv; hostname | grep -c kept; umount n u m; echo $?; wc -c n u m'",
        "unshare -n ip addr",
        "unshare -rn sh -c 'ip link set lo up; ip -o addr; ip route; ip link set lo down; ip -o addr'",
        "unshare -rn sh -c 'ip addr add 10.3.0.1/24 dev lo; ip link set lo up; ip addr; \
         ip addr del 10.3.0.1/24 dev lo; ip -o addr; ip link set x up; ip link del lo; echo $?'",
        "P=/proc/sys/net/ipv4/ip_unprivileged_port_start; export P; unshare -rn sh -c 'cat $P; \
         echo 80 >$P; cat $P; echo 99999 >$P; cat $P'; cat $P",
        // Overlays of a user namespace do to their layers what who made them may.
        "unshare -Urm sh -c 'mount -t tmpfs t /mnt; cd /mnt; mkdir l u w m; echo low >l/f; mkdir l/d; \
         echo x >l/d/x; mount -t overlay -o lowerdir=l,upperdir=u,workdir=w,userxattr o m; echo $?; \
         cat m/f; echo up >m/f; rm m/d/x; rmdir m/d; mkdir m/d; ls -R m; cat l/f u/f; \
         stat -c \"%n %F %t:%T %a\" u/*; rm m/f; stat -c \"%n %F %t:%T\" u/f; ls m; umount m; echo $?'",
        "setpriv --reuid 1000 --regid 1000 --clear-groups unshare -Urm sh -c 'mount -t tmpfs t /mnt; \
         cd /mnt; mkdir u w m; mount -t overlay -o lowerdir=/etc,upperdir=u,workdir=w,userxattr o m; \
         echo $?; head -c 5 m/passwd; cat m/shadow; echo x >>m/passwd; rm m/passwd; touch m/new; \
         chmod 777 m/hosts; mkdir m/apt/x; cp m/passwd m/mine; ls -l m/mine m/new | wc -l'",
        // Where it is installed; else both say that it is not there.
        "bwrap --unshare-all --bind / / --proc /proc --dev /dev sh -c 'ip -o addr; id -u; echo $$; \
         cat /proc/net/if_inet6'; bwrap --unshare-net --unshare-pid --ro-bind / / sh -c 'echo x; >/x'",
        "unshare -Urpf bash -c '(exit 3); echo $?; sleep 0.1 & wait $!; echo $? $BASHPID'",
    ] {
        let inside = sandbox::run_in(std::path::Path::new("/"), &["/bin/sh", "-c", text]);
        let host = sandbox::run_plain(&["sh", "-c", text]);
        assert_eq!(inside, host, "{text}");
        assert!(!inside.stdout.is_empty(), "{text}: says nothing: {inside:?}");
    }
}

/// Pairs of links between networks, their addresses and routes, and what goes through.
#[test]
fn networks_are_connected_the_same() {
    if !sandbox::possible() {
        return;
    }
    // What is wrong is told in words by the host, beside the number.
    let script = "exec unshare -mn sh -c \"$0\" 2>/dev/null";
    let words = ["/bin/sh", "-c", script, include_str!("programs/pairs.sh")];
    let inside = sandbox::run_in(std::path::Path::new("/"), &words);
    let host = sandbox::run_plain(&words);
    for (ours, theirs) in inside.stdout.lines().zip(host.stdout.lines()) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(inside, host);
    assert!(inside.stdout.ends_with("done\n"), "{inside:?}");
}
