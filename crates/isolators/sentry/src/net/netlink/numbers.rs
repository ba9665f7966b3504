//! Numbers by which a network knows others (`RTM_NEWNSID`, `RTM_GETNSID`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};

use rustix::io::Errno;

use super::message::{Answer, Request, attribute, flag};
use super::{Asker, word};
use crate::net::Network;
use crate::task::waiter::lock;

/// `RTM_*`
const NEW: u16 = 88;
pub(super) const GET: u16 = 90;
/// `NETNSA_*`
const NUMBER: u16 = 1;
const PROCESS: u16 = 2;
const DESCRIPTOR: u16 = 3;
/// `struct rtgenmsg`, with what fills it up.
const FIXED: usize = 4;
/// `NETNSA_NSID_NOT_ASSIGNED`
const NONE: i32 = -1;
/// Numbers that a network gives at most.
const MOST: usize = 4096;

/// Those that a network has given.
#[derive(Debug, Default)]
pub struct Numbers(Mutex<BTreeMap<i32, Weak<Network>>>);

/// How a network is named.
#[derive(Clone, Copy, Debug)]
pub enum Named {
    /// As that of a process, by its number.
    Process(i32),
    /// By a descriptor.
    Descriptor(i32),
}

impl Named {
    /// What one of two attributes says.
    pub(super) fn of(attributes: &[u8], process: u16, descriptor: u16) -> Option<Self> {
        let number = |kind| attribute(attributes, kind).map(|b| word(b, 0).cast_signed());
        number(process).map(Named::Process).or_else(|| number(descriptor).map(Named::Descriptor))
    }
}

fn number_of(all: &BTreeMap<i32, Weak<Network>>, other: &Arc<Network>) -> Option<i32> {
    let found = all.iter().find(|(_, network)| std::ptr::eq(network.as_ptr(), Arc::as_ptr(other)));
    found.map(|(number, _)| *number)
}

impl Numbers {
    /// The number of a network, if it has one.
    fn of(&self, other: &Arc<Network>) -> Option<i32> {
        number_of(&lock(&self.0), other)
    }

    /// The number of a network that a link leads to, which gets one with that; -1 if there is
    /// no room.
    pub(super) fn for_link(&self, other: &Arc<Network>) -> i32 {
        let given = self.of(other).or_else(|| self.give(other, None).ok());
        // Somebody else may just have given it one.
        given.or_else(|| self.of(other)).unwrap_or(NONE)
    }

    /// Which network has a number.
    fn get(&self, number: i32) -> Option<Arc<Network>> {
        lock(&self.0).get(&number).and_then(Weak::upgrade)
    }

    /// Gives it a number: this one, or the first that is free.
    fn give(&self, other: &Arc<Network>, wanted: Option<i32>) -> Result<i32, Errno> {
        let mut own = lock(&self.0);
        if number_of(&own, other).is_some() {
            return Err(Errno::EXIST);
        }
        own.retain(|_, network| network.strong_count() > 0);
        if own.len() >= MOST {
            return Err(Errno::NOMEM);
        }
        let number = match wanted {
            Some(number) if own.contains_key(&number) => return Err(Errno::EXIST),
            Some(number) => number,
            None => (0..).find(|number| !own.contains_key(number)).ok_or(Errno::NOSPC)?,
        };
        own.insert(number, Arc::downgrade(other));
        Ok(number)
    }
}

/// The network that a request is about.
fn named(request: &Request<'_>, who: &Asker<'_>) -> Option<Result<Arc<Network>, Errno>> {
    let named = Named::of(request.body.get(FIXED..)?, PROCESS, DESCRIPTOR)?;
    Some((who.find)(named))
}

/// Gives a network a number.
pub(super) fn change(
    request: &Request<'_>,
    network: &Network,
    who: &Asker<'_>,
) -> Option<Result<(), Errno>> {
    if request.kind != NEW {
        return None;
    }
    let give = || {
        let wanted = request.attribute(FIXED, NUMBER).ok_or(Errno::INVAL)?;
        let wanted = Some(word(wanted, 0).cast_signed()).filter(|wanted| *wanted >= 0);
        let other = named(request, who).ok_or(Errno::INVAL)??;
        network.numbers.give(&other, wanted).map(drop)
    };
    Some(who.permit_as_it_is(network).and_then(|()| give()))
}

fn told(request: &Request<'_>, number: i32, flags: u16, port: u32) -> Vec<u8> {
    let mut answer = Answer::new(request, NEW, flags, port);
    answer.put(&[0; FIXED]);
    answer.number(NUMBER, number.cast_unsigned());
    answer.finish()
}

/// Tells a network's number, or all of them.
pub(super) fn tell(
    request: &Request<'_>,
    network: &Network,
    who: &Asker<'_>,
    port: u32,
) -> Vec<Vec<u8>> {
    if request.dumps() {
        let numbers = Vec::from_iter(lock(&network.numbers.0).keys().copied());
        let all = numbers.into_iter().map(|number| told(request, number, flag::MULTI, port));
        return all.chain([request.done(port)]).collect();
    }
    let by_number = || {
        let number = word(request.attribute(FIXED, NUMBER)?, 0).cast_signed();
        Some(network.numbers.get(number).ok_or(Errno::NOENT))
    };
    let found = named(request, who).or_else(by_number).unwrap_or(Err(Errno::INVAL));
    match found {
        Ok(other) => {
            let number = network.numbers.of(&other).unwrap_or(NONE);
            let mut answers = vec![told(request, number, 0, port)];
            answers.extend(request.acknowledge(Ok(()), port));
            answers
        }
        Err(errno) => request.acknowledge(Err(errno), port),
    }
}
