//! A guest that attacks its wall: nothing reaches the host, and only that guest
//! dies.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should fail")]

mod sandbox;

use sandbox::Sandbox;

const SEGMENTATION_FAULT: i32 = 128 + 11;
const TRAP: [i32; 4] = [128 + 4, 128 + 5, 128 + 9, SEGMENTATION_FAULT];

fn hostile_sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.compile("hostile", &["-static", "-pthread"]);
    sandbox
}

/// Runs one way beside a sound process of the same sandbox, which must not
/// notice.
fn attack(sandbox: &Sandbox, way: u32) -> sandbox::Ended {
    let script = format!(
        "(i=0; while [ $i -lt 20 ]; do i=$((i+1)); /bin/true || exit 1; done; echo sound) & \
         hostile {way}; code=$?; wait $! && exit $code"
    );
    let ended = sandbox.run(&["/bin/sh", "-c", &script]);
    let escaped = std::path::Path::new("/caisson-sentry-escaped");
    assert!(!escaped.exists(), "way {way} made a file on the host");
    assert!(ended.stdout.contains("sound"), "way {way}: the other process: {ended:?}");
    let stdout = ended.stdout.lines().filter(|l| *l != "sound").collect::<Vec<_>>().join("\n");
    sandbox::Ended { stdout, ..ended }
}

fn survives(sandbox: &Sandbox, way: u32, says: &str) {
    let ended = attack(sandbox, way);
    assert_eq!((ended.stdout.as_str(), ended.code), (says, 0), "way {way}: {ended:?}");
}

fn dies(sandbox: &Sandbox, way: u32) {
    let ended = attack(sandbox, way);
    assert!(TRAP.contains(&ended.code), "way {way}: {ended:?}");
}

#[test]
fn other_ways_into_the_kernel_are_faults() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = hostile_sandbox();
    for way in [0, 1] {
        let ended = attack(&sandbox, way);
        let known = ended.code == SEGMENTATION_FAULT || ended.code == 128 + 4;
        assert!(known && ended.stdout.is_empty(), "way {way}: {ended:?}");
    }
    survives(&sandbox, 2, "x32 -38\nx32 execve -38");
}

#[test]
fn places_of_the_stub_serve_nobody_else() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = hostile_sandbox();
    for way in 3..=6 {
        dies(&sandbox, way);
    }
    survives(&sandbox, 7, "offsets 200");
    dies(&sandbox, 11);
    survives(&sandbox, 19, "places 1\ncode 1");
    survives(&sandbox, 20, "lost 1\nlost 1\nlost 1\nlost 1");
    let ended = attack(&sandbox, 22);
    assert!(ended.code == 0 && ended.stdout.starts_with("trampolines "), "{ended:?}");
}

#[test]
fn the_stub_can_not_be_changed() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = hostile_sandbox();
    let ended = attack(&sandbox, 8);
    let expected = "munmap -1\nmprotect -1\nmmap -1\nmremap -1\nmadvise -1\nall -1";
    assert_eq!((ended.stdout.as_str(), ended.code), (expected, SEGMENTATION_FAULT), "{ended:?}");
    let ended = attack(&sandbox, 21);
    let expected = "write -1\nprotect -1\nunmap -1";
    assert_eq!((ended.stdout.as_str(), ended.code), (expected, SEGMENTATION_FAULT), "{ended:?}");
    survives(&sandbox, 9, "end -1\nbrk 1");
    survives(&sandbox, 10, "personality 0\nread implies exec -1");
}

#[test]
fn races_end_the_guest_at_worst() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = hostile_sandbox();
    // Its own frames are its own to damage: it may die, or go on.
    attack(&sandbox, 12);
    survives(&sandbox, 13, "raced 3000");
    let ended = attack(&sandbox, 17);
    assert!(ended.code == 0 || TRAP.contains(&ended.code), "{ended:?}");
}

#[test]
fn wild_arguments_are_errors() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = hostile_sandbox();
    survives(&sandbox, 14, "wild 64");
    let all =
        ["ptrace", "seccomp", "bpf", "userfaultfd", "process_vm_readv", "io_uring", "unshare"];
    survives(&sandbox, 15, &all.map(|name| format!("{name} 1")).join("\n"));
    survives(&sandbox, 16, "numbers 3000");
}

#[test]
fn random_calls_end_nobody_else() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = hostile_sandbox();
    survives(&sandbox, 18, "fuzzed 0");
}

/// Sockets in sockets, and arguments by chance.
#[test]
fn sockets_take_what_they_are_given() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.compile("flood", &["-static"]);
    let ended = sandbox.run(&["/bin/flood"]);
    let said = "chain ends with -109, long 1\nagain 1\nalive\n";
    assert_eq!((ended.stdout.as_str(), ended.code), (said, 0), "{ended:?}");
}

/// By programs that a user may execute, but not read, or that are set-id, he gets at nothing
/// that he could not get at otherwise; nor by what processes of others have open.
#[test]
fn programs_of_others_stay_theirs() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    for name in ["snoop", "gains"] {
        sandbox.compile(name, &["-static"]);
    }
    let ended = sandbox.run(&["/bin/snoop"]);
    let nothing = "  read EPERM 0 write EPERM mem EACCES maps EACCES environ EACCES fd EACCES \
                   exe EACCES attach EPERM";
    for what in ["/tmp/hidden 1", "/tmp/setuid 0", "/tmp/both 0", "/tmp/both 1", "of root"] {
        let seen = ended.stdout.lines().skip_while(|line| *line != what).nth(1);
        assert_eq!(seen, Some(nothing), "{what}: {ended:?}");
    }
    for line in
        ["traced /tmp/setuid: peek ok 1 poke ok user 1000", "traced /tmp/both: peek EIO 0 poke EIO"]
    {
        assert!(ended.stdout.lines().any(|said| said == line), "{line}: {ended:?}");
    }
    let ended = sandbox.run(&["/bin/gains"]);
    assert!(ended.stdout.lines().any(|line| line == "late 0"), "{ended:?}");
}

/// What a process becomes by executing a set-id program is not for its other threads' calls,
/// nor for a program that another thread executes at the same time.
#[test]
fn threads_of_before_have_nothing_of_a_set_id_program() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.compile("usurp", &["-static", "-pthread"]);
    let ended = sandbox.run(&["/bin/usurp", "100"]);
    let races = ["names", "ids", "files", "threads"].map(|way| format!("{way}: bad 0 made 0\n"));
    let expected = format!("{}two: bad 0\ndone\n", races.concat());
    assert_eq!((ended.stdout, ended.code), (expected, 0), "{}", ended.stderr);
}

/// A guest can have any desk say anything at any time: what comes of it is its own.
#[test]
fn desks_that_lie_harm_nobody_else() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.compile("posts", &["-static", "-pthread"]);
    let ended = sandbox.run(&["/bin/posts", "forge"]);
    assert_eq!((ended.stdout.as_str(), ended.code), ("made 0\nalive 0\ndone\n", 0), "{ended:?}");
}

/// A thread that posts its calls has none served with what another one's program gives.
#[test]
fn posted_calls_of_before_have_nothing_of_a_set_id_program() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.compile("posts", &["-static", "-pthread"]);
    std::fs::copy(sandbox.path("bin/posts"), sandbox.path("bin/gains")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o4755);
    std::fs::set_permissions(sandbox.path("bin/gains"), mode).unwrap();
    let ended = sandbox.run(&["/bin/posts", "gain", "/bin/gains"]);
    assert_eq!(
        (ended.stdout.as_str(), ended.code),
        ("executed 20\nseen 0\ndone\n", 0),
        "{ended:?}"
    );
}

/// What a guest does to a tracee's call, or with more children than a process has places,
/// keeps nobody from going on.
#[test]
fn the_kernel_goes_on() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.compile("wedge", &["-static", "-pthread"]);
    for (what, says) in [("scribbled", "killed\n"), ("vforks", "vforked\n")] {
        let ended = sandbox.run(&["/bin/wedge", what]);
        assert_eq!((ended.stdout.as_str(), ended.code), (says, 0), "{what}: {}", ended.stderr);
    }
}
