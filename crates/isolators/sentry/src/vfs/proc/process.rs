//! Texts about processes: `/proc/<pid>/<name>`.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::kernel::Kernel;
use crate::mm::{Area, Backing};
use crate::platform::GuestMemory;
use crate::signal;
use crate::task::filter::Guard;
use crate::task::pid_namespace::{Pids, number_of, numbers};
use crate::task::queued::Account;
use crate::task::user_namespace::{Ids, Space, groups_text, map_text};
use crate::task::waiter::lock;
use crate::task::{Credentials, Process};

use super::comm::escaped;
use super::fs_of;
use super::resident::Memory;
use super::state::State;

/// What is there of a range of a process's memory, which it can set as it likes (prctl(2)); no
/// more than a program gets.
fn bytes_at(memory: &GuestMemory, range: Range<u64>) -> Vec<u8> {
    const MOST: u64 = 6 << 20;
    let length = range.end.saturating_sub(range.start).min(MOST);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    let count = memory.read_some(range.start, &mut bytes);
    bytes.truncate(count);
    bytes
}

/// The arguments as they are now; a title, if the program has written one over their end.
fn command_line(memory: &GuestMemory, process: &Process) -> Vec<u8> {
    const MOST_OF_A_TITLE: u64 = 4096;
    let [arguments, variables] = lock(&process.strings).clone();
    let text = bytes_at(memory, arguments.clone());
    if text.last().is_none_or(|last| *last == 0) {
        return text;
    }
    let end = variables.end.min(arguments.start + MOST_OF_A_TITLE);
    let mut title = bytes_at(memory, arguments.start..end);
    if let Some(zero) = title.iter().position(|byte| *byte == 0) {
        title.truncate(zero + 1);
    }
    title
}

/// Signals that wait for a thread, or for its process, those that it holds back, and what is
/// ignored and handled.
fn signals(process: &Process, (waiting, held): (u64, u64)) -> String {
    let account = Account::of_process(process);
    let pending = lock(&process.pending).set();
    let (mut ignored, mut handled) = (0, 0);
    let actions = process.actions();
    let actions = lock(&actions);
    for number in 1..=signal::MAX {
        match actions.get(number).handler {
            0 => {}
            signal::IGNORE => ignored |= signal::bit(number),
            _ => handled |= signal::bit(number),
        }
    }
    format!(
        "SigQ:\t{}/{}\nSigPnd:\t{waiting:016x}\nShdPnd:\t{pending:016x}\n\
         SigBlk:\t{held:016x}\nSigIgn:\t{ignored:016x}\nSigCgt:\t{handled:016x}\n",
        account.count(),
        account.limit()
    )
}

/// What a text says now.
pub(super) fn of_process(
    kernel: &Kernel,
    process: &Process,
    (id, pids): (i32, &Pids),
    reader: &Credentials,
    name: &str,
) -> Vec<u8> {
    let own = lock(&super::name_of(kernel, process, id)).clone();
    let comm = String::from_utf8_lossy(&own).into_owned();
    let row = {
        let tree = lock(&kernel.tree);
        tree.row(process.pid).map(|r| {
            let state = State::of_row(r, id);
            let first = r.threads.get(&id).or_else(|| r.threads.values().next()).cloned();
            (r.parent, r.group, r.session, state, r.threads.len(), first)
        })
    };
    let Some((parent, group, session, state, threads, thread)) = row else { return Vec::new() };
    let seen = |id: i32| number_of(pids, id);
    let inner = |name: &str, id: i32| {
        let numbers = numbers(pids, &process.pids(), id);
        let numbers: String = numbers.iter().map(|number| format!("\t{number}")).collect();
        format!("{name}:{numbers}\n")
    };
    let nested = [("NStgid", process.pid), ("NSpid", id), ("NSpgid", group), ("NSsid", session)];
    let nested: String = nested.into_iter().map(|(name, id)| inner(name, id)).collect();
    let tracer = thread.as_ref().and_then(|thread| thread.tracer()).unwrap_or(0);
    let state = |told: &Memory| {
        let now = thread.as_ref().map(|thread| State::of_thread(thread, told.state));
        match (state, now) {
            (Some(State::Zombie), _) | (_, None) => State::Zombie,
            (_, Some(State::TracingStop)) => State::TracingStop,
            (state, Some(now)) => state.unwrap_or(now),
        }
        .told()
    };
    let guard = thread.as_ref().map_or(Guard::None, |t| lock(&t.guard).clone());
    let credentials = thread.as_ref().map(|t| Arc::clone(&t.credentials));
    let waiting = thread.as_ref().map_or((0, 0), |t| {
        let signals = lock(&t.signals);
        (signals.pending.set(), signals.mask)
    });
    let space = thread.as_ref().map(|t| t.space());
    let memory = || thread.as_ref().map_or_else(Memory::default, |t| Memory::of(kernel, t));
    let (group_leader, pid) = (seen(process.pid), seen(id));
    match name {
        "auxv" => lock(&process.auxiliary).clone(),
        "cmdline" => space.map_or_else(Vec::new, |s| command_line(&s.memory, process)),
        "comm" => [&own[..], b"\n"].concat(),
        "statm" => memory().statm().into_bytes(),
        "smaps" | "smaps_rollup" => space.map_or_else(Vec::new, |space| {
            super::resident::smaps(kernel, &space, name == "smaps_rollup")
        }),
        "stat" => {
            let (tty, foreground) = kernel.terminals.of_session(session).unwrap_or((0, -1));
            let (parent, group, session) = (seen(parent), seen(group), seen(session));
            let foreground = seen(foreground);
            let memory = memory();
            let (state, _) = state(&memory);
            let mut text =
                format!("{pid} ({comm}) {state} {parent} {group} {session} {tty} {foreground} 0");
            let children = lock(&process.accounts).children;
            let ticks = |time: std::time::Duration| time.as_millis() / 10;
            let own = process.usage(kernel);
            let nice = process.nice.load(Ordering::SeqCst);
            // Of the 52 fields, those after flags.
            for field in 10..=52 {
                let _ = match field {
                    14 => write!(text, " {}", ticks(own.user)),
                    15 => write!(text, " {}", ticks(own.system)),
                    16 => write!(text, " {}", ticks(children.user)),
                    17 => write!(text, " {}", ticks(children.system)),
                    18 => write!(text, " {}", 20 + nice),
                    19 => write!(text, " {nice}"),
                    20 => write!(text, " {threads}"),
                    22 => write!(text, " {}", ticks(process.began - kernel.booted)),
                    23 => write!(text, " {}", memory.mapped),
                    24 => write!(text, " {}", memory.pages()),
                    _ => write!(text, " 0"),
                };
            }
            text.push('\n');
            text.into_bytes()
        }
        "status" => {
            let memory = memory();
            let (state, meaning) = state(&memory);
            let name = escaped(&own);
            let own = credentials.unwrap_or_else(|| process.credentials());
            let who = lock(&own).clone();
            let signals = signals(process, waiting);
            let parent = seen(parent);
            let ids = |kind: Ids, ids: [u32; 4]| {
                ids.map(|id| reader.id_for(kind, id).to_string()).join("\t")
            };
            // Of who is somewhere.
            let umask = fs_of(kernel, id).map(|fs| fs.umask.load(Ordering::SeqCst));
            let umask = umask.map_or_else(String::new, |mask| format!("Umask:\t{mask:04o}\n"));
            let group = |id: &u32| format!("{} ", reader.id_for(Ids::Groups, *id));
            format!(
                "Name:\t{name}\n{umask}State:\t{state} ({meaning})\nTgid:\t{group_leader}\nPid:\t{pid}\nPPid:\t{parent}\n\
                 TracerPid:\t{}\nUid:\t{}\nGid:\t{}\nFDSize:\t{}\nGroups:\t{}\n{nested}\
                 {}Threads:\t{threads}\n{signals}\
                 CapInh:\t{:016x}\nCapPrm:\t{:016x}\nCapEff:\t{:016x}\nCapBnd:\t{:016x}\n\
                 CapAmb:\t{:016x}\nNoNewPrivs:\t{}\nSeccomp:\t{}\nSeccomp_filters:\t{}\n",
                seen(tracer),
                ids(Ids::Users, who.users),
                ids(Ids::Groups, who.groups),
                lock(&process.files).numbers().len().next_power_of_two().max(64),
                match who.others.as_slice() {
                    [] => " ".to_owned(),
                    others => others.iter().map(group).collect(),
                },
                memory.lines(),
                who.caps.inheritable,
                who.caps.permitted,
                who.caps.effective,
                who.caps.bounding,
                who.caps.ambient,
                u8::from(who.caps.no_new_privs),
                guard.mode(),
                match &guard {
                    Guard::Filters(filter) => filter.count,
                    _ => 0,
                },
            )
            .into_bytes()
        }
        "maps" => space.map_or_else(Vec::new, |space| maps(&space)),
        "environ" => {
            let [_, at] = lock(&process.strings).clone();
            space.map_or_else(Vec::new, |space| bytes_at(&space.memory, at))
        }
        "cgroup" => b"0::/\n".to_vec(),
        "limits" => limits(process),
        "cpuset" => b"/\n".to_vec(),
        "oom_score" => b"0\n".to_vec(),
        "oom_adj" => old_adjustment(lock(&process.oom_adjustment).0).into_bytes(),
        "oom_score_adj" => format!("{}\n", lock(&process.oom_adjustment).0).into_bytes(),
        "wchan" => b"0".to_vec(),
        "coredump_filter" => b"00000033\n".to_vec(),
        "personality" => {
            format!("{:08x}\n", process.personality.load(Ordering::SeqCst)).into_bytes()
        }
        "setgroups" => groups_text(&space_of(process)).as_bytes().to_vec(),
        "uid_map" => map(kernel, process, Ids::Users, reader).into_bytes(),
        "gid_map" => map(kernel, process, Ids::Groups, reader).into_bytes(),
        "io" => ["rchar", "wchar", "syscr", "syscw", "read_bytes", "write_bytes"]
            .map(|name| format!("{name}: 0\n"))
            .concat()
            .into_bytes(),
        _ => Vec::new(),
    }
}

/// As it was from -17 to 15.
fn old_adjustment(now: i32) -> String {
    format!("{}\n", if now == 1000 { 15 } else { now * 17 / 1000 })
}

/// The map of ids of the user namespace that a process is in.
fn map(kernel: &Kernel, process: &Process, ids: Ids, reader: &Credentials) -> String {
    let space = space_of(process);
    let outer = if space.is_none() { kernel.ids().text(ids) } else { None };
    outer.unwrap_or_else(|| map_text(&space, ids, &reader.space))
}

fn space_of(process: &Process) -> Space {
    lock(&process.credentials()).space.clone()
}

fn limits(process: &Process) -> Vec<u8> {
    const NAMES: [(&str, &str, u32); 16] = [
        ("Max cpu time", "seconds", 0),
        ("Max file size", "bytes", 1),
        ("Max data size", "bytes", 2),
        ("Max stack size", "bytes", 3),
        ("Max core file size", "bytes", 4),
        ("Max resident set", "bytes", 5),
        ("Max processes", "processes", 6),
        ("Max open files", "files", 7),
        ("Max locked memory", "bytes", 8),
        ("Max address space", "bytes", 9),
        ("Max file locks", "locks", 10),
        ("Max pending signals", "signals", 11),
        ("Max msgqueue size", "bytes", 12),
        ("Max nice priority", "", 13),
        ("Max realtime priority", "", 14),
        ("Max realtime timeout", "us", 15),
    ];
    let mut text =
        format!("{:<26}{:<21}{:<21}{:<10}\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    let number = |limit: u64| {
        if limit == u64::MAX { "unlimited".to_owned() } else { limit.to_string() }
    };
    for (name, unit, resource) in NAMES {
        let (soft, hard) = lock(&process.limits).get(resource).unwrap_or((u64::MAX, u64::MAX));
        let _ = writeln!(text, "{name:<26}{:<21}{:<21}{unit:<10}", number(soft), number(hard));
    }
    text.into_bytes()
}

fn maps(space: &crate::mm::Space) -> Vec<u8> {
    lock(&space.areas).iter().flat_map(|(start, area)| maps_line(start, area)).collect()
}

/// What `maps` says of an area.
pub(super) fn maps_line(start: u64, area: &Area) -> Vec<u8> {
    let flag = |bit: u64, c: char| if area.protection.0 & bit != 0 { c } else { '-' };
    let (offset, (device, inode), shared, path) = match &area.backing {
        Backing::Anonymous => {
            let label = area.label.as_ref().filter(|_| area.name.is_empty());
            let name = label.map_or_else(|| area.name.to_owned(), |own| format!("[anon:{own}]"));
            (0, (0, 0), 'p', name.into_bytes())
        }
        Backing::Shared(_, offset) => (*offset, (1, 0), 's', b"/dev/zero (deleted)".to_vec()),
        Backing::File { path, id, offset, shared, .. } => {
            (*offset, *id, if *shared { 's' } else { 'p' }, path.clone())
        }
    };
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let line = format!(
        "{start:08x}-{:08x} {}{}{}{shared} {offset:08x} {major:02x}:{minor:02x} {inode} ",
        area.end,
        flag(1, 'r'),
        flag(2, 'w'),
        flag(4, 'x'),
    );
    [format!("{line:<73}").as_bytes(), &path, b"\n"].concat()
}
