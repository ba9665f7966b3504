//! Programs that take part.

use std::path::PathBuf;

use caisson_node::paths::Identity;

use super::Finding;
use crate::context::Context;
use crate::host;

pub(super) fn look(context: &Context) -> Vec<Finding> {
    let mut findings = vec![supervisor()];
    if let Identity::User { uid } = context.identity {
        findings.push(id_tools());
        findings.push(id_ranges(uid));
    }
    findings
}

/// `caisson-shim`: beside this program, in `<prefix>/libexec/caisson`, or in
/// PATH.
fn supervisor() -> Finding {
    const NAME: &str = "caisson-shim";
    let own = std::env::current_exe().ok();
    let folder = own.as_deref().and_then(std::path::Path::parent);
    let near = folder.map(|folder| folder.join(NAME));
    let installed = folder
        .and_then(std::path::Path::parent)
        .map(|prefix| prefix.join("libexec/caisson").join(NAME));
    let found = [near, installed].into_iter().flatten().find(|file| host::is_executable(file));
    match found.or_else(|| host::program(NAME)) {
        Some(file) => Finding::ok(NAME, file.display().to_string()),
        None => Finding::missing(NAME, "not found", "install it beside caisson: `make install`"),
    }
}

/// Programs that give a user more ids than one.
fn id_tools() -> Finding {
    let absent: Vec<_> = ["newuidmap", "newgidmap"]
        .into_iter()
        .filter(|name| host::program(name).is_none())
        .collect();
    match absent.as_slice() {
        [] => Finding::ok("id maps", "newuidmap, newgidmap"),
        absent => Finding::warning(
            "id maps",
            format!("no {}: containers have one user only", absent.join(", ")),
            "apt-get install uidmap",
        ),
    }
}

/// Ids that the administrator gave to the user (subuid(5), subgid(5)).
fn id_ranges(uid: u32) -> Finding {
    let name = host::user_name(uid).unwrap_or_else(|| uid.to_string());
    let absent: Vec<_> = ["/etc/subuid", "/etc/subgid"]
        .map(PathBuf::from)
        .into_iter()
        .filter(|file| {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            !text.lines().any(|line| {
                let owner = line.split(':').next().unwrap_or_default();
                owner == name || owner == uid.to_string()
            })
        })
        .map(|file| file.display().to_string())
        .collect();
    match absent.as_slice() {
        [] => Finding::ok("id ranges", format!("/etc/subuid and /etc/subgid name {name}")),
        absent => Finding::warning(
            "id ranges",
            format!("{} has no ids for {name}", absent.join(" and ")),
            format!("usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}"),
        ),
    }
}
