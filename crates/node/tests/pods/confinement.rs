//! Who a container runs as, what it may, and what it sees.

use caisson_node::pods::ErrorKind;
use caisson_node::pods::request::{
    ContainerDevice, ContainerMount, IdMapping, ImageChoice, NamespaceChoice, PodContainerRequest,
    PodResources, ProfileChoice, Propagation, SupplementalGroupsPolicy, UserNamespace,
};
use caisson_node::pods::view::{ContainerState, ContainerUser};

use crate::node::{Node, pod, root, shell};

fn idle(name: &str, change: impl FnOnce(&mut PodContainerRequest)) -> PodContainerRequest {
    let mut request = shell(name, "exec sleep 600");
    change(&mut request);
    request
}

#[test]
fn identity_and_confinement() {
    if !root() {
        return;
    }
    let node = Node::new();
    let mut request = pod("walls");
    request.security.privileged = true;
    let id = node.pods().run_pod(request).unwrap();
    let www = idle("www", |r| {
        r.security.run_as.username = "www".to_owned();
        r.security.run_as.supplemental_groups = vec![1234];
        r.security.readonly_rootfs = true;
        r.security.no_new_privs = true;
        r.security.masked_paths = vec!["/proc/keys".to_owned()];
        r.security.readonly_paths = vec!["/proc/sys".to_owned()];
        r.security.seccomp = Some(ProfileChoice::RuntimeDefault);
        r.envs = vec![("OWN".to_owned(), "1".to_owned())];
        r.working_dir = "/tmp".to_owned();
    });
    let www = node.run_with(&id, www);
    let script = "id -u; id -g; id -G; pwd; echo $HOME $FROM $OWN; touch /x 2>&1; \
                  wc -l </proc/keys; grep NoNewPrivs /proc/self/status; \
                  grep Seccomp: /proc/self/status";
    assert_eq!(
        node.output(&www, &["sh", "-c", script]),
        "33\n33\n33 44 1234\n/tmp\n/home/www image 1\ntouch: /x: Read-only file system\n0\n\
         NoNewPrivs:\t1\nSeccomp:\t2\n"
    );
    let user = node.pods().container_status(&www, false).unwrap().user.unwrap();
    assert_eq!(user, ContainerUser { uid: 33, gid: 33, groups: vec![33, 44, 1234] });

    let strict = node.run_with(
        &id,
        idle("strict", |r| {
            r.security.run_as.user = Some(33);
            r.security.run_as.groups_policy = SupplementalGroupsPolicy::Strict;
        }),
    );
    assert_eq!(node.output(&strict, &["id", "-G"]), "33\n");

    let privileged = node.run_with(
        &id,
        idle("privileged", |r| {
            r.security.privileged = true;
            r.security.seccomp = Some(ProfileChoice::RuntimeDefault);
        }),
    );
    assert_eq!(
        node.output(
            &privileged,
            &["sh", "-c", "grep Seccomp: /proc/self/status; test -e /dev/kmsg"]
        ),
        "Seccomp:\t0\n"
    );
    let dropped = node.run_with(
        &id,
        idle("dropped", |r| {
            r.security.capabilities.drop = vec!["ALL".to_owned()];
            r.security.capabilities.add = vec!["NET_ADMIN".to_owned()];
            r.devices = vec![ContainerDevice {
                host_path: "/dev/null".to_owned(),
                container_path: "/dev/mine".to_owned(),
                permissions: "r".to_owned(),
            }];
        }),
    );
    assert_eq!(
        node.output(&dropped, &["sh", "-c", "grep CapBnd /proc/self/status; cat /dev/mine"]),
        "CapBnd:\t0000000000001000\n"
    );
    let refused = idle("apparmor", |r| {
        r.security.apparmor = Some(ProfileChoice::Localhost("mine".to_owned()));
    });
    if !std::path::Path::new("/sys/module/apparmor/parameters/enabled").exists() {
        let error = node.pods().create_container(&id, refused).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unimplemented);
    }
    node.pods().remove_pod(&id).unwrap();
    node.assert_nothing_left();
}

#[test]
fn mounts_and_image_volumes() {
    if !root() {
        return;
    }
    let node = Node::new();
    let id = node.pods().run_pod(pod("mounts")).unwrap();
    let host = node.path("host/new");
    let mount = |at: &str| ContainerMount {
        container_path: at.to_owned(),
        host_path: host.to_str().unwrap().to_owned(),
        ..ContainerMount::default()
    };
    let image = |at: &str, sub: &str| ContainerMount {
        container_path: at.to_owned(),
        image: Some(ImageChoice { image: "busybox".to_owned(), ..ImageChoice::default() }),
        image_sub_path: sub.to_owned(),
        readonly: true,
        ..ContainerMount::default()
    };
    let made = node.run_with(
        &id,
        idle("c", |r| {
            r.mounts = vec![
                mount("/rw"),
                ContainerMount { readonly: true, ..mount("/ro") },
                ContainerMount { readonly: true, recursive_read_only: true, ..mount("/rro") },
                image("/volume", ""),
                image("/part", "etc"),
            ];
        }),
    );
    let script = "echo x >/rw/file; cat /ro/file /rro/file; touch /ro/y 2>&1; touch /rro/y 2>&1; \
                  cat /volume/data/seed; head -c4 /part/passwd; echo; touch /volume/x 2>&1";
    assert_eq!(
        node.output(&made, &["sh", "-c", &format!("{script}; true")]),
        "x\nx\ntouch: /ro/y: Read-only file system\ntouch: /rro/y: Read-only file system\n\
         seeded\nroot\ntouch: /volume/x: Read-only file system\n"
    );
    let status = node.pods().container_status(&made, false).unwrap();
    assert!(status.mounts[3].image_ref.contains("sha256:"));
    for bad in [
        ContainerMount { propagation: Propagation::Bidirectional, ..mount("/m") },
        image("/m", "../etc"),
        image("/m", "no/such"),
        ContainerMount { readonly: false, ..image("/m", "") },
        ContainerMount { host_path: "/etc".to_owned(), ..image("/m", "") },
    ] {
        let error = node.pods().create_container(&id, idle("bad", |r| r.mounts = vec![bad]));
        assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
    node.pods().remove_pod(&id).unwrap();
    node.assert_nothing_left();
}

#[test]
fn user_namespaces_map_ids_of_processes_and_files() {
    if !root() {
        return;
    }
    let node = Node::new();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o711);
    std::fs::set_permissions(node.dir.path(), mode).unwrap();
    let mut request = pod("mapped");
    let map = IdMapping { host: 1_000_000, container: 0, length: 65_536 };
    request.security.namespaces.network = NamespaceChoice::Pod;
    request.security.namespaces.user =
        Some(UserNamespace { mode: NamespaceChoice::Pod, uids: vec![map], gids: vec![map] });
    let own_network = || {
        caisson_sys::unshare::unshare(caisson_sys::unshare::Unshare::Network).unwrap();
        let id = node.pods().run_pod(request.clone()).unwrap();
        for (name, pid) in [("own", NamespaceChoice::Container), ("shared", NamespaceChoice::Pod)] {
            let made = node.run_with(
                &id,
                idle(name, |r| {
                    r.security.namespaces.pid = pid;
                    r.security.namespaces.user = request.security.namespaces.user.clone();
                }),
            );
            let script = "cat /proc/self/uid_map | tr -s ' '; id -u; stat -c %u /bin/busybox; \
                          touch /made /dev/shm/made; stat -c %u /made /dev/shm/made";
            assert_eq!(node.output(&made, &["sh", "-c", script]), " 0 1000000 65536\n0\n0\n0\n0\n");
            let upper = node.path(&format!("state/containers/{made}/upper/made"));
            let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(upper).unwrap());
            assert_eq!(owner, 1_000_000);
            let pid = node.pods().container_status(&made, false).unwrap().pid.unwrap();
            let process = std::fs::metadata(format!("/proc/{pid}")).unwrap();
            assert_eq!(std::os::unix::fs::MetadataExt::uid(&process), 1_000_000);
        }
        node.pods().remove_pod(&id).unwrap();
        node.pods().engine().prune_network().unwrap();
    };
    std::thread::scope(|scope| scope.spawn(own_network).join().unwrap());
    node.assert_nothing_left();
}

#[test]
fn limits_hold_and_change_and_memory_runs_out() {
    if !root() {
        return;
    }
    let node = Node::new();
    let id = node.pods().run_pod(pod("limits")).unwrap();
    let limited = |name: &str, script: &str| {
        let mut request = shell(name, script);
        request.resources = Some(PodResources {
            memory_limit: 32 << 20,
            memory_swap_limit: 32 << 20,
            cpu_shares: 512,
            oom_score_adj: 500,
            ..PodResources::default()
        });
        request
    };
    let runs = node.run_with(&id, limited("runs", "exec sleep 600"));
    let stats = &node.pods().container_stats(&Default::default()).unwrap()[0];
    let memory = stats.memory.clone().unwrap();
    assert!(memory.available.unwrap() <= 32 << 20 && memory.usage.unwrap() > 0);
    assert!(stats.cpu.as_ref().unwrap().usage_core_nanos.unwrap() > 0);
    let change =
        PodResources { memory_limit: 64 << 20, memory_swap_limit: 64 << 20, ..Default::default() };
    node.pods().update_container(&runs, change).unwrap();
    let stats = &node.pods().container_stats(&Default::default()).unwrap()[0];
    let available = stats.memory.as_ref().unwrap().available.unwrap();
    assert!(available > 32 << 20, "{available}");
    let now = node.pods().container_status(&runs, false).unwrap().resources.unwrap();
    assert_eq!((now.memory_limit, now.cpu_shares), (64 << 20, 512));
    assert_eq!(node.output(&runs, &["cat", "/proc/1/oom_score_adj"]), "500\n");

    let eats = node.run_with(&id, limited("eats", "exec tail /dev/zero"));
    let ended = node.wait_until(&eats, ContainerState::Exited);
    assert_eq!((ended.exit_code, ended.reason.as_str()), (137, "OOMKilled"));

    let pod_stats = &node.pods().pod_stats(&Default::default()).unwrap()[0];
    assert!(pod_stats.memory.as_ref().unwrap().usage.unwrap() > 0);
    assert!(pod_stats.network.is_none() && pod_stats.containers.len() == 2);
    let metrics = node.pods().pod_metrics().unwrap();
    assert!(
        metrics[0].containers[0]
            .metrics
            .iter()
            .any(|m| m.name == "container_memory_usage_bytes" && m.value > 0)
    );
    let (images, written) = node.pods().image_filesystems().unwrap();
    assert!(images[0].used_bytes > 1 << 19 && written[0].mountpoint == images[0].mountpoint);
    node.pods().remove_pod(&id).unwrap();
    node.assert_nothing_left();
}
