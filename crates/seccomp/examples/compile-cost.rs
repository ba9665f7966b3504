//! Prints what compiling a profile costs.
//!
//! usage: compile-cost [PROFILE.json]   (the object `linux.seccomp`)

use caisson_seccomp::Filter;
use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

const ROUNDS: u32 = 2000;

fn main() -> Result<(), Box<dyn Error>> {
    let json = match std::env::args_os().nth(1) {
        Some(path) => std::fs::read_to_string(path)?,
        None => include_str!("../profiles/docker-default.json").to_owned(),
    };
    let seccomp = serde_json::from_str(&json)?;
    let cold = Instant::now();
    let filter = Filter::compile(&seccomp)?;
    let cold = cold.elapsed();
    let mut fastest = cold;
    let all = Instant::now();
    for _ in 0..ROUNDS {
        let one = Instant::now();
        black_box(Filter::compile(black_box(&seccomp))?);
        fastest = fastest.min(one.elapsed());
    }
    println!(
        "{} instructions; first {cold:?}, fastest {fastest:?}, mean {:?}",
        filter.program().len(),
        all.elapsed() / ROUNDS
    );
    Ok(())
}
