//! The list of mapped areas of an address space.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::platform::GUEST_END;

use super::{Anchor, Marks};

/// Bytes of a page.
pub const PAGE: u64 = 4096;

/// Up to the next page; `None` on overflow.
#[must_use]
pub fn round_up(length: u64) -> Option<u64> {
    length.checked_add(PAGE - 1).map(|l| l & !(PAGE - 1))
}

/// `PROT_*`: read 1, write 2, execute 4.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Protection(pub u64);

/// What is behind an area.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backing {
    /// Private memory.
    Anonymous,
    /// Memory shared with whoever inherits it: its number, and the offset of the
    /// area's start.
    Shared(u64, u64),
    /// A file.
    File {
        /// Its path when it was mapped.
        path: Vec<u8>,
        /// Its device and inode.
        id: (u64, u64),
        /// Offset of the area's start.
        offset: u64,
        /// Whether writes reach it.
        shared: bool,
        /// Access that it may get.
        most: Protection,
        /// What it needs.
        anchor: Anchor,
    },
}

impl Backing {
    /// Whether writes reach others who map it.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self, Backing::Shared(..) | Backing::File { shared: true, .. })
    }

    /// The backing of what starts `by` bytes further on.
    fn advanced(&self, by: u64) -> Backing {
        match self {
            Backing::File { path, id, offset, shared, most, anchor } => Backing::File {
                path: path.clone(),
                id: *id,
                offset: offset.wrapping_add(by),
                shared: *shared,
                most: *most,
                anchor: anchor.clone(),
            },
            Backing::Shared(object, offset) => Backing::Shared(*object, offset.wrapping_add(by)),
            Backing::Anonymous => Backing::Anonymous,
        }
    }
}

/// A piece of the address space with one kind of access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Area {
    /// Its end.
    pub end: u64,
    /// Access.
    pub protection: Protection,
    /// Content.
    pub backing: Backing,
    /// `[heap]`, `[stack]`.
    pub name: &'static str,
    /// What its program calls it (`PR_SET_VMA`).
    pub label: Option<Arc<str>>,
    /// What else.
    pub marks: Marks,
}

impl Area {
    /// Where others may begin to end, if it starts at `start`.
    fn low(&self, start: u64) -> u64 {
        if self.marks.contains(Marks::GROWS) { start.saturating_sub(GAP) } else { start }
    }
}

/// All areas, by start. They don't overlap.
#[derive(Clone, Debug)]
pub struct Areas {
    areas: BTreeMap<u64, Area>,
    /// A length and an address: above it no room of that length is free.
    full: Cell<(u64, u64)>,
    /// Addresses are given from here downwards.
    top: u64,
    /// What marks new areas get: mlockall(2).
    pub(super) future: Marks,
    /// Start and end of the heap that brk(2) moves.
    pub heap: (u64, u64),
}

/// What is kept free below an area that grows (`stack_guard_gap`).
const GAP: u64 = 256 * PAGE;
/// Addresses are given from here downwards at most.
const TOP: u64 = 0x7ff0_0000_0000;
/// Nothing is mapped below (`vm.mmap_min_addr`).
pub(super) const LOWEST: u64 = 0x1_0000;

impl Default for Areas {
    fn default() -> Self {
        let (areas, full, future) = (BTreeMap::new(), Cell::default(), Marks::default());
        Areas { areas, full, top: TOP, future, heap: (0, 0) }
    }
}

impl Areas {
    /// None, with addresses given from so far below the top on.
    #[must_use]
    pub fn lowered(by: u64) -> Self {
        Areas { top: TOP - by, ..Areas::default() }
    }

    /// All areas, by address.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Area)> {
        self.areas.iter().map(|(start, area)| (*start, area))
    }

    /// The area that holds `address`.
    #[must_use]
    pub fn at(&self, address: u64) -> Option<(u64, &Area)> {
        let (start, area) = self.areas.range(..=address).next_back()?;
        (address < area.end).then_some((*start, area))
    }

    /// Whether nothing is mapped in `range`.
    #[must_use]
    pub fn is_free(&self, range: &Range<u64>) -> bool {
        self.areas.range(..range.end).next_back().is_none_or(|(_, area)| area.end <= range.start)
    }

    /// Whether all of `range` is mapped.
    #[must_use]
    pub fn is_mapped(&self, range: &Range<u64>) -> bool {
        self.mapped_up_to(range) >= range.end
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.areas.len()
    }

    /// Those that `range` touches.
    pub fn within(&self, range: &Range<u64>) -> impl Iterator<Item = &Area> {
        self.touched(range).map(|(_, area)| area)
    }

    /// Those that have part of a range.
    pub fn touched(&self, range: &Range<u64>) -> impl Iterator<Item = (u64, &Area)> {
        let first = self.at(range.start).map_or(range.start, |(start, _)| start);
        self.areas.range(first..range.end).map(|(start, area)| (*start, area))
    }

    /// Bytes of `range` in areas that are so.
    pub(super) fn bytes(&self, range: &Range<u64>, is: impl Fn(&Area) -> bool) -> u64 {
        let parts = self.touched(range).filter(|(_, area)| is(area));
        parts.map(|(start, area)| area.end.min(range.end) - start.max(range.start)).sum()
    }

    /// Whether all that is mapped in `range` may get this access.
    #[must_use]
    pub fn may_get(&self, range: &Range<u64>, protection: Protection) -> bool {
        self.within(range).all(|area| match &area.backing {
            Backing::File { most, .. } => protection.0 & 7 & !most.0 == 0,
            _ => true,
        })
    }

    /// Mapped bytes.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.areas.iter().map(|(start, area)| area.end - start).sum()
    }

    /// Bytes of `range` that are mapped.
    #[must_use]
    pub fn mapped(&self, range: &Range<u64>) -> u64 {
        self.bytes(range, |_| true)
    }

    /// Bytes of private memory that can be written, but for the stack (`RLIMIT_DATA`).
    #[must_use]
    pub fn data(&self) -> u64 {
        let is = |area: &Area| {
            !area.backing.is_shared() && area.protection.0 & 2 != 0 && area.name != "[stack]"
        };
        self.areas.iter().filter(|(_, area)| is(area)).map(|(start, area)| area.end - start).sum()
    }

    /// Bytes of programs and libraries that can be executed.
    #[must_use]
    pub fn code(&self) -> u64 {
        let is = |area: &Area| {
            matches!(area.backing, Backing::File { .. }) && area.protection.0 & 4 != 0
        };
        self.areas.iter().filter(|(_, area)| is(area)).map(|(start, area)| area.end - start).sum()
    }

    /// A free range of `length` bytes (whole pages): at `hint` if that is free,
    /// else the highest below a limit, with a page between neighbours if there
    /// is room, as nothing is promised about that.
    #[must_use]
    pub fn find(&self, hint: u64, length: u64, below: Option<u64>) -> Option<u64> {
        let hint = hint & !(PAGE - 1);
        let top = below.unwrap_or(self.top);
        if hint >= LOWEST
            && let Some(end) = hint.checked_add(length)
            && end <= below.unwrap_or(GUEST_END)
            && self.is_free(&(hint..end))
            && self.areas.range(end..).next().is_none_or(|(start, area)| area.low(*start) >= end)
        {
            return Some(hint);
        }
        let (searched, above) = self.full.get();
        let known = below.is_none() && searched != 0 && length >= searched;
        let mut end = if known { above } else { top };
        let top = end;
        for (start, area) in self.areas.range(..top).rev() {
            if area.end <= end && end - area.end >= length {
                break;
            }
            end = end.min(area.low(*start));
        }
        let start = end.checked_sub(length)?;
        if start < LOWEST || !self.is_free(&(start..end)) {
            // Room may reach across the place where the search began.
            self.full.set((0, 0));
            return match below {
                None if known => self.find(0, length, None),
                // All that there is.
                None if self.top < TOP => self.find(0, length, Some(TOP)),
                _ => None,
            };
        }
        if below.is_none() {
            self.full.set((length, end));
        }
        Some(start)
    }

    /// Takes `range` out; areas are cut at its ends.
    pub fn remove(&mut self, range: &Range<u64>) {
        if range.end > self.full.get().1 {
            self.full.set((0, 0));
        }
        self.cut(range.start);
        self.cut(range.end);
        let starts: Vec<u64> = self.areas.range(range.clone()).map(|(start, _)| *start).collect();
        for start in starts {
            self.areas.remove(&start);
        }
    }

    /// Splits the area that `address` is in the middle of.
    fn cut(&mut self, address: u64) {
        let Some((start, area)) = self.areas.range_mut(..address).next_back() else { return };
        if area.end <= address {
            return;
        }
        let rest = Area { backing: area.backing.advanced(address - start), ..area.clone() };
        area.end = address;
        self.areas.insert(address, rest);
    }

    /// Maps `area` from `start` on, instead of what was there.
    pub fn insert(&mut self, start: u64, area: Area) {
        let full = self.full.get();
        self.remove(&(start..area.end));
        // Nothing became free.
        self.full.set(full);
        let end = area.end;
        self.areas.insert(start, area);
        self.join(start);
        self.join(end);
    }

    /// Makes one of the areas that meet at `address`, if they are alike.
    fn join(&mut self, address: u64) {
        let Some(upper) = self.areas.get(&address) else { return };
        let Some((start, lower)) = self.areas.range(..address).next_back() else { return };
        let alike = lower.end == address
            && lower.protection == upper.protection
            && lower.name == upper.name
            && lower.label == upper.label
            && lower.marks == upper.marks
            && lower.backing.advanced(address - start) == upper.backing;
        if alike {
            let (start, end) = (*start, upper.end);
            self.areas.remove(&address);
            if let Some(lower) = self.areas.get_mut(&start) {
                lower.end = end;
            }
        }
    }

    /// What a fork's child has of it.
    #[must_use]
    pub fn inherited(&self) -> Self {
        let mut areas = self.clone();
        let gone = |(start, area): (u64, &Area)| {
            area.marks.contains(Marks::NOT_INHERITED).then_some(start..area.end)
        };
        self.iter().filter_map(gone).for_each(|range| areas.remove(&range));
        areas.future = Marks::empty();
        areas.areas.values_mut().for_each(|area| area.marks.remove(Marks::LOCKS));
        areas
    }

    /// Where the area that grows starts, if it is touched at `address`, and what it is; none if
    /// there is no such area, or something else is too near.
    #[must_use]
    pub fn grown(&self, address: u64) -> Option<(u64, &Area)> {
        let (start, area) = self.areas.range(address..).next()?;
        let to = address & !(PAGE - 1);
        if to < LOWEST || !area.marks.contains(Marks::GROWS) || self.at(address).is_some() {
            return None;
        }
        let below = self.areas.range(..*start).next_back().filter(|(_, below)| {
            !below.marks.contains(Marks::GROWS) && below.protection.0 & 7 != 0
        });
        let near = below.is_some_and(|(_, below)| to - below.end < GAP);
        (!near).then_some((*start, area))
    }

    /// Changes the access of all that is mapped in `range`.
    pub fn protect(&mut self, range: &Range<u64>, protection: Protection) {
        self.change(range, |area| area.protection = protection);
    }

    /// Changes all that is mapped in `range`.
    pub(super) fn change(&mut self, range: &Range<u64>, change: impl Fn(&mut Area)) {
        self.cut(range.start);
        self.cut(range.end);
        self.areas.range_mut(range.clone()).for_each(|(_, area)| change(area));
        let starts: Vec<u64> = self.areas.range(range.clone()).map(|(start, _)| *start).collect();
        for start in starts.into_iter().chain([range.end]) {
            self.join(start);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anonymous(end: u64) -> Area {
        let (protection, backing) = (Protection(3), Backing::Anonymous);
        Area { end, protection, backing, name: "", label: None, marks: Marks::default() }
    }

    fn ranges(areas: &Areas) -> Vec<(u64, u64)> {
        areas.iter().map(|(start, area)| (start, area.end)).collect()
    }

    #[test]
    fn neighbours_join_and_holes_split() {
        let mut areas = Areas::default();
        areas.insert(0x2_0000, anonymous(0x3_0000));
        areas.insert(0x3_0000, anonymous(0x4_0000));
        assert_eq!(ranges(&areas), [(0x2_0000, 0x4_0000)]);
        areas.remove(&(0x2_8000..0x2_9000));
        assert_eq!(ranges(&areas), [(0x2_0000, 0x2_8000), (0x2_9000, 0x4_0000)]);
        areas.protect(&(0x3_0000..0x3_1000), Protection(1));
        assert_eq!(areas.iter().count(), 4);
        areas.protect(&(0x3_0000..0x3_1000), Protection(3));
        assert_eq!(areas.iter().count(), 2);
        assert!(areas.is_mapped(&(0x2_9000..0x4_0000)));
        assert!(!areas.is_mapped(&(0x2_7000..0x2_a000)));
    }

    #[test]
    fn free_room_is_found_from_the_top() {
        let mut areas = Areas::default();
        let first = areas.find(0, 0x2000, None).unwrap();
        assert_eq!(first, TOP - 0x2000);
        areas.insert(first, anonymous(TOP));
        assert_eq!(areas.find(0, 0x1000, None), Some(first - 0x1000));
        assert_eq!(areas.find(first, 0x1000, None), Some(first - 0x1000));
        assert_eq!(areas.find(0x5_0000, 0x1000, None), Some(0x5_0000));
        assert_eq!(areas.find(0, TOP, None), None);
        assert_eq!(areas.find(u64::MAX, 0x1000, None), Some(first - 0x1000));
        areas.remove(&(first..first + 0x1000));
        assert_eq!(areas.find(0, 0x1000, None), Some(first));
    }

    #[test]
    fn what_was_searched_is_not_searched_again_but_found_when_it_is_free() {
        let mut areas = Areas::default();
        let mut starts = Vec::new();
        for length in [0x1000, 0x3000, 0x1000, 0x2000] {
            let start = areas.find(0, length, None).unwrap();
            areas.insert(start, anonymous(start + length));
            starts.push((start, length));
        }
        let (start, length) = starts[1];
        areas.remove(&(start..start + length));
        assert_eq!(areas.find(0, 0x4000, None), Some(starts[3].0 - 0x4000));
        assert_eq!(areas.find(0, 0x3000, None), Some(start));
        assert_eq!(areas.find(0, 0x1000, None), Some(start + 0x2000));
        areas.insert(start, anonymous(start + length));
        assert_eq!(areas.find(0, 0x1000, None), Some(starts[3].0 - 0x1000));
    }

    #[test]
    fn parts_of_files_keep_their_offsets() {
        let backing = Backing::File {
            path: b"/a".to_vec(),
            id: (1, 2),
            offset: 0x1000,
            shared: false,
            most: Protection(7),
            anchor: Anchor::default(),
        };
        let mut areas = Areas::default();
        areas.insert(0x10_0000, Area { backing, ..anonymous(0x10_4000) });
        areas.remove(&(0x10_0000..0x10_1000));
        let (_, area) = areas.at(0x10_1000).unwrap();
        assert!(matches!(area.backing, Backing::File { offset: 0x2000, .. }));
    }
}
