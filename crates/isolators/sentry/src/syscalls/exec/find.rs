//! Finding a program by its path or descriptor: through `#!` lines and with its interpreter.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::io::Errno;

use crate::loader::{Image, Script, parse_script};
use crate::vfs::file_use::{FileUse, Purpose};
use crate::vfs::{End, Entry, Kind, Limits, MountFlags, Node, ProcNode, Walker, access, permit};

use super::super::gain::gain;
use super::super::{Call, Failure};
use super::{Binary, Named, Program};

/// Scripts that name scripts.
const SCRIPT_DEPTH: usize = 5;

/// A file that may be executed.
struct Opened {
    file: Arc<OwnedFd>,
    entry: Arc<Entry>,
    reading: Arc<FileUse>,
    executing: Arc<FileUse>,
}

/// Who looks for a program, and the call that waits for leases of its file, if there is one.
type Asks<'a> = (&'a Walker<'a>, Option<&'a Call<'a>>);

fn open_binary(asks: Asks<'_>, start: &Arc<Entry>, path: &[u8]) -> Result<Opened, Failure> {
    let found = asks.0.walk_to(start, path, true, Limits::empty(), End::Read)?;
    to_execute(asks, found.existing()?)
}

/// The same of what a call names.
fn open_named(asks: Asks<'_>, named: &Named) -> Result<Opened, Failure> {
    let Some(rest) = &named.rest else { return to_execute(asks, Arc::clone(&named.start)) };
    let found = asks.0.walk_to(&named.start, rest, named.follow, Limits::empty(), End::Read)?;
    to_execute(asks, found.existing()?)
}

fn to_execute((walker, call): Asks<'_>, mut entry: Arc<Entry>) -> Result<Opened, Failure> {
    if let Node::Proc(ProcNode::Descriptor(open, _)) = &entry.node {
        entry = open.entry.clone().ok_or(Errno::ACCESS)?;
    }
    match entry.kind() {
        Kind::Regular => {}
        Kind::Link => return Err(Errno::LOOP.into()),
        _ => return Err(Errno::ACCESS.into()),
    }
    permit(&walker.credentials, &entry.attributes(walker.kernel)?, access::EXECUTE)?;
    if entry.mount.flags().contains(MountFlags::NO_EXECUTE) {
        return Err(Errno::ACCESS.into());
    }
    let begin = |purpose| entry.node.begin(purpose)?.ok_or(Errno::ACCESS);
    let reading = begin(Purpose::Reading)?;
    if let Some(call) = call {
        reading.break_leases(call, false, true)?;
    }
    let executing = begin(Purpose::Executing)?;
    let file = entry.node.to_execute(walker.kernel)?;
    Ok(Opened { file, entry, reading, executing })
}

fn read_exact(file: &OwnedFd, offset: u64, into: &mut [u8]) -> Result<(), Errno> {
    let mut done = 0;
    while let Some(rest) = into.get_mut(done..).filter(|r| !r.is_empty()) {
        match rustix::io::pread(file, rest, offset.checked_add(done as u64).ok_or(Errno::INVAL)?)? {
            0 => return Err(Errno::IO),
            count => done += count,
        }
    }
    Ok(())
}

fn binary(opened: Opened) -> Result<Binary, Errno> {
    let Opened { file, entry, reading, executing } = opened;
    let reading = entry.node.mapped_use(&reading);
    let image = Image::parse(|offset, into| read_exact(&file, offset, into))?;
    let id = entry.node.id().ok_or(Errno::ACCESS)?;
    Ok(Binary { image, path: entry.path(), entry, id, file, reading, executing })
}

/// Finds a program, through `#!` lines and with its interpreter.
pub(super) fn find(
    asks: Asks<'_>,
    named: &Named,
    arguments: Vec<Vec<u8>>,
    environment: Vec<Vec<u8>>,
) -> Result<Program, Failure> {
    let walker = asks.0;
    let (mut called, mut arguments) = (named.path.clone(), arguments);
    let start = &named.current;
    for depth in 0..SCRIPT_DEPTH {
        let opened = match depth {
            0 => open_named(asks, named)?,
            _ => open_binary(asks, start, &called)?,
        };
        let mut head = [0; 256];
        let length = rustix::io::pread(&opened.file, &mut head, 0)?;
        let script = head.get(..length).and_then(parse_script);
        if let Some(Script { interpreter, argument }) = script {
            if !named.lasting {
                return Err(Errno::NOENT.into());
            }
            let rest = arguments.split_off(arguments.len().min(1));
            arguments = vec![interpreter.clone()];
            arguments.extend(argument);
            arguments.push(called);
            arguments.extend(rest);
            called = interpreter;
            continue;
        }
        let binary = binary(opened)?;
        let mut gain = gain(walker, &binary.entry)?;
        let interpreter = match binary.image.interpreter {
            None => None,
            Some((offset, length)) => {
                let mut name = vec![0; length];
                read_exact(&binary.file, offset, &mut name)?;
                let name = name.strip_suffix(&[0]).ok_or(Errno::NOEXEC)?;
                let opened = open_binary(asks, start, name)?;
                gain = gain.with(walker, &opened.entry)?;
                Some(self::binary(opened).map_err(|_| Errno::LIBBAD)?)
            }
        };
        let called = named.path.clone();
        return Ok(Program { binary, interpreter, arguments, environment, called, gain });
    }
    Err(Errno::LOOP.into())
}
