//! `mounts`.

use super::fault::{Check, each, fault, text, texts};
use super::identity;
use crate::linux::{Linux, NamespaceKind};
use crate::mount_options::MountOptions;
use crate::mounts::Mount;

pub(super) fn check(mounts: &[Mount], linux: &Linux) -> Check {
    each("mounts", mounts, |mount| one(mount, linux))
}

fn one(mount: &Mount, linux: &Linux) -> Check {
    // A relative destination is permitted and means relative to the root.
    if mount.destination.is_empty() {
        return fault("destination", "missing");
    }
    text("destination", &mount.destination)?;
    text("type", mount.kind.as_deref().unwrap_or_default())?;
    text("source", mount.source.as_deref().unwrap_or_default())?;
    texts("options", &mount.options)?;
    let options = mount.parsed_options();
    if options.bind.is_some() {
        bind(mount, &options)?;
    } else if mount.kind.is_none() && !options.remount {
        return fault("type", "missing, only bind mounts and remounts can do without");
    }
    idmapped(mount, &options, linux)
}

fn bind(mount: &Mount, options: &MountOptions<'_>) -> Check {
    if mount.source.is_none() && !options.remount {
        return fault("source", "missing, a bind mount needs it");
    }
    // The kernel would ignore them without a word.
    if let Some(option) = options.data.first() {
        return fault(
            "options",
            format!("{option:?} is an option of a file system, a bind mount has none"),
        );
    }
    Ok(())
}

fn idmapped(mount: &Mount, options: &MountOptions<'_>, linux: &Linux) -> Check {
    let (uids, gids) = (&mount.uid_mappings, &mount.gid_mappings);
    identity::mappings("uidMappings", uids)?;
    identity::mappings("gidMappings", gids)?;
    if uids.is_empty() != gids.is_empty() {
        let missing = if uids.is_empty() { "uidMappings" } else { "gidMappings" };
        return fault(missing, "missing, an idmapped mount needs both user and group mappings");
    }
    if uids.is_empty() && options.idmap.is_none() {
        return Ok(());
    }
    if options.bind.is_none() {
        return fault("options", "only bind mounts can be idmapped");
    }
    if uids.is_empty() && linux.namespace(NamespaceKind::User).is_none() {
        return fault(
            "uidMappings",
            "missing, and there is no user namespace whose mappings the mount could have",
        );
    }
    Ok(())
}
