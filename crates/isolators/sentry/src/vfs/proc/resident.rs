//! How much of a process's memory is there: what the host says of its stub.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;

use crate::kernel::Kernel;
use crate::mm::{Area, Backing, Marks, Space};
use crate::platform::{HostTid, VIEW};
use crate::task::Thread;
use crate::task::waiter::lock;

use super::super::broker::ProcessFile;
use super::process::maps_line;

const PAGE: u64 = 4096;
/// Most bytes that are read of a host's text.
const MOST: usize = 16 << 20;

/// Bytes that are mapped, and kilobytes that are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) mapped: u64,
    locked: u64,
    stack: u64,
    /// Of programs and libraries, to be executed.
    code: u64,
    /// Private, to be written.
    data: u64,
    most: u64,
    anonymous: u64,
    file: u64,
    shared: u64,
    tables: u64,
    swapped: u64,
    /// What the host says that the thread does.
    pub(super) state: Option<char>,
}

/// Most memory that a thread's program has had by now, in kilobytes.
#[must_use]
pub fn most_memory(kernel: &Kernel, thread: &Thread) -> u64 {
    let memory = Memory::of(kernel, thread);
    memory.most.max(memory.total())
}

impl Memory {
    /// Of a thread's address space; nothing is there where the host does not say, as of one
    /// that has ended.
    pub(super) fn of(kernel: &Kernel, thread: &Thread) -> Self {
        let place = lock(&thread.place).clone();
        let space = place.space;
        let text = text(kernel, &space, place.host, ProcessFile::Status);
        let mut told = text.map_or_else(Self::default, |text| Self::parse(&text));
        told.leave_out_views(kernel, &space, place.host);
        let areas = lock(&space.areas);
        let stack = areas.iter().filter(|(_, area)| area.name == "[stack]");
        Memory {
            mapped: areas.total(),
            locked: areas.locked(&(0..u64::MAX)),
            stack: stack.map(|(start, area)| area.end - start).sum(),
            code: areas.code(),
            data: areas.data(),
            ..told
        }
    }

    /// What is mapped to be copied from is not the guest's.
    fn leave_out_views(&mut self, kernel: &Kernel, space: &Space, host: Option<HostTid>) {
        let views = space.views.places();
        if views.is_empty() {
            return;
        }
        let text = text(kernel, space, host, ProcessFile::Smaps).unwrap_or_default();
        let pieces = pieces(&text);
        for (start, is_of_memory) in views {
            let sums = sums_of(&pieces, &(start..start + VIEW));
            let there = sums.iter().find(|(name, _)| name == "Rss").map_or(0, |(_, sum)| *sum);
            let field = if is_of_memory { &mut self.shared } else { &mut self.file };
            *field = field.saturating_sub(there);
            self.most = self.most.saturating_sub(there);
        }
    }

    fn parse(status: &str) -> Self {
        let mut found = Memory::default();
        for (name, value) in status.lines().filter_map(|line| line.split_once(':')) {
            let field = match name {
                "State" => {
                    found.state = value.trim_start().chars().next();
                    continue;
                }
                "VmHWM" => &mut found.most,
                "RssAnon" => &mut found.anonymous,
                "RssFile" => &mut found.file,
                "RssShmem" => &mut found.shared,
                "VmPTE" => &mut found.tables,
                "VmSwap" => &mut found.swapped,
                _ => continue,
            };
            *field = kilobytes(value);
        }
        found
    }

    fn total(self) -> u64 {
        self.anonymous + self.file + self.shared
    }

    /// Private, of files, shared.
    pub(super) fn bytes(self) -> [u64; 3] {
        [self.anonymous, self.file, self.shared].map(|kilobytes| kilobytes * 1024)
    }

    /// In pages.
    pub(super) fn pages(self) -> u64 {
        self.total() * 1024 / PAGE
    }

    /// `/proc/<pid>/statm`
    pub(super) fn statm(self) -> String {
        let shared = (self.file + self.shared) * 1024 / PAGE;
        let [mapped, code, data] = [self.mapped, self.code, self.data].map(|bytes| bytes / PAGE);
        format!("{mapped} {} {shared} {code} 0 {data} 0\n", self.pages())
    }

    /// The lines of `/proc/<pid>/status`.
    pub(super) fn lines(self) -> String {
        let lines = [
            ("VmPeak", self.mapped / 1024),
            ("VmSize", self.mapped / 1024),
            ("VmLck", self.locked / 1024),
            ("VmPin", 0),
            ("VmHWM", self.most.max(self.total())),
            ("VmRSS", self.total()),
            ("RssAnon", self.anonymous),
            ("RssFile", self.file),
            ("RssShmem", self.shared),
            ("VmData", self.data / 1024),
            ("VmStk", self.stack / 1024),
            ("VmExe", self.code / 1024),
            ("VmPTE", self.tables),
            ("VmSwap", self.swapped),
        ];
        let line = |(name, kilobytes)| format!("{name}:\t{kilobytes:8} kB\n");
        lines.map(line).concat()
    }
}

fn kilobytes(text: &str) -> u64 {
    text.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// What the host's procfs says of a stub.
fn text(
    kernel: &Kernel,
    space: &Space,
    thread: Option<HostTid>,
    which: ProcessFile,
) -> Option<String> {
    let file = kernel.files.broker.process_file(space.stub.pid(), thread, which).ok()?;
    let (mut bytes, mut piece) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        match rustix::io::pread(&file, &mut piece, bytes.len() as u64) {
            Ok(count @ 1..) if bytes.len() < MOST => {
                bytes.extend_from_slice(piece.get(..count).unwrap_or_default());
            }
            Ok(0) => return String::from_utf8(bytes).ok(),
            _ => return None,
        }
    }
}

/// What `smaps` tells of each piece, in kilobytes, in the order of the host's.
type Sums = Vec<(String, u64)>;

/// The pieces of the host's `smaps`.
fn pieces(text: &str) -> BTreeMap<u64, (u64, Sums)> {
    let mut all = BTreeMap::new();
    let mut now = None;
    for line in text.lines() {
        let first = line.split_whitespace().next().unwrap_or_default();
        if let Some(name) = first.strip_suffix(':') {
            let told = line.ends_with(" kB") && !name.ends_with("PageSize") && name != "Size";
            if let (true, Some((_, sums))) = (told, now.and_then(|start| all.get_mut(&start))) {
                let sums: &mut Sums = sums;
                sums.push((name.to_owned(), kilobytes(line.split_once(':').map_or("", |l| l.1))));
            }
            continue;
        }
        let number = |part: &str| u64::from_str_radix(part, 16).ok();
        let range = first.split_once('-').and_then(|(a, b)| Some((number(a)?, number(b)?)));
        now = range.map(|(start, end)| {
            all.insert(start, (end, Sums::new()));
            start
        });
    }
    all
}

/// What the host's pieces say of a range: of one that is cut, by its share of the bytes.
fn sums_of(pieces: &BTreeMap<u64, (u64, Sums)>, range: &Range<u64>) -> Sums {
    let mut sums = Sums::new();
    let first = pieces.range(..=range.start).next_back().map_or(range.start, |(start, _)| *start);
    for (start, (end, told)) in pieces.range(first..range.end) {
        let common = (*end).min(range.end).saturating_sub((*start).max(range.start));
        if common == 0 {
            continue;
        }
        let share = |kilobytes: u64| {
            let part = u128::from(kilobytes) * u128::from(common) / u128::from(end - start);
            u64::try_from(part).unwrap_or(kilobytes)
        };
        told.iter().for_each(|(name, kilobytes)| add(&mut sums, name, share(*kilobytes)));
    }
    sums
}

fn add(sums: &mut Sums, name: &str, kilobytes: u64) {
    match sums.iter_mut().find(|(known, _)| known == name) {
        Some((_, sum)) => *sum += kilobytes,
        None => sums.push((name.to_owned(), kilobytes)),
    }
}

/// What of a piece is there and locked: its share of what is there.
fn set_locked(sums: &mut Sums, area: &Area) {
    let sum = |sums: &Sums, name| sums.iter().find(|(n, _)| n == name).map_or(0, |(_, sum)| *sum);
    let locked = if area.marks.contains(Marks::LOCKED) { sum(sums, "Pss") } else { 0 };
    if let Some((_, own)) = sums.iter_mut().find(|(name, _)| name == "Locked") {
        *own = locked;
    }
}

/// The line of flags, in Linux's order.
fn flags_line(area: &Area) -> String {
    let may = match &area.backing {
        Backing::File { most, shared: true, .. } => most.0,
        _ => 7,
    };
    let shared = area.backing.is_shared();
    let is = area.protection.0;
    let accounted = !shared && is & 2 != 0;
    let marked = |mark: Marks| area.marks.contains(mark);
    let all = [
        (is & 1 != 0, "rd"),
        (is & 2 != 0, "wr"),
        (is & 4 != 0, "ex"),
        (shared && may & 2 != 0, "sh"),
        (may & 1 != 0, "mr"),
        (may & 2 != 0, "mw"),
        (may & 4 != 0, "me"),
        (shared, "ms"),
        (marked(Marks::GROWS), "gd"),
        (marked(Marks::LOCKED), "lo"),
        (marked(Marks::SEQUENTIAL), "sr"),
        (marked(Marks::RANDOM), "rr"),
        (marked(Marks::NOT_INHERITED), "dc"),
        (marked(Marks::ON_FAULT), "lf"),
        (accounted, "ac"),
        (marked(Marks::WIPED), "wf"),
        (marked(Marks::NOT_DUMPED), "dd"),
        (true, "sd"),
        (marked(Marks::HUGE), "hg"),
        (marked(Marks::NOT_HUGE), "nh"),
        (marked(Marks::MERGEABLE), "mg"),
    ];
    let flags = all.iter().filter(|(is, _)| *is).map(|(_, flag)| format!("{flag} "));
    format!("VmFlags: {}\n", flags.collect::<String>())
}

fn write_sums(into: &mut String, sums: &Sums) {
    for (name, kilobytes) in sums {
        let name = format!("{name}:");
        let _ = writeln!(into, "{name:<16}{kilobytes:8} kB");
    }
}

/// `/proc/<pid>/smaps`, or `smaps_rollup` if `all` are summed up.
pub(super) fn smaps(kernel: &Kernel, space: &Space, all: bool) -> Vec<u8> {
    let host = text(kernel, space, None, ProcessFile::Smaps).unwrap_or_default();
    let pieces = pieces(&host);
    let sums = |start, area: &Area| {
        let mut sums = sums_of(&pieces, &(start..area.end));
        set_locked(&mut sums, area);
        sums
    };
    let areas = lock(&space.areas);
    let mut bytes = Vec::new();
    if all {
        let (start, end) = areas.iter().fold((u64::MAX, 0), |(first, last), (start, area)| {
            (first.min(start), last.max(area.end))
        });
        let mut total = Sums::new();
        for (start, area) in areas.iter() {
            for (name, kilobytes) in sums(start, area) {
                add(&mut total, &name, kilobytes);
            }
        }
        let head = format!("{start:08x}-{end:08x} ---p 00000000 00:00 0 ");
        let mut text = format!("{head:<73}[rollup]\n");
        write_sums(&mut text, &total);
        return text.into_bytes();
    }
    for (start, area) in areas.iter() {
        bytes.extend_from_slice(&maps_line(start, area));
        let size = (area.end - start) / 1024;
        let mut text = format!(
            "Size:           {size:8} kB\nKernelPageSize:        4 kB\nMMUPageSize:           4 kB\n"
        );
        write_sums(&mut text, &sums(start, area));
        text.push_str(&flags_line(area));
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_s_texts_are_read() {
        let status = "Name:\tx\nVmHWM:\t     900 kB\nRssAnon:\t  100 kB\nRssFile:\t 60 kB\n\
                      RssShmem:\t 4 kB\nVmSwap:\t 0 kB\n";
        let told = Memory::parse(status);
        assert_eq!((told.total(), told.pages(), told.most), (164, 41, 900));
        let memory = Memory { mapped: 8 << 20, code: 8192, data: 4096, ..told };
        assert_eq!(memory.statm(), "2048 41 16 2 0 1 0\n");
        let smaps = "00400000-00402000 r-xp 00000000 00:00 0 \nSize: 8 kB\nRss:    8 kB\nPss: 4 kB\n\
                     VmFlags: rd\n00500000-00504000 rw-p 00000000 00:00 0   [heap]\nRss: 16 kB\n";
        let pieces = pieces(smaps);
        let rss = |range: Range<u64>| sums_of(&pieces, &range).first().map(|(_, sum)| *sum);
        assert_eq!(rss(0x40_0000..0x40_2000), Some(8));
        // A part of one, parts of two, and nothing.
        assert_eq!(rss(0x40_1000..0x40_2000), Some(4));
        assert_eq!(rss(0x40_1000..0x50_1000), Some(8));
        assert_eq!(rss(0x60_0000..0x70_0000), None);
    }
}
