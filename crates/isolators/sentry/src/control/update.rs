//! New limits of the container's cgroup.

use std::os::fd::OwnedFd;

use caisson_runtime_spec::Resources;
use rustix::io::Errno;

use super::server::{answer, failed, read};
use super::{Answer, cause};
use crate::kernel::Kernel;

/// Takes them over.
pub(super) fn serve(kernel: &Kernel, connection: &OwnedFd, request: Option<OwnedFd>) {
    let step = "read the container's limits";
    let text = request.ok_or(Errno::INVAL).and_then(|file| read(&file));
    let limits = text.map_err(cause).and_then(|text| {
        serde_json::from_slice::<Resources>(&text).map_err(|error| error.to_string())
    });
    match limits {
        Ok(limits) => {
            kernel.limits.update(&limits);
            answer(connection, &Answer::Started(0));
        }
        Err(cause) => answer(connection, &failed(step, &cause)),
    }
}
