//! What is mounted in a sandbox, and what the guest mounts itself.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on should fail")]

mod sandbox;

use sandbox::{Ended, Sandbox};

fn run(sandbox: &Sandbox, options: &[&str], script: &str) -> Ended {
    sandbox.run_with(options, &["/bin/sh", "-c", script])
}

fn says(sandbox: &Sandbox, options: &[&str], script: &str, expected: &str) {
    let ended = run(sandbox, options, script);
    assert_eq!((ended.stdout.as_str(), ended.code), (expected, 0), "{script}: {ended:?}");
}

#[test]
fn a_bind_is_the_hosts_folder_itself() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    let volume = tempfile::tempdir().unwrap();
    std::fs::write(volume.path().join("from-host"), "host\n").unwrap();
    let at = volume.path().to_str().unwrap();
    let both = [
        "--mount",
        &format!("type=bind,src={at},dst=/data"),
        "--mount",
        &format!("type=bind,src={at},dst=/ro/deep,options=ro:noexec"),
    ];
    // Two mounts of one folder see each other's changes at once; the second is not written.
    let script = "cat /data/from-host; echo guest >/data/g; cat /ro/deep/g; rm /data/g; \
                  cat /ro/deep/g 2>&1; (echo x >/ro/deep/x) 2>&1; ls /; \
                  cp /bin/busybox /data/true; /data/true && /ro/deep/true; echo $?";
    let expected = "host\nguest\ncat: can't open '/ro/deep/g': No such file or directory\n\
                    /bin/sh: can't create /ro/deep/x: Read-only file system\n\
                    bin\ndata\ndev\netc\nproc\nro\nsys\ntmp\n126\n";
    let ended = run(&sandbox, &both, script);
    assert_eq!(ended.stdout, expected, "{ended:?}");
    // What the host changes meanwhile is seen, whatever was looked at before.
    let script = "ls /data >/dev/null; cat /data/later 2>/dev/null; echo up >/data/up.new; \
                  mv /data/up.new /data/up; until cat /data/later 2>/dev/null; do sleep 0.02; done";
    let waiting = std::thread::spawn({
        let place = volume.path().to_owned();
        move || {
            while !place.join("up").exists() {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            std::fs::write(place.join("later.new"), "later\n").unwrap();
            std::fs::rename(place.join("later.new"), place.join("later")).unwrap();
        }
    });
    says(&sandbox, &both, script, "later\n");
    waiting.join().unwrap();
}

#[test]
fn what_holds_a_mount_is_not_taken_away() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    let volume = tempfile::tempdir().unwrap();
    std::fs::write(volume.path().join("f"), "volume\n").unwrap();
    std::fs::create_dir_all(sandbox.path("app")).unwrap();
    let mount = format!("type=bind,src={},dst=/app/deep/data", volume.path().display());
    // The host's folder is empty: the names on the way to the volume are ours.
    let script = "rmdir /app 2>/dev/null; echo $?; cat /app/deep/data/f; mkdir /other; \
                  mv -T /other /app 2>/dev/null; echo $?; cat /app/deep/data/f; ls /app /";
    let expected = "1\nvolume\n1\nvolume\n/:\napp\nbin\ndev\netc\nother\nproc\nsys\ntmp\n\n\
                    /app:\ndeep\n";
    for options in [&["--mount", &mount][..], &["--mount", &mount, "--overlay2", "root:memory"]] {
        says(&sandbox, options, script, expected);
        let _ = std::fs::remove_dir(sandbox.path("other"));
    }
}

/// The guest asks, the host changes, the guest asks again: once, if it is to see it `at_once`,
/// else until it sees it.
fn in_turns(sandbox: &Sandbox, options: &[&str], at: &std::path::Path, at_once: bool) {
    let tries = if at_once { 1 } else { 600 };
    let mut script = String::new();
    for (number, (question, _)) in CHANGES.iter().enumerate() {
        script.push_str(&format!(
            "until test -e /turns/{number}; do ({question}) >/dev/null 2>&1; sleep 0.02; done; \
             wanted=$(cat /turns/{number}); i=0; until test \"$({question})\" = \"$wanted\"; do \
             i=$((i+1)); test $i -lt {tries} || {{ echo {number}; {question}; exit 9; }}; \
             sleep 0.05; done; echo done >/turns/n; mv /turns/n /turns/{number}.seen; "
        ));
    }
    let turns = tempfile::tempdir().unwrap();
    let mount = format!("type=bind,src={},dst=/turns", turns.path().display());
    let mut all = options.to_vec();
    all.extend(["--mount", &mount]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for (number, (_, change)) in CHANGES.iter().enumerate() {
                let expected = change(at);
                std::fs::write(turns.path().join("next"), expected).unwrap();
                let name = turns.path().join(number.to_string());
                std::fs::rename(turns.path().join("next"), name).unwrap();
                let seen = turns.path().join(format!("{number}.seen"));
                let from = std::time::Instant::now();
                while !seen.exists() && from.elapsed().as_secs() < 140 {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
            }
        });
        says(sandbox, &all, &format!("{script} echo agreed"), "agreed\n");
    });
}

/// What the host does, and what is to be seen then.
type Change = fn(&std::path::Path) -> &'static str;

const CHANGES: [(&str, Change); 8] = [
    ("cat /data/f 2>&1", |at| {
        std::fs::write(at.join("f"), "one").unwrap();
        "one"
    }),
    ("stat -c %s /data/f", |at| {
        std::fs::write(at.join("f"), "longer").unwrap();
        "6"
    }),
    ("cat /data/f", |at| {
        std::fs::write(at.join("g"), "renamed").unwrap();
        std::fs::rename(at.join("g"), at.join("f")).unwrap();
        "renamed"
    }),
    ("ls /data /data/d 2>/dev/null | tr '\\n' ' '", |at| {
        std::fs::create_dir(at.join("d")).unwrap();
        std::fs::write(at.join("d/in"), "").unwrap();
        "/data: d f  /data/d: in "
    }),
    ("stat -c '%a %h' /data/f", |at| {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(at.join("f"), mode).unwrap();
        std::fs::hard_link(at.join("f"), at.join("h")).unwrap();
        "600 2"
    }),
    ("test -e /data/f || echo gone; cat /data/h", |at| {
        std::fs::remove_file(at.join("f")).unwrap();
        "gone\nrenamed"
    }),
    ("ls /data | tr '\\n' ' '; stat -c %h /data/h", |at| {
        std::fs::rename(at.join("d"), at.join("e")).unwrap();
        "e h 1"
    }),
    ("cat /data/d/in /data/e/in 2>/dev/null; test -d /data/d || echo none", |at| {
        std::fs::write(at.join("e/in"), "text").unwrap();
        "textnone"
    }),
];

#[test]
fn what_the_host_changes_is_seen() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    // In a volume at once; in the root, which is the guest's own, soon.
    let volume = tempfile::tempdir().unwrap();
    let mount = format!("type=bind,src={},dst=/data", volume.path().display());
    in_turns(&sandbox, &["--mount", &mount], volume.path(), true);
    std::fs::create_dir(sandbox.path("data")).unwrap();
    in_turns(&sandbox, &[], &sandbox.path("data"), false);
}

#[test]
fn memory_has_limits_and_all_kinds_of_files() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    let small = ["--mount", "type=tmpfs,dst=/small,options=size=64k:mode=700"];
    says(
        &sandbox,
        &small,
        "cd /small; dd if=/dev/zero of=x bs=1k count=100 2>/dev/null; stat -c %s x; rm x; \
         echo again >x; cat x; mkfifo p; (echo fifo >p &); cat p; ln -s x l; cat l; ln x h; \
         stat -c '%h %F %a' x .; mknod n c 1 3; echo gone >n; cat n; mkdir d; mv h d; ls d; \
         rmdir d 2>/dev/null; echo $?; rm -r d; stat -c %h x; \
         cp /bin/busybox /dev/shm/echo && /dev/shm/echo run; cp /bin/busybox y 2>/dev/null; echo $?",
        "65536\nagain\nfifo\nagain\n2 regular file 644\n2 directory 700\nh\n1\n1\nrun\n1\n",
    );
}

#[test]
fn guests_mount_move_and_pivot() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    let script = "mkdir -p /tmp/m/n /tmp/b; mount -t tmpfs -o size=1m me /tmp/m && mkdir /tmp/m/in; \
                  mount -o bind /tmp/m /tmp/b && touch /tmp/b/both; ls /tmp/m; \
                  mount -o remount,ro,bind /tmp/b; touch /tmp/b/x 2>/dev/null || echo ro; \
                  touch /tmp/m/rw; rmdir /tmp/m 2>/dev/null || echo busy; \
                  grep -c ' /tmp/' /proc/mounts; umount /tmp/b; umount /tmp/m; ls /tmp/m; \
                  mount -t ext4 /dev/null /tmp/m 2>/dev/null || echo none; \
                  mount -t tmpfs new /tmp/b; mkdir /tmp/b/old /tmp/b/bin /tmp/b/proc; \
                  cp /bin/busybox /tmp/b/bin/sh; cd /tmp/b; pivot_root . old; \
                  exec /bin/sh -c 'cd /; echo *; echo old/*; test -x /old/bin/busybox && echo there'";
    says(
        &sandbox,
        &[],
        script,
        "both\nin\nro\nbusy\n2\nn\nnone\nbin old proc\n\
         old/bin old/dev old/etc old/proc old/sys old/tmp\nthere\n",
    );
    // An ordinary user mounts nothing.
    let user = ["--user", "1000:1000"];
    says(&sandbox, &user, "mount -t tmpfs x /tmp 2>/dev/null; echo $?", "1\n");
}

#[test]
fn names_of_procfs_are_mounted_on() {
    if !sandbox::possible() {
        return;
    }
    let script = "echo mine >/tmp/f; mkdir /tmp/d; echo in >/tmp/d/x; \
                  mount -o bind /tmp/f /proc/uptime; cat /proc/uptime; \
                  mount -o bind /tmp/d /proc/sys/kernel; cat /proc/sys/kernel/x; \
                  mount -o bind /tmp/f /proc/sys/net/core/somaxconn; \
                  cat /proc/sys/net/core/somaxconn; \
                  unshare -m sh -c 'cat /proc/uptime /proc/sys/kernel/x; umount /proc/uptime; \
                  grep -c mine /proc/uptime'; \
                  grep -c ' /proc/' /proc/mounts; \
                  for at in /proc/uptime /proc/sys/kernel /proc/sys/net/core/somaxconn; do \
                  umount $at; done; grep -c mine /proc/uptime; cat /proc/sys/kernel/ostype; \
                  grep -c mine /proc/sys/net/core/somaxconn; \
                  mount -o bind /tmp/f /proc/self/status 2>/dev/null || echo not there";
    let expected = "mine\nin\nmine\nmine\nin\n0\n3\n0\nLinux\n0\nnot there\n";
    says(&Sandbox::new(), &[], script, expected);
}

#[test]
fn a_read_only_root_takes_no_change() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    let script = "for f in /new /bin/sh /tmp/x; do touch $f 2>/dev/null && echo wrote $f; done; \
                  mkdir /d 2>/dev/null; chmod 700 /bin 2>/dev/null; mv /bin /b 2>/dev/null; \
                  rm /bin/busybox 2>/dev/null; echo x >/dev/shm/y; cat /dev/shm/y";
    says(&sandbox, &["--read-only"], script, "x\n");
    let bad =
        sandbox.run_with(&["--mount", "type=tmpfs,dst=/x,options=frobnicate"], &["/bin/true"]);
    assert!(bad.code == 2 && bad.stderr.contains("`frobnicate` for tmpfs"), "{bad:?}");
    let bad = sandbox.run_with(&["--mount", "type=nfs,dst=/x"], &["/bin/true"]);
    assert!(bad.code == 127 && bad.stderr.contains("`nfs` is not supported"), "{bad:?}");
}

/// What libraries and common programs read.
#[test]
fn procfs_and_sysfs_answer() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    let script = "cd /proc; for f in cpuinfo filesystems loadavg meminfo mounts stat uptime version vmstat \
                  self/cgroup self/cmdline self/environ self/limits self/maps self/mountinfo self/stat \
                  self/statm self/status thread-self/comm self/fdinfo/0 \
                  sys/kernel/hostname sys/kernel/random/uuid sys/vm/overcommit_memory \
                  sys/net/core/somaxconn sys/fs/pipe-max-size sys/kernel/pid_max \
                  /sys/devices/system/cpu/online /sys/kernel/mm/transparent_hugepage/enabled; do \
                  test -n \"$(cat $f | tr -d '\\0')\" || echo $f says nothing; done; \
                  X=found sh -c 'grep -c X=found /proc/self/environ'; readlink self/ns/mnt; \
                  ls sys/kernel | grep -c o; (exec 9</bin/busybox; grep -c flags /proc/self/fdinfo/9); \
                  grep -c ' /proc proc ' self/mounts; echo x 2>/dev/null >sys/kernel/hostname || echo no; \
                  find /proc /sys >/dev/null && echo walked";
    let ended = run(&sandbox, &[], script);
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert!(
        matches!(lines[..], ["1", "mnt:[4026531840]", _, "1", "1", "no", "walked"]),
        "{ended:?}"
    );
}

/// What the processors are, and what they did.
#[test]
fn processors_are_told_of() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    let script = "grep -E '^(vendor_id|model name|cache size)' /proc/cpuinfo; \
                  grep -c ^processor /proc/cpuinfo; grep -cE '^flags.* sse2 ' /proc/cpuinfo; \
                  grep -cE '^flags.* (vmx|svm|pku)( |$)' /proc/cpuinfo";
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    let told = ["vendor_id", "model name", "cache size"];
    let told = |line: &&str| told.iter().any(|name| line.starts_with(name));
    let mut wanted: Vec<&str> = text.lines().filter(told).collect();
    let count = std::thread::available_parallelism().unwrap().get().to_string();
    let all = text.lines().filter(|line| line.starts_with("processor")).count();
    if count != all.to_string() {
        eprintln!("left out: {all} processors, of which {count} are ours");
        return;
    }
    wanted.extend([&*count, &*count, "0"]);
    let ended = run(&sandbox, &[], script);
    assert_eq!(ended.stdout.lines().collect::<Vec<_>>(), wanted, "{ended:?}");
    // Time that is used is in the sum, and that of all is what has passed.
    let script = "used() { sed -n '1s/^cpu  //p' /proc/stat; }; \
                  set -- $(used); before=$(($1 + $3)); i=0; \
                  until set -- $(used); test $(($1 + $3 - before)) -ge 20; do \
                  i=$((i + 1)); test $i -lt 100000 || exit 1; done; \
                  set -- $1 $3 $4 $(sed 's/[.].*//; s/$/ /' /proc/uptime) $(grep -c ^cpu. /proc/stat); \
                  all=$(($1 + $2 + $3)); most=$((($4 + 1) * ($5 - 1) * 100)); \
                  test $all -le $most && test $all -ge $((most / 4)) && echo adds up; \
                  grep -cE '^[0-9]+[.][0-9]{2} .* 1/1 ' /proc/loadavg";
    let ended = run(&sandbox, &[], script);
    assert_eq!(ended.stdout, "adds up\n1\n", "{ended:?}");
}

/// What is known of files has descriptors, of which the host allows only so many.
#[test]
fn few_descriptors_are_enough_for_many_files() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    for folder in 0..15 {
        let folder = sandbox.path(&format!("many/{folder}"));
        std::fs::create_dir_all(&folder).unwrap();
        for file in 0..100 {
            std::fs::write(folder.join(file.to_string()), "x").unwrap();
        }
    }
    let script = "ls -lR /many | grep -c ^-; cat /many/*/* | wc -c; cat /many/*/* | wc -c; \
                  ls -l /bin/busybox | wc -l";
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -n 400; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_caisson-sentry")]);
    command.arg("do").arg("--root").arg(sandbox.root());
    command.args(["--env", "PATH=/bin", "/bin/sh", "-c", script]);
    let ended = sandbox::finish(&mut command);
    assert_eq!(ended.stdout, "1500\n1500\n1500\n1\n", "{}", ended.stderr);
}

/// A devpts that is mounted in a user namespace has the terminals that are made in it.
#[test]
fn terminals_of_others_are_not_in_a_namespace() {
    if !sandbox::possible() {
        return;
    }
    let sandbox = Sandbox::new();
    sandbox.compile("apart", &["-static"]);
    let words = ["/bin/apart"];
    let (inside, host) = (sandbox.run(&words), sandbox.run_on_host_as_root(&words));
    assert_eq!(inside, host);
    assert!(inside.stdout.ends_with("done\n"), "{inside:?}");
}
