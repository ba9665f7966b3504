//! Sockets of the host's kernel, of the network namespace that the sandbox is made in.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should fail")]

mod container;
mod sandbox;

use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;

use caisson_isolator::Isolator as _;
use caisson_sentry::oci::{SentryIsolator, Settings};
use caisson_sentry::platform::host_calls;
use container::Container;
use sandbox::{Ended, Sandbox, finish_within};

/// Runs a script beside the sandbox, in a network namespace with a loopback interface:
/// `inside` in it is the command that runs a program in the sandbox.
fn run(sandbox: &Sandbox, script: &str, words: &[&str]) -> Ended {
    let mut command = std::process::Command::new("unshare");
    let start = "ip link set lo up && root=$1 sentry=$2 && shift 2 && \
                 inside() { $sentry do --network host-sockets --env PATH=/bin --root $root \"$@\"; }\n";
    command.args(["--net", "sh", "-c", &format!("{start}{script}"), "sh"]).arg(sandbox.root());
    finish_within(command.arg(env!("CARGO_BIN_EXE_caisson-sentry")).args(words), 150)
}

#[test]
fn programs_see_the_host_s_sockets() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    for name in ["inet", "interfaces", "unix"] {
        sandbox.compile(name, &["-static", "-pthread"]);
        let path = format!("/bin/{name}");
        let (inside, host) =
            (run(&sandbox, "inside \"$@\"", &[&path]), sandbox.run_on_host(&[&path]));
        assert_eq!(inside, host, "{name}");
        assert!(inside.stdout.ends_with("done\n"), "{name}: {inside:?}");
    }
}

/// What is listed is the sandbox's own, whatever else is in the namespace.
#[test]
fn procfs_tells_of_the_sandbox_s_sockets() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    let script = "busybox nc -l -p 8100 & outside=$!
                  inside /bin/sh -c 'nc -l -p 8101 & first=$!
                      i=0; until grep -q :1FA5 /proc/net/tcp /proc/net/tcp6; do
                          i=$((i+1)); [ $i -lt 300 ] || exit 9; sleep 0.1; done
                      cat /proc/net/tcp /proc/net/tcp6 | grep -c \" 0A \"
                      grep -c :1FA4 /proc/net/tcp /proc/net/tcp6; kill $first; wait $first
                      cat /proc/net/tcp /proc/net/tcp6 | grep -c \" 0A \"'; kill $outside";
    let ended = run(&sandbox, script, &[]);
    assert_eq!(ended.stdout, "1\n/proc/net/tcp:0\n/proc/net/tcp6:0\n0\n", "{ended:?}");
}

/// Gets a file of a server, once that listens.
const GET: &str = "get() { i=0; until wget -q -O - $1; do i=$((i+1)); [ $i -lt 600 ] || exit 9; \
                   sleep 0.1; done 2>/dev/null | md5sum; }\n";

#[test]
fn programs_inside_and_outside_talk() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.path("tmp/f"), vec![b'x'; 3 << 20]).unwrap();
    // The listener's own input stays open: its end could end the client before it has sent.
    let script = format!(
        "{GET}busybox httpd -f -p 127.0.0.1:8080 -h $root/tmp & outside=$!
         inside /bin/sh -c '{GET}
             httpd -f -p 8081 -h /tmp & first=$!
             get http://127.0.0.1:8080/f; mkfifo /tmp/open
             nc -l -p 8082 >/tmp/said <>/tmp/open; kill $first; cat /tmp/said' &
         get http://127.0.0.1:8081/f
         until echo hello | busybox nc 127.0.0.1 8082 2>/dev/null; do sleep 0.1; done
         wait $!; kill $outside"
    );
    let ended = run(&sandbox, &script, &[]);
    let lines: Vec<_> = ended.stdout.lines().collect();
    assert_eq!((lines.len(), ended.code), (3, 0), "{ended:?}");
    assert!(lines[0] == lines[1] && lines[2] == "hello", "{ended:?}");
}

#[test]
fn a_container_has_the_sockets_of_its_namespace_and_a_wall_for_them() {
    if !sandbox::possible() {
        return;
    }
    let script = format!(
        "{GET}echo text >/tmp/f; httpd -p 127.0.0.1:80 -h /tmp; get http://127.0.0.1/f; \
         ip -o -4 addr | wc -l; echo up >/tmp/up; exec sleep 1000"
    );
    let container = Container::new(&["sh", "-c", &script], |config| {
        config["linux"]["sysctl"] = serde_json::json!({"net.ipv4.ip_unprivileged_port_start": "0"});
    });
    let mut command = container.command(&["create"], &[]);
    let mut words: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    words.insert(0, "--network=host-sockets".into());
    command = std::process::Command::new(command.get_program());
    let out = std::fs::File::create(container.bundle.path().join("out")).unwrap();
    command.args(words).current_dir(container.bundle.path()).stdin(std::process::Stdio::null());
    assert!(command.stdout(out).status().unwrap().success());
    container.does(&["start"], &[]);
    let mut tries = 0;
    while container.exec(&["cat", "/tmp/up"]).code != 0 {
        tries += 1;
        assert!(tries < 300, "it does not come up");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let said = std::fs::read_to_string(container.bundle.path().join("out")).unwrap();
    assert_eq!(said, "e1cbb0c3879af8347246f12c559a86b5  -\n1\n");
    let pid = i32::try_from(container.state()["pid"].as_i64().unwrap()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    let installed = caisson_sys::seccomp::installed(pid).unwrap();
    assert!(installed == [host_calls::program(&host_calls::WITH_SOCKETS)]);
    // Somebody outside is connected to a program inside, by the sandbox.
    let settings = Settings::in_folder(container.root());
    let sandbox = SentryIsolator::new(settings).open_sandbox(&container.id.parse().unwrap());
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    sandbox.unwrap().connect(80, theirs.as_fd()).unwrap();
    drop(theirs);
    ours.write_all(b"GET /f HTTP/1.0\r\n\r\n").unwrap();
    let mut got = String::new();
    ours.read_to_string(&mut got).unwrap();
    assert!(got.ends_with("\r\n\r\ntext\n"), "{got}");
    // What is no socket of IPv4 or IPv6 is not asked of the host at all.
    let raw = container.exec(&["ping", "-c", "1", "127.0.0.1"]);
    assert!(raw.code != 0 && raw.stderr.contains("permission denied"), "{raw:?}");
}
