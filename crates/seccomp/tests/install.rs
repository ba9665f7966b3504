//! Filters in the kernel. A filter holds for the thread that installs it and
//! for what that thread starts, so each test is a thread of its own. Works as
//! root and, by `no_new_privs`, as anybody.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may panic")]

mod support;

use caisson_runtime_spec::Seccomp;
use caisson_seccomp::{Filter, notify};
use caisson_sys::seccomp::{Answer, Notification, answer_notification, receive_notification};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketType, recvmsg,
    socket,
};
use std::io::{IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::thread;

/// Runs `body` in a thread under a filter for the profile.
fn filtered<T: Send>(seccomp: &Seccomp, body: impl FnOnce(Option<OwnedFd>) -> T + Send) -> T {
    let filter = Filter::compile(seccomp).unwrap();
    thread::scope(|scope| {
        let thread = scope.spawn(move || {
            rustix::thread::set_no_new_privs(true).unwrap();
            let listener = filter.install().unwrap();
            assert_eq!(listener.is_some(), filter.needs_listener());
            body(listener)
        });
        thread.join().unwrap()
    })
}

/// lseek(2). The calls under test have results that are the same wherever the
/// test runs: a session or process group from outside the PID namespace, say,
/// reads as 0, which rustix's `Pid` can't hold.
fn position() -> Result<u64, Errno> {
    rustix::fs::tell(std::fs::File::open("/dev/null").unwrap())
}

#[test]
fn denied_calls_fail_and_others_work() {
    let seccomp = support::profile(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
            {"names":["lseek"],"action":"SCMP_ACT_ERRNO","errnoRet":95},
            {"names":["uname"],"action":"SCMP_ACT_ERRNO"}]}"#,
    );
    filtered(&seccomp, |_| {
        assert_eq!(position(), Err(Errno::OPNOTSUPP));
        assert!(rustix::process::getpriority_process(None).is_ok());
    });
    assert!(position().is_ok(), "only the thread is filtered");
}

#[test]
fn arguments_decide() {
    let seccomp = support::profile(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["socket"],
            "action":"SCMP_ACT_ERRNO","errnoRet":97,
            "args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"},
                    {"index":1,"value":15,"valueTwo":2,"op":"SCMP_CMP_MASKED_EQ"}]}]}"#,
    );
    filtered(&seccomp, |_| {
        let open = |domain, kind| socket(domain, kind, None).map(drop);
        assert_eq!(open(AddressFamily::UNIX, SocketType::DGRAM), Err(Errno::AFNOSUPPORT));
        assert_eq!(open(AddressFamily::UNIX, SocketType::STREAM), Ok(()));
        assert_eq!(open(AddressFamily::INET, SocketType::DGRAM), Ok(()));
    });
}

#[test]
fn docker_default_runs_programs_and_denies_mounts() {
    let seccomp = support::docker_default();
    filtered(&seccomp, |_| {
        let mounted = rustix::mount::unmount("/nowhere", rustix::mount::UnmountFlags::empty());
        assert_eq!(mounted, Err(Errno::PERM));
        // Programs inherit the filter, and the shell knows how to live with it.
        let out = Command::new("/bin/sh")
            .args(["-c", "echo works; unshare --user true 2>/dev/null || echo denied"])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&out.stdout), "works\ndenied\n");
    });
}

#[test]
fn calls_newer_than_the_profile_get_enosys() {
    // umount2 (166) is older than what the profile knows, openat2 (437) newer.
    let mut seccomp = support::docker_default();
    seccomp.architectures.clear();
    for rule in &mut seccomp.syscalls {
        rule.names.retain(|name| {
            let number = caisson_seccomp::syscall_number(name, caisson_seccomp::Arch::X86_64);
            number.is_none_or(|number| number < 430) && name != "umount2"
        });
    }
    filtered(&seccomp, |_| {
        let old = rustix::mount::unmount("/nowhere", rustix::mount::UnmountFlags::empty());
        let new = rustix::fs::openat2(
            rustix::fs::CWD,
            "/",
            rustix::fs::OFlags::PATH,
            rustix::fs::Mode::empty(),
            rustix::fs::ResolveFlags::empty(),
        );
        if cfg!(target_arch = "x86_64") {
            assert_eq!((old, new.err()), (Err(Errno::PERM), Some(Errno::NOSYS)));
        }
    });
}

#[test]
fn kill_process_kills_a_program_that_makes_the_call() {
    let seccomp = support::profile(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
            {"names":["mkdir","mkdirat"],"action":"SCMP_ACT_KILL_PROCESS"}]}"#,
    );
    filtered(&seccomp, |_| {
        let status = Command::new("/bin/mkdir").arg("/proc/never").status().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(31));
    });
}

#[test]
fn an_agent_answers_notifications() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.sock");
    let path = path.to_str().unwrap();
    let agent_socket = UnixListener::bind(path).unwrap();
    let mut seccomp = support::profile(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],
            "syscalls":[{"names":["lseek","getpriority"],"action":"SCMP_ACT_NOTIFY"}]}"#,
    );
    seccomp.listener_path = Some(path.to_owned());
    let state = format!(r#"{{"ociVersion":"1.3.0","metadata":"{}"}}"#, "x".repeat(300_000));

    thread::scope(|scope| {
        let agent = scope.spawn(|| {
            let (listener, received) = receive_listener(&agent_socket);
            assert_eq!(received, state.as_bytes());
            let first = receive_notification(listener.as_fd()).unwrap();
            answer_notification(listener.as_fd(), first.id, Answer::Return(4242)).unwrap();
            let second = receive_notification(listener.as_fd()).unwrap();
            answer_notification(listener.as_fd(), second.id, Answer::Fail(Errno::XDEV)).unwrap();
            let third = receive_notification(listener.as_fd()).unwrap();
            answer_notification(listener.as_fd(), third.id, Answer::Continue).unwrap();
            [first, second, third]
        });
        let expected = rustix::process::getpriority_process(None);
        let (first, second, third, tid) = filtered(&seccomp, |listener| {
            let listener = listener.unwrap();
            notify::send_listener(path, listener.as_fd(), state.as_bytes()).unwrap();
            drop(listener);
            (
                position(),
                position(),
                rustix::process::getpriority_process(None),
                rustix::thread::gettid(),
            )
        });
        assert_eq!(first, Ok(4242));
        assert_eq!(second, Err(Errno::XDEV));
        assert_eq!(third, expected);
        let notifications: [Notification; 3] = agent.join().unwrap();
        for notification in notifications {
            assert_eq!(notification.pid, tid.as_raw_nonzero().get().unsigned_abs());
        }
    });
}

/// What an agent does: accepts one connection, takes the descriptor and the
/// text up to the end.
fn receive_listener(agent_socket: &UnixListener) -> (OwnedFd, Vec<u8>) {
    let (mut stream, _) = agent_socket.accept().unwrap();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut text = vec![0; 4096];
    let received = recvmsg(
        &stream,
        &mut [IoSliceMut::new(&mut text)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )
    .unwrap();
    text.truncate(received.bytes);
    let mut descriptors = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let descriptor = descriptors.next().unwrap().next().unwrap();
    drop(descriptors);
    stream.read_to_end(&mut text).unwrap();
    (descriptor, text)
}

#[test]
fn an_absent_agent_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nobody.sock");
    let path = path.to_str().unwrap();
    let any = std::fs::File::open("/dev/null").unwrap();
    let error = notify::send_listener(path, any.as_fd(), b"{}").unwrap_err();
    assert!(error.to_string().contains(path), "{error}");
    let long = "/x".repeat(100);
    let error = notify::send_listener(&long, any.as_fd(), b"{}").unwrap_err();
    let notify::NotifyError::Connect { source, .. } = error else { panic!("{error}") };
    assert_eq!(source, Errno::NAMETOOLONG);
}
