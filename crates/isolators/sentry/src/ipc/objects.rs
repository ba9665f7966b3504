//! What all kinds of objects have: ids, keys and permissions.

use std::collections::BTreeMap;

use rustix::io::Errno;

use crate::task::user_namespace::{Ids, Space};
use crate::task::{Caps, Credentials};

/// `IPC_PRIVATE`
const PRIVATE: i32 = 0;
/// `IPCMNI`: ids are a place plus a multiple of this.
const PLACES: u32 = 32_768;

/// Flags of the calls that make objects.
pub mod flag {
    #![allow(missing_docs, reason = "names of sysvipc(7)")]
    pub const CREATE: u32 = 0o1000;
    pub const EXCLUSIVE: u32 = 0o2000;
    pub const NO_WAIT: u32 = 0o4000;
}

/// Access that is asked for: bits of a mode's last digit.
pub mod access {
    #![allow(missing_docs, reason = "names of sysvipc(7)")]
    pub const READ: u32 = 4;
    pub const WRITE: u32 = 2;
}

/// Who may do what with an object: `struct ipc_perm`.
#[derive(Clone, Debug)]
pub struct Permissions {
    /// Its key.
    pub key: i32,
    /// User and group that it belongs to.
    pub owner: (u32, u32),
    /// Those of who made it.
    pub creator: (u32, u32),
    /// Its mode.
    pub mode: u32,
    /// Where capabilities count for it.
    space: Space,
}

impl Permissions {
    fn new(key: i32, who: &Credentials, mode: u32, space: Space) -> Self {
        let owner = (who.users[1], who.groups[1]);
        Self { key, owner, creator: owner, mode: mode & 0o777, space }
    }

    /// Whether `who` has `wanted` access.
    ///
    /// # Errors
    /// `EACCES`
    pub fn permit(&self, who: &Credentials, wanted: u32) -> Result<(), Errno> {
        let (user, group) = (who.users[1], who.groups[1]);
        let in_group = |wanted| group == wanted || who.others.contains(&wanted);
        let bits = if user == self.owner.0 || user == self.creator.0 {
            self.mode >> 6
        } else if in_group(self.owner.1) || in_group(self.creator.1) {
            self.mode >> 3
        } else {
            self.mode
        };
        if who.can_in(&self.space, Caps::IPC_OWNER) || bits & wanted == wanted {
            Ok(())
        } else {
            Err(Errno::ACCESS)
        }
    }

    /// Whether it is `who`'s, or he made it.
    #[must_use]
    pub fn is_of(&self, who: &Credentials) -> bool {
        let user = who.users[1];
        user == self.owner.0 || user == self.creator.0
    }

    /// Whether `who` may change or remove it.
    ///
    /// # Errors
    /// `EPERM`
    pub fn control(&self, who: &Credentials) -> Result<(), Errno> {
        let may = self.is_of(who) || who.can_in(&self.space, Caps::SYS_ADMIN);
        if may { Ok(()) } else { Err(Errno::PERM) }
    }

    /// Whether `who` may exceed what is usual for such an object.
    ///
    /// # Errors
    /// `EPERM`
    pub fn exceed(&self, who: &Credentials) -> Result<(), Errno> {
        who.require_in(&self.space, Caps::SYS_RESOURCE)
    }

    /// `struct ipc64_perm` of x86-64, as `who` sees it; `more` are further bits of the mode.
    #[must_use]
    pub fn bytes(&self, id: i32, more: u32, who: &Credentials) -> [u8; 48] {
        let mut bytes = [0; 48];
        let user = |id| who.id_for(Ids::Users, id);
        let group = |id| who.id_for(Ids::Groups, id);
        let words = [
            self.key.cast_unsigned(),
            user(self.owner.0),
            group(self.owner.1),
            user(self.creator.0),
            group(self.creator.1),
            self.mode | more,
            id.cast_unsigned() / PLACES,
        ];
        for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Takes owner and mode from such a structure of `who`'s.
    ///
    /// # Errors
    /// `EINVAL` for an owner that its namespace does not know.
    pub fn set(&mut self, bytes: &[u8; 48], who: &Credentials) -> Result<(), Errno> {
        let word = |at: usize| {
            let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
            word.map_or(0, u32::from_le_bytes)
        };
        self.owner = (who.id_from(Ids::Users, word(4))?, who.id_from(Ids::Groups, word(8))?);
        self.mode = word(20) & 0o777;
        Ok(())
    }
}

/// An object with its permissions.
#[derive(Debug)]
pub struct Object<T> {
    /// Who may do what.
    pub permissions: Permissions,
    /// What it is.
    pub content: T,
    round: u32,
}

/// All objects of a kind.
#[derive(Debug)]
pub struct Objects<T> {
    /// Where capabilities count for them.
    pub owner: Space,
    places: BTreeMap<u32, Object<T>>,
    /// No place below is free.
    taken: u32,
    round: u32,
}

impl<T> Default for Objects<T> {
    fn default() -> Self {
        Self { owner: None, places: BTreeMap::new(), taken: 0, round: 0 }
    }
}

fn id(place: u32, round: u32) -> i32 {
    (round * PLACES + place).cast_signed()
}

impl<T> Objects<T> {
    /// The object of a key, made by `make` if it is asked for; `check` looks at one that
    /// exists. At most `most` exist.
    ///
    /// # Errors
    /// `ENOENT`, `EEXIST`, `EACCES`, `ENOSPC`, or what `check` and `make` say.
    pub fn get(
        &mut self,
        (key, flags): (i32, u32),
        who: &Credentials,
        most: usize,
        check: impl FnOnce(&T) -> Result<(), Errno>,
        make: impl FnOnce() -> Result<T, Errno>,
    ) -> Result<i32, Errno> {
        let of_key = |(_, object): &(&u32, &Object<T>)| object.permissions.key == key;
        let found = if key == PRIVATE { None } else { self.places.iter().find(of_key) };
        if let Some((place, object)) = found {
            if flags & (flag::CREATE | flag::EXCLUSIVE) == flag::CREATE | flag::EXCLUSIVE {
                return Err(Errno::EXIST);
            }
            check(&object.content)?;
            let wanted = (flags >> 6 | flags >> 3 | flags) & 7;
            object.permissions.permit(who, wanted)?;
            return Ok(id(*place, object.round));
        }
        if key != PRIVATE && flags & flag::CREATE == 0 {
            return Err(Errno::NOENT);
        }
        if self.places.len() >= most {
            return Err(Errno::NOSPC);
        }
        let content = make()?;
        let free = |place: &u32| !self.places.contains_key(place);
        let place = (self.taken..PLACES).find(free).ok_or(Errno::NOSPC)?;
        self.taken = place + 1;
        let round = self.round;
        // Ids of earlier objects stay without meaning for long.
        self.round = (self.round + 1) % (i32::MAX.cast_unsigned() / PLACES);
        let permissions = Permissions::new(key, who, flags, self.owner.clone());
        self.places.insert(place, Object { permissions, content, round });
        Ok(id(place, round))
    }

    /// The object of an id.
    ///
    /// # Errors
    /// `EINVAL`; `EIDRM` if another one has its place by now.
    pub fn find(&mut self, wanted: i32) -> Result<&mut Object<T>, Errno> {
        let number = u32::try_from(wanted).map_err(|_| Errno::INVAL)?;
        let object = self.places.get_mut(&(number % PLACES)).ok_or(Errno::INVAL)?;
        if object.round == number / PLACES { Ok(object) } else { Err(Errno::IDRM) }
    }

    /// The id of the object at a place, as `ipcs` counts them, or at that of an id.
    ///
    /// # Errors
    /// `EINVAL`
    pub fn at(&self, place: i32) -> Result<i32, Errno> {
        let place = u32::try_from(place).map_err(|_| Errno::INVAL)? % PLACES;
        self.places.get(&place).map(|object| id(place, object.round)).ok_or(Errno::INVAL)
    }

    /// The highest place in use; 0 if there is none.
    #[must_use]
    pub fn highest(&self) -> i64 {
        self.places.keys().next_back().copied().unwrap_or(0).into()
    }

    /// All, with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (i32, &Object<T>)> {
        self.places.iter().map(|(place, object)| (id(*place, object.round), object))
    }

    /// All of them, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Object<T>> {
        self.places.values_mut()
    }

    /// Takes the object of an id away.
    pub fn remove(&mut self, wanted: i32) -> Option<Object<T>> {
        self.find(wanted).ok()?;
        let place = wanted.cast_unsigned() % PLACES;
        self.taken = self.taken.min(place);
        self.places.remove(&place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(user: u32) -> Credentials {
        Credentials::of(user, user, Vec::new())
    }

    fn get(objects: &mut Objects<u8>, key: i32, flags: u32, user: u32) -> Result<i32, Errno> {
        objects.get((key, flags), &who(user), 2, |_| Ok(()), || Ok(1))
    }

    #[test]
    fn keys_find_what_was_made_and_ids_do_not_come_again() {
        let mut objects = Objects::default();
        assert_eq!(get(&mut objects, 5, 0, 1), Err(Errno::NOENT));
        let first = get(&mut objects, 5, flag::CREATE | 0o640, 1).unwrap();
        assert_eq!(get(&mut objects, 5, flag::CREATE | 0o600, 1), Ok(first));
        assert_eq!(get(&mut objects, 5, flag::CREATE | flag::EXCLUSIVE, 1), Err(Errno::EXIST));
        assert_eq!(get(&mut objects, 5, 0o004, 2), Err(Errno::ACCESS));
        assert_eq!(get(&mut objects, 5, 0o600, 0), Ok(first));
        let private = get(&mut objects, 0, 0o600, 1).unwrap();
        assert_ne!(private, first);
        assert_eq!(get(&mut objects, 0, 0o600, 1), Err(Errno::NOSPC));
        objects.remove(first).unwrap();
        assert_eq!(objects.find(first).err(), Some(Errno::INVAL));
        let second = get(&mut objects, 5, flag::CREATE | 0o600, 1).unwrap();
        assert_ne!(second, first);
        assert_eq!(objects.find(first).err(), Some(Errno::IDRM));
        assert_eq!((objects.at(0), objects.highest()), (Ok(second), 1));
        assert_eq!(objects.find(-1).err(), Some(Errno::INVAL));
    }

    #[test]
    fn owners_and_root_control() {
        let mut objects = Objects::default();
        let id = get(&mut objects, 7, flag::CREATE | 0o400, 3).unwrap();
        let permissions = &mut objects.find(id).unwrap().permissions;
        assert_eq!(permissions.control(&who(4)), Err(Errno::PERM));
        assert_eq!(permissions.permit(&who(3), access::WRITE), Err(Errno::ACCESS));
        let mut bytes = permissions.bytes(id, 0o1000, &Credentials::default());
        assert_eq!(bytes[..8], [7, 0, 0, 0, 3, 0, 0, 0]);
        bytes[4] = 4;
        bytes[20] = 0o200;
        permissions.set(&bytes, &Credentials::default()).unwrap();
        assert_eq!(permissions.control(&who(4)), Ok(()));
        assert_eq!(permissions.permit(&who(4), access::WRITE), Ok(()));
        assert_eq!(permissions.control(&who(3)), Ok(()));
    }
}
