//! Threads that are interrupted on the way from a rewritten site ([`super::sites`]), and those
//! that step through one.

use crate::mm::{Site, Space};
use crate::platform::context::{Context, Register};
use crate::platform::fast;
use crate::platform::{HostCall, post};
use crate::task::Thread;
use crate::task::waiter::lock;

use super::site_forms::{CALL, Form, STONES};

/// A thread that was interrupted on the way from a site is set back to it, or behind it
/// if it has its answer, or is to get it once the call that is told second is made.
pub fn unwind(thread: &Thread, context: &mut Context) -> (post::Place, Option<HostCall>) {
    let pointer = context.get(Register::Rip);
    let place = lock(&thread.place).clone();
    let memory = &place.space.memory;
    if fast::is_inside(pointer) {
        fast::unwind(memory, place.slot, context);
        return (post::Place::Any, None);
    }
    if post::is_inside(pointer) {
        let desks = place.space.desks.get().map(|desks| &**desks);
        let lent = thread.posting.take_lent();
        let gift = lent.as_ref().map(|lent| lent.gift);
        let stood = post::unwind(memory, place.slot, desks, gift, context);
        if let (post::Place::Undone, Some(lent)) = (stood, lent) {
            lent.take_back();
        }
        let approved = (stood == post::Place::Making).then(|| thread.posting.take_approved());
        if approved == Some(None) {
            // Nobody but the guest has said so.
            context.set(Register::Rip, context.get(Register::Rip).wrapping_sub(CALL as u64));
        }
        return (stood, approved.flatten());
    }
    let found = lock(&place.space.sites).at(pointer);
    if let Some((trampoline, site)) = found {
        fast::unwind_trampoline(context, trampoline, (site.start, site.call));
    } else if let Some(start) = from_stepping_stone(&place.space, pointer) {
        context.set(Register::Rip, start);
    }
    (post::Place::Any, None)
}

/// A rewritten site that `is` one looked for, its trampoline, and what that does.
fn rewritten(space: &Space, is: impl Fn(&Site) -> bool) -> Option<(u64, Site, Form)> {
    let (trampoline, site) = lock(&space.sites).find(is)?;
    Some((trampoline, site, Form::replaced_by(space.memory.read_array(trampoline).ok()?)?))
}

/// The site from which a stepping stone is reached: nobody stands there otherwise.
fn from_stepping_stone(space: &Space, pointer: u64) -> Option<u64> {
    let is_from = |form: Form, site: &Site| form.stepping_stone(site.call) == Some(pointer);
    let may_be = |site: &Site| STONES.into_iter().any(|form| is_from(form, site));
    let (trampoline, site, form) = rewritten(space, may_be)?;
    // Something else may be mapped there by now.
    let jumps = space.memory.read_array(pointer).ok() == fast::jump(pointer, trampoline);
    (jumps && is_from(form, &site)).then_some(site.start)
}

/// A thread that reports each of its steps stands at a rewritten site: it is put in front
/// of the call, so that it is not set back from every step in the trampoline.
pub fn step_over(thread: &Thread, context: &mut Context) {
    let start = context.get(Register::Rip);
    let space = thread.space();
    let Some((trampoline, site, form)) = rewritten(&space, |site| site.start == start) else {
        return;
    };
    // Something else may be mapped there by now.
    let is_there = |(at, bytes): &(u64, Vec<u8>)| {
        let mut there = vec![0; bytes.len()];
        space.memory.read(*at, &mut there).is_ok() && there == *bytes
    };
    if !form.changes(site.call, trampoline).is_some_and(|changes| changes.iter().all(is_there)) {
        return;
    }
    if form.execute(&space.memory, context).is_ok() {
        context.set(Register::Rip, site.call);
    }
}
