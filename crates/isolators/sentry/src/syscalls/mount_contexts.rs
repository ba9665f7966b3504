//! File systems step by step: fsopen(2), fsconfig(2), fsmount(2), fspick(2).

use std::sync::Arc;

use rustix::io::Errno;

use crate::task::Caps;
use crate::task::namespaces::mounts_of;
use crate::task::waiter::lock;
use crate::vfs::mount::{ContextState, FsContext, Options, Stage};
use crate::vfs::{Kind, MountFlags, OpenFile, open, status};

use super::mounts::{MOUNTABLE, NewFileSystem, is_root, new_file_system, permitted};
use super::paths::walk_or_itself;
use super::{Call, Outcome};

/// `FSOPEN_CLOEXEC`, `FSMOUNT_CLOEXEC`, `FSPICK_CLOEXEC`
const CLOSE_ON_EXEC: u32 = 1;
/// Types whose options are one text, as mount(2) has them.
const OF_ONE_TEXT: [&str; 2] = ["overlay", "devpts"];

fn add(call: &Call<'_>, context: FsContext, close: bool) -> Outcome {
    let file = OpenFile::stream(Box::new(context), status::READ_WRITE);
    Ok(call.files().add(file, 0, close)?.into())
}

/// A text argument of at most `most` bytes with its end.
fn short(call: &Call<'_>, index: usize, most: usize) -> Result<Vec<u8>, Errno> {
    call.memory().read_string(call.arg(index), most)?.ok_or(Errno::INVAL)
}

pub(super) fn fsopen(call: &Call<'_>) -> Outcome {
    permitted(call)?;
    if call.uint(1) & !CLOSE_ON_EXEC != 0 {
        return Err(Errno::INVAL.into());
    }
    let kind = String::from_utf8(short(call, 0, 4096)?).map_err(|_| Errno::NODEV)?;
    if kind != "overlay" && !MOUNTABLE.contains(&kind.as_str()) {
        return Err(Errno::NODEV.into());
    }
    add(call, FsContext::new(&kind, None), call.uint(1) & CLOSE_ON_EXEC != 0)
}

pub(super) fn fspick(call: &Call<'_>) -> Outcome {
    const NO_FOLLOW: u32 = 2;
    const NO_AUTOMOUNT: u32 = 4;
    const EMPTY: u32 = 8;
    permitted(call)?;
    let flags = call.uint(2);
    if flags & !(CLOSE_ON_EXEC | NO_FOLLOW | NO_AUTOMOUNT | EMPTY) != 0 {
        return Err(Errno::INVAL.into());
    }
    let target =
        walk_or_itself(call, (0, 1), flags & EMPTY != 0, flags & NO_FOLLOW == 0, Errno::INVAL)?;
    if !is_root(&target) {
        return Err(Errno::INVAL.into());
    }
    let kind = target.mount.kind.clone();
    add(call, FsContext::new(&kind, Some(target)), flags & CLOSE_ON_EXEC != 0)
}

/// A parameter's value.
enum Value {
    None,
    Text(Vec<u8>),
    /// Something else, which none of ours takes.
    Other,
}

pub(super) fn fsconfig(call: &Call<'_>) -> Outcome {
    const AT_FDCWD: i32 = -100;
    const MOST_OF_A_VALUE: i32 = 1 << 20;
    let (key, value, extra) = (call.arg(2) != 0, call.arg(3) != 0, call.int(4));
    if call.int(0) < 0 {
        return Err(Errno::INVAL.into());
    }
    let command = call.uint(1);
    let fits = match command {
        // Flag, text, bytes, path, path that may be empty, descriptor, make, change.
        0 => key && !value && extra == 0,
        1 => key && value && extra == 0,
        2 => key && value && (1..=MOST_OF_A_VALUE).contains(&extra),
        3 | 4 => key && value && (extra == AT_FDCWD || extra >= 0),
        5 => key && !value && extra >= 0,
        6 | 7 => !key && !value && extra == 0,
        _ => return Err(Errno::OPNOTSUPP.into()),
    };
    if !fits {
        return Err(Errno::INVAL.into());
    }
    let file = call.file(0)?;
    let context = file.file.own().and_then(|own| own.downcast_ref::<FsContext>());
    let context = context.ok_or(Errno::INVAL)?;
    if (2..=5).contains(&command) && OF_ONE_TEXT.contains(&context.kind.as_str()) {
        return Err(Errno::OPNOTSUPP.into());
    }
    let key = if key { short(call, 2, 256)? } else { Vec::new() };
    let value = match command {
        1 => Value::Text(short(call, 3, 256)?),
        2..=4 => {
            call.memory().read_array::<1>(call.arg(3))?;
            Value::Other
        }
        5 => {
            call.file(4)?;
            Value::Other
        }
        _ => Value::None,
    };
    let mut state = lock(&context.state);
    match command {
        6 => create(call, context, &mut state)?,
        7 => change(call, &mut state)?,
        _ => set(context, &mut state, &key, value)?,
    }
    Ok(0)
}

fn set(
    context: &FsContext,
    state: &mut ContextState,
    key: &[u8],
    value: Value,
) -> Result<(), Errno> {
    if !matches!(state.stage, Stage::Parameters | Stage::Mounted) {
        return Err(Errno::BUSY);
    }
    let kind = &context.kind;
    match key {
        b"ro" => state.read_only = Some(true),
        b"rw" => state.read_only = Some(false),
        // Without effect here, as nothing is written later than it is said.
        b"sync" | b"dirsync" | b"lazytime" | b"async" | b"nolazytime" | b"mand" | b"nomand" => {}
        b"source" if state.stage == Stage::Parameters => match value {
            Value::Text(text) if state.source.is_none() => state.source = Some(text),
            Value::Text(_) => {
                state.complain("e VFS: Multiple sources\n".to_owned());
                return Err(Errno::INVAL);
            }
            _ => {
                state.complain("e VFS: Non-string source\n".to_owned());
                return Err(Errno::INVAL);
            }
        },
        _ => {
            let option = match &value {
                Value::None => key.to_vec(),
                Value::Text(text) => [key, b"=", text].concat(),
                Value::Other => return Err(Errno::INVAL),
            };
            if OF_ONE_TEXT.contains(&kind.as_str()) {
                if option.contains(&b',') {
                    return Err(Errno::INVAL);
                }
            } else if !is_known(kind, &option) {
                let name = String::from_utf8_lossy(key);
                state.complain(format!("e {kind}: Unknown parameter '{name}'\n"));
                return Err(Errno::INVAL);
            }
            state.options.push(option);
        }
    }
    Ok(())
}

/// Whether an option is the file system's own, and well made.
fn is_known(kind: &str, option: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(option) else { return false };
    let options = Options::parse(kind, [text]);
    // Those of mounts are not.
    options.is_ok_and(|options| {
        let mut plain = options.clone();
        plain.flags = MountFlags::empty();
        plain.bind = None;
        plain.propagation = None;
        options == plain && plain != Options::default()
    })
}

fn create(call: &Call<'_>, context: &FsContext, state: &mut ContextState) -> Result<(), Errno> {
    if state.stage != Stage::Parameters {
        return Err(Errno::BUSY);
    }
    let mounts = mounts_of(call.kernel, &**call.thread);
    lock(&call.thread.credentials).require_in(&mounts.owner, Caps::SYS_ADMIN)?;
    let data = state.options.join(&b',');
    let read_only = state.read_only == Some(true);
    let flags = if read_only { MountFlags::READ_ONLY } else { MountFlags::empty() };
    let source = state.source.take().unwrap_or_else(|| b"none".to_vec());
    let new = NewFileSystem { kind: &context.kind, source, data: &data, flags };
    match new_file_system(call, &mounts, new) {
        Ok(made) => {
            state.made = Some(made);
            state.stage = Stage::Made;
            state.options.clear();
            Ok(())
        }
        Err(errno) => {
            state.stage = Stage::Failed;
            Err(errno)
        }
    }
}

/// Of what is mounted, whether it can be written.
fn change(call: &Call<'_>, state: &mut ContextState) -> Result<(), Errno> {
    if state.stage != Stage::Mounted {
        return Err(Errno::BUSY);
    }
    let mount = state.root.as_ref().map(|root| Arc::clone(&root.mount));
    let mount = mount.ok_or(Errno::BUSY)?;
    lock(&call.thread.credentials).require_in(&mount.owner, Caps::SYS_ADMIN)?;
    let options = std::mem::take(&mut state.options);
    if !options.is_empty() {
        // What a file system was made with stays.
        return Err(Errno::INVAL);
    }
    if let Some(read_only) = state.read_only.take() {
        let mut flags = mount.flags();
        flags.set(MountFlags::READ_ONLY, read_only);
        mount.set_flags(flags)?;
    }
    Ok(())
}

/// The flags that `MOUNT_ATTR_*` stand for, of a new mount.
fn attributes(given: u64) -> Result<MountFlags, Errno> {
    let flags = super::mount_trees::flags_of(given)?;
    Ok(flags | super::mount_trees::access_times(given)?)
}

pub(super) fn fsmount(call: &Call<'_>) -> Outcome {
    let mounts = permitted(call)?;
    if call.uint(1) & !CLOSE_ON_EXEC != 0 {
        return Err(Errno::INVAL.into());
    }
    let flags = attributes(call.uint(2).into())?;
    let file = call.file(0)?;
    let context = file.file.own().and_then(|own| own.downcast_ref::<FsContext>());
    let context = context.ok_or(Errno::INVAL)?;
    let mut state = lock(&context.state);
    match state.stage {
        Stage::Made => {}
        // It has no file system.
        Stage::Parameters | Stage::Failed => return Err(Errno::INVAL.into()),
        Stage::Mounted => return Err(Errno::BUSY.into()),
    }
    let (mut of, node) = state.made.take().ok_or(Errno::INVAL)?;
    of.flags |= flags;
    let tree = mounts.make_detached(of, node, Kind::Directory)?;
    state.stage = Stage::Mounted;
    state.root = Some(Arc::clone(tree.root()));
    drop(state);
    let file = open::tree(call, tree)?;
    Ok(call.files().add(file, 0, call.uint(1) & CLOSE_ON_EXEC != 0)?.into())
}
