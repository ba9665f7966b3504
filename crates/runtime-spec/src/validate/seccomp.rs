//! `linux.seccomp`.

use super::fault::{Check, each, fault, text};
use crate::seccomp::{Seccomp, SeccompAction, Syscall};

/// Highest argument of a system call.
const ARGUMENT_MAX: u32 = 5;

/// Highest errno that the kernel returns from a filter (`MAX_ERRNO`).
const ERRNO_MAX: u32 = 4095;

/// Bits of a filter's return value that carry data (`SECCOMP_RET_DATA`).
const TRACE_MESSAGE_MAX: u32 = 0xffff;

pub(super) fn check(filter: &Seccomp) -> Check {
    if filter.default_action == SeccompAction::Notify {
        return fault("defaultAction", "SCMP_ACT_NOTIFY would stop the runtime itself");
    }
    return_value("defaultErrnoRet", filter.default_action, filter.default_errno_ret)?;
    let listener = filter.listener_path.as_deref();
    text("listenerPath", listener.unwrap_or_default())?;
    if filter.listener_metadata.is_some() && listener.is_none() {
        return fault("listenerMetadata", "has no effect without listenerPath");
    }
    each("syscalls", &filter.syscalls, |rule| syscall(rule, listener.is_some()))
}

fn syscall(rule: &Syscall, has_listener: bool) -> Check {
    if rule.names.is_empty() {
        return fault("names", "missing or empty");
    }
    return_value("errnoRet", rule.action, rule.errno_ret)?;
    if rule.action == SeccompAction::Notify {
        if !has_listener {
            return fault("action", "SCMP_ACT_NOTIFY needs linux.seccomp.listenerPath");
        }
        // The runtime has to write the descriptor's number with the filter on.
        if rule.names.iter().any(|name| name == "write") {
            return fault("names", "SCMP_ACT_NOTIFY cannot be used for write");
        }
    }
    each("args", &rule.args, |argument| {
        if argument.index > ARGUMENT_MAX {
            return fault("index", format!("{} is above {ARGUMENT_MAX}", argument.index));
        }
        Ok(())
    })
}

fn return_value(path: &str, action: SeccompAction, value: Option<u32>) -> Check {
    let Some(value) = value else {
        return Ok(());
    };
    let max = match action {
        SeccompAction::Errno => ERRNO_MAX,
        SeccompAction::Trace => TRACE_MESSAGE_MAX,
        other => return fault(path, format!("{other} returns no errno")),
    };
    if value > max { fault(path, format!("{value} is above {max}")) } else { Ok(()) }
}
