//! A tree that hangs, for dumps: `hung FOLDER [option|after]`. The root has an actor `middle`, and that
//! three, of which one spins, one waits in a system call, and one holds a lock of the library; and an
//! actor `deaf` that hears no signal. It says `ready` once all do, and ends once all have been let go:
//! by the files `spinner-go` and `locker-go` in the folder, and a datagram to `sleeper`.
//!
//! With `after` it is a root twice and does nothing in either: it says `first root`, waits for the file
//! `first-over`, says `first over` with no root in it any more, waits for `first-gone`, and so on.
#![allow(clippy::print_stdout, reason = "what it prints is its result")]

use std::future::pending;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::pin::pin;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use futures_lite::future;
use hatchery::{CancelScope, Error, Nursery, Options, Result, cancel_scope, open_nursery};
use hatchery_tests::sign::{raise, raised};
use hatchery_tests::worker::{alive, echo};

/// Burns its core until it is let go.
#[hatchery::endpoint]
async fn spins(up: String, go: String) {
    raise(&up, "");
    while !Path::new(&go).exists() {
        for _ in 0..100_000 {
            std::hint::spin_loop();
        }
    }
}

/// Is in a system call until it is let go.
#[hatchery::endpoint]
async fn sleeps(up: String, go: String) -> Result<()> {
    let socket = UnixDatagram::bind(&go).map_err(Error::new)?;
    raise(&up, "");
    socket.recv(&mut [0]).map_err(Error::new)?;
    std::fs::remove_file(go).map_err(Error::new)
}

/// Comes back from waking somebody only once it is let go: whoever wakes holds a lock meanwhile.
struct Holds {
    up: String,
    go: String,
}

impl Wake for Holds {
    fn wake(self: Arc<Self>) {
        raise(&self.up, "");
        future::block_on(raised(&self.go));
    }
}

/// Has the library call what does not return, with the lock of the scopes held.
#[hatchery::endpoint]
async fn locks(up: String, go: String) -> Result<()> {
    let handle: Mutex<Option<CancelScope>> = Mutex::default();
    let mut waits = pin!(cancel_scope(async |scope| {
        *handle.lock().expect("nobody panics") = Some(scope);
        pending::<Result<()>>().await
    }));
    let waker = Waker::from(Arc::new(Holds { up, go }));
    let first = waits.as_mut().poll(&mut Context::from_waker(&waker));
    assert!(matches!(first, Poll::Pending));
    let scope = handle.lock().expect("nobody panics").take().expect("it has begun");
    scope.cancel();
    waits.await.map(drop)
}

/// Has one of each below.
#[hatchery::endpoint]
async fn has_below(folder: String) -> Result<()> {
    let at = |name: &str| format!("{folder}/{name}");
    open_nursery(async |nursery: Nursery| {
        let spinner = nursery.start_actor("spinner").await?;
        let sleeper = nursery.start_actor("sleeper").await?;
        let locker = nursery.start_actor("locker").await?;
        let spin = spinner.run(spins(at("spinner-up"), at("spinner-go")));
        let sleep = sleeper.run(sleeps(at("sleeper-up"), at("sleeper")));
        let lock = locker.run(locks(at("locker-up"), at("locker-go")));
        let (spun, (slept, locked)) = future::zip(spin, future::zip(sleep, lock)).await;
        spun?;
        slept?;
        locked?;
        nursery.cancel();
        Ok(())
    })
    .await
}

async fn hangs(folder: &str) -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let middle = nursery.start_actor("middle").await?;
        let deaf = nursery.actor("deaf").env("HATCHERY_DUMP", "0").start().await?;
        // A child that is no actor has no use for a signal of the library's.
        let mut beside =
            Command::new("/bin/cat").stdin(Stdio::piped()).spawn().map_err(Error::new)?;
        let waits = {
            let (middle, folder) = (middle.clone(), folder.to_owned());
            async move { middle.run(has_below(folder)).await }
        };
        let told = async {
            for name in ["spinner-up", "sleeper-up", "locker-up"] {
                raised(&format!("{folder}/{name}")).await;
            }
            println!("ready");
        };
        let talk = middle.with_context(echo(), async |mut cx, ()| {
            let mut stream = cx.open_stream()?;
            stream.send(7).await?;
            assert_eq!(stream.recv().await?, Some(7));
            let (hung, ()) = future::zip(waits, told).await;
            hung?;
            stream.close().await?;
            cx.result().await
        });
        assert_eq!(talk.await?, 1);
        assert!(deaf.run(alive()).await?);
        assert!(beside.try_wait().map_err(Error::new)?.is_none(), "it was signalled");
        beside.kill().map_err(Error::new)?;
        beside.wait().map_err(Error::new)?;
        nursery.cancel();
        Ok(())
    })
    .await
}

fn main() -> Result<()> {
    hatchery::init();
    let mut args = std::env::args().skip(1);
    let (folder, what) = (args.next().unwrap_or_default(), args.next().unwrap_or_default());
    if what != "after" {
        let options = Options::new().dump_on_signal(what == "option");
        return hatchery::run_with(options, hangs(&folder));
    }
    for turn in ["first", "second"] {
        hatchery::run_with(Options::new().dump_on_signal(true), async {
            println!("{turn} root");
            raised(&format!("{folder}/{turn}-over")).await;
            Ok::<_, Error>(())
        })?;
        println!("{turn} over");
        future::block_on(raised(&format!("{folder}/{turn}-gone")));
    }
    Ok(())
}
