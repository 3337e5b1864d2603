//! Places for sockets that tests listen at: a folder of its own for each, which goes when it is empty.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use hatchery::Address;

/// A folder that only this user may enter. Dropping it takes it away, and fails the test where
/// something was left in it.
#[derive(Debug)]
pub struct Spot(PathBuf);

impl Spot {
    /// A new one.
    ///
    /// # Panics
    /// Where it cannot be made.
    #[must_use]
    pub fn new(name: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("spot-{name}-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::DirBuilder::new().mode(0o700).create(&folder).expect("a folder for sockets");
        Self(folder)
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Checks that no socket was left in it, nor in the private directory of programs that have it for
    /// their runtime directory.
    ///
    /// # Panics
    /// Where one was.
    pub fn assert_bare(&self) {
        let private = self.0.join("hatchery");
        let left: Vec<_> = files(&private).collect();
        assert!(left.is_empty(), "left behind: {left:?}");
        if private.exists() {
            fs::remove_dir(private).expect("an empty folder");
        }
    }

    /// Where a socket may be.
    ///
    /// # Panics
    /// Where the temporary folder is no text.
    #[must_use]
    pub fn address(&self, name: &str) -> Address {
        let path = self.0.join(name).into_os_string().into_string();
        Address::unix(path.expect("a folder that is text"))
    }
}

impl Drop for Spot {
    fn drop(&mut self) {
        let left: Vec<_> = files(&self.0).collect();
        let _ = fs::remove_dir_all(&self.0);
        let fails = !left.is_empty() && !std::thread::panicking();
        assert!(!fails, "left behind: {left:?}");
    }
}

fn files(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|one| one.path())
}
