//! Where images lie, and whether they can be stacked.

use std::path::{Path, PathBuf};

use caisson_node::paths::Identity;

use super::Finding;
use crate::context::Context;
use crate::host;
use crate::output::sizes;

/// Less than this is hardly enough for an image.
const LITTLE: u64 = 1_000_000_000;
/// Overlays below a user namespace (Linux 5.11).
const ROOTLESS_OVERLAY: (u32, u32) = (5, 11);
/// File systems on which an overlay can't write (statfs(2)).
const NO_UPPER: [(u64, &str); 4] =
    [(0x794c_7630, "overlay"), (0x6969, "nfs"), (0xff53_4d42, "cifs"), (0x0102_1997, "9p")];

pub(super) fn look(context: &Context) -> Vec<Finding> {
    let root = existing(context.paths.root());
    let mut findings = vec![overlay(context.identity)];
    findings.extend(file_system(&root));
    findings.push(writable(context.paths.root(), &root));
    findings
}

fn overlay(identity: Identity) -> Finding {
    let release = host::kernel_release();
    let known = host::read("/proc/filesystems").unwrap_or_default();
    let built_in = known.lines().any(|line| line.split_whitespace().last() == Some("overlay"));
    let module = std::fs::exists(format!("/lib/modules/{release}/kernel/fs/overlayfs"));
    if !built_in && !module.unwrap_or(false) {
        let advice = "use a kernel with CONFIG_OVERLAY_FS, or `modprobe overlay`";
        return Finding::missing("overlay", "the kernel has no overlay file system", advice);
    }
    let old = host::kernel_version(&release).is_none_or(|version| version < ROOTLESS_OVERLAY);
    if identity != Identity::System && old {
        let advice = "Linux 5.11 or newer is needed without root";
        return Finding::missing("overlay", "only for root", advice);
    }
    Finding::ok("overlay", if built_in { "in the kernel" } else { "a module" })
}

fn file_system(root: &Path) -> Vec<Finding> {
    let stat = match rustix::fs::statfs(root) {
        Ok(stat) => stat,
        Err(error) => {
            let found = format!("{}: {}", root.display(), std::io::Error::from(error));
            return vec![Finding::missing("storage", found, "choose another folder with --root")];
        }
    };
    let kind = u64::try_from(stat.f_type).unwrap_or(0);
    let mut findings = Vec::new();
    if let Some((_, name)) = NO_UPPER.iter().find(|(magic, _)| *magic == kind) {
        findings.push(Finding::missing(
            "storage",
            format!("{} is on {name}, where an overlay can't write", root.display()),
            "choose a folder on ext4, xfs, btrfs or tmpfs with --root",
        ));
    }
    let block = u64::try_from(stat.f_bsize).unwrap_or(0);
    let free = stat.f_bavail.saturating_mul(block);
    let found = format!("{} free in {}", sizes::human(free), root.display());
    findings.push(match free {
        0..LITTLE => Finding::warning("space", found, "free some space, or choose another --root"),
        _ => Finding::ok("space", found),
    });
    findings
}

fn writable(root: &Path, there: &Path) -> Finding {
    match rustix::fs::access(there, rustix::fs::Access::WRITE_OK) {
        Ok(()) => Finding::ok("state", root.display().to_string()),
        Err(error) => Finding::missing(
            "state",
            format!("{} can't be written: {}", there.display(), std::io::Error::from(error)),
            "run as root, or choose a folder of yours with --root",
        ),
    }
}

/// The nearest folder above `path` that is there.
fn existing(path: &Path) -> PathBuf {
    let there = path.ancestors().find(|folder| folder.exists());
    there.unwrap_or(Path::new("/")).to_owned()
}
