//! A program with many threads: locks, conditions, channels, scopes, parking.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{mpsc, Arc, Barrier, Condvar, Mutex, RwLock};
use std::thread;
use std::time::Duration;

fn main() {
    let scale: u64 = std::env::args().nth(1).map_or(10, |word| word.parse().unwrap());
    let count = Arc::new((Mutex::new(0_u64), Condvar::new()));
    let threads: Vec<_> = (0..200)
        .map(|n| {
            let count = Arc::clone(&count);
            thread::Builder::new().stack_size(64 << 10).spawn(move || {
                let mut now = count.0.lock().unwrap();
                while *now != n {
                    now = count.1.wait(now).unwrap();
                }
                *now += 1;
                count.1.notify_all();
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.unwrap().join().unwrap());
    println!("in turn {}", count.0.lock().unwrap());

    let table = RwLock::new(HashMap::new());
    let barrier = Barrier::new(8);
    let steps = 500 + 20 * scale;
    thread::scope(|scope| {
        for n in 0..8_u64 {
            let (table, barrier) = (&table, &barrier);
            scope.spawn(move || {
                barrier.wait();
                for i in 0..steps {
                    *table.write().unwrap().entry(i % 97).or_insert(0) += n * i;
                    if i % 10 == 0 {
                        thread::yield_now();
                        let _ = table.read().unwrap().len();
                    }
                }
            });
        }
    });
    let sum: u64 = table.read().unwrap().values().sum();
    println!("table {}", sum == 28 * steps * (steps - 1) / 2);

    let (sender, receiver) = mpsc::sync_channel::<u64>(16);
    for n in 0..16 {
        let sender = sender.clone();
        thread::spawn(move || (0..steps).for_each(|i| sender.send(n + i).unwrap()));
    }
    drop(sender);
    println!("channel {}", receiver.iter().sum::<u64>() == 16 * steps * (steps - 1) / 2 + 120 * steps);

    let spins = Arc::new(AtomicU64::new(0));
    let parked = {
        let spins = Arc::clone(&spins);
        thread::spawn(move || {
            while spins.load(Ordering::Acquire) < 1000 {
                thread::park_timeout(Duration::from_secs(30));
            }
        })
    };
    for _ in 0..1000 {
        spins.fetch_add(1, Ordering::Release);
        parked.thread().unpark();
    }
    parked.join().unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut all = Vec::new();
                stream.read_to_end(&mut all).unwrap();
                stream.write_all(&all.len().to_le_bytes()).unwrap();
            });
        }
    });
    let clients: Vec<_> = (1..=20_usize)
        .map(|n| {
            thread::spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.write_all(&vec![7; n * 10_000]).unwrap();
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                let mut answer = [0; 8];
                stream.read_exact(&mut answer).unwrap();
                u64::from_le_bytes(answer)
            })
        })
        .collect();
    println!("sockets {}", clients.into_iter().map(|t| t.join().unwrap()).sum::<u64>());
    let quiet = thread::spawn(|| {
        std::panic::set_hook(Box::new(|_| {}));
        panic!("on purpose")
    });
    println!("panic is caught: {}", quiet.join().is_err());
}
