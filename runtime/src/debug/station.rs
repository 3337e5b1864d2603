//! The root's part: whether there is a terminal with somebody at it, and what its modes were before
//! anybody was asked, so that they are so again after any end of whoever was.

use std::sync::{Mutex, Once};

use crate::driver::link::lock;
use crate::driver::terminal::{self, Modes, Terminal};

/// What it was like.
static KEPT: Mutex<Option<(Terminal, Modes)>> = Mutex::new(None);

/// Keeps the terminal's modes, unless they are kept already. Says whether there is one with somebody at
/// it; where there is not, that is logged once.
pub(crate) fn keep() -> bool {
    static SAID: Once = Once::new();
    let mut kept = lock(&KEPT);
    if kept.is_some() {
        return true;
    }
    let opened = match terminal::is_attended() {
        true => Terminal::open().and_then(|terminal| {
            let modes = terminal.modes()?;
            Ok((terminal, modes))
        }),
        false => Err(std::io::Error::other("the standard input of the root is none")),
    };
    match opened {
        Ok(opened) => {
            *kept = Some(opened);
            true
        }
        Err(error) => {
            SAID.call_once(|| {
                tracing::warn!(
                    target: "hatchery::debugger", %error,
                    "no prompt can be shown, since there is no terminal; everything goes on"
                );
            });
            false
        }
    }
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
        super::set_on(debug);
        if debug {
            // What is missing is said by that, once.
            let _ = keep();
        }
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
