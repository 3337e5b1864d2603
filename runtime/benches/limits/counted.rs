//! What is counted and comes out the same every time: allocations, system calls, instructions,
//! crates. Of the steady state, so a run of twice the length is compared with a single one.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::process::{self, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

use crate::bars::Scale;

/// Counts where it is told to, and costs one look at a flag elsewhere.
struct Counting;

static ON: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static HELD: AtomicI64 = AtomicI64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: each call is handed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(1, layout.size() as i64);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(1, layout.size() as i64);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(1, size as i64 - layout.size() as i64);
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        note(0, -(layout.size() as i64));
        unsafe { System.dealloc(at, layout) }
    }
}

fn note(allocations: u64, held: i64) {
    if ON.load(Relaxed) {
        ALLOCATIONS.fetch_add(allocations, Relaxed);
        HELD.fetch_add(held, Relaxed);
    }
}

/// In this variable a process is told to count from its beginning.
pub(crate) const TOLD: &str = "LIMITS_COUNTED";

/// Counts from here on, if this process was told to.
pub(crate) fn begin_if_told() {
    ON.store(env::var_os(TOLD).is_some(), Relaxed);
}

/// How often this process has allocated, and how many bytes more than then it holds, since this was
/// called first.
pub(crate) fn allocated() -> (u64, i64) {
    ON.store(true, Relaxed);
    (ALLOCATIONS.load(Relaxed), HELD.load(Relaxed))
}

/// System calls of a contender and everything that it starts, for each time.
pub(crate) fn system_calls(scale: Scale, row: &str, contender: &str) -> io::Result<f64> {
    let file = format!("limits-strace-{}", process::id());
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(file);
    twice(scale, |times| {
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-c", "-U", "calls,name", "-o"]).arg(&file);
        run(sampled(&mut command, row, contender, times)?)?;
        let report = fs::read_to_string(&file)?;
        fs::remove_file(&file)?;
        let total = report.lines().find_map(|line| line.trim().strip_suffix("total"));
        number(total.unwrap_or_default())
    })
}

/// Instructions of a contender, for each time.
pub(crate) fn instructions(scale: Scale, row: &str, contender: &str) -> io::Result<f64> {
    twice(scale, |times| {
        let mut command = Command::new("valgrind");
        // One way to copy memory, whatever the processor could do.
        command.env("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-AVX2,-AVX,-ERMS,-FSRM");
        command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
        let output = run(sampled(&mut command, row, contender, times)?)?;
        let report = String::from_utf8_lossy(&output.stderr).into_owned();
        number(
            report.split("Collected :").nth(1).and_then(|rest| rest.lines().next()).unwrap_or(""),
        )
    })
}

/// How many crates without procedural macros a user of this package builds (B20).
pub(crate) fn crates(package: &str) -> io::Result<f64> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.args(["tree", "--quiet", "--offline", "-p", package]);
    let output = run(command.args(["-e", "normal,no-proc-macro", "--prefix", "none"]))?;
    let tree = String::from_utf8_lossy(&output.stdout).into_owned();
    let names: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(" (").next()).collect();
    Ok(names.len() as f64)
}

/// What comes with each further time.
fn twice(scale: Scale, count: impl Fn(u32) -> io::Result<f64>) -> io::Result<f64> {
    Ok((count(2 * scale.times)? - count(scale.times)?) / f64::from(scale.times))
}

fn sampled<'a>(
    command: &'a mut Command,
    row: &str,
    contender: &str,
    times: u32,
) -> io::Result<&'a mut Command> {
    command.arg(env::current_exe()?);
    Ok(command.args(["--sample", row, contender]).arg(times.to_string()))
}

/// Runs a program to its end; one that is not installed is an error of the kind `NotFound`.
fn run(command: &mut Command) -> io::Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            io::Error::new(error.kind(), format!("`{program}` is not installed"))
        }
        _ => error,
    })?;
    let failed = || String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(output) } else { Err(io::Error::other(failed())) }
}

fn number(text: &str) -> io::Result<f64> {
    let text = text.trim();
    text.parse().map_err(|_| io::Error::other(format!("a number was expected, not {text:?}")))
}
