//! Programs that drive the core in other ways than this library does, each as the child of an actor
//! on smol: what they answer, that they obey, and that nothing is left of them.

use std::env;
use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use async_io::Timer;
use futures_lite::FutureExt as _;
use futures_lite::future::try_zip;
use hatchery::{
    CancelStatus, Context, Error, ErrorKind, Nursery, Portal, Receives, Refusal, Result, Sends,
    Starts, open_nursery,
};
use hatchery_tests::build::{target, workspace};
use hatchery_tests::leaks::Baseline;

/// Far beyond what anything here takes.
const LONG: Duration = Duration::from_secs(20);
/// How long what was ended may take to be gone from the process table.
const SETTLE: Duration = Duration::from_secs(2);
/// Values in a stream: more than a window's worth each way.
const VALUES: u64 = 20_000;

// What the programs serve, said again here for its names and types.

#[hatchery::endpoint]
async fn add(_a: u64, _b: u64) -> u64 {
    unreachable!("it runs elsewhere")
}

#[hatchery::context]
async fn echo(cx: Context<Starts<u64>, Sends<u64>, Receives<u64>>, first: u64) -> Result<u64> {
    drop(cx);
    unreachable!("it runs elsewhere, from {first} on")
}

#[hatchery::endpoint]
async fn unknown() {}

/// Where the ports are built: beside the other programs, whatever the profile of those.
fn folder() -> PathBuf {
    target().join("ports")
}

fn cargo(args: &[&str], manifest: &str) -> Output {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).args(["--locked", "--quiet", "--target-dir"]).arg(folder());
    command.arg("--manifest-path").arg(workspace().join("tests/ports").join(manifest));
    // What a runner of tests sets for its own build is no matter of these.
    command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS").stdin(Stdio::null());
    command.output().expect("cargo runs")
}

/// Builds a port, and gives its file.
fn built(name: &str) -> PathBuf {
    let package = format!("hatchery-port-{name}");
    let (args, manifest, profile): (&[&str], _, _) = match name {
        "no-std" => (&["build", "--release"], "no_std/Cargo.toml", "release"),
        _ => (&["build", "-p", &package], "Cargo.toml", "debug"),
    };
    let output = cargo(args, manifest);
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    folder().join(profile).join(package)
}

/// Runs `body` with the program as a child; nothing may be left of it, in whatever order it ended.
async fn with_port<T>(program: &Path, body: impl AsyncFnOnce(Portal) -> Result<T>) -> Result<T> {
    let before = Baseline::tree();
    let work = open_nursery(async |nursery: Nursery| {
        let port = nursery.actor("port").program(program).start().await?;
        assert_eq!(port.id().name, "port");
        let value = body(port.clone()).await?;
        // Gone already where the body has ended it.
        let _ = port.cancel_actor().await?;
        Ok(value)
    });
    let late = async {
        Timer::after(LONG).await;
        Err(Error::message("it takes too long"))
    };
    let result = work.or(late).await;
    before.check(SETTLE).unwrap_or_else(|leaks| panic!("{leaks}"));
    result
}

/// Everything that is asked of a port. An actor that has to be ended by force fails its nursery, so
/// each of these ends shows that the program obeys.
async fn everything(program: &Path) -> Result<()> {
    calls_and_refusals(program).await?;
    a_stream_both_ways(program).await?;
    cancels(program).await?;
    an_end_with_a_task_under_way(program).await?;
    a_failing_block(program).await
}

async fn calls_and_refusals(program: &Path) -> Result<()> {
    with_port(program, async |port| {
        assert_eq!(port.run(add(1, 2)).await?, 3);
        let error = port.run(unknown()).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Refused(Refusal::Unknown)), "{error:?}");
        assert_eq!(port.run(add(40, 2)).await?, 42);
        assert_eq!(port.cancel_actor().await?, CancelStatus::Done);
        Ok(())
    })
    .await
}

async fn a_stream_both_ways(program: &Path) -> Result<()> {
    let count = with_port(program, async |port| {
        port.with_context(echo(7), async |mut context, first| {
            assert_eq!(first, 8);
            let (sender, mut receiver) = context.open_stream()?.split();
            let send = async {
                for value in 0..VALUES {
                    sender.send(value).await?;
                }
                sender.close().await
            };
            let receive = async {
                for value in 0..VALUES {
                    assert_eq!(receiver.recv().await?, Some(value));
                }
                Ok::<_, Error>(())
            };
            try_zip(send, receive).await?;
            let count = context.result().await?;
            // The end of the stream is the task's, who said it gracefully.
            assert_eq!(receiver.recv().await?, None);
            // Another dialog is none the worse for it.
            assert_eq!(port.run(add(count, 1)).await?, count + 1);
            Ok::<_, Error>(count)
        })
        .await
    })
    .await?;
    assert_eq!(count, VALUES);
    Ok(())
}

async fn cancels(program: &Path) -> Result<()> {
    with_port(program, async |port| {
        let (mut context, _) = port.open_context(echo(0)).await?;
        let mut stream = context.open_stream()?;
        stream.send(1).await?;
        assert_eq!(stream.recv().await?, Some(1));
        assert_eq!(context.cancel().await, CancelStatus::Done);
        let error = context.result().await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Cancelled(_)), "{error:?}");
        assert_eq!(port.run(add(1, 1)).await?, 2);
        Ok(())
    })
    .await
}

/// The actor is asked to end while it serves: its task first, then itself (P-C7).
async fn an_end_with_a_task_under_way(program: &Path) -> Result<()> {
    with_port(program, async |port| {
        let (mut context, _) = port.open_context(echo(0)).await?;
        let stream = context.open_stream()?;
        stream.send(1).await?;
        assert_eq!(port.cancel_actor().await?, CancelStatus::Done);
        let error = context.result().await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Cancelled(_)), "{error:?}");
        Ok(())
    })
    .await
}

async fn a_failing_block(program: &Path) -> Result<()> {
    let failed: Result<()> = with_port(program, async |port| {
        let (_context, _) = port.open_context(echo(0)).await?;
        Err(Error::message("on purpose"))
    })
    .await;
    let error = failed.unwrap_err();
    assert!(error.to_string().contains("on purpose"), "{error}");
    Ok(())
}

/// Starts a port on a link of the test's own, with these bytes behind the one that brings the
/// standard streams, and then the end. Gives what it said; it must end by itself.
fn alone(program: &Path, bytes: &[u8]) -> Vec<u8> {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    ours.write_all(b"H").unwrap();
    ours.write_all(bytes).unwrap();
    ours.shutdown(Shutdown::Write).unwrap();
    let mut child = Command::new(program).stdin(OwnedFd::from(theirs)).spawn().unwrap();
    let mut said = Vec::new();
    ours.set_read_timeout(Some(LONG)).unwrap();
    let read = ours.read_to_end(&mut said);
    if read.is_err() {
        child.kill().unwrap();
    }
    let status = child.wait().unwrap();
    assert!(read.is_ok() && status.success(), "{read:?}, {status}");
    said
}

const PORTS: [&str; 4] = ["async-std", "blocking", "no-std", "tokio"];

// Tests of this library take turns, since each looks for processes that are left: so all here are.

#[hatchery::test]
async fn p_t4_a_port_whose_parent_is_gone_ends() {
    for name in PORTS {
        let said = alone(&built(name), b"");
        assert!(said.get(5..).is_some_and(|rest| rest.starts_with(b"\0HTCH")), "{name}: {said:?}");
    }
}

#[hatchery::test]
async fn p_l6_a_port_names_the_rule_that_its_peer_broke_and_ends() {
    for name in PORTS {
        let said = alone(&built(name), b"GET / HTTP/1.1\r\n\r\n");
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains("P-F2"), "{name}: {said:?}");
    }
}

#[hatchery::test]
async fn a_port_on_blocking_threads() -> Result<()> {
    everything(&built("blocking")).await
}

#[hatchery::test]
async fn a_port_on_tokio() -> Result<()> {
    everything(&built("tokio")).await
}

#[hatchery::test]
async fn a_port_on_async_std() -> Result<()> {
    everything(&built("async-std")).await
}

#[hatchery::test]
async fn a_port_without_a_standard_library() -> Result<()> {
    everything(&built("no-std")).await
}

/// The proof that it has none: with `std` anywhere below it, it is no program any more.
#[hatchery::test]
async fn a_port_without_a_standard_library_cannot_be_built_with_one() {
    let output = cargo(&["build", "--release", "--features", "std"], "no_std/Cargo.toml");
    assert!(!output.status.success());
    let complaint = String::from_utf8_lossy(&output.stderr);
    for part in ["panic_impl", "first defined in crate `std`"] {
        assert!(complaint.contains(part), "{complaint}");
    }
}

#[test]
fn each_port_is_one_short_file() {
    for name in ["async_std", "blocking", "no_std", "tokio"] {
        let folder = workspace().join("tests/ports").join(name).join("src");
        let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|it| it.unwrap().path()).collect();
        assert_eq!(files, [folder.join("main.rs")]);
        let lines = fs::read_to_string(&files[0]).unwrap().lines().count();
        assert!((20..=150).contains(&lines), "{name} has {lines} lines");
    }
}
