//! The census example as a program: it counts what `wc` and `sha256sum` count, has a line for what
//! cannot be counted, and leaves nothing behind however it ends.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{env, process};

use hatchery_tests::build::{self, Kind};
use hatchery_tests::procfs::Process;
use hatchery_tests::programs::{Finished, Program, Running, Signal};
use serde_json::Value;

/// A directory that is gone when this is dropped.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = env::temp_dir().join(format!("census-{}-{number}", process::id()));
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        Self(dir)
    }

    fn file(&self, name: impl AsRef<OsStr>, content: &[u8]) -> PathBuf {
        let path = self.0.join(name.as_ref());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn bytes(&mut self, alphabet: &[u8], len: u64) -> Vec<u8> {
        (0..len).map(|_| alphabet[self.below(alphabet.len() as u64) as usize]).collect()
    }
}

/// Fills `dir` with `count` files of all kinds under names of all kinds.
fn fill(dir: &Dir, count: u64) -> BTreeMap<PathBuf, Vec<u8>> {
    let any: Vec<u8> = (0..=255).collect();
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut files = BTreeMap::new();
    for index in 0..count {
        let len = numbers.below(4096);
        let content = match index % 8 {
            0 => Vec::new(),
            1 => numbers.bytes(&any, len),
            2 => numbers.bytes(b" \t\n\x0b\x0c\r", len),
            3 => numbers.bytes(b"abc \r\n", len),
            4 => [numbers.bytes(b"word\n", len), b"no newline at the end".to_vec()].concat(),
            5 => numbers.bytes(b"x", len),
            6 => "gr\u{fc}n \u{2003} \u{e9}t\u{e9}\n".repeat(len as usize / 16).into_bytes(),
            _ => numbers.bytes(b"lorem ipsum dolor \n", len),
        };
        let name: &[u8] = match index % 11 {
            0 => b"two words",
            1 => b"two\nlines",
            2 => b"\xff\xfe not text",
            3 => b"-dash",
            4 => b"back\\slash \\xff",
            5 => b"'quotes\" $HOME *",
            6 => "na\u{ef}ve \u{1f423}".as_bytes(),
            7 => b".hidden",
            8 => b"tab\tescape\x1b[0m",
            _ => b"plain",
        };
        let name = [format!("{}/{index:04}", index % 37).as_bytes(), name].concat();
        files.insert(dir.file(OsStr::from_bytes(&name), &content), content);
    }
    for (name, len) in [("big", 3 << 20), ("chunk", 256 << 10), ("one more", (256 << 10) + 1)] {
        let content = numbers.bytes(b"many words\n", len);
        files.insert(dir.file(name, &content), content);
    }
    files
}

/// What `program` prints when it is given `names`, each ended by a NUL.
fn ask<'a>(program: &mut Command, names: impl Iterator<Item = &'a PathBuf>) -> Vec<u8> {
    let names: Vec<u8> =
        names.flat_map(|name| [name.as_os_str().as_bytes(), b"\0"].concat()).collect();
    let mut child =
        program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a program to ask");
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&names));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{program:?}: {}", output.status);
    output.stdout
}

/// Lines and bytes according to `wc`.
fn wc<'a>(names: impl Iterator<Item = &'a PathBuf>) -> (u64, u64) {
    let told = ask(Command::new("wc").args(["-l", "-c", "--files0-from=-"]), names);
    let told = String::from_utf8_lossy(&told).into_owned();
    let total = told.lines().last().unwrap();
    let mut numbers = total.split_ascii_whitespace().map_while(|word| word.parse().ok());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// Hashes according to `sha256sum`.
fn sha256sum<'a>(names: impl Iterator<Item = &'a PathBuf>) -> BTreeMap<Vec<u8>, String> {
    let told = ask(Command::new("xargs").args(["-0", "sha256sum", "-z", "--"]), names);
    told.split(|&byte| byte == 0)
        .filter(|line| !line.is_empty())
        .map(|line| (line[66..].to_vec(), String::from_utf8_lossy(&line[..64]).into_owned()))
        .collect()
}

/// The bytes of a name in the result: `\\` is a backslash, `\xHH` a byte.
fn unescape(text: &str) -> Vec<u8> {
    let mut parts = text.split('\\');
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    while let Some(part) = parts.next() {
        if part.is_empty() {
            bytes.push(b'\\');
            bytes.extend(parts.next().unwrap().as_bytes());
        } else {
            let digits = part.strip_prefix('x').unwrap();
            bytes.push(u8::from_str_radix(&digits[..2], 16).unwrap());
            bytes.extend(&digits.as_bytes()[2..]);
        }
    }
    bytes
}

fn census(args: &[&str], paths: &[&Path]) -> Program {
    Program::example("census").env_remove("RUST_BACKTRACE").args(args).args(paths)
}

/// The one object that a run with `--json` printed, and nothing else.
#[track_caller]
fn object(finished: &Finished) -> Value {
    assert!(finished.stderr.is_empty(), "{finished}");
    serde_json::from_slice(&finished.stdout).unwrap_or_else(|error| panic!("{error}\n{finished}"))
}

#[track_caller]
fn by_name(object: &Value, field: &str) -> BTreeMap<Vec<u8>, String> {
    let entries = object[field].as_object().unwrap().iter();
    entries.map(|(key, value)| (unescape(key), value.as_str().unwrap().to_owned())).collect()
}

#[test]
fn equals_wc_and_sha256sum_over_a_few_thousand_files() {
    let dir = Dir::new();
    let files = fill(&dir, 3000);
    let finished = census(&["--json"], &[&dir.0]).run();
    finished.assert_exit(0);
    let object = object(&finished);
    let (lines, bytes) = wc(files.keys());
    let is_word_byte = |byte: &u8| !b" \t\n\x0b\x0c\r".contains(byte);
    let words = files.values().map(|content| {
        let runs = content.split(|byte| !is_word_byte(byte));
        runs.filter(|run| !run.is_empty()).count() as u64
    });
    assert_eq!(object["files"], files.len());
    assert_eq!(object["lines"], lines);
    assert_eq!(object["words"], words.sum::<u64>());
    assert_eq!(object["bytes"], bytes);
    assert_eq!(by_name(&object, "sha256"), sha256sum(files.keys()));
    assert_eq!(by_name(&object, "failed"), BTreeMap::new());
}

#[test]
fn prints_tables_and_nothing_else_where_there_is_no_terminal() {
    let dir = Dir::new();
    dir.file("a b", b"one two\nthree\n");
    dir.file("\u{1b}[31m", b"four");
    let finished = census(&["--workers", "2"], &[&dir.0]).run();
    finished.assert_exit(0);
    let out = finished.out();
    assert!(finished.stderr.is_empty(), "{finished}");
    assert!(out.contains("│     2       2       4      18 │"), "{finished}");
    assert!(out.contains("slowest files") && out.contains("/a b "), "{finished}");
    assert!(out.contains(r"/\x1b[31m") && !out.contains('\u{1b}'), "{finished}");
}

#[test]
fn shows_progress_on_a_terminal_and_clears_it() {
    let dir = Dir::new();
    dir.file("file", b"text\n");
    let finished = census(&["--workers", "1"], &[&dir.0]).on_terminal().run();
    finished.assert_exit(0);
    let out = finished.out();
    let (before, result) = out.split_once('┌').unwrap_or_else(|| panic!("{finished}"));
    assert!(before.contains("files,"), "a line of progress\n{finished}");
    assert!(before.ends_with("\u{1b}[2K"), "the line is cleared\n{finished}");
    assert!(!result.contains("files,"), "{finished}");
}

#[test]
fn without_a_path_it_counts_the_checkout_less_what_git_ignores() {
    let dir = Dir::new();
    for name in [".git/config", "sub/counted", "sub/.hidden", "target/ignored"] {
        dir.file(name, b"");
    }
    dir.file(".gitignore", b"/target\n");
    let finished = census(&["--json"], &[]).current_dir(&dir.0).run();
    finished.assert_exit(0);
    let names: Vec<_> = by_name(&object(&finished), "sha256").into_keys().collect();
    assert_eq!(names, [&b".gitignore"[..], b"sub/.hidden", b"sub/counted"]);
    let finished = census(&["--json"], &[]).current_dir(dir.0.join("sub")).run();
    finished.assert_exit(0);
    assert_eq!(object(&finished)["files"], 3);
}

/// What cannot be counted is listed with the reason, and the run goes on.
///
/// Runs as nobody where the test runs as root, since root may read everything.
#[test]
fn what_cannot_be_counted_gets_a_line_each_and_the_run_goes_on() {
    let dir = Dir::new();
    let odd = dir.0.join("odd");
    dir.file("odd/fine", b"counted\n");
    dir.file(OsStr::from_bytes(b"odd/not text \xff"), b"counted\n");
    let locked = dir.file("odd/locked", b"secret");
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
    fs::create_dir(odd.join("empty")).unwrap();
    fs::create_dir(odd.join("closed")).unwrap();
    fs::set_permissions(odd.join("closed"), fs::Permissions::from_mode(0o000)).unwrap();
    symlink("loop", odd.join("loop")).unwrap();
    symlink("..", odd.join("up")).unwrap();
    symlink("fine", odd.join("alias")).unwrap();
    let _socket = UnixListener::bind(odd.join("socket")).unwrap();
    assert!(Command::new("mkfifo").arg(odd.join("fifo")).status().unwrap().success());

    let args = [OsString::from("--json"), odd.clone().into(), dir.0.join("none").into()];
    let finished = as_nobody(&dir, &args).run();
    fs::set_permissions(odd.join("closed"), fs::Permissions::from_mode(0o755)).unwrap();
    finished.assert_exit(1); // only since `none` does not exist
    let object = object(&finished);
    assert_eq!((&object["files"], &object["lines"]), (&Value::from(2), &Value::from(2)));
    let failed = by_name(&object, "failed");
    let expected = [
        ("odd/closed", "permission denied"),
        ("odd/empty", "empty directory"),
        ("odd/fifo", "not a regular file"),
        ("odd/locked", "permission denied"),
        ("odd/loop", "symbolic link loop"),
        ("odd/socket", "not a regular file"),
        ("odd/up", "symbolic link loop"),
        ("none", "no such file or directory"),
    ];
    let expected = expected.map(|(name, reason)| {
        (dir.0.join(name).into_os_string().as_bytes().to_vec(), reason.to_owned())
    });
    assert_eq!(failed, BTreeMap::from(expected), "{finished}");

    let finished = as_nobody(&dir, &args[1..2]).run();
    finished.assert_exit(0);
    let locked = format!("failed: {}: permission denied\n", locked.display());
    assert!(finished.out().contains(&locked), "{finished}");
}

/// The census by somebody who may not read everything.
fn as_nobody(dir: &Dir, args: &[OsString]) -> Program {
    let built = build::built(Kind::Example, "census");
    if fs::read(dir.0.join("odd/locked")).is_err() {
        return Program::at(built).args(args);
    }
    // A copy, since nobody may be kept from where the program was built.
    let copy = dir.0.join("census");
    if !copy.exists() {
        fs::copy(built, &copy).unwrap();
    }
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "--"];
    Program::at("setpriv").args(nobody).arg(copy).args(args)
}

/// A panic in a worker ends the run with one report that names the actor, the place and the cause;
/// the siblings are cancelled, and nothing is left behind.
#[test]
fn a_crash_is_one_readable_report() {
    let dir = Dir::new();
    fill(&dir, 200);
    for index in ["0", "150"] {
        let finished = census(&["--workers", "4", "--crash", index], &[&dir.0]).run();
        finished.assert_exit(1);
        let err = finished.err();
        let cause = format!("asked to by --crash, at file {index} (");
        assert_eq!(err.matches(&cause).count(), 1, "one report\n{finished}");
        assert_eq!(err.matches("worker.rs:").count(), 1, "the place\n{finished}");
        assert_eq!(err.matches("panicked").count(), 1, "one report\n{finished}");
        let worker = (0..4).any(|number| err.contains(&format!("worker-{number}")));
        assert!(worker, "the actor\n{finished}");
        assert!(err.lines().count() <= 16, "readable\n{finished}");
        assert!(finished.stdout.is_empty(), "{finished}");
    }
}

#[test]
fn a_crash_at_a_file_that_is_never_reached_is_none() {
    let dir = Dir::new();
    dir.file("only", b"");
    census(&["--crash", "1"], &[&dir.0]).run().assert_exit(0);
}

/// Files that take minutes to read and no space: whoever counts one is busy. So many that every
/// worker gets one, since a worker without work leaves.
fn endless(dir: &Dir) -> PathBuf {
    for number in 0..32 {
        let path = dir.0.join(format!("endless-{number:02}"));
        fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    }
    dir.0.join("endless-00")
}

fn has_open(process: &Process, path: &Path) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{}/fd", process.pid)) else { return false };
    descriptors.flatten().any(|entry| fs::read_link(entry.path()).is_ok_and(|to| to == path))
}

/// Runs until `moment`, then does what Ctrl-C does: the run ends soon, with 130 and nothing left.
/// Returns what it had printed.
#[track_caller]
fn interrupt(program: Program, what: &str, moment: impl Fn(&mut Running) -> bool) -> String {
    let mut running = program.start();
    let come = moment(&mut running);
    running.signal_group(Signal::INT);
    let since = Instant::now();
    let finished = running.wait();
    let took = since.elapsed();
    assert!(come, "the moment never came: {what}\n{finished}");
    finished.assert_exit(130);
    assert!(took < Duration::from_secs(5), "{what}: {took:?}\n{finished}");
    finished.out()
}

#[test]
fn ctrl_c_ends_the_run_at_any_moment() {
    let dir = Dir::new();
    let path = endless(&dir);
    let args = ["--workers", "3"];
    for children in 1..=3 {
        let what = format!("there are {children} children");
        interrupt(census(&args, &[&dir.0]), &what, |running| {
            running.wait_for_tree(|tree| tree.len() > children)
        });
    }
    for json in [&["--json"][..], &[]] {
        let program = census(&args, &[&dir.0]).args(json);
        let out = interrupt(program, "a worker reads", |running| {
            running.wait_for_tree(|tree| tree.iter().any(|one| has_open(one, &path)))
        });
        assert_eq!(out, "", "half a result is none");
    }
}

#[test]
fn ctrl_c_on_a_terminal_clears_the_progress() {
    let dir = Dir::new();
    endless(&dir);
    dir.file("done", b"");
    let program = census(&["--workers", "2"], &[&dir.0]).on_terminal();
    let out = interrupt(program, "a file is done", |running| running.wait_for_output(" 1 files,"));
    let last = out.rfind("files,").unwrap();
    assert!(out[last..].contains("\u{1b}[2K"), "{out:?}");
}

#[test]
fn ctrl_c_is_heard_while_nobody_reads_the_result() {
    let dir = Dir::new();
    fill(&dir, 2000);
    let fifo = dir.0.join("0fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    // Open in both directions, a FIFO takes what it can hold and then makes the writer wait.
    let script = r#"exec "$0" --json "$1" 1<>"$2""#;
    let census = build::built(Kind::Example, "census");
    let program = Program::at("sh").args(["-c", script]).arg(census).arg(&dir.0).arg(&fifo);
    interrupt(program, "the workers are gone", |running| {
        running.wait_for_tree(|tree| tree.len() > 1)
            && running.wait_for_tree(|tree| tree.len() == 1)
    });
}

#[test]
fn a_wrong_call_says_how_to_call_it() {
    let finished = census(&["--jsno"], &[]).run();
    finished.assert_exit(2);
    assert!(finished.err().starts_with("census: invalid option '--jsno'\n"), "{finished}");
    assert!(finished.err().contains("usage: census"), "{finished}");
    let finished = census(&["--help"], &[]).run();
    finished.assert_exit(0);
    assert!(finished.out().starts_with("usage: census"), "{finished}");
}
