//! Where processes listen and how they are reached, with other users, full disks and too few
//! descriptors (F-31, F-32).
//!
//! That is private to the library, so its sources are included here. Other processes are this program
//! again (`ROLE`), hence a `main` of our own.
#![forbid(unsafe_code)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use async_io::block_on;
use driver::transport::carrier::Carrier;
use driver::transport::dial::connect;
use driver::transport::listener::Listener;
use driver::transport::origin::Origin;
use driver::transport::place::Place;
use driver::transport::trouble::Trouble;
use hatchery_proto::Address;
use hatchery_tests::leaks::Baseline;
use hatchery_tests::procfs::own_pid;
use libtest_mimic::{Arguments, Completion, Trial};

#[path = "../../runtime/src/driver"]
#[allow(
    dead_code,
    unexpected_cfgs,
    unreachable_pub,
    unused_imports,
    reason = "the library's sources, of which this is a part, in another crate"
)]
mod driver {
    pub(crate) mod clock;
    pub(crate) mod identity;
    pub(crate) mod link;
    pub(crate) mod patience;
    pub(crate) mod readiness;
    pub(crate) mod transport;
    pub(crate) mod way;
}
#[path = "transports/roles.rs"]
mod roles;

/// Another user, who has nothing.
const NOBODY: u32 = 65534;
/// Longer than any of these takes, on a machine that is busy.
const LONG: Duration = Duration::from_secs(30);

type Test = fn() -> Completion;

fn main() -> ExitCode {
    if let Some(code) = roles::play() {
        return code;
    }
    let tests: [(&str, Test); 11] = [
        ("another_user_is_turned_away_and_others_come_in", || as_root(another_user)),
        ("f_31_a_foreign_directory_is_refused_untouched", || as_root(foreign_directory)),
        ("f_31_a_stale_file_of_another_user_is_left_alone", || as_root(foreign_file)),
        ("f_31_full_and_read_only_disks_are_said_so", || as_root(bad_disks)),
        ("f_31_without_proc_short_paths_still_work", || as_root(no_proc)),
        ("a_peer_whose_number_is_not_known_is_turned_away", || as_root(other_namespace)),
        ("f_31_the_private_place_is_where_nobody_else_is", own_place),
        ("f_31_a_killed_listener_is_replaced", killed_listener),
        ("f_31_of_two_processes_one_takes_a_stale_file_over", two_starters),
        ("the_mask_of_a_process_changes_no_mode", any_mask),
        ("f_32_few_descriptors_are_waited_for_at_rest", few_descriptors),
    ];
    let tests = tests.into_iter().map(|(name, test)| trial(name, test)).collect();
    // One at a time: a pool's threads would come and go among those of a test.
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    fs::create_dir(base()).unwrap();
    let done = libtest_mimic::run(&arguments, tests);
    let _ = fs::remove_dir_all(base());
    done.exit_code()
}

/// Where the files of these tests are, and no others: other programs of this machine listen too.
fn base() -> PathBuf {
    std::env::temp_dir().join(format!("transports-{}", own_pid()))
}

/// A test, alone in this process, that leaves nothing.
fn trial(name: &str, test: Test) -> Trial {
    Trial::ignorable_test(name, move || {
        // The reactor, which is started once and kept.
        block_on(async_io::Timer::after(Duration::from_millis(1)));
        let before = Baseline::process_wide().allow("async-io").only_in(base());
        let done = test();
        before.check(LONG)?;
        Ok(done)
    })
}

fn as_root(test: fn()) -> Completion {
    if !rustix::process::geteuid().is_root() {
        return Completion::ignored_with("only root can be another user, or mount");
    }
    test();
    Completion::Completed
}

/// A directory of a test's own, that others may pass through.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let name = format!("hatchery-transports-{}-{:?}", own_pid(), Instant::now());
        let name: String = name.chars().filter(|c| c.is_alphanumeric() || *c == '-').collect();
        let path = base().join(name);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self(path)
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// This program as another process.
struct Other {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Other {
    fn start(role: &str, path: &Path, with: impl FnOnce(&mut Command)) -> Self {
        Self::run(Command::new("/proc/self/exe"), role, path, with)
    }

    /// By a shell, in name spaces of its own, once `before` is done there.
    fn apart(flags: &[&str], before: &str, role: &str, path: &Path) -> Self {
        let own = std::env::current_exe().unwrap();
        let mut command = Command::new("unshare");
        command.args(flags).args(["--", "sh", "-c"]).arg(format!("{before} && exec \"$0\""));
        command.arg(own);
        Self::run(command, role, path, |_| {})
    }

    fn run(mut command: Command, role: &str, path: &Path, with: impl FnOnce(&mut Command)) -> Self {
        command.env("ROLE", role).env("PLACE", path);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        with(&mut command);
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, input, output }
    }

    /// Its next line.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn tell(&mut self, what: &str) {
        writeln!(self.input.as_mut().unwrap(), "{what}").unwrap();
    }

    /// Has it end, and reads the rest of what it says.
    fn end(mut self) -> String {
        drop(self.input.take());
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        assert!(self.child.wait().unwrap().success(), "{rest}");
        rest
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// What it has spent.
    fn time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_secs(ticks) / u32::try_from(rustix::param::clock_ticks_per_second()).unwrap()
    }
}

fn unix(path: &Path) -> Address {
    Address::unix(path.to_str().unwrap())
}

fn nobody(command: &mut Command) {
    command.env("AS_USER", NOBODY.to_string());
}

/// Who may not come in is told nothing, though the socket's file would let everybody in.
fn another_user() {
    let folder = Folder::new();
    let path = folder.join("a.sock");
    let listener = block_on(Listener::bind(&unix(&path))).unwrap();
    // As it is made, the system turns others away already.
    let closed = Other::start("connect", &path, nobody).end();
    assert!(closed.contains("choose one that this user may use"), "{closed}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    for round in 1..=3 {
        let mut stranger = Other::start("knock", &path, nobody);
        assert_eq!(stranger.line(), "connected");
        // It is turned away while the next one is waited for.
        let mut member = Other::start("connect", &path, |_| {});
        let arrival = block_on(listener.accept()).unwrap();
        let pid = member.child.id();
        assert_eq!(arrival.origin, Origin::Process { pid, uid: 0 });
        assert_eq!(member.line(), format!("connected to {} of 0", own_pid()));
        assert_eq!(listener.strangers(), round);
        assert_eq!(stranger.end().trim_end(), "closed");
        drop(arrival);
        member.end();
    }
    // Nor does it speak to us.
    let refused = Other::start("connect", &path, nobody).end();
    assert!(refused.contains("is user 0, and is not spoken to"), "{refused}");
}

fn foreign_directory() {
    let folder = Folder::new();
    let place = Place::temporary(&folder.0);
    fs::create_dir(place.path()).unwrap();
    chown(place.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let error = block_on(Listener::private(&place)).unwrap_err();
    assert!(matches!(error.trouble(), Trouble::OwnedBy(NOBODY)), "{error}");
    assert_eq!(fs::symlink_metadata(place.path()).unwrap().uid(), NOBODY);
    // What it is in is another's: that one could put something else there.
    let base = folder.join("base");
    fs::create_dir(&base).unwrap();
    chown(&base, Some(NOBODY), Some(NOBODY)).unwrap();
    let error = block_on(Listener::private(&Place::temporary(&base))).unwrap_err();
    assert!(matches!(error.trouble(), Trouble::OwnedBy(NOBODY)), "{error}");
    assert!(fs::read_dir(&base).unwrap().next().is_none());
}

fn foreign_file() {
    let folder = Folder::new();
    let path = folder.join("a.sock");
    drop(UnixListener::bind(&path).unwrap());
    chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
    let error = block_on(Listener::bind(&unix(&path))).unwrap_err();
    assert!(matches!(error.trouble(), Trouble::OwnedBy(NOBODY)), "{error}");
    assert!(path.exists());
}

fn bad_disks() {
    for (options, what) in [
        ("nr_inodes=1", "make room there"),
        // For the directory, and not for what is to be in it.
        ("nr_inodes=2", "make room there"),
        ("ro", "choose a place that can be written to"),
    ] {
        let folder = Folder::new();
        let disk = folder.join("disk");
        fs::create_dir(&disk).unwrap();
        let mount = format!("mount -t tmpfs -o mode=700,{options} none '{}'", disk.display());
        let said = Other::apart(&["-m"], &mount, "private", &disk).end();
        assert!(said.starts_with("error") && said.contains(what), "{options}: {said}");
        let mount = format!("mount -t tmpfs -o mode=700,{options} none '{}'", disk.display());
        let path = disk.join("a.sock");
        let said = Other::apart(&["-m"], &mount, "listen", &path).end();
        let fits = options == "nr_inodes=2";
        assert_eq!(said.contains(what), !fits, "{options}: {said}");
    }
}

fn no_proc() {
    let folder = Folder::new();
    let path = folder.join("a.sock");
    let umount = "umount -l /proc";
    let mut other = Other::apart(&["-m"], umount, "listen", &path);
    assert_eq!(other.line(), "ready");
    let arrival = block_on(connect(&unix(&path), LONG)).unwrap();
    assert!(matches!(arrival.origin, Origin::Process { uid: 0, .. }));
    drop(arrival);
    other.end();
    assert!(!path.exists());
    let deep = folder.join(&"d".repeat(120));
    fs::create_dir(&deep).unwrap();
    let said = Other::apart(&["-m"], umount, "listen", &deep.join("a.sock")).end();
    assert!(said.contains("of which a socket takes 107"), "{said}");
    assert!(fs::read_dir(&deep).unwrap().next().is_none());
}

/// A process of a name space below is known by its number here. One of a name space above has none
/// there, so that its user cannot be told either: it is turned away.
fn other_namespace() {
    let folder = Folder::new();
    let path = folder.join("a.sock");
    let flags = ["-p", "-f", "--mount-proc", "--kill-child"];
    let mut other = Other::apart(&flags, "true", "listen", &path);
    assert_eq!(other.line(), "ready");
    let arrival = block_on(connect(&unix(&path), LONG)).unwrap();
    let Origin::Process { pid, uid: 0 } = arrival.origin else { panic!("{arrival:?}") };
    assert!(fs::exists(format!("/proc/{pid}")).unwrap());
    let Carrier::Unix(mut socket) = arrival.carrier else { panic!("no socket") };
    socket.set_nonblocking(false).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    assert_eq!(socket.read(&mut [0]).unwrap(), 0);
    assert_eq!(other.end().trim_end(), "strangers: 1");
    assert!(!path.exists());
}

/// What the environment names is taken where it is this user's, and the common place otherwise.
fn own_place() -> Completion {
    let folder = Folder::new();
    let common = format!("/tmp/hatchery-{}", rustix::process::geteuid().as_raw());
    let named = folder.0.join("hatchery").display().to_string();
    fs::write(folder.join("file"), b"content").unwrap();
    let told = |runtime: &Path| {
        let with = |command: &mut Command| {
            command.env("XDG_RUNTIME_DIR", runtime);
        };
        Other::start("place", &folder.0, with).end().trim_end().to_owned()
    };
    assert_eq!(told(&folder.0), named);
    for other in ["", "file", "none"].map(|name| folder.join(name)) {
        let ours = other == folder.join("");
        assert_eq!(told(&other), if ours { named.clone() } else { common.clone() }, "{other:?}");
    }
    assert_eq!(told(Path::new("relative")), common);
    if rustix::process::geteuid().is_root() {
        chown(&folder.0, Some(NOBODY), Some(NOBODY)).unwrap();
        assert_eq!(told(&folder.0), common);
    }
    assert!(!folder.join("hatchery").exists());
    Completion::Completed
}

fn killed_listener() -> Completion {
    let folder = Folder::new();
    let path = folder.join("a.sock");
    let mut other = Other::start("listen", &path, |_| {});
    assert_eq!(other.line(), "ready");
    let error = block_on(Listener::bind(&unix(&path))).unwrap_err();
    assert!(matches!(error.trouble(), Trouble::InUse), "{error}");
    other.kill();
    assert!(path.exists());
    let error = block_on(connect(&unix(&path), LONG)).unwrap_err();
    assert!(matches!(error.trouble(), Trouble::Nobody(_)), "{error}");
    drop(block_on(Listener::bind(&unix(&path))).unwrap());
    assert!(!path.exists());
    Completion::Completed
}

fn two_starters() -> Completion {
    let folder = Folder::new();
    let path = folder.join("a.sock");
    let mut starters = [(); 2].map(|()| Other::start("starter", &path, |_| {}));
    for starter in &mut starters {
        assert_eq!(starter.line(), "ready");
    }
    for round in 0..100 {
        drop(UnixListener::bind(&path).unwrap());
        starters.iter_mut().for_each(|starter| starter.tell("start"));
        let mut said = starters.each_mut().map(|starter| starter.line());
        said.sort();
        assert!(said[0].contains("the address is in use"), "round {round}: {said:?}");
        assert_eq!(said[1], "got it", "round {round}");
        drop(block_on(connect(&unix(&path), LONG)).unwrap());
        starters.iter_mut().for_each(|starter| starter.tell("stop"));
        starters.iter_mut().for_each(|starter| assert_eq!(starter.line(), "stopped"));
        assert!(!path.exists(), "round {round}");
    }
    starters.into_iter().for_each(|starter| drop(starter.end()));
    Completion::Completed
}

fn any_mask() -> Completion {
    for mask in ["000", "027", "777"] {
        let folder = Folder::new();
        let with = |command: &mut Command| {
            command.env("MASK", mask);
        };
        let mut other = Other::start("private", &folder.0, with);
        let line = other.line();
        let path = line.strip_prefix("listening on unix:").unwrap_or_else(|| panic!("{line}"));
        let mode = |path: &Path| fs::symlink_metadata(path).unwrap().mode() & 0o7777;
        assert_eq!(mode(Path::new(path)), 0o600, "{mask}");
        assert_eq!(mode(Path::new(path).parent().unwrap()), 0o700, "{mask}");
        other.end();
        assert!(fs::read_dir(&folder.0).unwrap().next().is_none());
    }
    Completion::Completed
}

/// Nobody is lost, and it costs next to nothing: ten times the share of a processor that it may take.
fn few_descriptors() -> Completion {
    const WATCH: Duration = Duration::from_secs(2);
    let folder = Folder::new();
    let path = folder.join("a.sock");
    let mut other = Other::start("crowd", &path, |_| {});
    assert_eq!(other.line(), "ready");
    let mut guests: Vec<_> = (0..40).map(|_| UnixStream::connect(&path).unwrap()).collect();
    // So many had room; the others wait, and so does the listener.
    assert_eq!(other.line(), "full");
    let (began, spent) = (Instant::now(), other.time());
    hatchery_tests::procfs::wait_for_readable([], WATCH);
    let spent = other.time() - spent;
    assert!(spent < began.elapsed() / 10, "{spent:?} in {:?}", began.elapsed());
    other.tell("release");
    assert_eq!(other.line(), "all 40 came");
    for guest in &mut guests {
        guest.set_read_timeout(Some(LONG)).unwrap();
        assert_eq!(guest.read(&mut [0]).unwrap(), 1);
    }
    let said = other.end();
    assert_eq!(said.matches("warned").count(), 1, "{said}");
    Completion::Completed
}
