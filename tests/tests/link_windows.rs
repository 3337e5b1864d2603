//! Receivers that want less under way than their window (P-W7): how much lies unread, what the sender
//! sees of it, and that nothing stands still.

use hatchery_proto::{Capacity, Connection, DialogId, Overrun, Recv, SendError};
use hatchery_tests::pair::{Pair, small_limits};

/// A dialog whose callee's reader, or whose opener's, wants so much and no more.
struct Scene {
    pair: Pair,
    id: DialogId,
    /// Whether it is the opener that sends.
    forth: bool,
    /// Values that were sent, and received, each with its number in front.
    sent: usize,
    had: usize,
}

impl Scene {
    fn new(overrun: Overrun, forth: bool) -> Self {
        let mut pair = Pair::up_with(&small_limits());
        let id = pair.context();
        let mut scene = Self { pair, id, forth, sent: 0, had: 0 };
        scene.policy(overrun);
        scene.pair.settle();
        scene
    }

    /// One whose sender has used up what it had been let send at first.
    fn settled(within: Capacity, forth: bool, size: usize) -> Self {
        let mut scene = Self::new(Overrun::WaitWithin(within), forth);
        let window = small_limits().window as usize;
        while scene.sent * (size + 16) <= 2 * window {
            scene.fill(size);
            scene.drain();
        }
        scene
    }

    fn policy(&mut self, overrun: Overrun) {
        match self.forth {
            true => self.pair.b.core.callee(self.id).unwrap().on_overrun(overrun),
            false => self.pair.a.core.caller(self.id).unwrap().on_overrun(overrun),
        }
    }

    fn send(&mut self, size: usize) -> Result<(), SendError> {
        let value = vec![self.sent as u8; size];
        let sent = match self.forth {
            true => self.pair.a.core.caller(self.id).unwrap().send(&value),
            false => self.pair.b.core.callee(self.id).unwrap().send(&value),
        };
        self.sent += usize::from(sent.is_ok());
        sent
    }

    /// Sends what may be sent before anything arrives; says how many that were.
    fn burst(&mut self, size: usize) -> usize {
        let before = self.sent;
        while self.send(size) == Ok(()) {}
        self.sent - before
    }

    /// Sends until nothing more may be sent whatever arrives, with nobody reading.
    fn fill(&mut self, size: usize) {
        loop {
            self.pair.settle();
            if self.burst(size) == 0 {
                return;
            }
        }
    }

    /// Takes one value, which is the next.
    fn take(&mut self) -> bool {
        let mut value = Vec::new();
        let got = match self.forth {
            true => self.pair.b.core.callee(self.id).unwrap().recv(&mut value),
            false => self.pair.a.core.caller(self.id).unwrap().recv(&mut value),
        };
        if got != Recv::Value {
            return false;
        }
        assert!(value.iter().all(|byte| *byte == self.had as u8), "value {}", self.had);
        self.had += 1;
        true
    }

    fn drain(&mut self) {
        while self.take() {}
        self.pair.settle();
    }

    fn unread(&self) -> usize {
        self.sent - self.had
    }

    fn reader(&self) -> &Connection {
        if self.forth { &self.pair.b.core } else { &self.pair.a.core }
    }

    fn sender(&self) -> &Connection {
        if self.forth { &self.pair.a.core } else { &self.pair.b.core }
    }

    fn honest(&mut self) {
        assert_eq!((self.pair.a.broken(), self.pair.b.broken()), (None, None));
    }
}

fn items(items: usize) -> Capacity {
    Capacity { items, bytes: usize::MAX }
}

#[test]
fn p_w7_no_more_values_than_that_lie_unread_or_are_under_way() {
    for forth in [true, false] {
        for (count, size) in
            [1, 2, 3, 7, 30].into_iter().flat_map(|n| [0, 1, 40, 3000].map(|s| (n, s)))
        {
            let mut scene = Scene::settled(items(count), forth, size);
            let said = format!("{count} of {size} bytes, forth {forth}");
            for _ in 0..50 {
                let burst = scene.burst(size);
                assert!((1..=count).contains(&burst), "{burst} at once: {said}");
                scene.fill(size);
                assert!(scene.unread() <= count, "{} unread: {said}", scene.unread());
                // As many as that fit, as far as the window itself lets them.
                let window = small_limits().window as usize / (size + 16);
                let least = (count - count / 4).min(window.max(1));
                assert!(scene.unread() >= least, "{} unread: {said}", scene.unread());
                scene.drain();
            }
            // One for one it goes on as well, and stays within.
            scene.fill(size);
            for _ in 0..100 {
                assert!(scene.take(), "it stands still: {said}");
                scene.pair.settle();
                scene.fill(size);
                assert!((1..=count).contains(&scene.unread()), "{said}");
            }
            scene.honest();
        }
    }
}

#[test]
fn p_w7_no_more_bytes_than_that_but_for_one_value() {
    for forth in [true, false] {
        for (bytes, size) in [(0, 0), (0, 50), (100, 1), (300, 50), (300, 299), (300, 2000)] {
            let mut scene = Scene::settled(Capacity { items: usize::MAX, bytes }, forth, size);
            for _ in 0..20 {
                scene.fill(size);
                let (unread, most) = (scene.unread(), bytes + size);
                assert!(unread == 1 || unread * size <= most, "{unread} of {size}, {bytes}");
                assert!(unread >= 1);
                scene.drain();
            }
            scene.honest();
        }
    }
}

#[test]
fn p_w7_what_was_granted_before_comes_on_top_once() {
    let window = small_limits().window as usize;
    let mut scene = Scene::new(Overrun::WaitWithin(items(2)), true);
    let first = scene.burst(0);
    assert!(first >= window / 16 - 3, "credit is never taken back: {first}");
    scene.pair.settle();
    scene.drain();
    assert_eq!(scene.burst(0), 2);
}

#[test]
fn p_w7_a_reader_that_keeps_up_says_little() {
    let mut scene = Scene::settled(items(32), true, 1);
    let mut frames = 0;
    for _ in 0..320 {
        assert_eq!(scene.send(1), Ok(()));
        let bytes = scene.pair.a.bytes(scene.pair.now);
        scene.pair.b.core.handle_input(scene.pair.now, &bytes);
        assert!(scene.take());
        let back = scene.pair.b.bytes(scene.pair.now);
        frames += usize::from(!back.is_empty());
        scene.pair.a.core.handle_input(scene.pair.now, &back);
    }
    assert!((20..=80).contains(&frames), "{frames} for 320 values");
}

#[test]
fn p_w7_p_w1_whoever_takes_it_back_gives_the_window_back() {
    for (overrun, forth) in [Overrun::Wait, Overrun::DropOldest(items(1))]
        .into_iter()
        .flat_map(|overrun| [(overrun, true), (overrun, false)])
    {
        let mut scene = Scene::settled(items(1), forth, 40);
        scene.fill(40);
        assert_eq!(scene.unread(), 1);
        scene.policy(overrun);
        scene.pair.settle();
        let balance = scene.sender().ledger(scene.id).unwrap().balance;
        assert!(balance >= i64::from(small_limits().window) - 2 * 56, "{balance}: {overrun:?}");
        scene.honest();
    }
}

#[test]
fn p_w7_p_d8_with_no_reader_nobody_waits() {
    let mut scene = Scene::settled(items(1), true, 40);
    scene.fill(40);
    let id = scene.id;
    scene.pair.b.core.callee(id).unwrap().discard();
    scene.pair.settle();
    for _ in 0..200 {
        assert_eq!(scene.send(40), Ok(()));
        scene.pair.settle();
    }
    scene.honest();
}

#[test]
fn p_w7_every_byte_of_the_window_is_accounted_for() {
    for forth in [true, false] {
        let mut scene = Scene::new(Overrun::WaitWithin(items(5)), forth);
        for n in 0..500_usize {
            let _ = scene.send(n * 37 % 200);
            scene.pair.settle();
            if n % 3 == 0 {
                let _ = scene.take();
                scene.pair.settle();
            }
            let books = scene.reader().ledger(scene.id).unwrap();
            assert_eq!(books.allowance + books.held + books.owed, books.window, "{n}");
        }
        scene.honest();
    }
}
