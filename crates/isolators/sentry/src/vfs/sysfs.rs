//! sysfs: what libraries ask of it. Nothing in it changes or can be changed.

use std::sync::Arc;

use rustix::io::Errno;

use crate::syscalls::system;

use super::Kind;
use super::tmpfs::{New, TmpFs, TmpNode};

const DIRECTORY: New<'static> =
    New { kind: Kind::Directory, permissions: 0o755, owner: (0, 0), number: 0, text: b"" };

/// A sysfs; returns its root.
///
/// # Errors
/// If there is no memory.
pub(super) fn new(device: u64) -> Result<Arc<TmpNode>, Errno> {
    let root =
        TmpFs::with_root(device, u64::MAX, u64::MAX, New { permissions: 0o555, ..DIRECTORY });
    let processors = system::processors().max(1);
    let all = if processors == 1 { "0\n".to_owned() } else { format!("0-{}\n", processors - 1) };
    let cpu = "devices/system/cpu";
    for name in ["online", "possible", "present"] {
        put(&root, &format!("{cpu}/{name}"), &all)?;
        put(&root, &format!("devices/system/node/{name}"), "0\n")?;
    }
    put(&root, &format!("{cpu}/offline"), "\n")?;
    put(&root, &format!("{cpu}/kernel_max"), "8191\n")?;
    put(&root, "devices/system/node/node0/cpulist", &all)?;
    for number in 0..processors {
        let topology = format!("{cpu}/cpu{number}/topology");
        put(&root, &format!("{topology}/core_id"), &format!("{number}\n"))?;
        put(&root, &format!("{topology}/physical_package_id"), "0\n")?;
        put(&root, &format!("{topology}/thread_siblings_list"), &format!("{number}\n"))?;
        put(&root, &format!("{topology}/core_siblings_list"), &all)?;
    }
    let huge = "kernel/mm/transparent_hugepage";
    put(&root, &format!("{huge}/enabled"), "always [madvise] never\n")?;
    put(&root, &format!("{huge}/defrag"), "always defer defer+madvise [madvise] never\n")?;
    put(&root, &format!("{huge}/shmem_enabled"), "always within_size advise [never] deny force\n")?;
    put(&root, &format!("{huge}/hpage_pmd_size"), "2097152\n")?;
    for size in ["2048kB", "1048576kB"] {
        for name in ["nr", "free", "resv", "surplus", "nr_overcommit"] {
            put(&root, &format!("kernel/mm/hugepages/hugepages-{size}/{name}_hugepages"), "0\n")?;
        }
    }
    put(&root, "kernel/profiling", "0\n")?;
    for path in ["block", "bus", "class/net", "class/block", "dev/block", "dev/char", "firmware"] {
        folder(&root, path)?;
    }
    for path in ["fs/cgroup", "kernel/security", "module", "power"] {
        folder(&root, path)?;
    }
    Ok(root)
}

fn folder(root: &Arc<TmpNode>, path: &str) -> Result<Arc<TmpNode>, Errno> {
    let mut at = Arc::clone(root);
    for name in path.split('/') {
        at = match at.child(name.as_bytes()) {
            Ok(child) => child,
            Err(_) => at.make(name.as_bytes(), DIRECTORY)?,
        };
    }
    Ok(at)
}

fn put(root: &Arc<TmpNode>, path: &str, text: &str) -> Result<(), Errno> {
    let (above, name) = path.rsplit_once('/').ok_or(Errno::INVAL)?;
    let new = New { kind: Kind::Regular, permissions: 0o444, text: text.as_bytes(), ..DIRECTORY };
    folder(root, above)?.make(name.as_bytes(), new).map(drop)
}
