//! Tests of sets.

use super::super::pipe;
use super::*;

fn told(set: &Epoll, most: usize, take: bool) -> Vec<(u32, u64)> {
    set.collect(most, take, None).iter().map(|told| (told.events, told.data)).collect()
}

#[test]
fn what_reached_nobody_is_told_again() {
    let (reader, writer) = pipe(1, (0, 0));
    let (reader, writer) = (OpenFile::stream(reader, 0), OpenFile::stream(writer, 1));
    let set = Arc::<Epoll>::default();
    for (number, how) in [(3, flag::EDGE), (4, flag::ONE_SHOT), (5, 0)] {
        set.add(number, &reader, 1 | how, number.into()).unwrap();
    }
    writer.file.write(b"x", 0, false).unwrap();
    let found = set.collect(8, true, None);
    assert_eq!(found.len(), 3);
    set.put_back(&found[1..]);
    assert_eq!(told(&set, 8, true), [(1, 4), (1, 5)]);
    assert_eq!(told(&set, 8, true), [(1, 5)]);
}

#[test]
fn levels_stay_edges_and_one_shots_are_told_once() {
    let (reader, writer) = pipe(1, (0, 0));
    let (reader, writer) = (OpenFile::stream(reader, 0), OpenFile::stream(writer, 1));
    let [level, edge, once] = [(); 3].map(|()| Arc::<Epoll>::default());
    level.add(3, &reader, 1, 7).unwrap();
    edge.add(3, &reader, 1 | flag::EDGE, 8).unwrap();
    once.add(3, &reader, 1 | flag::ONE_SHOT, 9).unwrap();
    assert_eq!(level.add(3, &reader, 1, 7), Err(Errno::EXIST));
    assert!(told(&level, 8, true).is_empty() && told(&edge, 8, true).is_empty());
    writer.file.write(b"x", 0, false).unwrap();
    for _ in 0..2 {
        assert_eq!(told(&level, 8, true), [(1, 7)]);
    }
    assert_eq!(told(&edge, 8, true), [(1, 8)]);
    assert_eq!(told(&edge, 8, true), []);
    assert_eq!(told(&once, 8, true), [(1, 9)]);
    assert_eq!(told(&once, 8, true), []);
    // Another byte is another edge, although the first one was not read.
    writer.file.write(b"y", 0, false).unwrap();
    assert_eq!(told(&edge, 8, true), [(1, 8)]);
    once.modify(3, &reader, 1 | flag::ONE_SHOT, 10).unwrap();
    assert_eq!(told(&once, 8, true), [(1, 10)]);
    drop(writer);
    assert_eq!(told(&level, 8, true), [(0x11, 7)]);
    drop(reader);
    assert_eq!(told(&level, 8, true), []);
    assert!(lock(&level.items).is_empty());
}

#[test]
fn only_what_called_is_looked_at_and_each_has_its_turn() {
    let pipes: Vec<_> = (0..300)
        .map(|n| {
            let (reader, writer) = pipe(n, (0, 0));
            (OpenFile::stream(reader, 0), OpenFile::stream(writer, 1))
        })
        .collect();
    let set = Arc::<Epoll>::default();
    for (number, (reader, _)) in pipes.iter().enumerate() {
        set.add(u32::try_from(number).unwrap(), reader, 1, number as u64).unwrap();
    }
    let standing = || set.list.len();
    assert_eq!(standing(), 0);
    for number in [200, 100, 0] {
        pipes[number].1.file.write(b"x", 0, false).unwrap();
    }
    assert_eq!(standing(), 3);
    let seen: Vec<_> = (0..7).map(|_| told(&set, 1, true)[0].1).collect();
    assert_eq!(seen, [200, 100, 0, 200, 100, 0, 200]);
    // A look alone moves nobody.
    for _ in 0..3 {
        assert_eq!(told(&set, 1, false), [(1, 100)]);
    }
    pipes[100].0.file.read(&mut [0; 1], 0).unwrap();
    assert_eq!(told(&set, 9, true), [(1, 0), (1, 200)]);
    assert_eq!(standing(), 2);
    for (number, (reader, _)) in pipes.iter().enumerate() {
        set.remove(u32::try_from(number).unwrap(), reader).unwrap();
    }
    assert_eq!((standing(), lock(&pipes[0].0.sets).len()), (0, 0));
    for _ in 0..1000 {
        Arc::<Epoll>::default().add(0, &pipes[0].0, 1, 0).unwrap();
    }
    assert!(lock(&pipes[0].0.sets).len() <= 16);
}

#[test]
fn of_those_that_wait_exclusively_one_is_woken() {
    use crate::task::waiter::Woken;
    let (reader, writer) = pipe(1, (0, 0));
    let (reader, writer) = (OpenFile::stream(reader, 0), OpenFile::stream(writer, 1));
    let sets = [(); 3].map(|()| Arc::<Epoll>::default());
    let waiters = [(); 3].map(|()| Arc::new(Waiter::default()));
    for set in &sets {
        set.add(3, &reader, 1 | flag::EXCLUSIVE, 7).unwrap();
        assert_eq!(set.modify(3, &reader, 1, 7), Err(Errno::INVAL));
    }
    let called = || {
        let now = Some(std::time::Instant::now());
        [0, 1, 2].map(|n| waiters[n].wait(now) == Woken::Called)
    };
    // Nobody waits for the first one.
    for number in [1, 2] {
        sets[number].join(&waiters[number]);
    }
    writer.file.write(b"x", 0, false).unwrap();
    assert_eq!(called(), [false, true, false]);
    // It is at work, and others are not kept waiting.
    writer.file.write(b"x", 0, false).unwrap();
    assert_eq!(called(), [false, false, true]);
    for set in &sets {
        assert_eq!(told(set, 1, true), [(1, 7)]);
    }
}

#[test]
fn several_that_look_at_once_all_see_what_is_level_triggered() {
    let (reader, writer) = pipe(1, (0, 0));
    let (reader, writer) = (OpenFile::stream(reader, 0), OpenFile::stream(writer, 1));
    let set = Arc::<Epoll>::default();
    set.add(3, &reader, 1, 7).unwrap();
    writer.file.write(b"x", 0, false).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    assert_eq!(told(&set, 1, true), [(1, 7)]);
                }
            });
        }
    });
}

#[test]
fn a_set_in_another_in_which_nobody_waits_serves_nobody() {
    use crate::task::waiter::Woken;
    let (reader, writer) = pipe(1, (0, 0));
    let (reader, writer) = (OpenFile::stream(reader, 0), OpenFile::stream(writer, 1));
    let [inner, other, outer] = [(); 3].map(|()| Arc::<Epoll>::default());
    for set in [&inner, &other] {
        set.add(3, &reader, 1 | flag::EXCLUSIVE, 7).unwrap();
    }
    let file = OpenFile::of_epoll(Box::new(EpollFile(Arc::clone(&inner))), Arc::clone(&inner));
    outer.add_set(4, (&file, &inner), 1, 8).unwrap();
    let waiters = [(); 3].map(|()| Arc::new(Waiter::default()));
    // Who polls the inner one, and who waits in the other one.
    file.file.watch(&waiters[0]);
    other.join(&waiters[1]);
    outer.join(&waiters[2]);
    writer.file.write(b"x", 0, false).unwrap();
    let now = Some(std::time::Instant::now());
    let called = waiters.map(|waiter| waiter.wait(now) == Woken::Called);
    assert_eq!(called, [true; 3]);
}

#[test]
fn what_calls_after_it_was_taken_out_gets_no_place() {
    let (reader, _writer) = pipe(1, (0, 0));
    let reader = OpenFile::stream(reader, 0);
    let set = Arc::<Epoll>::default();
    set.add(3, &reader, 1, 7).unwrap();
    let place = Arc::clone(&lock(&set.items)[&key(3, &reader)].place);
    set.remove(3, &reader).unwrap();
    set.list.push(key(3, &reader), &place);
    assert_eq!(set.list.len(), 0);
}
