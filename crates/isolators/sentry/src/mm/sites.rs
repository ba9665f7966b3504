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

/// A page of trampolines.
#[derive(Clone, Debug)]
struct Trampolines {
    start: u64,
    /// Their sites, in order.
    sites: Vec<u64>,
}

/// Those of an address space.
#[derive(Clone, Debug)]
pub struct Sites {
    counts: [(u64, u32); COUNTED],
    pages: Vec<Trampolines>,
    /// Every call is to be reported.
    off: bool,
}

impl Default for Sites {
    fn default() -> Self {
        Sites { counts: [(0, 0); COUNTED], pages: Vec::new(), off: false }
    }
}

impl Sites {
    fn counted(&mut self, site: u64) -> Option<&mut (u64, u32)> {
        let mixed = site ^ site >> 6 ^ site >> 12;
        self.counts.get_mut(usize::try_from(mixed).unwrap_or(0) % COUNTED)
    }

    /// Counts a report; true if there were `ripe` now.
    pub fn count(&mut self, site: u64, ripe: u32) -> bool {
        if self.off {
            return false;
        }
        let Some(counted) = self.counted(site) else { return false };
        if counted.0 != site {
            *counted = (site, 0);
        }
        counted.1 = counted.1.saturating_add(1);
        counted.1 == ripe
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

    /// Whether no site was rewritten.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
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

    /// A trampoline of [`Self::room`], or the first of a new page, is the site's.
    pub fn add(&mut self, trampoline: u64, site: u64) {
        let start = trampoline & !(PAGE - 1);
        match self.pages.iter_mut().find(|page| page.start == start) {
            Some(page) => page.sites.push(site),
            None => self.pages.push(Trampolines { start, sites: vec![site] }),
        }
    }

    /// The trampoline that an address is in, and its site.
    #[must_use]
    pub fn at(&self, pointer: u64) -> Option<(u64, u64)> {
        let page = self.pages.iter().find(|page| pointer & !(PAGE - 1) == page.start)?;
        let index = (pointer - page.start) / TRAMPOLINE;
        let site = page.sites.get(usize::try_from(index).ok()?)?;
        Some((page.start + index * TRAMPOLINE, *site))
    }

    /// A site's trampoline; the last one, if it was rewritten more than once.
    #[must_use]
    pub fn trampoline(&self, site: u64) -> Option<u64> {
        self.pages.iter().rev().find_map(|page| {
            let index = page.sites.iter().rposition(|s| *s == site)? as u64;
            Some(page.start + index * TRAMPOLINE)
        })
    }

    /// Whether a rewritten site is in a range.
    #[must_use]
    pub fn touches(&self, range: &std::ops::Range<u64>) -> bool {
        self.pages.iter().flat_map(|page| &page.sites).any(|site| range.contains(site))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_ripe_once() {
        let mut sites = Sites::default();
        let ripe: Vec<u32> = (1..200).filter(|_| sites.count(0x40_1000, 64)).collect();
        assert_eq!(ripe, [64]);
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
        sites.add(first, site);
        let mut count = 1;
        while let Some(room) = sites.room(site) {
            sites.add(room, site + count);
            count += 1;
        }
        assert_eq!(count, PAGE / TRAMPOLINE);
        assert_eq!(sites.at(first), Some((first, site)));
        assert_eq!(sites.at(first + TRAMPOLINE - 1), Some((first, site)));
        assert_eq!(sites.at(first + TRAMPOLINE), Some((first + TRAMPOLINE, site + 1)));
        assert_eq!(sites.at(first + PAGE - 1), None);
        assert_eq!(sites.at(first - 1), None);
        assert_eq!(sites.trampoline(site + 1), Some(first + TRAMPOLINE));
        assert_eq!(sites.trampoline(site - 1), None);
        assert!(sites.touches(&(site..site + 1)) && !sites.touches(&(0..site)));
    }
}
