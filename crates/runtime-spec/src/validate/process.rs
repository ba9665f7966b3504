//! `process`.

use super::fault::{Check, absolute, each, environment, fault, text, texts};
use super::{identity, scheduling};
use crate::capabilities::Capabilities;
use crate::process::{Process, Rlimit};

pub(super) fn check(process: &Process) -> Check {
    absolute("cwd", &process.cwd)?;
    identity::user(&process.user).map_err(|fault| fault.under("user"))?;
    match process.args.first() {
        None => return fault("args", "missing or empty"),
        Some(program) if program.is_empty() => return fault("args[0]", "empty"),
        Some(_) => {}
    }
    texts("args", &process.args)?;
    environment("env", &process.env)?;
    for (name, label) in
        [("apparmorProfile", &process.apparmor_profile), ("selinuxLabel", &process.selinux_label)]
    {
        if let Some(label) = label {
            text(name, label)?;
        }
    }
    if let Some(score) = process.oom_score_adj
        && !(-1000..=1000).contains(&score)
    {
        return fault("oomScoreAdj", format!("{score} is not within -1000..=1000"));
    }
    if let Some(capabilities) = &process.capabilities {
        capability_sets(capabilities).map_err(|fault| fault.under("capabilities"))?;
    }
    rlimits(&process.rlimits)?;
    scheduling::check(process)
}

/// `capset(2)` fails unless the effective set is within the permitted one.
fn capability_sets(sets: &Capabilities) -> Check {
    match sets.effective.iter().find(|capability| !sets.permitted.contains(*capability)) {
        Some(capability) => fault("effective", format!("{capability} is not in the permitted set")),
        None => Ok(()),
    }
}

fn rlimits(limits: &[Rlimit]) -> Check {
    let mut seen = 0_u32;
    for (index, limit) in limits.iter().enumerate() {
        let bit = 1 << limit.kind.number();
        if seen & bit != 0 {
            return fault(
                format!("rlimits[{index}].type"),
                format!("{} is given twice", limit.kind),
            );
        }
        seen |= bit;
    }
    each("rlimits", limits, |limit| {
        if limit.soft > limit.hard {
            return fault(
                "soft",
                format!("{} of {} is above the hard limit {}", limit.soft, limit.kind, limit.hard),
            );
        }
        Ok(())
    })
}
