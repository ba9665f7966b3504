//! Programs: ELF images and scripts.

mod elf;
mod script;
mod stack;

pub use elf::Image;
pub use script::{Script, parse as parse_script};
pub use stack::{Auxiliary, Stack};
