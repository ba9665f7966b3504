//! Counters in containerd's encoding (containerd/cgroups, `metrics.proto`).

use caisson_cgroup::stats::{MemoryEntry, Stats};

use super::protobuf::{Writer, any};

/// `StatsResponse`, with the messages of a v2 host if `unified`.
pub(crate) fn response(stats: &Stats, unified: bool) -> Vec<u8> {
    let metrics = if unified {
        any("io.containerd.cgroups.v2.Metrics", &v2(stats))
    } else {
        any("io.containerd.cgroups.v1.Metrics", &v1(stats))
    };
    Writer::default().message(1, &metrics).done()
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
    const NANOS: u64 = 1000;
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
