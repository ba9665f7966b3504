//! Call sites of an address space: how often they reported, and those that were
//! rewritten.

use crate::platform::fast;

use super::PAGE;

/// Bytes of a trampoline.
const TRAMPOLINE: u64 = fast::TRAMPOLINE as u64;
const COUNTED: usize = 64;
/// Pages of trampolines that an address space can have.
const MOST_PAGES: usize = 16;
/// A jump reaches 2 GiB; not to the last byte.
const REACH: u64 = (1 << 31) - (1 << 20);

/// A site: where what is replaced begins, and its `syscall`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// Of the instruction that became a jump.
    pub start: u64,
    /// Of the `syscall`.
    pub call: u64,
}

/// A page of trampolines.
#[derive(Clone, Debug)]
struct Trampolines {
    start: u64,
    /// Their sites, in order.
    sites: Vec<Site>,
}

/// Those of an address space.
#[derive(Clone, Debug)]
pub struct Sites {
    counts: [(u64, u32); COUNTED],
    pages: Vec<Trampolines>,
    rewritten: bool,
    /// Every call is to be reported.
    off: bool,
}

impl Default for Sites {
    fn default() -> Self {
        Sites { counts: [(0, 0); COUNTED], pages: Vec::new(), rewritten: false, off: false }
    }
}

impl Sites {
    fn counted(&mut self, site: u64) -> Option<&mut (u64, u32)> {
        let mixed = site ^ site >> 6 ^ site >> 12;
        self.counts.get_mut(usize::try_from(mixed).unwrap_or(0) % COUNTED)
    }

    /// Counts a report; true after each `ripe` of them: one of another call may have had it
    /// rewritten since.
    pub fn count(&mut self, site: u64, ripe: u32) -> bool {
        if self.off {
            return false;
        }
        let Some(counted) = self.counted(site) else { return false };
        if counted.0 != site {
            *counted = (site, 0);
        }
        counted.1 = counted.1.saturating_add(1);
        counted.1.is_multiple_of(ripe)
    }

    /// The site is left as it is.
    pub fn leave(&mut self, site: u64) {
        if let Some(counted) = self.counted(site) {
            *counted = (site, u32::MAX);
        }
    }

    /// Those of a copy of the address space, where nothing has reported yet.
    #[must_use]
    pub fn inherited(&self) -> Self {
        Sites { counts: [(0, 0); COUNTED], ..self.clone() }
    }

    /// Whether no site was rewritten, ever.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.rewritten
    }

    /// From now on every call is to be reported.
    pub fn turn_off(&mut self) {
        self.off = true;
    }

    /// Whether that is so.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.off
    }

    /// Where the next trampoline for a site goes, if a page has room.
    #[must_use]
    pub fn room(&self, site: u64) -> Option<u64> {
        let fits = |page: &&Trampolines| {
            page.start.abs_diff(site) < REACH && (page.sites.len() as u64 + 1) * TRAMPOLINE <= PAGE
        };
        let page = self.pages.iter().find(fits)?;
        Some(page.start + page.sites.len() as u64 * TRAMPOLINE)
    }

    /// Whether a page at `start` would do for a site.
    #[must_use]
    pub fn may_begin(&self, start: u64, site: u64) -> bool {
        self.pages.len() < MOST_PAGES && start.abs_diff(site) < REACH
    }

    /// A trampoline of [`Self::room`], or the first of a new page, is the site's; whether the
    /// page is new.
    pub fn add(&mut self, trampoline: u64, site: Site) -> bool {
        let start = trampoline & !(PAGE - 1);
        let page = self.pages.iter_mut().find(|page| page.start == start);
        let is_new = page.is_none();
        self.rewritten = true;
        match page {
            Some(page) => page.sites.push(site),
            None => self.pages.push(Trampolines { start, sites: vec![site] }),
        }
        is_new
    }

    /// What is at `page` are no trampolines any more.
    pub fn forget(&mut self, page: u64) {
        self.pages.retain(|own| own.start != page);
    }

    /// The trampoline that an address is in, and its site.
    #[must_use]
    pub fn at(&self, pointer: u64) -> Option<(u64, Site)> {
        let page = self.pages.iter().find(|page| pointer & !(PAGE - 1) == page.start)?;
        let index = (pointer - page.start) / TRAMPOLINE;
        let site = page.sites.get(usize::try_from(index).ok()?)?;
        Some((page.start + index * TRAMPOLINE, *site))
    }

    /// A site that `is` one looked for, and its trampoline; the last one, if it was rewritten
    /// more than once.
    pub fn find(&self, is: impl Fn(&Site) -> bool) -> Option<(u64, Site)> {
        self.pages.iter().rev().find_map(|page| {
            let index = page.sites.iter().rposition(&is)?;
            let site = page.sites.get(index)?;
            Some((page.start + index as u64 * TRAMPOLINE, *site))
        })
    }

    /// Whether a rewritten site is in a range.
    #[must_use]
    pub fn touches(&self, range: &std::ops::Range<u64>) -> bool {
        self.find(|site| range.contains(&site.start)).is_some()
    }

    /// Whether a part of a site, or a trampoline, is in a page.
    #[must_use]
    pub fn changes(&self, page: u64) -> bool {
        let reaches = |site: &Site| site.start & !(PAGE - 1) <= page && page < site.call;
        self.pages.iter().any(|own| own.start == page) || self.find(reaches).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_ripe_now_and_then() {
        let mut sites = Sites::default();
        let ripe: Vec<u32> = (1..200).filter(|_| sites.count(0x40_1000, 64)).collect();
        assert_eq!(ripe, [64, 128, 192]);
        sites.leave(0x40_2000);
        assert!(!(0..200).any(|_| sites.count(0x40_2000, 64)));
        sites.turn_off();
        assert!(!(0..200).any(|_| sites.count(0x40_3000, 64)));
    }

    #[test]
    fn trampolines_are_found_by_any_address_in_them() {
        let mut sites = Sites::default();
        let (first, site) = (0x3f_f000, 0x40_1000);
        assert_eq!(sites.room(site), None);
        assert!(sites.may_begin(first, site) && !sites.may_begin(first, 0x7fef_0000_0000));
        let of = |start| Site { start, call: start + 5 };
        sites.add(first, of(site));
        let mut count = 1;
        while let Some(room) = sites.room(site) {
            sites.add(room, of(site + count));
            count += 1;
        }
        assert_eq!(count, PAGE / TRAMPOLINE);
        assert_eq!(sites.at(first), Some((first, of(site))));
        assert_eq!(sites.at(first + TRAMPOLINE - 1), Some((first, of(site))));
        assert_eq!(sites.at(first + TRAMPOLINE), Some((first + TRAMPOLINE, of(site + 1))));
        assert_eq!(sites.at(first + PAGE - 1), None);
        assert_eq!(sites.at(first - 1), None);
        let find = |start| sites.find(|site| site.start == start).map(|(at, _)| at);
        assert_eq!((find(site + 1), find(site - 1)), (Some(first + TRAMPOLINE), None));
        let last = !(PAGE - 1);
        for (page, changes) in
            [(first, true), (site & last, true), (0x50_0000, false), (last, false)]
        {
            assert_eq!(sites.changes(page), changes);
        }
        assert!(sites.touches(&(site..site + 1)) && !sites.touches(&(0..site)));
        sites.forget(first);
        assert!(sites.at(first).is_none() && !sites.is_empty());
    }

    #[test]
    fn a_site_changes_every_page_that_it_is_in() {
        let page = 0x40_2000;
        for (start, second) in [(page - 3, true), (page - 5, false)] {
            let mut sites = Sites::default();
            sites.add(0x3f_f000, Site { start, call: start + 5 });
            let changes =
                [page - 2 * PAGE, page - PAGE, page, page + PAGE].map(|p| sites.changes(p));
            assert_eq!(changes, [false, true, second, false]);
        }
    }
}
