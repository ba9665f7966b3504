//! The real supervisor, with containers of busybox on overlay layers.
//! Needs root and `/bin/busybox` (Debian: busybox-static).

#[cfg(test)]
mod attach;
#[cfg(test)]
mod exec;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod foreign;
#[cfg(test)]
mod hostile_shim;
#[cfg(test)]
mod launch;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod mounts;
#[cfg(test)]
mod pod;
#[cfg(test)]
mod pods;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod rootless;
#[cfg(test)]
mod size;
#[cfg(test)]
mod terminal;

#[cfg(test)]
/// Leaves a test out, and says so, unless the caller is root.
macro_rules! needs_root {
    () => {
        if !rustix::process::geteuid().is_root() {
            eprintln!("left out: needs root");
            return;
        }
    };
}
#[cfg(test)]
pub(crate) use needs_root;
