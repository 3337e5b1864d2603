//! The root's part: whether there is a terminal with somebody at it, and what its modes were before
//! anybody was asked, so that they are so again after any end of whoever was.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once};

use crate::driver::link::lock;
use crate::driver::terminal::{self, Modes, Terminal};

/// What it was like.
static KEPT: Mutex<Option<(Terminal, Modes)>> = Mutex::new(None);

/// Nobody is asked, whatever there is.
static NOBODY: AtomicBool = AtomicBool::new(false);

/// By it a root tells the actors below that nobody is asked; or a person does.
pub(crate) const VARIABLE: &str = "HATCHERY_TERMINAL";
pub(crate) const NONE: &str = "none";

/// Whether this was said to this process.
fn is_told_none() -> bool {
    NOBODY.load(Ordering::Relaxed) || std::env::var_os(VARIABLE).is_some_and(|said| said == NONE)
}

/// Has nobody asked in this process, and below it.
#[cfg(feature = "test-support")]
pub(crate) fn leave_alone() {
    NOBODY.store(true, Ordering::Relaxed);
}

/// Whether anybody can be asked: in a root, that it has a terminal with somebody at it, whose modes are
/// kept from here on. Where it is wanted and there is none, that is logged once.
pub(crate) fn is_attended(is_root: bool) -> bool {
    if is_told_none() {
        return false;
    }
    match is_root.then(keep) {
        Some(Err(error)) => {
            static SAID: Once = Once::new();
            SAID.call_once(|| {
                tracing::warn!(
                    target: "hatchery::debugger", %error,
                    "no prompt can be shown, since there is no terminal; everything goes on"
                );
            });
            false
        }
        Some(Ok(())) | None => true,
    }
}

/// Keeps the terminal's modes, unless they are kept already.
pub(crate) fn keep() -> io::Result<()> {
    let mut kept = lock(&KEPT);
    if kept.is_none() {
        if !terminal::is_attended() {
            return Err(io::Error::other("the standard input of the root is none"));
        }
        let terminal = Terminal::open()?;
        let modes = terminal.modes()?;
        *kept = Some((terminal, modes));
    }
    Ok(())
}

/// Puts the modes back, whoever has changed them.
pub(crate) fn restore() {
    if let Some((terminal, modes)) = &*lock(&KEPT)
        && let Err(error) = terminal.set_modes(modes)
    {
        tracing::debug!(target: "hatchery::debugger", %error, "the terminal's modes stay as they are");
    }
}

/// Has a root in debug mode keep the modes, and put them back at its end.
#[derive(Debug)]
pub(crate) struct Keeper(());

impl Keeper {
    pub(crate) fn begin(debug: bool) -> Self {
        super::set_on(debug && is_attended(true));
        Self(())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        super::set_on(false);
        restore();
        *lock(&KEPT) = None;
    }
}
