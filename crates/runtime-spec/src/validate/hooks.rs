//! `hooks`.

use super::fault::{Check, absolute, each, environment, fault, texts};
use crate::hooks::{Hook, Hooks};

pub(super) fn check(hooks: &Hooks) -> Check {
    for (name, list) in [
        ("prestart", &hooks.prestart),
        ("createRuntime", &hooks.create_runtime),
        ("createContainer", &hooks.create_container),
        ("startContainer", &hooks.start_container),
        ("poststart", &hooks.poststart),
        ("poststop", &hooks.poststop),
    ] {
        each(name, list, hook)?;
    }
    Ok(())
}

fn hook(hook: &Hook) -> Check {
    absolute("path", &hook.path)?;
    texts("args", &hook.args)?;
    environment("env", &hook.env)?;
    match hook.timeout {
        Some(seconds) if seconds <= 0 => {
            fault("timeout", format!("{seconds} is not above 0 seconds"))
        }
        _ => Ok(()),
    }
}
