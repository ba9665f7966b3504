//! What `/proc` says of the processors and of what they did: `cpuinfo`, `stat`, `loadavg`,
//! `uptime`.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use crate::kernel::Kernel;
use crate::syscalls::system;
use crate::task::waiter::lock;
use crate::time::Usage;

use super::super::Time;
use super::group;

/// What a processor of the host's says of itself that holds inside, too: cpuid(2) would tell
/// it. How many there are, and how they lie, is the sandbox's.
const TOLD: [&str; 16] = [
    "vendor_id",
    "cpu family",
    "model",
    "model name",
    "stepping",
    "cpu MHz",
    "cache size",
    "fpu",
    "fpu_exception",
    "cpuid level",
    "wp",
    "flags",
    "bogomips",
    "clflush size",
    "cache_alignment",
    "address sizes",
];
/// Features that need a kernel's help which the sandbox does not give.
const WITHOUT: [&str; 5] = ["vmx", "svm", "pku", "ospke", "user_shstk"];
/// As much as the first processor's lines may have.
const MOST_TEXT: u64 = 8192;
/// Ticks of a second in `stat` (`USER_HZ`), in milliseconds.
const TICK: u128 = 10;

/// Lines of one of the host's processors: names and values.
type Lines = Vec<(String, String)>;

static HOST: OnceLock<Lines> = OnceLock::new();

/// Reads what the host says of its processors. It is to be called where `/proc` is the host's:
/// that of a container's tree is whatever its image has there.
pub(crate) fn learn_processors() {
    if HOST.get().is_some() {
        return;
    }
    let mut text = String::new();
    // What can't be read, or is cut off in the middle of a character, leaves the usual lines.
    let _ =
        File::open("/proc/cpuinfo").and_then(|file| file.take(MOST_TEXT).read_to_string(&mut text));
    let _ = HOST.set(first(&text));
}

/// What is told of the first processor of a `cpuinfo`.
fn first(text: &str) -> Lines {
    let lines = text.lines().take_while(|line| !line.is_empty());
    let pairs = lines.filter_map(|line| line.split_once(':'));
    let told = pairs.filter_map(|(name, value)| {
        let (name, value) = (name.trim(), value.trim());
        TOLD.contains(&name).then(|| (name.to_owned(), without(name, value)))
    });
    told.collect()
}

fn without(name: &str, value: &str) -> String {
    if name != "flags" {
        return value.to_owned();
    }
    let left = value.split(' ').filter(|flag| !WITHOUT.contains(flag));
    left.collect::<Vec<_>>().join(" ")
}

/// Where the host says nothing.
fn usual() -> Lines {
    let lines = [
        ("vendor_id", "unknown"),
        ("cpu family", "6"),
        ("model", "0"),
        ("model name", "x86-64"),
        ("stepping", "0"),
        ("cpu MHz", "0.000"),
        ("fpu", "yes"),
        ("flags", "fpu tsc cx8 cmov mmx fxsr sse sse2 syscall nx lm"),
    ];
    lines.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

pub(super) fn cpuinfo() -> String {
    let told = HOST.get().filter(|lines| !lines.is_empty()).cloned().unwrap_or_else(usual);
    let all = system::processors();
    let mut text = String::new();
    for cpu in 0..all {
        let own = [
            ("physical id", 0),
            ("siblings", all),
            ("core id", cpu),
            ("cpu cores", all),
            ("apicid", cpu),
            ("initial apicid", cpu),
        ];
        line(&mut text, "processor", &cpu.to_string());
        for (name, value) in &told {
            if name == "fpu" {
                own.iter().for_each(|(name, value)| line(&mut text, name, &value.to_string()));
            }
            line(&mut text, name, value);
        }
        text.push_str("power management:\n\n");
    }
    text
}

fn line(text: &mut String, name: &str, value: &str) {
    let gap = if name.len() < 8 { "\t\t" } else { "\t" };
    let _ = writeln!(text, "{name}{gap}: {value}");
}

/// How long all processors together did nothing for the container.
fn idle(kernel: &Kernel, busy: Duration) -> Duration {
    let processors = u32::try_from(system::processors()).unwrap_or(1);
    (kernel.booted.elapsed() * processors).saturating_sub(busy)
}

pub(super) fn uptime(kernel: &Kernel) -> String {
    let up = kernel.booted.elapsed();
    let idle = idle(kernel, group::time(kernel).total());
    let seconds = |time: Duration| format!("{}.{:02}", time.as_secs(), time.subsec_millis() / 10);
    format!("{} {}\n", seconds(up), seconds(idle))
}

/// Which of its processors did how much is not known: each has its part.
pub(super) fn stat(kernel: &Kernel) -> String {
    let Usage { user, system } = group::time(kernel);
    let ticks = [user, system, idle(kernel, user + system)].map(|time| time.as_millis() / TICK);
    let row = |parts: u128| {
        let [user, system, idle] = ticks.map(|ticks| ticks / parts);
        format!("{user} 0 {system} {idle} 0 0 0 0 0 0\n")
    };
    let processors = system::processors().max(1);
    let mut text = format!("cpu  {}", row(1));
    for cpu in 0..processors {
        let _ = write!(text, "cpu{cpu} {}", row(processors as u128));
    }
    let up = i64::try_from(kernel.booted.elapsed().as_secs()).unwrap_or(0);
    let last = lock(&kernel.tree).rows().map(|(pid, _)| pid).max().unwrap_or(1);
    let _ = write!(
        text,
        "intr 0\nctxt 0\nbtime {}\nprocesses {last}\nprocs_running 1\nprocs_blocked 0\n",
        Time::now().seconds - up
    );
    text
}

pub(super) fn loadavg(kernel: &Kernel) -> String {
    let loads =
        load(kernel).map(|load| format!("{}.{:02}", load.as_secs(), load.subsec_millis() / 10));
    let tree = lock(&kernel.tree);
    let last = tree.rows().map(|(pid, _)| pid).max().unwrap_or(1);
    let threads: usize = tree.rows().map(|(_, row)| row.threads.len()).sum();
    format!("{} 1/{threads} {last}\n", loads.join(" "))
}

/// How much processor time a second had, on average, in the last minute, five and fifteen: as
/// of when it was last asked. Linux counts threads that wait for a processor, too.
pub(crate) fn load(kernel: &Kernel) -> [Duration; 3] {
    let busy = group::time(kernel).total();
    lock(&kernel.used.load).at(kernel.booted.elapsed(), busy)
}

/// What a container has used of processors, but for its living processes.
#[derive(Debug, Default)]
pub struct Used {
    /// By processes that have ended.
    pub ended: Mutex<Usage>,
    load: Mutex<Load>,
}

/// Averages of the processor time of a second.
#[derive(Debug, Default)]
struct Load {
    up: Duration,
    busy: Duration,
    averages: [Duration; 3],
}

impl Load {
    /// Those at a time since the start, when so much processor time had been used.
    fn at(&mut self, up: Duration, busy: Duration) -> [Duration; 3] {
        /// Shorter ones say little, and who asks all the time would have them all.
        const LEAST: Duration = Duration::from_millis(500);
        const SECONDS: [f64; 3] = [60.0, 300.0, 900.0];
        let passed = up.saturating_sub(self.up);
        if passed >= LEAST {
            let lately = busy.saturating_sub(self.busy).div_f64(passed.as_secs_f64());
            for (average, seconds) in self.averages.iter_mut().zip(SECONDS) {
                let kept = (-passed.as_secs_f64() / seconds).exp();
                *average = average.mul_f64(kept) + lately.mul_f64(1.0 - kept);
            }
            (self.up, self.busy) = (up, self.busy.max(busy));
        }
        self.averages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_kernel_is_left_out() {
        let text = "processor\t: 0\nvendor_id\t: Some\nflags\t\t: fpu svm sse2 pku avx2\n\
                    microcode\t: 0x1\n\nprocessor\t: 1\nvendor_id\t: Other\n";
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(first(text), [pair("vendor_id", "Some"), pair("flags", "fpu sse2 avx2")]);
        assert_eq!(first(""), []);
    }

    #[test]
    fn a_load_comes_and_goes() {
        let second = Duration::from_secs;
        let mut load = Load::default();
        let [one, _, fifteen] = load.at(second(60), second(120));
        assert_eq!(one.as_millis(), 1264);
        assert!(fifteen < one / 4);
        // Too soon to be told anything.
        assert_eq!(load.at(second(60), second(125)), load.at(second(60), second(120)));
        let [later, ..] = load.at(second(600), second(120));
        assert!(later.as_millis() < 1, "{later:?}");
    }
}
