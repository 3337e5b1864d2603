//! What a line does by itself: ends of one direction, descriptors that nobody waits for, room.

use std::fs::File;
use std::io::{ErrorKind, IoSlice};
use std::os::unix::net::UnixStream;

use futures_lite::future;

use super::links::CARRIERS;
use super::memory::{Trying, pair};
use crate::driver::readiness;
use crate::driver::transport::carrier::{Carrier, Line};

fn lines(carriers: [Carrier; 2]) -> [Line; 2] {
    carriers.map(|carrier| Line::new(carrier).unwrap())
}

/// Writes all of it, in several buffers, and sees that it leaves.
async fn say(line: &Line, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let (one, other) = bytes.split_at(bytes.len() / 3);
        match line.write(&[IoSlice::new(one), IoSlice::new(other)]) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => line.writable().await.unwrap(),
            Err(error) => panic!("{error}"),
        }
    }
    while line.is_behind() {
        line.writable().await.unwrap();
    }
}

/// Reads to the end.
async fn hear(line: &Line) -> Vec<u8> {
    let (mut heard, mut buffer) = (Vec::new(), vec![0; 5000]);
    loop {
        let count = line.read(&mut buffer).await.unwrap();
        heard.extend_from_slice(&buffer[..count]);
        if count == 0 {
            return heard;
        } else if count < buffer.len() {
            line.readable().await;
        }
    }
}

/// Does the same over every carrier, of which some take a second to be gone.
fn over_each(test: impl AsyncFn(&str, [Line; 2]) + Sync) {
    std::thread::scope(|scope| {
        for (name, carriers) in CARRIERS {
            let test = &test;
            let own = std::thread::Builder::new().name(name.to_owned());
            let run = move || readiness::block_on(test(name, lines(carriers())));
            own.spawn_scoped(scope, run).unwrap();
        }
    });
}

fn long(number: u8) -> Vec<u8> {
    (0..1_000_000_u32).map(|place| (place / 7) as u8 ^ number).collect()
}

async fn half_close(a: &Line, b: &Line) {
    // More than any of them holds, both ways at once.
    let (forth, back) = (long(1), long(2));
    let first = async {
        say(a, &forth).await;
        a.close_writing();
        while a.is_behind() {
            a.writable().await.unwrap();
        }
        assert!(a.write(&[IoSlice::new(b"late")]).is_err());
    };
    // Ends only behind the end of the other direction.
    let second = async {
        assert_eq!(hear(b).await, forth);
        say(b, &back).await;
        b.close_writing();
        while b.is_behind() {
            b.writable().await.unwrap();
        }
    };
    let third = async { assert_eq!(hear(a).await, back) };
    future::zip(first, future::zip(second, third)).await;
}

#[test]
fn one_direction_ends_and_the_other_goes_on() {
    over_each(async |_, [a, b]| half_close(&a, &b).await);
    for seed in 0..6 {
        readiness::block_on(async {
            let [a, b] = pair([100, 10_000][seed as usize % 2]);
            let trying = |end, seed| Carrier::stream(Trying::new(end, 1000, seed));
            let [a, b] = lines([trying(a, seed), trying(b, seed + 100)]);
            half_close(&a, &b).await;
        });
    }
}

#[test]
fn closing_wakes_whoever_reads_or_waits_for_room() {
    over_each(async |_, [a, _b]| {
        let full = async {
            let bytes = vec![0; 100_000];
            while a.write(&[IoSlice::new(&bytes)]).is_ok() {}
            let _ = a.writable().await;
            assert!(a.write(&[IoSlice::new(b"late")]).is_err());
        };
        let empty = async {
            let read = a.read(&mut [0; 100]).await;
            assert!(!matches!(read, Ok(1..)), "{read:?}");
        };
        let close = async {
            future::yield_now().await;
            a.close();
            a.gone().await;
        };
        future::zip(future::zip(full, empty), close).await;
    });
}

#[test]
fn a_peer_that_is_gone_is_an_error_and_an_end() {
    over_each(async |name, [a, b]| {
        say(&b, b"last words").await;
        b.close();
        b.gone().await;
        drop(b);
        assert_eq!(hear(&a).await, b"last words");
        // TCP hears of it by the answer to what it has sent.
        let mut waited = false;
        while a.write(&[IoSlice::new(b"more")]).is_ok() {
            assert!(!waited || name.starts_with("tcp"));
            waited = true;
            a.readable().await;
        }
    });
}

#[test]
fn what_the_system_does_not_wait_for_is_refused_by_name() {
    let [mine, _theirs] = <[UnixStream; 2]>::from(UnixStream::pair().unwrap());
    let file = || File::open(std::env::current_exe().unwrap()).unwrap();
    let error = |read, write| match Line::new(Carrier::Pipes { read, write }) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("it was taken"),
    };
    let read = error(file().into(), mine.try_clone().unwrap().into());
    assert!(read.contains("read from through a regular file"), "{read}");
    let write = error(mine.into(), file().into());
    assert!(write.contains("written to through a regular file"), "{write}");
    let null = || File::options().read(true).write(true).open("/dev/null").unwrap();
    let null = error(null().into(), null().into());
    assert!(null.contains("a character device"), "{null}");
}
