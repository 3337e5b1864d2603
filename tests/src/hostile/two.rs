//! Two cores, and a schedule made of bytes: who does what, what is carried when, when time passes.
//! Both keep to the protocol, so neither may ever say that the other broke it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use hatchery_proto::{
    Connection, DialogId, Event, GoodbyeReason, Instant, Kind, Limits, LinkKind, Outcome, Recv,
    Refusal, Role, SendError, StartWish, Terminal,
};

use super::{BEGIN, Script, end_of, read, request, small_limits};

/// More rounds than any healed link needs.
const ROUNDS: usize = 10_000;

/// Runs the schedule, heals the link, and looks whether each dialog ended once on each side, with
/// its values in order (P-D4, P-D7, P-C6).
///
/// # Panics
/// Panics where that is not so.
pub fn pair_against(bytes: &[u8]) {
    let mut script = Script(bytes);
    let mut pair = Two::new(script.byte());
    while !script.0.is_empty() {
        pair.step(&mut script);
    }
    pair.heal();
    pair.part();
}

/// One direction of a dialog's stream, as its ends have used it.
#[derive(Debug, Default)]
struct Way {
    /// Values that were taken for sending and not received yet.
    under_way: VecDeque<Vec<u8>>,
    sent: u8,
    /// Nobody reads, or the sender has thrown away what was queued: nothing is promised.
    loose: bool,
    /// The receiver found nothing, and was not woken since.
    reader_waits: bool,
    /// The sender found no credit, and was not woken since.
    sender_waits: bool,
}

/// What is known of one dialog.
#[derive(Debug, Default)]
struct Track {
    /// From the opener to the callee, and back.
    ways: [Way; 2],
    /// How often its end was told at the opener, and at the callee.
    told: [u32; 2],
    incoming: u32,
    /// The terminal that the callee gave: the result, where it is one.
    given: Option<Option<Vec<u8>>>,
    released: bool,
    cancelled: bool,
}

#[derive(Debug)]
struct Two {
    ends: [Connection; 2],
    /// Bytes on their way to each end.
    pipes: [VecDeque<u8>; 2],
    now: Instant,
    dialogs: BTreeMap<DialogId, Track>,
    /// Dialogs that each end serves.
    served: [Vec<DialogId>; 2],
    /// The link may end before its dialogs do.
    lossy: bool,
    /// What each end was told of its link: nothing more comes, nothing more goes.
    ended: [bool; 2],
    muted: [bool; 2],
    closed: [u32; 2],
}

impl Two {
    fn new(seed: u8) -> Self {
        let limits = [0, 1].map(|end| match seed >> (2 * end) & 3 {
            0 => small_limits(),
            1 => Limits { window: 4096, max_message: 4096, max_dialogs: 2, ..small_limits() },
            2 => Limits { window: 8192, max_frame: 1500, ..small_limits() },
            _ => Limits { max_message: 300, ..small_limits() },
        });
        // Honest and talkative: every repeat of a cancel is charged (P-A4).
        let misbehaviour_budget = Limits::default().misbehaviour_budget;
        let limits = limits.map(|limits| Limits { misbehaviour_budget, ..limits });
        let family = seed & 16 != 0;
        let kinds = if family {
            [LinkKind::Parent, LinkKind::Child]
        } else {
            [LinkKind::Peer, LinkKind::Peer]
        };
        let [a, b] = limits;
        let mut two = Self {
            ends: [end_of(kinds[0], Role::Even, a), end_of(kinds[1], Role::Odd, b)],
            pipes: [VecDeque::new(), VecDeque::new()],
            now: BEGIN,
            dialogs: BTreeMap::new(),
            served: [Vec::new(), Vec::new()],
            lossy: false,
            ended: [false, false],
            muted: [false, false],
            closed: [0, 0],
        };
        if seed & 32 != 0 {
            two.carry_all();
        }
        if family && two.ends[0].start_actor(BEGIN, b"spec").is_ok() {
            two.dialogs.insert(DialogId::ACTOR, Track::default());
        }
        two
    }

    fn step(&mut self, script: &mut Script<'_>) {
        let what = script.byte();
        let end = usize::from(what & 1);
        match what >> 1 {
            0..=19 => self.open(end, script),
            20..=44 => {
                self.write(end, usize::from(script.byte()) * 16);
            }
            45..=69 => {
                self.deliver(end, usize::from(script.byte()) * 8 + 1);
            }
            70..=89 => self.call(end, script),
            90..=112 => self.serve(end, script),
            113..=118 => self.pass(Duration::from_millis(1 << script.below(14))),
            119 => self.ends[end].goodbye(self.now, GoodbyeReason::Leaving),
            120 => {
                (self.lossy, self.ended[end]) = (true, true);
                self.ends[end].handle_eof(self.now);
            }
            121 => {
                (self.lossy, self.muted[end]) = (true, true);
                self.ends[end].handle_write_closed();
            }
            // Calls that say nothing new.
            122 => self.ends[end].handle_timeout(self.now),
            123 => {
                self.deliver(end, 0);
            }
            _ => {}
        }
        self.look();
    }

    fn open(&mut self, end: usize, script: &mut Script<'_>) {
        let kind = [Kind::Call, Kind::Stream, Kind::Context, Kind::Context][script.below(4)];
        let endpoint = "endpoint";
        let wish = StartWish { endpoint, kind, schema: 0, codec: 0, deadline: None, trace: None };
        let args = vec![0; usize::from(script.byte()) * 16];
        if let Ok(id) = self.ends[end].start(self.now, wish, &args) {
            let known = self.dialogs.insert(id, Track::default());
            assert!(known.is_none(), "{id} was given twice (P-D1)");
        }
    }

    fn write(&mut self, end: usize, budget: usize) -> bool {
        let mut out = Vec::new();
        let written = self.ends[end].poll_transmit(self.now, &mut out, budget);
        assert_eq!(written, out.len());
        self.pipes[1 - end].extend(out);
        written > 0
    }

    fn deliver(&mut self, end: usize, size: usize) -> bool {
        let size = size.min(self.pipes[end].len());
        let bytes: Vec<u8> = self.pipes[end].drain(..size).collect();
        read(&mut self.ends[end], self.now, &bytes);
        size > 0
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        // A greeting or the answer to a `Goodbye` may be late now.
        self.lossy = true;
        for end in &mut self.ends {
            end.handle_timeout(self.now);
            if let Some((next, why)) = end.poll_timeout() {
                assert!(next > self.now || end.wants_transmit(), "{why:?} is due and stays so");
            }
        }
    }

    /// Where a dialog's opener is.
    fn opener(id: DialogId) -> usize {
        usize::from(id.opener() == Role::Odd)
    }

    fn call(&mut self, end: usize, script: &mut Script<'_>) {
        let (choice, what) = (usize::from(script.byte()), script.byte());
        let held: Vec<DialogId> = self
            .dialogs
            .iter()
            .filter(|(id, track)| Self::opener(**id) == end && !track.released)
            .map(|(id, _)| *id)
            .collect();
        let Some(&id) = held.get(choice % held.len().max(1)) else { return };
        let track = self.dialogs.get_mut(&id).expect("it is known");
        let mut caller = self.ends[end].caller(id).expect("a dialog that was not released");
        let [up, down] = &mut track.ways;
        match what % 16 {
            0 => drop(caller.take_started()),
            1..=5 => up.send(what, |value| caller.send(value)),
            6 => drop(caller.stop()),
            7..=11 => {
                let mut value = Vec::new();
                let got = caller.recv(&mut value);
                let whole = caller.outcome().is_some_and(|is| !matches!(is, Outcome::Lost(_)));
                down.received(got, &value, whole);
            }
            12 => {
                down.loose = true;
                caller.stop_reading();
            }
            13 => {
                down.loose = true;
                caller.discard();
            }
            14 => {
                // What it has queued goes with it (P-D3).
                (up.loose, track.cancelled) = (true, true);
                caller.cancel(self.now, request(what));
                if id.is_actor() {
                    // What waits behind it goes with it (P-L2).
                    self.dialogs.values_mut().for_each(|track| track.cancelled = true);
                }
            }
            _ if id.is_actor() => {}
            _ => {
                (up.loose, down.loose, track.released, track.cancelled) = (true, true, true, true);
                caller.release(self.now, request(what).by);
            }
        }
    }

    fn serve(&mut self, end: usize, script: &mut Script<'_>) {
        let (choice, what) = (usize::from(script.byte()), script.byte());
        let place = choice % self.served[end].len().max(1);
        let Some(&id) = self.served[end].get(place) else { return };
        let track = self.dialogs.get_mut(&id).expect("it was opened");
        let [up, down] = &mut track.ways;
        let Some(mut callee) = self.ends[end].callee(id) else { return };
        match what % 16 {
            0 => drop(callee.take_start()),
            1 => callee.accept(),
            2 => drop(callee.started(&[what; 10])),
            3..=7 => down.send(what, |value| callee.send(value)),
            8 => drop(callee.stop()),
            9..=11 => {
                let mut value = Vec::new();
                let got = callee.recv(&mut value);
                up.received(got, &value, false);
            }
            12 => {
                up.loose = true;
                callee.stop_reading();
            }
            13 => {
                (up.loose, track.given) = (true, Some(None));
                callee.refuse(Refusal::Unknown, "no such endpoint".into());
            }
            14 => {
                (up.loose, track.given) = (true, Some(None));
                callee.finish(Terminal::Cancelled(request(what).by));
            }
            _ => self.give(end, id, vec![what; usize::from(script.byte()) * 8]),
        }
    }

    fn give(&mut self, end: usize, id: DialogId, result: Vec<u8>) {
        let track = self.dialogs.get_mut(&id).expect("it was opened");
        track.ways[0].loose = true;
        track.given = Some(Some(result.clone()));
        let callee = self.ends[end].callee(id).expect("a callee");
        callee.finish(Terminal::Return(result));
    }

    /// Takes all notices, and checks what always holds.
    fn look(&mut self) {
        for end in [0, 1] {
            while let Some(event) = self.ends[end].poll_event() {
                self.noticed(end, event);
            }
        }
        for (id, track) in &mut self.dialogs {
            let opener = Self::opener(*id);
            let mut value = Vec::new();
            if let Some(mut caller) = self.ends[opener].caller(*id) {
                assert!(!(track.ways[0].sender_waits && caller.can_send()), "{id}: not woken");
                let ready = track.ways[1].reader_waits && caller.recv(&mut value) != Recv::Empty;
                assert!(!ready, "{id}: its reader was not woken");
            }
            if let Some(mut callee) = self.ends[1 - opener].callee(*id) {
                assert!(!(track.ways[1].sender_waits && callee.can_send()), "{id}: not woken");
                let ready = track.ways[0].reader_waits && callee.recv(&mut value) != Recv::Empty;
                assert!(!ready, "{id}: its reader was not woken");
            }
        }
    }

    fn noticed(&mut self, end: usize, event: Event) {
        let id = match event {
            Event::Incoming(id)
            | Event::Readable(id)
            | Event::Writable(id)
            | Event::Finished(id)
            | Event::Flushed(id) => id,
            Event::Closed => {
                self.closed[end] += 1;
                return;
            }
            Event::Broken(how) => {
                let late = how.message == "Hello" && self.lossy;
                assert!(late, "an honest peer broke the protocol: {how}");
                return;
            }
            _ => return,
        };
        let track = self.dialogs.get_mut(&id).expect("a dialog that was opened");
        let side = usize::from(Self::opener(id) != end);
        match event {
            Event::Incoming(_) => {
                track.incoming += 1;
                self.served[end].push(id);
            }
            Event::Readable(_) => track.ways[1 - side].reader_waits = false,
            Event::Writable(_) => track.ways[side].sender_waits = false,
            _ => {
                track.told[side] += 1;
                track.ways[1 - side].reader_waits = false;
                track.ways[side].sender_waits = false;
            }
        }
    }

    /// Everything is carried, every task comes to its end, everybody reads: all must end.
    fn heal(&mut self) {
        for _ in 0..ROUNDS {
            let mut moved = self.carry();
            moved |= self.work();
            self.look();
            if moved {
                continue;
            }
            let next = self.ends.iter().filter_map(|end| Some(end.poll_timeout()?.0)).min();
            let open = self.dialogs.iter().any(|(_, track)| !track.ended());
            match next {
                Some(at) if open => self.pass(at.since(self.now)),
                _ => return self.judge(),
            }
            self.look();
        }
        panic!("still moving: {self:?}");
    }

    fn carry(&mut self) -> bool {
        let mut moved = false;
        for end in [0, 1] {
            moved |= self.write(end, usize::MAX);
            moved |= self.deliver(1 - end, usize::MAX);
            // Who has ended closes its side.
            let over = self.ends[end].is_closed() || self.muted[end];
            if over && !self.ended[1 - end] {
                self.ended[1 - end] = true;
                self.ends[1 - end].handle_eof(self.now);
                moved = true;
            }
        }
        moved
    }

    fn carry_all(&mut self) {
        while self.carry() {}
        self.look();
    }

    /// Whoever can do something does it.
    fn work(&mut self) -> bool {
        let (mut moved, mut value) = (false, Vec::new());
        let ids: Vec<DialogId> = self.dialogs.keys().copied().collect();
        for id in ids {
            let opener = Self::opener(id);
            let track = self.dialogs.get_mut(&id).expect("it is known");
            if let Some(mut caller) = self.ends[opener].caller(id) {
                drop(caller.take_started());
                loop {
                    let got = caller.recv(&mut value);
                    let whole = caller.outcome().is_some_and(|is| !matches!(is, Outcome::Lost(_)));
                    track.ways[1].received(got, &value, whole);
                    if got != Recv::Value {
                        break;
                    }
                    moved = true;
                }
            }
            if !self.served[1 - opener].contains(&id) {
                continue;
            }
            if let Some(mut callee) = self.ends[1 - opener].callee(id) {
                let _ = (callee.take_start(), callee.started(b"first"));
                while let Recv::Value = callee.recv(&mut value) {
                    track.ways[0].received(Recv::Value, &value, false);
                }
                self.give(1 - opener, id, b"healed".to_vec());
                moved = true;
            }
        }
        moved
    }

    /// What holds of every dialog once all is over.
    fn judge(&mut self) {
        for (id, track) in &self.dialogs {
            let opener = Self::opener(*id);
            assert!(track.incoming <= 1, "{id} came twice");
            if track.incoming == 1 {
                let told = track.told[1];
                assert!(told == 1 || (told == 0 && track.given.is_some()), "{id}: {track:?}");
            }
            let Some(caller) = self.ends[opener].caller(*id) else {
                assert!(track.released, "{id} was not released");
                continue;
            };
            assert_eq!(track.told[0], 1, "{id} ends once at its opener (P-D4): {track:?}");
            let outcome = caller.outcome().expect("an outcome");
            match outcome {
                Outcome::Returned(result) => {
                    assert_eq!(track.given.as_ref(), Some(&Some(result.clone())), "{id}");
                }
                Outcome::Cancelled(_) => {
                    let by_callee = track.given == Some(None);
                    assert!(track.cancelled || by_callee, "{id}: nobody cancelled it");
                }
                Outcome::Lost(_) => assert!(self.lossy, "{id} was lost: {track:?}"),
                _ => {}
            }
            let kept = !self.lossy && !track.ways[1].loose;
            assert!(!kept || track.ways[1].under_way.is_empty(), "{id} lost values (P-D7)");
        }
    }

    /// Both say `Goodbye`: the link ends, and says so once at each end (P-L3).
    fn part(&mut self) {
        for end in [0, 1] {
            self.ends[end].goodbye(self.now, GoodbyeReason::Leaving);
        }
        for _ in 0..ROUNDS {
            self.carry_all();
            if self.ends.iter().all(Connection::is_closed) {
                assert_eq!(self.closed, [1, 1], "`Closed` comes once");
                return;
            }
            let next = self.ends.iter().filter_map(|end| Some(end.poll_timeout()?.0)).min();
            let at = next.expect("an end that is not closed waits for something");
            self.pass(at.since(self.now));
            self.look();
        }
        panic!("the link does not end: {self:?}");
    }
}

impl Track {
    fn ended(&self) -> bool {
        (self.released || self.told[0] > 0) && (self.incoming == 0 || self.told[1] > 0)
    }
}

impl Way {
    fn send(&mut self, what: u8, send: impl FnOnce(&[u8]) -> Result<(), SendError>) {
        let mut value = vec![what; usize::from(what) * 8];
        value.push(self.sent);
        match send(&value) {
            Ok(()) => {
                self.sent = self.sent.wrapping_add(1);
                self.under_way.push_back(value);
            }
            Err(SendError::Full) => self.sender_waits = true,
            Err(_) => {}
        }
    }

    /// `whole`: the end is no loss, so that everything sent comes before it (P-D7).
    fn received(&mut self, got: Recv, value: &[u8], whole: bool) {
        match got {
            Recv::Value => {
                let expected = self.under_way.pop_front();
                assert_eq!(expected.as_deref(), Some(value), "values come in order (P-D7)");
            }
            Recv::Empty => self.reader_waits = true,
            Recv::End => assert!(self.loose || self.under_way.is_empty(), "cut short (P-D7)"),
            Recv::Ended if whole => {
                assert!(self.loose || self.under_way.is_empty(), "cut short (P-D7)");
            }
            Recv::Ended => {}
            Recv::Overrun => panic!("an overrun where the sender waits (P-W6)"),
        }
    }
}
