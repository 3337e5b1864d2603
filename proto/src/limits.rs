//! Every bound of the core, in one place, each with its reason.
//!
//! # What a link holds for its peer (P-F5)
//! Whatever the peer sends, at most `base + dialogs x each` bytes of memory, where `dialogs` is
//! `max_dialogs` both ways, with those that have ended and whose unread values or outcome a handle
//! still holds, and
//!
//! - `base` is 1 MiB beside `max_frame`: one frame that is not whole, for which room is made at most
//!   128 KiB ahead of what has arrived, and what is kept for the next messages and dialogs;
//! - `each` is 2 KiB, and for the payloads of what the opener sends `window + max_message` and one
//!   frame, of what the callee sends `window + 2 x max_message` and one frame, all of it as the
//!   *receiving* end announced it. A buffer that grew may be twice its content, and a value
//!   of no bytes still takes a place in a queue, so that the memory of a window full of empty values
//!   is six times the window. Of a direction whose sender does not wait, what its receiver chose to
//!   keep takes the place of the window (P-W6).
//!
//! `tests/tests/memory.rs` holds the core to it.

use core::time::Duration;

/// The bounds of one link. Both peers announce theirs; the smaller of two wins where both apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest frame, in bytes after the length prefix (P-F2): 64 KiB, with room for what an encoding
    /// adds to them and for the header, so that one frame never delays another dialog by more than a
    /// socket buffer. At least 1 KiB.
    pub max_frame: u32,
    /// Largest message before fragmentation, in bytes (P-F3): decoding may need a multiple of it.
    pub max_message: u32,
    /// Bytes that each direction of a dialog may have under way (P-W1). At least 1 KiB.
    pub window: u32,
    /// Dialogs that the peer may have open at once (P-W5): bounds the memory of a link.
    pub max_dialogs: u32,
    /// Refusals that may wait to be written before the link is closed (P-W5).
    pub max_refusals: u32,
    /// Longest name of an actor or an endpoint, in bytes.
    pub max_name: usize,
    /// Longest text in a report, in bytes; longer ones are cut with a mark (P-F3).
    pub max_report_text: usize,
    /// Longest chain, hop list or list of other failures in a report.
    pub max_report_chain: usize,
    /// Late frames, repeats, pings and errors that a peer may cause beyond the free ones (P-A4).
    pub misbehaviour_budget: u32,
    /// How long the greeting may take (P-L1).
    pub handshake_timeout: Duration,
    /// How long outcomes wait for a child's exit status after its link ended (P-L4).
    pub hold_back: Duration,
    /// Period and patience of `Ping` (P-L5). `None`: no pings, but on links apart, such as that of a
    /// child that a launcher has started, those of [`LIVENESS`](Self::LIVENESS). Never heeded between a
    /// parent and a child on an inherited pair.
    pub liveness: Option<(Duration, Duration)>,
}

impl Limits {
    /// Room in a frame beside the payload: its kind, the longest number of a dialog, its flags.
    pub const HEADER_ROOM: u32 = 16;
    /// The smallest `max_frame` and `window` that may be announced.
    pub const FLOOR: u32 = 1024;
    /// The largest `max_message` that may be configured: 1 GiB.
    pub const MESSAGE_CEILING: u32 = 1 << 30;
    /// What every frame costs on top of its payload, so that an empty one is not free (P-W1, P-A4).
    pub const FRAME_COST: u32 = 16;

    /// The most descriptors that one message may carry (P-F6): what an operating system takes in one
    /// go is more, and what a user has to say in one value is less.
    pub const DESCRIPTORS: u8 = 16;
    /// The most descriptors of a link that have arrived and that nobody has taken (P-F6, P-F5): a
    /// quarter of what a process may usually have open.
    pub const DESCRIPTORS_HELD: usize = 256;
    /// What a descriptor costs the sender of a value: one part of so many of the window (P-F6).
    pub const DESCRIPTOR_SHARES: u64 = 16;

    /// Period and patience of `Ping` on links apart where nothing else is said (P-L5). An actor whose
    /// thread is blocked answers no ping, so they are long: a silence ends a link within a minute.
    pub const LIVENESS: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(45));

    /// What a peer may cost at first, in bytes (P-A4).
    pub(crate) fn budget(&self) -> u64 {
        u64::from(self.misbehaviour_budget).saturating_mul(u64::from(Self::FRAME_COST))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_frame: 64 * 1024 + 64,
            max_message: 4 * 1024 * 1024,
            window: 256 * 1024,
            max_dialogs: 4096,
            max_refusals: 64,
            max_name: 255,
            max_report_text: 16 * 1024,
            max_report_chain: 64,
            misbehaviour_budget: 1024,
            handshake_timeout: Duration::from_secs(5),
            hold_back: Duration::from_millis(250),
            liveness: None,
        }
    }
}

/// How much of what has arrived is kept for a reader: at most so many values, and so many bytes of
/// their encoded form. One value is kept whatever its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Capacity {
    /// Values; 0 counts as 1.
    pub items: usize,
    /// Bytes of them all.
    pub bytes: usize,
}

impl Capacity {
    /// So many values, and 1 MiB of them.
    #[must_use]
    pub const fn items(items: usize) -> Self {
        Self { items, bytes: 1024 * 1024 }
    }

    /// What else there is room for beside so many values of so many bytes: in bytes, of which each
    /// value costs [`Limits::FRAME_COST`] at least (P-W7).
    pub(crate) fn room_beside(&self, items: usize, bytes: usize) -> i64 {
        let items = i64::try_from(self.items.max(1).saturating_sub(items)).unwrap_or(i64::MAX);
        let bytes = i64::try_from(self.bytes.saturating_sub(bytes)).unwrap_or(i64::MAX);
        items.saturating_mul(Limits::FRAME_COST.into()).min(bytes)
    }

    /// Whether so many values of so many bytes are more than may be kept.
    #[must_use]
    pub const fn is_exceeded(&self, items: usize, bytes: usize) -> bool {
        items > 1 && (items > self.items || bytes > self.bytes)
    }
}

impl Default for Capacity {
    /// 64 values, and 1 MiB of them.
    fn default() -> Self {
        Self::items(64)
    }
}
