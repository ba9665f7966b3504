//! The same programs on the host and inside: what they say is the same.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should fail")]

mod sandbox;

use sandbox::Sandbox;

fn same(sandbox: &Sandbox, script: &str) {
    let words = ["/bin/sh", "-c", script];
    let inside = sandbox.run(&words);
    let host = sandbox.run_on_host(&words);
    assert_eq!(inside, host, "{script}");
    assert!(!inside.stdout.is_empty(), "{script}: says nothing");
}

#[test]
fn scripts_say_what_they_say_on_the_host() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    for script in [
        "echo one; echo two >&2; exit 3",
        "for i in 1 2 3; do echo $i; done | grep -v 2 | wc -l",
        "x=$(seq 1 2000 | tail -n 1); echo $x; seq 1 100000 | md5sum",
        "sh -c 'kill -9 $$'; echo $?; sh -c 'kill -TERM $$'; echo $?; (exit 7); echo $?",
        "trap 'echo usr1' USR1; kill -USR1 $$; trap - USR1; trap 'echo bye' EXIT",
        "trap '' TERM; sh -c 'kill -TERM $$; echo alive'",
        "sleep 0.05 & wait $!; echo $?; (sleep 30 & kill $!; wait $!; echo $?) 2>/dev/null",
        "mkdir -p /tmp/a/b && cd /tmp/a/b && echo text >f && ln -s f l && cat l && \
         mv f ../g && ls -l .. | wc -l && cat l; pwd; cd / && rm -r /tmp/a; ls /tmp",
        "cd /tmp && umask 027 && mkdir d && : >d/f && stat -c '%a %u %F' d d/f && chmod 4711 d/f && \
         stat -c %a d/f && ln d/f h && stat -c %h h && rm -r d h",
        // The host's cat shares the file's pages with the pipe, so the file stays as it is.
        "cd /tmp && echo abc >x && echo def >>x && cat x && dd if=x bs=2 skip=1 count=2 2>/dev/null && \
         cp x y && cmp x y && cp x z && truncate -s 3 z && cat z && touch -d @86400 x && \
         stat -c %Y x && rm x y z",
        "cat /none; cd /none; ls /bin/none; mkdir /tmp/x/y; rmdir /bin; rm /proc; echo $?",
        "find /bin -type l | sort | head -n 5; find / -maxdepth 1 -name 'b*'",
        "echo $$; cat /proc/self/comm; tr '\\0' ' ' </proc/self/cmdline; readlink /proc/self/exe",
        "echo text | cat /dev/stdin; echo x >/dev/null; head -c 8 /dev/zero | od -c; \
         head -c 100 /dev/urandom | wc -c; echo x >/dev/full; echo $?",
        "printf 'b\\na\\nc\\n' | sort | tr a-z A-Z; echo 'a b c' | awk '{print $2}'; expr 6 \\* 7",
        "(echo in; cat /dev/fd/3) 3</bin/../etc/none || echo no; exec 4>&1; echo four >&4",
        "printf '#!/bin/sh -e\\necho script $0 $1\\n' >/tmp/s && chmod +x /tmp/s && /tmp/s arg; rm /tmp/s",
        "i=0; while [ $i -lt 30 ]; do i=$((i+1)); (exit $i) & done; wait; echo all",
        "tar cf - /bin/sh /bin/ls 2>/dev/null | tar tf - ; echo abc | gzip | gunzip",
        "yes | head -n 3; echo $?; id -u; id -g; uname -s -m",
    ] {
        same(&sandbox, script);
    }
}

fn same_program(sandbox: &Sandbox, name: &str) {
    sandbox.compile(name, &["-static", "-pthread"]);
    let path = format!("/bin/{name}");
    let inside = sandbox.run(&[&path]);
    let host = sandbox.run_on_host(&[&path]);
    inside.assert_like(&host, name);
}

/// Programs of this folder, which print what they saw.
#[test]
fn compiled_programs_see_the_same() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    for name in [
        "arguments",
        "direct",
        "clocks",
        "events",
        "nested",
        "packets",
        "pages",
        "files",
        "flags",
        "leavers",
        "notify",
        "watches",
        "futexes",
        "hugepages",
        "locks",
        "loops",
        "mappings",
        "memory",
        "refused",
        "refiled",
        "resident",
        "rights",
        "seen",
        "stack",
        "names",
        "processes",
        "promised",
        "races",
        "signals",
        "sites",
        "threads",
        "unreadable",
        "waits",
    ] {
        same_program(&sandbox, name);
    }
}

/// What is killed at whatever it does leaves nothing behind.
#[test]
fn ends_leave_nothing() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.compile("ends", &["-static", "-pthread"]);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_caisson-sentry"));
    command.args(["do", "--root"]).arg(sandbox.root()).arg("/bin/ends");
    let ended = sandbox::finish_within(&mut command, 180);
    // What it says on the host.
    let expected = "forking: bad 0\nexecuting: bad 0\nthreads: bad 0\nlocks: bad 0\nchain 1\n\
                    continued: bad 0\nstopped: bad 0\nelsewhere 1\ninherited -10\nheld: bad 0\ndone\n";
    assert_eq!((ended.stdout.as_str(), ended.code), (expected, 0), "{ended:?}");
}

/// Programs that can be anywhere are where their parts are aligned as they say.
#[test]
fn programs_are_aligned() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.compile("aligned", &["-static-pie", "-fPIE", "-Wl,-z,max-page-size=0x200000"]);
    for _ in 0..4 {
        let (inside, host) =
            (sandbox.run(&["/bin/aligned"]), sandbox.run_on_host(&["/bin/aligned"]));
        assert_eq!(inside, host);
        assert_eq!(inside.stdout, "aligned 1\n", "{inside:?}");
    }
}

/// Where things are is left to chance as far as on Linux.
#[test]
fn places_are_random() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.compile("places", &["-static-pie", "-fPIE"]);
    let (inside, host) = (sandbox.run(&["/bin/places"]), sandbox.run_on_host(&["/bin/places"]));
    assert_eq!(inside, host);
    assert!(inside.stdout.ends_with("done\n"), "{inside:?}");
}

/// Where a call is made often, it is made without a call.
#[test]
fn call_sites_are_rewritten() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.compile("sites", &["-static", "-pthread"]);
    let ended = sandbox.run(&["/bin/sites", "x"]);
    // Where the host lets programs set base registers: HWCAP2_FSGSBASE.
    let words = std::fs::read("/proc/self/auxv").unwrap();
    let words: Vec<u64> =
        words.chunks_exact(8).map(|w| u64::from_ne_bytes(w.try_into().unwrap())).collect();
    let possible = words.chunks_exact(2).any(|pair| pair[0] == 26 && pair[1] & 2 != 0);
    let site = if possible { 0xe9 } else { 0xb8 };
    assert_eq!(ended.stdout, format!("ids 0\nsite {site}\ncall 1\n"), "{ended:?}");
}

/// Where calls are made quickly, a processor that has nothing to do serves them without a
/// switch.
#[test]
fn quick_calls_are_posted() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    let names = ["posts", "posted", "posted_changes", "rooms", "remaps"];
    names.iter().for_each(|name| same_program(&sandbox, name));
    if std::thread::available_parallelism().is_ok_and(|count| count.get() < 2) {
        eprintln!("left out: there is one processor");
        return;
    }
    let ended = sandbox.run(&["/bin/posts", "seen"]);
    assert_eq!(ended.stdout, "posted 1\nlocks posted 1\ndone\n", "{ended:?}");
}

/// UNIX sockets, TCP and UDP.
#[test]
fn sockets_behave_the_same() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    for name in [
        "unix",
        "inet",
        "endings",
        "interfaces",
        "icmp",
        "undelivered",
        "epolls",
        "ports",
        "urgent",
        "outofband",
        "addrform",
        "sockopts",
        "tcpinfo",
    ] {
        same_program(&sandbox, name);
    }
}

/// Time, jobs, terminals, limits, System V IPC, message queues.
#[test]
fn tasks_are_governed_the_same() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    for name in [
        "running",
        "threadclocks",
        "timers",
        "jobs",
        "terminals",
        "limits",
        "sysv",
        "queues",
        "identity",
        "gains",
        "tracing",
        "emulation",
        "filters",
        "notices",
        "aio",
        "siblings",
        "stacks",
    ] {
        same_program(&sandbox, name);
    }
}

/// Namespaces of a process's own, and mounts by descriptor.
#[test]
fn namespaces_are_the_same() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    for name in [
        "namespaces",
        "handles",
        "networks",
        "administers",
        "shares",
        "nsfs",
        "nsbind",
        "settid",
        "inuse",
        "propagation",
        "prctl",
        "ipcs",
        "orphans",
        "pids",
        "joins",
        "mountapi",
    ] {
        sandbox.compile(name, &["-static", "-pthread"]);
        let words = [&*format!("/bin/{name}")];
        let (inside, host) = (sandbox.run(&words), sandbox.run_on_host_as_root(&words));
        assert_eq!(inside, host, "{name}");
        assert!(inside.stdout.ends_with("done\n"), "{inside:?}");
    }
}

/// With a root that is that of a mount namespace.
fn same_as_root(name: &str) {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.compile(name, &["-static", "-pthread"]);
    let words = [&*format!("/bin/{name}")];
    let (inside, host) = (sandbox.run(&words), sandbox.run_on_host_as_root(&words));
    let differ = |(_, (inside, host)): &(usize, (&str, &str))| inside != host;
    let lines = inside.stdout.lines().zip(host.stdout.lines()).enumerate();
    let other: Vec<_> = lines.filter(differ).collect();
    assert!(other.is_empty(), "{name}: line, inside, on the host: {other:#?}");
    assert_eq!(inside, host);
    assert!(inside.stdout.ends_with("done\n"), "{inside:?}");
}

/// What programs call their memory, of which not every host's kernel knows.
#[test]
fn memory_has_names() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.compile("labels", &["-static"]);
    let ended = sandbox.run(&["/bin/labels"]);
    assert_eq!(ended.stdout, include_str!("programs/labels.txt"), "{ended:?}");
}

/// Links of procfs lead to what is open, not to what is at its path.
#[test]
fn open_directories_are_gone_through() {
    same_as_root("through");
}

/// Room of a file system in memory, for content, names and attributes.
#[test]
fn room_of_files_is_counted_the_same() {
    same_as_root("booking");
}

/// Whose locks of files are, across fork and exec, who waits for whom, and who sees them.
#[test]
fn locks_of_files_are_the_same() {
    same_as_root("filelocks");
    same_as_root("lockers");
}

/// What is executed is not written, and the other way round: by descriptors, mappings, programs.
#[test]
fn programs_and_writers_keep_each_other_away() {
    same_as_root("busy");
}

/// Who has a lease of a file, who is told of its end, and who waits for that.
#[test]
fn leases_of_files_are_the_same() {
    if !sandbox::possible() {
        return;
    }
    same_as_root("leases");
    // How long an owner has is the host's setting there.
    let sandbox = Sandbox::new();
    sandbox.compile("leases", &["-static", "-pthread"]);
    let expected = "45\n-22 2 1\n SIGIO code 128 band 0 fd 0 waits 1 S then 0 in time 1 left 0 owner 1\n \
                    SIGIO code 128 band 0 fd 0 waits 1 S then 0 in time 1 left 2 owner 0\n";
    assert_eq!(sandbox.run(&["/bin/leases", "time"]).stdout, expected);
}

/// Attributes and seals of what has no name; programs that are executed by descriptor.
#[test]
fn files_without_names_are_the_same() {
    same_as_root("nameless");
}

/// Renames that leave a mark, links to links, what statx(2) tells, sizes of pipes.
#[test]
fn names_and_what_is_told_of_them_are_the_same() {
    same_as_root("renames");
}

/// What is written reaches the host's disk.
#[test]
fn what_is_synced_is_on_the_disk() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.compile("syncs", &["-static"]);
    let [inside, host] = [true, false].map(|inside| {
        let words = ["/bin/syncs", "errors"];
        if inside { sandbox.run(&words) } else { sandbox.run_on_host(&words) }
    });
    assert_eq!(inside, host);
    // Bytes of the file that are in memory only, of so many at its beginning.
    let left = |how: &str, length: &str| {
        let ended = sandbox.run(&["/bin/syncs", how]);
        assert!(ended.stdout.ends_with("done\n"), "{how}: {ended:?}");
        let program = sandbox.path("bin/syncs");
        let look = std::process::Command::new(program)
            .arg(sandbox.path("tmp/f"))
            .arg(length)
            .output()
            .unwrap();
        String::from_utf8_lossy(&look.stdout).trim().parse::<u64>().ok()
    };
    if left("nothing", "1048576").is_none_or(|pages| pages == 0) {
        eprintln!("left out: nothing tells what this file system has still to write");
        return;
    }
    for (how, length) in [
        ("sync", "1048576"),
        ("syncfs", "1048576"),
        ("fifo", "1048576"),
        ("fsync", "1048576"),
        ("range", "524288"),
    ] {
        assert_eq!(left(how, length), Some(0), "{how}");
    }
}

/// Copies keep what is not taken, writes are whole, links to what is open are places.
#[test]
fn copies_and_places_are_the_same() {
    same_as_root("copies");
}

/// Which error is told, what is left of a time, what a pipe takes of memory.
#[test]
fn trifles_are_the_same() {
    same_as_root("trifles");
}

/// How many signals wait for a user, whoever of his processes they are for.
#[test]
fn signals_that_wait_are_counted_the_same() {
    same_as_root("queued");
}

/// What of a process is nobody else's business.
#[test]
fn processes_are_as_private() {
    for name in ["private", "snoop"] {
        same_as_root(name);
    }
}

/// Limits of memory, and what is told of it; attributes of tasks.
#[test]
fn memory_is_limited_the_same() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    for name in ["room", "attributes", "advice", "told", "locked"] {
        same_program(&sandbox, name);
    }
}

/// Dynamic programs of the host's own root file system; `make test-sentry` runs it.
#[test]
#[ignore = "takes long: make test-sentry"]
fn programs_of_the_host_run_inside() {
    if !sandbox::possible() {
        return;
    }
    let scratch = Sandbox::new();
    let source = "#include <stdio.h>\nint main(void) { puts(\"compiled\"); }\n";
    std::fs::write(scratch.path("tmp/a.c"), source).unwrap();
    let place = scratch.path("tmp");
    let place = place.to_str().unwrap();
    for (program, text) in [
        (
            "bash",
            "for i in {1..3}; do echo $i; done | sort -r; cat <(echo sub); echo ${BASHPID:+set}",
        ),
        ("bash", &*format!("cd {place} && gcc -O1 a.c -o a.out && ./a.out && rm a.out")),
        (
            "bash",
            "find /usr/share/doc -name copyright | sort | sha256sum; tar cf - /etc/alternatives 2>&1 | wc -c",
        ),
        (
            "bash",
            &*format!(
                "cd {place} && git init -q g && cd g && git -c user.name=a -c user.email=b commit -q \
             --allow-empty -m one && git log --format=%s && git gc -q && git fsck; cd .. && rm -rf g"
            ),
        ),
        (
            "python3",
            "import threading, subprocess\nl = []\nt = [threading.Thread(target=l.append, args=(i,)) for i in range(20)]\n\
                     [x.start() for x in t]; [x.join() for x in t]\nprint(sorted(l))\n\
                     print(subprocess.run(['echo', 'x'], capture_output=True).stdout)",
        ),
    ] {
        let inside = sandbox::run_in(
            std::path::Path::new("/"),
            &[&format!("/usr/bin/{program}"), "-c", text],
        );
        let host = sandbox::run_plain(&[program, "-c", text]);
        assert_eq!(inside, host, "{program}: {text}");
        assert!(!inside.stdout.is_empty(), "{text}: says nothing");
    }
}

/// It is another kernel, and says so.
#[test]
fn the_kernel_is_our_own() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    let ended = sandbox.run(&["/bin/sh", "-c", "uname -r; dmesg | grep -c Caisson"]);
    assert_eq!((ended.stdout.as_str(), ended.code), ("6.1.0-caisson\n2\n", 0), "{ended:?}");
    let none = sandbox.run(&["/bin/none"]);
    assert_eq!(none.code, 127);
    assert!(none.stderr.contains("execute /bin/none in the sandbox: No such file"), "{none:?}");
}
