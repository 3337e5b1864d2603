//! What is taken out of a link for good, and what its user gives back.

use alloc::vec::Vec;

use super::Connection;
use crate::dialog::Side;
use crate::dialog::tables::Life;
use crate::id::DialogId;
use crate::report::Outcome;

impl Connection {
    /// What a dialog that was opened here came to. With that it is let go of, as
    /// [`Caller::release`](super::Caller::release) does; where the link still has to wait for it, its
    /// handle stays. Nothing while it has not ended, or where there is no handle.
    #[must_use]
    pub fn take_outcome(&mut self, id: DialogId) -> Option<Outcome> {
        let dialog = self.dialogs.get_mut(&id)?;
        if dialog.side != Side::Opener || dialog.released {
            return None;
        }
        if dialog.life != Life::Done {
            return dialog.outcome.clone();
        }
        let outcome = dialog.outcome.take();
        self.dialogs.remove(id);
        outcome
    }

    /// Takes a buffer that is needed no more, such as that of a value which was received, for what is
    /// sent or received next.
    pub fn recycle(&mut self, buffer: Vec<u8>) {
        self.out.spare.recycle(buffer);
    }
}
