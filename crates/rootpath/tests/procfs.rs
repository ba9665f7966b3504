//! A procfs that was tampered with, against [`ProcHandle`].
//!
//! Needs root: every attack runs in a process of its own, in a private mount
//! namespace made by unshare(1), so that nothing is left behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio, id};

use caisson_rootpath::{PathFault, ProcHandle, ProcScope, ProcSource, same_inode};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount, mount_bind};
use rustix::process::Pid;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

const INNER: &str = "CAISSON_ROOTPATH_TEST_INNER";

fn p(path: &str) -> &Path {
    Path::new(path)
}

/// True in the process that has the namespaces; elsewhere runs `test` in one.
fn inside(test: &str, namespaces: &[&str]) -> bool {
    if std::env::var_os(INNER).is_some() {
        return true;
    }
    let out = Command::new("unshare")
        .args(namespaces)
        .args(["--mount", "--propagation", "private"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INNER, "1")
        .output()
        .unwrap();
    assert!(
        out.status.success() && String::from_utf8_lossy(&out.stdout).contains("1 passed"),
        "{}\n{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    false
}

fn tmpfs(on: &str) {
    mount("tmpfs", on, "tmpfs", MountFlags::empty(), None).unwrap();
}

fn errno<T: std::fmt::Debug>(got: Result<T, caisson_rootpath::RootPathError>) -> Errno {
    let e = got.unwrap_err();
    e.errno().unwrap_or_else(|| panic!("{e}"))
}

/// Returns once `cat` runs: execve(2) shows its arguments late.
fn echo(child: &mut Child) {
    child.stdin.as_mut().unwrap().write_all(b"x").unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
}

/// The three ways to a handle on one hostile `/proc`.
fn all_three() -> [(&'static str, ProcHandle); 3] {
    [
        ("private", ProcHandle::private(ProcScope::Full).unwrap()),
        ("copy", ProcHandle::copy_of(p("/proc")).unwrap()),
        ("host", ProcHandle::host(p("/proc")).unwrap()),
    ]
}

#[test]
fn the_private_one_comes_first() {
    for scope in [ProcScope::Pids, ProcScope::Full] {
        assert_eq!(ProcHandle::new(scope).unwrap().source(), ProcSource::Private);
    }
    assert_eq!(ProcHandle::copy_of(p("/proc")).unwrap().source(), ProcSource::Clone);
    assert_eq!(ProcHandle::host(p("/proc")).unwrap().source(), ProcSource::Host);
}

#[test]
fn reads_what_proc_has() {
    let me = fs::read_to_string("/proc/self/stat").unwrap();
    let pid_and_name = me.split_once(')').unwrap().0;
    // Ends with its input, that is with this test.
    let mut child =
        Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    echo(&mut child);
    for (way, proc) in all_three() {
        let read = |fd: OwnedFd| {
            let mut text = String::new();
            fs::File::from(fd).read_to_string(&mut text).unwrap();
            text
        };
        let stat = read(proc.open_self(p("stat"), OFlags::RDONLY).unwrap());
        assert!(stat.starts_with(pid_and_name), "{way}");
        let pid = Pid::from_child(&child);
        let cmd = read(proc.open_pid(pid, p("cmdline"), OFlags::RDONLY).unwrap());
        assert_eq!(cmd, "cat\0", "{way}");
        let status = read(proc.open_thread_self(p("status"), OFlags::RDONLY).unwrap());
        let tid = format!("\nPid:\t{}\n", rustix::thread::gettid().as_raw_nonzero());
        assert!(status.contains(&tid), "{way}");
        let host = read(proc.open_sys(p("kernel/ostype"), OFlags::RDONLY).unwrap());
        assert_eq!(host, "Linux\n", "{way}");
        let exe = proc.read_self_link(p("exe")).unwrap();
        assert_eq!(exe, std::env::current_exe().unwrap(), "{way}");
    }
    // With hidepid=ptraceable a child of ours is still to be seen.
    let pids = ProcHandle::private(ProcScope::Pids).unwrap();
    let pid = Pid::from_child(&child);
    pids.open_pid(pid, p("uid_map"), OFlags::RDWR).unwrap();
    drop(child.stdin.take());
    child.wait().unwrap();
}

#[test]
fn pids_scope_has_no_sysctls() {
    let proc = ProcHandle::private(ProcScope::Pids).unwrap();
    assert_eq!(errno(proc.write_sysctl("kernel.domainname", b"x")), Errno::NOENT);
    assert_eq!(errno(proc.open_sys(p("kernel"), OFlags::RDONLY)), Errno::NOENT);
    assert!(
        rustix::fs::accessat(
            proc.as_fd(),
            "sysrq-trigger",
            rustix::fs::Access::EXISTS,
            rustix::fs::AtFlags::empty(),
        )
        .is_err()
    );
}

#[test]
fn no_way_out_of_procfs() {
    for (way, proc) in all_three() {
        for magic in ["root", "cwd", "exe", "root/etc/passwd", "fd/0", "ns/mnt"] {
            let got = proc.open_self(p(magic), OFlags::PATH);
            assert_eq!(errno(got), Errno::LOOP, "{way} {magic}");
        }
        proc.open_self(p("exe"), OFlags::PATH | OFlags::NOFOLLOW).unwrap();
        for path in ["..", "../1/stat", "attr/../../1/stat", "/etc/passwd", "/", "fd/../../.."] {
            let e = proc.open_self(p(path), OFlags::RDONLY).unwrap_err();
            assert!(matches!(e.source, PathFault::BadPath(_)), "{way} {path}: {e}");
            assert!(proc.open_sys(p(path), OFlags::RDONLY).is_err(), "{way} {path}");
            assert!(proc.write_self_attr(p(path), b"x").is_err(), "{way} {path}");
        }
        for key in ["../sysrq-trigger", "kernel/../../sysrq-trigger", "..sysrq-trigger", ""] {
            let e = proc.write_sysctl(key, b"").unwrap_err();
            assert!(matches!(e.source, PathFault::BadPath(_)), "{way} {key}: {e}");
        }
        let got = proc.open_self(p("new"), OFlags::CREATE | OFlags::WRONLY);
        assert_eq!(errno(got), Errno::INVAL);
    }
}

#[test]
fn reopens_the_same_inode() {
    let tmp = tempfile::tempdir().unwrap();
    let path = tmp.path().join("file");
    fs::write(&path, "first").unwrap();
    let handle = rustix::fs::open(&path, OFlags::PATH, Mode::empty()).unwrap();
    // The name moves on, the descriptor stays.
    fs::rename(&path, tmp.path().join("old")).unwrap();
    fs::write(&path, "second").unwrap();
    for (way, proc) in all_three() {
        let again = proc.reopen(&handle, OFlags::RDONLY).unwrap();
        assert!(same_inode(&again, &handle).unwrap());
        let mut text = String::new();
        fs::File::from(again).read_to_string(&mut text).unwrap();
        assert_eq!(text, "first", "{way}");
        proc.chmod(&handle, Mode::from_raw_mode(0o640)).unwrap();
        assert!(proc.reopen(&handle, OFlags::CREATE | OFlags::WRONLY).is_err());
    }
    // In a thread as well.
    let proc = ProcHandle::new(ProcScope::Pids).unwrap();
    std::thread::scope(|s| {
        s.spawn(|| proc.reopen(&handle, OFlags::RDONLY).unwrap()).join().unwrap();
    });
}

#[test]
fn over_mounted_attr() {
    if !inside("over_mounted_attr", &[]) {
        return;
    }
    // A file of the attacker's, or a harmless procfs file, under the name.
    for kind in ["tmpfs", "tmpfs+link", "bind", "procfs bind"] {
        let before = all_three();
        let attr =
            format!("/proc/{}/task/{}/attr", id(), rustix::thread::gettid().as_raw_nonzero());
        let exec = format!("{attr}/exec");
        let decoy = tempfile::NamedTempFile::new().unwrap();
        match kind {
            "tmpfs" => {
                tmpfs(&attr);
                fs::write(&exec, "").unwrap();
            }
            "tmpfs+link" => {
                tmpfs(&attr);
                symlink(decoy.path(), &exec).unwrap();
            }
            "bind" => mount_bind(decoy.path(), &exec).unwrap(),
            _ => mount_bind("/proc/self/sched", &exec).unwrap(),
        }
        // Handles made before and after the attack behave the same.
        for (way, proc) in before.into_iter().chain(all_three()) {
            let got = proc.open_thread_self(p("attr/exec"), OFlags::WRONLY);
            let wrote = proc.write_self_attr(p("exec"), b"hostile");
            if way == "host" {
                assert_eq!(errno(got), Errno::XDEV, "{kind}");
                assert_eq!(errno(wrote), Errno::XDEV, "{kind}");
            } else {
                // The real file: without an LSM that takes it, EINVAL.
                let real = got.unwrap();
                assert_eq!(errno(wrote), Errno::INVAL, "{kind} {way}");
                let link = format!("/proc/self/fd/{}", real.as_raw_fd());
                let link = fs::read_link(link).unwrap();
                assert!(link.ends_with("attr/exec"), "{}", link.display());
            }
        }
        assert_eq!(fs::read(decoy.path()).unwrap(), b"", "{kind}");
        if kind.starts_with("tmpfs") {
            let shown = fs::read(&exec).unwrap();
            assert!(shown.is_empty(), "{kind}");
        }
        rustix::mount::unmount(
            if kind.contains("bind") { exec } else { attr }.as_str(),
            rustix::mount::UnmountFlags::DETACH,
        )
        .unwrap();
    }
}

#[test]
fn over_mounted_sysctl() {
    if !inside("over_mounted_sysctl", &["--uts"]) {
        return;
    }
    let domain = || {
        let name = rustix::system::uname();
        name.domainname().to_str().unwrap().to_owned()
    };
    for kind in ["bind", "link", "procfs bind"] {
        let decoy = tempfile::NamedTempFile::new().unwrap();
        let on = match kind {
            "bind" => {
                mount_bind(decoy.path(), "/proc/sys/kernel/domainname").unwrap();
                "/proc/sys/kernel/domainname"
            }
            "link" => {
                tmpfs("/proc/sys/kernel");
                symlink(decoy.path(), "/proc/sys/kernel/domainname").unwrap();
                "/proc/sys/kernel"
            }
            _ => {
                // This name space's own: harmless if hit.
                mount_bind("/proc/sys/kernel/hostname", "/proc/sys/kernel/domainname").unwrap();
                "/proc/sys/kernel/domainname"
            }
        };
        let host_name = rustix::system::uname().nodename().to_owned();
        for (way, proc) in all_three() {
            let value = format!("{way}.{}", kind.replace(' ', "-"));
            let got = proc.write_sysctl("kernel.domainname", value.as_bytes());
            if way == "host" {
                assert_eq!(errno(got), Errno::XDEV, "{kind}");
                assert_ne!(domain(), value);
            } else {
                got.unwrap();
                assert_eq!(domain(), value, "{kind}");
            }
        }
        assert_eq!(fs::read(decoy.path()).unwrap(), b"", "{kind}");
        assert_eq!(rustix::system::uname().nodename(), &*host_name);
        rustix::mount::unmount(on, rustix::mount::UnmountFlags::DETACH).unwrap();
    }
}

#[test]
fn a_proc_that_is_none() {
    if !inside("a_proc_that_is_none", &[]) {
        return;
    }
    // A subtree of procfs: right magic, wrong root.
    mount_bind(format!("/proc/{}", id()).as_str(), "/proc").unwrap();
    for got in [ProcHandle::host(p("/proc")), ProcHandle::copy_of(p("/proc"))] {
        let e = got.unwrap_err();
        assert!(matches!(e.source, PathFault::NotProcfsRoot { .. }), "{e}");
    }
    // Something else altogether, dressed up.
    tmpfs("/proc");
    fs::create_dir_all("/proc/self/attr").unwrap();
    fs::write("/proc/self/attr/exec", "").unwrap();
    for got in [ProcHandle::host(p("/proc")), ProcHandle::copy_of(p("/proc"))] {
        let e = got.unwrap_err();
        assert!(matches!(e.source, PathFault::NotProcfs { .. }), "{e}");
    }
    let tmp = tempfile::tempdir().unwrap();
    let link = tmp.path().join("proc");
    symlink("/proc", &link).unwrap();
    assert!(ProcHandle::host(&link).is_err());
    assert!(ProcHandle::copy_of(&link).is_err());
    // None of that touches one of our own.
    let proc = ProcHandle::new(ProcScope::Full).unwrap();
    assert_eq!(proc.source(), ProcSource::Private);
    assert_eq!(errno(proc.write_self_attr(p("exec"), b"x")), Errno::INVAL);
    assert_eq!(fs::read("/proc/self/attr/exec").unwrap(), b"");
}

#[test]
fn over_mounted_descriptors() {
    if !inside("over_mounted_descriptors", &[]) {
        return;
    }
    let decoy = tempfile::NamedTempFile::new().unwrap();
    let real = tempfile::NamedTempFile::new().unwrap();
    let handle = rustix::fs::open(real.path(), OFlags::PATH, Mode::empty()).unwrap();
    let dir = format!("/proc/{}/task/{}/fd", id(), rustix::thread::gettid().as_raw_nonzero());
    tmpfs(&dir);
    symlink(decoy.path(), format!("{dir}/{}", handle.as_raw_fd())).unwrap();
    for (way, proc) in all_three() {
        let got = proc.reopen(&handle, OFlags::WRONLY);
        let mode = proc.chmod(&handle, Mode::from_raw_mode(0o777));
        if way == "host" {
            assert_eq!(errno(got), Errno::XDEV);
            assert_eq!(errno(mode), Errno::XDEV);
        } else {
            fs::File::from(got.unwrap()).write_all(way.as_bytes()).unwrap();
            mode.unwrap();
        }
    }
    let mut text = String::new();
    let mut file = decoy.as_file();
    file.seek(SeekFrom::Start(0)).unwrap();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "");
    assert_ne!(fs::read(real.path()).unwrap(), b"");
}

#[test]
fn in_a_user_namespace_it_falls_back() {
    if !inside("in_a_user_namespace_it_falls_back", &["--user", "--map-root-user"]) {
        return;
    }
    // A PID namespace of someone else: no new procfs. A clean /proc can be copied.
    for scope in [ProcScope::Pids, ProcScope::Full] {
        let proc = ProcHandle::new(scope).unwrap();
        println!("clean /proc: {:?} {:?}", scope, proc.source());
        proc.open_self(p("uid_map"), OFlags::RDONLY).unwrap();
    }
    let attr = format!("/proc/{}/task/{}/attr", id(), rustix::thread::gettid().as_raw_nonzero());
    tmpfs(&attr);
    fs::write(format!("{attr}/exec"), "").unwrap();
    for scope in [ProcScope::Pids, ProcScope::Full] {
        let proc = ProcHandle::new(scope).unwrap();
        println!("tampered /proc: {:?} {:?}", scope, proc.source());
        let got = errno(proc.write_self_attr(p("exec"), b"x"));
        assert!(matches!(got, Errno::XDEV | Errno::INVAL), "{got}");
    }
    assert_eq!(fs::read(format!("{attr}/exec")).unwrap(), b"");
}

#[test]
fn without_capabilities_it_is_the_host_one() {
    // An unmapped user namespace: execve took all capabilities away.
    if !inside("without_capabilities_it_is_the_host_one", &["--user"]) {
        return;
    }
    for scope in [ProcScope::Pids, ProcScope::Full] {
        let proc = ProcHandle::new(scope).unwrap();
        assert_eq!(proc.source(), ProcSource::Host);
        proc.open_self(p("status"), OFlags::RDONLY).unwrap();
        assert_eq!(errno(proc.open_self(p("root"), OFlags::PATH)), Errno::LOOP);
    }
}

#[test]
fn locked_mounts_are_detected() {
    // Mounts that a user namespace inherits are locked: procfs can neither be
    // had anew nor copied without them. What is left has to notice them.
    const LOCKED: &str = "CAISSON_ROOTPATH_TEST_LOCKED";
    let test = "locked_mounts_are_detected";
    if std::env::var_os(LOCKED).is_some() {
        let proc = ProcHandle::new(ProcScope::Full).unwrap();
        assert_eq!(proc.source(), ProcSource::Host);
        assert_eq!(errno(proc.write_sysctl("kernel.domainname", b"x")), Errno::XDEV);
        assert_eq!(errno(proc.open_sys(p("kernel/domainname"), OFlags::RDONLY)), Errno::XDEV);
        proc.open_self(p("status"), OFlags::RDONLY).unwrap();
        return;
    }
    if !inside(test, &["--uts"]) {
        return;
    }
    let decoy = tempfile::NamedTempFile::new().unwrap();
    tmpfs("/proc/sys/kernel");
    symlink(decoy.path(), "/proc/sys/kernel/domainname").unwrap();
    let out = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "--propagation", "private"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(LOCKED, "1")
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(String::from_utf8_lossy(&out.stdout).contains("1 passed"));
    assert_eq!(fs::read(decoy.path()).unwrap(), b"");
}

#[test]
fn sysctls_are_those_of_the_caller() {
    // A handle made before the namespace was entered writes to the new one.
    let proc = ProcHandle::private(ProcScope::Full).unwrap();
    let before = rustix::system::uname().domainname().to_owned();
    let mut child = Command::new("unshare")
        .args(["--uts", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    echo(&mut child);
    let uts = fs::File::open(format!("/proc/{}/ns/uts", child.id())).unwrap();
    std::thread::scope(|s| {
        s.spawn(|| {
            move_into_link_name_space(
                uts.as_fd(),
                Some(LinkNameSpaceType::HostNameAndNISDomainName),
            )
            .unwrap();
            proc.write_sysctl("kernel.domainname", b"inner").unwrap();
            assert_eq!(rustix::system::uname().domainname(), c"inner");
        })
        .join()
        .unwrap();
    });
    drop(child.stdin.take());
    child.wait().unwrap();
    assert_eq!(rustix::system::uname().domainname(), &*before);
}
