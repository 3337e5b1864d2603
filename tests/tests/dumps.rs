//! What a tree that hangs says of itself when its root gets SIGUSR1: every actor, parents first, whatever
//! its threads are at; and that nobody does where nobody asked for that.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hatchery_tests::procfs::{self, Process};
use hatchery_tests::programs::{Program, Running, Signal};
use hatchery_tests::sign::raise;
use hatchery_tests::spot::Spot;

/// Ten times what a dump may take, with a debugger that looks into six processes of a debug build.
const PATIENCE: Duration = Duration::from_secs(120);

const END: &str = "==== end of the dump\n";

/// A tree without a debugger at hand, so that it takes no more than its time.
fn program(spot: &Spot) -> Program {
    let program = Program::bin("hung").arg(spot.path()).timeout(2 * PATIENCE);
    program.env_remove("HATCHERY_DUMP").env("PATH", spot.path())
}

/// The tree, once it hangs.
fn hung(program: Program) -> Running {
    let mut running = program.start();
    assert!(running.wait_for_output("ready"), "{}", running.wait());
    running
}

/// Lets go of everything in it, and waits for its end.
fn let_go(running: Running, spot: &Spot) -> hatchery_tests::programs::Finished {
    for name in ["spinner-go", "locker-go"] {
        raise(&at(spot, name), "");
    }
    let end = UnixDatagram::unbound().expect("a socket");
    end.send_to(&[0], at(spot, "sleeper")).expect("it listens");
    running.wait()
}

fn at(spot: &Spot, name: &str) -> String {
    spot.path().join(name).to_str().expect("a folder that is text").to_owned()
}

/// The files in a folder that are dumps.
fn dumps(folder: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(folder).expect("a folder").flatten().map(|one| one.path());
    let name = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("hatchery-"))
    };
    all.filter(name).collect()
}

/// Waits until there are so many whole dumps in the file of the actor of this name.
fn dump(running: &mut Running, folder: &Path, name: &str, count: usize) -> String {
    let begin = Instant::now();
    let start = format!("hatchery-{name}-");
    while begin.elapsed() < PATIENCE {
        // It goes on only where somebody reads.
        running.error_output();
        let found = dumps(folder).into_iter().find(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&start))
        });
        if let Some(text) = found.and_then(|path| fs::read_to_string(path).ok())
            && text.matches(END).count() >= count
        {
            return text;
        }
        procfs::wait_for_readable([], Duration::from_millis(2));
    }
    panic!("no dump of {name} in {:?}", dumps(folder));
}

/// When it was begun.
fn begun(dump: &str) -> &str {
    let line = dump.lines().find(|line| line.starts_with("==== dump of actor"));
    line.and_then(|line| line.split_once(" at ")).expect("a head").1
}

/// What is said under a heading.
fn section<'a>(dump: &'a str, head: &str) -> &'a str {
    let (_, rest) =
        dump.split_once(&format!("---- {head}")).unwrap_or_else(|| panic!("no {head}:\n{dump}"));
    let (_, rest) = rest.split_once('\n').expect("a line");
    rest.split("---- ").next().unwrap_or_default()
}

fn assert_says(dump: &str, head: &str, said: &[&str]) {
    let section = section(dump, head);
    for said in said {
        assert!(section.contains(said), "no `{said}` in {head}:\n{dump}");
    }
}

fn clear(spot: &Spot) {
    for one in fs::read_dir(spot.path()).expect("a folder").flatten() {
        fs::remove_file(one.path()).expect("a file");
    }
}

/// What each of them says, whatever it hangs in.
fn assert_tells_all(running: &mut Running, folder: &Path) {
    let [root, middle] = ["root", "middle"].map(|name| dump(running, folder, name, 1));
    let below = ["spinner", "sleeper", "locker"].map(|name| dump(running, folder, name, 1));
    assert_says(
        &root,
        "tasks",
        &[
            "actor `root` (pid ",
            ": works; ",
            "the root's body",
            "a nursery",
            "a block with a context or stream",
            "actor `middle` (pid ",
            "actor `deaf` (pid ",
        ],
    );
    assert_says(&root, "tasks", &["waits for `hung::has_below` on the child `middle`"]);
    assert_says(
        &root,
        "tasks",
        &["has opened `hatchery_tests::worker::echo` on the child `middle`"],
    );
    assert_says(
        &root,
        "links",
        &["link with the child `deaf`", "call `hung::has_below`, opened here, running"],
    );
    assert_says(
        &root,
        "links",
        &[
            "context `hatchery_tests::worker::echo`, opened here, started; receives: open; sends: open, credit ",
        ],
    );
    assert_says(&root, "last steps", &["  sent Start of dialog ", "  received Yield of dialog "]);
    assert_says(
        &root,
        "children",
        &["`middle` (pid ", "`deaf` (pid ", "): up; its process sleeps"],
    );
    assert_says(
        &root,
        "told",
        &["): told\n", "`deaf` (pid ", "): not told: it does not hear the signal"],
    );
    assert_eq!(section(&root, "told").lines().count(), 2, "{root}");
    assert_says(
        &middle,
        "tasks",
        &[
            "`hung::has_below` for the parent `root`",
            "`hatchery_tests::worker::echo` for the parent `root`",
        ],
    );
    assert_says(
        &middle,
        "tasks",
        &[
            "waits for `hung::spins` on the child `spinner`",
            "waits for `hung::sleeps` on the child `sleeper`",
        ],
    );
    assert_says(&middle, "links", &["call `hung::has_below`, opened there, running"]);
    for (dump, name, endpoint) in
        [(&below[0], "spinner", "hung::spins"), (&below[1], "sleeper", "hung::sleeps")]
    {
        assert_says(dump, "tasks", &[&format!("`{endpoint}` for the parent `middle`")]);
        assert_says(dump, "links", &[&format!("call `{endpoint}`, opened there, running")]);
        assert_says(dump, "last steps", &["received Start of dialog 2"]);
        assert_says(
            dump,
            "threads",
            &[&format!(" `{name}` "), " `hatchery-watch` sleeps", " `hatchery-dump` runs"],
        );
        assert_says(dump, "told", &["none\n"]);
        assert!(begun(&middle) < begun(dump), "{middle}{dump}");
    }
    assert_says(&below[0], "threads", &[" `spinner` runs"]);
    assert_says(&below[1], "threads", &[" `sleeper` sleeps"]);
    assert!(begun(&root) < begun(&middle), "{root}{middle}");
    // What is behind a lock is not seen, and that is said; the rest is.
    assert_says(
        &below[2],
        "tasks",
        &["not seen: the tasks and scopes, since a thread holds their lock"],
    );
    assert_says(&below[2], "links", &["call `hung::locks`, opened there, running"]);
    for (dump, frame) in below.iter().zip(["hung::spins", "recv", "hung::locks"]) {
        let stacks = section(dump, "stacks");
        let shown = stacks.contains("#0 ") && stacks.contains(frame);
        assert!(shown || stacks.starts_with("not seen: "), "{dump}");
    }
}

fn assert_private(folder: &Path, count: usize) {
    let all = dumps(folder);
    assert_eq!(all.len(), count, "{all:?}");
    for path in all {
        let found = fs::symlink_metadata(&path).expect("it is there");
        assert!(found.is_file() && found.permissions().mode() & 0o7777 == 0o600, "{path:?}");
    }
}

#[test]
fn every_actor_of_a_tree_that_hangs_says_what_it_is_at_parents_first() {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let spot = Spot::new("dumps");
    let mut running = hung(program(&spot).env("HATCHERY_DUMP", spot.path()).env("PATH", path));
    running.signal(Signal::USR1);
    assert_tells_all(&mut running, spot.path());
    // Again: behind the first.
    running.signal(Signal::USR1);
    let twice = dump(&mut running, spot.path(), "sleeper", 2);
    assert_eq!(twice.matches("==== dump of actor `sleeper`").count(), 2, "{twice}");
    for name in ["root", "middle", "spinner", "locker"] {
        dump(&mut running, spot.path(), name, 2);
    }
    assert_private(spot.path(), 5);
    let pid = running.process().pid;
    let finished = let_go(running, &spot);
    finished.assert_exit(0);
    let err = finished.err();
    let said = format!("root[{pid}]: ==== dump of actor `root` (pid {pid}) at ");
    assert_eq!(err.matches(&said).count(), 2, "{finished}");
    for name in ["middle", "spinner", "sleeper", "locker"] {
        let ends = err
            .lines()
            .filter(|line| line.starts_with(&format!("{name}[")) && line.ends_with(END.trim_end()));
        assert_eq!(ends.count(), 2, "{finished}");
    }
    clear(&spot);
}

#[test]
fn an_option_of_the_root_is_enough_and_files_go_to_the_temporary_folder() {
    let (spot, temporary) = (Spot::new("hung"), Spot::new("temporary"));
    let mut running = hung(program(&spot).arg("option").env("TMPDIR", temporary.path()));
    running.signal(Signal::USR1);
    for name in ["root", "middle", "spinner", "sleeper", "locker"] {
        let dump = dump(&mut running, temporary.path(), name, 1);
        assert_says(&dump, "stacks", &["not seen: ", "no `gdb` is installed"]);
    }
    assert_private(temporary.path(), 5);
    let_go(running, &spot).assert_exit(0);
    clear(&spot);
    clear(&temporary);
}

#[test]
fn an_actor_in_the_middle_speaks_for_itself_and_those_below_it() {
    let spot = Spot::new("dumps");
    let mut running = hung(program(&spot).env("HATCHERY_DUMP", spot.path()));
    let tree = running.tree();
    let middle = tree.iter().find(|one| one.name == "middle").expect("it lives");
    middle.signal(Signal::USR1);
    for name in ["middle", "spinner", "sleeper", "locker"] {
        dump(&mut running, spot.path(), name, 1);
    }
    assert_private(spot.path(), 4);
    let_go(running, &spot).assert_exit(0);
    clear(&spot);
}

#[test]
fn nobody_hears_the_signal_unless_asked_to() {
    let spot = Spot::new("hung");
    for off in [None, Some("0"), Some("")] {
        let program = program(&spot);
        let running = hung(match off {
            Some(off) => program.env("HATCHERY_DUMP", off),
            None => program,
        });
        running.signal(Signal::USR1);
        let finished = running.wait();
        finished.assert_killed_by(Signal::USR1);
        assert!(!finished.err().contains("===="), "{finished}");
        clear(&spot);
    }
}

#[test]
fn once_the_root_has_ended_the_signal_does_what_it_does_by_default() {
    let spot = Spot::new("after");
    let mut running = program(&spot).arg("after").env("HATCHERY_DUMP", spot.path()).start();
    for (turn, count) in [("first", 1), ("second", 2)] {
        assert!(running.wait_for_output(&format!("{turn} root\n")));
        running.signal(Signal::USR1);
        dump(&mut running, spot.path(), "root", count);
        raise(&at(&spot, &format!("{turn}-over")), "");
        assert!(running.wait_for_output(&format!("{turn} over\n")));
        if turn == "first" {
            raise(&at(&spot, "first-gone"), "");
        }
    }
    running.signal(Signal::USR1);
    running.wait().assert_killed_by(Signal::USR1);
    clear(&spot);
}

#[test]
fn what_stands_in_a_files_place_is_not_written_to() {
    let spot = Spot::new("after");
    for (place, why) in [("link", "`: Too many levels of symbolic links"), ("open", "may read")] {
        let mut running = program(&spot).arg("after").env("HATCHERY_DUMP", spot.path()).start();
        assert!(running.wait_for_output("first root\n"));
        let pid = running.process().pid;
        let path = spot.path().join(format!("hatchery-root-{pid}.txt"));
        let other = spot.path().join("other");
        fs::write(&other, "mine").expect("a file");
        if place == "link" {
            symlink(&other, &path).expect("a link");
        } else {
            fs::write(&path, "mine").expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("it is ours");
        }
        running.signal(Signal::USR1);
        assert!(running.wait_for_output("]: ==== end of the dump\n"));
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "mine");
        for turn in ["first-over", "first-gone", "second-over", "second-gone"] {
            raise(&at(&spot, turn), "");
        }
        let finished = running.wait();
        finished.assert_exit(0);
        let line = format!("root[{pid}]: this stands in no file: ");
        let said = finished.err().lines().any(|said| said.starts_with(&line) && said.contains(why));
        assert!(said, "{finished}");
        clear(&spot);
    }
}

#[test]
fn what_is_started_for_it_is_gone_with_it() {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let spot = Spot::new("dumps");
    let mut running = hung(program(&spot).env("HATCHERY_DUMP", spot.path()).env("PATH", path));
    let before: BTreeSet<_> = running.tree().iter().map(|one| one.pid).collect();
    running.signal(Signal::USR1);
    for name in ["root", "middle", "spinner", "sleeper", "locker"] {
        dump(&mut running, spot.path(), name, 1);
    }
    let now: Vec<Process> = running.tree();
    let more: Vec<_> = now.iter().filter(|one| !before.contains(&one.pid)).collect();
    assert!(more.is_empty(), "{more:?}");
    assert!(now.iter().all(|one| one.state != 'T' && one.state != 't'), "{now:?}");
    let_go(running, &spot).assert_exit(0);
    clear(&spot);
}

#[test]
fn a_standard_error_that_takes_nothing_holds_no_dump_up() {
    let spot = Spot::new("after");
    let mut running = program(&spot).arg("after").env("HATCHERY_DUMP", spot.path()).start();
    assert!(running.wait_for_output("first root\n"));
    running.hang_up();
    running.signal(Signal::USR1);
    let said = dump(&mut running, spot.path(), "root", 1);
    assert!(said.contains("(standard error takes no more of this: Broken pipe"), "{said}");
    drop(running);
    clear(&spot);
}

#[test]
fn a_program_that_is_no_actor_is_in_no_tree() {
    let seen = futures_lite::future::block_on(hatchery::tree());
    let error = seen.expect_err("no actor runs here");
    assert!(matches!(error.kind(), hatchery::ErrorKind::Misuse), "{error:?}");
}
