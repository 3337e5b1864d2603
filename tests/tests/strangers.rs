//! Whoever comes to a door that is not theirs: strangers, impostors, those who say nothing. Each is told
//! no more than a code, and those who are linked do not notice.

use std::fs::Permissions;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use hatchery_proto::{
    ActorId, Config, Connection, Event, GoodbyeReason, Instant as Point, Kind, Limits, LinkKind,
    Outcome, Role, StartWish,
};
use hatchery_tests::procfs::descriptors_of;
use hatchery_tests::programs::{Program, Running, Signal};
use hatchery_tests::spot::Spot;

/// Ten times as long as a greeting may take.
const LONG: Duration = Duration::from_secs(50);

/// A program that serves, and a link with it that has to live through everything.
struct Served {
    spot: Spot,
    daemon: Running,
    linked: Caller,
}

impl Served {
    fn new(name: &str) -> Self {
        let spot = Spot::new(name);
        let daemon = Program::example("daemon").env("XDG_RUNTIME_DIR", spot.path());
        let mut daemon = daemon.start();
        assert!(daemon.wait_for_output("serving"));
        let linked = Caller::up(&path(&spot), me());
        Self { spot, daemon, linked }
    }

    fn connect(&self) -> UnixStream {
        UnixStream::connect(path(&self.spot)).unwrap()
    }

    /// The link that was there first still serves, and nothing is left in the end.
    fn end(mut self) {
        self.linked.ask();
        drop(self.linked);
        self.daemon.signal(Signal::TERM);
        self.daemon.wait().assert_exit(0).assert_nothing_left();
        self.spot.assert_bare();
    }
}

fn path(spot: &Spot) -> PathBuf {
    spot.path().join("hatchery").join("dictionary")
}

/// An honest claim.
fn me() -> ActorId {
    ActorId { name: "caller".to_owned(), uuid: rand(), pid: std::process::id() }
}

fn rand() -> u128 {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
    u128::from_le_bytes(bytes)
}

/// One end of a link, driven by hand.
struct Caller {
    socket: UnixStream,
    core: Connection,
    began: Instant,
    events: Vec<Event>,
}

impl Caller {
    fn new(path: &Path, id: ActorId) -> Self {
        let socket = UnixStream::connect(path).unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        let limits = Limits::default();
        let config = Config { kind: LinkKind::Peer, role: Role::Even, me: id, limits };
        let core = Connection::new(config, Point::from_micros(0));
        let mut caller = Self { socket, core, began: Instant::now(), events: Vec::new() };
        caller.say();
        caller
    }

    /// One that was let in.
    fn up(path: &Path, id: ActorId) -> Self {
        let mut caller = Self::new(path, id);
        while !caller.events.contains(&Event::Up) {
            assert!(caller.hear(), "{:?}", caller.events);
        }
        caller
    }

    fn now(&self) -> Point {
        Point::from_micros(u64::try_from(self.began.elapsed().as_micros()).unwrap())
    }

    fn say(&mut self) {
        let mut bytes = Vec::new();
        while self.core.poll_transmit(self.now(), &mut bytes, 64 * 1024) > 0 {}
        // Whoever was turned away may be gone.
        let _ = self.socket.write_all(&bytes);
    }

    /// Reads once; says whether there was anything.
    fn hear(&mut self) -> bool {
        let mut bytes = [0; 4096];
        let count = match self.socket.read(&mut bytes) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("{error}"),
        };
        match count {
            0 => self.core.handle_eof(self.now()),
            _ => self.core.handle_input(self.now(), &bytes[..count]),
        }
        while let Some(event) = self.core.poll_event() {
            self.events.push(event);
        }
        self.say();
        count > 0
    }

    /// Whether it was let in: what is asked is answered.
    fn is_served(&mut self) -> bool {
        self.asks().is_some_and(|outcome| matches!(outcome, Outcome::Returned(_)))
    }

    /// A call that is answered.
    fn ask(&mut self) {
        assert!(self.is_served(), "{:?}", self.events);
    }

    /// What a call comes to; nothing where none can be made.
    fn asks(&mut self) -> Option<Outcome> {
        let wish = StartWish {
            endpoint: "dictionary::meaning",
            kind: Kind::Call,
            schema: StartWish::UNKNOWN_SCHEMA,
            codec: 0,
            deadline: None,
            trace: None,
        };
        // A tuple of one text.
        let id = self.core.start(self.now(), wish, b"\x05actor").ok()?;
        self.say();
        loop {
            if let Some(outcome) = self.core.caller(id).and_then(|call| call.outcome().cloned()) {
                return Some(outcome);
            }
            if !self.hear() {
                return None;
            }
        }
    }

    /// Reads on to the end; nothing but a code is said before it.
    fn turned_away(mut self) {
        while self.hear() {}
        let told = |event: &Event| !matches!(event, Event::Up | Event::Closed);
        let told: Vec<_> = self.events.iter().filter(|event| told(event)).collect();
        assert!(
            matches!(told[..], [] | [Event::Goodbye(GoodbyeReason::NotAllowed)]),
            "{:?}",
            self.events
        );
    }
}

#[test]
fn f_15_nobody_is_let_in_as_somebody_else() {
    let served = Served::new("impostor");
    // As the actor itself.
    let peer = served.linked.core.peer().cloned().unwrap();
    Caller::new(&path(&served.spot), ActorId { pid: std::process::id(), ..peer }).turned_away();
    // As another process than the one that it is.
    Caller::new(&path(&served.spot), ActorId { pid: 1, ..me() }).turned_away();
    // As the one that serves, by its number alone.
    let pid = u32::try_from(served.daemon.process().pid).unwrap();
    let other = ActorId { pid, ..me() };
    Caller::new(&path(&served.spot), other).turned_away();
    served.end();
}

/// Two links of one process, and of one actor, are as good as one.
#[test]
fn ipc_10_one_actor_may_come_twice() {
    let served = Served::new("twice");
    let id = me();
    let mut first = Caller::up(&path(&served.spot), id.clone());
    let mut second = Caller::up(&path(&served.spot), id);
    first.ask();
    drop(first);
    second.ask();
    served.end();
}

/// One actor cannot take all descriptors by coming again and again.
#[test]
fn p_r12_one_actor_has_so_many_links_and_no_more() {
    let mut served = Served::new("many");
    let id = me();
    let path = path(&served.spot);
    let mut all: Vec<_> = (0..32).map(|_| Caller::up(&path, id.clone())).collect();
    let mut further = Caller::new(&path, id.clone());
    while further.hear() {}
    let told = GoodbyeReason::Protocol("P-R12".to_owned());
    assert!(further.events.contains(&Event::Goodbye(told)), "{:?}", further.events);
    // Nobody else has less of it, and what is there goes on.
    Caller::up(&path, me()).ask();
    served.linked.ask();
    all.iter_mut().for_each(Caller::ask);
    // It is gone for the other end once that has read its end.
    drop(all.pop());
    let began = Instant::now();
    let mut next = loop {
        let mut next = Caller::new(&path, id.clone());
        while next.hear() && !next.events.contains(&Event::Up) {}
        if next.is_served() {
            break next;
        }
        assert!(began.elapsed() < LONG, "{:?}", next.events);
    };
    next.ask();
    drop((all, next));
    served.end();
}

#[test]
fn p_a6_who_says_nothing_is_gone_after_a_while_and_told_a_code() {
    let served = Served::new("silent");
    let began = Instant::now();
    let mut silent = served.connect();
    silent.set_read_timeout(Some(LONG)).unwrap();
    let mut heard = Vec::new();
    silent.read_to_end(&mut heard).unwrap();
    assert!(began.elapsed() >= Duration::from_secs(4), "{:?}", began.elapsed());
    // Its greeting, and `Goodbye` with the rule's number: no words of this program's.
    let text = String::from_utf8_lossy(&heard);
    assert!(text.contains("P-L1") && !text.contains("within"), "{text:?}");
    served.end();
}

#[test]
fn p_a6_a_greeting_that_is_too_long_ends_at_once() {
    let served = Served::new("long");
    let mut long = served.connect();
    long.set_read_timeout(Some(LONG)).unwrap();
    // Its length says so before there is any of it.
    long.write_all(&513_u32.to_le_bytes()).unwrap();
    let mut heard = Vec::new();
    long.read_to_end(&mut heard).unwrap();
    assert!(heard.len() < 512, "{heard:?}");
    served.end();
}

/// However many come and say nothing, so many are kept and no more, and whoever is linked is served.
#[test]
fn p_r10_a_crowd_of_strangers_is_bounded_and_goes() {
    let mut served = Served::new("crowd");
    let mut crowd: Vec<_> = (0..600).map(|_| served.connect()).collect();
    served.linked.ask();
    let held = |served: &Served| {
        let all = descriptors_of(served.daemon.process().pid);
        all.iter().filter(|(_, target)| target.starts_with("socket:")).count()
    };
    // Those that wait in the listener's queue are not accepted yet: the last has been seen once it was
    // answered or closed.
    for one in &mut crowd {
        one.set_read_timeout(Some(LONG)).unwrap();
        let mut byte = [0];
        // A greeting, or nothing any more.
        let _ = one.read(&mut byte);
    }
    let most = 256 + 16;
    assert!(held(&served) < most, "{}", held(&served));
    drop(crowd);
    let began = Instant::now();
    while held(&served) > 16 {
        assert!(began.elapsed() < LONG, "{}", held(&served));
        served.linked.ask();
    }
    // There is room again.
    let mut next = Caller::up(&path(&served.spot), me());
    next.ask();
    drop(next);
    served.end();
}

/// Another user, where the folder lets him through: the socket does not, and who is behind it neither.
#[test]
fn another_user_is_kept_out() {
    if !Path::new("/proc/self/status").exists() || !is_root() {
        return;
    }
    let served = Served::new("user");
    let folder = served.spot.path();
    for open in [folder, &folder.join("hatchery")] {
        std::fs::set_permissions(open, Permissions::from_mode(0o755)).unwrap();
    }
    let socket = path(&served.spot);
    let says = |mode: u32| {
        std::fs::set_permissions(&socket, Permissions::from_mode(mode)).unwrap();
        let script = "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n\
                      s.sendall(b'x'*600)\nprint(len(s.recv(4096)))";
        let as_nobody =
            ["--reuid=65534", "--regid=65534", "--clear-groups", "python3", "-c", script];
        let done = Command::new("setpriv").args(as_nobody).arg(&socket).output().unwrap();
        (done.status.success(), String::from_utf8_lossy(&done.stdout).into_owned())
    };
    assert!(!says(0o600).0, "the file keeps him out");
    // And where it does not, he hears nothing at all.
    let (came, heard) = says(0o666);
    assert!(!came || heard.trim() == "0", "{heard}");
    for private in [folder, &folder.join("hatchery")] {
        std::fs::set_permissions(private, Permissions::from_mode(0o700)).unwrap();
    }
    served.end();
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    status.lines().any(|line| line.starts_with("Uid:\t0\t"))
}
