//! The command that is run when all is over.

use std::ffi::CString;
use std::os::unix::ffi::OsStringExt as _;

use caisson_sys::descriptors::close_all_except;
use caisson_sys::exec::{StringArray, execve};
use rustix::stdio::{dup2_stderr, dup2_stdout};

use super::step::{StepError, warn};
use super::streams::null;

/// Becomes the command, if there is one; false if that failed.
pub(super) fn execute(command: &[String]) -> bool {
    let Some(program) = command.first() else { return true };
    let strings = |list: Vec<Vec<u8>>| -> Option<StringArray> {
        list.into_iter()
            .map(|text| CString::new(text).ok())
            .collect::<Option<_>>()
            .map(StringArray::new)
    };
    let args = strings(command.iter().map(|arg| arg.clone().into_bytes()).collect());
    let pairs = std::env::vars_os().map(|(name, value)| {
        let mut pair = name.into_vec();
        pair.push(b'=');
        pair.extend(value.into_vec());
        pair
    });
    let (Some(args), Some(env), Ok(path)) =
        (args, strings(pairs.collect()), CString::new(program.as_str()))
    else {
        return false;
    };
    if let Ok(null) = null() {
        let _ = dup2_stdout(&null);
        let _ = dup2_stderr(&null);
    }
    if close_all_except(3, &[]).is_err() || caisson_sys::signals::unblock_all().is_err() {
        return false;
    }
    let error = execve(&path, &args, &env);
    warn(&StepError::new(format!("execute {program}"), error));
    false
}
