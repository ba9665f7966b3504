//! Counters in containerd's encoding (containerd/cgroups, `metrics.proto`).

use std::collections::BTreeMap;

use caisson_cgroup::stats::{BlkioEntry, HugetlbStats, MemoryEntry, PidsStats, Stats};

use crate::protobuf::{Malformed, Message, Writer, any};

/// Nanoseconds in the unit of v2.
const NANOS: u64 = 1000;
const V1: &str = "io.containerd.cgroups.v1.Metrics";
const V2: &str = "io.containerd.cgroups.v2.Metrics";

/// `StatsResponse`, with the messages of a v2 host if `unified`.
pub fn response(stats: &Stats, unified: bool) -> Vec<u8> {
    let metrics = if unified { any(V2, &v2(stats)) } else { any(V1, &v1(stats)) };
    Writer::default().message(1, &metrics).done()
}

/// Reads a `StatsResponse`; other messages than those of cgroups tell nothing.
///
/// # Errors
/// [`Malformed`].
pub fn parse(answer: &[u8]) -> Result<Stats, Malformed> {
    let answer = Message::parse(answer)?;
    let metrics = Message::parse(answer.bytes(1))?;
    let kind = metrics.text(1)?;
    let message = Message::parse(metrics.bytes(2))?;
    match kind.rsplit('/').next() {
        Some(V1) => parse_v1(&message),
        Some(V2) => parse_v2(&message),
        _ => Ok(Stats::default()),
    }
}

fn parse_pids(message: &Message<'_>, field: u64) -> Result<PidsStats, Malformed> {
    let pids = Message::parse(message.bytes(field))?;
    Ok(PidsStats { current: pids.number(1), limit: pids.number(2) })
}

fn parse_raw(message: &Message<'_>, names: &[(u64, &str)]) -> BTreeMap<String, u64> {
    names.iter().map(|(field, name)| ((*name).to_owned(), message.number(*field))).collect()
}

fn parse_v1(message: &Message<'_>) -> Result<Stats, Malformed> {
    let part = |field| Message::parse(message.bytes(field));
    let (cpu, memory, blkio) = (part(3)?, part(4)?, part(5)?);
    let (usage, throttling) = (Message::parse(cpu.bytes(1))?, Message::parse(cpu.bytes(2))?);
    let mut stats = Stats { pids: parse_pids(message, 2)?, ..Stats::default() };
    stats.cpu.usage.total = usage.number(1);
    stats.cpu.usage.kernel = usage.number(2);
    stats.cpu.usage.user = usage.number(3);
    stats.cpu.usage.percpu = usage.numbers(4)?;
    stats.cpu.throttling.periods = throttling.number(1);
    stats.cpu.throttling.throttled_periods = throttling.number(2);
    stats.cpu.throttling.throttled_time = throttling.number(3);
    let entry = |field| -> Result<MemoryEntry, Malformed> {
        let entry = Message::parse(memory.bytes(field))?;
        Ok(MemoryEntry {
            limit: entry.number(1),
            usage: entry.number(2),
            max: entry.number(3),
            failcnt: entry.number(4),
        })
    };
    stats.memory.raw = parse_raw(&memory, &V1_MEMORY);
    stats.memory.cache = memory.number(1);
    stats.memory.usage = entry(33)?;
    stats.memory.swap = entry(34)?;
    stats.memory.kernel = entry(35)?;
    stats.memory.kernel_tcp = entry(36)?;
    let rows = |field| blkio.each(field).map(parse_row).collect::<Result<Vec<_>, _>>();
    stats.blkio.io_service_bytes_recursive = rows(1)?;
    stats.blkio.io_serviced_recursive = rows(2)?;
    stats.blkio.io_queued_recursive = rows(3)?;
    stats.blkio.io_service_time_recursive = rows(4)?;
    stats.blkio.io_wait_time_recursive = rows(5)?;
    stats.blkio.io_merged_recursive = rows(6)?;
    stats.blkio.io_time_recursive = rows(7)?;
    stats.blkio.sectors_recursive = rows(8)?;
    for huge in message.each(1) {
        let huge = Message::parse(huge)?;
        let figures =
            HugetlbStats { usage: huge.number(1), max: huge.number(2), failcnt: huge.number(3) };
        stats.hugetlb.insert(huge.text(4)?, figures);
    }
    Ok(stats)
}

fn parse_row(row: &[u8]) -> Result<BlkioEntry, Malformed> {
    let row = Message::parse(row)?;
    Ok(BlkioEntry {
        op: row.text(1)?,
        major: row.number(3),
        minor: row.number(4),
        value: row.number(5),
    })
}

fn parse_v2(message: &Message<'_>) -> Result<Stats, Malformed> {
    let (cpu, memory) = (Message::parse(message.bytes(2))?, Message::parse(message.bytes(4))?);
    let mut stats = Stats { pids: parse_pids(message, 1)?, ..Stats::default() };
    let nanos = |micros: u64| micros.saturating_mul(NANOS);
    stats.cpu.usage.total = nanos(cpu.number(1));
    stats.cpu.usage.user = nanos(cpu.number(2));
    stats.cpu.usage.kernel = nanos(cpu.number(3));
    stats.cpu.throttling.periods = cpu.number(4);
    stats.cpu.throttling.throttled_periods = cpu.number(5);
    stats.cpu.throttling.throttled_time = nanos(cpu.number(6));
    stats.memory.raw = parse_raw(&memory, &V2_MEMORY);
    stats.memory.cache = memory.number(2);
    let (usage, limit) = (memory.number(32), memory.number(33));
    stats.memory.usage = MemoryEntry { usage, limit, max: memory.number(36), failcnt: 0 };
    // Ours are of memory and swap together, as v1 has them.
    stats.memory.swap.usage = usage.saturating_add(memory.number(34));
    stats.memory.swap.limit = limit.saturating_add(memory.number(35));
    Ok(stats)
}

fn pids(stats: &Stats) -> Vec<u8> {
    Writer::default().number(1, stats.pids.current).number(2, stats.pids.limit).done()
}

/// Numbers of `memory.stat` by field.
fn raw(writer: Writer, stats: &Stats, names: &[(u64, &str)]) -> Writer {
    names.iter().fold(writer, |writer, (field, name)| {
        writer.number(*field, stats.memory.raw.get(*name).copied().unwrap_or_default())
    })
}

fn v1(stats: &Stats) -> Vec<u8> {
    let usage = &stats.cpu.usage;
    let per_cpu = usage.percpu.iter();
    let times =
        Writer::default().number(1, usage.total).number(2, usage.kernel).number(3, usage.user);
    // A repeated number is one field of bytes.
    let packed = per_cpu.fold(Vec::new(), |mut all, time| {
        all.extend(Writer::packed(*time));
        all
    });
    let times = if packed.is_empty() { times } else { times.message(4, &packed) };
    let throttling = &stats.cpu.throttling;
    let throttled = Writer::default()
        .number(1, throttling.periods)
        .number(2, throttling.throttled_periods)
        .number(3, throttling.throttled_time);
    let cpu = Writer::default().message(1, &times.done()).message(2, &throttled.done());
    let entry = |entry: &MemoryEntry| {
        Writer::default()
            .number(1, entry.limit)
            .number(2, entry.usage)
            .number(3, entry.max)
            .number(4, entry.failcnt)
            .done()
    };
    let memory = raw(Writer::default(), stats, &V1_MEMORY)
        .message(33, &entry(&stats.memory.usage))
        .message(34, &entry(&stats.memory.swap))
        .message(35, &entry(&stats.memory.kernel))
        .message(36, &entry(&stats.memory.kernel_tcp));
    let tables = [
        (1, &stats.blkio.io_service_bytes_recursive),
        (2, &stats.blkio.io_serviced_recursive),
        (3, &stats.blkio.io_queued_recursive),
        (4, &stats.blkio.io_service_time_recursive),
        (5, &stats.blkio.io_wait_time_recursive),
        (6, &stats.blkio.io_merged_recursive),
        (7, &stats.blkio.io_time_recursive),
        (8, &stats.blkio.sectors_recursive),
    ];
    let rows = tables.iter().flat_map(|(field, rows)| rows.iter().map(move |row| (*field, row)));
    let blkio = rows.fold(Writer::default(), |writer, (field, row)| {
        let row = Writer::default()
            .text(1, &row.op)
            .number(3, row.major)
            .number(4, row.minor)
            .number(5, row.value);
        writer.message(field, &row.done())
    });
    let huge = stats.hugetlb.iter().fold(Writer::default(), |writer, (size, huge)| {
        let one = Writer::default()
            .number(1, huge.usage)
            .number(2, huge.max)
            .number(3, huge.failcnt)
            .text(4, size);
        writer.message(1, &one.done())
    });
    huge.message(2, &pids(stats))
        .message(3, &cpu.done())
        .message(4, &memory.done())
        .message(5, &blkio.done())
        .done()
}

fn v2(stats: &Stats) -> Vec<u8> {
    let (usage, throttling) = (&stats.cpu.usage, &stats.cpu.throttling);
    let cpu = Writer::default()
        .number(1, usage.total / NANOS)
        .number(2, usage.user / NANOS)
        .number(3, usage.kernel / NANOS)
        .number(4, throttling.periods)
        .number(5, throttling.throttled_periods)
        .number(6, throttling.throttled_time / NANOS);
    let (memory, swap) = (&stats.memory.usage, &stats.memory.swap);
    let memory = raw(Writer::default(), stats, &V2_MEMORY)
        .number(32, memory.usage)
        .number(33, memory.limit)
        .number(34, swap.usage.saturating_sub(memory.usage))
        .number(35, swap.limit.saturating_sub(memory.limit))
        .number(36, memory.max);
    Writer::default()
        .message(1, &pids(stats))
        .message(2, &cpu.done())
        .message(4, &memory.done())
        .done()
}

const V1_MEMORY: [(u64, &str); 32] = [
    (1, "cache"),
    (2, "rss"),
    (3, "rss_huge"),
    (4, "mapped_file"),
    (5, "dirty"),
    (6, "writeback"),
    (7, "pgpgin"),
    (8, "pgpgout"),
    (9, "pgfault"),
    (10, "pgmajfault"),
    (11, "inactive_anon"),
    (12, "active_anon"),
    (13, "inactive_file"),
    (14, "active_file"),
    (15, "unevictable"),
    (16, "hierarchical_memory_limit"),
    (17, "hierarchical_memsw_limit"),
    (18, "total_cache"),
    (19, "total_rss"),
    (20, "total_rss_huge"),
    (21, "total_mapped_file"),
    (22, "total_dirty"),
    (23, "total_writeback"),
    (24, "total_pgpgin"),
    (25, "total_pgpgout"),
    (26, "total_pgfault"),
    (27, "total_pgmajfault"),
    (28, "total_inactive_anon"),
    (29, "total_active_anon"),
    (30, "total_inactive_file"),
    (31, "total_active_file"),
    (32, "total_unevictable"),
];

const V2_MEMORY: [(u64, &str); 19] = [
    (1, "anon"),
    (2, "file"),
    (3, "kernel_stack"),
    (4, "slab"),
    (5, "sock"),
    (6, "shmem"),
    (7, "file_mapped"),
    (8, "file_dirty"),
    (9, "file_writeback"),
    (10, "anon_thp"),
    (11, "inactive_anon"),
    (12, "active_anon"),
    (13, "inactive_file"),
    (14, "active_file"),
    (15, "unevictable"),
    (16, "slab_reclaimable"),
    (17, "slab_unreclaimable"),
    (18, "pgfault"),
    (19, "pgmajfault"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_arrive_as_they_were_sent() {
        let pids = PidsStats { current: 3, limit: 100 };
        let mut stats = Stats { pids, ..Stats::default() };
        stats.cpu.usage.total = 5_000_000;
        stats.cpu.usage.user = 3_000_000;
        stats.cpu.throttling.throttled_time = 7_000;
        stats.memory.usage = MemoryEntry { usage: 4096, limit: 1 << 30, max: 8192, failcnt: 0 };
        stats.memory.swap.usage = 5000;
        stats.memory.swap.limit = 1 << 31;
        for unified in [false, true] {
            let mut sent = stats.clone();
            let name = if unified { "anon" } else { "rss" };
            sent.memory.raw.insert(name.to_owned(), 77);
            if !unified {
                sent.cpu.usage.percpu = vec![1, 300, 0];
                let row = BlkioEntry { op: "Read".to_owned(), major: 8, minor: 1, value: 9 };
                sent.blkio.io_serviced_recursive.push(row);
                sent.hugetlb.insert("2MB".to_owned(), HugetlbStats::default());
            }
            let mut came = parse(&response(&sent, unified)).unwrap();
            assert_eq!(came.memory.raw.get(name), Some(&77));
            came.memory.raw.retain(|_, value| *value != 0);
            assert_eq!(came, sent, "unified: {unified}");
        }
        assert!(parse(&[0x80]).is_err());
        let other = Writer::default().message(1, &any("io.kata.Metrics", b"")).done();
        assert_eq!(parse(&other), Ok(Stats::default()));
    }
}
