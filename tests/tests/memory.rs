//! What a link holds for its peer, counted by the allocator: the bound that the docs of
//! `hatchery_proto::limits` state (P-F5).

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use hatchery_proto::wire::{Tag, body, put_frame};
use hatchery_proto::{DialogId, Event, Kind, Limits, Outcome, Recv, Terminal};
use hatchery_tests::pair::Pair;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);
static CALLS: AtomicUsize = AtomicUsize::new(0);
/// One count for the process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

struct Counting;

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Relaxed) + layout.size();
        MOST.fetch_max(held, Relaxed);
        CALLS.fetch_add(1, Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn grown(work: impl FnOnce()) -> usize {
    let before = HELD.load(Relaxed);
    MOST.store(before, Relaxed);
    work();
    MOST.load(Relaxed) - before
}

fn start(dialog: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let start = body::Start {
        endpoint: "x",
        kind: Kind::Context,
        schema: 0,
        codec: body::POSTCARD,
        credit: 4096,
        deadline: None,
        trace: None,
    };
    let content = postcard::to_allocvec(&start).unwrap();
    put_frame(&mut out, Tag::Start, DialogId::new(dialog), 0, |out| out.extend(content));
    out
}

fn value(dialog: u64, size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    put_frame(&mut out, Tag::Yield, DialogId::new(dialog), 0, |out| {
        out.resize(out.len() + size, 7)
    });
    out
}

/// Serves so many started contexts, opened by a peer that then says what it likes.
fn serving(dialogs: u64, limits: &Limits) -> Pair {
    let mut pair = Pair::up_with(limits);
    for number in 0..dialogs {
        let id = 2 * number + 1;
        pair.a.core.handle_input(pair.now, &start(id));
        let mut callee = pair.a.core.callee(DialogId::new(id)).unwrap();
        drop(callee.take_start());
        callee.started(b"").unwrap();
        let _ = pair.a.bytes(pair.now);
    }
    pair.a.look();
    pair.a.events = Vec::new();
    pair
}

#[test]
fn p_f5_ten_thousand_dialogs_that_nobody_reads_hold_no_more_than_their_windows() {
    let _alone = ALONE.lock();
    let limits = Limits { max_dialogs: 10_000, window: 1024, ..Limits::default() };
    for size in [0, 84] {
        let mut offered = 0_u64;
        let most = grown(|| {
            let mut pair = serving(10_000, &limits);
            // The cost of its arguments is owed still.
            let values: u64 = (1024 - 16) / (size as u64 + 16);
            for number in 0..10_000 {
                let all = value(2 * number + 1, size).repeat(values as usize);
                pair.a.core.handle_input(pair.now, &all);
                offered += values * size as u64;
            }
            assert_eq!(pair.a.broken(), None, "all of it is within the credit");
        });
        let bound = (1 << 20) + 10_000 * (2048 + 6 * 1024);
        println!("values of {size} bytes: offered {offered}, held {most}, bound {bound}");
        assert!(most <= bound, "{most} of {bound}");
    }
}

#[test]
fn p_f5_a_context_that_is_idle_keeps_no_room_for_what_began_it() {
    let _alone = ALONE.lock();
    let limits = Limits { max_dialogs: 1000, ..Limits::default() };
    let before = HELD.load(Relaxed);
    let pair = serving(1000, &limits);
    let each = (HELD.load(Relaxed) - before) / 1000;
    drop(pair);
    println!("{each} bytes for each");
    // What it is, and its places in lists that may have twice the room.
    assert!(each <= 640, "{each}");
}

#[test]
fn p_f5_a_stalled_reader_is_offered_a_gigabyte() {
    let _alone = ALONE.lock();
    let limits = Limits { window: 64 * 1024, ..Limits::default() };
    let mut pair = Pair::up_with(&limits);
    let id = pair.context();
    let chunk = vec![7; 1 << 20];
    let (mut taken, mut refused) = (0_u64, 0_u64);
    let most = grown(|| {
        for _ in 0..1024 {
            match pair.a.core.caller(id).unwrap().send(&chunk) {
                Ok(()) => taken += 1,
                Err(_) => refused += 1,
            }
            pair.settle();
        }
    });
    println!("offered 1 GiB, taken {taken} MiB, held {most}");
    assert_eq!((taken, refused), (1, 1023), "one begins, and spends the credit of all others");
    // Once at each end, in buffers that at most double, and what is carried in between.
    assert!(most <= 8 << 20, "{most}");
}

#[test]
fn p_f5_a_small_value_does_not_keep_the_buffer_of_a_large_one() {
    let _alone = ALONE.lock();
    let limits = Limits { window: 256 * 1024, ..Limits::default() };
    let mut pair = serving(2, &limits);
    let (large, small) = (value(1, 60_000), value(3, 1));
    let mut out = Vec::new();
    let most = grown(|| {
        for _ in 0..5000 {
            pair.a.core.handle_input(pair.now, &large);
            let mut reader = pair.a.core.callee(DialogId::new(1)).unwrap();
            assert_eq!(reader.recv(&mut out), Recv::Value);
            pair.a.core.handle_input(pair.now, &small);
            let _ = pair.a.bytes(pair.now);
        }
        assert_eq!(pair.a.broken(), None);
    });
    println!("5000 values of one byte: held {most}");
    assert!(most <= 4 << 20, "{most}");
}

#[test]
fn a_busy_stream_allocates_nothing() {
    let _alone = ALONE.lock();
    // So wide that credit, which takes a little, is seldom given back.
    let limits = Limits { window: 16 << 20, ..Limits::default() };
    for size in [1, 3000, 64 * 1024] {
        let mut pair = Pair::up_with(&limits);
        let id = pair.context();
        let (value, mut read) = (vec![7; size], Vec::new());
        let (mut bytes, mut back) = (Vec::new(), Vec::new());
        let mut carry = || {
            pair.a.core.caller(id).unwrap().send(&value).unwrap();
            bytes.clear();
            let _ = pair.a.core.poll_transmit(pair.now, &mut bytes, usize::MAX);
            pair.b.core.handle_input(pair.now, &bytes);
            while pair.b.core.poll_event().is_some() {}
            assert_eq!(pair.b.core.callee(id).unwrap().recv(&mut read), Recv::Value);
            back.clear();
            let _ = pair.b.core.poll_transmit(pair.now, &mut back, usize::MAX);
            pair.a.core.handle_input(pair.now, &back);
            while pair.a.core.poll_event().is_some() {}
        };
        (0..100).for_each(|_| carry());
        let before = CALLS.load(Relaxed);
        (0..1000).for_each(|_| carry());
        let calls = CALLS.load(Relaxed) - before;
        // The threads of the other tests may take a little on their way to the lock.
        assert!(calls < 100, "{calls} allocations for 1000 values of {size} bytes");
    }
}

#[test]
fn p_f5_buffers_that_are_kept_are_few_and_small_and_go_with_the_link() {
    let _alone = ALONE.lock();
    let limits = Limits { window: 16 << 20, ..Limits::default() };
    let mut pair = Pair::up_with(&limits);
    let id = pair.context();
    let before = HELD.load(Relaxed);
    let held = || HELD.load(Relaxed).saturating_sub(before);
    for size in [1 << 20, 60_000] {
        for _ in 0..10 {
            for _ in 0..8 {
                pair.a.core.caller(id).unwrap().send(&vec![7; size]).unwrap();
            }
            pair.settle();
            drop(pair.received_at_b(id));
            pair.settle();
        }
        assert!(held() < 3 << 20, "after values of {size} bytes {} are held", held());
    }
    assert!(held() > 60_000, "some are kept");
    for end in [&mut pair.a, &mut pair.b] {
        end.core.handle_eof(pair.now);
        end.core.handle_write_closed();
    }
    assert!(held() < 50_000, "after the end {} are held", held());
}

/// Makes so many calls at once, and gives back what was taken out of the links for them.
fn call(pair: &mut Pair, calls: usize, ids: &mut Vec<DialogId>) {
    let (mut there, mut back) = (Vec::new(), Vec::new());
    ids.extend((0..calls).map(|_| pair.start(Kind::Call, &[7; 32])));
    let _ = pair.a.core.poll_transmit(pair.now, &mut there, usize::MAX);
    pair.b.core.handle_input(pair.now, &there);
    while let Some(event) = pair.b.core.poll_event() {
        let Event::Incoming(id) = event else { continue };
        let mut callee = pair.b.core.callee(id).unwrap();
        let incoming = callee.take_start().unwrap();
        callee.accept();
        callee.finish(Terminal::Return(incoming.args));
        pair.b.core.recycle(incoming.endpoint.into_bytes());
    }
    let _ = pair.b.core.poll_transmit(pair.now, &mut back, usize::MAX);
    pair.a.core.handle_input(pair.now, &back);
    while pair.a.core.poll_event().is_some() {}
    for id in ids.drain(..) {
        let Some(Outcome::Returned(value)) = pair.a.core.take_outcome(id) else {
            panic!("{id:?} has not returned");
        };
        pair.a.core.recycle(value);
    }
}

#[test]
fn some_hundred_calls_at_once_allocate_nothing() {
    let _alone = ALONE.lock();
    let (mut pair, mut ids) = (Pair::up(), Vec::new());
    for calls in [1, 64, 500] {
        (0..10).for_each(|_| call(&mut pair, calls, &mut ids));
        let before = CALLS.load(Relaxed);
        (0..100).for_each(|_| call(&mut pair, calls, &mut ids));
        let made = CALLS.load(Relaxed) - before;
        // The bytes that are carried here, and whatever threads of other tests take on their way to
        // the lock.
        assert!(made < 100 * 40, "{made} allocations for 100 times {calls} calls");
    }
}

#[test]
fn p_f5_what_is_kept_of_calls_that_are_over_is_bounded_and_goes_with_the_link() {
    let _alone = ALONE.lock();
    let (mut pair, mut ids) = (Pair::up(), Vec::new());
    (0..3).for_each(|_| call(&mut pair, 4096, &mut ids));
    let before = HELD.load(Relaxed);
    for end in [&mut pair.a, &mut pair.b] {
        end.core.handle_eof(pair.now);
        end.core.handle_write_closed();
    }
    let kept = before.saturating_sub(HELD.load(Relaxed));
    println!("of 4096 calls at once {kept} bytes were kept");
    // 1 MiB at either end, beside the lists that they were in.
    assert!((1 << 20..9 << 18).contains(&kept), "{kept}");
}

#[test]
fn p_f5_a_stream_that_never_stands_still_holds_no_more_than_waits() {
    let _alone = ALONE.lock();
    // Neither the buffer that is written from nor the one that is read from is ever empty.
    let mut pair = Pair::up();
    let ids = [pair.context(), pair.context()];
    let mut out = Vec::new();
    let mut bytes = Vec::new();
    let (mut sent, mut had) = (0_u32, 0_u32);
    let numbered = |number: u32| [number.to_le_bytes(); 16].concat();
    let most = grown(|| {
        for _ in 0..40_000 {
            for id in ids {
                while pair.a.core.ledger(id).unwrap().unsent < 2048 {
                    match pair.a.core.caller(id).unwrap().send(&numbered(sent)) {
                        Ok(()) => sent += u32::from(id == ids[0]),
                        Err(_) => break,
                    }
                }
            }
            bytes.clear();
            let _ = pair.a.core.poll_transmit(pair.now, &mut bytes, 300);
            pair.b.core.handle_input(pair.now, &bytes);
            for id in ids {
                while pair.b.core.ledger(id).unwrap().held > 2048 {
                    assert_eq!(pair.b.core.callee(id).unwrap().recv(&mut out), Recv::Value);
                    if id == ids[0] {
                        assert_eq!(out[..4], had.to_le_bytes());
                        had += 1;
                    }
                }
            }
            pair.back();
        }
    });
    println!("{had} values read, {most} bytes held");
    assert!(had > 40_000, "{had}");
    assert!(most < 64 * 1024, "{most}");
}
