//! A confined broker, asked by a hostile sentry; and one that is itself an attacker's.
//! A program with one thread: a broker is a copy of it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should fail")]

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use caisson_sentry::vfs::{Broker, BrokerClient, MountFlags, Opens, pair, served_tree};
use caisson_sys::clone::{CloneFlags, Side, clone3, exit_now};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{WaitOptions, waitpid};

/// What an attacker's broker does; `Some` if it got what it wanted.
type Attempt = fn(&OwnedFd) -> Option<String>;

const OWN_SPACES: [CloneFlags; 6] = [
    CloneFlags::NEWPID,
    CloneFlags::NEWNET,
    CloneFlags::NEWIPC,
    CloneFlags::NEWUTS,
    CloneFlags::NEWNS,
    CloneFlags::NEWCGROUP,
];

/// Starts a broker of `root`, which serves, or else does `instead`.
fn start(root: &Path, instead: Option<Attempt>) -> (BrokerClient, OwnedFd, rustix::process::Pid) {
    let tree = served_tree(root, true, MountFlags::default()).unwrap();
    let (client, socket) = pair().unwrap();
    let spaces = OWN_SPACES.into_iter().collect();
    match clone3(spaces, None).unwrap() {
        Side::Child => {
            let copy = [tree];
            let broker = Broker::enter(socket, &copy, None);
            let code = match (broker, instead) {
                (Err(_), _) => 3,
                (Ok(broker), None) => {
                    broker.serve();
                    0
                }
                (Ok(_), Some(attempt)) => u8::from(attempt(&copy[0]).is_some()),
            };
            exit_now(code);
        }
        Side::Parent { pid, .. } => {
            drop(socket);
            (client, tree, pid)
        }
    }
}

fn end(client: BrokerClient, pid: rustix::process::Pid) -> rustix::process::WaitStatus {
    drop(client);
    waitpid(Some(pid), WaitOptions::empty()).unwrap().unwrap().1
}

fn hostile_requests(folder: &Path) {
    let (client, tree, pid) = start(&folder.join("root"), None);
    let root = tree.as_fd();
    let look = |directory: BorrowedFd<'_>, name: &[u8]| {
        client.lookup(directory, name, Opens::Nothing).map(|found| found.handle)
    };
    // Names that are more than a name.
    for name in [&b".."[..], b".", b"", b"/", b"/etc/passwd", b"d/../..", b"d/", b"a\0b"] {
        assert_eq!(look(root, name).err(), Some(Errno::INVAL), "{name:?}");
        assert_eq!(client.create(root, name, 0o644, (0, 0)).err(), Some(Errno::INVAL), "{name:?}");
        assert_eq!(client.make_directory(root, name, 0o755, (0, 0)).err(), Some(Errno::INVAL));
        assert_eq!(client.remove(root, name, true), Err(Errno::INVAL));
        assert_eq!(client.symlink(root, name, b"x", (0, 0)).err(), Some(Errno::INVAL));
        assert_eq!(client.rename((root, name), (root, b"n"), 0), Err(Errno::INVAL));
        assert_eq!(client.rename((root, b"d"), (root, name), 0), Err(Errno::INVAL));
    }
    // It was given no other folder than the root; and gives what it makes there no name.
    assert_eq!(client.store_maker(None).make().err(), Some(Errno::XDEV));
    let place = tree.try_clone().unwrap();
    assert!(client.store_maker(Some(place)).make().is_ok());
    // Links are handles of links, whatever they point to, and never a way.
    for name in [&b"to_secret"[..], b"up"] {
        let link = look(root, name).unwrap();
        assert_eq!(client.open(link.as_fd(), 0).err(), Some(Errno::NXIO));
        assert_eq!(look(link.as_fd(), b"secret").err(), Some(Errno::NOTDIR));
        assert!(client.create(root, name, 0o644, (0, 0)).is_err());
    }
    // What is neither file nor directory is not opened: a FIFO would block it.
    for name in [&b"fifo"[..], b"device"] {
        let handle = look(root, name).unwrap();
        assert_eq!(client.open(handle.as_fd(), 2).err(), Some(Errno::NXIO));
    }
    // Only files and directories come open, whatever is asked for; what is told of a link is
    // of itself.
    for (name, opens, reads) in [
        ("to_secret", Opens::Any, false),
        ("fifo", Opens::Any, false),
        ("device", Opens::File, false),
        ("d", Opens::File, false),
        ("d", Opens::Any, true),
    ] {
        let found = client.lookup(root, name.as_bytes(), opens).unwrap();
        assert_eq!(found.reads, reads, "{name}");
        let flags = rustix::fs::fcntl_getfl(&found.handle).unwrap();
        assert_eq!(flags.contains(OFlags::PATH), !reads, "{name}");
        let told = client.stat(root, &[name.as_bytes().to_vec(), b"none".to_vec()]).unwrap();
        assert_eq!(told, [Some(found.attributes), None], "{name}");
        let own = rustix::fs::fstat(&found.handle).unwrap();
        assert_eq!(found.attributes.inode, own.st_ino, "{name}");
    }
    for names in [vec![b"..".to_vec()], vec![b"d/../..".to_vec()], vec![b"d".to_vec(); 129]] {
        assert_eq!(client.stat(root, &names).err(), Some(Errno::INVAL));
    }
    // A folder that it was not given, one that is below another root, a directory that
    // was moved out, the host's root.
    let handle = |path: &Path| {
        rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap()
    };
    let inside = look(root, b"d").unwrap();
    for path in [Path::new("/"), folder, &folder.join("root"), Path::new("/proc/self")] {
        let other = handle(path);
        assert_eq!(look(other.as_fd(), b"x").err(), Some(Errno::XDEV), "{path:?}");
        assert_eq!(client.link(other.as_fd(), root, b"x").err(), Some(Errno::XDEV), "{path:?}");
        let told = client.stat(other.as_fd(), &[b"x".to_vec()]);
        assert_eq!(told.err(), Some(Errno::XDEV), "{path:?}");
        let moved = client.rename((inside.as_fd(), b"x"), (other.as_fd(), b"x"), 0);
        assert_eq!(moved, Err(Errno::XDEV), "{path:?}");
        assert_eq!(client.sync_all(other.as_fd()), Err(Errno::XDEV), "{path:?}");
    }
    // What it does serve.
    assert_eq!(client.sync_all(inside.as_fd()), Ok(()));
    let (file, handle) = client.create(inside.as_fd(), b"new", 0o640, (7, 8)).unwrap();
    for stat in [rustix::fs::fstat(&file).unwrap(), rustix::fs::fstat(&handle.handle).unwrap()] {
        assert_eq!((stat.st_uid, stat.st_gid, stat.st_mode), (7, 8, 0o100_640));
    }
    let file = look(inside.as_fd(), b"new").unwrap();
    client.link(file.as_fd(), root, b"other").unwrap();
    client.change_mode(file.as_fd(), 0o4711).unwrap();
    client.rename((root, b"other"), (inside.as_fd(), b"third"), 0).unwrap();
    assert_eq!(rustix::fs::fstat(&file).unwrap().st_mode, 0o104_711);
    let status = end(client, pid);
    assert_eq!(status.exit_status(), Some(0));
}

/// The code of the broker is the attacker's; its wall holds.
fn hostile_broker(folder: &Path) {
    let attempts: [(&str, Attempt); 7] = [
        ("absolute path", |_| read_at(rustix::fs::CWD.as_fd(), "/etc/passwd")),
        ("upwards", |root| read_at(root.as_fd(), "../../../../../../../../etc/passwd")),
        ("upwards to the neighbour", |root| read_at(root.as_fd(), "../secret")),
        ("link", |root| read_at(root.as_fd(), "to_secret")),
        ("link upwards", |root| read_at(root.as_fd(), "up/secret")),
        ("device", |root| read_at(root.as_fd(), "device")),
        ("attributes upwards", |root| {
            use rustix::fs::{AtFlags, StatxFlags, statx};
            let wanted = StatxFlags::BASIC_STATS;
            statx(root, "../secret", AtFlags::SYMLINK_NOFOLLOW, wanted).ok().map(|_| String::new())
        }),
    ];
    for (name, attempt) in attempts {
        let (client, _, pid) = start(&folder.join("root"), Some(attempt));
        let status = end(client, pid);
        assert_eq!(status.exit_status(), Some(0), "{name}: {status:?}");
    }
    let killed: [(&str, Attempt); 4] = [
        ("a socket", |_| {
            use rustix::net::{AddressFamily, SocketType, socket};
            socket(AddressFamily::INET, SocketType::STREAM, None).ok().map(|_| String::new())
        }),
        ("a mount", |root| {
            use rustix::mount::{OpenTreeFlags, open_tree};
            open_tree(root, ".", OpenTreeFlags::OPEN_TREE_CLONE).ok().map(|_| String::new())
        }),
        ("a device node", |root| {
            let (kind, mode) = (rustix::fs::FileType::CharacterDevice, Mode::RUSR);
            rustix::fs::mknodat(root, "null", kind, mode, rustix::fs::makedev(1, 3)).ok()?;
            Some(String::new())
        }),
        ("opening without restrictions", |root| {
            rustix::fs::openat(root, "d", OFlags::RDONLY, Mode::empty()).ok().map(|_| String::new())
        }),
    ];
    for (name, attempt) in killed {
        let (client, _, pid) = start(&folder.join("root"), Some(attempt));
        let status = end(client, pid);
        assert_eq!(status.terminating_signal(), Some(31), "{name}: {status:?}");
    }
}

/// Reads a file the way that is left: `openat2`, here without its restrictions.
fn read_at(directory: BorrowedFd<'_>, path: &str) -> Option<String> {
    let resolve = rustix::fs::ResolveFlags::empty();
    rustix::fs::openat2(directory, path, OFlags::RDONLY, Mode::empty(), resolve).ok()?;
    Some(path.to_owned())
}

fn main() {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("left out: a broker needs root");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("root");
    std::fs::create_dir_all(inside.join("d")).unwrap();
    std::fs::write(folder.path().join("secret"), "secret").unwrap();
    let link = |target: &Path, name: &str| {
        std::os::unix::fs::symlink(target, inside.join(name)).unwrap();
    };
    link(&folder.path().join("secret"), "to_secret");
    link(Path::new(".."), "up");
    let node = |name: &str, kind, number| {
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, inside.join(name), kind, mode, number).unwrap();
    };
    node("fifo", rustix::fs::FileType::Fifo, 0);
    node("device", rustix::fs::FileType::CharacterDevice, rustix::fs::makedev(1, 5));
    hostile_requests(folder.path());
    hostile_broker(folder.path());
    println!("the broker's wall holds");
}
