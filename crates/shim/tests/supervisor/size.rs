//! What a supervisor costs.

use std::fs;
use std::time::{Duration, Instant};

use caisson_shim::client::ExecStdio;

use super::exec::process;
use crate::needs_root;
use crate::pod::{PATIENCE, Pod};

fn field(pid: i32, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn the_supervisor_stays_small() {
    needs_root!();
    let pod = Pod::sleeper();
    let shim = pod.started();
    pod.await_log("up");
    let pid = shim.state().unwrap().shim_pid;
    let show = |when: &str| {
        // It makes itself small when nothing has happened for a second.
        std::thread::sleep(Duration::from_millis(1500));
        let [rss, pss, anonymous] = ["Rss:", "Pss:", "Anonymous:"].map(|name| field(pid, name));
        eprintln!("{when}: RSS {rss} kB, PSS {pss} kB, anonymous {anonymous} kB");
        anonymous
    };
    show("after start");
    let guard = crate::faults::guard_of(pid).unwrap();
    eprintln!("its guard: RSS {} kB, PSS {} kB", field(guard, "Rss:"), field(guard, "Pss:"));
    for _ in 0..100 {
        let started = shim.exec(process(&["true"]), ExecStdio::Null).unwrap();
        shim.wait_exec(started.exec, Some(PATIENCE)).unwrap();
        shim.stats().unwrap();
    }
    let anonymous = show("after 100 execs");
    assert!(anonymous < 1024, "{anonymous} kB of its own");
    let began = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let after = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let cpu = |stat: &str| stat.split(' ').skip(13).take(2).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(cpu(&began), cpu(&after), "it is busy with nothing");
    let began = Instant::now();
    let other = Pod::script("exit 0");
    let launched = other.launched();
    let created = began.elapsed();
    let watch = launched.container().watch_exit().unwrap();
    launched.container().start().unwrap();
    let executed = began.elapsed();
    launched.commit();
    watch.wait(Some(PATIENCE)).unwrap();
    let ended = began.elapsed();
    eprintln!("created after {created:?}, executed after {executed:?}, ended after {ended:?}");
}
