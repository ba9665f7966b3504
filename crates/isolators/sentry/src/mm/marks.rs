//! What there is to know of areas beside what they are: what was advised, what is locked.

use std::ops::Range;
use std::sync::Arc;

use rustix::io::Errno;

use super::{Area, Areas, Backing};

bitflags::bitflags! {
    /// What else there is to know of an area.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Marks: u16 {
        /// A fork's child does not have it.
        const NOT_INHERITED = 1;
        /// It grows downwards, where it is touched below its start.
        const GROWS = 2;
        /// It is locked: the host is not asked for it.
        const LOCKED = 4;
        /// As far as it was touched.
        const ON_FAULT = 8;
        /// Both.
        const LOCKS = 12;
        /// `MADV_DONTDUMP`
        const NOT_DUMPED = 0x10;
        /// `MADV_HUGEPAGE`
        const HUGE = 0x20;
        /// `MADV_NOHUGEPAGE`
        const NOT_HUGE = 0x40;
        /// `MADV_SEQUENTIAL`
        const SEQUENTIAL = 0x80;
        /// `MADV_RANDOM`
        const RANDOM = 0x100;
        /// `MADV_WIPEONFORK`
        const WIPED = 0x200;
        /// `MADV_MERGEABLE`
        const MERGEABLE = 0x400;
    }
}

/// Areas of a process at most, as the host has it.
const MOST: usize = 65_530;

impl Areas {
    /// Changes marks of all that is mapped in `range`.
    pub fn mark(&mut self, range: &Range<u64>, gets: Marks, loses: Marks) {
        self.change(range, |area| area.marks = area.marks.difference(loses).union(gets));
    }

    /// Whether there is room for the areas that it would be in more than before.
    #[must_use]
    pub fn may_mark(&self, range: &Range<u64>, gets: Marks, loses: Marks) -> bool {
        let is_so = |area: &Area| area.marks == area.marks.difference(loses).union(gets);
        self.may_cut(range) || self.within(range).all(is_so)
    }

    /// Whether there is room for the areas that a range would be cut out of.
    fn may_cut(&self, range: &Range<u64>) -> bool {
        let cuts = [range.start, range.end].into_iter();
        let cuts = cuts.filter(|cut| self.at(*cut).is_some_and(|(start, _)| start != *cut));
        self.count() + cuts.count() <= MOST
    }

    /// Names private memory in `range`, up to where something else is.
    ///
    /// # Errors
    /// `EBADF` if there is something else; `EAGAIN` if there would be too many areas; `ENOMEM`
    /// if not all is mapped.
    pub fn label(&mut self, range: &Range<u64>, label: Option<&Arc<str>>) -> Result<(), Errno> {
        let is_other =
            |area: &Area| area.backing != Backing::Anonymous || area.name.starts_with('/');
        let other = self.touched(range).find(|(_, area)| is_other(area));
        let other = other.map(|(start, _)| start.max(range.start));
        let named = range.start..other.unwrap_or(range.end);
        let is_so = |area: &Area| area.label.as_ref() == label;
        if !self.may_cut(&named) && !self.within(&named).all(is_so) {
            return Err(Errno::AGAIN);
        }
        let whole = self.is_mapped(range);
        self.change(&named, |area| area.label = label.cloned());
        match other {
            Some(_) => Err(Errno::BADF),
            None if !whole => Err(Errno::NOMEM),
            None => Ok(()),
        }
    }

    /// Whether something in `range` has one of these marks.
    #[must_use]
    pub fn is_marked(&self, range: &Range<u64>, marks: Marks) -> bool {
        self.within(range).any(|area| area.marks.intersects(marks))
    }

    /// How far all is mapped from the start of `range` on.
    #[must_use]
    pub fn mapped_up_to(&self, range: &Range<u64>) -> u64 {
        let mut at = range.start;
        while at < range.end
            && let Some((_, area)) = self.at(at)
        {
            at = area.end.min(range.end);
        }
        at
    }

    /// Notes that what is mapped in a range is locked so, or is not.
    pub fn lock(&mut self, range: &Range<u64>, how: Marks) {
        self.mark(range, how, Marks::LOCKS);
    }

    /// Locked bytes, all or those in a range.
    #[must_use]
    pub fn locked(&self, range: &Range<u64>) -> u64 {
        self.bytes(range, |area| area.marks.contains(Marks::LOCKED))
    }

    /// The marks that new areas get.
    #[must_use]
    pub fn future(&self) -> Marks {
        self.future
    }

    /// Sets how what is mapped from now on is locked.
    pub fn lock_future(&mut self, how: Marks) {
        self.future = how;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mm::Protection;

    #[test]
    fn marks_make_no_more_areas_than_a_host_has() {
        let (protection, backing) = (Protection(3), Backing::Anonymous);
        let area = Area {
            end: 1 << 30,
            protection,
            backing,
            name: "",
            label: None,
            marks: Marks::default(),
        };
        let mut areas = Areas::default();
        areas.insert(0x1_0000, area);
        let (gets, none) = (Marks::NOT_DUMPED, Marks::empty());
        let odd = (0x1_1000..1 << 30).step_by(0x2000).map(|start| start..start + 0x1000);
        let refused = odd.clone().find(|page| {
            let may = areas.may_mark(page, gets, none);
            if may {
                areas.mark(page, gets, none);
            }
            !may
        });
        assert!(refused.is_some() && (MOST - 2..=MOST).contains(&areas.count()));
        // Those are so already, or joined.
        assert!(areas.may_mark(&(0x1_1000..0x1_2000), gets, none));
        assert!(areas.may_mark(&(0x1_1000..0x1_2000), none, gets));
    }

    #[test]
    fn locks_go_with_what_is_mapped() {
        let all = 0..u64::MAX;
        let (protection, backing) = (Protection(3), Backing::Anonymous);
        let area = Area {
            end: 0x20_0000,
            protection,
            backing,
            name: "",
            label: None,
            marks: Marks::default(),
        };
        let mut areas = Areas::default();
        areas.insert(0x10_0000, area);
        areas.lock(&(0x10_0000..0x18_0000), Marks::LOCKED);
        areas.lock(&(0x14_0000..0x19_0000), Marks::LOCKS);
        assert_eq!(
            (areas.locked(&all), areas.locked(&(0x17_0000..0x30_0000))),
            (0x9_0000, 0x2_0000)
        );
        areas.remove(&(0x12_0000..0x13_0000));
        assert_eq!((areas.locked(&all), areas.data()), (0x8_0000, 0xf_0000));
        areas.lock(&(0x11_0000..0x15_0000), Marks::empty());
        assert_eq!(areas.locked(&all), 0x5_0000);
        assert_eq!(areas.mapped(&(0x11_0000..0x14_0000)), 0x2_0000);
        assert_eq!(areas.mapped_up_to(&(0x11_0000..0x14_0000)), 0x12_0000);
        assert_eq!(areas.inherited().locked(&all), 0);
    }
}
