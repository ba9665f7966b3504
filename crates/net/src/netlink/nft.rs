//! Elements of nftables' maps, added and removed without starting a program.

use caisson_sys::netlink::{Attributes, NLM_F_ACK, NLM_F_CREATE, Request, attributes};
use rustix::io::Errno;

use super::Netlink;

const SUBSYSTEM: u16 = 10;
const GET_CHAIN: u16 = SUBSYSTEM << 8 | 4;
const NEW_ELEMENTS: u16 = SUBSYSTEM << 8 | 12;
const DELETE_ELEMENTS: u16 = SUBSYSTEM << 8 | 14;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;

const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const LIST_TABLE: u16 = 1;
const LIST_SET: u16 = 2;
const LIST_ELEMENTS: u16 = 3;
const ELEMENT: u16 = 1;
const ELEMENT_KEY: u16 = 1;
const ELEMENT_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;

/// `NFPROTO_INET`
const INET: u8 = 1;
const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;
const CHAIN_POLICY: u16 = 5;
const NF_DROP: u32 = 0;

/// An element of a map: both sides as the kernel keeps them, each field
/// padded to four bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) map: &'static str,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

/// `nfgenmsg`
fn header(family: u8, resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}

impl Netlink {
    /// Whether a table of the family `inet` has this chain.
    pub(crate) fn has_chain(&mut self, table: &str, chain: &str) -> Result<bool, Errno> {
        Ok(self.chain(INET, table, chain)?.is_some())
    }

    /// Whether the chain FORWARD that iptables or ip6tables makes drops what no
    /// rule accepts. (Not to be seen here if they are of the legacy kind.)
    pub(crate) fn forward_drops(&mut self, ipv6: bool) -> Result<bool, Errno> {
        let family = if ipv6 { NFPROTO_IPV6 } else { NFPROTO_IPV4 };
        let Some(body) = self.chain(family, "filter", "FORWARD")? else { return Ok(false) };
        let policy = attributes(&body, 4).find(|(kind, _)| *kind == CHAIN_POLICY);
        Ok(policy.is_some_and(|(_, value)| value == NF_DROP.to_be_bytes()))
    }

    fn chain(&mut self, family: u8, table: &str, chain: &str) -> Result<Option<Vec<u8>>, Errno> {
        let request = Request::new(GET_CHAIN, &header(family, 0))
            .text(CHAIN_TABLE, table)
            .text(CHAIN_NAME, chain);
        match self.0.get(&request) {
            Ok(body) => Ok(Some(body)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Adds all elements or none; those that are there already count as added.
    pub(crate) fn add_elements(&mut self, table: &str, all: &[Element]) -> Result<(), Errno> {
        self.elements(NEW_ELEMENTS, NLM_F_CREATE, table, all)
    }

    /// Removes all elements or none.
    pub(crate) fn delete_elements(&mut self, table: &str, all: &[Element]) -> Result<(), Errno> {
        self.elements(DELETE_ELEMENTS, 0, table, all)
    }

    fn elements(
        &mut self,
        kind: u16,
        flags: u16,
        table: &str,
        all: &[Element],
    ) -> Result<(), Errno> {
        if all.is_empty() {
            return Ok(());
        }
        let mut batch = vec![(Request::new(BATCH_BEGIN, &header(0, SUBSYSTEM)), 0)];
        for element in all {
            let data = |bytes: &[u8]| Attributes::default().attribute(DATA_VALUE, bytes);
            let inner = Attributes::default()
                .nested(ELEMENT_KEY, &data(&element.key))
                .nested(ELEMENT_DATA, &data(&element.value));
            let list = Attributes::default().nested(ELEMENT, &inner);
            let request = Request::new(kind, &header(INET, 0))
                .text(LIST_TABLE, table)
                .text(LIST_SET, element.map)
                .nested(LIST_ELEMENTS, &list);
            batch.push((request, flags | NLM_F_ACK));
        }
        batch.push((Request::new(BATCH_END, &header(0, SUBSYSTEM)), 0));
        self.0.transaction(&batch)
    }
}
