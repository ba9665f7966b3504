//! A further container in the sandbox: its kernel is booted beside the one that is asked,
//! in the same process. Its first process outside, which asks, stands for it.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use caisson_runtime_spec::Spec;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::server::{answer, explain, failed, obey, read, take};
use super::{Answer, Order, cause, program, receive};
use crate::kernel::{Kernel, Shared};
use crate::launch::{Further, Streams, boot_beside, start};
use crate::oci::adapt::layout;
use crate::signal::{self, SIGKILL};
use crate::task::{Process, Status, end_container};

const STACK: usize = 512 << 10;

/// What is asked for. Descriptors that come along, behind the two of every request: the
/// container's own control socket, its broker's socket, `cgroups`, `roots`, and one for
/// each of `streams`.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Joining {
    /// The container's configuration.
    pub(crate) spec: Spec,
    /// The program, found by `PATH`.
    pub(crate) program: String,
    /// Its variables.
    pub(crate) environment: Vec<String>,
    /// Whether the first three streams are a terminal of the host's, in raw mode.
    pub(crate) terminal: bool,
    /// Numbers that the streams get.
    pub(crate) streams: Vec<u32>,
    /// How many files there are of the container's cgroups.
    pub(crate) cgroups: usize,
    /// How many trees its broker serves.
    pub(crate) roots: usize,
    /// The machine's name, if it is not shared.
    pub(crate) host_name: String,
    /// What is shared with the container whose kernel is asked.
    pub(crate) shared: Shared,
}

/// Makes the container, and serves it until it has ended.
pub(super) fn serve(
    other: &Arc<Kernel>,
    connection: &Arc<OwnedFd>,
    request: Option<OwnedFd>,
    descriptors: Vec<OwnedFd>,
) {
    let (kernel, first, control) = match make(other, request, descriptors) {
        Ok(made) => made,
        Err(reason) => return answer(connection, &reason),
    };
    answer(connection, &Answer::Started(first.pid));
    let (ending, told) = (Arc::clone(&kernel), Arc::clone(connection));
    let thread = std::thread::Builder::new().stack_size(STACK);
    let waits = thread.spawn(move || {
        let last = match ending.wait_for_end() {
            Status::Exited(code) => Answer::Exited(code),
            Status::Killed(signal, _) => Answer::Killed(signal),
        };
        end_container(&ending);
        answer(&told, &last);
    });
    if waits.is_ok() {
        heed(&kernel, &first, connection, &control);
    }
    signal::outside::to_process(&kernel, first, SIGKILL);
    if waits.is_err() {
        end_container(&kernel);
    }
}

/// Until who asked is gone, which it is soon after the container has ended.
fn heed(kernel: &Arc<Kernel>, first: &Arc<Process>, connection: &OwnedFd, control: &OwnedFd) {
    loop {
        let mut sources =
            [PollFd::new(connection, PollFlags::IN), PollFd::new(control, PollFlags::IN)];
        match poll(&mut sources, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return,
        }
        let [orders, requests] = sources.map(|source| !source.revents().is_empty());
        if requests && take(kernel, control).is_err() {
            return;
        }
        if orders {
            match receive(connection) {
                Ok(told) if !told.bytes.is_empty() => {
                    if let Some(order) = Order::decode(&told.bytes) {
                        obey(kernel, first, order);
                    }
                }
                _ => return,
            }
        }
    }
}

fn make(
    other: &Arc<Kernel>,
    request: Option<OwnedFd>,
    descriptors: Vec<OwnedFd>,
) -> Result<(Arc<Kernel>, Arc<Process>, OwnedFd), Answer> {
    const READ: &str = "read what the sandbox is to make";
    let text = request
        .ok_or(Errno::INVAL)
        .and_then(|file| read(&file))
        .map_err(|errno| failed(READ, &cause(errno)))?;
    let Joining {
        spec,
        program: path,
        environment,
        terminal,
        streams,
        cgroups,
        roots,
        host_name,
        shared,
    } = serde_json::from_slice(&text).map_err(|error| failed(READ, &error.to_string()))?;
    let parts = [2, cgroups, roots, streams.len()];
    let count = parts.into_iter().try_fold(0_usize, usize::checked_add);
    if count != Some(descriptors.len()) {
        return Err(failed(READ, "descriptors are missing"));
    }
    let mut descriptors = descriptors.into_iter();
    let (Some(control), Some(broker)) = (descriptors.next(), descriptors.next()) else {
        return Err(failed(READ, "descriptors are missing"));
    };
    let cgroups: Vec<OwnedFd> = descriptors.by_ref().take(cgroups).collect();
    let roots: Vec<OwnedFd> = descriptors.by_ref().take(roots).collect();
    let streams = Streams { list: streams.into_iter().zip(descriptors).collect(), terminal };
    let layout = layout(&spec).map_err(|error| failed(READ, &error.to_string()))?;
    let given = Further {
        layout: &layout,
        roots,
        broker: other.files.broker.and(broker),
        host_name: host_name.into_bytes(),
        cgroups,
        shared,
    };
    let kernel = boot_beside(other, given)
        .map_err(|error| failed("boot the container's kernel", &error.to_string()))?;
    let wanted = spec.process.unwrap_or_default();
    let mut program = program(&wanted);
    program.path = path.into_bytes();
    program.environment = environment.into_iter().map(String::into_bytes).collect();
    // The end of number 1 of its own numbering is noticed anyway.
    let ending = Arc::clone(&kernel);
    let ended = shared
        .processes
        .then(|| -> crate::kernel::Ended { Box::new(move |status| ending.finish(status)) });
    let started = start(&kernel, &program, streams, ended);
    let first = started.map_err(|error| {
        kernel.end_zygote();
        explain(wanted.args.first().map_or("", String::as_str), &error)
    })?;
    Ok((kernel, first, control))
}
