//! What this program does when a test runs it: `ROLE` says what, `PLACE` where.
#![allow(
    clippy::print_stdout,
    reason = "a program run as another process: what it prints is what the tests look at"
)]

use std::io::stdin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use futures_lite::FutureExt as _;
use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{Gid, Uid};
use tracing::span;

use super::driver::transport::listener::Arrival;
use super::*;

/// Plays the part that this process was started for; `None` where it is the test program itself.
pub(crate) fn play() -> Option<ExitCode> {
    let role = std::env::var("ROLE").ok()?;
    let place = PathBuf::from(std::env::var_os("PLACE")?);
    if let Some(mask) = std::env::var("MASK").ok().and_then(|m| u32::from_str_radix(&m, 8).ok()) {
        rustix::process::umask(Mode::from_raw_mode(mask));
    }
    if let Some(user) = std::env::var("AS_USER").ok().and_then(|user| user.parse().ok()) {
        rustix::thread::set_thread_groups(&[]).unwrap();
        rustix::thread::set_thread_gid(Gid::from_raw(user)).unwrap();
        rustix::thread::set_thread_uid(Uid::from_raw(user)).unwrap();
    }
    match role.as_str() {
        "listen" => {
            listen(block_on(Listener::bind(&unix(&place))).map(|one| (one, "ready".into())))
        }
        "private" => listen(block_on(Listener::private(&Place::temporary(&place))).map(|one| {
            let said = format!("listening on {}", one.address());
            (one, said)
        })),
        "place" => println!("{}", Place::own().path().display()),
        "connect" => reach(&place),
        "knock" => knock(&place),
        "starter" => start(&place),
        "crowd" => crowd(&place),
        _ => panic!("no such role: {role}"),
    }
    Some(ExitCode::SUCCESS)
}

/// What the test tells, line by line, until it lets go.
fn told() -> async_channel::Receiver<String> {
    let (sender, receiver) = async_channel::unbounded();
    thread::spawn(move || {
        for line in stdin().lines().map_while(Result::ok) {
            let _ = sender.send_blocking(line);
        }
    });
    receiver
}

fn listen<E: std::fmt::Display>(listener: Result<(Listener, String), E>) {
    let (listener, said) = match listener {
        Ok(listener) => listener,
        Err(error) => return println!("error: {error}"),
    };
    println!("{said}");
    let told = told();
    let accepting = async {
        loop {
            match listener.accept().await.unwrap().origin {
                Origin::Process { pid, uid } => println!("arrived {pid} of {uid}"),
                Origin::Network(from) => println!("arrived {from}"),
            }
        }
    };
    let ending = async { while told.recv().await.is_ok() {} };
    block_on(ending.or(accepting));
    println!("strangers: {}", listener.strangers());
}

fn reach(place: &Path) {
    match block_on(connect(&unix(place), LONG)) {
        Ok(Arrival { origin: Origin::Process { pid, uid }, .. }) => {
            println!("connected to {pid} of {uid}");
        }
        Ok(other) => println!("connected to {other:?}"),
        Err(error) => println!("error: {error}"),
    }
    let told = told();
    block_on(async { while told.recv().await.is_ok() {} });
}

/// As a stranger does, who looks at nothing.
fn knock(place: &Path) {
    let mut socket = UnixStream::connect(place).unwrap();
    println!("connected");
    socket.set_read_timeout(Some(LONG)).unwrap();
    match socket.read(&mut [0]) {
        Ok(0) => println!("closed"),
        other => println!("{other:?}"),
    }
}

fn start(place: &Path) {
    println!("ready");
    let told = told();
    block_on(async {
        while told.recv().await.is_ok() {
            let listener = Listener::bind(&unix(place)).await;
            match &listener {
                Ok(_) => println!("got it"),
                Err(error) => println!("error: {error}"),
            }
            let _ = told.recv().await;
            drop(listener);
            println!("stopped");
        }
    });
}

/// Takes in whoever comes with less room than they need.
fn crowd(place: &Path) {
    static WARNED: AtomicUsize = AtomicUsize::new(0);
    tracing::subscriber::set_global_default(Warned(&WARNED)).unwrap();
    let listener = block_on(Listener::bind(&unix(place))).unwrap();
    let told = told();
    // Room for 20, with what is open by now.
    let most = fs::read_dir("/proc/self/fd").unwrap().count() + 20;
    let limit = Rlimit { current: Some(most as u64), ..getrlimit(Resource::Nofile) };
    setrlimit(Resource::Nofile, limit).unwrap();
    println!("ready");
    block_on(async {
        let mut guests = Vec::new();
        let waits = async {
            loop {
                guests.push(listener.accept().await.unwrap());
            }
        };
        // The listener rests from when it has warned: nothing comes from it then.
        let warned = async {
            while WARNED.load(Ordering::SeqCst) == 0 {
                futures_lite::future::yield_now().await;
            }
            println!("full");
            told.recv().await.unwrap();
        };
        warned.or(waits).await;
        assert!(guests.len() < 40);
        let mut came = guests.len();
        guests.into_iter().for_each(greet);
        while came < 40 {
            greet(listener.accept().await.unwrap());
            came += 1;
        }
        println!("all {came} came");
        while told.recv().await.is_ok() {}
    });
    for _ in 0..WARNED.load(Ordering::SeqCst) {
        println!("warned");
    }
}

fn greet(arrival: Arrival) {
    let Carrier::Unix(mut socket) = arrival.carrier else { panic!("no socket") };
    socket.write_all(b"!").unwrap();
}

/// Counts warnings.
struct Warned(&'static AtomicUsize);

impl tracing::Subscriber for Warned {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }

    fn event(&self, _event: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn new_span(&self, _span: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _span: &span::Id, _values: &span::Record<'_>) {}
    fn record_follows_from(&self, _span: &span::Id, _follows: &span::Id) {}
    fn enter(&self, _span: &span::Id) {}
    fn exit(&self, _span: &span::Id) {}
}
