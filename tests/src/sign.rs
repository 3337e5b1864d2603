//! Files by which actors tell a test how far they are, and by which it holds them there; and how long
//! a test waits before it says that nothing comes.
//!
//! Nothing here waits for a time to pass: who waits for a sign waits until it is there, and fails where
//! nobody makes it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_io::Timer;
use futures_lite::FutureExt as _;

/// A file that somebody makes to say something, gone with its handle.
#[derive(Debug)]
pub struct Sign(PathBuf);

impl Sign {
    /// One that nobody has raised yet.
    #[must_use]
    pub fn new(name: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sign-{name}-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    /// What an actor is given, to raise it or to wait for it.
    ///
    /// # Panics
    /// Where the temporary folder is no text.
    #[must_use]
    pub fn path(&self) -> String {
        self.0.to_str().expect("a folder that is text").to_owned()
    }

    /// Raises it.
    ///
    /// # Panics
    /// Where the file cannot be made.
    pub fn raise(&self) {
        raise(&self.path(), "");
    }

    /// Waits until somebody has raised it; gives what was said.
    ///
    /// # Panics
    /// Where nobody does.
    pub async fn raised(&self) -> String {
        raised(&self.path()).await
    }

    /// Whether it is raised.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        self.0.exists()
    }

    /// What it says by now; nothing where it is not raised.
    #[must_use]
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.0).unwrap_or_default()
    }

    /// Waits until it says this.
    ///
    /// # Panics
    /// Where it never does.
    pub async fn says(&self, text: &str) {
        until("a sign to change", || self.said() == text).await;
    }
}

impl Drop for Sign {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Raises the sign at `path`, which then says `text`.
///
/// # Panics
/// Where the file cannot be made.
pub fn raise(path: &str, text: &str) {
    // Whole or not at all for whoever looks.
    let part = Path::new(path).with_extension("part");
    std::fs::write(&part, text).expect("a sign");
    std::fs::rename(part, path).expect("a sign");
}

/// Ten times what a test of a few actors takes, and anybody to raise a sign.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until the sign at `path` is raised; gives what it says.
///
/// # Panics
/// Where nobody raises it.
pub async fn raised(path: &str) -> String {
    until(path, || Path::new(path).exists()).await;
    std::fs::read_to_string(path).expect("a sign")
}

/// The same for what keeps its thread; says whether somebody has.
#[must_use]
pub fn raised_blocking(path: &str) -> bool {
    let begin = Instant::now();
    while !Path::new(path).exists() && begin.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(1));
    }
    Path::new(path).exists()
}

/// Waits for what nobody can be told of, by looking again and again.
///
/// # Panics
/// Where it does not come to that.
pub async fn until(what: &str, is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "it never came to this: {what}");
        Timer::after(Duration::from_millis(1)).await;
    }
}

/// Raises its sign when it is dropped, as the last that a task does.
#[derive(Debug)]
pub struct Last(pub String);

impl Drop for Last {
    fn drop(&mut self) {
        raise(&self.0, "");
    }
}

/// What `body` comes to.
///
/// # Panics
/// Where that takes ten times as long as it may.
pub async fn soon<T>(body: impl Future<Output = T>) -> T {
    let late = async {
        Timer::after(PATIENCE).await;
        panic!("it goes on and on")
    };
    body.or(late).await
}
