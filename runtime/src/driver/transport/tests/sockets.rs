//! Places, listeners and who reaches them, within one process.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use async_io::block_on;
use futures_lite::future::{self, zip};
use hatchery_proto::Address;

use crate::driver::identity;
use crate::driver::readiness;
use crate::driver::transport::carrier::Carrier;
use crate::driver::transport::dial::{connect, connect_for_keys};
use crate::driver::transport::listener::{Arrival, Listener};
use crate::driver::transport::origin::{Origin, own_user};
use crate::driver::transport::trouble::{TransportError, Trouble};

const LONG: Duration = Duration::from_secs(20);

/// A directory of this test's own.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        // Short: what is below it has to fit into a socket's path, wherever temporary files are.
        let name = format!("hatchery-t-{:08x}", identity::fresh().unwrap() as u32);
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        Self(path)
    }

    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(super) fn is_empty(&self) -> bool {
        fs::read_dir(&self.0).unwrap().next().is_none()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn unix(path: &Path) -> Address {
    Address::unix(path.to_str().unwrap())
}

fn bind(path: &Path) -> Result<Listener, TransportError> {
    block_on(Listener::bind(&unix(path)))
}

/// Both ends speak, each of which knows the other.
pub(super) fn both_speak(listener: &Listener, to: &Address) {
    let (arrived, reached) = block_on(zip(listener.accept(), connect_for_keys(to, LONG)));
    let (arrived, reached) = (arrived.unwrap(), reached.unwrap());
    if let Address::Unix { .. } = to {
        let me = Origin::Process { pid: identity::pid(), uid: own_user() };
        assert_eq!((arrived.origin, reached.origin), (me, me));
    }
    talk(arrived, reached);
}

fn talk(arrived: Arrival, reached: Arrival) {
    let (mut a, mut b) = (plain(arrived), plain(reached));
    a.write_all(b"question").unwrap();
    let mut heard = [0; 8];
    b.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"question");
}

trait Both: std::io::Read + std::io::Write {}
impl<T: std::io::Read + std::io::Write> Both for T {}

fn plain(arrival: Arrival) -> Box<dyn Both> {
    match arrival.carrier {
        Carrier::Unix(socket) => {
            let flags = rustix::io::fcntl_getfd(&socket).unwrap();
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
            socket.set_nonblocking(false).unwrap();
            Box::new(socket)
        }
        Carrier::Tcp(socket) => {
            let flags = rustix::io::fcntl_getfd(&socket).unwrap();
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
            socket.set_nonblocking(false).unwrap();
            Box::new(socket)
        }
        _ => panic!("no socket"),
    }
}

#[test]
fn whoever_reaches_a_socket_is_known_and_its_file_goes_with_it() {
    let folder = Folder::new();
    let path = folder.join("a.sock");
    let listener = bind(&path).unwrap();
    assert_eq!(*listener.address(), unix(&path));
    let about = fs::symlink_metadata(&path).unwrap();
    assert!(about.file_type().is_socket());
    assert_eq!(about.mode() & 0o7777, 0o600);
    for _ in 0..10 {
        both_speak(&listener, &unix(&path));
    }
    drop(listener);
    assert!(folder.is_empty());
    let error = block_on(connect(&unix(&path), LONG)).unwrap_err();
    assert!(matches!(error.trouble(), Trouble::Nobody(_)), "{error}");
}

/// In the way in which the library's own threads wait.
#[test]
fn whoever_waits_in_another_way_reaches_it_too() {
    let folder = Folder::new();
    let tcp = Address::Tcp { host: "127.0.0.1".to_owned(), port: 0 };
    readiness::block_on(async {
        for address in [unix(&folder.join("a.sock")), tcp] {
            let listener = Listener::bind_for_keys(&address).await.unwrap();
            for _ in 0..10 {
                let reached = connect_for_keys(listener.address(), LONG);
                let (arrived, reached) = zip(listener.accept(), reached).await;
                talk(arrived.unwrap(), reached.unwrap());
                assert!(future::poll_once(listener.accept()).await.is_none());
            }
        }
    });
    assert!(folder.is_empty());
}

#[test]
fn f_31_a_live_socket_is_in_use() {
    let folder = Folder::new();
    let path = folder.join("a.sock");
    let listener = bind(&path).unwrap();
    let error = bind(&path).unwrap_err();
    assert!(matches!(error.trouble(), Trouble::InUse), "{error}");
    assert!(error.to_string().starts_with("listening on unix:/"), "{error}");
    // The look at it came in and went.
    both_speak_behind_a_look(&listener, &path);
    drop(listener);
    drop(bind(&path).unwrap());
    assert!(folder.is_empty());
}

fn both_speak_behind_a_look(listener: &Listener, path: &Path) {
    let mut looked = plain(block_on(listener.accept()).unwrap());
    assert_eq!(looked.read(&mut [0]).unwrap(), 0);
    both_speak(listener, &unix(path));
}

#[test]
fn f_31_a_stale_file_is_taken_over() {
    let folder = Folder::new();
    let path = folder.join("a.sock");
    drop(UnixListener::bind(&path).unwrap());
    let stale = fs::symlink_metadata(&path).unwrap().ino();
    assert!(path.exists());
    let listener = bind(&path).unwrap();
    both_speak(&listener, &unix(&path));
    drop(listener);
    assert!(folder.is_empty(), "the file {stale}");
}

#[test]
fn f_31_what_is_no_socket_of_this_kind_is_left_alone() {
    let folder = Folder::new();
    let path = folder.join("a.sock");
    let occupied = |what: &str| {
        let error = bind(&path).unwrap_err();
        assert!(matches!(error.trouble(), Trouble::Occupied(_)), "{error}");
        assert!(error.to_string().contains(what), "{error}");
    };
    fs::write(&path, b"content").unwrap();
    occupied("a regular file is there");
    assert_eq!(fs::read(&path).unwrap(), b"content");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    occupied("a directory is there");
    fs::remove_dir(&path).unwrap();
    // One that leads nowhere, and one that leads to a stale socket.
    for target in ["nowhere", "stale.sock"] {
        if target == "stale.sock" {
            drop(UnixListener::bind(folder.join(target)).unwrap());
        }
        symlink(target, &path).unwrap();
        occupied("a symbolic link is there");
        assert_eq!(fs::read_link(&path).unwrap(), Path::new(target));
        fs::remove_file(&path).unwrap();
    }
    assert!(folder.join("stale.sock").exists());
    let _datagrams = UnixDatagram::bind(&path).unwrap();
    let error = bind(&path).unwrap_err();
    assert!(matches!(error.trouble(), Trouble::InUse), "{error}");
    assert!(path.exists());
}

#[test]
fn a_file_that_another_has_put_in_its_place_is_not_removed() {
    let folder = Folder::new();
    let path = folder.join("a.sock");
    let listener = bind(&path).unwrap();
    fs::rename(&path, folder.join("moved.sock")).unwrap();
    fs::write(&path, b"content").unwrap();
    drop(listener);
    assert_eq!(fs::read(&path).unwrap(), b"content");
    // Nor is one searched for under another name.
    assert!(folder.join("moved.sock").exists());
}

#[test]
fn f_31_a_path_over_the_limit_is_reached_below_its_directory() {
    let folder = Folder::new();
    let deep = folder.join(&"d".repeat(120)).join("e".repeat(120));
    fs::create_dir_all(&deep).unwrap();
    let path = deep.join("a.sock");
    let listener = bind(&path).unwrap();
    both_speak(&listener, &unix(&path));
    assert!(path.exists());
    drop(listener);
    assert!(!path.exists());
    // A name that is too long for that, and with its path is not too long.
    let length = folder.0.as_os_str().len() + 1;
    let (most, over) = ("n".repeat(107 - length), "n".repeat(120));
    let over_length = length + over.len();
    both_speak(&bind(&folder.join(&most)).unwrap(), &unix(&folder.join(&most)));
    let error = bind(&folder.join(&over)).unwrap_err();
    assert!(matches!(error.trouble(), Trouble::TooLong(long) if *long == over_length), "{error}");
    let error = block_on(connect(&unix(&folder.join(&over)), LONG)).unwrap_err();
    assert!(matches!(error.trouble(), Trouble::TooLong(long) if *long == over_length), "{error}");
}

#[test]
fn f_31_a_directory_that_is_not_there_is_said_so() {
    let folder = Folder::new();
    let error = bind(&folder.join("none/a.sock")).unwrap_err();
    assert!(error.to_string().contains("make its directory first"), "{error}");
}

#[test]
fn f_31_of_many_starters_at_a_stale_file_one_gets_it() {
    let folder = Folder::new();
    let path = folder.join("a.sock");
    for _ in 0..100 {
        drop(UnixListener::bind(&path).unwrap());
        let starters: Vec<_> = (0..4)
            .map(|_| {
                let path = path.clone();
                std::thread::spawn(move || bind(&path))
            })
            .collect();
        let came: Vec<_> = starters.into_iter().map(|starter| starter.join().unwrap()).collect();
        let (got, lost): (Vec<_>, Vec<_>) = came.into_iter().partition(Result::is_ok);
        assert_eq!(got.len(), 1);
        for error in lost.into_iter().map(Result::unwrap_err) {
            assert!(matches!(error.trouble(), Trouble::InUse), "{error}");
        }
        let listener = got.into_iter().next().unwrap().unwrap();
        assert!(block_on(connect(&unix(&path), LONG)).is_ok());
        drop(listener);
        assert!(folder.is_empty());
    }
}

#[test]
fn f_32_a_full_backlog_is_waited_for() {
    let folder = Folder::new();
    let path = folder.join("a.sock");
    let listener = UnixListener::bind(&path).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let brief = Duration::from_millis(100);
    let mut waiting = Vec::new();
    let error = loop {
        match block_on(connect(&unix(&path), brief)) {
            Ok(one) => waiting.push(one),
            Err(error) => break error,
        }
        assert!(waiting.len() < 10, "it takes more than it said");
    };
    assert!(matches!(error.trouble(), Trouble::Late(_)), "{error}");
    assert!(!waiting.is_empty());
    // One is let in while the next waits.
    let lets_in = std::thread::spawn(move || {
        std::iter::from_fn(|| listener.accept().ok()).take(waiting.len() + 1).count()
    });
    block_on(connect(&unix(&path), LONG)).unwrap();
    assert!(lets_in.join().unwrap() > 1);
}

#[test]
fn a_wait_for_somebody_can_be_dropped() {
    let folder = Folder::new();
    let path = folder.join("a.sock");
    let listener = bind(&path).unwrap();
    for _ in 0..50 {
        block_on(async {
            assert!(future::poll_once(listener.accept()).await.is_none());
        });
        both_speak(&listener, &unix(&path));
    }
}

#[test]
fn tcp_without_keys_is_refused() {
    for text in ["tcp:127.0.0.1:0", "quic:127.0.0.1:0", "tls+unix:/tmp/hatchery-none.sock"] {
        let address: Address = text.parse().unwrap();
        let listening = block_on(Listener::bind(&address)).unwrap_err();
        let connecting = block_on(connect(&address, LONG)).unwrap_err();
        for error in [listening, connecting] {
            assert!(matches!(error.trouble(), Trouble::Unproven), "{error}");
            assert!(error.to_string().contains("without mutual authentication"), "{error}");
        }
    }
}

#[test]
fn a_port_is_found_and_is_in_use_then() {
    for host in ["127.0.0.1", "::1", "localhost"] {
        let any = Address::Tcp { host: host.to_owned(), port: 0 };
        let listener = match block_on(Listener::bind_for_keys(&any)) {
            Ok(listener) => listener,
            // Not every machine has both versions.
            Err(_) if host == "::1" => continue,
            Err(error) => panic!("{error}"),
        };
        let address = listener.address().clone();
        assert!(matches!(&address, Address::Tcp { port: 1.., host: known } if known == host));
        both_speak(&listener, &address);
        if host != "localhost" {
            let error = block_on(Listener::bind_for_keys(&address)).unwrap_err();
            assert!(matches!(error.trouble(), Trouble::InUse), "{error}");
        }
        drop(listener);
        let error = block_on(connect_for_keys(&address, LONG)).unwrap_err();
        assert!(matches!(error.trouble(), Trouble::Nobody(_)), "{error}");
    }
}

#[test]
fn a_host_without_an_address_is_said_so() {
    let address: Address = "tcp:nowhere.invalid:1".parse().unwrap();
    let error = block_on(connect_for_keys(&address, LONG)).unwrap_err();
    assert!(matches!(error.trouble(), Trouble::NoHost(_)), "{error}");
}

#[test]
fn f_29_a_host_that_never_answers_is_late() {
    // What waits to be let in fills the backlog, and TCP says nothing to the next.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let port = listener.local_addr().unwrap().port();
    let address = Address::Tcp { host: "127.0.0.1".to_owned(), port };
    let mut waiting = Vec::new();
    let started = Instant::now();
    let error = loop {
        match block_on(connect_for_keys(&address, Duration::from_millis(200))) {
            Ok(one) => waiting.push(one),
            Err(error) => break error,
        }
        assert!(waiting.len() < 10, "it takes more than it said");
    };
    assert!(matches!(error.trouble(), Trouble::Late(_)), "{error}");
    assert!(started.elapsed() < LONG);
}
