//! Switches of the kernel's network in `/proc/sys/net`.

use std::fs;
use std::io;

/// Why a switch could not be set.
#[derive(Debug, thiserror::Error)]
#[error("can't set the sysctl net.{name} to {value}: {cause}; set it yourself, and try again")]
pub struct SysctlError {
    name: String,
    value: String,
    cause: io::Error,
}

fn path(name: &str) -> String {
    format!("/proc/sys/net/{name}")
}

/// The value of `ipv4/ip_forward` and the like, if there is such a thing.
pub(crate) fn get(name: &str) -> Option<String> {
    fs::read_to_string(path(name)).ok().map(|text| text.trim().to_owned())
}

/// Sets it if it is not set already.
pub(crate) fn set(name: &str, value: &str) -> Result<(), SysctlError> {
    if get(name).as_deref() == Some(value) {
        return Ok(());
    }
    let failed =
        |cause| SysctlError { name: name.replace('/', "."), value: value.to_owned(), cause };
    fs::write(path(name), value).map_err(failed)
}

/// Makes the host pass packets on.
pub(crate) fn forward(ipv6: bool) -> Result<(), SysctlError> {
    set("ipv4/ip_forward", "1")?;
    if ipv6 && get("ipv6/conf/all/forwarding").as_deref() == Some("0") {
        // A host that forwards no longer listens to router advertisements,
        // which may be where its own routes come from: 2 makes it do both.
        for entry in fs::read_dir(path("ipv6/conf")).into_iter().flatten().flatten() {
            let name = format!("ipv6/conf/{}/accept_ra", entry.file_name().display());
            if get(&name).as_deref() == Some("1") {
                set(&name, "2")?;
            }
        }
        set("ipv6/conf/all/forwarding", "1")?;
    }
    Ok(())
}
