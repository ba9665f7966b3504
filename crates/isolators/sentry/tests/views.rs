//! Files that are read again and again, whose content threads copy themselves.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should fail")]

mod sandbox;

use sandbox::Sandbox;

fn sandbox() -> Option<Sandbox> {
    if !sandbox::possible() {
        return None;
    }
    let sandbox = Sandbox::new();
    sandbox.compile("inview", &["-static", "-pthread"]);
    Some(sandbox)
}

/// Whatever happens to the file, its position, its descriptors and where it is read to.
#[test]
fn what_is_read_again_and_again_is_the_same() {
    let Some(sandbox) = sandbox() else { return };
    let inside = sandbox.run(&["/bin/inview"]);
    let host = sandbox.run_on_host(&["/bin/inview"]);
    inside.assert_like(&host, "inview");
}

/// That is copied by the reader from where the file is mapped, which nobody else sees and which
/// goes with the descriptor.
#[test]
fn readers_copy_what_they_have_in_view() {
    let Some(sandbox) = sandbox() else { return };
    if std::thread::available_parallelism().is_ok_and(|count| count.get() < 2) {
        eprintln!("left out: there is one processor");
        return;
    }
    for file in ["/tmp/file", "/dev/shm/file"] {
        let ended = sandbox.run(&["/bin/inview", "seen", file]);
        let expected = "wrong 0\ncopied 1\nin view 1\nin a child's 0\nmmap -1\nmprotect -1\n\
                        munmap -1\nwritten -1\nin maps 0\nin view 1\nclosed 10\nclosed 10\nin view 0\n\
                        done\n";
        assert_eq!(ended.stdout, expected, "{file}: {ended:?}");
    }
}

/// A guest can have any desk say anything about what its threads are to copy: what comes of it
/// is its own.
#[test]
fn lies_about_what_is_in_view_harm_nobody_else() {
    let Some(sandbox) = sandbox() else { return };
    let ended = sandbox.run(&["/bin/inview", "forge", "/tmp/file"]);
    assert_eq!((ended.stdout.as_str(), ended.code), ("unharmed 0\ndone\n", 0), "{ended:?}");
}
