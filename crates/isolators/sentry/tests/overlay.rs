//! Overlays: those that the guest mounts, and the one that keeps what it writes in memory.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should fail")]

mod sandbox;

use sandbox::Sandbox;

/// The same program on the host's overlayfs and on ours.
#[test]
fn overlays_are_what_linux_makes_of_them() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.compile("overlay", &["-static"]);
    let inside = sandbox.run(&["/bin/overlay"]);
    let host = sandbox.run_on_host(&["/bin/overlay"]);
    inside.assert_like(&host, "overlay");
}

/// Names of one file below are files of their own in an overlay that is written; and a file
/// stays the same to who executes, locks or watches it, when it is copied up.
#[test]
fn what_is_used_stays_so_when_it_is_copied_up() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.compile("overlay_uses", &["-static"]);
    let inside = sandbox.run(&["/bin/overlay_uses"]);
    let host = sandbox.run_on_host(&["/bin/overlay_uses"]);
    inside.assert_like(&host, "overlay_uses");
}

/// As Linux 6.18 says, where nobody makes a user namespace in a changed root.
#[test]
fn an_overlay_shows_its_maker_nothing_new() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.compile("overlay_maker", &["-static"]);
    let ended = sandbox.run(&["/bin/overlay_maker"]);
    let expected = "/tmp/e:/tmp/open: made\n/tmp/m/f: open\n\
                    /tmp/m/locked/f: Permission denied\n/tmp/m/locked: 0 Permission denied\n\
                    /tmp/below:/tmp/e: Invalid argument\n\
                    /tmp/m/hidden/f: No such file or directory\n\
                    /tmp/open:/tmp/e: made\n/tmp/m/locked/f: Permission denied\ndone\n";
    assert_eq!((ended.stdout.as_str(), ended.code), (expected, 0), "{}", ended.stderr);
}

const MEMORY: [&str; 2] = ["--overlay2", "root:memory"];

/// Programs that make, change and watch files say the same where all of it stays in memory.
#[test]
fn programs_see_no_difference_in_memory() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    for name in ["files", "names", "watches", "locks", "races"] {
        sandbox.compile(name, &["-static", "-pthread"]);
        let path = format!("/bin/{name}");
        let mut inside = sandbox.run_with(&MEMORY, &[&path]);
        // As on Linux's tmpfs: what is written by a mapping sets no time.
        inside.stdout = inside.stdout.replace("write seen 0", "write seen 1");
        let host = sandbox.run_on_host(&[&path]);
        assert_eq!(inside, host, "{name}");
        assert!(inside.stdout.ends_with("done\n"), "{name}: {inside:?}");
    }
}

#[test]
fn what_is_written_in_memory_is_not_on_the_host() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    let volume = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(sandbox.path("etc/app/deep")).unwrap();
    std::fs::write(sandbox.path("etc/app/deep/f"), "deep").unwrap();
    std::fs::write(sandbox.path("etc/text"), "old").unwrap();
    std::fs::write(volume.path().join("v"), "volume").unwrap();
    let mount = format!("type=bind,src={},dst=/data", volume.path().display());
    let script = "echo new >/etc/text; cat /etc/text; mv /etc/app /etc/moved; ls /etc; \
                  cat /etc/moved/deep/f; echo; echo more >/etc/moved/deep/g; ls /etc/moved/deep; \
                  mkdir /etc/app; ls /etc/app; rm -r /etc/moved; ls /etc; rm /bin/vi; \
                  echo x >/data/x; cp /bin/busybox /tmp/true; /tmp/true && echo ran; \
                  stat -f -c %t /; grep -c ' / overlay ' /proc/mounts";
    let expected = "new\nmoved\ntext\ndeep\nf\ng\napp\ntext\nran\n794c7630\n1\n";
    for (overlay, on_host) in [("root:memory", true), ("all:memory", false)] {
        let options = ["--mount", &mount, "--overlay2", overlay];
        let ended = sandbox.run_with(&options, &["/bin/sh", "-c", script]);
        assert_eq!((ended.stdout.as_str(), ended.code), (expected, 0), "{overlay}: {ended:?}");
        let read = |path: &str| std::fs::read_to_string(sandbox.path(path)).unwrap();
        assert_eq!((read("etc/text"), read("etc/app/deep/f")), ("old".into(), "deep".into()));
        assert!(
            sandbox.path("bin/vi").symlink_metadata().is_ok() && !sandbox.path("tmp/true").exists()
        );
        assert!(!sandbox.path("etc/moved").exists() && !sandbox.path("data").exists());
        assert_eq!(volume.path().join("x").exists(), on_host, "{overlay}");
        let _ = std::fs::remove_file(volume.path().join("x"));
    }
    let ended = sandbox.run_with(&["--overlay2", "root:disk"], &["/bin/true"]);
    assert!(ended.code == 2 && ended.stderr.contains("root:disk"), "{ended:?}");
}

/// What a guest writes there is bounded by the file system's room, and threads that change one
/// place at once leave it whole.
#[test]
fn an_overlay_withstands_its_guest() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    std::fs::create_dir_all(sandbox.path("etc/many")).unwrap();
    for number in 0..30 {
        std::fs::write(sandbox.path(&format!("etc/many/{number}")), "lower").unwrap();
    }
    let script = "cd /etc/many; for w in 1 2 3 4; do (for i in $(seq 0 29); do \
                  echo $w >>$i; mv $i moved-$i 2>/dev/null; mv moved-$i $i 2>/dev/null; \
                  done; ls >/dev/null) 2>/dev/null & done; wait; ls | wc -l; \
                  for w in 1 2 3 4; do (rm -f * 2>/dev/null) & done; wait; ls | wc -l; cd /; rmdir /etc/many; \
                  d=/tmp/d; mkdir $d; cd $d; i=0; while [ $i -lt 150 ]; do mkdir d && cd d; \
                  i=$((i+1)); done; rm -r $d; ls /tmp; \
                  mkdir /tmp/u /tmp/w /tmp/m /tmp/small && mount -t tmpfs -o size=64k t /tmp/small && \
                  mkdir /tmp/small/u /tmp/small/w && \
                  mount -t overlay -o lowerdir=/bin,upperdir=/tmp/small/u,workdir=/tmp/small/w o /tmp/m && \
                  echo x >>/tmp/m/busybox; echo $?; cmp /tmp/m/busybox /bin/busybox && echo whole; \
                  ls /tmp/small/u";
    let expected = "30\n0\n1\nwhole\n";
    let ended = sandbox.run_with(&MEMORY, &["/bin/sh", "-c", script]);
    assert_eq!(ended.stdout, expected, "{ended:?}");
}

/// Files in memory that are not small have a descriptor each, which a sandbox has few of.
#[test]
fn many_files_need_not_as_many_descriptors() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    let script = "cd /tmp; v=$(head -c 70000 /dev/zero | tr '\\0' x); \
                  for i in $(seq 350); do echo $v >z$i; done; ls | wc -l; cat z* | wc -c; \
                  cp z350 y && cmp z350 y && echo same";
    let limited = "ulimit -n 200; exec \"$@\"";
    let mut command = std::process::Command::new("/bin/sh");
    command.args(["-c", limited, "sh", env!("CARGO_BIN_EXE_caisson-sentry"), "do"]);
    command.args(MEMORY).args(["--env", "PATH=/bin", "--root"]).arg(sandbox.root());
    let ended = sandbox::finish(command.args(["/bin/sh", "-c", script]));
    assert_eq!(ended.stdout, "350\n24500350\nsame\n", "{ended:?}");
}

/// A bind mount of a single file, as engines make of `/etc/hosts`.
#[test]
fn a_file_that_is_a_mount_is_written_in_memory() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("hosts");
    std::fs::write(&file, "old\n").unwrap();
    std::fs::write(sandbox.path("etc/hosts"), "").unwrap();
    let mount = format!("type=bind,src={},dst=/etc/hosts", file.display());
    let script = "echo new >>/etc/hosts; cat /etc/hosts; chmod 600 /etc/hosts; \
                  stat -c '%a %h' /etc/hosts; echo short >/etc/hosts; cat /etc/hosts";
    let options = ["--mount", &mount, "--overlay2", "all:memory"];
    let ended = sandbox.run_with(&options, &["/bin/sh", "-c", script]);
    assert_eq!(ended.stdout, "old\nnew\n600 1\nshort\n", "{ended:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "old\n");
}

/// Files of two lower layers are different ones, whatever their numbers; and a layer may be
/// above the place where the overlay is mounted, when names are forgotten, too.
#[test]
fn layers_are_told_apart_and_may_be_anywhere() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    let script = "cd /tmp; mkdir one two; mount -t tmpfs t one; mount -t tmpfs t two; \
                  echo a >one/a; echo b >two/b; mkdir up; mount -t tmpfs t up; \
                  mkdir up/u up/w m; \
                  mount -t overlay -o lowerdir=one:two,upperdir=up/u,workdir=up/w o m; cd m; \
                  test $(stat -c %i a) != $(stat -c %i b) && echo apart; mv a b; ls; cat b; \
                  mkdir -p /tmp/top/m /tmp/side; echo x >/tmp/top/f; \
                  mount -t overlay -o lowerdir=/tmp/top:/tmp/side o /tmp/top/m; cat /tmp/top/m/f; \
                  mkdir /tmp/many; cd /tmp/many; i=0; while [ $i -lt 40 ]; do mkdir $i; \
                  (cd $i; seq 1000 | xargs touch); i=$((i+1)); done; find / -xdev | wc -l >/dev/null; \
                  find /tmp/top /tmp/many | wc -l; echo end";
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_caisson-sentry"));
    command.args(["do", "--env", "PATH=/bin", "--root"]).arg(sandbox.root());
    let ended = sandbox::finish_within(command.args(["/bin/sh", "-c", script]), 240);
    let expected = "apart\nb\na\nx\n40046\nend\n";
    assert_eq!(ended.stdout, expected, "{ended:?}");
}
