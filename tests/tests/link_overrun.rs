//! Receivers that do not hold their senders up (P-W6): what is kept, what is dropped and counted, and
//! who is told of an overrun.

use hatchery_proto::{
    Capacity, Connection, DialogId, Event, Outcome, Overrun, Recv, SendError, Terminal,
};
use hatchery_tests::pair::{Pair, asked_by, small_limits};

/// A dialog whose callee's reader, or whose opener's, has this policy.
struct Scene {
    pair: Pair,
    id: DialogId,
    /// Whether it is the opener that sends.
    forth: bool,
}

impl Scene {
    fn new(overrun: Overrun, forth: bool) -> Self {
        let mut pair = Pair::up_with(&small_limits());
        let id = pair.context();
        let mut scene = Self { pair, id, forth };
        scene.policy(overrun);
        scene
    }

    fn policy(&mut self, overrun: Overrun) {
        match self.forth {
            true => self.pair.b.core.callee(self.id).unwrap().on_overrun(overrun),
            false => self.pair.a.core.caller(self.id).unwrap().on_overrun(overrun),
        }
    }

    fn send(&mut self, value: &[u8]) -> Result<(), SendError> {
        match self.forth {
            true => self.pair.a.core.caller(self.id).unwrap().send(value),
            false => self.pair.b.core.callee(self.id).unwrap().send(value),
        }
    }

    /// Sends it, and has it arrive.
    fn arrive(&mut self, value: &[u8]) {
        assert_eq!(self.send(value), Ok(()));
        self.pair.settle();
    }

    fn stop(&mut self) {
        match self.forth {
            true => self.pair.a.core.caller(self.id).unwrap().stop().unwrap(),
            false => self.pair.b.core.callee(self.id).unwrap().stop().unwrap(),
        }
        self.pair.settle();
    }

    /// Everything that is left for the reader, by its first bytes, and what follows.
    fn received(&mut self) -> (Vec<u8>, Recv) {
        let (values, end) = match self.forth {
            true => self.pair.received_at_b(self.id),
            false => self.pair.received_at_a(self.id),
        };
        (values.into_iter().map(|value| value[0]).collect(), end)
    }

    fn dropped(&mut self) -> u64 {
        match self.forth {
            true => self.pair.b.core.callee(self.id).unwrap().dropped(),
            false => self.pair.a.core.caller(self.id).unwrap().dropped(),
        }
    }

    fn reader(&self) -> &Connection {
        if self.forth { &self.pair.b.core } else { &self.pair.a.core }
    }

    fn honest(&mut self) {
        assert_eq!((self.pair.a.broken(), self.pair.b.broken()), (None, None));
    }
}

/// What the reader does not take itself is back at the sender.
fn nothing_owed(scene: &Scene) {
    let books = scene.reader().ledger(scene.id).unwrap();
    assert_eq!((books.held, books.allowance + books.owed), (0, books.window));
}

#[test]
fn p_w6_str_12_the_oldest_are_dropped_and_counted_and_the_sender_never_waits() {
    for forth in [true, false] {
        let mut scene = Scene::new(Overrun::DropOldest(Capacity::items(3)), forth);
        // Each is a window and more, and nobody reads.
        for n in 0..200 {
            scene.arrive(&[n; 1500]);
            nothing_owed(&scene);
        }
        assert_eq!(scene.dropped(), 197);
        scene.stop();
        assert_eq!(scene.received(), (vec![197, 198, 199], Recv::End));
        assert_eq!(scene.dropped(), 197);
        scene.honest();
    }
}

#[test]
fn p_w6_the_latest_alone_is_kept() {
    for forth in [true, false] {
        let mut scene = Scene::new(Overrun::LatestOnly, forth);
        for n in 0..50 {
            scene.arrive(&vec![n; 100 * usize::from(n)].into_iter().chain([n]).collect::<Vec<_>>());
        }
        assert_eq!((scene.received(), scene.dropped()), ((vec![49], Recv::Empty), 49));
        scene.arrive(&[7]);
        assert_eq!((scene.received(), scene.dropped()), ((vec![7], Recv::Empty), 49));
        scene.honest();
    }
}

#[test]
fn p_w6_p_f5_what_is_kept_is_bounded_by_bytes_and_one_is_kept_whatever_its_size() {
    let kept = Capacity { items: 100, bytes: 1000 };
    let mut scene = Scene::new(Overrun::DropOldest(kept), true);
    for n in 0..100 {
        scene.arrive(&[n; 300]);
        assert!(scene.reader().held() <= 1000, "{}", scene.reader().held());
    }
    assert_eq!(scene.dropped(), 97);
    scene.arrive(&[200; 5000]);
    assert_eq!((scene.reader().held(), scene.dropped()), (5000, 100));
    scene.arrive(&[201; 10]);
    assert_eq!((scene.received(), scene.dropped()), ((vec![201], Recv::Empty), 101));
    scene.arrive(&[]);
    scene.honest();
}

#[test]
fn p_w6_str_11_an_overrun_is_told_to_both_sides_once_and_ends_no_dialog() {
    for forth in [true, false] {
        let mut scene = Scene::new(Overrun::Fail(Capacity::items(64)), forth);
        let mut told = 0;
        for n in 0..200 {
            match scene.send(&[n; 100]) {
                Ok(()) => {}
                Err(SendError::Overrun) => {
                    told += 1;
                    assert!(n > 64, "{n}");
                }
                Err(SendError::Full) => scene.pair.settle(),
                Err(other) => panic!("{other:?}"),
            }
            scene.pair.settle();
        }
        assert_eq!(told, 200 - 65, "every send behind the one that was too many");
        let credits = |core: &Connection| {
            core.recent().filter(|note| note.to_string().contains("Credit")).count()
        };
        assert!(credits(scene.reader()) < 30, "not one message for each value");
        let all: Vec<u8> = (0..64).collect();
        assert_eq!(scene.received(), (all, Recv::Overrun));
        assert_eq!(scene.received(), (vec![], Recv::Overrun), "the same ever after");
        // The other direction goes on, and so does the dialog.
        scene.forth = !forth;
        scene.arrive(b"still");
        assert_eq!(scene.received(), (vec![b's'], Recv::Empty));
        let id = scene.id;
        scene.pair.finish(id, Terminal::Return(b"value".to_vec()));
        scene.pair.settle();
        assert_eq!(scene.pair.outcome(id), Some(Outcome::Returned(b"value".to_vec())));
        scene.honest();
    }
}

#[test]
fn p_w6_exactly_as_much_as_is_kept_is_no_overrun() {
    for (items, bytes, count, size) in [(3, 1000, 3, 10), (100, 30, 3, 10), (0, 0, 1, 900)] {
        let kept = Capacity { items, bytes };
        let mut scene = Scene::new(Overrun::Fail(kept), true);
        for n in 0..count {
            scene.arrive(&vec![n; size]);
        }
        assert_eq!(scene.received().1, Recv::Empty, "{kept:?}");
        for n in 0..=count {
            scene.arrive(&vec![n; size]);
        }
        assert_eq!(scene.received(), ((0..count).collect(), Recv::Overrun), "{kept:?}");
        assert_eq!(scene.send(b"x"), Err(SendError::Overrun));
    }
}

#[test]
fn p_w6_a_sender_that_waits_is_told_of_an_overrun() {
    let mut scene = Scene::new(Overrun::Fail(Capacity::items(1)), true);
    assert_eq!(scene.send(&[1; 10]), Ok(()));
    // Goes over the window: the next has to wait for credit.
    assert_eq!(scene.send(&[2; 2000]), Ok(()));
    assert_eq!(scene.send(&[3]), Err(SendError::Full));
    scene.pair.a.events.clear();
    scene.pair.settle();
    let id = scene.id;
    assert_eq!(scene.pair.a.count(&Event::Writable(id)), 1);
    assert_eq!(scene.send(&[3]), Err(SendError::Overrun));
    nothing_owed(&scene);
}

#[test]
fn p_w6_a_policy_that_comes_late_holds_for_what_has_come() {
    let values: [u8; 5] = [0, 1, 2, 3, 4];
    for (overrun, kept, end, dropped) in [
        (Overrun::Wait, &values[..], Recv::Empty, 0),
        (Overrun::DropOldest(Capacity::items(2)), &values[3..], Recv::Empty, 3),
        (Overrun::LatestOnly, &values[4..], Recv::Empty, 4),
        (Overrun::Fail(Capacity::items(2)), &values[..2], Recv::Overrun, 0),
        (Overrun::Fail(Capacity::items(5)), &values[..], Recv::Empty, 0),
    ] {
        let mut scene = Scene::new(Overrun::Wait, false);
        for n in values {
            scene.arrive(&[n; 150]);
        }
        scene.policy(overrun);
        scene.pair.settle();
        if overrun != Overrun::Wait {
            nothing_owed(&scene);
        }
        assert_eq!((scene.received(), scene.dropped()), ((kept.to_vec(), end), dropped));
        let sent = scene.send(b"x");
        assert_eq!(sent == Err(SendError::Overrun), end == Recv::Overrun, "{overrun:?} {sent:?}");
        scene.honest();
    }
}

#[test]
fn p_w6_back_to_waiting_accounts_for_each_value_once() {
    let mut scene = Scene::new(Overrun::DropOldest(Capacity::items(8)), true);
    for n in 0..4 {
        scene.arrive(&[n; 200]);
    }
    scene.policy(Overrun::Wait);
    let mut more = 4;
    while scene.send(&[more; 200]) == Ok(()) {
        scene.pair.settle();
        more += 1;
        assert!(more < 50, "nobody reads, and nobody waits");
    }
    assert_eq!(scene.received(), ((0..more).collect(), Recv::Empty));
    scene.pair.settle();
    nothing_owed(&scene);
    scene.honest();
}

#[test]
fn p_w6_the_end_of_the_dialog_leaves_what_is_kept_and_the_overrun() {
    for overrun in [Overrun::Fail(Capacity::items(2)), Overrun::DropOldest(Capacity::items(2))] {
        let fails = matches!(overrun, Overrun::Fail(_));
        for terminal in [Terminal::Return(Vec::new()), Terminal::Cancelled(asked_by(2))] {
            let returned = matches!(terminal, Terminal::Return(_));
            let mut scene = Scene::new(overrun, false);
            for n in 0..4 {
                // The last may find out, and need not.
                let _ = scene.send(&[n; 10]);
            }
            scene.pair.finish(scene.id, terminal);
            scene.pair.settle();
            let end = match (fails, returned) {
                (true, _) => Recv::Overrun,
                (_, true) => Recv::End,
                (_, false) => Recv::Ended,
            };
            let kept = if fails { vec![0, 1] } else { vec![2, 3] };
            assert_eq!(scene.received(), (kept, end));
            scene.honest();
        }
    }
}

#[test]
fn p_w6_a_policy_that_comes_after_the_end_says_nothing_to_the_peer() {
    for returned in [true, false] {
        let mut scene = Scene::new(Overrun::Wait, false);
        for n in 0..5 {
            scene.arrive(&[n; 150]);
        }
        let id = scene.id;
        if returned {
            scene.pair.finish(id, Terminal::Return(Vec::new()));
            scene.pair.settle();
        } else {
            scene.stop();
        }
        scene.policy(Overrun::Fail(Capacity::items(2)));
        let said = scene.pair.a.bytes(scene.pair.now);
        // What was taken is still given back to a callee that has only stopped.
        assert_eq!(said.is_empty(), returned, "{said:?}");
        assert!(!said.ends_with(&[2]), "an overrun of what will not come: {said:?}");
        assert_eq!(scene.received(), (vec![0, 1], Recv::Overrun));
    }
}

#[test]
fn p_w6_a_reader_that_goes_after_an_overrun_says_nothing_more() {
    let mut scene = Scene::new(Overrun::Fail(Capacity::items(1)), true);
    for n in 0..2 {
        scene.arrive(&[n; 10]);
    }
    let id = scene.id;
    scene.pair.b.core.callee(id).unwrap().stop_reading();
    assert!(!scene.pair.b.core.wants_transmit());
    assert_eq!(scene.send(b"x"), Err(SendError::Overrun));
}
